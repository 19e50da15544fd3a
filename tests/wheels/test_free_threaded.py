# SPDX-License-Identifier: MIT
"""An interpreter without the GIL: no wheel of the stable ABI is for it, so it builds the sdist, without SWIG. An import brings the GIL
back, and the interpreter says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import setuptools
from vm.cache import Missing

from .conftest import run
from .interpreters import free_threaded

TALK = """
import sys, sysconfig, tempfile, virtsock
with tempfile.TemporaryDirectory() as folder:
    with virtsock.listen(virtsock.Address.unix(folder + "/s")) as listener, virtsock.connect(listener.address) as client:
        client.sendall(b"hello")
        with listener.accept() as server:
            print(server.recv_exact(5), sys._is_gil_enabled(), sysconfig.get_config_var("Py_GIL_DISABLED"))
"""


@pytest.fixture(scope="module")
def python(request: pytest.FixtureRequest, made: list[Path], tmp_path_factory: pytest.TempPathFactory):
    """python(code): what it prints, and says on standard error, with virtsock to import."""
    try:
        found = free_threaded()
    except Missing as reason:
        (pytest.fail if request.config.getoption("--demand-all") else pytest.skip)(str(reason))
    folder = tmp_path_factory.mktemp("free")
    run("tar", "-C", folder, "--strip-components=1", "-xf", *made[0].glob("*.tar.gz"))
    (folder / "builders").mkdir()
    for name in "setuptools", "_distutils_hack":
        (folder / "builders" / name).symlink_to(Path(setuptools.__file__).parents[1] / name)
    run(found, "setup.py", "--quiet", "build_ext", "--inplace", cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "builders"), "VIRTSOCK_SWIG": "/nonexistent/swig"})

    def ask(code: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(folder / "bindings" / "python")}
        return run("sh", "-c", '"$@" 2>&1', "sh", found, "-c", code, env=environment)

    return ask


def test_the_import_says_that_the_gil_is_back(python) -> None:
    told = python("import sys; print(sys._is_gil_enabled()); sys.stdout.flush(); import virtsock")
    assert told.startswith("False\n")
    assert told.count("RuntimeWarning: The global interpreter lock (GIL) has been enabled to load module 'virtsock.native'") == 1


def test_it_works(python) -> None:
    assert python(TALK).splitlines()[-1] == "b'hello' True 1"


def test_its_module_is_for_no_other_interpreter(python) -> None:
    assert "native.cpython-313t-" in python("import virtsock.native; print(virtsock.native.__file__)")
