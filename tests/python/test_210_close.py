# SPDX-License-Identifier: MIT
"""Closing: it ends the calls of other threads at once, and every later one."""

from __future__ import annotations

import errno
import functools
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import virtsock
from conftest import SLOW, running, stream_only, unix_only
from virtsock import Status, native
from watch import Watch, wake

COUNTED = Path("/proc/thread-self/schedstat").exists()  # what the machine takes
DELAYS = (0, 0.0003, 0.0006, 0.003)  # the first wait of a call lasts a millisecond and needs no wake
ROUNDS = int(os.environ.get("VIRTSOCK_TEST_ROUNDS", "1000"))


def test_use_after_close(pair, listener) -> None:
    client, _ = pair
    client.close()
    client.close()
    client.abort()
    buffer = bytearray(1)
    for call in (
        lambda: client.recv(1),
        lambda: client.recv_into(buffer),
        lambda: client.send(b"x"),
        lambda: client.sendmsg([b"x"]),
        lambda: client.shutdown(virtsock.SHUT_SEND),
        client.detach,
        client.to_socket,
        lambda: client.peer,
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.status == Status.CANCELLED and caught.value.errno == errno.EBADF
    assert client.fileno() == -1 and repr(client) == "<virtsock.Stream closed>"
    listener.close()
    listener.close()
    with pytest.raises(OSError) as caught:
        listener.accept()
    assert caught.value.errno == errno.EBADF and listener.fileno() == -1


@stream_only
def test_all_of_it_after_close(pair) -> None:
    client, _ = pair
    client.close()
    for call in (lambda: client.sendall(b"x"), lambda: client.recv_exact(1)):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF


def wakes(call: Callable[[], object], close: Callable[[], object], delay: float) -> float:
    """How long the call goes on after the close."""
    status: list[object] = []
    inside: list[Watch] = []

    def blocked() -> None:
        inside.append(Watch())
        try:
            status.append(call())
        except virtsock.Error as error:
            inside[0].end()
            status.append(error.status)

    with running(blocked):
        while not inside:
            time.sleep(0)
        time.sleep(delay)
        closing = Watch()
        close()
        closing.end()
    assert status == [Status.CANCELLED]
    return wake(closing, inside[0])


def check(times: list[float]) -> None:
    assert len(times) == ROUNDS
    assert statistics.median(times) < 0.05 and max(times) < (0.1 * SLOW if COUNTED else 2)


def test_close_wakes_recv(listener) -> None:
    times = []
    for number in range(ROUNDS):
        client = virtsock.connect(listener.address)
        with listener.accept():
            times.append(wakes(lambda c=client: c.recv(1), client.close, DELAYS[number % 4]))
    check(times)


def test_close_wakes_send(listener) -> None:
    times = []
    piece = bytes(60000)
    for number in range(ROUNDS):
        client = virtsock.connect(listener.address)

        def fill(stream: virtsock.Stream = client) -> None:
            while True:
                stream.send(piece)

        with listener.accept():
            times.append(wakes(fill, client.close, DELAYS[number % 4]))
    check(times)


def test_close_wakes_accept(address) -> None:
    times = []
    for number in range(ROUNDS):
        listener = virtsock.listen(address())
        times.append(wakes(listener.accept, listener.close, DELAYS[number % 4]))
    check(times)


@unix_only
def test_close_wakes_connect(address) -> None:
    """A full backlog, and pauses between attempts."""
    times = []
    options = native.options_new()
    native.options_set(options, native.OPTION_WAIT, -1)
    native.options_set(options, native.OPTION_BACKOFF_FIRST, 10000)
    native.options_set(options, native.OPTION_BACKOFF_MAX, 10000)
    with virtsock.listen(address(), backlog=1) as listener:
        clients = [virtsock.connect(listener.address) for _ in range(2)]
        for number in range(ROUNDS):
            where = listener.address if number % 2 else address()
            handle = native.connect_start(where._handle, options)
            connect, close = functools.partial(native.stream_connect, handle, -1), functools.partial(native.stream_close, handle, 0)
            times.append(wakes(connect, close, DELAYS[number % 4]))
        for client in clients:
            client.close()
    check(times)


@stream_only
def test_finish_loses_nothing(listener) -> None:
    data = bytes(range(256)) * 4000
    got = bytearray()

    def slow() -> None:
        with listener.accept() as server:
            server.settimeout(10)
            time.sleep(0.1)
            server.sendall(b"ignored")
            while piece := server.recv(65536):
                got.extend(piece)

    with running(slow):
        client = virtsock.connect(listener.address, timeout=10)
        client.sendall(data)
        client.finish(10)
        assert client.fileno() == -1
    assert got == data


def test_finish_has_a_limit(pair) -> None:
    client, _ = pair
    watch = Watch()
    with pytest.raises(TimeoutError):
        client.finish(0.2)
    watch.end()
    assert 0.2 <= watch.took and watch.used < 2 and client.fileno() == -1


@stream_only
def test_abort_cuts_a_finish_short(pair) -> None:
    client, _ = pair

    def finish() -> None:
        with pytest.raises(OSError) as caught:
            client.finish()
        assert caught.value.status == Status.CANCELLED

    with running(finish):
        time.sleep(0.1)
        watch = Watch()
        client.abort()
        assert watch.end().used < 1


def test_a_second_close_returns_when_it_is_closed(pair) -> None:
    """Whoever else closes; the peer is told of the end before it is waited for."""
    client, server = pair

    def finish() -> None:
        with pytest.raises(OSError) as caught:
            client.finish(60)
        assert caught.value.status == Status.CANCELLED

    with running(finish):
        assert server.recv(1) == b""
        client.abort()
        assert client.fileno() == -1


@unix_only
def test_finish_tells_of_a_reset(pair) -> None:
    """The peer leaves with our bytes unread: that is no end in order."""
    client, server = pair
    client.send(b"unread")
    server.abort()
    with pytest.raises(ConnectionResetError):
        client.finish(20)


@stream_only
def test_a_file_keeps_the_stream_open(pair) -> None:
    client, server = pair
    file = client.makefile("rwb")
    client.close()
    assert client.fileno() >= 0
    file.write(b"late")
    file.flush()
    assert server.recv_exact(4) == b"late"
    file.close()
    assert client.fileno() == -1 and server.recv(1) == b""


@stream_only
def test_a_file_leaves_the_stream_open(pair) -> None:
    client, server = pair
    with client.makefile("wb") as file:
        file.write(b"x")
    assert client.fileno() >= 0 and server.recv(10) == b"x"
    client.makefile("rb")
    client.abort()
    assert client.fileno() == -1


def test_the_context_manager_closes_whatever_happens(listener) -> None:
    with pytest.raises(ZeroDivisionError), virtsock.connect(listener.address) as client:
        raise ZeroDivisionError
    assert client.fileno() == -1
