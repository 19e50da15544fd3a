# SPDX-License-Identifier: MIT
"""The Lua module for Windows in a Lua for Windows: the suite of tests/lua over Hyper-V sockets through the renamed import, conversations
with the command, and numbers that stay whole."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from builds import ROOT
from vm.cache import Missing

from . import lua
from .renamed import place
from .rig import windows
from .test_tool import Tool, program

pytestmark = pytest.mark.proves("windows-lua")

__all__ = ["program"]                   # a fixture

FILES = sorted((ROOT / "tests" / "lua").glob("[0-9]*.lua"))
LEFT_OUT = {                            # on Windows over this transport
    "rules_admit_and_refuse": "users are for UNIX sockets", "the_system_chooses_a_port": "ports are vsock's",
    "names_are_looked_up_on_windows": "Windows looks names up", "the_name_of_a_service_is_text": "Windows registers services",
    "messages_stay_whole": "for seqpacket", "large_messages": "for seqpacket", "ctrl_c_ends_a_wait": "no process sends another a signal",
    "an_error_in_the_middle_of_a_receive": "no process sends another a signal", "ctrl_c_ends_a_finish": "no process sends another a signal",
    "a_signal_cuts_no_close_short": "no handler can be set", "who_hangs_up_without_a_byte_is_not_there_yet": "Windows has no STAYS",
    "what_is_not_adopted_stays_as_it_was": "for UNIX sockets",
    "a_step_in_a_pause_begins_nothing": "a UNIX socket refuses in the first step",
}
UNIX = {"220_transports.lua"}           # a file that has transports of its own


@pytest.fixture(scope="session")
def interpreter(request, wine, tmp_path_factory):
    """lua.exe in a folder with the module, whose import is renamed, and the shim."""
    folder = tmp_path_factory.mktemp("lua")
    try:
        for name in "lua.exe", "lua54.dll":
            shutil.copy(lua.interpreter() / name, folder)
    except Missing as reason:
        (pytest.fail if request.config.getoption("--demand-all") else pytest.skip)(str(reason))
    module = lua.module()
    shutil.copy(module / "virtsock.lua", folder)
    (folder / "virtsock").mkdir()
    place(module / "virtsock" / "core.dll", folder).rename(folder / "virtsock" / "core.dll")
    return folder / "lua.exe"


@pytest.fixture
def here(wine, interpreter, board, tmp_path):
    tool = Tool(wine, interpreter, board, tmp_path / "log")
    paths = [interpreter.parent / "?.lua", ROOT / "tests" / "lua" / "?.lua"]
    tool.environment |= {"LUA_PATH": ";".join(map(windows, paths)), "LUA_CPATH": windows(interpreter.parent / "?.dll"),
                         "VIRTSOCK_TEST_TRANSPORT": "hvsock", "VIRTSOCK_TEST_SLOW": "2"}
    return tool


@pytest.fixture
def tool(wine, program, board, tmp_path):
    return Tool(wine, program, board, tmp_path / "log")


def printed(done):
    """Lines of a program that came to its end."""
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0 and lines[-1:] == ["END"], f"exit code {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"
    return lines


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_suite(here, file):
    lines = printed(here.run(windows(file)))
    tests = re.findall(r'^test\("(\w+)"', file.read_text(), re.MULTILINE)
    left_out = {name: LEFT_OUT.get(name) for name in tests if name in LEFT_OUT}
    if file.name in UNIX:
        left_out = dict.fromkeys(tests, "has transports of its own, and runs once")
    assert tests and lines == [f"skip {name}: {left_out[name]}" if name in left_out else f"ok {name}" for name in tests] + ["END"]
    if left_out:
        print("left out:", left_out)


NUMBERS = """
local virtsock, core = require "virtsock", require "virtsock.core"
local a = virtsock.address("vsock://4294967294:4294967295")
for _, number in ipairs { a.cid, a.port, core.CID_ANY, core.PORT_ANY, core.E_REFUSED, core.now_ms() } do
  assert(math.type(number) == "integer", number)
end
assert(a.cid == 4294967294 and tostring(a.cid) == "4294967294" and core.CID_ANY == 0xffffffff)
local listener = assert(virtsock.listen "hvsock://:7")
local stream = assert(virtsock.connect("hvsock://loopback:7", { linger = 0 }))
assert(math.type(stream:getfd()) == "integer" and stream:getfd() > 0)
assert(math.type(stream:get "attempts") == "integer" and stream:get "attempts" == 1)
print(virtsock.connect("hvsock://loopback:8"))
print "END"
"""


def test_numbers_are_whole(here, tmp_path):
    (tmp_path / "numbers.lua").write_text(NUMBERS)
    lines = printed(here.run(windows(tmp_path / "numbers.lua")))
    assert lines[0].startswith("nil\tconnect hvsock://loopback/00000008-facb") and "(WSAECONNREFUSED)\trefused" in lines[0]


def test_a_lua_client_and_the_command(here, tool):
    with tool.server("echo", "-s", "hvsock://:7"):
        done = here.run(windows(ROOT / "examples" / "echo_client.lua"), "hvsock://loopback:7")
        assert done.returncode == 0 and re.fullmatch(rb"ok \d+\.\d ms\r\n", done.stdout), done.stderr


def test_the_command_and_a_lua_server(here, tool):
    command = [windows(ROOT / "examples" / "echo_server.lua"), "hvsock://:7"]
    with here.running(*command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as server:
        assert b"listening on hvsock:///00000007" in server.stdout.readline()
        done = tool.run("echo", "hvsock://loopback:7")
        assert done.returncode == 0 and b"bye in" in done.stdout


PIPES = """
local data = ("0123456789abcdef\\r\\n\\26"):rep(100000)
local input = assert(io.popen(arg[1] .. " cat hvsock://loopback:7 > " .. arg[2], "wb"))
assert(input:write(data))
local done, how, code = input:close()
assert(done and how == "exit" and code == 0, code)
local file = assert(io.open(arg[2], "rb"))
assert(file:read "a" == data)
local output = assert(io.popen(arg[1] .. " cat hvsock://loopback:7 < " .. arg[2], "rb"))
assert(output:read "a" == data)
assert(output:close())
print "END"
"""


def test_the_command_on_pipes_of_windows(here, tool, tmp_path):
    """Which end with an error, unlike those of other systems and Wine's cmd."""
    (tmp_path / "pipes.lua").write_text(PIPES)
    with tool.server("cat", "-l", "--echo", "hvsock://:7"):
        printed(here.run(windows(tmp_path / "pipes.lua"), windows(Path(tool.command[1])), windows(tmp_path / "data")))
