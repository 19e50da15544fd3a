# SPDX-License-Identifier: MIT
"""Projects of others that use the library as a part of themselves (add_subdirectory, FetchContent) or as it is installed: where folders are
absolute, where there is no shared library, around Lua, for Windows without a DLL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builds import BUILD, PLAIN, ROOT

from .consumers import FLAGS, PROGRAM, build, install, is_well, pkg_config, run, write

# Names that a program may have given to targets of its own.
THEIRS = ("core", "static", "shared", "lua_wrapper", "lua54", "luajit", "tools", "fault", "virtsock-agent")
NAMES = """
function(list_targets folder)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    message(STATUS "target ${target}")
  endforeach()
  get_property(folders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(one IN LISTS folders)
    list_targets(${one})
  endforeach()
endfunction()
list_targets(${virtsock_SOURCE_DIR})
"""
AGENTS = """
foreach(kind virtsock static)
  add_executable(with_${kind} agent.c)
  target_link_libraries(with_${kind} PRIVATE virtsock::${kind})
endforeach()
"""
INSTALLED = "find_package(virtsock REQUIRED)\n" + AGENTS
FETCHED = f"include(FetchContent)\nFetchContent_Declare(virtsock SOURCE_DIR {ROOT})\nFetchContent_MakeAvailable(virtsock)\n"


@pytest.mark.parametrize("shared", ["ON", "OFF"])
def test_as_a_part_of_another_project(shared, tmp_path):
    """Beside targets of any name; both kinds of linking have their names, whatever is built."""
    theirs = "".join(f"add_library({name} INTERFACE)\n" for name in THEIRS)
    project = f"{theirs}add_subdirectory({ROOT} virtsock)\n" + AGENTS + "install(TARGETS with_static)\n"
    made = build(write(tmp_path, project), f"-DVIRTSOCK_SHARED={shared}", "-DVIRTSOCK_TOOLS=OFF", "-DVIRTSOCK_LUA=OFF")
    for kind in "virtsock", "static":
        is_well(made / f"with_{kind}", tmp_path)
    needed = run("readelf", "-dW", made / "with_virtsock")
    assert ("libvirtsock" in needed) == (shared == "ON") and "libvirtsock" not in run("readelf", "-dW", made / "with_static")


def test_its_targets_have_its_name(tmp_path, need):
    """With the command and the modules for Lua."""
    swig = shutil.which("swig", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    need(swig and shutil.which("lua5.4"), "no SWIG, or no Lua 5.4")
    said = run("cmake", "-S", write(tmp_path, FETCHED + AGENTS + NAMES), "-B", tmp_path / "build", f"-DVIRTSOCK_SWIG={swig}")
    targets = [line.removeprefix("-- target ") for line in said.splitlines() if line.startswith("-- target ")]
    assert {"virtsock_core", "virtsock_static", "virtsock_shared", "virtsock-tool", "virtsock_lua54_static"} <= set(targets)
    assert not [name for name in targets if not name.startswith("virtsock")]


@pytest.fixture(scope="module")
def absolute(tmp_path_factory):
    """Without the shared library, into folders that are not below one another."""
    outputs = tmp_path_factory.mktemp("outputs")
    return install(outputs / "out", "-DVIRTSOCK_SHARED=OFF", f"-DCMAKE_INSTALL_LIBDIR={outputs}/lib",
                   f"-DCMAKE_INSTALL_INCLUDEDIR={outputs}/dev/include").parent


def test_absolute_folders_and_no_shared_library(absolute, tmp_path):
    flags = pkg_config(absolute / "lib/pkgconfig", "--cflags", "--libs")
    assert f"-I{absolute}/dev/include" in flags and f"-L{absolute}/lib" in flags
    assert pkg_config(absolute / "lib/pkgconfig", "--variable=prefix") == [str(absolute / "out")]
    (tmp_path / "agent.c").write_text(PROGRAM)
    run("cc", *FLAGS, tmp_path / "agent.c", *flags, "-o", tmp_path / "agent")
    is_well(tmp_path / "agent", tmp_path)
    made = build(write(tmp_path, INSTALLED), f"-Dvirtsock_DIR={absolute}/lib/cmake/virtsock")
    for kind in "virtsock", "static":
        is_well(made / f"with_{kind}", tmp_path)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", PLAIN, "--prefix", prefix)
    return prefix


def folder_of(prefix):
    """Of pkg-config's file, which is in a folder of the processor's on some systems."""
    return next(prefix.rglob("virtsock.pc")).parent


def test_a_program_without_shared_libraries(installed, tmp_path):
    (tmp_path / "agent.c").write_text(PROGRAM)
    flags = pkg_config(folder_of(installed), "--static", "--cflags", "--libs")
    assert "-pthread" in flags and "-DVIRTSOCK_STATIC" in flags
    run("cc", "-static", *FLAGS, tmp_path / "agent.c", *flags, "-o", tmp_path / "agent")
    is_well(tmp_path / "agent", tmp_path)


def test_a_program_around_lua(installed, tmp_path, need):
    """The static libraries for Lua are targets, which bring the library and the headers."""
    need((PLAIN / "lua" / "5.4").exists() and shutil.which("lua5.4"), "no module for Lua 5.4")
    shutil.copy(ROOT / "examples/lua/embed.c", tmp_path)
    folder = write(tmp_path, """
find_package(virtsock REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(lua REQUIRED IMPORTED_TARGET lua5.4)
add_executable(embed embed.c)
target_link_libraries(embed PRIVATE virtsock::lua54 PkgConfig::lua)
""")
    made = build(folder, f"-DCMAKE_PREFIX_PATH={installed}")
    (tmp_path / "say.lua").write_text('print(require("virtsock").address("vsock://host:1024"))\n')
    assert run(made / "embed", tmp_path / "say.lua", env={**os.environ, "LUA_PATH": "", "LUA_CPATH": ""}) == "vsock://2:1024\n"


def test_a_windows_program_without_a_dll(tmp_path, need):
    compiler = shutil.which("x86_64-w64-mingw32-gcc")
    need(compiler and (BUILD / "mingw64" / "libvirtsock.a").exists(), "mingw64 is not built")
    run("cmake", "--install", BUILD / "mingw64", "--prefix", tmp_path / "prefix")
    (tmp_path / "agent.c").write_text(PROGRAM)
    flags = pkg_config(folder_of(tmp_path / "prefix"), "--static", "--cflags", "--libs")
    assert {"-DVIRTSOCK_STATIC", "-lws2_32"} <= set(flags)
    run(compiler, "-static", *FLAGS, tmp_path / "agent.c", *flags, "-o", tmp_path / "agent.exe")
    listed = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", tmp_path / "agent.exe"], text=True, capture_output=True, check=True)
    assert "DLL Name" in listed.stdout and "virtsock" not in listed.stdout
