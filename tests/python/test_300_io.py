# SPDX-License-Identifier: MIT
"""Bytes: every kind of buffer, both directions, ends, files, messages."""

from __future__ import annotations

import array
import contextlib
import io
import socket
import time
from collections.abc import Iterator

import pytest
import virtsock
from conftest import IS_STREAM, running, stream_only
from virtsock import Status, native

EVERY = bytes(range(256))


def test_bytes_are_bytes(pair) -> None:
    client, server = pair
    for data in (b"\0", b"a\0b\0", EVERY, bytearray(EVERY), memoryview(EVERY)[10:20], array.array("I", [1, 2**32 - 1])):
        assert client.send(data) == memoryview(data).nbytes
        assert server.recv(1000) == bytes(memoryview(data).cast("B"))


def test_recv_into(pair) -> None:
    client, server = pair
    buffer = bytearray(b"........")
    client.send(b"abc")
    assert server.recv_into(buffer) == 3 and buffer == b"abc....."
    client.send(b"12")
    assert server.recv_into(memoryview(buffer)[4:6]) == 2 and buffer == b"abc.12.."
    client.send(b"xy" if IS_STREAM else b"x")
    assert server.recv_into(buffer, 1) == 1 and buffer == b"xbc.12.."
    client.send(b"z")
    if IS_STREAM:
        assert server.recv_into(buffer, nbytes=1) == 1 and buffer == b"ybc.12.."
    assert server.recv_into(buffer, nbytes=0) == 1 and buffer == b"zbc.12.."
    numbers = array.array("H", [0, 0])
    client.send(b"\x01\0\x02\0")
    assert server.recv_into(numbers) == 4 and numbers.tobytes() == b"\x01\0\x02\0"


def test_buffers_that_do_not_do(pair) -> None:
    client, _ = pair
    for wrong in ("text", None, 5, [1, 2]):
        with pytest.raises(TypeError):
            client.send(wrong)
        with pytest.raises(TypeError):
            client.recv_into(wrong)
        if IS_STREAM:
            with pytest.raises(TypeError):
                client.sendall(wrong)
    with pytest.raises(BufferError):
        client.send(memoryview(EVERY)[::2])
    for wrong in (b"bytes", memoryview(b"bytes"), memoryview(bytearray(10))[::2]):
        with pytest.raises(TypeError):
            client.recv_into(wrong)
        with pytest.raises(TypeError):
            native.stream_recv_exact(client._handle, wrong, 0)
    for count in (-1, 6):
        with pytest.raises(ValueError):
            client.recv_into(bytearray(5), count)


def test_nothing_is_left_pinned(pair) -> None:
    client, server = pair
    buffer = bytearray(5)
    client.send(buffer)
    server.recv_into(buffer)
    client.sendmsg([buffer, buffer])
    with pytest.raises(TypeError):
        client.sendmsg([buffer, "no"])
    with pytest.raises(TypeError):
        native.stream_recv(client._handle, buffer, "no")
    with pytest.raises(TypeError):
        native.stream_send(client._handle, buffer, None)
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv_into(buffer)
    buffer.extend(b"more")


def test_empty(pair) -> None:
    client, server = pair
    assert client.send(b"") == 0 and client.sendmsg([]) == 0 and client.sendmsg([b"", b""]) == 0
    assert server.recv(0) == b"" and server.recv_into(bytearray()) == 0
    client.send(b"x")
    assert server.recv(5) == b"x"


def test_sendmsg(pair) -> None:
    client, server = pair
    assert client.sendmsg([b"one ", bytearray(b"two "), memoryview(b"three")]) == 13
    assert server.recv(100) == b"one two three"
    assert client.sendmsg(bytes([65 + i]) for i in range(3)) == 3 and server.recv(100) == b"ABC"
    for wrong in (None, 5, [None], ["x"], [b"ok", 5]):
        with pytest.raises(TypeError):
            client.sendmsg(wrong)
    if IS_STREAM:
        assert client.sendmsg([b"x"] * 1000) == 256 and server.recv_exact(256) == b"x" * 256
    else:
        with pytest.raises(OSError) as caught:
            client.sendmsg([b"x"] * 257)
        assert caught.value.status == Status.MESSAGE_TOO_LONG


@stream_only
def test_sendmsg_of_many_pieces_comes_back(pair) -> None:
    client, server = pair
    client.settimeout(None)
    got: list[bytes] = []
    with running(lambda: got.append(server.recv_exact(256 * 1024))):
        assert client.sendmsg([b"x" * 1024] * 300) == 256 * 1024
    assert got == [b"x" * 1024 * 256]
    server.settimeout(0)
    with pytest.raises(BlockingIOError):
        server.recv(1)


def test_half_close(pair) -> None:
    client, server = pair
    client.send(b"request")
    client.shutdown(virtsock.SHUT_SEND)
    client.shutdown(socket.SHUT_WR)
    assert server.recv(100) == b"request" and server.recv(100) == b"" and server.recv_into(bytearray(5)) == 0
    server.send(b"reply")
    assert client.recv(100) == b"reply"
    with pytest.raises(OSError) as caught:
        client.send(b"x")
    assert caught.value.status == Status.RESET


@contextlib.contextmanager
def both_ends(text: str, half_close: str) -> Iterator[tuple[virtsock.Stream, virtsock.Stream]]:
    where = text + ("&" if "?" in text else "?") + f"half-close={half_close}"
    with virtsock.listen(where, timeout=20) as listener, virtsock.connect(where, timeout=20) as client, listener.accept() as server:
        server.settimeout(20)
        yield client, server


@pytest.fixture(params=["none", "unknown"])
def whole(request, address) -> Iterator[tuple[virtsock.Stream, virtsock.Stream]]:
    """Two ends of a way with half-close=none, or unknown."""
    with both_ends(str(address()), request.param) as ends:
        yield ends


def test_no_half_close(whole) -> None:
    """Where the end of one direction would be that of both, or may be: finish sends no end early, and waits for the peer's."""
    client, server = whole
    assert client.peer.half_close in ("none", "unknown")
    for stream in whole:
        with pytest.raises(virtsock.Error, match=f"half-close={client.peer.half_close}") as caught:
            stream.shutdown(virtsock.SHUT_SEND)
        assert caught.value.status == Status.UNSUPPORTED and "let the peer end first" in caught.value.advice
    with running(lambda: client.finish(20)):
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.recv(1)
        server.send(b"answer")
        server.close()


def test_no_half_close_and_a_peer_that_stays(whole) -> None:
    client, server = whole
    with pytest.raises(TimeoutError):
        client.finish(0.05)
    assert client.fileno() == -1 and server.recv(1) == b""


def test_half_close_unchecked(address) -> None:
    """Who has found out by himself."""
    with both_ends(str(address()), "none") as (client, _), pytest.raises(virtsock.Error, match="half-close=none"):
        client.shutdown(virtsock.SHUT_SEND_UNCHECKED)
    with both_ends(str(address()), "unknown") as (client, server):
        client.shutdown(virtsock.SHUT_SEND_UNCHECKED)
        assert server.recv(1) == b""
        server.send(b"answer")
        assert client.recv(100) == b"answer"


def await_state(stream: virtsock.Stream, state: int) -> None:
    """What the peer did has come a moment later."""
    until = time.monotonic() + 20
    while stream.info["peer_state"] != state:
        assert time.monotonic() < until


def test_what_the_peer_has_ended(pair) -> None:
    client, server = pair
    assert client.info["peer_state"] == server.info["peer_state"] == 0
    server.send(b"last")
    server.shutdown(virtsock.SHUT_SEND)
    await_state(client, virtsock.PEER_ENDED)
    assert client.recv(10) == b"last" and client.recv(10) == b"" and server.info["peer_state"] == 0
    client.send(b"more")
    assert server.recv(10) == b"more"
    server.close()
    with pytest.raises(ConnectionResetError):
        while True:
            client.send(b"x")
    assert client.info["peer_state"] == virtsock.PEER_GONE == virtsock.PEER_ENDED | virtsock.PEER_DEAF


@stream_only
def test_recv_exact(pair) -> None:
    client, server = pair
    client.sendall(b"abcdefgh")
    assert server.recv_exact(3) == b"abc" and server.recv_exact(0) == b""
    client.close()
    with pytest.raises(EOFError) as caught:
        server.recv_exact(100)
    assert caught.value.partial == b"defgh" and caught.value.done == 5 and caught.value.status == Status.EOF
    for wrong in (None, "5", 1.5):
        with pytest.raises(TypeError):
            server.recv_exact(wrong)
    with pytest.raises(ValueError):
        server.recv_exact(-1)


@stream_only
def test_recv_exact_keeps_what_came_before_the_timeout(pair) -> None:
    client, server = pair
    client.sendall(b"abc")
    server.settimeout(0.05)
    with pytest.raises(TimeoutError) as caught:
        server.recv_exact(5)
    assert caught.value.partial == b"abc"


@stream_only
def test_files(pair) -> None:
    client, server = pair
    with client.makefile("rw", encoding="utf-8", newline="\n") as text, server.makefile("rwb") as binary:
        text.write("grüß\n")
        text.flush()
        assert binary.readline() == "grüß\n".encode()
        binary.write(b"one\ntwo\n")
        binary.flush()
        assert text.readline() == "one\n" and text.readline() == "two\n"
        assert isinstance(text, io.TextIOWrapper) and isinstance(binary, io.BufferedRWPair)
    with client.makefile("wb", 0) as raw:
        assert isinstance(raw, io.RawIOBase) and raw.write(b"raw") == 3
        with pytest.raises(io.UnsupportedOperation):
            raw.read(1)
    client.shutdown(virtsock.SHUT_SEND)
    with server.makefile("rb") as rest:
        assert rest.read() == b"raw"
    for wrong in ("a", "r+", "x"):
        with pytest.raises(ValueError):
            client.makefile(wrong)
    with pytest.raises(ValueError):
        client.makefile("r", 0)


@stream_only
def test_a_file_that_is_not_ready(pair) -> None:
    client, _ = pair
    client.setblocking(False)
    with client.makefile("rb", 0) as raw:
        assert raw.readinto(bytearray(5)) is None


@pytest.mark.skipif(IS_STREAM, reason="streams have no messages")
def test_messages(pair) -> None:
    client, server = pair
    for message in (b"one", b"two", EVERY):
        client.send(message)
    assert [server.recv(1000) for _ in range(3)] == [b"one", b"two", EVERY]
    client.sendmsg([b"in ", b"pieces"])
    client.send(b"after")
    with pytest.raises(OSError) as caught:
        server.recv(4)
    assert caught.value.status == Status.MESSAGE_TOO_LONG
    assert server.recv(100) == b"after"
    for call in (lambda: client.sendall(b"x"), lambda: client.recv_exact(1)):
        with pytest.raises(ValueError):
            call()
