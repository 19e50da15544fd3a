# SPDX-License-Identifier: MIT
# ruff: noqa: F811
"""`virtsock relay` where nothing moves: in no state of a conversation, or of a door, does it do anything. System calls are counted, and no
time: a busy loop makes tens of thousands a second."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest
from test_relay import MIB, accept, connect, listener, place  # noqa: F401
from test_relay_ends import SHUT_WRITE, fill, take
from test_relay_service import descriptors, traced
from test_tools import eventually

SECONDS = 2


class Quiet:
    """A relay under strace: calls() has how many it makes in two seconds."""

    def __init__(self, place, pid):
        self.place, self.pid, self.number = place, pid, 0

    def log(self):
        return (self.place / "log").read_text()

    def lines(self):
        return (self.place / "trace").read_text().splitlines()

    def calls(self):
        time.sleep(0.5)  # what was under way comes to rest
        before = len(self.lines())
        time.sleep(SECONDS)
        made = [line.split(None, 1)[1].split("(")[0] for line in self.lines()[before:]]
        print(*sorted((made.count(name), name) for name in set(made)))
        return len(made)

    def converse(self, server, stack, path="from"):
        client = stack.enter_context(connect(self.place / path))
        return client, stack.enter_context(accept(server))


@pytest.fixture
def quiet(place, need):
    """quiet(WORDS, strace=OPTIONS): a relay from `from` to `to`, or as the words say."""
    need(shutil.which("strace"), "strace is not installed")
    need(subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0, "strace may not trace")
    with contextlib.suppress(ProcessLookupError), contextlib.ExitStack() as stack:  # it has ended already

        def begin(*words, strace=()):
            if not words or not any("://" in word for word in words):
                words = *words, f"unix://{place}/from", f"unix://{place}/to"
            return Quiet(place, stack.enter_context(traced(place, strace, *words)))

        yield begin


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def server(place, stack):
    return stack.enter_context(listener(place / "to"))


# --- Conversations ----------------------------------------------------------------------------------------------------------


def test_open(quiet, server, stack):
    r = quiet()
    client, s = r.converse(server, stack)
    client.sendall(b"request")
    assert take(s, 7) == b"request"
    assert r.calls() == 0


def test_half_closed_early(quiet, server, stack):
    """Before the relay has connected it, while it does, and after: the end may be told once more, when it was taken already."""
    r = quiet()
    for number in range(12):
        client = stack.enter_context(connect(r.place / "from"))
        client.sendall(b"request")
        time.sleep(number % 4 / 100)
        client.shutdown(socket.SHUT_WR)
        s = stack.enter_context(accept(server))
        assert take(s, 8) == b"request"
    assert r.calls() == 0


@pytest.mark.parametrize("size", [1, 65536, 200000, 1 << 20])
def test_an_answer_and_then_silence(quiet, server, stack, size):
    r = quiet()
    for nap in (0, 0.05, 0.3):
        client, s = r.converse(server, stack)
        client.sendall(b"request")
        client.shutdown(socket.SHUT_WR)
        assert take(s, 8) == b"request"
        time.sleep(nap)
        s.sendall(MIB[:size]) if size < 100000 else os.write(s.fileno(), MIB[:100000])
        assert take(client, min(size, 100000)) == MIB[: min(size, 100000)]
        for at in range(100000, size, 100000):
            s.sendall(MIB[at : min(at + 100000, size)])
            assert take(client, min(100000, size - at)) == MIB[at : min(at + 100000, size)]
    assert r.calls() == 0


def test_a_server_has_ended_and_its_client_has_not(quiet, server, stack):
    r = quiet()
    for _ in range(4):
        client, s = r.converse(server, stack)
        s.sendall(b"banner")
        s.shutdown(socket.SHUT_WR)
        assert take(client, 7) == b"banner"
        client.sendall(b"request")
        assert take(s, 7) == b"request"
    assert r.calls() == 0


@pytest.mark.parametrize("ended", ["open", "half-closed", "gone"])
def test_a_sender_and_a_slow_reader(quiet, server, stack, ended):
    """That the reader takes no more is told by nobody: it is looked for, ever more seldom."""
    r = quiet()
    client, _ = r.converse(server, stack)
    fill(client)
    if ended == "half-closed":
        client.shutdown(socket.SHUT_WR)
    elif ended == "gone":
        client.close()
    time.sleep(4)
    assert r.calls() <= 6


def test_messages(quiet, place, stack):
    server = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    server.bind(str(place / "to"))
    server.listen()
    server.settimeout(30)
    r = quiet(f"unix://{place}/from?type=seqpacket", f"unix://{place}/to?type=seqpacket")
    for number in range(4):
        client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        client.connect(str(place / "from"))
        client.send(b"request")
        if number % 2:
            client.shutdown(socket.SHUT_WR)
        s = stack.enter_context(accept(server))
        assert s.recv(100) == b"request"
        client.shutdown(socket.SHUT_WR)
        s.send(b"answer")
        client.settimeout(30)
        assert client.recv(100) == b"answer"
    assert r.calls() == 0


def test_tcp_and_its_ends(quiet, stack):
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    r = quiet(f"tcp://127.0.0.1:{port}", "tcp://127.0.0.1:%d" % server.getsockname()[1])
    for number in range(6):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        client.sendall(b"request")
        if number % 2:
            client.shutdown(socket.SHUT_WR)
        s = stack.enter_context(accept(server))
        assert take(s, 7) == b"request"
        s.sendall(b"answer")
        if number % 3 == 0:
            s.shutdown(socket.SHUT_WR)
        assert take(client, 6) == b"answer"
    assert r.calls() == 0


def test_frames_half_closed(quiet, stack):
    """They have no descriptor that a loop could wait for: what wakes nobody is looked for, ever more seldom."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    r = quiet(f"tcp://127.0.0.1:{port}?half-close=framed", "tcp://127.0.0.1:%d" % server.getsockname()[1])
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
    s = stack.enter_context(accept(server))
    client.sendall(struct.pack("<I", 7) + b"request" + SHUT_WRITE)
    assert take(s, 8) == b"request"
    assert r.calls() <= 16


def test_an_end_that_is_kept_back(quiet, server, stack):
    r = quiet("--no-half-close")
    client, s = r.converse(server, stack)
    client.sendall(b"request")
    client.shutdown(socket.SHUT_WR)
    assert take(s, 7) == b"request"
    assert r.calls() == 0


def test_idle_is_a_long_time(quiet, server, stack):
    r = quiet("--idle", "3600")
    r.converse(server, stack)
    assert r.calls() == 0


@pytest.mark.parametrize("left", [False, True], ids=["waits", "left"])
def test_a_target_that_is_not_there(quiet, stack, left):
    """It is looked for once in a while; what the client says, or that it leaves with its words unheard, makes no difference."""
    r = quiet("--drain", "0", "--wait", "forever")
    client = stack.enter_context(connect(r.place / "from"))
    client.sendall(b"words")
    eventually(lambda: "client 1 of" in r.log())
    if left:
        client.close()
    time.sleep(2)  # its pauses have grown
    assert r.calls() <= 60


# --- Asked to end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", ["60", "forever"])
def test_draining(quiet, server, stack, patience):
    r = quiet("--drain", patience)
    client, s = r.converse(server, stack)
    client.sendall(b"request")
    client.shutdown(socket.SHUT_WR)
    assert take(s, 8) == b"request"
    os.kill(r.pid, signal.SIGTERM)
    eventually(lambda: not (r.place / "from").exists())
    assert r.calls() == 0


def test_draining_after_the_socket_was_removed(quiet, server, stack):
    """While its rule had all clients: who waits at the old one is served still, and none is made again."""
    r = quiet("--drain", "forever", "--max", "1")
    r.converse(server, stack)
    (r.place / "from").unlink()
    time.sleep(1)
    os.kill(r.pid, signal.SIGTERM)
    assert r.calls() == 0


def test_draining_where_nobody_tells_of_removals(quiet, server, stack):
    """As on macOS and FreeBSD, and where a user has no inotify to spare: sockets are looked for, but for an end."""
    r = quiet("--drain", "forever", strace=["-e", "inject=inotify_init1:error=EMFILE"])
    r.converse(server, stack)
    os.kill(r.pid, signal.SIGTERM)
    eventually(lambda: not (r.place / "from").exists())
    assert r.calls() == 0
    time.sleep(10)
    assert r.calls() == 0


# --- Doors ------------------------------------------------------------------------------------------------------------------


def test_a_full_door(quiet, server, stack):
    r = quiet("--max", "1")
    r.converse(server, stack)
    waits = stack.enter_context(connect(r.place / "from"))
    waits.sendall(b"words")
    assert r.calls() == 0


def test_out_of_descriptors(quiet, server, stack):
    """Others of this machine may have them, so it is tried again, ever more seldom."""
    r = quiet("--threads", "1")
    limits = resource.prlimit(r.pid, resource.RLIMIT_NOFILE)
    have = len(descriptors(r.pid))
    resource.prlimit(r.pid, resource.RLIMIT_NOFILE, (have + 1, limits[1]))  # one for a client, none for its target
    client = stack.enter_context(connect(r.place / "from"))
    stack.enter_context(connect(r.place / "from"))
    client.sendall(b"words")
    time.sleep(2)
    assert r.calls() <= 16
    resource.prlimit(r.pid, resource.RLIMIT_NOFILE, limits)
    s = stack.enter_context(accept(server))
    assert take(s, 5) == b"words"


def test_descriptors_that_come_back_are_used_at_once(quiet, server, stack):
    """Of a conversation that ends: not only when the pause is over."""
    r = quiet("--threads", "1")
    first, s = r.converse(server, stack)
    limits = resource.prlimit(r.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(r.pid, resource.RLIMIT_NOFILE, (len(descriptors(r.pid)) + 1, limits[1]))
    client = stack.enter_context(connect(r.place / "from"))
    client.sendall(b"words")
    time.sleep(2.5)  # the pauses are long by now
    begun = len(r.lines())
    first.close()
    s.close()
    assert take(stack.enter_context(accept(server)), 5) == b"words"
    calls = "".join(r.lines()[begun:])
    assert calls.index("close(") < calls.index("socket(") and "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = -1" not in calls


@pytest.mark.parametrize("threads, conversations", [(1, 1), (2, 4)])
def test_a_door_is_tried_at_once_as_well(quiet, server, stack, threads, conversations):
    """Whichever thread's conversation has ended, of several: no wait is over in between."""
    r = quiet("--threads", str(threads))
    talks = [r.converse(server, stack) for _ in range(conversations)]
    limits = resource.prlimit(r.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(r.pid, resource.RLIMIT_NOFILE, (len(descriptors(r.pid)), limits[1]))
    client = stack.enter_context(connect(r.place / "from"))
    client.sendall(b"words")
    time.sleep(2.5)  # the pauses are long by now
    begun = len(r.lines())
    for end in talks[-1]:
        end.close()
    assert take(stack.enter_context(accept(server)), 5) == b"words"
    lines = r.lines()[begun:]
    closed = next(number for number, line in enumerate(lines) if "close(" in line)
    accepted = next(number for number, line in enumerate(lines) if "accept" in line and "= -1" not in line and number > closed)
    assert not [line for line in lines[closed:accepted] if "epoll_wait" in line and line.endswith(" = 0")]


def test_refused_clients(quiet, server, stack):
    r = quiet("--allow", "uid=%d" % (os.getuid() + 1))
    for _ in range(100):
        with contextlib.suppress(OSError):
            stack.enter_context(connect(r.place / "from"))
    eventually(lambda: r.log().count("refused, as no") == 100)
    assert r.calls() == 0
