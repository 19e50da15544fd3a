# SPDX-License-Identifier: MIT
"""Time: no wait ends early or much too late, signals keep the total, and Ctrl-C works while a call blocks."""

from __future__ import annotations

import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import virtsock
from conftest import IS_STREAM, IS_UNIX, SLOW, handler, interrupted_within, running, stream_only, unix_only
from virtsock import native
from watch import Watch

FULL = bytes(60000)


def times_out(call: Callable[[], object], seconds: float) -> None:
    watch = Watch()
    with pytest.raises(TimeoutError):
        call()
    watch.end()
    assert seconds <= watch.took and watch.used < seconds + 1


def fill(stream: virtsock.Stream) -> None:
    while True:
        stream.send(FULL)


def test_setting(pair, listener) -> None:
    client, _ = pair
    for thing in (client, listener):
        for seconds in (None, 0, 0.5, 3):
            thing.settimeout(seconds)
            assert thing.gettimeout() == seconds
        thing.setblocking(True)
        assert thing.gettimeout() is None
        thing.setblocking(False)
        assert thing.gettimeout() == 0
        thing.settimeout(math.inf)
        assert thing.gettimeout() is None
        for bad in (-1, math.nan):
            with pytest.raises(ValueError):
                thing.settimeout(bad)
        with pytest.raises(TypeError):
            thing.settimeout("1")
        assert thing.gettimeout() is None


def test_times_below_minus_one_do_not_fit(pair, listener) -> None:
    client, _ = pair
    for call in (
        lambda: native.stream_recv(client._handle, bytearray(1), -2),
        lambda: native.stream_send(client._handle, b"x", -2),
        lambda: native.stream_sendv(client._handle, [b"x"], -2),
        lambda: native.stream_connect(client._handle, -2),
        lambda: native.accept(listener._handle, -2),
        lambda: native.stream_close(client._handle, -2),
    ):
        with pytest.raises(OverflowError):
            call()


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.2])
def test_no_wait_ends_early(pair, listener, seconds: float) -> None:
    client, _ = pair
    client.settimeout(seconds)
    listener.settimeout(seconds)
    times_out(lambda: client.recv(1), seconds)
    times_out(lambda: client.recv(100000), seconds)
    times_out(lambda: client.recv_into(bytearray(5)), seconds)
    times_out(listener.accept, seconds)


@stream_only
def test_the_timeout_is_for_all_of_it(pair) -> None:
    client, server = pair
    server.settimeout(0.3)

    dripping = True

    def drip() -> None:
        while dripping:
            client.sendall(b"x")
            time.sleep(0.04)

    with running(drip):
        times_out(lambda: server.recv_exact(100), 0.3)
        dripping = False
    client.settimeout(0.2)
    times_out(lambda: client.sendall(bytes(1 << 24)), 0.2)


def test_zero_never_blocks(pair, listener) -> None:
    client, server = pair
    client.settimeout(0)
    listener.settimeout(0)
    watch = Watch()
    for call in (lambda: client.recv(1), lambda: client.recv(1000000), listener.accept, lambda: fill(client)):
        with pytest.raises(BlockingIOError):
            call()
    assert watch.end().used < 1
    server.send(b"x")
    assert select.select([client], [], [], 20)[0]
    assert client.recv(10) == b"x"


@unix_only
def test_connecting_to_a_full_backlog(address) -> None:
    with virtsock.listen(address(), backlog=1) as listener:
        clients = [virtsock.connect(listener.address) for _ in range(2)]
        times_out(lambda: virtsock.connect(listener.address, timeout=0.2), 0.2)
        times_out(lambda: virtsock.connect(listener.address, connect_timeout=0.1, timeout=5), 0.1)
        interrupted_within(lambda: virtsock.connect(listener.address), 0.1)
        handle = native.connect_start(listener.address._handle, None)
        with pytest.raises(BlockingIOError):
            native.stream_connect(handle, 50)
        native.stream_close(handle, 0)
        for client in clients:
            client.close()


def test_a_signal_ends_a_wait(pair, listener) -> None:
    client, _ = pair
    client.settimeout(None)
    listener.settimeout(None)
    interrupted_within(lambda: client.recv(1), 0.1)
    interrupted_within(lambda: client.recv(1000000), 0.1)
    interrupted_within(listener.accept, 0.1)
    interrupted_within(lambda: client.finish(), 0.1)


def test_a_signal_ends_a_wait_for_a_listener(address) -> None:
    interrupted_within(lambda: virtsock.connect(address(), wait=20, backoff_first=10, backoff_max=10), 0.1)


def test_a_signal_ends_a_send(pair) -> None:
    client, _ = pair
    client.settimeout(None)
    interrupted_within(lambda: fill(client), 0.1)


@stream_only
def test_a_signal_ends_a_sendall(pair) -> None:
    client, _ = pair
    client.settimeout(None)
    interrupted_within(lambda: client.sendall(bytes(1 << 25)), 0.1)


def test_a_handler_that_does_not_raise_lets_the_call_go_on(pair, listener) -> None:
    client, server = pair
    ticks: list[int] = []
    with handler(signal.SIGALRM, lambda *_: ticks.append(1)):
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        client.settimeout(0.3)
        while len(ticks) <= 3:  # a busy machine takes several for one
            times_out(lambda: client.recv(1), 0.3)
        listener.settimeout(0.2)
        times_out(listener.accept, 0.2)

        def late() -> None:
            time.sleep(0.2)
            server.send(b"late")

        client.settimeout(None)
        with running(late):
            assert client.recv(10) == b"late"


@pytest.mark.parametrize("how", ["close", "with", "finish"])
def test_a_signal_cuts_no_close_short(address, how: str) -> None:
    """Its handler returns, and the peer's last words have the time that was given."""
    ticks: list[int] = []
    with virtsock.listen(address(), timeout=20) as listener, handler(signal.SIGALRM, lambda *_: ticks.append(1)):
        client = virtsock.connect(listener.address, linger=20)
        server = listener.accept()

        def late() -> None:
            time.sleep(0.5)
            server.send(b"last words")
            server.close()

        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with running(late):
            if how == "close":
                client.close()
            elif how == "finish":
                client.finish(20)
            else:
                with client:
                    pass
        assert client.fileno() == -1 and ticks
        client = virtsock.connect(listener.address, linger=0.3)
        with listener.accept():
            ticks.clear()
            times_out(client.close if how != "finish" else lambda: client.finish(0.3), 0.3)
            assert ticks and client.fileno() == -1


@pytest.mark.parametrize("how", ["close", "finish"])
def test_a_handler_that_raises_ends_a_close(address, how: str) -> None:
    with virtsock.listen(address(), timeout=20) as listener, virtsock.connect(listener.address, linger=20) as client, listener.accept():
        interrupted_within(getattr(client, how), 0.1)
        assert client.fileno() == -1


def test_a_handler_that_outlasts_the_time(pair) -> None:
    client, _ = pair
    client.settimeout(0.1)
    with handler(signal.SIGALRM, lambda *_: time.sleep(0.3)):
        watch = Watch()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        watch.end()
        assert 0.35 <= watch.took and watch.used < 1


@stream_only
def test_sendmsg_through_signals_sends_each_byte_once(pair) -> None:
    client, server = pair
    client.settimeout(None)
    pieces = [bytes([65 + i]) * 200000 for i in range(10)]
    got = bytearray()

    def drain() -> None:
        time.sleep(0.3)
        while piece := server.recv(1 << 20):
            got.extend(piece)

    with handler(signal.SIGALRM, lambda *_: None):
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with running(drain):
            count = client.sendmsg(pieces)
            signal.setitimer(signal.ITIMER_REAL, 0)
            client.shutdown(virtsock.SHUT_SEND)
    assert 0 < count <= 2000000 and got == b"".join(pieces)[:count]


CTRL_C = """
import os, signal, sys, threading, time, virtsock
sys.path.append(sys.argv[3])
from watch import Watch, wake
where = virtsock.Address(sys.argv[1])
what = sys.argv[2]
listener = virtsock.listen(where, backlog=1)
def again(send):
    while True:
        send(bytes(50000))
if what == "accept":
    call = listener.accept
elif what == "connect":
    keep = [virtsock.connect(where) for _ in range(2)]
    call = lambda: virtsock.connect(where)
elif what == "wait":
    call = lambda: virtsock.wait("x?".join(sys.argv[1].split("?")) if "?" in sys.argv[1] else sys.argv[1] + "x")
else:
    client = virtsock.connect(where)
    call = {
        "recv": lambda: client.recv(1),
        "recv, large": lambda: client.recv(1000000),
        "recv, timed": lambda: client.settimeout(20) or client.recv(1),
        "recv_into": lambda: client.recv_into(bytearray(1)),
        "recv_exact": lambda: client.recv_exact(5),
        "file": lambda: client.makefile("rb").read(),
        "send": lambda: again(client.send),
        "sendall": lambda: client.sendall(bytes(1 << 25)),
        "sendmsg": lambda: again(lambda data: client.sendmsg([data])),
        "finish": client.finish,
        "close": virtsock.connect(where, linger=20).close,
    }[what]
def waits():
    with open(f"/proc/self/task/{os.getpid()}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "S"
def fire():
    global sent
    calm = 0
    while calm < 30:        # in a row: a slow machine may still be on its way, where Python can lose a signal
        time.sleep(0.01)
        calm = calm + 1 if waits() else 0
    sent = Watch()
    os.kill(os.getpid(), signal.SIGINT)
    sent.end()
thread = threading.Thread(target=fire)
inside = Watch()
try:
    thread.start()
    call()
except KeyboardInterrupt:
    inside.end()
    thread.join()
    print(wake(sent, inside))
"""


OF_STREAMS = ["recv_exact", "file", "sendall"] if IS_STREAM else []
OF_UNIX = ["connect", "wait"] if IS_UNIX else []


@pytest.mark.parametrize(
    "what", ["recv", "recv, large", "recv, timed", "recv_into", "send", "sendmsg", "finish", "close", "accept", *OF_STREAMS, *OF_UNIX]
)
@pytest.mark.proves("T11")
def test_ctrl_c(address, what: str) -> None:
    done = subprocess.run([sys.executable, "-c", CTRL_C, str(address()), what, str(Path(__file__).parent)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.1 * SLOW


def test_raise_signal(pair) -> None:
    client, _ = pair
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
        client.recv(1)
    assert os.getpid() > 0 and client.fileno() >= 0
