# SPDX-License-Identifier: MIT
"""examples/c for Windows, with the DLL whose import is renamed: the walk-through's own addresses, the exchange of hvecho with the command,
and the addresses of Linux guests, which mean the same here."""

import socket
import subprocess

import pytest
from builds import BUILD, ROOT

from .renamed import place
from .rig import windows
from .test_tool import LIMIT_S, SEVEN, Tool, program

__all__ = ["program"]                   # a fixture

SERVICE = "8ba03980-174a-43e7-852a-e5ec79a671c7"
WILDCARD = "00000000-0000-0000-0000-000000000000"
PARENT = "a42e7cda-d03f-480c-9cc2-a4de20abb878"
GUEST = "cdee5c88-c5a5-4cc8-9d2d-c15816a01349"
ASKED = ["14 bytes sent", "14 bytes received: this is a test", "the service has ended the conversation"]
SERVED = ["waiting for a client", "14 bytes received", "14 bytes sent back", "the client has ended its direction"]


def compile_examples(triple, build, folder):
    for name in "client", "server":
        subprocess.run([f"{triple}-gcc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", ROOT / "examples/c" / f"{name}.c",
                        f"-I{ROOT}/core/include", f"-L{build}", "-lvirtsock.dll", "-o", folder / f"{name}.exe"], check=True)


@pytest.fixture(scope="session")
def examples(wine, tmp_path_factory):
    """Their folder, the library and the shim beside them."""
    folder = tmp_path_factory.mktemp("examples")
    compile_examples("x86_64-w64-mingw32", BUILD / "mingw64", folder)
    place(BUILD / "mingw64" / "virtsock-1.dll", folder)
    return folder


def test_they_link_for_i686(request, tmp_path):
    if not (BUILD / "mingw32" / "libvirtsock.dll.a").exists():
        (pytest.fail if request.config.getoption("--demand-all") else pytest.skip)("mingw32 is not built")
    compile_examples("i686-w64-mingw32", BUILD / "mingw32", tmp_path)


class Examples:
    def __init__(self, wine, folder, board, log):
        self.client, self.server = (Tool(wine, folder / f"{name}.exe", board, log) for name in ("client", "server"))
        self.board = board

    def ask(self, *words):
        done = self.client.run(*words)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr
        return done.stdout.decode().splitlines()

    def serve(self, *words):
        return self.server.running(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)

    def route(self, listening, vm, service):
        """What Hyper-V does: a service that listens for `listening` is where a connection to the VM goes."""
        (self.board / f"{vm}.{service}").write_text((self.board / f"{listening}.{service}").read_text())


@pytest.fixture
def both(wine, examples, board, tmp_path):
    return Examples(wine, examples, board, tmp_path / "unused")


@pytest.fixture
def tool(wine, program, board, tmp_path):
    return Tool(wine, program, board, tmp_path / "log")


def first_line(server):
    line = server.stdout.readline().rstrip()
    assert line == SERVED[0], line + server.stdout.read()
    return line


def rest(server):
    said = server.stdout.read().splitlines()
    assert server.wait(LIMIT_S) == 0, said
    return said


def test_the_walk_through(both):
    """Both without an address: the guest's server listens for its parent, the host's client asks the VM."""
    with both.serve() as server:
        first_line(server)
        both.route(PARENT, GUEST, SERVICE)
        assert both.ask() == ASKED
        assert rest(server) == SERVED[1:]


def test_the_order_of_ends(both, board, tmp_path):
    """Seen by a peer that is no Windows program: 14 bytes and the end of that direction alone; what comes after it is read."""
    both.client.environment["HVSHIM_LOG"] = windows(tmp_path / "client.log")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT_S)
        (board / f"{GUEST}.{SERVICE}").write_text(f"{listener.getsockname()[1]}\n")
        with both.client.running(stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as client:
            connection = listener.accept()[0]
            with connection:
                connection.settimeout(LIMIT_S)
                assert b"".join(iter(lambda: connection.recv(100), b"")) == b"this is a test"
                connection.sendall(b"late")
            assert client.stdout.read().splitlines() == [ASKED[0], "4 bytes received: late", ASKED[2]]
            assert client.wait(LIMIT_S) == 0
    assert "judge" not in (tmp_path / "client.log").read_text()


def test_the_command_is_hvechos_client(both, tool):
    with both.serve("hvsock://:7", "Bye!") as server:
        first_line(server)
        done = tool.run("echo", "hvsock://loopback:7")
        assert done.returncode == 0 and b"14 bytes echoed" in done.stdout and b"bye in" in done.stdout, done.stderr
        assert rest(server) == SERVED[1:]


def test_the_command_is_hvechos_server(both, tool):
    with tool.server("echo", "-s", "hvsock://:7"):
        lines = both.ask("hvsock://loopback:7")
    assert "".join(line.partition(": ")[2] for line in lines if " received: " in line) == "this is a testBye!"


@pytest.mark.parametrize(("address", "vm"), [("vsock://local:7", None), ("vsock://host:7", PARENT), (f"hvsock://{GUEST}:7", GUEST)])
def test_a_guests_addresses(both, address, vm):
    with both.serve("vsock://:7") as server:
        first_line(server)
        if vm is not None:
            both.route(WILDCARD, vm, SEVEN)
        assert both.ask(address) == ASKED
        rest(server)


def test_nobody_is_there(both):
    done = both.client.run("hvsock://loopback:8")
    assert (done.returncode, done.stdout) == (1, b"") and b"WSAECONNREFUSED" in done.stderr
