# SPDX-License-Identifier: MIT
"""What holds for all tests: C and Lua programs are items (items.py), `./check` runs a covering choice (covering.py), two or more runs share
the machine, and at the very end one line counts everything, alone: `N passed, N failed, N skipped`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import covering
import timing
from builds import ROOT
from items import CFile, LuaFile, ProgramItem


pytest_plugins = ["proofs"]

def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-vm", action="store_true", help="leave out what boots a virtual machine")
    parser.addoption("--demand-all", action="store_true", help="a build or an interpreter that is missing is a failure, not left out")
    parser.addoption("--covering", choices=("most", "fast"), help="of one behaviour made with several choices, run a covering part: covering.py")
    timing.pytest_addoption(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(timing.Timing(config.getoption("--slowest")))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    kind = {".c": CFile, ".lua": LuaFile}.get(file_path.suffix)
    if kind and file_path.parent == ROOT / "tests" / file_path.suffix[1:] and file_path.name[0].isdigit():
        return kind.from_parent(parent, path=file_path)
    return None


# --- Which items, and in which order -----------------------------------------------------------------------------------------

# What one run has as a whole, first: tests that boot the same machines; those of two machines at a time are as many as two processors bear.
GROUPS = {
    "pairs": ("exchange", "lab", "others", "dask", "grpc", "image", "bench", "relay", "stress", "doctor", "faults"),
    "guest": ("suites", "calls", "contract", "peers", "list", "ramdisk"),       # and Wine
}
OF_FILE = {f"tests/vm/test_{name}.py": group for group, names in GROUPS.items() for name in names}
FIRST = (*GROUPS, "tests/c/210_close.c", "tests/test_fault.py", "tests/api/test_packages.py", "tests/test_virtsock_bench.py")
left_out = pytest.StashKey[list[str]]()


def group_of(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return "guest" if file.startswith("tests/wine/") else OF_FILE.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    from xdist.scheduler import LoadScopeScheduling     # there where several runs are asked for; the wheels' interpreters do without

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


def cover(config: pytest.Config, items: list[pytest.Item]) -> None:
    variants = [covering.variant_of(item) for item in items]
    fast = config.getoption("--covering") == "fast"
    there = [number for number, item in enumerate(items) if not covering.is_left(item.nodeid)
             and (not fast or covering.is_fast(variants[number], item.get_closest_marker("slow") is not None))]
    kept = {there[number] for number in covering.choose([variants[number] for number in there])}
    config.stash[left_out] = covering.told(variants, kept)
    config.hook.pytest_deselected(items=[item for number, item in enumerate(items) if number not in kept])
    items[:] = [item for number, item in enumerate(items) if number in kept]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--covering"):
        cover(config, items)
    order = {group: number for number, group in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(group_of(item.nodeid), len(order)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Each program is to run those of its tests that were not left out."""
    for item in session.items:
        if isinstance(item, ProgramItem) and item.together is not None:
            item.together.names.append(item.originalname)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = session.config.stash.get(left_out, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    if told := getattr(node, "workeroutput", {}).get("left out"):
        node.config.stash[left_out] = told


# --- The end -----------------------------------------------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if told := config.stash.get(left_out, []):
        terminalreporter.section("left out of the matrix, and run by ./check all")
        terminalreporter.write_line("; ".join(told))


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
