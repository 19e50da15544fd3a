# SPDX-License-Identifier: MIT
"""The lists of tests/mutants fit the code: each change applies once, none is twice, and every file with logic has one."""

import re
import shlex
from collections import Counter

from mutants import all_changes
from mutants.claims import EXCEPTIONS, TARGETS, steps_for

from .tree import CORE, LINUX, ROOT

LEAST = 120
CHANGES = all_changes()
OTHER_SYSTEMS = ("windows", "macos", "freebsd")


def linux_files():
    """Those that a Linux build compiles, and what looks names up on Windows, which the C tests have here."""
    tools = [file for file in (ROOT / "tools").rglob("*.c") if not any(word in file.stem for word in OTHER_SYSTEMS)]
    return {str(file.relative_to(ROOT)) for file in [*LINUX, CORE / "lookup.c", *tools]}


def test_each_applies_once():
    for change in CHANGES:
        text = (ROOT / change.file).read_text()
        assert change.applied(text) != text, change.source


def test_none_is_there_twice():
    assert not [key for key, count in Counter((c.file, c.place, c.old, c.new) for c in CHANGES).items() if count > 1]


def test_they_are_many_and_few_are_equal():
    assert len([change for change in CHANGES if not change.equal]) >= LEAST
    assert len([change for change in CHANGES if change.equal]) * 10 <= len(CHANGES)


def test_every_file_with_logic_has_one():
    changed = {change.file.replace(".h", ".c") for change in CHANGES}
    assert linux_files() - changed == set(EXCEPTIONS)
    assert changed <= linux_files() and all(EXCEPTIONS.values())


def test_tests_that_claim_are_there():
    steps = [step for change in CHANGES for step in (*change.tests, *steps_for(change.file))]
    words = {word.partition("::")[0] for step in steps for word in shlex.split(step) if word.startswith("tests/")}
    assert len(words) > 20 and not [word for word in words if not (ROOT / word).is_file()]


def test_what_they_build_is_there():
    """Each target is named by a CMakeLists.txt, or made of a program of tests/fault."""
    named = "\n".join((ROOT / folder / "CMakeLists.txt").read_text() for folder in (".", "tests", "tools"))
    made = {f"fault_{path.stem}" for path in (ROOT / "tests" / "fault").glob("*.c")}
    for _, targets in TARGETS:
        for target in targets:
            assert target in made or re.search(rf"(add_executable|add_library|add_custom_target)\({target}\b", named), target
