# SPDX-License-Identifier: MIT
"""`virtsock relay`: every pair of ends that needs no virtual machine, and what a service must do.

tests/vm/test_relay.py runs this file in a guest, where VIRTSOCK_TEST_VSOCK adds AF_VSOCK's CID 1 to the ends.
"""

import array
import contextlib
import hashlib
import itertools
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from interop.mux_peer import ask_hyperkit, ask_mux
from test_tools import TOOL, eventually, read_to_end, run, running

MIB = os.urandom(1 << 20)
DRAINS = int(os.environ.get("VIRTSOCK_TEST_DRAINS", "20"))
IDLE = int(os.environ.get("VIRTSOCK_TEST_IDLE", "4000"))
VSOCK = "VIRTSOCK_TEST_VSOCK" in os.environ  # never outside a virtual machine that a test has booted
COPIES = 1 if VSOCK else 3  # of a MiB: that machine may be an emulated one


@pytest.fixture
def place():
    """A directory whose name is short enough for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="relay-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def relay(place, *words, ready="listening on", **more):
    """`virtsock relay -v WORDS`, once it has said that it is ready; .log() is what it has said so far."""
    log = place / f"log{len(list(place.glob('log*')))}"
    with open(log, "wb") as err, running("relay", "-v", *words, stderr=err, **more) as process:
        process.log = lambda: log.read_text()
        eventually(lambda: not ready or ready in process.log() or process.poll() is not None)
        if ready:
            assert process.poll() is None, process.log()
        yield process


def listener(path, backlog=512):
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen(backlog)
    s.settimeout(30)
    return s


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(str(path))
    return s


def listen_vsock():
    s = socket.socket(socket.AF_VSOCK)
    s.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
    s.listen(512)
    s.settimeout(60)
    return s


def connect_vsock(port):
    s = socket.socket(socket.AF_VSOCK)
    s.settimeout(60)
    s.connect((1, port))
    return s


def accept(server):
    s, _ = server.accept()
    s.settimeout(30)
    return s


def echo_server(server):
    """Threads that send back what comes, until the listener is closed."""

    def talk(s):
        with s, contextlib.suppress(OSError):
            while part := s.recv(65536):
                s.sendall(part)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=[accept(server)], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


# --- Every pair --------------------------------------------------------------------------------------------------------------


class Pipes:
    """A program's standard input and output, with a socket's methods."""

    def __init__(self, process):
        self.to, self.back = process.stdin, process.stdout

    def sendall(self, data):
        self.to.write(data)
        self.to.flush()

    def recv(self, size):
        return os.read(self.back.fileno(), size)

    def shutdown(self, how):
        assert how == socket.SHUT_WR
        self.to.close()

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.to.close()
        self.back.close()

    __enter__ = lambda self: self
    __exit__ = lambda self, *_: self.close()


class Lab:
    """One relay from a kind of end to another; client() and server() are what stands outside of it, once each."""

    def __init__(self, place, stack, from_, to):
        self.place, self.stack, self.pass_fds = place, stack, []
        self.vm = place / "vm"
        if {from_, to} & {"mux", "hyperkit"}:
            log = open(place / "mux", "wb")
            stack.callback(log.close)
            stack.enter_context(running("mux", "-d", "cloud-hypervisor", str(self.vm), stderr=log))
            eventually(lambda: b"hyperkit" in (place / "mux").read_bytes())
        to_address = getattr(self, f"to_{to}")()
        from_address = getattr(self, f"from_{from_}")()
        standard = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE} if "-" in (from_address, to_address) else {}
        ready = "listening on" if from_ != "stdio" else "to "
        self.process = stack.enter_context(relay(place, from_address, to_address, ready=ready, pass_fds=self.pass_fds, **standard))
        self.client_kind, self.server_kind = from_, to
        if to == "fd":
            self.theirs.close()  # our copy would keep the socket open

    # Where the relay takes its client from.

    def from_unix(self):
        return f"unix://{self.place}/from"

    def from_tcp(self):
        return "tcp://127.0.0.1:any"

    def from_mux(self):
        return f"vsock-mux://:52{self.vm}/vsock.sock"

    def from_hyperkit(self):
        return f"hyperkit://:52{self.vm}"

    def from_fd(self):
        s = self.stack.enter_context(listener(self.place / "from"))
        self.pass_fds.append(s.fileno())
        return f"fd://{s.fileno()}"

    def from_vsock(self):
        return "vsock://:any"

    def from_stdio(self):
        return "-"

    def client(self):
        kind = self.client_kind
        if kind == "stdio":
            return Pipes(self.process)
        if kind in ("unix", "fd"):
            return connect(self.place / "from")
        if kind == "tcp":
            port = int(re.search(r"listening on tcp://127.0.0.1:(\d+)", self.process.log())[1])
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        if kind == "vsock":
            return connect_vsock(int(re.search(r"listening on vsock://:(\d+)", self.process.log())[1]))
        if kind == "mux":
            s, line = ask_mux(self.vm / "vsock.sock", b"CONNECT 52\n")
            assert line.startswith(b"OK ")
        else:
            s = ask_hyperkit(self.vm / "connect", 3, 52)
        s.settimeout(30)
        return s

    # What it connects to.

    def to_unix(self):
        self.listening = self.stack.enter_context(listener(self.place / "to"))
        return f"unix://{self.place}/to"

    def to_tcp(self):
        self.listening = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        return "tcp://127.0.0.1:%d" % self.listening.getsockname()[1]

    def to_mux(self):
        self.listening = self.stack.enter_context(listener(self.vm / "vsock.sock_53"))
        return f"vsock-mux://:53{self.vm}/vsock.sock"

    def to_hyperkit(self):
        self.listening = self.stack.enter_context(listener(self.vm / "00000002.00000035"))
        return f"hyperkit://:53{self.vm}"

    def to_vsock(self):
        self.listening = self.stack.enter_context(listen_vsock())
        return "vsock://1:%d" % self.listening.getsockname()[1]

    def to_fd(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(30)
        self.pass_fds.append(self.theirs.fileno())
        return f"fd://{self.theirs.fileno()}"

    def to_stdio(self):
        return "-"

    def server(self):
        if self.server_kind == "stdio":
            return Pipes(self.process)
        if self.server_kind == "fd":
            return self.ours
        self.listening.settimeout(30)
        return accept(self.listening)

    def ends(self):
        client = self.stack.enter_context(self.client())
        return client, self.stack.enter_context(self.server())

    def has_ended(self):
        return re.search(r"client 1 of .* bytes, \d+ back", self.process.log()) is not None


KINDS = ("unix", "tcp", "mux", "hyperkit", "fd", "stdio", *(["vsock"] if VSOCK else []))
PAIRS = [pair for pair in itertools.product(KINDS, KINDS) if pair != ("stdio", "stdio") and (not VSOCK or "vsock" in pair)]


@pytest.fixture(params=PAIRS, ids="->".join)
def ends(request, place):
    """A client, a server, and the relay between them."""
    with contextlib.ExitStack() as stack:
        lab = Lab(place, stack, *request.param)
        yield lab, *lab.ends()


def exchange(near, far):
    """Some MiB each way at once, then both ends, one after the other: what each got."""
    got = {}

    def send(end, name):
        end.sendall(MIB * COPIES + name)

    def receive(end, name, size):
        parts = []
        while size > 0 and (part := end.recv(65536)):
            parts.append(part)
            size -= len(part)
        got[name] = b"".join(parts)

    whole = len(MIB) * COPIES + 3
    work = [threading.Thread(target=send, args=row) for row in ((near, b"one"), (far, b"two"))]
    work += [threading.Thread(target=receive, args=row) for row in ((near, "near", whole), (far, "far", whole))]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join(60)
        assert not thread.is_alive()
    return got


@contextlib.contextmanager
def sending(end, data):
    """And then its end, while the test goes on."""
    thread = threading.Thread(target=lambda: (end.sendall(data), end.shutdown(socket.SHUT_WR)))
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def test_checksums_and_half_close_client_first(ends):
    lab, client, server = ends
    got = exchange(client, server)
    assert digest(got["far"]) == digest(MIB * COPIES + b"one") and digest(got["near"]) == digest(MIB * COPIES + b"two")
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    with sending(server, b"more" + MIB):  # the other direction goes on
        assert digest(read_to_end(client)) == digest(b"more" + MIB)
    eventually(lab.has_ended)


def test_half_close_server_first(ends):
    lab, client, server = ends
    server.sendall(b"all of it")
    server.shutdown(socket.SHUT_WR)
    assert read_to_end(client) == b"all of it"
    with sending(client, MIB):
        assert digest(read_to_end(server)) == digest(MIB)
    eventually(lab.has_ended)
    assert f": {len(MIB)} bytes, 9 back\n" in lab.process.log()


def test_slow_reader_gets_everything(ends):
    _, client, server = ends
    with sending(server, MIB * (COPIES + 1)):
        got = client.recv(10)
        client.sendall(b"the other direction goes on")
        assert server.recv(100).startswith(b"the other")
        while part := client.recv(40000):
            got += part
            if len(got) < 1000000:
                time.sleep(0.001)
    assert digest(got) == digest(MIB * (COPIES + 1))


@pytest.mark.parametrize("who", ["client", "server"])
def test_peer_that_dies_ends_the_conversation(ends, who):
    lab, client, server = ends
    client.sendall(b"question")
    assert server.recv(8) == b"question"
    server.sendall(b"answer, part of which is not read")
    assert client.recv(6) == b"answer"
    dies, stays = (client, server) if who == "client" else (server, client)
    dies.close()
    with contextlib.suppress(ConnectionResetError):
        while stays.recv(65536):
            pass
    stays.close()
    eventually(lab.has_ended)


# --- Ends that differ --------------------------------------------------------------------------------------------------------


def test_silent_ends_are_gone_for_each_other(place):
    """Not their half alone: a program that sends nothing must see the hang-up, too."""
    with listener(place / "to") as server, relay(place, f"unix://{place}/from", f"unix://{place}/to") as r:
        for leaver in range(2):
            two = [connect(place / "from")]
            two.append(accept(server))
            poll = select.poll()
            poll.register(two[not leaver], 0)
            two[leaver].close()
            assert [event for _, event in poll.poll(10000)] == [select.POLLHUP]
            two[not leaver].close()
        eventually(lambda: r.log().count(": 0 bytes, 0 back\n") == 2)


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_stays_a_reset(place, who):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        words = "tcp://127.0.0.1:any", "tcp://127.0.0.1:%d" % listening.getsockname()[1]
        with relay(place, *words) as r:
            port = int(re.search(r"listening on tcp://127.0.0.1:(\d+)", r.log())[1])
            client = socket.create_connection(("127.0.0.1", port), timeout=30)
            server = accept(listening)
            client.sendall(b"x")
            assert server.recv(1) == b"x"
            breaks, sees = (client, server) if who == "client" else (server, client)
            breaks.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            breaks.close()
            with sees, pytest.raises(ConnectionResetError):
                sees.recv(1)
            eventually(lambda: "then the connection broke" in r.log())


def test_program_that_receives_no_more(place):
    with listener(place / "to") as server, relay(place, f"unix://{place}/from", f"unix://{place}/to"):
        with connect(place / "from") as client, accept(server) as s:
            s.shutdown(socket.SHUT_RD)
            with pytest.raises(BrokenPipeError):
                for _ in range(5000):
                    client.sendall(b"x" * 100)
                    time.sleep(0.001)
            s.sendall(b"hello")
            assert client.recv(5) == b"hello"


def test_messages_keep_their_ends(place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(place / "to"))
        server.listen()
        server.settimeout(30)
        with relay(place, f"unix://{place}/from?type=seqpacket", f"unix://{place}/to?type=seqpacket"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.settimeout(30)
                client.connect(str(place / "from"))
                with accept(server) as s:
                    client.send(b"")  # which is no end, and is left out
                    sizes = [1, 9, 60000, 3, 10000] * 40  # so many that the first must be read before the last fits
                    sender = threading.Thread(target=lambda: [client.sendall(b"m" * size) for size in sizes])
                    sender.start()
                    assert [len(s.recv(1 << 17)) for _ in sizes] == sizes
                    sender.join(30)


@contextlib.contextmanager
def packets(path):
    """A listener for messages."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(30)
        yield server


@contextlib.contextmanager
def messages(place, server):
    """A client of a relay from place/from to that server, and the server's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(30)
        client.connect(str(place / "from"))
        with accept(server) as s:
            yield client, s


@pytest.mark.parametrize("size", [65536, 65537, 200000, 700000, 1 << 20])
def test_a_long_message_passes(place, size):
    """Both ways, as long as its sender's system lets it be, and short ones after it."""
    rule = f"unix://{place}/from?type=seqpacket", f"unix://{place}/to?type=seqpacket"
    with packets(place / "to") as server, relay(place, *rule), messages(place, server) as ends:
        for sends, takes in (ends, ends[::-1]):
            sends.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size + 4096)
            try:
                sends.send(MIB[:size])
            except OSError:
                pytest.skip("this system takes no message of that length")
            assert takes.recv(1 << 21) == MIB[:size]
            sends.send(b"short")
            assert takes.recv(100) == b"short"


def test_a_message_that_is_too_long_is_told(place):
    """It is a break, as its rest is gone; the next conversation has none of it."""
    rule = f"unix://{place}/from?type=seqpacket", f"unix://{place}/to?type=seqpacket"
    with packets(place / "to") as server, relay(place, *rule) as r:
        with messages(place, server) as (client, s):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 21)
            try:
                client.send(MIB + b"x")
            except OSError:
                pytest.skip("this system takes no message of that length")
            assert s.recv(1 << 21) == b""
        told = f"client 1 of unix://{place}/from?type=seqpacket: a message has more than 1048576 bytes, which is the most"
        eventually(lambda: told in r.log() and "then the connection broke" in r.log())
        with messages(place, server) as (client, s):
            client.send(b"next")
            assert s.recv(100) == b"next"


def test_messages_of_one_thread_are_not_mixed(place):
    """That wait at the same time: each conversation has its own."""
    rule = "--threads", "1", f"unix://{place}/from?type=seqpacket", f"unix://{place}/to?type=seqpacket"
    with packets(place / "to") as server, relay(place, *rule), contextlib.ExitStack() as stack:
        ends = [stack.enter_context(messages(place, server)) for _ in range(4)]
        senders = [
            threading.Thread(target=lambda client=client, n=n: [client.send(bytes([n]) * (100000 + i)) for i in range(8)])
            for n, (client, _) in enumerate(ends)
        ]
        for sender in senders:
            sender.start()
        time.sleep(0.5)
        for n, (_, s) in enumerate(ends):
            assert [s.recv(1 << 18) for _ in range(8)] == [bytes([n]) * (100000 + i) for i in range(8)]
        for sender in senders:
            sender.join(30)


@pytest.mark.parametrize("framed", ["from", "to", "both"])
def test_frames_at_either_end(place, framed):
    """They have no descriptor to look at: threads carry them."""
    query = "?half-close=framed"
    from_ = f"unix://{place}/from" + query * (framed != "to")
    to = f"unix://{place}/to" + query * (framed != "from")
    with (
        running("cat", "-l", "--echo", "-v", to, stderr=subprocess.PIPE) as server,
        relay(place, from_, to) as r,
    ):
        server.stderr.readline()
        for _ in range(3):
            assert run("cat", from_, input=MIB).stdout == MIB
        eventually(lambda: r.log().count(f": {len(MIB)} bytes, {len(MIB)} back\n") == 3)
        with running("cat", from_, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
            cat.stdin.write(b"x")
            cat.stdin.flush()
            assert cat.stdout.read(1) == b"x"
            r.terminate()
            time.sleep(0.1)
            assert r.poll() is None  # the conversation goes on
            cat.stdin.close()
            assert r.wait(10) == 0


def test_socat_at_both_ends(place):
    echo = subprocess.Popen(["socat", f"UNIX-LISTEN:{place}/to,fork", "EXEC:cat"])
    try:
        eventually((place / "to").exists)
        with relay(place, f"unix://{place}/from", f"unix://{place}/to"):
            done = subprocess.run(["socat", "-t10", "-", f"UNIX-CONNECT:{place}/from"], input=MIB * 3, stdout=subprocess.PIPE, timeout=60)
        assert done.stdout == MIB * 3
    finally:
        echo.kill()
        echo.wait()


# --- Standard input and output -----------------------------------------------------------------------------------------------


def test_as_a_proxy_command(place):
    with listener(place / "to") as server:
        echo_server(server)
        done = run("relay", "-", f"unix://{place}/to", input=MIB * 2)
    assert (done.returncode, done.stdout, done.stderr) == (0, MIB * 2, b"")


def test_peer_that_leaves_ends_it_with_input_open(place):
    with listener(place / "to") as server:
        with running("relay", "-", f"unix://{place}/to", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            with accept(server) as s:
                with sending(s, MIB):
                    assert process.stdout.read() == MIB
            assert process.wait(10) == 0


def test_nobody_at_the_other_end(place):
    done = run("relay", "-", f"unix://{place}/to", input=b"x")
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"connect unix://{place}/to: ".encode() in done.stderr


def test_inetd(place):
    ours, theirs = socket.socketpair()
    with listener(place / "to") as server, ours:
        with running("relay", "-", f"unix://{place}/to", stdin=theirs, stdout=theirs) as process:
            theirs.close()
            with accept(server) as s:
                ours.sendall(b"question")
                ours.shutdown(socket.SHUT_WR)
                assert read_to_end(s) == b"question"
                s.sendall(b"answer")
            assert read_to_end(ours) == b"answer"
            assert process.wait(10) == 0


def test_inetd_that_waits(place):
    """A listening socket as standard input: inetd's `wait`."""
    with listener(place / "from") as door, listener(place / "to") as server:
        echo_server(server)
        with relay(place, "-", f"unix://{place}/to", stdin=door, stdout=door):
            for _ in range(3):
                with connect(place / "from") as client:
                    client.sendall(b"x")
                    assert client.recv(1) == b"x"


def test_descriptor_is_passed(place):
    ours, theirs = socket.socketpair()
    with listener(place / "to") as server, ours:
        with running("relay", "--pass-fd", "-", f"unix://{place}/to", stdout=theirs) as process:
            theirs.close()
            data, control, _, _ = ours.recvmsg(16, socket.CMSG_SPACE(4))
            assert process.wait(10) == 0
        assert data == b"\0"
        [(level, kind, payload)] = control
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        with socket.socket(fileno=array.array("i", payload)[0]) as passed, accept(server) as s:
            passed.sendall(b"through")
            assert s.recv(7) == b"through"


def test_descriptor_that_nobody_can_take(place):
    with listener(place / "to"):
        done = run("relay", "--pass-fd", "-", f"unix://{place}/to")
    assert done.returncode == 1
    assert done.stderr.startswith(b"virtsock: standard output, which must be a UNIX socket: ")


# --- Limits ------------------------------------------------------------------------------------------------------------------


def test_no_more_than_max(place):
    with listener(place / "to") as server, relay(place, "--max", "2", f"unix://{place}/from", f"unix://{place}/to") as r:
        clients = [connect(place / "from") for _ in range(3)]
        served = [accept(server), accept(server)]
        server.settimeout(0.3)
        with pytest.raises(TimeoutError):
            server.accept()
        clients[0].close()
        served[0].close()
        server.settimeout(30)
        served.append(accept(server))
        clients[2].sendall(b"my turn")
        assert served[2].recv(7) == b"my turn"
        assert r.log().count("client 3 of ") == 1
        for s in (*clients, *served):
            s.close()


def test_idle_conversations_end(place):
    with listener(place / "to") as server, relay(place, "--idle", "0.5", f"unix://{place}/from", f"unix://{place}/to") as r:
        with connect(place / "from") as idle, accept(server), connect(place / "from") as busy, accept(server) as s:
            begun = time.monotonic()
            while time.monotonic() < begun + 1.5:
                busy.sendall(b"x")
                assert s.recv(1) == b"x"
                time.sleep(0.05)
            idle.settimeout(10)
            assert idle.recv(1) == b""
            eventually(lambda: r.log().count("then nothing for too long") == 1)


def test_target_that_comes_later(place):
    with relay(place, "--wait", "30", f"unix://{place}/from", f"unix://{place}/to"), connect(place / "from") as client:
        client.sendall(b"patience")
        time.sleep(0.3)
        with listener(place / "to") as server, accept(server) as s:
            assert s.recv(8) == b"patience"


def test_client_that_leaves_before_the_target_comes(place):
    words = "--wait", "forever", f"unix://{place}/from", f"unix://{place}/to"
    with relay(place, *words) as r:
        connect(place / "from").close()
        eventually(lambda: "left before it was connected" in r.log())
        with connect(place / "from") as client:
            client.sendall(b"it is worth the wait")
        time.sleep(0.1)
        with listener(place / "to") as server, accept(server) as s:
            assert read_to_end(s) == b"it is worth the wait"


def test_target_that_does_not_come(place):
    with relay(place, "--wait", "0.2", f"unix://{place}/from", f"unix://{place}/to") as r:
        with connect(place / "from") as client:
            assert client.recv(1) == b""
        eventually(lambda: f"client 1 of unix://{place}/from: connect unix://{place}/to: no connection within 200 ms" in r.log())


def test_only_whom_the_rules_admit(place):
    with listener(place / "to") as server, relay(place, "--allow", "uid=1", f"unix://{place}/from", f"unix://{place}/to"):
        if os.getuid() == 1:
            pytest.skip("this user is the one that is admitted")
        with connect(place / "from") as client, contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_full_table_of_descriptors(place):
    """Those who cannot be served yet are served later, and nobody is lost."""

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))

    with listener(place / "to") as server, relay(place, f"unix://{place}/from", f"unix://{place}/to", preexec_fn=limit) as r:
        echo_server(server)
        clients = [connect(place / "from") for _ in range(60)]
        for n, client in enumerate(clients):
            client.sendall(bytes([n]))
        eventually(lambda: len(os.listdir(f"/proc/{r.pid}/fd")) >= 31)
        for n, client in enumerate(clients):
            assert client.recv(1) == bytes([n])
            client.close()
        assert r.poll() is None


def rss(process):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]) * 1024


def test_idle_connections_cost_little(place, need):
    """Each has moved bytes both ways."""
    need(resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 2 * IDLE + 100, "the hard limit of descriptors is too low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with contextlib.ExitStack() as stack:
        lab = Lab(place, stack, *(("vsock", "vsock") if VSOCK else ("unix", "unix")))
        r, server = lab.process, lab.listening
        empty = rss(r)
        for _ in range(IDLE):
            client = stack.enter_context(lab.client())
            served = stack.enter_context(accept(server))
            client.sendall(b"x" * 1000)
            assert len(served.recv(1000)) == 1000
            served.sendall(b"y")
            assert client.recv(1) == b"y"
        used = rss(r)
        print(f"{IDLE} idle connections: {used / 1024:.0f} KiB, {(used - empty) / IDLE:.0f} bytes each")
        if "san/" not in TOOL:  # sanitizers keep much of their own
            assert used < (4 + 12 * IDLE / 10000) * 2**20  # 10,000 in 16 MiB
        assert len(os.listdir(f"/proc/{r.pid}/task")) <= 7  # serving, and two that wait for signals


# --- Ending ------------------------------------------------------------------------------------------------------------------


def drain_once(place, number):
    """Ten clients in all stages when it is asked to end: one byte of each must not be missing."""
    where = place / str(number)
    where.mkdir()
    payload = MIB[: 1000 * (number % 300 + 1)]
    got = []

    def serve(server):
        with contextlib.suppress(OSError):
            while True:
                s = accept(server)
                threading.Thread(target=attend, args=[s]).start()

    def attend(s):
        with s:
            got.append(read_to_end(s))
            s.sendall(b"receipt")

    with listener(where / "to") as server, relay(where, f"unix://{where}/from", f"unix://{where}/to") as r:
        threading.Thread(target=serve, args=[server], daemon=True).start()
        clients = [connect(where / "from") for _ in range(10)]
        for client in clients[:5]:
            client.sendall(payload[:500])
        r.terminate()
        for client in clients[:5]:
            client.sendall(payload[500:])
        for client in clients[5:]:
            client.sendall(payload)
        for client in clients:
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == b"receipt"
            client.close()
        assert r.wait(30) == 0
        assert not (where / "from").exists()
        server.shutdown(socket.SHUT_RDWR)
    assert got == [payload] * 10
    shutil.rmtree(where)


def test_drains_lose_nothing(place):
    for number in range(DRAINS):
        drain_once(place, number)


def test_patience_ends(place):
    with listener(place / "to") as server, relay(place, "--drain", "0.3", f"unix://{place}/from", f"unix://{place}/to") as r:
        with connect(place / "from") as client, accept(server):
            begun = time.monotonic()
            r.terminate()
            assert client.recv(1) == b""
            assert 0.25 < time.monotonic() - begun < 5
            assert r.wait(10) == 0
            assert "then it was cut" in r.log()


def test_a_second_signal_ends_it_at_once(place):
    with listener(place / "to") as server, relay(place, "--drain", "forever", f"unix://{place}/from", f"unix://{place}/to") as r:
        with connect(place / "from"), accept(server):
            r.terminate()
            eventually(lambda: not (place / "from").exists())
            time.sleep(0.5)
            r.terminate()
            assert r.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize("more", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_two_signals_in_one_breath_are_one_wish(place, more):
    """timeout(1) tells its child and then the group; systemd with SendSIGHUP= sends both; a terminal tells its whole group."""
    pidfile = place / "pid"
    words = "--drain", "forever", "--pidfile", str(pidfile), f"unix://{place}/from", f"unix://{place}/to"
    for nap in (0, 0.02):
        with listener(place / "to") as server, relay(place, *words) as r:
            eventually(lambda n=r.pid: pidfile.exists() and pidfile.read_text() == f"{n}\n")
            with connect(place / "from") as client, accept(server) as s:
                client.sendall(b"first ")
                assert s.recv(6) == b"first "
                r.terminate()
                time.sleep(nap)
                r.send_signal(more)
                eventually(lambda: not (place / "from").exists())
                client.sendall(b"second")
                assert s.recv(6) == b"second"
            assert r.wait(10) == 0
            assert not pidfile.exists()
        (place / "to").unlink()


def test_a_second_signal_while_it_leaves_changes_nothing(place):
    """Nobody is there to be waited for, so it is on its way out when the second comes."""
    for turn in range(DRAINS):
        with relay(place, f"unix://{place}/from", f"unix://{place}/to") as r:
            r.terminate()
            time.sleep(turn / 2000)
            r.send_signal(signal.SIGHUP)
            assert r.wait(10) == 0


def test_no_client_is_taken_while_it_drains(place):
    with listener(place / "to") as server, relay(place, f"unix://{place}/from", f"unix://{place}/to") as r:
        with connect(place / "from") as client, accept(server) as s:
            r.terminate()
            eventually(lambda: not (place / "from").exists())
            with pytest.raises(OSError):
                connect(place / "from")
            client.sendall(b"still here")
            assert s.recv(10) == b"still here"
        assert r.wait(10) == 0


# --- A service ---------------------------------------------------------------------------------------------------------------

PASS = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",")]
kept = [os.dup(fd) for fd in fds]       # out of the way
kept = [os.dup(fd) if fd < 10 else fd for fd in kept]
for number, fd in enumerate(kept):
    os.dup2(fd, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextlib.contextmanager
def activated(place, sockets, names, *words):
    fds = [s.fileno() for s in sockets]
    command = [shutil.which("python3"), "-c", PASS, ",".join(map(str, fds)), names, TOOL, "relay", "-v", *words]
    with open(place / "log", "wb") as err, subprocess.Popen(command, pass_fds=fds, stderr=err, stdin=subprocess.DEVNULL) as process:
        process.log = (place / "log").read_text
        try:
            yield process
        finally:
            process.kill()


def test_activation_by_name(place):
    (place / "rules").write_text(f"activated:web unix://{place}/to\nactivated:docker unix://{place}/other\n")
    doors = [listener(place / name) for name in "abc"]
    with listener(place / "to") as to, listener(place / "other") as other, contextlib.ExitStack() as stack:
        for door in doors:
            stack.enter_context(door)
        with activated(place, doors, "web:docker:web", "--rules", str(place / "rules")) as r:
            for path, server in (("a", to), ("b", other), ("c", to)):
                with connect(place / path) as client, accept(server) as s:
                    client.sendall(b"hello")
                    assert s.recv(5) == b"hello"
            r.terminate()
            assert r.wait(10) == 0
        assert all((place / name).exists() for name in "abc")
        with connect(place / "a") as client, accept(doors[0]) as s:  # they are the manager's, and take clients still
            client.sendall(b"x")
            assert s.recv(1) == b"x"


def test_activation_of_all(place):
    with listener(place / "a") as a, listener(place / "to") as to, activated(place, [a], "unknown", "activated", f"unix://{place}/to"):
        with connect(place / "a") as client, accept(to) as s:
            client.sendall(b"x")
            assert s.recv(1) == b"x"


def test_nothing_was_passed_on(place):
    for from_ in ("activated", "activated:web"):
        done = run("relay", from_, f"unix://{place}/to", env={**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": "1"})
        assert done.returncode == 1
        assert b"no such socket was passed on" in done.stderr


def test_pid_file(place):
    words = "-pidfile", str(place / "pid"), f"unix://{place}/from", f"unix://{place}/to"
    with relay(place, *words) as r:
        eventually((place / "pid").exists)
        eventually(lambda: (place / "pid").read_text() == f"{r.pid}\n")
        assert stat.S_IMODE((place / "pid").stat().st_mode) == 0o600
        r.terminate()
        assert r.wait(10) == 0
        assert not (place / "pid").exists()
    done = run("relay", "--pidfile", str(place / "no/pid"), f"unix://{place}/from", f"unix://{place}/to")
    assert (done.returncode, done.stderr) == (1, f"virtsock: {place}/no/pid: No such file or directory\n".encode())


@pytest.mark.parametrize("abstract", [False, True])
def test_readiness(place, abstract):
    name = f"@relay-{os.getpid()}" if abstract else str(place / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(30)
        env = {**os.environ, "NOTIFY_SOCKET": name}
        with running("relay", f"unix://{place}/from", f"unix://{place}/to", env=env) as r:
            assert manager.recv(100) == b"READY=1"
            connect(place / "from").close()
            r.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            assert r.wait(10) == 0


def test_counters(place):
    with listener(place / "to") as server:
        echo_server(server)
        words = "--json", "--stats", f"unix://{place}/from", f"unix://{place}/to"
        with relay(place, *words, stdout=subprocess.PIPE) as r:
            with connect(place / "from") as client:
                client.sendall(b"12345")
                assert client.recv(5) == b"12345"
                now = {}
                while now.get("bytes_back") != 5:  # counted once they have gone, which the client may see first
                    r.send_signal(signal.SIGUSR1)
                    [now] = json.loads(r.stdout.readline())
            eventually(lambda: "5 bytes, 5 back" in r.log())
            server.close()
            (place / "to").unlink()
            with connect(place / "from") as client:
                assert client.recv(1) == b""
            r.terminate()
            [end] = json.loads(r.stdout.readline())
            assert r.wait(10) == 0
    same = {"from": f"unix://{place}/from", "to": f"unix://{place}/to", "broken": 0, "idle": 0, "refused": 0, "bytes": 5, "bytes_back": 5,
            "lost": 0, "unlogged": 0}
    assert now == {**same, "accepted": 1, "active": 1, "unreached": 0}
    assert end == {**same, "accepted": 2, "active": 0, "unreached": 1}


def test_counters_as_text(place):
    with relay(place, "--stats", f"unix://{place}/from", f"unix://{place}/to") as r:
        r.terminate()
        assert r.wait(10) == 0
        told = "accepted 0 active 0 unreached 0 broken 0 idle 0 refused 0 bytes 0 bytes_back 0 lost 0 unlogged 0"
        assert f"unix://{place}/from to unix://{place}/to: {told}\n" in r.log()


def test_detached(place):
    with listener(place / "to") as server, running("relay", "-detach", f"unix://{place}/from", f"unix://{place}/to") as r:
        eventually((place / "from").exists)
        eventually(lambda: {os.readlink(f"/proc/{r.pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"})
        with connect(place / "from") as client, accept(server) as s:
            client.sendall(b"x")
            assert s.recv(1) == b"x"


# --- Rules -------------------------------------------------------------------------------------------------------------------


def test_many_rules(place):
    (place / "rules").write_text(
        f"# services\n\n  unix://{place}/a\tunix://{place}/to max=1 idle=0.3 mode=660   # the first\n"
        f"unix://{place}/b unix://{place}/nowhere wait=0.1 allow=self allow=uid=1\r\n"
    )
    words = "--rules", str(place / "rules"), f"unix://{place}/c", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *words) as r:
        eventually(lambda: r.log().count("listening on") == 3)
        assert [stat.S_IMODE((place / name).stat().st_mode) for name in "abc"] == [0o660, 0o600, 0o600]
        with connect(place / "a") as a, accept(server), connect(place / "c") as c, accept(server) as s:
            assert a.recv(1) == b""  # idle, which the other rule is not
            c.sendall(b"x")
            assert s.recv(1) == b"x"
        with connect(place / "b") as b:
            assert b.recv(1) == b""
        eventually(lambda: "no connection within 100 ms" in r.log())


@pytest.mark.parametrize(
    "text, line, said",
    [
        ("unix:///a", 1, "unix:///a: a rule is FROM TO [KEY=VALUE]..."),
        ("# x\n\nunix:///a unix:///b speed=1", 3, "speed=1: after FROM and TO there may be"),
        ("unix:///a unix:///b idle", 1, "idle: after FROM and TO"),
        ("unix:///a unix:///b idle=x", 1, "idle=x: seconds, as 10, 0.5 or forever"),
        ("unix:///a unix:///b mode=999", 1, "mode=999: permission bits"),
        ("unix:///a unix:///b allow=nonsense", 1, "nonsense"),
        ("unix:///a vsock://3", 1, "port"),
        ("unix:///a activated", 1, "activated: "),
        ("activated: unix:///b", 1, "a name is missing"),
        ("syslog: unix:///b", 1, "a path is missing"),
        ("unix:///a vsock://3:any", 1, "TO needs a port"),
        ("unix:///a?type=seqpacket unix:///b", 1, "messages would lose their ends"),
        ("- -", 1, "standard input and output are one end"),
        ("- unix:///a\nunix:///b -", 2, "taken by another rule"),
        ("unix:///" + "a" * 17000 + " unix:///b", 1, "is too long"),
    ],
)
def test_wrong_rules(place, text, line, said):
    (place / "rules").write_text(text + "\n")
    done = run("relay", "--rules", str(place / "rules"))
    assert (done.returncode, done.stdout) == (2, b"")
    message = done.stderr.decode()
    assert message.startswith(f"virtsock: {place}/rules:{line}: ") and said in message


@pytest.mark.parametrize(
    "words, said",
    [
        ("", "needs a rule"),
        ("unix:///a", "needs FROM and TO"),
        ("unix:///a unix:///b unix:///c", "one word too many"),
        ("unix:///a /b", "unix://"),
        ("--pass-fd unix:///a unix:///b", "--pass-fd hands one connection"),
        ("--json - unix:///b", "--json is for standard output"),
        ("-detach - unix:///b", "-detach leaves no standard input"),
        ("-inport x:unix:/b", '-inport "x:unix:/b"'),
        ("-inport 1:tcp:/b", "PORT:unix:PATH"),
        ("-inport 1:unix:", "PORT:unix:PATH"),
        ("-inport 4294967296:unix:/b", "4294967296"),
        ("-syslog 514", "PORT:PATH"),
        ("-inport", "--inport needs a value"),
        ("--max x unix:///a unix:///b", '--max "x"'),
        ("-q unix:///a unix:///b", "no option -q"),
        ("--allow nonsense unix:///a unix:///b", "nonsense"),
    ],
)
def test_usage_errors(words, said):
    done = run("relay", *words.split())
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


def test_what_cannot_be_opened(place):
    done = run("relay", "--rules", str(place / "none"))
    assert (done.returncode, done.stderr[:16]) == (1, b"virtsock: --rule")
    (place / "file").write_text("")
    done = run("relay", f"unix://{place}/file", f"unix://{place}/to")
    assert done.returncode == 1
    assert done.stderr.startswith(f"virtsock: listen unix://{place}/file: ".encode())


# --- Datagrams ---------------------------------------------------------------------------------------------------------------


def frames(data):
    """vsudd's: a length in decimal, a blank, and so many bytes."""
    while data:
        length, _, data = data.partition(b" ")
        yield data[: int(length)]
        assert len(data) >= int(length)
        data = data[int(length) :]


def test_datagrams_are_framed(place):
    messages = [b"<30>first", b"x", b"a " * 3000, os.urandom(100000), b"<30>last"]
    with listener(place / "to") as server, relay(place, f"syslog:{place}/log.sock", f"unix://{place}/to", ready="datagrams at") as r:
        assert stat.S_IMODE((place / "log.sock").stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as program:
            program.connect(str(place / "log.sock"))
            for message in messages:
                program.send(message)
            with accept(server) as s:
                r.terminate()
                assert list(frames(read_to_end(s))) == messages  # what lay there is forwarded still
        assert r.wait(10) == 0
        assert not (place / "log.sock").exists()


def test_a_new_stream_begins_with_the_last_datagram(place):
    with listener(place / "to") as server, relay(place, f"syslog:{place}/log.sock", f"unix://{place}/to", ready="datagrams at") as r:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as program:
            program.connect(str(place / "log.sock"))
            program.send(b"one")
            with accept(server) as s:
                assert s.recv(100) == b"3 one"
            program.send(b"two")  # into the break, of which it tells
            with accept(server) as s:
                got = b""
                while got != b"3 one3 two":
                    got += s.recv(100)
            server.close()
            (place / "to").unlink()
            program.send(b"three")
            eventually(lambda: ": the last message is kept until that changes" in r.log())
            assert r.poll() is None


def test_stale_datagram_sockets_make_room_and_others_do_not(place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(place / "log.sock"))
        done = run("relay", f"syslog:{place}/log.sock", f"unix://{place}/to")
        assert (done.returncode, done.stderr) == (1, f"virtsock: syslog:{place}/log.sock: Address already in use\n".encode())
    with relay(place, "--mode", "666", f"syslog:{place}/log.sock", f"unix://{place}/to", ready="datagrams at"):
        assert stat.S_IMODE((place / "log.sock").stat().st_mode) == 0o666
