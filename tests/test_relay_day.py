# SPDX-License-Identifier: MIT
"""A day of `virtsock relay` in ten minutes (bench/day), in short; VIRTSOCK_TEST_DAY=200000 is all of it."""

import os
import subprocess
import sys
from pathlib import Path

from builds import ROOT
from test_tools import TOOL

CONVERSATIONS = os.environ.get("VIRTSOCK_TEST_DAY", "600")
WHOLE = int(CONVERSATIONS) >= 20000


def test_a_day(need):
    """Conversations of every kind and end. Each byte is compared, each counted; the relay has no more after it."""
    need(Path("/proc/self/schedstat").exists(), "the kernel does not tell how long a thread ran")
    need("san/" not in TOOL, "sanitizers keep much of their own")
    words = [] if WHOLE else ["--rests", "1", "--quiet", "0.5"]
    day = subprocess.run(
        [sys.executable, "tests/bench/day", CONVERSATIONS, *words],
        cwd=ROOT,
        env={**os.environ, "VIRTSOCK_TOOL": TOOL},
        text=True,
        capture_output=True,
        timeout=3600 if WHOLE else 300,
    )
    print(day.stdout)
    assert day.returncode == 0, day.stdout + day.stderr
    assert " 0 ns of them in " in day.stdout
