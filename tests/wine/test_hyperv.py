# SPDX-License-Identifier: MIT
"""Hyper-V sockets under Wine, against peers that play faults: what each program of 600 and up shows is one item."""

import re
import warnings
from pathlib import Path

import pytest

from .rig import c_tests
from .test_suite import PROGRAMS, judge

ROWS = [(source.stem, test) for source in sorted(Path(__file__).parent.glob("[0-9]*.c")) for test in c_tests(source)]
RACE = "a_reset_in_mid_stream"          # Wine 8 may show it as an end in order
RUNS, MISSES_MAX = 20, 2


def run(wine, board, ran, program, test):
    """Figures of a run, lines that begin with `#`, are shown with `-rP`."""
    lines = wine.run(PROGRAMS / f"{program}.exe", test, board=board, VIRTSOCK_TEST_TRANSPORT="hvsock", VIRTSOCK_TEST_SLOW="2")
    print(*(line for line in lines if line.startswith("# ")), sep="\n")
    ran(f"wine/{program}.c", lines)
    judge(lines, test)
    return lines


@pytest.mark.parametrize(("program", "test"), [row for row in ROWS if row[1] != RACE], ids=["-".join(row) for row in ROWS if row[1] != RACE])
def test_hyperv(wine, board, peers, ran, program, test):
    run(wine, board, ran, program, test)


def test_reset(wine, board, peers, ran):
    """One run, and where Wine's race hid the reset, so many that it may not be more than that race."""
    program = next(program for program, test in ROWS if test == RACE)
    missed, runs = 0, 0
    while runs == 0 or (missed and runs < RUNS):
        missed += any(re.match(rf"miss {RACE}: ", line) for line in run(wine, board, ran, program, RACE))
        runs += 1
        assert missed <= MISSES_MAX, f"{missed} of {runs} runs saw the end of the stream where the peer reset the connection"
    if missed:
        why = f"Wine 8: a reset was seen as the end of the stream in {missed} of {runs} runs"
        warnings.warn(why, stacklevel=1)
        pytest.xfail(why)
