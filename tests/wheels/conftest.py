# SPDX-License-Identifier: MIT
"""The wheel, made twice as it is given to users, and what it did on each interpreter: told at the end, a line each."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from builds import ROOT

RUNS: dict[str, Counter[str]] = {}


def run(*words: str | Path, **more) -> str:
    """What it prints; a failure tells everything."""
    done = subprocess.run([str(word) for word in words], text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=600, **more)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders with an sdist and a wheel each, of the same commit."""
    folders = [tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("again")]
    for folder in folders:
        run(ROOT / "bindings" / "python" / "wheel", folder)
    return folders


@pytest.fixture(scope="session")
def wheel(made: list[Path]) -> Path:
    only, = made[0].glob("*.whl")
    return only


def fresh_venv(folder: Path, python: Path, *wanted: str | Path) -> Path:
    """A virtual environment of this interpreter with these packages, put there by this machine's pip. Its Python."""
    run(python, "-m", "venv", "--without-pip", folder)
    mine = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", mine, "install", "--quiet", "--disable-pip-version-check", *wanted)
    return mine


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, count in RUNS.items():
        terminalreporter.write_line(f"the wheel on {name}: {count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
