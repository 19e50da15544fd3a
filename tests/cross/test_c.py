# SPDX-License-Identifier: MIT
"""Every test of tests/c on other kinds of machines: another processor, the other order of bytes, another C library."""

from __future__ import annotations

import re

import pytest

from builds import ROOT
from programs import run_test

from .targets import TARGETS, command

TESTS = [(file.stem, name) for file in sorted((ROOT / "tests" / "c").glob("[0-9]*.c"))
         for name in re.findall(r"^TEST\((\w+)\)", file.read_text(), re.MULTILINE)]
ENVIRONMENT = {"VIRTSOCK_TEST_SLOW": "3", "VIRTSOCK_TEST_ROUNDS": "20", "VIRTSOCK_TEST_TRANSPORT": "unix"}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("program", "test"), TESTS, ids=[" ".join(row) for row in TESTS])
@pytest.mark.proves("T12", "compilers", "musl", "aarch64", "s390x")
def test_c(target, program, test, need):
    found = command(target, f"tests/c/{program}")
    need(found, f"{target} is not built, or qemu-user is not installed")
    run_test(found, test, ENVIRONMENT)
