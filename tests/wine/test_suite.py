# SPDX-License-Identifier: MIT
"""The C tests under Wine, with the DLL as it ships: over Hyper-V sockets through the shim, and over TCP as Wine's Winsock has it. INNER: of the
core's own functions, no I/O, and so once."""

import re
import subprocess
import warnings
from pathlib import Path

import pytest

from builds import BUILD, ROOT

from .rig import c_tests, windows

PROGRAMS = BUILD / "mingw64" / "tests" / "wine"
TESTS = [(source.stem, test) for source in sorted((ROOT / "tests" / "c").glob("[0-9]*.c")) for test in c_tests(source)]
INNER = re.search(r"^set\(inner (.+)\)$", (Path(__file__).parent / "CMakeLists.txt").read_text(), re.MULTILINE)[1].split()
ROWS = [(program, test, transport) for program, test in TESTS for transport in (("tcp", ) if program in INNER else ("hvsock", "tcp"))]
LIMIT_S = 200               # of a program; 230_framed takes 112 s beside six busy loops
MORE = {"VIRTSOCK_TEST_SLOW": "2", "VIRTSOCK_TEST_ROUNDS": "50", "HVSHIM_QUIET": "1"}          # tests run beside other things


def judge(lines, test):
    """ok, skipped with a reason, or neither."""
    skipped = [line for line in lines if line.startswith(f"skip {test}: ")]
    if skipped:
        pytest.skip(skipped[0].partition(": ")[2])
    assert f"ok {test}" in lines, "\n".join(lines)


@pytest.fixture(scope="module")
def whole(request, wine, tmp_path_factory):
    """The tests of a program over a transport that this run has, in one process: a start of Wine takes longer than most of them."""
    done = {}
    asked = [item.callspec.params for item in request.session.items if item.path == request.path]

    def lines(program, transport, *tests):
        if (program, transport, *tests) not in done:
            folder = tmp_path_factory.mktemp("board")
            log = folder.with_suffix(".log")
            environment = {"HVSHIM_DIR": windows(folder), "HVSHIM_LOG": windows(log), "VIRTSOCK_TEST_TRANSPORT": transport, **MORE}
            names = tests or [one["test"] for one in asked if (one["program"], one["transport"]) == (program, transport)]
            try:
                ran = wine.raw(PROGRAMS / f"{program}.exe", *names, limit=LIMIT_S, WINEPATH=windows(BUILD / "mingw64"), **environment)
                lines = ran.stdout.splitlines()
                assert (ran.returncode, lines[-1:]) == (0, ["END"]) or ran.returncode == 1, ran.stdout + ran.stderr
            except subprocess.TimeoutExpired as late:
                if tests:
                    raise
                lines = (late.stdout or b"").decode().splitlines()
                warnings.warn(f"{program} over {transport} stood still under Wine after {lines[-1:]}, and the rest is run test by test", stacklevel=2)
            assert not log.exists() or "judge " not in log.read_text(), "what nobody may do with a Hyper-V socket"
            done[program, transport, *tests] = lines
        return done[program, transport, *tests]
    return lines


@pytest.mark.parametrize(("program", "test", "transport"), ROWS, ids=["-".join(row) for row in ROWS])
def test_c(whole, program, test, transport):
    lines = whole(program, transport)
    if not any(re.match(rf"(ok|skip|FAIL) {test}\b", line) for line in lines):     # one before it failed
        lines = whole(program, transport, test)
    judge(lines, test)
