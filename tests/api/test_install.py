# SPDX-License-Identifier: MIT
"""What `cmake --install` gives, from the outside: a CMake project and a compiler's command line that use it, and every Lua. And a bare
configuration, with and without SWIG."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builds import LUAS

from .tree import DEV, ROOT, VERSION, programs_but, run, script

CONSUMER = """
#include <stdio.h>
#include <string.h>
#include <virtsock.h>

int main(void)
{
    virtsock_address *address;
    char text[64];

    if (virtsock_address_parse(&address, "vsock://host:1024", NULL) != VIRTSOCK_OK)
        return 1;
    virtsock_address_format(address, text, sizeof text);
    virtsock_address_free(address);
    printf("%s %s\\n", text, virtsock_version());
    return strcmp(VIRTSOCK_VERSION, virtsock_version()) != 0;
}
"""
SAYS = f"vsock://2:1024 {VERSION}\n"
PROJECT = """
cmake_minimum_required(VERSION 3.20)
project(consumer LANGUAGES C)
find_package(virtsock 0.1 REQUIRED)
foreach(kind virtsock static)
  add_executable(with_${kind} consumer.c)
  target_link_libraries(with_${kind} PRIVATE virtsock::${kind})
endforeach()
"""


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An installation at a place that the configuration did not know."""
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("prefix")
    run("cmake", "-S", ROOT, "-B", build, "-DVIRTSOCK_LUA=OFF", "-DCMAKE_INSTALL_LIBDIR=lib")
    run("cmake", "--build", build, "--parallel", "2")
    run("cmake", "--install", build, "--prefix", prefix)
    return prefix


@pytest.fixture
def consumer(tmp_path):
    (tmp_path / "consumer.c").write_text(CONSUMER)
    (tmp_path / "CMakeLists.txt").write_text(PROJECT)
    return tmp_path


def needed(program):
    return re.findall(r"\(NEEDED\).*\[(libvirtsock.*)\]", run("readelf", "-dW", program))


def test_what_is_installed(prefix):
    files = {str(file.relative_to(prefix)) for file in prefix.rglob("*") if not file.is_dir()}
    cmake = {file for file in files if file.startswith("lib/cmake/virtsock/")}
    assert {Path(file).name for file in cmake} >= {"virtsock-config.cmake", "virtsock-config-version.cmake", "virtsock.cmake"}
    libraries = {f"lib/libvirtsock.{end}" for end in ("a", "so", "so.1", f"so.{VERSION}")}
    printed = {f"share/{file}" for file in ("man/man1/virtsock.1", "bash-completion/completions/virtsock", "zsh/site-functions/_virtsock",
                                            "fish/vendor_completions.d/virtsock.fish")}
    assert files - cmake == libraries | printed | {"bin/virtsock", "include/virtsock.h", "lib/pkgconfig/virtsock.pc"}
    assert (prefix / "share/man/man1/virtsock.1").read_text() == run(prefix / "bin/virtsock", "manual")
    assert "(SONAME)" in run("readelf", "-dW", prefix / "lib/libvirtsock.so")
    assert "[libvirtsock.so.1]" in run("readelf", "-dW", prefix / "lib/libvirtsock.so")
    assert run(prefix / "bin/virtsock", "--version").split()[-1] == VERSION


def test_find_package(prefix, consumer):
    run("cmake", "-S", consumer, "-B", consumer / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", consumer / "build")
    for kind, libraries in ("virtsock", ["libvirtsock.so.1"]), ("static", []):
        program = consumer / "build" / f"with_{kind}"
        assert needed(program) == libraries
        assert run(program) == SAYS


def test_find_package_refuses_another_version(prefix, consumer):
    """The first number is the soname's, but for 0, which 1.0 ends."""
    (consumer / "CMakeLists.txt").write_text(PROJECT.replace("virtsock 0.1", "virtsock 2.0"))
    command = ["cmake", "-S", consumer, "-B", consumer / "build", f"-DCMAKE_PREFIX_PATH={prefix}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "version" in done.stderr


def test_pkg_config(prefix, consumer):
    """As a user compiles, the C examples as well; the one that embeds Lua is test_embedding's."""
    environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    assert run("pkg-config", "--modversion", "virtsock", env=environment).strip() == VERSION
    flags = run("pkg-config", "--cflags", "--libs", "virtsock", env=environment).split()
    examples = [file for file in (ROOT / "examples").rglob("*.c") if file.parent.name != "lua"]
    assert len(examples) >= 3
    for source in consumer / "consumer.c", *examples:
        run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", source, *flags, "-o", consumer / source.stem)
        assert needed(consumer / source.stem) == ["libvirtsock.so.1"]
    assert run(consumer / "consumer", env={**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")}) == SAYS


# --- The Lua module ------------------------------------------------------------------------------------------------------

# Of the path that this Lua begins with nothing but what is below /usr/local, which moves to the prefix.
MOVED = """
local function moved(path)
  return (path:gsub("[^;]+", function(entry) return entry:find("^/usr/local/") and arg[1] .. entry:sub(11) or "" end))
end
package.path, package.cpath = moved(package.path), moved(package.cpath)
local virtsock = require "virtsock"
print(virtsock.version, debug.getinfo(virtsock.connect, "S").source)
if jit then print(#require "virtsock.header" > 0, package.searchpath("virtsock.ffi", package.path)) end
"""


@pytest.fixture(scope="module")
def lua_prefix(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", DEV, "--prefix", prefix)
    return prefix


@pytest.mark.parametrize("version", LUAS)
def test_it_is_in_the_path_of_each_lua(lua_prefix, version, tmp_path, need):
    need(shutil.which(LUAS[version]) and (DEV / "lua" / version).exists(), f"no module for {LUAS[version]}")
    (tmp_path / "moved.lua").write_text(MOVED)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUA_")}
    says = run(LUAS[version], "moved.lua", lua_prefix, cwd=tmp_path, env=environment).split()
    folder = lua_prefix / "share" / "lua" / ("5.1" if version == "jit" else version)
    assert says == [VERSION, f"@{folder}/virtsock.lua", *(["true", f"{folder}/virtsock/ffi.lua"] if version == "jit" else [])]


# --- A bare configuration ------------------------------------------------------------------------------------------------


@pytest.fixture
def without_swig(tmp_path):
    """configure(more): with a PATH that has every program but SWIG."""
    programs = programs_but(tmp_path / "programs", "swig")

    def configure(*more):
        command = ["cmake", "-S", ROOT, "-B", tmp_path / "build", "-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF", *more]
        return subprocess.run(command, env={**os.environ, "PATH": str(programs)}, capture_output=True, text=True)

    return configure


def test_without_swig_it_says_so(without_swig, tmp_path):
    done = without_swig()
    assert done.returncode == 0, done.stderr
    assert "Lua module left out: no SWIG" in done.stdout
    targets = run("cmake", "--build", tmp_path / "build", "--target", "help")
    assert "shared" in targets and "virtsock-tool" in targets
    assert "lua" not in targets


def test_the_swig_that_is_named_is_taken(without_swig, tmp_path, need):
    swig = shutil.which("swig", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    need(swig, "no SWIG")
    named = script(tmp_path / "named", f'echo asked >>"{tmp_path}/log"\nexec "{swig}" "$@"')
    done = without_swig(f"-DVIRTSOCK_SWIG={named}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log").exists()
    assert "left out" not in done.stdout


def test_an_old_swig_that_is_named_is_refused(without_swig, tmp_path):
    done = without_swig(f"-DVIRTSOCK_SWIG={script(tmp_path / 'old', 'echo SWIG Version 4.1.0')}")
    assert done.returncode != 0
    assert "4.4.1" in done.stderr
