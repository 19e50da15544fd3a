# SPDX-License-Identifier: MIT
"""Threads: any number of calls on one handle, buffers that others try to resize, and a GIL that is given up in time."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import virtsock
from conftest import IS_STREAM, running, stream_only
from virtsock import native
from watch import Watch

MESSAGES = 2000


def test_many_senders_and_receivers(pair) -> None:
    client, server = pair
    counts: list[int] = []

    def send(letter: bytes) -> None:
        for _ in range(MESSAGES):
            client.send(letter)

    def receive() -> None:
        total = 0
        while piece := server.recv(4096):
            total += len(piece)
        counts.append(total)

    with contextlib.ExitStack() as receivers:
        for _ in range(3):
            receivers.enter_context(running(receive))
        with contextlib.ExitStack() as senders:
            for letter in (b"a", b"b", b"c", b"d"):
                senders.enter_context(running(lambda letter=letter: send(letter)))
        client.shutdown(virtsock.SHUT_SEND)
    assert sum(counts) == 4 * MESSAGES


def test_messages_of_several_senders_stay_whole(pair) -> None:
    if IS_STREAM:
        pytest.skip("for messages")
    client, server = pair
    count = 50

    def send(sender: int) -> None:
        for i in range(count):
            size = 100 + (i * 7919 + sender * 3001) % 12000
            client.sendmsg([size.to_bytes(4, "little"), bytes([sender]) * size])

    with contextlib.ExitStack() as senders:
        for sender in range(4):
            senders.enter_context(running(lambda sender=sender: send(sender)))
        for _ in range(4 * count):
            message = server.recv(20000)
            size = int.from_bytes(message[:4], "little")
            assert len(message) == 4 + size and message[4:] == message[4:5] * size


def test_many_acceptors(listener) -> None:
    served = []

    def serve() -> None:
        for stream in listener:
            with stream:
                served.append(stream.recv(10))

    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(running(serve))
        for number in range(100):
            with virtsock.connect(listener.address, timeout=10) as client:
                client.send(b"%d" % number)
                assert client.recv(1) == b""
        listener.close()
    assert sorted(map(int, served)) == list(range(100))


def test_a_buffer_cannot_be_resized_during_the_call(pair) -> None:
    client, server = pair

    def recv_exact(buffer: bytearray) -> None:
        native.stream_recv_exact(server._handle, buffer, 10000)

    for call in (server.recv_into, recv_exact) if IS_STREAM else (server.recv_into,):
        buffer = bytearray(10)
        with running(lambda call=call, buffer=buffer: call(buffer)):
            end = time.monotonic() + 5
            with pytest.raises(BufferError):
                while time.monotonic() < end:
                    buffer.append(0)
                    buffer.pop()
            client.send(b"0123456789")
        assert buffer == b"0123456789"
        buffer.extend(b"free again")


@stream_only
def test_a_buffer_that_is_sent_cannot_be_resized(pair) -> None:
    client, server = pair
    data = bytearray(b"x" * (1 << 22))
    with running(lambda: client.sendall(data)):
        end = time.monotonic() + 5
        with pytest.raises(BufferError):
            while time.monotonic() < end:
                data.append(0)
                data.pop()
        assert server.recv_exact(1 << 22) == bytes(data)
    data.clear()


@pytest.mark.proves("T11")
def test_a_blocked_call_lets_others_run(pair, listener) -> None:
    client, server = pair
    for call in (lambda: client.recv(1), lambda: client.recv(1000000)):
        with running(call):
            time.sleep(0.05)
            watch = Watch()
            total = sum(range(100000))
            assert total and watch.end().used < 1
            server.send(b"x")
    with running(lambda: listener.accept().close()):
        time.sleep(0.05)
        with virtsock.connect(listener.address, timeout=5) as late:
            assert late.recv(1) == b""


def test_a_call_with_data_ready_keeps_the_gil(pair) -> None:
    """A thread that only computes would cost 5 ms a call if it were given up."""
    client, server = pair
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(100))

    with running(compute):
        time.sleep(0.02)
        watch = Watch()
        buffer = bytearray(16)
        for _ in range(200):
            client.sendall(b"x") if IS_STREAM else client.send(b"x")
            server.recv_into(buffer)
        watch.end()
        stop.set()
    if IS_STREAM:
        assert watch.used < 0.5


def test_close_from_many_threads(listener) -> None:
    for _ in range(200):
        client = virtsock.connect(listener.address)
        server = listener.accept()
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(running(client.close))
            with contextlib.suppress(OSError):
                client.recv(1)
        assert client.fileno() == -1
        server.close()
