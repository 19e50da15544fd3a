# SPDX-License-Identifier: MIT
"""Lua 5.4 for Windows, made from what its authors have published, and our module for it, made by CMake as on any system."""

from __future__ import annotations

import os
from pathlib import Path

from builds import BUILD, ROOT
from vm.cache import cached
from vm.packages import unpack_source

from .renamed import COMPILER, printed

MODULE = BUILD / "mingw64-lua"
PC = """Name: Lua
Description: Lua for Windows
Version: 5.4
Cflags: -I{folder}/src
Libs: -L{folder} -llua54
"""


def interpreter() -> Path:
    """The folder of lua.exe and lua54.dll."""
    return cached("lua5.4-windows-x86_64", make_interpreter)


def make_interpreter(folder: Path) -> None:
    unpack_source("lua5.4", folder)
    library = [file for file in sorted((folder / "src").glob("*.c")) if file.name not in ("lua.c", "luac.c")]
    common = [COMPILER, "-O2", "-s", "-DLUA_BUILD_AS_DLL", "-DLUA_COMPAT_5_3"]
    printed(*common, "-shared", *library, f"-Wl,--out-implib,{folder}/liblua54.dll.a", "-o", folder / "lua54.dll")
    printed(*common, folder / "src" / "lua.c", f"-L{folder}", "-llua54", "-o", folder / "lua.exe")


def module() -> Path:
    """Its folder of modules: virtsock.lua and virtsock/core.dll."""
    descriptions = MODULE / "pkgconfig"
    descriptions.mkdir(parents=True, exist_ok=True)
    (descriptions / "lua5.4.pc").write_text(PC.format(folder=interpreter()))
    settings = {"CMAKE_BUILD_TYPE": "RelWithDebInfo", "CMAKE_C_FLAGS_RELWITHDEBINFO": "-O1 -DNDEBUG",
                "CMAKE_TOOLCHAIN_FILE": ROOT / "tests/wine/mingw64.cmake",
                "VIRTSOCK_SWIG": BUILD / "venv/bin/swig", "VIRTSOCK_WERROR": "ON", "VIRTSOCK_SHARED": "OFF", "VIRTSOCK_TOOLS": "OFF"}
    printed("cmake", "-S", ROOT, "-B", MODULE, "-G", "Ninja", *(f"-D{name}={value}" for name, value in settings.items()),
        env=os.environ | {"PKG_CONFIG_LIBDIR": str(descriptions)})
    printed("cmake", "--build", MODULE)
    return MODULE / "lua" / "5.4"
