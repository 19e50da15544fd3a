# SPDX-License-Identifier: MIT
"""Python's benchmark runs, and each row tells a ratio: whether a goal is met is looked at by hand, on a quiet machine."""

import re
import subprocess
import sys

from builds import ROOT

ROWS = re.findall(r'^@row\("(\w+)"', (ROOT / "tests/bench/python/__main__.py").read_text(), re.MULTILINE)


def test_every_row_is_measured_and_told():
    done = subprocess.run([sys.executable, "tests/bench/python", "--rounds", "1"], cwd=ROOT, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) >= len(ROWS) and all(re.search(r": -?[0-9.e+-]+ [mun]?s\b.* \((at most [0-9.]+|no goal)", line) for line in told), done.stdout
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "tests/bench/README.md").read_text().partition("## Python")[2], re.MULTILINE)
    assert table == ROWS
