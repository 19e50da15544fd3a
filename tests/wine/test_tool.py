# SPDX-License-Identifier: MIT
"""The command as Windows has it: over Hyper-V sockets through the renamed import, and over TCP. What each program prints is looked at, for
Wine ends what it cannot run with exit code 0 as well."""

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest
from builds import BUILD, TOOL

from .renamed import place
from .rig import begun, windows

PROGRAM = BUILD / "mingw64" / "tools" / "virtsock.exe"
BIG = os.urandom(1 << 16) * 256         # 16 MiB
LIMIT_S = 60
SEVEN = "00000007-facb-11e6-bd58-64006a7986d3"


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """A copy with the shim beside it."""
    return place(PROGRAM, tmp_path_factory.mktemp("tool"))


class Tool:
    def __init__(self, wine, program, board, log):
        self.command, self.log = [wine.wine, str(program)], log
        self.environment = {**wine.environment, "HVSHIM_DIR": windows(board), "LC_ALL": "C.UTF-8"}

    def run(self, *words, **more):
        more.setdefault("stdin", subprocess.DEVNULL) if "input" not in more else None
        return begun([*self.command, *words], env=self.environment, timeout=LIMIT_S, **more)

    @contextlib.contextmanager
    def running(self, *words, **more):
        with subprocess.Popen([*self.command, *words], env=self.environment, **more) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextlib.contextmanager
    def server(self, *words, **more):
        """With -v, once it listens; what it says is in self.log."""
        more = {"stdin": subprocess.DEVNULL} | more
        with self.log.open("wb") as err, self.running(*words, "-v", stderr=err, **more) as process:
            self.await_line("listening on", process)
            yield process

    def await_line(self, text, process):
        end = time.monotonic() + LIMIT_S
        while text not in self.log.read_text() and process.poll() is None:
            assert time.monotonic() < end, f"waited for \"{text}\" in vain:\n{self.log.read_text()}"
            time.sleep(0.02)
        assert text in self.log.read_text()

    @contextlib.contextmanager
    def on_terminal(self, *words, **more):
        """(process, the terminal's other end)."""
        ours, theirs = pty.openpty()
        more = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True} | more
        try:
            with self.running(*words, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **more) as process:
                os.close(theirs)
                yield process, ours
        finally:
            os.close(ours)


@pytest.fixture
def tool(wine, program, board, tmp_path):
    return Tool(wine, program, board, tmp_path / "log")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(params=["hvsock", "tcp"])
def ends(request):
    """Where a server listens, and where its clients look for it."""
    if request.param == "tcp":
        return (f"tcp://127.0.0.1:{free_port()}",) * 2
    return "hvsock://:7", "hvsock://loopback:7"


# --- What it says ------------------------------------------------------------------------------------------------------------


def test_exit_codes(tool):
    done = tool.run("--version")
    assert done.returncode == 0 and re.fullmatch(rb"virtsock \d+\.\d+\.\d+\n", done.stdout)
    done = tool.run("nix")
    assert (done.returncode, done.stdout) == (2, b"") and b"there is no command nix\n" in done.stderr
    done = tool.run("cat", "hvsock://loopback:7", "and more")
    assert done.returncode == 2 and b"virtsock: " in done.stderr
    done = tool.run("wait", "--wait", "0", f"tcp://127.0.0.1:{free_port()}")
    assert done.returncode == 1 and b"WSAECONNREFUSED" in done.stderr


@pytest.mark.parametrize("command", ["", "cat", "echo", "info", "mux", "relay", "stress", "bench", "wait", "doctor", "list"])
def test_help_is_that_of_other_systems(tool, command):
    done = tool.run(*command.split(), "--help")
    here = subprocess.run([TOOL, *command.split(), "--help"], capture_output=True, check=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, here.stdout, b"")


def test_info(tool):
    done = tool.run("info", "--json")
    supported = {row["scheme"]: row["supported"] for row in json.loads(done.stdout)["transports"]}
    assert done.returncode == 0 and supported["hvsock"] and supported["tcp"]
    assert b"hvsock      yes" in tool.run("info").stdout


def test_without_hyperv(tool):
    tool.environment["HVSHIM_NOHV"] = "1"
    done = tool.run("info", "--json")
    row = next(row for row in json.loads(done.stdout)["transports"] if row["scheme"] == "hvsock")
    assert not row["supported"] and "WSAEAFNOSUPPORT" in row["message"]
    done = tool.run("echo", "hvsock://loopback:7")
    assert done.returncode == 1 and b"WSAEAFNOSUPPORT" in done.stderr


def doctor(tool, *words):
    """(exit code, {id: finding})."""
    done = tool.run("doctor", "--json", *words)
    told = json.loads(done.stdout)
    assert done.returncode == (0 if told["ok"] else 1), done.stderr
    return done.returncode, {finding["id"]: finding for finding in told["findings"]}


def test_doctor(tool):
    """The sockets, the registry by name, and how VMs are found."""
    code, found = doctor(tool)
    assert code == 0 and "Hyper-V" in found["family"]["text"]
    assert r"Virtualization\GuestCommunicationServices" in found["services"]["text"]
    assert "hcsdiag list" in found["vms"]["advice"] and "wslinfo --vm-id" in found["vms"]["advice"]


def test_doctor_without_hyperv(tool):
    tool.environment["HVSHIM_NOHV"] = "1"
    code, found = doctor(tool)
    assert code == 1 and found["no-hyper-v"]["system_code"] == 10047 and "VirtualMachinePlatform" in found["no-hyper-v"]["advice"]
    assert doctor(tool, "hvsock://loopback:7")[1]["no-hyper-v"]["system_code"] == 10047


def test_doctor_tries_an_address(tool):
    """A service that is not registered is told of; nobody that listens is the cause."""
    code, found = doctor(tool, "hvsock://loopback:7")
    assert code == 1 and found["nobody-listens"]["level"] == "problem" and SEVEN in found["service"]["text"]
    assert "virtsock service register" in found["service"]["advice"]
    with tool.server("cat", "-l", "--echo", "hvsock://:7"):
        code, found = doctor(tool, "hvsock://loopback:7")
        assert code == 0 and found["answer"]["level"] == "ok"


def test_doctor_knows_the_registry(tool, wine):
    key = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Virtualization\GuestCommunicationServices"
    wine.raw("reg.exe", "add", rf"{key}\{SEVEN}", "/v", "ElementName", "/d", "seven", "/f")
    try:
        assert doctor(tool, "-l", "hvsock://:7")[1]["service"]["text"] == f"{SEVEN} is registered as seven"
        assert doctor(tool)[1]["services"]["text"].startswith("1 Hyper-V")
    finally:
        wine.raw("reg.exe", "delete", key, "/f")


def test_doctor_asks_for_a_vm(tool):
    """Wine's PowerShell knows none."""
    code, found = doctor(tool, "hvsock://nobody/7")
    assert code == 1 and "Get-VM" in found["no-such-vm"]["advice"]


def test_doctor_of_a_path(tool, tmp_path):
    """Wine has no UNIX sockets: that is the cause, not the path."""
    code, found = doctor(tool, f"vsock-mux://:52{tmp_path}/no/such")
    assert code == 1 and found["unsupported"]["system_code"] == 10047


def test_list(tool):
    done = tool.run("list")
    assert (done.returncode, done.stdout) == (1, b"") and b"Linux does" in done.stderr


def test_arguments_are_utf8(tool):
    """And are not expanded."""
    done = tool.run("info", "hvsock://Küche 日本 \"😀\"/7")
    assert done.returncode == 0 and "vm          Küche 日本 \"😀\"\n".encode() in done.stdout
    done = tool.run("*")
    assert done.returncode == 2 and b"there is no command *\n" in done.stderr


def test_imports():
    printed = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert sorted(re.findall(r"DLL Name: (\S+)", printed), key=str.lower) == ["ADVAPI32.dll", "KERNEL32.dll", "msvcrt.dll", "WS2_32.dll"]


# --- Conversations -----------------------------------------------------------------------------------------------------------


def test_echo(tool, ends):
    with tool.server("echo", "-s", ends[0]) as server:
        done = tool.run("echo", "--json", ends[1])
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["ok"] is True and told["bye_bytes"] == 4
        assert "bye in" in tool.run("echo", ends[1]).stdout.decode()
        tool.await_line("client 2: 14 bytes echoed", server)


@pytest.mark.parametrize("by", ["pipe", "file"])
def test_16_mib_come_back_whole(tool, ends, by, tmp_path):
    with tool.server("cat", "-l", "--echo", ends[0]):
        if by == "file":
            (tmp_path / "in").write_bytes(BIG)
            with (tmp_path / "in").open("rb") as file:
                done = tool.run("cat", ends[1], stdin=file)
        else:
            done = tool.run("cat", ends[1], input=BIG)
    assert (done.returncode, done.stderr) == (0, b"")
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(BIG).digest()


def test_both_ends_of_cat(tool, ends, tmp_path):
    """Every byte there is, both ways, into a file and a pipe: nothing is a line or an end."""
    every = bytes(range(256)) * 300
    with (tmp_path / "out").open("wb") as out, (tmp_path / "in").open("w+b") as file:
        file.write(every[::-1])
        file.seek(0)
        with tool.server("cat", "-l", ends[0], stdin=file, stdout=out) as server:
            done = tool.run("cat", ends[1], input=every)
            assert server.wait(LIMIT_S) == 0
    assert (done.returncode, done.stdout) == (0, every[::-1])
    assert (tmp_path / "out").read_bytes() == every


def test_wait(tool, ends):
    """A server that starts late is found; that it was connected to is said."""
    with tool.running("wait", "-v", "--wait", "20", ends[1], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        assert b"attempt 1 of" in client.stderr.readline()
        with tool.server("echo", "-s", ends[0]):
            said = client.stderr.read().decode()
            assert client.wait(LIMIT_S) == 0 and ": connected, after " in said


def test_stress(tool, ends):
    """Both directions of four connections at once; and it ends when asked for so many."""
    with tool.server("stress", "-s", ends[0], "-i", "20") as server:
        done = tool.run("stress", ends[1], "-i", "20", "-p", "4", "-l", "200000", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["good"] == 20 and told["bytes_sent"] == told["bytes_received"] > 1_000_000
        assert server.wait(LIMIT_S) == 0


def test_stress_over_udp(tool):
    port = free_port()
    with tool.server("stress", "-s", f"udp://127.0.0.1:{port}"):
        done = tool.run("stress", f"udp://127.0.0.1:{port}", "-i", "10", "-p", "2", "--json")
        assert done.returncode == 0 and json.loads(done.stdout)["good"] == 10, done.stderr
    done = tool.run("stress", f"udp://[::1]:{free_port()}", "-i", "2", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["failed"] == 2


def test_relay(tool, board, ends):
    """Whole, both ways and with both ends, to a service that comes later; it ends in order, and tells its counters."""
    port = free_port()
    words = ["relay", "-v", "--stats", "--wait", "30", "--timeout", "10", f"tcp://127.0.0.1:{port}", ends[1]]
    with tool.log.open("wb") as err, tool.on_terminal(*words, stderr=err) as (relay, keys):
        tool.await_line("listening on", relay)
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client, tool.running("cat", "-l", "--echo", ends[0]) as service:
            got = []
            reader = threading.Thread(target=lambda: got.append(client.makefile("rb").read()))
            reader.start()
            client.sendall(BIG)
            client.shutdown(socket.SHUT_WR)
            reader.join(LIMIT_S)
            assert got == [BIG] and service.poll() is None
        tool.await_line(f"{len(BIG)} bytes", relay)
        os.write(keys, b"\x03")
        assert relay.wait(LIMIT_S) == 0
    assert f"accepted 1 active 0 unreached 0 broken 0 idle 0 refused 0 bytes {len(BIG)} bytes_back {len(BIG)}" in tool.log.read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("-", "tcp://127.0.0.1:9"), 1, b"use virtsock cat"),
        (("tcp://127.0.0.1:any", "-"), 1, b"use virtsock cat"),
        (("activated", "tcp://127.0.0.1:9"), 1, b"no such socket was passed on"),
        (("syslog:x", "tcp://127.0.0.1:9"), 2, b"Windows has no such datagrams"),
    ],
)
def test_what_the_relay_has_not_there(tool, words, code, said):
    done = tool.run("relay", *words)
    assert done.returncode == code and said in done.stderr, done.stderr


def test_nobody_comes(tool):
    done = tool.run("wait", "--wait", "0.5", "hvsock://loopback:9")
    assert done.returncode == 1 and b"no connection within 500 ms" in done.stderr


def test_output_that_nobody_reads(tool, ends):
    """A closed pipe is an error, and the program ends."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with tool.server("cat", "-l", "--echo", ends[0]), tool.running("cat", ends[1], **pipes) as client:
        client.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            client.stdin.write(BIG)
            client.stdin.flush()
        assert client.wait(LIMIT_S) == 1
        assert b"virtsock: standard output: " in client.stderr.read()
        with contextlib.suppress(BrokenPipeError):
            client.stdin.close()


@pytest.mark.parametrize("breaks", [False, True], ids=["stays", "breaks off"])
def test_a_peer_that_sends_no_more(tool, board, breaks):
    """It may go on receiving; once it has broken off, the next input says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT_S)
        (board / f"e0e16197-dd56-4a10-9195-5ee7a155a838.{SEVEN}").write_text(f"{listener.getsockname()[1]}\n")
        with tool.running("cat", "hvsock://loopback:7", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            with listener.accept()[0] as peer:
                peer.settimeout(LIMIT_S)
                peer.sendall(b"only this")
                peer.shutdown(socket.SHUT_WR)
                assert client.stdout.read(9) == b"only this"
                time.sleep(0.5)
                assert client.poll() is None
                if breaks:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    client.stdin.write(b"late")
                    client.stdin.close()
                    assert b"".join(iter(lambda: peer.recv(100), b"")) == b"late"
            if breaks:
                client.stdin.write(b"late")
                client.stdin.close()
            assert client.wait(10) == (1 if breaks else 0)


# --- A console ---------------------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_a_server_in_order(tool, board):
    """It closes its listener, which takes the service off the switchboard. (Wine's own end by Ctrl-C has exit code 0 as well.)"""
    with tool.log.open("wb") as err, tool.on_terminal("echo", "-s", "-v", "hvsock://:7", stderr=err) as (server, keys):
        tool.await_line("listening on", server)
        assert tool.run("echo", "hvsock://loopback:7").returncode == 0
        assert len(list(board.iterdir())) == 1
        os.write(keys, b"\x03")
        assert server.wait(LIMIT_S) == 0
        assert not list(board.iterdir())


def test_ctrl_c_ends_a_client(tool):
    with tool.log.open("wb") as err, tool.on_terminal("wait", "-v", "--wait", "50", "hvsock://loopback:9", stderr=err) as (client, keys):
        tool.await_line("attempt 1 of", client)
        os.write(keys, b"\x03")
        client.wait(10)


def test_a_console_speaks_utf8(tool):
    """A line as it is typed comes as UTF-8 with one newline at its end, and comes back."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(LIMIT_S)
        with tool.on_terminal("cat", f"tcp://127.0.0.1:{listener.getsockname()[1]}") as (_, keys):
            connection = listener.accept()[0]
            with connection:
                for key in "é日!\r":
                    os.write(keys, key.encode())
                    time.sleep(0.1)
                connection.settimeout(LIMIT_S)
                assert connection.recv(100) == "é日!\n".encode()
                connection.sendall("ü中\n".encode())
                shown, end = b"", time.monotonic() + LIMIT_S
                while "ü中".encode() not in shown:
                    assert time.monotonic() < end, shown
                    if select.select([keys], [], [], 0.5)[0]:
                        shown += os.read(keys, 4096)


# --- bench -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("polls", [[], ["-p"]])
def test_bench(tool, ends, polls):
    """Every test; what the client prints as received by the server is what the server says."""
    listens_at, connects_to = ends
    with tool.server("bench", "-s", listens_at):
        done = tool.run("bench", "--json", "-m", "64,4096", "--seconds", "0.5", "--count", "20", *polls, connects_to)
        assert done.returncode == 0, done.stderr
        points = json.loads(done.stdout)["results"]
        received = re.findall(r"received, (\d+) bytes", tool.log.read_text())
    assert [point["test"] for point in points] == ["bandwidth"] * 4 + ["latency"] * 2 + ["connections"]
    assert [int(n) for n in received] == [one["bytes"] for point in points[:2] for one in point["runs"]]
    assert all(one["bytes"] > 0 for point in points[:4] for one in point["runs"])
    assert sum(step["count"] for step in points[-1]["histogram"]) == points[-1]["count"] > 0


def test_bench_over_udp(tool):
    port = free_port()
    with tool.server("bench", "-s", f"udp://127.0.0.1:{port}"):
        done = tool.run("bench", f"udp://127.0.0.1:{port}", "--json", "-m", "64,4096", "--seconds", "0.5", "-d", "send", "--timeout", "30")
        assert done.returncode == 0, done.stderr
        sending, latency = ([p for p in json.loads(done.stdout)["results"] if p["test"] == test] for test in ("bandwidth", "latency"))
        assert [p["message_bytes"] for p in sending] == [p["message_bytes"] for p in latency] == [64, 4096]
        assert all(p["count"] > 0 and p["lost"] < p["sent"] for p in latency)
    done = tool.run("bench", "-L", "-m", "8", "--seconds", "1", f"udp://127.0.0.1:{free_port()}", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["status"] in ("refused", "timeout")         # Wine's poll may take the error
