# SPDX-License-Identifier: MIT
"""The behaviour suite (tests/contract) on other kinds of machines, over every transport that needs no virtual machine."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from test_contract import ADDRESSES, FEW, MUXED, ROWS, folder, multiplexer  # noqa: F401 (fixtures)

from .targets import TARGETS, command

RUNS = [("linux-aarch64", transport) for transport in ADDRESSES] + [
    ("linux-s390x", "unix"), ("linux-s390x", "mux"), ("musl", "unix"), ("linux-i386", "unix"), ("linux-i386", "tcp"), ("glibc-2.17", "unix"),
]


def suite(target, address):
    words = [*command(target, "tests/contract/virtsock-selftest"), "--slow", "3", *FEW, address]
    return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=300, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def runs(folder, multiplexer):  # noqa: F811
    """All of them, three at a time: they wait more than they work."""
    assert multiplexer, "virtsock mux does not serve"
    with ThreadPoolExecutor(3) as pool:
        yield {(target, transport): pool.submit(suite, target, ADDRESSES[transport].format(folder=folder, number=10_000 * number))
               for number, (target, transport) in enumerate(RUNS, 1) if command(target, "tests/contract/virtsock-selftest")}


@pytest.mark.parametrize(("target", "transport"), RUNS)
@pytest.mark.proves("aarch64", "s390x")
def test_every_row_is_well(runs, target, transport, need):
    need((target, transport) in runs, f"{target} is not built, or qemu-user is not installed")
    done = runs[target, transport].result()
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[-1] == "END", done.stdout + done.stderr
    rows = re.findall(r"^(ok|skip) (\w+)", done.stdout, re.MULTILINE)
    assert [row for _, row in rows] == ROWS
    assert [verdict for verdict, _ in rows].count("ok") > len(ROWS) // 2


def test_no_target_is_forgotten():
    assert {target for target, _ in RUNS} == set(TARGETS)
