# SPDX-License-Identifier: MIT
"""What holds for all tests: C and Lua programs are items (items.py), `./check` runs a covering choice (covering.py), two or more runs share
the machine, and at the very end one line counts everything, alone: `N passed, N failed, N skipped`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import covering
import machines
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

# What one worker has as a whole: tests that boot the same machines, and Wine. The longest come first. Machines are in two groups alone: more
# at a time are not what two processors bear.
GROUPS = {
    "pairs": ("exchange", "lab", "others", "dask", "grpc", "image", "bench", "doctor", "faults"),
    "guest": ("suites", "calls", "contract", "peers", "relay", "stress", "driver", "list", "ramdisk"),
}
PAIRED = ("test_what_vsudd_did", "test_between_a_host_and_its_guest")       # in files of the other group
OF_FILE = {f"tests/vm/test_{name}.py": group for group, names in GROUPS.items() for name in names}
FIRST = ("pairs", "guest", "tests/api/test_packages.py", "wine", "tests/test_virtsock_bench.py", "tests/test_fault.py", "tests/python/test_700_aio.py",
         "tests/test_python_asan.py", "tests/api/test_coverage.py", "tests/test_embedding.py", "tests/test_rock.py", "tests/api/test_types.py")
left_out = pytest.StashKey[list[str]]()


def group_of(nodeid: str) -> str:
    file, _, test = nodeid.partition("::")
    if test.startswith(PAIRED):
        return "pairs"
    return "wine" if file.startswith("tests/wine/") else OF_FILE.get(file, file)


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
             and (not fast or covering.is_fast(variants[number]))]
    kept = {there[number] for number in covering.choose([variants[number] for number in there])}
    config.stash[left_out] = covering.told(variants, kept)
    config.hook.pytest_deselected(items=[item for number, item in enumerate(items) if number not in kept])
    items[:] = [item for number, item in enumerate(items) if number in kept]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--covering"):
        cover(config, items)
    order = {group: number for number, group in enumerate(FIRST)}
    machine = {name: number for number, name in enumerate((*machines.NAMES, ""))}

    def place(item: pytest.Item) -> tuple[int, int]:
        group = group_of(item.nodeid)
        return order.get(group, len(order)), machine[machines.machine_of(item)] if group in GROUPS else 0

    items.sort(key=place)


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
