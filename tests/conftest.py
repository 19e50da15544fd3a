# SPDX-License-Identifier: MIT
"""C and Lua tests as items of pytest: every TEST of tests/c in every build and over every transport, every test of tests/lua in every Lua.

A program lists its tests with --list and runs those that are named (programs.py). At the very end one line counts everything, alone:
`N passed, N failed, N skipped`.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from builds import BUILD, C_RUNS, LUAS, ROOT, lua_environment
from programs import ProgramFailure, names_of, run_test, run_whole

LUA_RUNS = ("unix", "unix-seqpacket")

def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-vm", action="store_true", help="leave out what boots a virtual machine")
    parser.addoption("--demand-all", action="store_true", help="a build or an interpreter that is missing is a failure, not left out")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".c" and file_path.parent == ROOT / "tests" / "c" and file_path.name[0].isdigit():
        return CFile.from_parent(parent, path=file_path)
    if file_path.suffix == ".lua" and file_path.parent == ROOT / "tests" / "lua" and file_path.name[0].isdigit():
        return LuaFile.from_parent(parent, path=file_path)
    return None


# --- Two runs side by side (pytest -n 2) -----------------------------------------------------------------------------------------

# What judges how long things take has the machine alone: first, before anything else is begun.
ALONE = frozenset(f"tests/{name}" for name in (
    "test_contract.py", "test_wait.py", "c/210_close.c", "c/400_timeouts.c", "lua/210_close.lua", "lua/400_timeouts.lua",
    "python/test_210_close.py", "python/test_400_timeouts.py", "api/test_coverage.py"))
LONG = ("vm", "wine")           # folders; each has machines that take long to boot, or a Wine, for all its tests
QUICK = frozenset(f"tests/vm/test_{name}.py" for name in ("suites", "calls", "contract", "list"))    # but theirs boots in three seconds


def group_of(nodeid: str) -> str:
    """What one run has as a whole: all that is ALONE, the QUICK part of a folder of LONG or the rest of it, or a file."""
    file = nodeid.partition("::")[0]
    if file in ALONE or file in QUICK:
        return "alone" if file in ALONE else "quick"
    return next((folder for folder in LONG if f"tests/{folder}/" in file), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    from xdist.scheduler import LoadScopeScheduling     # there where two runs are asked for; the wheels' interpreters do without

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {group: number for number, group in enumerate(("alone", "vm", "quick", "wine"))}
    items.sort(key=lambda item: order.get(group_of(item.nodeid), len(order)))


class Turns:
    """Whose turn it is among the runs: many that share the machine, or one that has it alone. Who asks first is first, since all wait at
    the gate, and who is to be alone stays there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.gate, self.room = (open(folder / f"{name}.lock", "w") for name in ("gate", "room"))
        self.alone = False

    def take(self, alone: bool) -> None:
        if self.alone:
            return
        fcntl.flock(self.gate, fcntl.LOCK_EX)
        fcntl.flock(self.room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        self.alone = alone
        if not alone:
            fcntl.flock(self.gate, fcntl.LOCK_UN)

    def give(self) -> None:
        self.alone = False
        fcntl.flock(self.room, fcntl.LOCK_UN)
        fcntl.flock(self.gate, fcntl.LOCK_UN)


turns = pytest.StashKey[Turns]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.stash[turns] = Turns(BUILD)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    mine = item.config.stash.get(turns, None)
    if mine is None:
        return (yield)
    mine.take(group_of(item.nodeid) == "alone")
    try:
        return (yield)
    finally:
        if not (mine.alone and nextitem is not None and group_of(nextitem.nodeid) == "alone"):
            mine.give()


# --- The end -----------------------------------------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or config.getoption("collectonly", False):
        return
    count = {name: len(reporter.stats.get(name, ())) for name in ("passed", "failed", "error", "skipped")}
    reporter.write_line(f"{count['passed']} passed, {count['failed'] + count['error']} failed, {count['skipped']} skipped")


@pytest.fixture
def need(request):
    """need(condition, reason): skips without it, or fails where everything is demanded."""

    def say(condition, reason):
        if not condition:
            (pytest.fail if request.config.getoption("--demand-all") else pytest.skip)(reason)

    return say


class ProgramItem(pytest.Item):
    """One test of one program, run alone in a process of its own; without a test all of them, in one."""

    def __init__(self, *, command: list[str], test: str | None, environment: dict[str, str], **rest) -> None:
        super().__init__(**rest)
        self.command, self.test, self.environment = command, test, environment

    def runtest(self) -> None:
        if self.test is None:
            run_whole(self.command, self.environment)
        else:
            run_test(self.command, self.test, self.environment)

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, ProgramFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, None, self.name


class ProgramFile(pytest.File):
    """A source file, and the programs that run it: (label, command or None where it is missing, environment), test by test; a label that begins
    with "whole" is one item."""

    def runs(self):
        raise NotImplementedError

    def collect(self):
        for label, command, environment in self.runs():
            if command is None:
                if self.config.getoption("--demand-all"):
                    raise self.CollectError(f"{self.path.name} [{label}]: not built, or not installed")
                continue
            if label.startswith("whole"):
                yield ProgramItem.from_parent(self, name=f"[{label}]", command=command, test=None, environment=environment)
                continue
            for test in names_of(command, environment):
                yield ProgramItem.from_parent(self, name=f"{test}[{label}]", command=command, test=test, environment=environment)


class CFile(ProgramFile):
    def runs(self):
        for build, (environment, transports) in C_RUNS.items():
            program = BUILD / build / "tests" / "c" / self.path.stem
            for transport in transports:
                command = [str(program)] if program.exists() else None
                yield f"{build}-{transport}", command, {**environment, "VIRTSOCK_TEST_TRANSPORT": transport}


class LuaFile(ProgramFile):
    """In every Lua; again as a whole with a collector that never rests; and over libvirtsock.so by LuaJIT's FFI."""

    def runs(self):
        for version, interpreter in LUAS.items():
            found = shutil.which(interpreter)
            built = (BUILD / "dev" / "lua" / version / "virtsock" / "core.so").exists()
            command = [found, str(self.path)] if found and built else None
            for transport in LUA_RUNS:
                environment = {**lua_environment(version), "VIRTSOCK_TEST_TRANSPORT": transport}
                yield f"{interpreter}-{transport}", command, environment
                if version == "jit":
                    yield f"whole-ffi-{transport}", command, {**environment, "VIRTSOCK_TEST_FFI": "1"}
            yield f"whole-{interpreter}-collector", command, {**lua_environment(version), "VIRTSOCK_TEST_GC": "1", "VIRTSOCK_TEST_SLOW": "3"}
        yield "whole-ffi-collector", command, {**environment, "VIRTSOCK_TEST_TRANSPORT": "unix", "VIRTSOCK_TEST_FFI": "1",
                                               "VIRTSOCK_TEST_GC": "1", "VIRTSOCK_TEST_SLOW": "3"}
