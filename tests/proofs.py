# SPDX-License-Identifier: MIT
"""What is proven where: the tables of README.md and tests/README.md, made of the rows in proofs.toml and the marks of
the tests. tests/README.md tells how a test is marked, and what --proofs does.

A proof is written as the tables have it: `c/200_connect.c: refused_at_once`, a file, or a folder for its test files.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

ROWS = "tests/proofs.toml"
MARK = re.compile(r"^(?:/\* |-- |@pytest\.mark\.|(pytestmark) = .*pytest\.mark\.)proves[:(]([^)*\n]+).*\n"
                  r'(?:(?:TEST\(|SCENARIO\(|(?:check\.)?test\("|(?:async )?def )(\w+))?', re.MULTILINE)
FRAMES = {"check.h", "check.lua", "conftest.py"}                # a mark in them is for their folder
OURS = {"proofs.py", "test_proofs.py"}                          # have the word, and no marks
TEST_FILE = re.compile(r"\d+_\w+\.(c|lua)|test_\w+\.py")
RUNNERS = {"fault": "test_fault.py", "wine": "wine/test_hyperv.py"}     # of C that pytest does not collect
SLOT = re.compile(r"\{(.*?)\}")
Wrong = tuple[str, str]                                         # a row, a table or a file; a sentence


class Tables:
    """The rows, the marks and the pages below one root."""

    def __init__(self, root: Path) -> None:
        self.root, self.tests = root, root / "tests"
        self.tables = tomllib.loads((root / ROWS).read_text())
        self.rows = {row: cells for table in self.tables.values() for row, cells in table["rows"].items()}
        self.marks: dict[str, list[str]] = {row: [] for row in self.rows}
        self.strays: list[Wrong] = []
        for file in sorted(file for kind in ("c", "h", "lua", "py") for file in self.tests.rglob(f"*.{kind}")):
            if file.name not in OURS:
                self.read(file)

    def read(self, file: Path) -> None:
        """Its marks, and what is wrong with them."""
        text, place = file.read_text(), file.relative_to(self.tests)
        frame = file.name in FRAMES
        found = [mark for mark in MARK.findall(text) if frame or mark[0] or mark[2]]
        if len(found) != len(re.findall(r"\bproves[:(]", text)):
            self.strays.append((str(place), "a mark stands right above a test, in a form that tests/README.md tells"))
        for whole, rows, test in found:
            proof = str(place.parent) if frame else str(place) if whole else f"{place}: {test}"
            for row in re.findall(r"[\w-]+", rows):
                if row not in self.rows:
                    self.strays.append((row, f"{proof} is marked for it, and {ROWS} has no such row"))
                elif proof not in self.marks[row]:
                    self.marks[row].append(proof)

    def slots(self, row: str, proofs: list[str]) -> dict[str, list[str]]:
        """{wine/} in the last cell stands for the proofs that begin so, {} for the others."""
        filled = {}
        for slot in sorted(SLOT.findall(self.rows[row][-1]), key=len, reverse=True):
            filled[slot] = [proof for proof in proofs if proof.startswith(slot)]
            proofs = [proof for proof in proofs if not proof.startswith(slot)]
        return filled

    def name(self, table: dict, proof: str) -> str:
        """README.md names files alone."""
        return f"`tests/{proof.partition(':')[0]}`" if table["page"] == "README.md" else f"`{proof}`"

    def lines(self, table: dict, marks: dict[str, list[str]]) -> list[str]:
        """The table of these proofs. Where the head has a cell more than the rows, that is the row's name."""
        made = [table["head"], re.sub(r"[^|]+", " --- ", table["head"])]
        for row, (*cells, how) in table["rows"].items():
            texts = {slot: ", ".join(dict.fromkeys(self.name(table, proof) for proof in proofs))
                     for slot, proofs in self.slots(row, marks[row]).items()}
            first = [row] if table["head"].startswith("| | ") else []
            made.append(f"| {' | '.join([*first, *cells, SLOT.sub(lambda slot, texts=texts: texts[slot[1]], how)])} |")
        return made

    def place(self, name: str) -> tuple[str, str, str]:
        """The page of a table: what is before, the table, what is after."""
        page = self.tables[name]["page"]
        parts = re.fullmatch(rf"(.*<!-- proofs: {name} -->\n\n)(.*?)(\n<!-- end -->.*)",
                             (self.root / page).read_text(), re.DOTALL)
        assert parts is not None, f"{page} has no place for the table {name}"
        return parts[1], parts[2], parts[3]

    def write(self, marks: dict[str, list[str]]) -> None:
        for name, table in self.tables.items():
            before, _, after = self.place(name)
            (self.root / table["page"]).write_text(before + "\n".join(self.lines(table, marks)) + "\n" + after)

    def wrongs(self) -> Iterator[Wrong]:
        """Of marks, rows and pages, without a run."""
        yield from self.strays
        for row, cells in self.rows.items():
            filled = self.slots(row, self.marks[row])
            if not filled and "unproven" not in " ".join(cells):
                yield row, f"no test shows it: its last cell in {ROWS} wants {{}}, or says that it is unproven, and why"
            for slot in (slot for slot, proofs in filled.items() if not proofs):
                yield row, f"no test is marked for its {{{slot}}}: mark one, or write in {ROWS} that it is unproven"
            for proof in set(self.marks[row]).difference(*filled.values()):
                yield row, f"{proof} is marked for it, and its last cell in {ROWS} has no {{}} for that"
        for name, table in self.tables.items():
            yield from self.differences(name, table)

    def differences(self, name: str, table: dict) -> Iterator[Wrong]:
        """Of a table as its page has it and as the marks would have it."""
        shown, wanted = self.place(name)[1].splitlines(), self.lines(table, self.marks)
        for row, line in zip(table["rows"], wanted[2:], strict=True):
            old = "".join(one for one in shown if one.startswith(line.rpartition(" | ")[0]))
            if old != line:
                was, will = (set(re.findall(r"`[^`]+`", text)) for text in (old, line))
                lacks, has = (", ".join(sorted(names)) or "none" for names in (will - was, was - will))
                yield row, (f"marked, and not in {table['page']}: {lacks}; there, and not marked: {has}. "
                            "Mend the marks, or run the tests of the row with --proofs=write")
        if shown != wanted and set(shown) >= set(wanted):
            yield name, f"{table['page']} has other rows, or in another order: run any test with --proofs=write"


class Watch:
    """What became of the tests of this run; where runs are side by side, in the one that hears of all."""

    def __init__(self, config: pytest.Config) -> None:
        self.config, self.mode, self.tests = config, config.getoption("--proofs"), config.rootpath / "tests"
        self.seen: dict[str, set[str]] = defaultdict(set)       # outcomes, of each test and of each file
        self.left: set[str] = set()                             # tests and files of what was deselected

    def names(self, nodeid: str) -> tuple[str, str]:
        """The test, without what it was parametrized with, and its file."""
        file, _, rest = nodeid.removeprefix("tests/").partition("::")
        return f"{file}: {rest.partition('[')[0].rpartition('::')[2]}", file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            for name in self.names(report.nodeid):
                self.seen[name].add(report.outcome)
        programs = [value for what, value in report.user_properties if what == "ran" and report.when == "call"]
        for name, outcome in programs:
            self.seen[name].add(outcome)
            self.seen[name.partition(":")[0]].add(outcome)

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        self.left.update(name for item in items for name in self.names(item.nodeid))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node) -> None:
        self.left.update(getattr(node, "workeroutput", {}).get("left", ()))

    def outcomes(self, proof: str) -> dict[str, str | None]:
        """Of a proof, or of each file of a folder: what became of it here; None: it did not run."""
        folder, parts = self.tests / proof, [proof]
        if folder.is_dir():
            parts = [f"{proof}/{file.name}" for file in folder.iterdir() if TEST_FILE.fullmatch(file.name)]
        return {part: next((one for one in ("failed", "passed", "skipped") if one in self.seen[part]), None)
                for part in sorted(parts)}

    def is_asked(self, part: str) -> bool:
        """Whether this run was to run it: it was asked for, not ignored, and not deselected to the last item."""
        file, here = self.tests / part.partition(":")[0], self.config.invocation_params.dir

        def is_among(words: Iterable[str]) -> bool:
            return any(Path(os.path.abspath(here / word)) in (file, *file.parents) for word in words)

        runner = RUNNERS.get(file.parent.name) if file.suffix == ".c" else None
        return (is_among(self.config.args) and not is_among(self.config.getoption("ignore") or ())
                and not any(name in self.left and not self.seen[name] for name in (part, runner)))

    def judge(self, tables: Tables) -> Iterator[Wrong]:
        """The marked tests of this run that prove nothing."""
        for row, proofs in tables.marks.items():
            for part, outcome in (pair for proof in proofs for pair in self.outcomes(proof).items()):
                if outcome == "failed" or (outcome != "passed" and self.is_asked(part)):
                    became = {"failed": "failed", "skipped": "was skipped", None: "did not run"}[outcome]
                    yield row, (f"{part} is marked for it, and {became}: mend the test, "
                                "or take the mark away and run it with --proofs=write")

    def proven(self, tables: Tables) -> dict[str, list[str]]:
        """What passed here; and what was skipped here or did not run, if the page names it already."""
        def is_kept(name: str, proof: str) -> bool:
            outcomes = set(self.outcomes(proof).values())
            return outcomes == {"passed"} or ("failed" not in outcomes and
                                              tables.name(tables.tables[name], proof) in tables.place(name)[1])

        return {row: [proof for proof in tables.marks[row] if is_kept(name, proof)]
                for name, table in tables.tables.items() for row in table["rows"]}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(self.config, "workerinput"):
            self.config.workeroutput["left"] = sorted(self.left)
        elif self.mode and not (self.config.getoption("collectonly") or session.shouldfail or session.shouldstop):
            tables = Tables(self.config.rootpath)
            if self.mode == "write":
                tables.write(self.proven(tables))
            wrongs = [*tables.wrongs(), *(self.judge(tables) if self.mode == "check" else ())]
            for row, sentence in wrongs:        # as failed tests, so that they are told and counted as those
                self.config.hook.pytest_runtest_logreport(report=pytest.TestReport(
                    f"{ROWS}::{row}", (ROWS, None, row), {}, "failed", f"{row}: {sentence}", "call"))
            if wrongs:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proofs", choices=("check", "write"),
                     help="the READMEs' tables of proofs: fail if this run proved something else, or write them")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"proves(row, ...): shows what a row of {ROWS} claims")
    config.pluginmanager.register(Watch(config))


@pytest.fixture
def ran(record_property) -> Callable[[str, Iterable[str]], None]:
    """ran(source, lines): in this test a program of that file ran, and said this of its own tests: `ok NAME`,
    `skip NAME: why` or `FAIL NAME`, a line each."""
    outcomes = {"ok": "passed", "skip": "skipped", "FAIL": "failed"}

    def say(source: str, lines: Iterable[str]) -> None:
        for word, name in re.findall(r"^(ok|skip|FAIL) (\w+)\b", "\n".join(lines), re.MULTILINE):
            record_property("ran", (f"{source}: {name}", outcomes[word]))

    return say
