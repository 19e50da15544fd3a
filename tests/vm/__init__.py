# SPDX-License-Identifier: MIT
"""Real virtual machines for tests and for the demonstration: README.md beside this file says how."""
