# SPDX-License-Identifier: MIT
"""The tables of what is proven (proofs.toml): each row says something, its marks are there, the pages show them, and a
run that proves something else is red. What the pages name besides exists."""

import json
import os
import re
import subprocess
import sys

import proofs
import pytest

from .tree import ROOT

TESTS = ROOT / "tests"
TABLES = proofs.Tables(ROOT)
STATES = ("runs in our tests", "runs under Wine", "runs under qemu-user", "compiles and links", "unproven", "not yet")
PRESETS = {preset["name"] for preset in json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]}


def test_nothing_is_wrong():
    assert [f"{row}: {sentence}" for row, sentence in TABLES.wrongs()] == []


def test_every_row_is_there():
    last = {"C": 17, "L": 15, "D": 16, "T": 15}
    wanted = [f"{letter}{number + 1}" for letter in last for number in range(last[letter])]
    wanted.insert(wanted.index("C13") + 1, "C13b")
    assert [row for row in TABLES.rows if row[0].isupper()] == wanted
    assert all(len(cells) == 2 + (row not in wanted) for row, cells in TABLES.rows.items())
    assert all(cells[1].startswith(STATES) for cells in TABLES.tables["platforms"]["rows"].values())


def test_what_is_named_exists():
    """By hand: presets, folders of tests, and ways to call ./check in the rows; tests in the text around them."""
    words = {row: re.findall(r"`([^`]+)`", cells[-1]) for row, cells in TABLES.rows.items()}
    for word in (word for some in words.values() for word in some):
        if word.startswith("./check "):
            assert re.search(rf"\b{word.split()[1]}\b", (ROOT / "check").read_text()), word
        if word.startswith("tests/"):
            assert (ROOT / word).exists(), word
    platforms = [word for row in TABLES.tables["platforms"]["rows"] for word in words[row]]
    presets = {word for word in platforms if re.fullmatch(r"[\w-]+", word)}
    assert len(presets) >= 10 and presets <= PRESETS
    for file, test in re.findall(r"`([\w/.]+\.(?:c|py)): (\w+)`", (TESTS / "README.md").read_text()):
        head = rf"^(?:TEST\(|SCENARIO\(|(?:async )?def ){test}\b"
        assert re.search(head, (TESTS / file).read_text(), re.MULTILINE), f"{file}: no test {test}"


def test_every_folder_is_told():
    text = (TESTS / "README.md").read_text()
    folders = {folder.name for folder in TESTS.iterdir() if folder.is_dir() and not folder.name.startswith(("_", "."))}
    assert {folder for folder in folders if f"`{folder}`" not in text} == set()


# --- A project of three rows ------------------------------------------------------------------------------------------

ROWS = """
[some]
page = "tests/README.md"
head = "| | fault | covered by |"
[some.rows]
A1 = ["a fault", "{}"]
A2 = ["another", "in a program: {fault/}; {}"]
A3 = ["a third", "unproven: nobody has one"]
"""
TESTS_OF_IT = '''
import pytest

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.proves("A1")
def test_one(n):
    assert n > 0

@pytest.mark.proves("A2")
def test_program(ran):
    ran("fault/x.c", ["ok a", "ok b"])
'''
C = "/* A scenario. */\n/* proves: A2 */\nSCENARIO(a)\n{\n}\n\n/* proves: A2 */\nTEST(b)\n{\n}\n"
PAGE = "# Tests\n\n<!-- proofs: some -->\n\n\n<!-- end -->\n\nMore.\n"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "tests" / "fault").mkdir(parents=True)
    for name, text in {"proofs.toml": ROWS, "test_fault.py": TESTS_OF_IT, "fault/x.c": C, "README.md": PAGE,
                       "test_other.py": "def test_other(): pass\n", "../setup.cfg": ""}.items():
        (tmp_path / "tests" / name).write_text(text)
    tables = proofs.Tables(tmp_path)
    tables.write(tables.marks)
    return tmp_path


def change(project, file, old, new):
    path = project / "tests" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def pytest_of(project, *words):
    """Its code, and what it says."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "proofs", "-p", "no:cacheprovider", *words]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("file", "old", "new", "row", "says"), [
    ("test_fault.py", '@pytest.mark.proves("A1")\n', "", "A1", "no test is marked for its {}"),
    ("test_fault.py", '"A1"', '"A9"', "A9", "tests/proofs.toml has no such row"),
    ("test_fault.py", '("A1")', '("A1", "A3")', "A3", "has no {} for that"),
    ("test_fault.py", 'proves("A1")\n', 'proves("A1")\n\n', "test_fault.py", "a mark stands right above a test"),
    ("fault/x.c", "/* proves: A2 */\nTEST", "/* it proves: A2 */\nTEST", "fault/x.c", "in a form that"),
    ("fault/x.c", "/* proves: A2 */\nTEST", "TEST", "A2", "and not marked: `fault/x.c: b`"),
    ("fault/x.c", "TEST(b)", "TEST(c)", "A2", "not in tests/README.md: `fault/x.c: c`; there"),
    ("proofs.toml", "unproven: nobody has one", "nobody has one", "A3", "no test shows it"),
    ("README.md", "| A1 | a fault |", "| A1 | a fuss |", "A1", "not in tests/README.md: `test_fault.py: test_one`"),
    ("README.md", "| A3 |", "| A4 | a fourth | `x` |\n| A3 |", "some", "has other rows"),
])
def test_what_is_wrong_without_a_run(project, file, old, new, row, says):
    assert list(proofs.Tables(project).wrongs()) == []
    change(project, file, old, new)
    wrongs = list(proofs.Tables(project).wrongs())
    assert any(row == where and says in sentence for where, sentence in wrongs), wrongs


@pytest.mark.parametrize(("old", "new", "says"), [
    ("n > 0", "n > 2", "A1: test_fault.py: test_one is marked for it, and failed: mend the test"),
    ("assert n > 0", "n < 2 or pytest.skip('none')", "A1: test_fault.py: test_one is marked for it, and was skipped"),
    ('"ok b"', '"skip b: no machine"', "A2: fault/x.c: b is marked for it, and was skipped"),
    ('"ok b"', '"ok c"', "A2: fault/x.c: b is marked for it, and did not run"),
])
def test_what_a_run_shows(project, old, new, says):
    change(project, "test_fault.py", old, new)
    code, said = pytest_of(project, "--proofs=check", "tests", "--deselect=tests/test_fault.py::test_one[1]")
    assert code == 1 and says in said and " failed" in said.splitlines()[-1], said


def test_two_runs_side_by_side(project):
    """What either has seen, and what they left out, is known where it is judged."""
    two = ("--proofs=check", "tests", "--numprocesses", "2")
    change(project, "test_fault.py", '"ok b"', '"skip b: no machine"')
    code, said = pytest_of(project, *two)
    found = re.findall("^(A.+) is marked for it, and (.+):", said, re.MULTILINE)
    assert code == 1 and found == [("A2: fault/x.c: b", "was skipped")], said
    assert pytest_of(project, *two, "-k", "other")[0] == 0


@pytest.mark.parametrize("words", [
    "tests/test_other.py", "tests -k other", "tests --ignore=tests/test_fault.py --ignore=tests/fault"])
def test_what_is_for_another_run(project, words):
    change(project, "test_fault.py", "n > 0", "n > 1")
    code, said = pytest_of(project, "--proofs=check", *words.split())
    assert code == 0, said


def test_writing(project):
    """What passed; what did not run stays as it was, named or not. Twice is once."""
    page = project / "tests" / "README.md"
    whole = page.read_text()
    assert "| A2 | another | in a program: `fault/x.c: a`, `fault/x.c: b`; `test_fault.py: test_program` |\n" in whole
    page.write_text(PAGE)
    assert pytest_of(project, "--proofs=write", "tests/test_other.py")[0] == 1
    assert "| A1 | a fault |  |\n" in page.read_text()
    for files in ("tests", "tests", "tests/test_other.py"):
        assert pytest_of(project, "--proofs=write", files)[0] == 0
        assert page.read_text() == whole
    change(project, "test_fault.py", "n > 0", "n > 1")
    assert pytest_of(project, "--proofs=write", "tests")[0] == 1
    assert page.read_text() == whole.replace("`test_fault.py: test_one`", "")
