# SPDX-License-Identifier: MIT
"""half-close=framed against a second implementation of its frames (interop/framed_peer.py), in the manners of both its ancestors: who
begins, who ends first, and in what order."""

import contextlib
import hashlib
import itertools
import os
import socket
import subprocess
import threading

import pytest
import virtsock
from interop.framed_peer import CLOSE, SHUTDOWN_READ, SHUTDOWN_WRITE, Closed, Go, OCaml
from test_tools import TOOL

pytestmark = pytest.mark.proves("framed")

DATA = os.urandom(1 << 20)


@contextlib.contextmanager
def thread(work):
    """What it returns, or raises, is .result's."""

    class Thread(threading.Thread):
        def run(self):
            try:
                self.value = work()
            except Exception as error:
                self.value = error

        def result(self):
            self.join(20)
            assert not self.is_alive(), "the other side hangs"
            if isinstance(self.value, Exception):
                raise self.value
            return self.value

    made = Thread(daemon=True)
    made.start()
    yield made
    made.result()


@pytest.fixture(params=[OCaml, Go], ids=["ocaml", "go"])
def kind(request):
    return request.param


@pytest.fixture(params=["connected", "accepted"])
def ends(request, kind, tmp_path):
    """The library's stream and the peer."""
    path = tmp_path / "s"
    if request.param == "accepted":
        with virtsock.listen(f"unix://{path}?half-close=framed", timeout=20) as listener:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(path))
            stream = listener.accept()
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            stream = virtsock.connect(f"unix://{path}?half-close=framed")
            sock, _ = listener.accept()
    with stream, sock:
        stream.settimeout(20)
        sock.settimeout(20)
        yield stream, kind(sock)
        stream.abort()


def read_all(peer):
    data = b""
    while piece := peer.read():
        data += piece
    return data


def recv_all(stream):
    with stream.makefile("rb") as file:
        return file.read()


def close(stream, ms=10000):
    virtsock.native.stream_close(stream._handle, ms)


def test_a_megabyte_each_way_at_once(ends):
    stream, peer = ends
    back = DATA[::-1]
    with thread(lambda: read_all(peer)) as read, thread(lambda: (peer.write(back), peer.shutdown_write())):
        with thread(lambda: (stream.sendall(DATA), stream.shutdown(virtsock.SHUT_SEND))):
            assert recv_all(stream) == back
        assert hashlib.sha256(read.result()).digest() == hashlib.sha256(DATA).digest()
    with thread(peer.close):
        close(stream)


def test_nothing_is_lost_when_we_close_at_once(ends):
    """The peer reads slowly; its answer to Close is what the close waits for."""
    stream, peer = ends
    with thread(lambda: read_all(peer)) as read:
        stream.sendall(DATA)
        close(stream)
        assert read.result() == DATA
    assert peer.heard[0] == CLOSE and peer.closed


def test_nothing_is_lost_when_the_peer_closes_at_once(ends):
    stream, peer = ends
    with thread(lambda: (peer.write(DATA), peer.close())):
        assert recv_all(stream) == DATA
        with pytest.raises(virtsock.Error) as caught:
            stream.send(b"x")
        assert caught.value.status == virtsock.Status.RESET


def test_both_close_at_once(ends, kind):
    stream, peer = ends
    if kind is OCaml:
        stream.sendall(b"unread")
    with thread(peer.close):
        close(stream)


def test_a_peer_that_reads_no_more_is_not_waited_for(ends):
    """It hears no Close: until it closes itself it reads nothing."""
    stream, peer = ends
    stream.sendall(b"unread")
    peer.shutdown_read()
    close(stream)
    assert peer.read() == b""


def test_we_read_no_more(ends):
    stream, peer = ends
    stream.shutdown(virtsock.SHUT_RECV)
    stream.sendall(b"x")
    assert peer.read() == b"x" and peer.heard == [SHUTDOWN_READ]
    with pytest.raises(Closed):
        peer.write(b"x")
    assert stream.recv(1) == b""


ORDERS = [order for n in range(3) for order in itertools.permutations(("read", "write"), n)]


def we(stream, order):
    for what in order:
        stream.shutdown({"read": virtsock.SHUT_RECV, "write": virtsock.SHUT_SEND}[what])
    close(stream, 5000)


def they(peer, order):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for what in order:
            {"read": peer.shutdown_read, "write": peer.shutdown_write}[what]()
    peer.close()


@pytest.mark.parametrize("theirs", ORDERS, ids="+".join)
@pytest.mark.parametrize("ours", ORDERS, ids="+".join)
def test_every_order_of_both(ends, ours, theirs):
    """At the same time: whatever is said before Close, in whatever order, neither hangs, and the library's close is in order."""
    stream, peer = ends
    stream.sendall(b"data")
    assert peer.read() == b"data"  # Go throws away what it has not read, and that is a reset
    peer.write(b"unread")
    with thread(lambda: they(peer, theirs)):
        we(stream, ours)


ENDS = {
    "close": lambda stream: stream.close(),
    "with": lambda stream: stream.__exit__(None, None, None),
    "finish": lambda stream: stream.finish(20),
    "linger": close,
}
IN_ORDER = [order for order in ORDERS if "read" not in order]


@pytest.mark.parametrize("first", ["ours", "theirs", "both"])
@pytest.mark.parametrize("theirs", IN_ORDER, ids=["theirs", "theirs-write"])
@pytest.mark.parametrize("ours", IN_ORDER, ids=["ours", "ours-write"])
@pytest.mark.parametrize("how", ENDS)
def test_no_pipe_is_broken(ends, kind, how, ours, theirs, first):
    """In every order of ends without a ShutdownRead: each says Close and has the other's, and all that was sent has come."""
    stream, peer = ends
    if kind is Go:
        pytest.skip("it reads four bytes, whatever they are, and hangs up")
    stream.sendall(b"answer")
    peer.write(b"more")
    assert peer.read() == b"answer" and stream.recv_exact(4) == b"more"

    def end_here():
        if first == "theirs":
            assert stream.recv(1) == b""
        for _ in ours:
            stream.shutdown(virtsock.SHUT_SEND)
        ENDS[how](stream)

    def end_there():
        if first == "ours":
            assert peer.read() == b""
        for _ in theirs:
            peer.shutdown_write()
        peer.close()

    with thread(end_there):
        end_here()
    assert peer.broken == 0 and CLOSE in peer.heard


def test_words_are_what_the_peer_knows(ends):
    stream, peer = ends
    stream.shutdown(virtsock.SHUT_SEND)
    assert peer.read() == b"" and peer.heard == [SHUTDOWN_WRITE]
    peer.write(b"still")
    assert stream.recv_exact(5) == b"still"
    with thread(peer.close):
        assert stream.recv(1) == b""


def test_the_command(kind, tmp_path):
    """`virtsock cat`, whose other end is the peer."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/s")
        listener.listen()
        command = [TOOL, "cat", f"unix://{tmp_path}/s?half-close=framed"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
            sock, _ = listener.accept()
            sock.settimeout(20)
            peer = kind(sock)
            cat.stdin.write(b"question")
            cat.stdin.close()
            assert read_all(peer) == b"question"
            peer.write(b"answer")
            peer.shutdown_write()
            with thread(peer.close):
                assert cat.stdout.read() == b"answer" and cat.wait(20) == 0
            assert peer.broken == 0
