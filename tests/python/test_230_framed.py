# SPDX-License-Identifier: MIT
"""half-close=framed: streams that speak its frames with a peer that knows nothing of them but the bytes of the vectors."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import virtsock
from conftest import SLOW, fails_with, running, stream_only
from virtsock import Address, Status
from watch import Watch, wake

pytestmark = stream_only

VECTORS = Path(__file__).parents[1] / "vectors/frames.tsv"
TALKS = [line.split("\t")[1] for line in VECTORS.read_text("ascii").splitlines() if line.startswith("talk\t")]
HOW = {"recv": virtsock.SHUT_RECV, "send": virtsock.SHUT_SEND, "both": virtsock.SHUT_BOTH}


def framed(address: Address) -> Address:
    return Address(f"{address}?half-close=framed")


@pytest.fixture(params=["accepted", "connected"])
def half(request, address) -> Iterator[tuple[virtsock.Stream, virtsock.Stream]]:
    """A framed stream, and its peer, which is none."""
    plain = address()
    ends = [framed(plain), plain] if request.param == "accepted" else [plain, framed(plain)]
    with virtsock.listen(ends[0], timeout=5) as listener, virtsock.connect(ends[1], timeout=5) as client, listener.accept() as server:
        server.settimeout(5)
        yield (server, client) if request.param == "accepted" else (client, server)
        client.abort()
        server.abort()


@pytest.fixture
def settle(address) -> Iterator[Callable[[], None]]:
    """Waits until what was sent has come: a moment later, but in order, between connections too, so when a byte on another one has."""
    with virtsock.listen(address(), timeout=5) as listener, virtsock.connect(listener.address) as client, listener.accept() as server:
        def wait() -> None:
            client.sendall(b".")
            server.recv_exact(1)
        yield wait


def fails(call, status: str) -> None:
    with fails_with(Status[status.upper()]):
        call()


def check_recv(stream: virtsock.Stream, how: str) -> None:
    if how[0] == ":":
        assert stream.recv_exact(len(how) - 1) == how[1:].encode()
    elif how == "!eof":
        assert stream.recv(100) == b""
    else:
        stream.settimeout(0 if how == "!again" else 5)
        fails(lambda: stream.recv(100), how[1:])
        stream.settimeout(5)


def check_step(stream: virtsock.Stream, peer: virtsock.Stream, step: str) -> None:
    verb, rest = step[:4], step[4:]
    if step[0] == "<":
        peer.sendall(bytes.fromhex(step[1:]))
    elif step[0] == ">":
        want = bytes.fromhex(re.sub(r"(..){(\d+)}", lambda repeat: repeat[1] * int(repeat[2]), step[1:]))
        assert peer.recv_exact(len(want)) == want
    elif verb == "recv":
        check_recv(stream, rest)
    elif verb == "send" and rest[0] == ":":
        stream.sendall(rest[1:].encode())
    elif verb == "send" and rest[0] == "{":
        stream.sendall(b"x" * int(rest[1:-1]))
    elif verb == "send":
        fails(lambda: stream.send(b"x"), rest[1:])
    elif verb == "shut":
        stream.shutdown(HOW[rest[1:]])
    elif step.startswith(("close!", "end!")):
        what, _, status = step.partition("!")
        linger_ms = 100 if status == "timeout" else 20000
        close = stream.close if what == "end" else lambda: virtsock.native.stream_close(stream._handle, linger_ms)
        if status == "ok":
            close()
        else:
            fails(close, status)
    elif step.startswith("peer:"):
        assert ("here", "ended", "deaf", "gone")[stream.info["peer_state"]] == step[5:]
    elif step in ("abort", "hangup"):
        (stream if step == "abort" else peer).abort()
    else:
        assert step == "over" and peer.recv(1) == b""


@pytest.mark.parametrize("steps", TALKS)
def test_talk(half, settle, steps) -> None:
    for step in steps.split(" "):
        check_step(*half, step)
        settle()


def test_there_are_enough_talks() -> None:
    assert len(TALKS) > 40


@pytest.fixture
def pair(address) -> Iterator[tuple[virtsock.Stream, virtsock.Stream]]:
    listening = virtsock.listen(framed(address()), timeout=5)
    with listening as listener, virtsock.connect(listener.address, timeout=5) as client, listener.accept() as server:
        server.settimeout(5)
        yield client, server
        client.abort()
        server.abort()


def test_half_close_and_files(pair) -> None:
    client, server = pair
    data = bytes(range(256)) * 1000
    with running(lambda: (client.sendall(data), client.shutdown(virtsock.SHUT_SEND))), server.makefile("rb") as file:
        assert file.read() == data
    server.sendmsg([b"an", b"", b"swer\n"])
    with client.makefile("r") as lines:
        assert lines.readline() == "answer\n"


def test_finish_and_the_peer_s(pair) -> None:
    client, server = pair
    client.sendall(b"last words")
    with running(client.finish):
        assert server.recv_exact(10) == b"last words" and server.recv(1) == b""
        server.finish(5)


def test_it_has_no_descriptor(pair) -> None:
    for stream in pair:
        assert stream.fileno() == -1 and "closed" not in repr(stream)
        fails(stream.detach, "unsupported")
        fails(stream.to_socket, "unsupported")
    pair[0].abort()
    assert "closed" in repr(pair[0])
    fails(lambda: pair[1].recv(1), "reset")


def test_addresses_say_framed(address) -> None:
    where = framed(address())
    with virtsock.listen(where, timeout=5) as listener, virtsock.connect(where) as client:
        assert listener.address == where == client.peer and where.half_close == "framed"
        client.abort()
    with fails_with(Status.INVALID, "exclude"):
        virtsock.connect("unix:///nowhere?type=seqpacket&half-close=framed")


def test_close_ends_calls(half) -> None:
    """A receive, and a shutdown that has no room; other threads go on meanwhile."""
    stream, _ = half
    stream.settimeout(None)
    ends: list[Watch] = []

    def ended(call, status: str) -> None:
        watch = Watch()
        fails(call, status)
        ends.append(watch.end())

    def receive() -> bytes:
        while True:
            with contextlib.suppress(BlockingIOError):      # it began when the limit was that of the sends
                return stream.recv(1)

    with running(lambda: ended(receive, "cancelled")):
        stream.settimeout(0)
        with pytest.raises(BlockingIOError):
            while True:
                stream.send(bytes(4096))
        stream.settimeout(None)
        with running(lambda: ended(lambda: stream.shutdown(virtsock.SHUT_SEND), "cancelled")):
            time.sleep(0.1)
            closing = Watch()
            with contextlib.suppress(virtsock.Error):           # the peer reads nothing, not that either
                stream.close()
            closing.end()
    assert len(ends) == 2 and wake(closing, *ends) < 0.1 * SLOW


def test_a_close_with_a_call_inside_is_in_order(pair) -> None:
    client, server = pair
    client.settimeout(None)
    with running(lambda: fails(lambda: client.recv(1), "cancelled")):
        time.sleep(0.1)
        with running(client.close):
            assert server.recv(1) == b""


@pytest.mark.parametrize("how", ["close", "with", "finish"])
def test_every_ordinary_end_says_close(pair, how) -> None:
    """And waits for the answer: a slow peer gets all of it."""
    client, server = pair
    client.sendall(bytes(50000))

    def end() -> None:
        if how == "with":
            with client:
                pass
        elif how == "close":
            client.close()
        else:
            client.finish()

    with running(end) as thread:
        time.sleep(0.2)
        assert thread.is_alive()
        assert server.recv_exact(50000) == bytes(50000) and server.recv(1) == b""
        server.close()


def test_what_a_block_raises_is_not_hidden(half) -> None:
    """By a close whose peer does not answer."""
    with pytest.raises(ZeroDivisionError), half[0]:
        raise ZeroDivisionError


def test_threads(pair) -> None:
    """Three send and three receive; every byte comes once."""
    client, server = pair
    got: list[int] = []
    lock = threading.Lock()

    def receive() -> None:
        while data := server.recv(1000):
            with lock:
                got.extend(data)

    receivers = [threading.Thread(target=receive) for _ in range(3)]
    senders = [threading.Thread(target=lambda mark=mark: [client.sendall(bytes([mark]) * n) for n in range(1, 60)]) for mark in range(3)]
    for thread in receivers + senders:
        thread.start()
    for thread in senders:
        thread.join()
    client.shutdown(virtsock.SHUT_SEND)
    for thread in receivers:
        thread.join()
    assert [got.count(mark) for mark in range(3)] == [sum(range(1, 60))] * 3
