# SPDX-License-Identifier: MIT
"""What to do where something that a check needs is not there."""

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: builds packages; leave out with -m 'not slow'")


@pytest.fixture
def need(request):
    """need(condition, reason): skips without it, or fails where everything is demanded."""

    def say(condition, reason):
        if not condition:
            (pytest.fail if request.config.getoption("--demand-all") else pytest.skip)(reason)

    return say
