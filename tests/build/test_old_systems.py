# SPDX-License-Identifier: MIT
"""Old C libraries, and 32 bits: zig has the headers and the symbols of each glibc. What it makes of the library for an old one, and of a program
around it, runs here, since later ones have those symbols as well. All tests of the library on them: `./check cross`."""

from __future__ import annotations

import importlib.util
import os
import re
import sys

import pytest
from builds import ROOT

from .consumers import FLAGS, PROGRAM, install, is_well, pkg_config, run

ZIG = [sys.executable, "-m", "ziglang"]
# 2.32 moved pthread_sigmask into libc, 2.34 all that was left of libpthread.
GLIBCS = ("2.17", "2.28", "2.31", "2.41")
HERE = tuple(map(int, os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")))
CROSS = [f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/tests/cross/zig.cmake", "-DCMAKE_SYSTEM_NAME=Linux", "-DVIRTSOCK_WERROR=ON",
         "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_INSTALL_LIBDIR=lib"]


@pytest.fixture(autouse=True)
def zig(need):
    need(importlib.util.find_spec("ziglang"), "no zig")


def newest_symbol(program) -> tuple[int, ...]:
    """Of all versions of glibc that it names."""
    found = re.findall(r"GLIBC_(\d+(?:\.\d+)+)", run("readelf", "-VW", program))
    return max(tuple(map(int, version.split("."))) for version in found)


@pytest.mark.parametrize("glibc", GLIBCS)
def test_an_old_glibc(glibc, tmp_path):
    """The shared library links with nothing undefined, and so do programs, whether they have it or are around the static one."""
    target = f"x86_64-linux-gnu.{glibc}"
    prefix = install(tmp_path / "prefix", *CROSS, f"-DCMAKE_C_COMPILER_TARGET={target}", "-DCMAKE_SYSTEM_PROCESSOR=x86_64")
    assert newest_symbol(prefix / "lib/libvirtsock.so") <= tuple(map(int, glibc.split(".")))
    (tmp_path / "agent.c").write_text(PROGRAM)
    for kind, words in ("shared", ()), ("static", ("--static",)):
        flags = pkg_config(prefix / "lib/pkgconfig", *words, "--cflags", "--libs")
        run(*ZIG, "cc", "-target", target, *FLAGS, tmp_path / "agent.c", *flags, "-o", tmp_path / kind)
        assert ("libvirtsock" in run("readelf", "-dW", tmp_path / kind)) == (kind == "shared")
        if newest_symbol(tmp_path / kind) <= HERE:
            is_well(tmp_path / kind, tmp_path, env={"LD_LIBRARY_PATH": str(prefix / "lib")})
        for library in (prefix / "lib").glob("libvirtsock.so*"):
            library.unlink()                            # a linker takes the shared one where both are


def test_32_bits(tmp_path):
    """Without a warning, where a long has 32 bits and so has a time."""
    prefix = install(tmp_path / "prefix", *CROSS, "-DCMAKE_C_COMPILER_TARGET=x86-linux-gnu.2.17", "-DCMAKE_SYSTEM_PROCESSOR=i386",
                     "-DCMAKE_C_FLAGS=-Wsign-conversion")
    assert re.search(r"Class: +ELF32", run("readelf", "-hW", prefix / "lib/libvirtsock.so"))
