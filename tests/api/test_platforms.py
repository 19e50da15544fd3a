# SPDX-License-Identifier: MIT
"""The README's table of platforms: what each row says of itself is one of few things, and what it is shown by exists."""

import json
import re

import pytest

from .tree import ROOT

HEAD = "| platform | state | shown by |"
STATES = ("runs in our tests", "runs under Wine", "runs under qemu-user", "compiles and links", "unproven", "not yet")
PRESETS = {preset["name"] for preset in json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]}


def rows_of(text):
    """The cells of each row."""
    _, _, table = text.partition(HEAD + "\n")
    lines = table.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def exists(name):
    """A preset, a file or a folder of the tests, or a way to call ./check."""
    command, *words = name.split()
    if command == "./check":
        return not words or re.search(rf"\b{words[0]}\b", (ROOT / "check").read_text()) is not None
    return name in PRESETS or (name.startswith("tests/") and (ROOT / name).exists())


def wrongs(text):
    """What is wrong with each row, if anything."""
    for cells in rows_of(text):
        names = re.findall(r"`([^`]+)`", cells[-1])
        if len(cells) != 3 or not cells[1].startswith(STATES):
            yield f"{cells}: a platform, one of {STATES}, and what shows it"
        elif not names and cells[1] not in ("unproven", "not yet"):
            yield f"{cells}: shown by nothing"
        yield from (f"{cells[0]}: there is no {name}" for name in names if not exists(name))


def test_what_the_readme_says_of_platforms():
    text = (ROOT / "README.md").read_text()
    assert len(rows_of(text)) >= 8
    assert list(wrongs(text)) == []


@pytest.mark.parametrize(("row", "wrong"), [
    ("| Linux, s390x | runs under qemu-user | `linux-s390x`, `tests/cross`, `./check cross` |", None),
    ("| macOS | compiles and links, unproven | `macos-aarch64`: `tests/cross/test_objects.py` |", None),
    ("| Plan 9 | unproven | |", None),
    ("| Plan 9 | works | `tests/cross` |", "one of"),
    ("| Plan 9 | runs in our tests | faith |", "shown by nothing"),
    ("| Plan 9 | runs in our tests | `linux-plan9` |", "no linux-plan9"),
    ("| Plan 9 | runs in our tests | `tests/plan9` |", "no tests/plan9"),
    ("| Plan 9 | runs in our tests | `./check plan9` |", "no ./check plan9"),
])
def test_the_check_itself(row, wrong):
    found = list(wrongs(f"x\n\n{HEAD}\n| --- | --- | --- |\n{row}\n\ny\n"))
    assert found == [] if wrong is None else len(found) == 1 and wrong in found[0]
