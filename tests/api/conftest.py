# SPDX-License-Identifier: MIT
"""A marker for what takes long."""


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: builds packages; leave out with -m 'not slow'")
