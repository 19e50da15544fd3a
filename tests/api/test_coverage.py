# SPDX-License-Identifier: MIT
"""Lines of the core that the C tests, the fuzz corpora and the faults run on this machine, without a virtual machine: at least 90 in 100.

Nothing is excluded. transport/vsock.c is the part that stays low: its connections are made in virtual machines alone, which count nothing.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from .tree import ROOT, run

BUILD = ROOT / "build" / "coverage"
OBJECTS = BUILD / "CMakeFiles" / "core.dir"
LEAST = 90
ENVIRONMENT = {"VIRTSOCK_TEST_SLOW": "5", "VIRTSOCK_TEST_ROUNDS": "10"}


def programs():
    """(transport, command) of all that is run."""
    c = sorted((BUILD / "tests" / "c").glob("[0-9]*"))
    faults = sorted(file for file in (BUILD / "tests" / "fault").iterdir() if file.is_file())
    replays = sorted((BUILD / "tests" / "fuzz").glob("replay_*"))
    yield from (("unix", [program, ROOT / "tests/fuzz/corpus" / program.name.removeprefix("replay_")]) for program in replays)
    yield from (("unix", [program]) for program in [*faults, *c])
    faults = [program for program in faults if program.name != "framed"]        # that has sockets of its own
    yield from (("unix-seqpacket", [program]) for program in [*faults, *c])
    yield from (("tcp", [program]) for program in faults)


def ends_well(row):
    transport, command = row
    environment = {**os.environ, **ENVIRONMENT, "VIRTSOCK_TEST_TRANSPORT": transport}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=240, stdin=subprocess.DEVNULL)
    return "" if done.returncode == 0 and done.stdout.endswith("END\n") else f"{transport} {command[0].name}: {done.stdout[-2000:]}{done.stderr}"


def source_of(notes):
    return ROOT / notes.relative_to(OBJECTS).with_suffix("")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """gcovr's summary, of counts that begin at nothing."""
    if not OBJECTS.is_dir():
        pytest.skip("build/coverage is not built")
    for counts in BUILD.rglob("*.gcda"):
        counts.unlink()
    for notes in OBJECTS.rglob("*.gcno"):
        if not source_of(notes).exists():
            notes.unlink()              # of a file that is no more
    with ThreadPoolExecutor(2) as pool:
        assert "".join(pool.map(ends_well, programs())) == ""
    summary = tmp_path_factory.mktemp("coverage") / "summary.json"
    run(sys.executable, "-m", "gcovr", "--root", ROOT, "--filter", ROOT / "core", "--json-summary", summary, OBJECTS)
    return json.loads(summary.read_text())


def test_lines_of_the_core(report, capsys):
    worst = sorted((file for file in report["files"] if file["line_total"]), key=lambda file: file["line_percent"])[:5]
    with capsys.disabled():
        print(f"\ncoverage: lines {report['line_percent']} %, branches {report['branch_percent']} %; the least covered:")
        for file in worst:
            print(f"  {file['filename']}: lines {file['line_percent']} %, branches {file['branch_percent']} %")
    assert report["line_percent"] >= LEAST


def test_every_source_is_counted(report):
    """All that was compiled and has a function in it, and with no marker that excludes a line."""
    compiled = {str(source_of(notes).relative_to(ROOT)) for notes in OBJECTS.rglob("*.gcno") if "\n{\n" in source_of(notes).read_text()}
    assert compiled and {file["filename"] for file in report["files"]} >= compiled
    assert not [file for file in (ROOT / "core").rglob("*.[ch]") if "EXCL_" in file.read_text()]
