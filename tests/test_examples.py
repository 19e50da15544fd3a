# SPDX-License-Identifier: MIT
"""examples/c, the walk-through's client and server, compiled as a user compiles them: with each other, with the command as hvecho's client
and server, and with a plain socket that shows in which order the ends come."""

import socket
import subprocess
from pathlib import Path

import pytest
from builds import PLAIN, ROOT, TOOL

SERVED = ["waiting for a client", "14 bytes received", "14 bytes sent back", "the client has ended its direction"]


@pytest.fixture(scope="module", params=["gcc", "clang"])
def programs(request, tmp_path_factory):
    """Folder of client and server, which the library is in as well."""
    folder = tmp_path_factory.mktemp(request.param)
    for name in "client", "server":
        subprocess.run([request.param, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", ROOT / "examples/c" / f"{name}.c",
                        f"-I{ROOT}/core/include", f"-L{PLAIN}", f"-Wl,-rpath,{PLAIN}", "-lvirtsock", "-o", folder / name], check=True)
    return folder


def run(*command):
    return subprocess.run([str(word) for word in command], text=True, capture_output=True, timeout=60)


class Server:
    """The example, once it waits; .end() is the rest of what it printed."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.first = self.process.stdout.readline().rstrip()

    def __enter__(self):
        assert self.first == SERVED[0], self.first + self.process.communicate(timeout=60)[0]
        return self

    def end(self):
        rest = self.process.communicate(timeout=60)[0]
        assert self.process.returncode == 0, rest
        return [self.first, *rest.splitlines()]

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def address(tmp_path):
    return f"unix://{tmp_path}/s"


def test_with_each_other(programs, address, tmp_path):
    with Server(programs / "server", address) as server:
        done = run(programs / "client", address)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == ["14 bytes sent", "14 bytes received: this is a test", "the service has ended the conversation"]
        assert server.end() == SERVED
    assert not Path(tmp_path / "s").exists()


def test_the_command_is_hvechos_client(programs, address):
    with Server(programs / "server", address, "Bye!") as server:
        done = run(TOOL, "echo", address)
        assert done.returncode == 0 and "14 bytes echoed" in done.stdout and "bye in" in done.stdout, done.stderr
        assert server.end() == SERVED
    with Server(programs / "server", address) as server:
        done = run(TOOL, "echo", address)
        assert done.returncode == 1 and "said no bye" in done.stderr
        assert server.end() == SERVED


def test_the_command_is_hvechos_server(programs, address):
    command = [TOOL, "echo", "-s", "-v", address]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert "listening on" in server.stderr.readline()
        done = run(programs / "client", address)
        server.terminate()
        server.communicate(timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    received = "".join(line.partition(": ")[2] for line in done.stdout.splitlines() if " received: " in line)
    assert received == "this is a testBye!"


def test_what_the_client_says(programs, tmp_path, address):
    """14 bytes, then its end; it reads on after that."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with subprocess.Popen([programs / "client", address], stdout=subprocess.PIPE, text=True) as client:
            connection = listener.accept()[0]
            with connection:
                connection.settimeout(20)
                assert connection.recv(100, socket.MSG_WAITALL) == b"this is a test"
                connection.sendall(b"late")
            lines = client.communicate(timeout=60)[0].splitlines()
            assert lines == ["14 bytes sent", "4 bytes received: late", "the service has ended the conversation"]
            assert client.returncode == 0


def test_when_the_server_ends(programs, tmp_path, address):
    """After the client, and not before: its end follows the client's, and nobody listens once a client is there."""
    with Server(programs / "server", address) as server, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(tmp_path / "s"))
        client.sendall(b"abc")
        assert client.recv(100) == b"abc"
        assert not Path(tmp_path / "s").exists()
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(20)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        client.close()
        assert server.end()[-1] == SERVED[-1]


def test_without_windows_the_own_addresses_say_why(programs):
    for name in "client", "server":
        done = run(programs / name)
        assert (done.returncode, done.stdout) == (1, "")
        assert "8ba03980-174a-43e7-852a-e5ec79a671c7" in done.stderr


def test_nobody_is_there(programs, address):
    done = run(programs / "client", address)
    assert done.returncode == 1 and "no such socket" in done.stderr and done.stderr.count("\n") == 2
