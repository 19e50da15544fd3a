# SPDX-License-Identifier: MIT
"""Which virtual machines a test needs: of the fixtures in vm/conftest.py the one that it, or a fixture of it, asks for."""

from __future__ import annotations

import pytest

NAMES = ("nested_vms", "mux_vm", "loopback_vm", "bare_vm")
# A fixture that asks for one by its parameter has this in the test's name.
WORDS = {"nested_vms": "vhost", "mux_vm": "mux", "loopback_vm": "guest"}


def machine_of(item: pytest.Item) -> str:
    asked = getattr(item, "fixturenames", ())
    params = item.name.partition("[")[2]
    return next((name for name in NAMES if name in asked), "") or next((name for name, word in WORDS.items() if word in params), "")
