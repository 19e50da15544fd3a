# SPDX-License-Identifier: MIT
"""Endurance: closes under readers, many connections, the collector in odd orders, forks and execs; afterwards nothing is left.

VIRTSOCK_TEST_ROUNDS (1000) and VIRTSOCK_TEST_CONNECTIONS (5000 unless told; 100000 is the whole of it) say how much.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import queue
import random
import signal
import sys
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable

import pytest
import virtsock
from conftest import IS_STREAM, IS_UNIX, open_descriptors, running
from virtsock import Status

ROUNDS = int(os.environ.get("VIRTSOCK_TEST_ROUNDS", "1000"))
CONNECTIONS = int(os.environ.get("VIRTSOCK_TEST_CONNECTIONS", "5000"))
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")  # which keeps freed memory for a while

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is left"),
]


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def growth(work: Callable[[int], object], count: int) -> int:
    before = tracemalloc.get_traced_memory()[0]
    work(count)
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before


def least_growth(work: Callable[[int], object], count: int) -> int:
    tracemalloc.start()
    try:
        return min(growth(work, count) for _ in range(4))
    finally:
        tracemalloc.stop()


def leaves_nothing(work: Callable[[int], object], count: int, traced: bool = True) -> None:
    """No descriptor, and no memory: Python's by the quarter that added least, since its caches fill; C's as far as a process can tell.

    traced: what forks is not, as tracemalloc's lock may be another thread's in that moment, and the child waits for it for ever."""
    work(count // 10 + 1)
    gc.collect()
    descriptors, pages = open_descriptors(), resident()
    if traced:
        assert least_growth(work, count // 4 + 1) < max(1000, 16 * (count // 4))
    else:
        work(count)
        gc.collect()
    assert open_descriptors() == descriptors
    assert SANITIZED or resident() - pages < 8 << 20


# --- Closes under readers -----------------------------------------------------------------------------------------------------------------


def until_the_end(stream: virtsock.Stream, number: int) -> object:
    """Reads in one of the ways that there are, until that fails, and tells why."""
    buffer = bytearray(1000)
    try:
        if number % 5 == 4 and IS_STREAM:
            with stream.makefile("rb") as file:
                while file.read(1000):
                    pass
        reads = (lambda: stream.recv(1000), lambda: stream.recv_into(buffer), lambda: stream.recv(100000))
        while reads[number % 3]():
            pass
        return "end"
    except virtsock.Error as error:
        return error.status


def close_under_a_reader(listener: virtsock.Listener, rounds: int) -> None:
    work: queue.SimpleQueue[tuple[virtsock.Stream, int] | None] = queue.SimpleQueue()
    told: queue.SimpleQueue[object] = queue.SimpleQueue()
    rng = random.Random(rounds)

    def read() -> None:
        while (job := work.get()) is not None:
            told.put(until_the_end(*job))
            del job

    with running(read):
        for number in range(rounds):
            client = virtsock.connect(listener.address)
            with listener.accept() as server:
                work.put((client, number))
                for _ in range(rng.randrange(4)):
                    with contextlib.suppress(BlockingIOError):
                        server.settimeout(0)
                        server.send(bytes(rng.randrange(1, 1000)))
                time.sleep(rng.choice((0, 0, 0.0001, 0.001)))
                close_whole(client) if rng.random() < 0.3 else client.abort()
            assert told.get(timeout=30) == Status.CANCELLED
            assert client.fileno() == -1
        work.put(None)


def close_whole(stream: virtsock.Stream) -> None:
    """With a file open `close` leaves the stream as it is: then that reader's file is in the way."""
    stream.close()
    if stream.fileno() >= 0:
        stream.abort()


def test_close_while_another_thread_reads(listener) -> None:
    leaves_nothing(functools.partial(close_under_a_reader, listener), ROUNDS)


# --- Connections --------------------------------------------------------------------------------------------------------------------------


def leave_detached(stream: virtsock.Stream) -> None:
    os.close(stream.detach())


def leave_as_socket(stream: virtsock.Stream) -> None:
    stream.to_socket().close()


def leave_by_halves(stream: virtsock.Stream) -> None:
    stream.shutdown(virtsock.SHUT_SEND)
    stream.close()


def leave_by_file(stream: virtsock.Stream) -> None:
    file = stream.makefile("wb", 0)
    stream.close()
    file.close()


def leave_to_the_collector(stream: virtsock.Stream) -> None:
    """The caller's name is the last."""


LEAVES = [
    virtsock.Stream.close, virtsock.Stream.close, virtsock.Stream.abort, leave_detached, leave_as_socket, leave_by_halves,
    leave_by_file, leave_to_the_collector,
]  # fmt: skip


def connections(listener: virtsock.Listener, count: int) -> None:
    for number in range(count):
        client, server = virtsock.connect(listener.address, timeout=20), listener.accept()
        client.send(b"x")
        assert server.recv(5) == b"x"
        LEAVES[number % len(LEAVES)](client)
        LEAVES[number // 3 % len(LEAVES)](server)
        del client, server


def test_many_connections(listener) -> None:
    leaves_nothing(functools.partial(connections, listener), CONNECTIONS)


def test_many_failures(address) -> None:
    where = address()

    def fail(count: int) -> None:
        for _ in range(count):
            for call in (lambda: virtsock.connect(where), lambda: virtsock.listen("fd://999999"), lambda: virtsock.Address("vsock:")):
                with pytest.raises(virtsock.Error):
                    call()

    leaves_nothing(fail, ROUNDS)


# --- The collector ------------------------------------------------------------------------------------------------------------------------


class Node(virtsock.Stream):
    """A stream that can be in a cycle."""

    __slots__ = ("others",)


def tangle(listener: virtsock.Listener, rng: random.Random) -> None:
    """Things that know each other, given up in odd orders: by name, in cycles, by another thread, in a weak reference's function."""
    client, server = virtsock.connect(listener.address), listener.accept()
    node = Node(client._handle)
    node.others = [node, client, server, listener, client.peer]
    things = [node, client, server, node.others, server.local, client.recv, server.send, listener.accept]
    watch = weakref.ref(server, lambda _, held=things[:2]: held.clear())
    try:
        server.recv_into(b"not writable")
    except TypeError as error:
        things.append(error)
    rng.shuffle(things)
    if rng.random() < 0.1:
        thread = threading.Thread(target=things.clear)
        thread.start()
        del node, client, server
        thread.join()
    else:
        del node, client, server
        while things:
            things.pop(rng.randrange(len(things)))
            if rng.random() < 0.2:
                gc.collect(rng.randrange(3))
    del watch


@pytest.mark.proves("T11")
def test_the_collector_in_odd_orders(listener) -> None:
    rng = random.Random(7)

    def tangles(count: int) -> None:
        for _ in range(count):
            tangle(listener, rng)

    thresholds = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    try:
        leaves_nothing(tangles, ROUNDS // 4)
    finally:
        gc.set_threshold(*thresholds)


# --- Processes ----------------------------------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def waited(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_once(listener: virtsock.Listener, number: int) -> None:
    """While another thread is inside a call. The child's copies say and end nothing, whatever it does with them."""
    client, server = virtsock.connect(listener.address, timeout=20), listener.accept()
    heard: list[bytes] = []

    def child() -> None:
        nonlocal client, server
        if number % 3 == 0:
            client.close()
            server.close()
        elif number % 3 == 1:
            del client, server
        gc.collect()

    with running(lambda: heard.append(server.recv(10))):
        assert waited(in_child(child)) == 0
        client.send(b"still")
    assert heard == [b"still"]
    server.send(b"whole")
    assert client.recv(10) == b"whole"
    client.close()
    assert server.recv(1) == b""
    server.close()


def forks(listener: virtsock.Listener, count: int) -> None:
    for number in range(count):
        fork_once(listener, number)


def test_forks(listener) -> None:
    leaves_nothing(functools.partial(forks, listener), ROUNDS // 20, traced=False)
    assert not IS_UNIX or os.path.exists(listener.address.path)


LOOK = """
import os, sys
names = {os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")}
os.write(int(sys.argv[1]), b"%d of %d" % (len(names.intersection(sys.argv[2:])), len(sys.argv) - 2))
sys.stdin.read(1)
"""


def replaced(held: int, tells: int, names: list[str]) -> None:
    """Another program in the place of this child: it looks for what it was left, and stays as long as `held` is open elsewhere."""
    os.dup2(held, 0)
    os.set_inheritable(tells, True)
    os.execv(sys.executable, [sys.executable, "-I", "-c", LOOK, str(tells), *names])


def execs(listener: virtsock.Listener, count: int) -> None:
    """The peer sees the end while the program runs, since that has nothing of what was open."""
    for _ in range(count):
        client, server = virtsock.connect(listener.address, timeout=20), listener.accept()
        server.settimeout(20)
        names = [os.readlink(f"/proc/self/fd/{one.fileno()}") for one in (client, server, listener)]
        (told, tells), (held, holds) = os.pipe(), os.pipe()
        child = in_child(lambda held=held, tells=tells, names=names: replaced(held, tells, names))
        os.close(tells)
        os.close(held)
        assert os.read(told, 10) == b"0 of 3"
        client.close()
        assert server.recv(1) == b""
        server.close()
        os.close(holds)
        assert waited(child) == 0
        os.close(told)


def test_execs(listener) -> None:
    leaves_nothing(functools.partial(execs, listener), ROUNDS // 100)
