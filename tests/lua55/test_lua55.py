# SPDX-License-Identifier: MIT
"""Lua 5.5, which this machine's Debian does not have: all of tests/lua and the examples, in Debian unstable."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from api.tree import run
from builds import ROOT
from programs import run_whole

from .chroot import inside
from .conftest import DONE, PLACE

pytestmark = pytest.mark.proves("lua55")

ENVIRONMENT = {"LUA_PATH": f"{PLACE}/module/?.lua;{PLACE}/tests/lua/?.lua;;", "LUA_CPATH": f"{PLACE}/module/?.so;;", "LC_ALL": "C"}
FILES = sorted((ROOT / "tests" / "lua").glob("[0-9]*.lua"))
RUNS = {
    "unix": {"VIRTSOCK_TEST_TRANSPORT": "unix"},
    "unix-seqpacket": {"VIRTSOCK_TEST_TRANSPORT": "unix-seqpacket"},
    "collector": {"VIRTSOCK_TEST_GC": "1", "VIRTSOCK_TEST_SLOW": "3"},
}
CLIENTS = {"echo_client": "ok ", "ten_lines": "helloBye!"}       # examples, and how what they print begins


def lua(root: Path, *words: str) -> list[str]:
    return inside(root, "lua5.5", *words)


def test_the_interpreter_and_the_module(root: Path) -> None:
    told = run(*lua(root, "-e", 'require "virtsock" print(_VERSION, package.searchpath("virtsock.core", package.cpath))'),
               env={**os.environ, **ENVIRONMENT})
    assert told == f"Lua 5.5\t{PLACE}/module/virtsock/core.so\n"


@pytest.mark.parametrize("how", RUNS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_file(root: Path, file: Path, how: str) -> None:
    said = run_whole(lua(root, f"{PLACE}/tests/lua/{file.name}"), {**ENVIRONMENT, **RUNS[how]})
    DONE.update(re.findall(r"^(ok|skip) ", said, re.MULTILINE))


def test_every_example_is_read(root: Path) -> None:
    """Its compiler refuses what the older ones take, such as a loop that writes to its variable."""
    files = [f"{PLACE}/{file.relative_to(ROOT)}" for file in sorted((ROOT / "examples").rglob("*.lua"))]
    assert len(files) > 5
    run(*inside(root, "luac5.5", "-p", *files))


@pytest.mark.parametrize("client", CLIENTS)
def test_examples(root: Path, client: str) -> None:
    environment, address = {**os.environ, **ENVIRONMENT}, f"unix:///tmp/{client}.sock"
    command = lua(root, f"{PLACE}/examples/echo_server.lua", address)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None and "listening on" in server.stdout.readline()
            assert run(*lua(root, f"{PLACE}/examples/{client}.lua", address), env=environment).startswith(CLIENTS[client])
        finally:
            server.kill()
