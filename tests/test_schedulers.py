# SPDX-License-Identifier: MIT
"""The examples of Lua's schedulers: a hundred guests at once, in each scheduler at each end, in each Lua that has the library; connections
directly and by a multiplexer's handshake, which are made without blocking."""

import contextlib
import shutil
import subprocess

import pytest
from builds import LUAS, ROOT, TOOL, lua_environment

pytestmark = pytest.mark.proves("lua-others")

# What Debian 12 packages for which Lua.
SCHEDULERS = {
    "coroutines": (None, LUAS),
    "select": ("socket", LUAS),
    "luv": ("luv", LUAS),
    "cqueues": ("cqueues", LUAS),
    "copas": ("copas", ("5.1", "5.2", "jit")),
}
RUNS = [(version, scheduler) for version in LUAS for scheduler in SCHEDULERS]


@pytest.fixture(params=RUNS, ids=lambda run: "-".join((LUAS[run[0]], run[1])))
def example(request, need):
    """(arguments) -> the command of a scheduler's example."""
    version, scheduler = request.param
    module, packaged = SCHEDULERS[scheduler]
    lua = shutil.which(LUAS[version])
    need(lua, f"no {LUAS[version]}")
    if version not in packaged:
        pytest.skip(f"Debian 12 has no {scheduler} for Lua {version}")
    if module:
        loads = subprocess.run([lua, "-e", f"require '{module}'"], capture_output=True, text=True, env=lua_environment(version))
        need(loads.returncode == 0, loads.stderr)
    return lambda *arguments: {"args": [lua, ROOT / f"examples/lua/with_{scheduler}.lua", *arguments], "env": lua_environment(version)}


@contextlib.contextmanager
def running(args, env=None):
    """A program that says what it listens on, once."""
    with subprocess.Popen(args, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
        try:
            line = program.stdout.readline()
            assert "listening on" in line, line + program.stdout.read()
            yield program
            assert program.poll() is None, program.stdout.read()
        finally:
            program.kill()


def ask(command):
    done = subprocess.run(**command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stdout == "100 guests at once, 100 answered\n", done.stdout + done.stderr


def test_a_hundred_guests(example, tmp_path):
    address = f"unix://{tmp_path}/s"
    with running(**example("serve", address)):
        ask(example("ask", address, "100"))


def test_a_hundred_handshakes(example, tmp_path):
    """Each answer of the multiplexer comes byte by byte, 20 ms late."""
    address = f"vsock-mux://:52{tmp_path}/vsock.sock"
    with running([TOOL, "mux", "--fault", "pieces", "--fault", "late=20", tmp_path]), running(**example("serve", address)):
        ask(example("ask", address, "100"))


def test_usage(example):
    done = subprocess.run(**example("serve"), capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "serve ADDRESS" in done.stderr
