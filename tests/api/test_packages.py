# SPDX-License-Identifier: MIT
"""Python packages as their users get them: an sdist that needs no SWIG, and one wheel for every CPython from 3.11."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import setuptools

from .tree import PYTHON, ROOT, VERSION, core_files, exported, project_files, run, script

HOOK = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
ASK = "from setuptools import build_meta; print(build_meta.get_requires_for_build_wheel())"
MODULES = ("native", "_command")
QUICKLY = {"CFLAGS": "-O0"}             # `./check` has built with what setup.py says
TELL = "import virtsock; print(virtsock.version(), virtsock.Address('vsock://host:1024'))"


def fresh_venv(folder, *more):
    run(sys.executable, "-m", "venv", *more, folder)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what git has: builds leave their files in it."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    copy = tmp_path_factory.mktemp("checkout")
    for file in project_files():
        to = copy / file.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to)
    return copy


@pytest.fixture(scope="module")
def sdist(checkout, tmp_path_factory):
    """Unpacked. The build hook runs as a frontend runs it, with what is installed beside pytest."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-c", HOOK, "build_sdist", folder, cwd=checkout)
    run("tar", "-C", folder, "-xf", folder / f"virtsock-{VERSION}.tar.gz")
    return folder / f"virtsock-{VERSION}"


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """Made from the sdist where SWIG is not installed, and a program of its name fails."""
    folder = tmp_path_factory.mktemp("wheel")
    python = fresh_venv(folder / "venv", "--without-pip")
    (folder / "tools").mkdir()
    for installed in Path(setuptools.__file__).parents[1].iterdir():
        if installed.name.startswith(("setuptools", "_distutils_hack")):
            (folder / "tools" / installed.name).symlink_to(installed)
    swig = script(folder / "swig", 'echo "SWIG must not run" >&2; exit 1')
    path = f"{folder}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "tools"), "VIRTSOCK_SWIG": str(swig), **QUICKLY}
    run(python, "-c", HOOK, "build_wheel", folder, cwd=sdist, env=environment)
    return folder


def sources_of(folder):
    return {file.relative_to(folder) for file in folder.rglob("*.[ch]")}


def test_the_sdist_has_all_that_a_build_needs(sdist):
    wrapper = sdist / "swig" / "generated" / "native_wrap.c"
    assert "PyInit_native" in wrapper.read_text()
    assert sources_of(sdist / "core") == set(core_files())
    assert sources_of(sdist / "tools") == sources_of(ROOT / "tools")
    for file in "LICENSE", "PKG-INFO", "pyproject.toml", "setup.py", "core/sources.txt":
        assert (sdist / file).is_file()
    assert not (sdist / "build").exists()


def test_a_checkout_asks_for_swig_and_an_sdist_does_not(checkout, sdist):
    """On many systems there is no SWIG that pip could fetch."""
    asked = {place: run(sys.executable, "-c", ASK, cwd=place) for place in (checkout, sdist)}
    assert "swig" in asked[checkout] and "swig" not in asked[sdist]


def test_the_checkout_has_no_wrapper(checkout):
    """SWIG's output stays in the build folder."""
    assert not [file for file in checkout.rglob("*_wrap.c") if file.relative_to(checkout).parts[0] != "build"]


def test_there_is_one_wheel(wheel):
    files = list(wheel.glob("*.whl"))
    assert len(files) == 1
    assert re.fullmatch(rf"virtsock-{re.escape(VERSION)}-cp311-abi3-\w+\.whl", files[0].name)


def test_the_wheel_has_the_layer_its_types_and_two_modules_of_one_symbol(wheel):
    with zipfile.ZipFile(next(wheel.glob("*.whl"))) as packed:
        names = {name for name in packed.namelist() if name.startswith("virtsock/")}
        files = {file.name for file in PYTHON.iterdir() if file.is_file()} | {f"{name}.abi3.so" for name in MODULES}
        assert names == {f"virtsock/{file}" for file in files}
        assert {"virtsock/py.typed", "virtsock/native.pyi"} <= names
        assert any(name.endswith("/LICENSE") for name in packed.namelist())
        modules = {name: packed.extract(f"virtsock/{name}.abi3.so", wheel) for name in MODULES}
    assert {name: exported(file) for name, file in modules.items()} == {name: [(f"PyInit_{name}", "")] for name in MODULES}


def test_the_wheel_works(wheel, tmp_path):
    python = fresh_venv(tmp_path / "venv", "--without-pip")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", *wheel.glob("*.whl"))
    assert run(python, "-c", TELL, cwd=tmp_path) == f"{VERSION} vsock://2:1024\n"
    assert run(python.with_name("virtsock"), "--version", cwd=tmp_path) == f"virtsock {VERSION}\n"


def test_pip_install_needs_nothing_else(checkout, tmp_path):
    """In a new virtual environment: what pyproject.toml asks for is enough, SWIG included."""
    python = fresh_venv(tmp_path / "venv")
    probe = subprocess.run([python, "-m", "pip", "download", "--quiet", "--no-deps", "setuptools"], cwd=tmp_path, capture_output=True)
    if probe.returncode != 0:
        pytest.skip("no package index can be reached")
    run(python, "-m", "pip", "install", "--quiet", checkout, env={**os.environ, "PATH": "/usr/bin:/bin", **QUICKLY})
    assert run(python, "-c", TELL, cwd=tmp_path) == f"{VERSION} vsock://2:1024\n"
