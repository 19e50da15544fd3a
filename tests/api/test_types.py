# SPDX-License-Identifier: MIT
"""Types in Python: the package itself, what it exports, and what users write (uses.py), by mypy and by pyright, as installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import virtsock

from .tree import ROOT, run

USES = Path(__file__).with_name("uses.py").read_text()
INSTALLED = Path(virtsock.__file__).parent
VERSIONS = ("3.11", "3.14")
CHECKERS = {
    "mypy": [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--python-version"],
    "pyright": [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--pythonversion"],
}


def check(checker, version, folder, text):
    """(exit code, lines of the file that it complains about, what it prints): away from the project, so that no file of that is found."""
    (folder / "uses.py").write_text(text)
    done = subprocess.run([*CHECKERS[checker], version, "uses.py"], cwd=folder, text=True, capture_output=True, timeout=300)
    return done.returncode, {int(line) for line in re.findall(r"uses\.py:(\d+):.*error", done.stdout)}, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("checker", CHECKERS)
def test_uses(checker, version, tmp_path):
    code, lines, text = check(checker, version, tmp_path, USES)
    assert (code, lines) == (0, set()), text


@pytest.mark.parametrize("checker", CHECKERS)
def test_every_type_is_looked_at(checker, tmp_path):
    """Another one in each assert_type is found, and so is each wrong use once nothing hides it."""
    text = re.sub(r"( *assert_type\(.+), [^,\n]+\)$", r"\1, complex)", USES, flags=re.MULTILINE)
    text = re.sub(r"  # type: ignore\[.*", "", text)
    changed = {number for number, (old, new) in enumerate(zip(USES.splitlines(), text.splitlines(), strict=True), 1) if old != new}
    code, lines, output = check(checker, VERSIONS[0], tmp_path, text)
    assert code == 1 and len(changed) == USES.count("assert_type(") + USES.count("type: ignore[")
    assert lines == changed, output


def test_package_with_mypy():
    run(sys.executable, "-m", "mypy", cwd=ROOT)


def test_package_with_pyright():
    """As installed: there the compiled module is beside its stubs."""
    out = run(*CHECKERS["pyright"], VERSIONS[0], INSTALLED)
    assert "0 errors, 0 warnings" in out, out


def test_everything_exported_has_a_type():
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}     # pyright asks `python` where it is
    out = run(sys.executable, "-m", "pyright", "--verifytypes", "virtsock", "--ignoreexternal", env=environment, cwd=INSTALLED.parent)
    assert "Type completeness score: 100%" in out and f'py.typed file: "{INSTALLED}' in out, out
    assert int(re.search(r'exported by "virtsock": (\d+)', out)[1]) > 100, out


def test_stubs_say_what_the_compiled_module_has(tmp_path):
    assert "no issues found in 1 module" in run(sys.executable, "-m", "mypy.stubtest", "virtsock.native", cwd=tmp_path)
