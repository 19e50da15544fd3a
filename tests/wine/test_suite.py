# SPDX-License-Identifier: MIT
"""The C tests under Wine, with the DLL as it ships: over Hyper-V sockets through the shim, and over TCP as Wine's Winsock has it. INNER: of the
core's own functions, no I/O, and so once."""

import re
from pathlib import Path

import pytest

from builds import BUILD, ROOT

from .rig import c_tests, windows

PROGRAMS = BUILD / "mingw64" / "tests" / "wine"
TESTS = [(source.stem, test) for source in sorted((ROOT / "tests" / "c").glob("[0-9]*.c")) for test in c_tests(source)]
INNER = re.search(r"^set\(inner (.+)\)$", (Path(__file__).parent / "CMakeLists.txt").read_text(), re.MULTILINE)[1].split()
ROWS = [(program, test, transport) for program, test in TESTS for transport in (("tcp", ) if program in INNER else ("hvsock", "tcp"))]
MORE = {"VIRTSOCK_TEST_SLOW": "2", "VIRTSOCK_TEST_ROUNDS": "100", "HVSHIM_QUIET": "1"}          # tests run beside other things


def judge(lines, test):
    """ok, skipped with a reason, or neither."""
    skipped = [line for line in lines if line.startswith(f"skip {test}: ")]
    if skipped:
        pytest.skip(skipped[0].partition(": ")[2])
    assert f"ok {test}" in lines, "\n".join(lines)


@pytest.mark.parametrize(("program", "test", "transport"), ROWS, ids=["-".join(row) for row in ROWS])
def test_c(wine, board, tmp_path, program, test, transport):
    log = tmp_path / "log"
    lines = wine.run(PROGRAMS / f"{program}.exe", test, board=board, VIRTSOCK_TEST_TRANSPORT=transport, HVSHIM_LOG=windows(log), **MORE)
    assert not log.exists() or "judge " not in log.read_text(), "what nobody may do with a Hyper-V socket"
    judge(lines, test)
