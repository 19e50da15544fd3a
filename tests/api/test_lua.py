# SPDX-License-Identifier: MIT
"""What luacheck says of the Lua files, as .luacheckrc tells it which Lua each is for."""

import shutil
import subprocess

import pytest

from .tree import ROOT, project_files

# Each would pass with too wide a library, or with a category that is not looked at.
FLAWS = {
    "bindings/lua/virtsock.lua": "return unpack {}",
    "bindings/lua/virtsock/ffi.lua": "return table.unpack {}",
    "bindings/lua/virtsock/library.lua": "return table.unpack {}",
    "examples/some.lua": "return math.type(1)",
    "tests/lua/some.lua": "local unused = 1",
    "tests/bench/lua/some.lua": "global = 1",
}


@pytest.fixture
def luacheck(need):
    need(shutil.which("luacheck"), "no luacheck (Debian: lua-check)")
    return lambda *words, **more: subprocess.run(["luacheck", "--no-color", *words], cwd=ROOT, text=True, capture_output=True, **more)


def test_luacheck(luacheck):
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    files = [file.relative_to(ROOT) for file in project_files() if file.suffix == ".lua"]
    assert {str(file.parent) for file in files} >= {"bindings/lua", "bindings/lua/virtsock", "examples/lua", "tests/lua", "tests/bench/lua"}
    done = luacheck("--quiet", *files)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", FLAWS)
def test_a_flaw_is_found(luacheck, file):
    done = luacheck("--filename", file, "-", input=FLAWS[file] + "\n")
    assert done.returncode == 1 and "Total: 1 warning" in done.stdout, done.stdout + done.stderr
