# SPDX-License-Identifier: MIT
"""Python's and Lua's benchmarks run, and each row tells a ratio: whether a goal is met is looked at by hand, on a quiet machine."""

import re
import subprocess
import sys

from builds import LUAS, ROOT

ROWS = re.findall(r'^@row\("(\w+)"', (ROOT / "tests/bench/python/__main__.py").read_text(), re.MULTILINE)


def test_every_row_is_measured_and_told():
    done = subprocess.run([sys.executable, "tests/bench/python", "--rounds", "1"], cwd=ROOT, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) >= len(ROWS) and all(re.search(r": -?[0-9.e+-]+ [mun]?s\b.* \((at most [0-9.]+|no goal)", line) for line in told), done.stdout
    assert documented("Python") == ROWS


def documented(language):
    section = (ROOT / "tests/bench/README.md").read_text().partition(f"## {language}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_every_row_of_lua_is_measured_and_told():
    done = subprocess.run([sys.executable, "tests/bench/lua", "--rounds", "1"], cwd=ROOT, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    rows = re.findall(r'^row\("(\w+)"', (ROOT / "tests/bench/lua/bench.lua").read_text(), re.MULTILINE)
    assert documented("Lua") == rows
    interpreters = [line for line in told if line.startswith("lua")]
    assert interpreters == list(LUAS.values())
    assert sum(" ns, ratio " in line for line in told) == 6 * len(LUAS) + 5 and sum("by the FFI" in line for line in told) == 6, done.stdout
