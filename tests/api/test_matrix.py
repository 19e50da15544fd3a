# SPDX-License-Identifier: MIT
"""tests/README.md: every row of the fault matrix is there once, and every test that it names exists."""

import re

from .tree import ROOT

TESTS = ROOT / "tests"
TEXT = (TESTS / "README.md").read_text()
ROWS = {"C": 17, "L": 15, "D": 16, "T": 15}


def named():
    """(file, test) of everything that is named as `file: test`."""
    return re.findall(r"`([\w/.]+\.(?:c|py|lua)): (\w+)`", TEXT)


def test_every_row_is_there():
    rows = re.findall(r"^\| ([CLDT]\d+b?) \|", TEXT, re.MULTILINE)
    wanted = [f"{letter}{number}" for letter, last in ROWS.items() for number in range(1, last + 1)]
    wanted.insert(wanted.index("C13") + 1, "C13b")
    assert rows == wanted


def test_every_row_says_something():
    rows = [line.split(" | ") for line in TEXT.splitlines() if re.match(r"\| [CLDT]\d", line)]
    assert len(rows) > 60 and all(len(row) == 3 and len(row[2]) > 20 for row in rows)


def test_what_is_named_exists():
    assert len(named()) > 80
    for file, test in named():
        text = (TESTS / file).read_text()
        assert re.search(rf"^(?:TEST|SCENARIO)\({test}\)|^(?:async )?def {test}\(", text, re.MULTILINE), f"{file}: no test {test}"


def test_every_folder_is_told():
    folders = {folder.name for folder in TESTS.iterdir() if folder.is_dir() and not folder.name.startswith(("_", "."))}
    assert {folder for folder in folders if f"`{folder}`" not in TEXT} == set()
