# SPDX-License-Identifier: MIT
"""Lifetimes: the collector, forks, programs that are started, peers that are killed."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import tracemalloc
import warnings
import weakref
from types import MethodType

import pytest
import virtsock
from conftest import IS_UNIX, open_descriptors
from virtsock import native


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_collector_frees_descriptors(listener) -> None:
    gc.collect()
    before = open_descriptors()
    for _ in range(100):
        client, server = virtsock.connect(listener.address), listener.accept()
        client.send(b"x")
        del client
        assert server.recv(1) == b"x" and server.recv(1) == b""
        del server
    cycle: list[object] = [virtsock.connect(listener.address)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert open_descriptors() == before


def test_an_unclosed_stream_is_told(listener, address) -> None:
    client = virtsock.connect(listener.address)
    with pytest.warns(ResourceWarning, match="unclosed <virtsock.Stream"):
        del client
        gc.collect()
    other = virtsock.listen(address())
    with pytest.warns(ResourceWarning, match="unclosed <virtsock.Listener"):
        del other
        gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with virtsock.connect(listener.address):
            pass
        gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_odd_orders(address) -> None:
    rng = random.Random(2)
    for _ in range(200):
        where = address()
        listener = virtsock.listen(where)
        things: list[object] = [listener, where, virtsock.connect(where), listener.accept(), listener.address]
        things.append(things[2].peer)
        del listener, where
        rng.shuffle(things)
        while things:
            things.pop()
        gc.collect(0)


def test_values_outlive_what_gave_them(listener) -> None:
    client = virtsock.connect(listener.address)
    peer = client.peer
    client.close()
    reference = weakref.ref(client)
    del client
    gc.collect()
    assert reference() is None and peer == listener.address and peer.scheme in str(peer)


def test_what_a_stream_is_no_value(pair, listener) -> None:
    client, _ = pair
    for thing in (client, listener):
        for call in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot pickle"):
                call(thing)
        with pytest.raises(AttributeError):
            thing._handle = None
        with pytest.raises(AttributeError):
            thing.colour = "red"


class Mine(virtsock.Stream):
    """Of a user, with attributes: in cycles, too."""

    def __init__(self, *arguments: object) -> None:
        self.me = self


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_subclasses() -> None:
    gc.collect()
    before = open_descriptors()
    one, other = socket.socketpair()
    mine = Mine.from_socket(one)
    reference = weakref.ref(mine)
    assert mine.send(b"x") == 1 and other.recv(5) == b"x" and mine.me is mine and isinstance(mine.to_socket, MethodType)
    del mine
    gc.collect()
    assert reference() is None and other.recv(1) == b""
    other.close()
    assert open_descriptors() == before


def test_nothing_leaks(listener) -> None:
    def round_trips(count: int) -> None:
        for _ in range(count):
            with virtsock.connect(listener.address, timeout=5) as client, listener.accept() as server:
                client.send(b"x")
                server.recv(1)
                assert client.info and client.peer
                server.setblocking(False)
                with pytest.raises(BlockingIOError):
                    server.recv(1)

    def growth() -> int:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        round_trips(300)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    round_trips(50)
    gc.collect()
    before = open_descriptors()
    tracemalloc.start()
    grown = min(growth() for _ in range(4))
    tracemalloc.stop()
    assert grown < 5000 and open_descriptors() == before


def in_child(work) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_forked_child_frees_its_own_copies_only(address) -> None:
    where = address()
    listener = virtsock.listen(where, timeout=5)
    client, server = virtsock.connect(where, timeout=5), listener.accept()
    held = [client, server, listener]

    def child() -> None:
        nonlocal client, server, listener
        held.clear()
        del client, server, listener
        gc.collect()

    assert in_child(child) == 0
    assert not IS_UNIX or os.path.exists(where.path)
    client.send(b"still here")
    assert server.recv(100) == b"still here"
    with virtsock.connect(where, timeout=5), listener.accept():
        pass
    for thing in held:
        thing.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_can_go_on(pair) -> None:
    client, server = pair

    def child() -> None:
        server.send(b"from the child: " + server.recv(100))

    client.send(b"hello")
    assert in_child(child) == 0
    assert client.recv(100) == b"from the child: hello"


def test_programs_inherit_nothing(pair, listener) -> None:
    client, server = pair
    numbers = [client.fileno(), server.fileno(), listener.fileno()]
    for number in numbers:
        assert not os.get_inheritable(number)
    code = "import os, sys; print(*[os.path.exists(f'/proc/self/fd/{n}') for n in sys.argv[1:]])"
    command = [sys.executable, "-c", code, *map(str, numbers)]
    assert subprocess.run(command, close_fds=False, capture_output=True, text=True, check=True).stdout.split() == ["False"] * 3


@pytest.mark.proves("D3")
def test_a_killed_peer(listener) -> None:
    code = "import sys, time, virtsock; s = virtsock.connect(sys.argv[1]); s.send(b'here'); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code, str(listener.address)])
    with listener.accept() as server:
        server.settimeout(10)
        assert server.recv(100) == b"here"
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        with contextlib.suppress(ConnectionResetError):
            assert server.recv(1) == b""
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(100):
                server.send(b"x")


def test_handles_have_no_way_around_the_collector() -> None:
    handle = native.address_parse("vsock://3:80")
    for _ in range(3):
        assert native.address_format(handle) == "vsock://3:80"
    with pytest.raises(AttributeError):
        native.delete_address(handle)


def test_import_twice_and_at_the_end() -> None:
    code = (
        "import sys, virtsock\n"
        "l = virtsock.listen(sys.argv[1]) if len(sys.argv) > 1 else None\n"
        "a = virtsock.Address('vsock://3:80')\n"
        "class Late:\n"
        "    def __del__(self): str(self.a), self.a.port\n"
        "late = Late(); late.a = a\n"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
