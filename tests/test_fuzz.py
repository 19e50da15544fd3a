# SPDX-License-Identifier: MIT
"""The fuzz targets' corpora, replayed in every build: what once was found stays found."""

import subprocess

import pytest

from builds import BUILD, C_RUNS, ROOT

TARGETS = sorted(folder.name for folder in (ROOT / "tests" / "fuzz" / "corpus").iterdir())


@pytest.mark.parametrize("build", C_RUNS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.proves("T15")
def test_corpus(target: str, build: str, pytestconfig: pytest.Config) -> None:
    program = BUILD / build / "tests" / "fuzz" / f"replay_{target}"
    if not program.exists() and not pytestconfig.getoption("--demand-all"):
        pytest.skip(f"build/{build} is not there")
    corpus = ROOT / "tests" / "fuzz" / "corpus" / target
    done = subprocess.run([program, corpus], text=True, capture_output=True, timeout=120)
    assert done.returncode == 0 and done.stdout.splitlines() == [f"{len(list(corpus.iterdir()))} files", "END"], done.stdout + done.stderr
