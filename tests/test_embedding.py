# SPDX-License-Identifier: MIT
"""Lua inside a program: the example with each Lua, compiled as a user compiles it; many states, and states in threads, under the sanitizers too."""

import os
import shutil
import subprocess

import pytest
from builds import LUAS, PLAIN, ROOT, lua_environment

pytestmark = pytest.mark.proves("lua-others")

PACKAGES = {"5.1": "lua5.1", "5.2": "lua5.2", "5.3": "lua5.3", "5.4": "lua5.4", "jit": "luajit"}
BINDING = ROOT / "bindings" / "lua"
BUILT = PLAIN / "bindings" / "lua"
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
CORE = [ROOT / "core" / words[1] for line in (ROOT / "core/sources.txt").read_text().splitlines()
        if (words := line.split()) and {"all", "posix", "linux"} & set(words[0].split(","))]


@pytest.fixture(params=PACKAGES)
def lua(request, need):
    """(version, compiler's flags, linker's flags)."""
    found = [subprocess.run(["pkg-config", flag, PACKAGES[request.param]], text=True, capture_output=True) for flag in ("--cflags", "--libs")]
    need(found[0].returncode == 0, found[0].stderr)
    return request.param, found[0].stdout.split(), found[1].stdout.split()


def compile_with(lua, source, program, compiler="gcc"):
    version, cflags, libs = lua
    subprocess.run([compiler, *FLAGS, source, *cflags, f"-I{BINDING}", f"-L{BUILT}", f"-L{PLAIN}", f"-lvirtsock-{PACKAGES[version]}",
                    "-l:libvirtsock.a", *libs, "-lpthread", "-o", program], check=True)
    return program


def run(*command, **environment):
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, timeout=300, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_example(lua, compiler, tmp_path):
    """With nothing of virtsock's to be found by the script's paths."""
    program = compile_with(lua, ROOT / "examples/lua/embed.c", tmp_path / "embed", compiler)
    script = tmp_path / "script.lua"
    script.write_text('local v = require "virtsock"\nassert(_G.virtsock == nil)\nprint(v.address(arg[1]), v == require "virtsock")\n')
    nowhere = {"LUA_PATH": "", "LUA_CPATH": ""}
    assert run(program, script, "vsock://host:7", **nowhere).stdout == "vsock://2:7\ttrue\n"
    done = subprocess.run([program], text=True, capture_output=True)
    assert done.returncode == 2 and "usage:" in done.stderr
    script.write_text("error('thrown', 0)")
    done = subprocess.run([program, script], text=True, capture_output=True)
    assert done.returncode == 1 and done.stderr == "embed: thrown\n"


def test_the_tests_inside_it(lua, tmp_path):
    """The layer that is compiled in is the layer."""
    program = compile_with(lua, ROOT / "examples/lua/embed.c", tmp_path / "embed")
    paths = {"LUA_PATH": f"{ROOT}/tests/lua/?.lua", "LUA_CPATH": ""}
    for name in "300_io", "310_large":
        lines = run(program, ROOT / f"tests/lua/{name}.lua", **paths).stdout.splitlines()
        assert lines[-1] == "END" and lines[-2] == "unclosed: 0" and not [line for line in lines if line.startswith("FAIL")]


def test_many_states(lua, tmp_path):
    program = compile_with(lua, ROOT / "tests/embed/states.c", tmp_path / "states")
    assert run(program, tmp_path, 8, 50).stdout == "900 states\n"


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
@pytest.mark.parametrize("version", ["5.1", "5.4"])
def test_states_under_the_sanitizers(version, sanitizer, tmp_path):
    """The core, what SWIG made and the layer compiled with them; Lua itself as it is packaged."""
    flags = [subprocess.run(["pkg-config", flag, PACKAGES[version]], text=True, capture_output=True, check=True).stdout.split()
             for flag in ("--cflags", "--libs")]
    program = tmp_path / "states"
    subprocess.run(["clang", "-std=c11", "-D_GNU_SOURCE", "-g", "-O1", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer",
                    "-w", "-DVIRTSOCK_STATIC", "-DSWIG_TYPE_TABLE=virtsock", *flags[0], f"-I{BINDING}", f"-I{BUILT}", f"-I{ROOT}/core",
                    f"-I{ROOT}/core/include", *CORE, BUILT / "virtsock_core.c", BINDING / "layer.c", ROOT / "tests/embed/states.c", *flags[1],
                    "-lpthread", "-o", program], check=True)
    done = run(program, tmp_path, 8, 25)
    assert done.stdout == "450 states\n" and done.stderr == ""


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """The folder of a Lua 5.4 module with AddressSanitizer in it, and what lets Lua load it."""
    folder = tmp_path_factory.mktemp("asan") / "virtsock"
    folder.mkdir()
    cflags = subprocess.run(["pkg-config", "--cflags", "lua5.4"], text=True, capture_output=True, check=True).stdout.split()
    subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-fsanitize=address", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-w",
                    "-DVIRTSOCK_STATIC", "-DSWIG_TYPE_TABLE=virtsock", *cflags, f"-I{ROOT}/core", f"-I{ROOT}/core/include", *CORE,
                    BUILT / "virtsock_core.c", "-lpthread", "-o", folder / "core.so"], check=True)
    shutil.copy(BINDING / "virtsock.lua", folder.parent)
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], text=True, capture_output=True, check=True).stdout.strip()
    return {"LUA_PATH": f"{folder.parent}/?.lua;{ROOT}/tests/lua/?.lua", "LUA_CPATH": f"{folder.parent}/?.so", "LD_PRELOAD": os.path.realpath(runtime),
            "ASAN_OPTIONS": "allocator_may_return_null=1", "VIRTSOCK_TEST_SLOW": "3"}


def test_it_is_the_module_that_is_tested(sanitized):
    loaded = run(LUAS["5.4"], "-e", "print(package.searchpath('virtsock.core', package.cpath))", **sanitized).stdout.strip()
    assert "__asan_init" in run("nm", "-D", loaded).stdout


@pytest.mark.parametrize("transport", ["unix", "unix-seqpacket"])
@pytest.mark.parametrize("test", sorted((ROOT / "tests/lua").glob("[0-9]*.lua")), ids=lambda test: test.stem)
def test_the_whole_list_under_asan(sanitized, test, transport):
    """Leaks too: Lua closes its state at the end."""
    done = run(LUAS["5.4"], test, **sanitized, VIRTSOCK_TEST_TRANSPORT=transport)
    lines = done.stdout.splitlines()
    assert lines[-1] == "END" and not [line for line in lines if line.startswith("FAIL")] and "ERROR: " not in done.stderr
