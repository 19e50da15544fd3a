# SPDX-License-Identifier: MIT
"""The module for Lua 5.5, built on this machine and put into the chroot with the tests; what they did there is told at the end."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from api.tree import run
from builds import BUILD, ROOT
from vm.cache import Missing

from .chroot import debian

PLACE = "/srv/virtsock"         # in the chroot: its own module/, and of this tree what is in COPIED
COPIED = ("tests/lua", "tests/vectors", "examples")
DONE: Counter[str] = Counter()  # tests of the files that passed, by their results


def built(root: Path) -> Path:
    """The folder of the module, made here with the headers there: the C library there is newer, so it loads what was linked with ours."""
    package, = root.glob("usr/lib/*/pkgconfig/lua5.5.pc")
    folder = BUILD / "lua55" / "cmake"
    environment = {**os.environ, "PKG_CONFIG_LIBDIR": str(package.parent), "PKG_CONFIG_SYSROOT_DIR": str(root)}
    headers = root / "usr" / "include" / package.parents[1].name        # lua.h asks for one there; all others are this machine's
    swig = Path(sys.executable).with_name("swig")
    run("cmake", "--preset", "dev", "-B", folder, "-G", "Ninja", "-DVIRTSOCK_TESTS=OFF", f"-DVIRTSOCK_SWIG={swig}",
        f"-DCMAKE_C_FLAGS=-idirafter '{headers}'", cwd=ROOT, env=environment)
    run("cmake", "--build", folder, "--target", "virtsock_lua55")
    return folder / "lua" / "5.5"


@pytest.fixture(scope="session")
def root(request: pytest.FixtureRequest) -> Path:
    """The chroot, with all that the tests need at PLACE."""
    try:
        root = debian()
    except Missing as reason:
        (pytest.fail if request.config.getoption("--demand-all") else pytest.skip)(str(reason))
    place = root / PLACE.lstrip("/")
    shutil.rmtree(place, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, place / name)
    shutil.copytree(built(root), place / "module")
    return root


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if DONE:
        terminalreporter.write_line(f"the tests in the files that passed in Lua 5.5: {DONE['ok']} ok, {DONE['skip']} skipped")
