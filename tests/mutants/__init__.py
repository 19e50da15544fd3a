# SPDX-License-Identifier: MIT
"""Mutants: changes of one line of the core and the command, and whether the tests notice each (`./check mutants`).

The lists are *.txt of this folder: here they are read, and put into a file's text. claims.py says which tests claim which code,
tree.py has the copies in which mutants are built and tested, and __main__.py the run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTS = Path(__file__).parent

KINDS = {
    "comparison": "turned, or another one",
    "condition": "left out, or another one",
    "wake": "left out",
    "error": "taken for success, or for another",
    "order": "of bytes, or of steps",
    "bound": "off by one",
    "limit": "moved",
    "lock": "left out",
    "flag": "left out, or another one",
    "return": "early",
    "leak": "a free or a close is left out",
    "constant": "a wrong one",
    "state": "something is not kept, or not taken back",
}


@dataclass(frozen=True)
class Change:
    """One line of a file becomes another."""

    file: str
    place: str              # the function, or whatever begins a line with that name; "": the file
    kind: str
    old: str
    new: str
    build: str = "dev"      # in which the tests run
    tests: tuple = ()       # to be run before those of the table
    equal: str = ""         # why no test can notice it
    source: str = ""        # of the list

    def line_in(self, text: str) -> int:
        """The number of its line, from 0: there is one."""
        lines = text.splitlines()
        numbers = (number for begin, end in self.extents(lines) for number in range(begin, end))
        found = [number for number in numbers if lines[number].strip() == self.old]
        if len(found) != 1:
            raise ValueError(f"{self.source}: {self.file} {self.place}: {len(found)} lines are `{self.old}`")
        return found[0]

    def extents(self, lines: list[str]):
        """(first line, line after the last) of what the place names: to its closing brace."""
        if not self.place:
            yield 0, len(lines)
        for begin, line in enumerate(lines):
            if self.place and re.match(rf"[a-z].*\b{re.escape(self.place)}\b", line) and not line.endswith(";"):
                yield begin, next(number for number in range(begin, len(lines)) if lines[number].startswith("}"))

    def applied(self, text: str) -> str:
        lines = text.splitlines(keepends=True)
        number = self.line_in(text)
        lines[number] = lines[number].replace(self.old, self.new)
        return "".join(lines)

    @property
    def name(self) -> str:
        return f"{self.file}{' ' * bool(self.place)}{self.place} [{self.kind}]"


def read_list(path: Path) -> list[Change]:
    """Paragraphs: `FILE PLACE: KIND`, `- LINE`, `+ LINE`; perhaps `@ BUILD`, `? TESTS`, `= REASON`. # begins a comment."""
    changes = []
    for number, paragraph in paragraphs(path.read_text()):
        head = re.fullmatch(r"(\S+?)(?: (\S+))?: (.+)", paragraph[0])
        marks: dict[str, list[str]] = {}
        for line in paragraph[1:]:
            marks.setdefault(line[0], []).append(line[2:].strip())
        source = f"{path.name}:{number}"
        whole = len(marks.get("-", ())) == len(marks.get("+", ())) == 1 and not set(marks) - set("-+@?=")
        if not head or head[3] not in KINDS or not whole:
            raise ValueError(f"{source}: no change: {paragraph}")
        if "@" in marks and "?" not in marks:
            raise ValueError(f"{source}: under a sanitizer the tests are to be named")
        changes.append(Change(head[1], head[2] or "", head[3], marks["-"][0], marks["+"][0], marks.get("@", ["dev"])[0],
                              tuple(marks.get("?", ())), " ".join(marks.get("=", ())), source))
    return changes


def paragraphs(text: str):
    """(number of the first line, lines), without comments."""
    lines: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.strip() and not line.startswith("#"):
            lines.append(line)
        elif lines and not line.strip():
            yield number - len(lines), lines
            lines = []


def all_changes() -> list[Change]:
    return [change for path in sorted(LISTS.glob("*.txt")) for change in read_list(path)]
