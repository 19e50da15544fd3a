# SPDX-License-Identifier: MIT
"""Much data, in parts, with exact counts, and with signals that interrupt."""

from __future__ import annotations

import hashlib
import random
import signal
import time

import pytest
import virtsock
from conftest import handler, running, stream_only

pytestmark = stream_only

DATA = random.Random(1).randbytes(16 << 20)


@pytest.mark.parametrize("chunk", [100, 65536, 65537, 1 << 20])
def test_all_of_it(pair, chunk: int) -> None:
    client, server = pair
    data = DATA[: min(len(DATA), chunk * 2000)]
    digest = hashlib.sha256()

    def receive() -> None:
        while piece := server.recv(chunk):
            digest.update(piece)

    with running(receive):
        for at in range(0, len(data), chunk):
            client.sendall(memoryview(data)[at : at + chunk])
        client.shutdown(virtsock.SHUT_SEND)
    assert digest.digest() == hashlib.sha256(data).digest()


def test_one_sendall_and_one_recv_exact(pair) -> None:
    client, server = pair
    with running(lambda: client.sendall(DATA)):
        assert server.recv_exact(len(DATA)) == DATA


def test_recv_into_a_large_buffer(pair) -> None:
    client, server = pair
    buffer = bytearray(len(DATA))
    with running(lambda: client.sendall(DATA)):
        view, done = memoryview(buffer), 0
        while done < len(DATA):
            done += server.recv_into(view[done:])
    assert buffer == DATA


def test_partial_sends_are_counted(pair) -> None:
    client, server = pair
    client.setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += client.send(DATA[sent : sent + 1000000])
    server.settimeout(0.2)
    got = bytearray()
    with pytest.raises(TimeoutError):
        while True:
            got += server.recv(1 << 20)
    assert got == DATA[:sent]


@pytest.mark.parametrize("size", [60000, 1 << 22])
def test_a_sendall_that_runs_out_of_time_tells_how_far_it_came(pair, size: int) -> None:
    client, server = pair
    client.settimeout(0.2)
    sent = 0
    with pytest.raises(TimeoutError) as caught:
        while True:
            client.sendall(memoryview(DATA)[sent : sent + size])
            sent += size
    sent += caught.value.done
    assert server.recv_exact(sent) == DATA[:sent]
    server.settimeout(0)
    with pytest.raises(BlockingIOError):
        server.recv(1)


def test_signals_lose_nothing(pair) -> None:
    client, server = pair
    ticks = []
    digest = hashlib.sha256()

    def receive() -> None:
        while piece := server.recv(100000):
            digest.update(piece)
            if len(piece) > 50000:
                time.sleep(0.001)

    with handler(signal.SIGALRM, lambda *_: ticks.append(1)):
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        with running(receive):
            for _ in range(2):
                client.sendall(DATA)
            client.shutdown(virtsock.SHUT_SEND)
    assert len(ticks) > 5
    assert digest.digest() == hashlib.sha256(DATA * 2).digest()


def test_recv_exact_goes_on_after_signals(pair) -> None:
    client, server = pair
    ticks = []

    def slowly() -> None:
        for at in range(0, 100000, 10000):
            client.sendall(DATA[at : at + 10000])
            time.sleep(0.01)

    with handler(signal.SIGALRM, lambda *_: ticks.append(1)):
        signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
        with running(slowly):
            assert server.recv_exact(100000) == DATA[:100000]
    assert len(ticks) > 3
