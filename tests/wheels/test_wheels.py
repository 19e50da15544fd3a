# SPDX-License-Identifier: MIT
"""The wheel that users get, as it is: what it asks of a system, and the Python tests on each CPython that it is for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from api.tree import VERSION, exported
from builds import ROOT
from vm.cache import Missing

from .conftest import RUNS, fresh_venv, run
from .interpreters import INTERPRETERS

pytestmark = pytest.mark.proves("cpython")

# All that need nothing but pytest; the next ones have libraries of others.
SUITES = [file for file in sorted((ROOT / "tests" / "python").glob("test_[0-9]*.py")) if file.name < "test_7" or "command" in file.name]
MODULES = ("native", "_command")


def beside(program: str) -> Path:
    return Path(sys.executable).with_name(program)


@pytest.fixture(scope="session", params=INTERPRETERS)
def python(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel, which pip finds fit for it. Where none is to be had: no release of Debian has 3.12."""
    try:
        found = INTERPRETERS[request.param]()
    except Missing as reason:
        fails = request.config.getoption("--demand-all") and request.param != "3.12"
        (pytest.fail if fails else pytest.skip)(str(reason))
    return fresh_venv(tmp_path_factory.mktemp("venv"), found, wheel, "pytest", "pytest-timeout")


def test_its_name_tells_where_it_runs(wheel: Path) -> None:
    assert wheel.name == f"virtsock-{VERSION}-cp311-abi3-manylinux_2_28_x86_64.whl"


def test_the_same_commit_makes_the_same_wheel(made: list[Path]) -> None:
    first, second = (next(folder.glob("*.whl")).read_bytes() for folder in made)
    assert first == second


def test_it_asks_for_an_old_c_library_and_no_other(wheel: Path) -> None:
    told = " ".join(run(beside("auditwheel"), "show", wheel).split())
    assert re.search(r'consistent with the following platform tag: "manylinux_2_2[0-8]_x86_64"', told), told


def test_it_keeps_to_the_stable_abi(wheel: Path) -> None:
    told = json.loads(run(beside("abi3audit"), "--strict", "--report", wheel))["specs"][str(wheel)]["wheel"]
    assert {row["name"].partition(".")[0]: row["result"]["computed"] for row in told} == dict.fromkeys(MODULES, "3.11")
    assert all(row["result"]["is_abi3_baseline_compatible"] and not row["result"]["non_abi3_symbols"] for row in told)


def test_each_module_has_one_symbol_and_no_strange_library(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path)
    assert {file.name for file in tmp_path.rglob("*.so")} == {f"{name}.abi3.so" for name in MODULES}
    for name in MODULES:
        module = tmp_path / "virtsock" / f"{name}.abi3.so"
        assert exported(module) == [(f"PyInit_{name}", "")]
        assert set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", module))) <= {"libc.so.6", "libpthread.so.0"}


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.stem)
def test_suite(python: Path, file: Path) -> None:
    name = run(python, "-c", "import platform; print(platform.python_implementation(), platform.python_version())").strip()
    with tempfile.TemporaryDirectory() as folder:       # a short name: sockets are made in it
        words = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "120", f"--basetemp={folder}/t", file]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
    counts = re.search(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", done.stdout, re.MULTILINE)
    assert counts is not None, done.stdout + done.stderr
    RUNS.setdefault(name, Counter()).update(dict(zip(("passed", "failed", "skipped"), map(int, counts.groups()), strict=True)))
    assert done.returncode == 0 and int(counts[1]) > 0, done.stdout + done.stderr


def test_the_interpreters_are_the_ones_they_are_called(python: Path, request: pytest.FixtureRequest) -> None:
    told = run(python, "-c", "import sys, virtsock.native; print(*sys.version_info[:2], sep='.'); print(virtsock.native.__file__)").split()
    assert told[0] in request.node.name and told[1].endswith("/native.abi3.so") and str(ROOT) not in told[1]
