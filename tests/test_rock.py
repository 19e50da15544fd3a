# SPDX-License-Identifier: MIT
"""The rock as its users get it: LuaRocks makes it of the folder of make_rock.py alone, without SWIG and CMake, for each Lua."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from api.tree import FREEBSD, LINUX, LUA, MACOS, VERSION, WINDOWS, programs_but, run, script
from builds import LUAS, PLAIN, ROOT
from programs import run_whole

pytestmark = pytest.mark.proves("rock")
QUICKLY = "CFLAGS=-O0 -fPIC"          # LuaRocks has -O2

MAKE_ROCK = [sys.executable, LUA / "make_rock.py"]
SWIG = ["--swig", Path(sys.executable).with_name("swig")]
SPEC = f"virtsock-{VERSION}-1.rockspec"
PLATFORMS = {"linux": LINUX, "freebsd": FREEBSD, "macosx": MACOS, "windows": WINDOWS}
FILES = ("010_load", "300_io", "400_timeouts")
SOURCES = 'dofile(arg[1]); for _, file in ipairs(build.platforms[arg[2]].modules["virtsock.core"].sources) do print(file) end'
INSTALLED = {"lib/lua/{}/virtsock/core.so", *(f"share/lua/{{}}/virtsock{name}.lua" for name in ("", "/ffi", "/library", "/header"))}


@pytest.fixture(scope="module")
def outdir(tmp_path_factory):
    """What make_rock.py makes; the archive is to be fetched from there."""
    folder = tmp_path_factory.mktemp("rock")
    run(*MAKE_ROCK, *SWIG, "--url", f"file://{folder}", folder)
    return folder


@pytest.fixture(scope="module")
def luarocks(tmp_path_factory):
    """luarocks(version, *words, cwd=): with neither SWIG nor CMake to be found, and no configuration of a user."""
    home = tmp_path_factory.mktemp("home")
    environment = {"PATH": str(programs_but(home / "programs", "swig", "cmake")), "HOME": str(home)}

    def call(version, *words, cwd):
        place = Path(shutil.which(LUAS[version])).resolve().parents[1]        # else it looks beside the interpreter of PATH
        return run("luarocks", "--lua-version", version, "--lua-dir", place, *words, cwd=cwd, env=environment)

    return call


def installed(tree):
    """What has our name, but for what LuaRocks keeps for itself."""
    files = [str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file()]
    return {file for file in files if "virtsock" in file and "luarocks" not in file}


def environment(tree, version):
    return {"LUA_PATH": f"{tree}/share/lua/{version}/?.lua", "LUA_CPATH": f"{tree}/lib/lua/{version}/?.so"}


def test_the_folder_has_what_cmake_generates(outdir, need):
    generated = PLAIN / "bindings" / "lua"
    need((generated / "virtsock_core.c").exists(), "the Lua module is not built")
    for file, place in ("virtsock_core.c", "."), ("header.lua", "virtsock"):
        assert (outdir / f"virtsock-{VERSION}" / place / file).read_bytes() == (generated / file).read_bytes()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_has_its_sources(outdir, platform, tmp_path):
    """As the tests know them from core/sources.txt, and all of them are in the folder."""
    rock = outdir / f"virtsock-{VERSION}"
    (tmp_path / "sources.lua").write_text(SOURCES)
    listed = run("lua5.4", tmp_path / "sources.lua", rock / SPEC, platform).splitlines()
    assert listed == ["virtsock_core.c", *(str(file.relative_to(ROOT)) for file in PLATFORMS[platform])]
    assert all((rock / file).is_file() for file in listed)


@pytest.mark.parametrize("version", ["5.1", "5.2", "5.3", "5.4"])
def test_made_and_installed(outdir, luarocks, version, tmp_path):
    alone, tree = tmp_path / "alone", tmp_path / "tree"
    shutil.copytree(outdir / f"virtsock-{VERSION}", alone)
    luarocks(version, "make", "--tree", tree, QUICKLY, cwd=alone)
    assert installed(tree) == {file.format(version) for file in INSTALLED}
    assert f"virtsock {VERSION}-1" in luarocks(version, "show", "--tree", tree, "virtsock", cwd=tmp_path)
    for file in FILES:
        run_whole([LUAS[version], str(ROOT / "tests" / "lua" / f"{file}.lua")], environment(tree, version))
    if version == "5.1":
        runs_in_luajit(environment(tree, version))
    luarocks(version, "remove", "--tree", tree, "virtsock", cwd=tmp_path)
    assert installed(tree) == set()


def runs_in_luajit(environment):
    """The rock of 5.1, with virtsock.core and over libvirtsock.so."""
    for more in {}, {"VIRTSOCK_TEST_FFI": "1", "VIRTSOCK_LIBRARY": str(PLAIN / "libvirtsock.so")}:
        for file in FILES:
            run_whole(["luajit", str(ROOT / "tests" / "lua" / f"{file}.lua")], environment | more)


def test_source_rock(outdir, luarocks, tmp_path):
    """Packed by LuaRocks, and installed of that one file."""
    luarocks("5.4", "pack", outdir / SPEC, cwd=tmp_path)
    (tmp_path / "away").mkdir()
    rock = shutil.move(tmp_path / f"virtsock-{VERSION}-1.src.rock", tmp_path / "away")
    luarocks("5.4", "install", "--tree", tmp_path / "tree", rock, QUICKLY, cwd=tmp_path)
    says = run("lua5.4", "-e", "print(require('virtsock').version)", env={**os.environ, **environment(tmp_path / "tree", "5.4")})
    assert says == f"{VERSION}\n"


def test_lint(outdir, luarocks):
    for spec in LUA / "virtsock-scm-1.rockspec", outdir / SPEC:
        luarocks("5.4", "lint", spec, cwd=outdir)


# --- What make_rock.py refuses -------------------------------------------------------------------------------------------


def refused(*words):
    done = subprocess.run([*MAKE_ROCK, *words], text=True, capture_output=True)
    assert done.returncode != 0 and not done.stdout and "Traceback" not in done.stderr
    return done.stderr


def test_refusals(outdir, tmp_path):
    assert "SWIG does not run" in refused("--swig", tmp_path / "nowhere", tmp_path)
    for version in "4.4.0", "4.6.0", "?":
        other = script(tmp_path / "other", f"echo SWIG Version {version}")
        assert "is not SWIG from 4.4.1 to before 4.6" in refused("--swig", other, tmp_path)
    assert f"virtsock-{VERSION} is there already" in refused(*SWIG, outdir)
    assert not list(tmp_path.glob("virtsock*"))


def test_help():
    assert re.search(r"--swig PATH.*--url URL.*OUTDIR", run(*MAKE_ROCK, "--help"), re.DOTALL)
