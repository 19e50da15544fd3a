# SPDX-License-Identifier: MIT
"""virtsock.aio in four worlds: asyncio's loop and uvloop's with sockets, asyncio's with threads, and framed streams, which have no socket.

Every test runs in asyncio's debug mode with warnings as errors, and leaves no descriptor and no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import math
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
import virtsock
from conftest import IS_UNIX, SLOW, TRANSPORT, open_descriptors, stream_only
from virtsock import Address, Status, aio
from virtsock._aio_threads import Transport

pytestmark = [pytest.mark.proves("python-others"), stream_only, pytest.mark.filterwarnings("error")]
own_transport = pytest.mark.skipif(TRANSPORT != "unix", reason="has a transport of its own, and runs once")

MEBI = 1 << 20


class World:
    """Where a test runs: addresses that nobody uses, and a loop."""

    def __init__(self, kind: str, address: Callable[[], Address]) -> None:
        self.kind, self._address = kind, address
        self.reports: list[dict[str, Any]] = []

    def address(self) -> Address:
        made = self._address()
        return Address(f"{made}?half-close=framed") if self.kind == "framed" else made

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        """main() as a program would; what the loop reports goes to .reports, which is empty at the end if nothing went wrong."""

        async def guarded() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: self.reports.append(context))
            async with asyncio.timeout(30 * SLOW):
                await main()

        with asyncio.Runner(debug=True, loop_factory=uvloop.new_event_loop if self.kind == "uvloop" else None) as runner:
            runner.run(guarded())
        gc.collect()
        assert self.reports == []


WORLDS = ["asyncio", "uvloop", "threads", "framed"]


@pytest.fixture(params=WORLDS)
def world(request, address, monkeypatch) -> Iterator[World]:
    monkeypatch.setattr(aio, "_threads_only", request.param == "threads")
    uvloop.new_event_loop().close()  # what a process opens once
    before = open_descriptors(), threading.active_count()
    yield World(request.param, address)
    wait_for(lambda: (open_descriptors(), threading.active_count()) == before)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5 * SLOW
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5 * SLOW):
        while not condition():
            await asyncio.sleep(0.01)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionResetError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def open_to(address: Address, **options: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await aio.open_connection(address, **options)
    try:
        yield reader, writer
    finally:
        await close(writer)


# Connecting and talking.


def test_echo(world) -> None:
    async def main() -> None:
        async with await aio.start_server(echo, world.address()) as server, open_to(server.address, timeout=20) as (reader, writer):
            assert type(reader) is asyncio.StreamReader and type(writer) is asyncio.StreamWriter
            assert isinstance(writer.transport, Transport) == (world.kind in ("threads", "framed"))
            for piece in b"a", b"bc" * 1000, bytearray(b"d"), memoryview(b"-ef-")[1:3]:
                writer.write(piece)
                await writer.drain()
                assert await reader.readexactly(len(piece)) == piece
            assert server.is_serving() and server.get_loop() is asyncio.get_running_loop()

    world.run(main)


def test_many_at_once(world) -> None:
    async def client(address: Address, number: int) -> None:
        text = b"%d\n" % number * 100
        async with open_to(address, wait=20 * SLOW) as (reader, writer):
            writer.write(text)
            writer.write_eof()
            assert await reader.read() == text

    async def main() -> None:
        async with await aio.start_server(echo, world.address()) as server:
            await asyncio.gather(*(client(server.address, number) for number in range(100)))

    world.run(main)


def port_of(name: Address | tuple[int, int]) -> int | None:
    return name.port if isinstance(name, Address) else name[1]


def test_names_of_the_ends(world) -> None:
    seen = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((writer.get_extra_info("sockname"), writer.get_extra_info("peername")))
        await close(writer)

    async def main() -> None:
        async with await aio.start_server(note, world.address()) as server, open_to(server.address) as (reader, writer):
            await reader.read()
            seen.append((writer.get_extra_info("peername"), writer.get_extra_info("sockname")))
            where = server.address
        mine = (Address, str, tuple)[0 if world.kind in ("threads", "framed") else 1 if IS_UNIX else 2]
        there = {Address: where, str: where.path, tuple: (1, where.port)}[mine]
        assert seen[1][0] == there and isinstance(seen[0][0], mine)
        if not IS_UNIX:  # of its own CID a client's socket knows nothing
            assert [*map(port_of, seen[1])] == [*map(port_of, seen[0])]

    world.run(main)


@own_transport
@pytest.mark.parametrize("half_close", ["unknown", "native"])
def test_through_a_multiplexer(world, tmp_path, half_close) -> None:
    """Its answer comes in pieces, and the guest's first words with the last of them. Half-closes are for an address that says so."""
    asked = []

    async def multiplex(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        for piece in b"OK 10737", b"41824", b"\nhello":
            writer.write(piece)
            await asyncio.sleep(0.05)
        await echo(reader, writer)

    async def main() -> None:
        server = await asyncio.start_unix_server(multiplex, tmp_path / "v")
        async with server, open_to(Address.mux(tmp_path / "v", 52).replace(half_close=half_close)) as (reader, writer):
            assert await reader.readexactly(5) == b"hello" and writer.can_write_eof() == (half_close == "native")
            writer.write(b"guest")
            assert await reader.readexactly(5) == b"guest"
        assert asked == [b"CONNECT 52\n"]

    world.run(main)


@own_transport
def test_inherited_sockets(world) -> None:
    async def main() -> None:
        with virtsock.listen(world.address()) as listener:
            plain = str(listener.address).partition("?")[0]
            async with await aio.start_server(echo, f"fd://{os.dup(listener.fileno())}"):
                client = virtsock.connect(plain).detach()
                async with open_to(f"fd://{client}") as (reader, writer):
                    writer.write(b"x")
                    assert await reader.readexactly(1) == b"x"
        if world.kind != "threads":  # where they are all there is, there are no messages
            ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ends[1], pytest.raises(ValueError, match="messages"):
                await aio.open_connection(f"fd://{ends[0].detach()}")

    world.run(main)


def test_half_close(world) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % len(await reader.read()))
        await close(writer)

    async def main() -> None:
        async with await aio.start_server(count, world.address()) as server, open_to(server.address) as (reader, writer):
            assert writer.can_write_eof()
            writer.write(b"x" * MEBI)
            writer.write_eof()
            assert await reader.read() == b"%d" % MEBI
            with pytest.raises(RuntimeError, match="eof"):
                writer.write(b"more")

    world.run(main)


@pytest.mark.parametrize("half_close", ["none", "unknown"])
def test_no_half_close(world, half_close) -> None:
    """Nobody ends both directions for one; a writer that is closed ends as ever."""
    if world.kind == "framed":
        pytest.skip("an address half-closes in one way")

    async def refused(writer: asyncio.StreamWriter) -> None:
        assert not writer.can_write_eof()
        with pytest.raises(NotImplementedError, match="half-close=none"):
            writer.write_eof()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await refused(writer)
        writer.write(await reader.readexactly(4))
        await writer.drain()
        await close(writer)

    async def main() -> None:
        where = f"{world.address()}?half-close={half_close}"
        async with await aio.start_server(answer, where) as server, open_to(server.address) as (reader, writer):
            await refused(writer)
            writer.write(b"ping")
            assert await reader.read() == b"ping"

    world.run(main)


def test_slow_reader(world) -> None:
    """Who writes waits in drain once a little is under way, and nothing is lost."""
    size, piece = 8 * MEBI, os.urandom(65536)
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < size:
            writer.write(piece)
            sent += len(piece)
            await writer.drain()
        await close(writer)

    async def main() -> None:
        async with await aio.start_server(pour, world.address()) as server, open_to(server.address) as (reader, _):
            held = -1
            while sent == 0 or held != sent:
                held = sent
                await asyncio.sleep(0.3 * SLOW)
            assert 0 < held < size // 2
            received = await reader.read()
            assert len(received) == size and received == piece * (size // len(piece))

    world.run(main)


def test_the_peer_breaks_off(world) -> None:
    async def main() -> None:
        accepted: list[asyncio.StreamWriter] = []
        server = await aio.start_server(lambda reader, writer: accepted.append(writer), world.address())
        async with server, open_to(server.address) as (reader, writer):
            await until(lambda: bool(accepted))
            accepted[0].transport.abort()
            with contextlib.suppress(ConnectionResetError):  # or an end in order, as the system has it
                assert await reader.read() == b""
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                for _ in range(1000):
                    writer.write(b"x" * 1000)
                    await writer.drain()
                    await asyncio.sleep(0.01)

    world.run(main)


# Not connecting.


def test_refused(world) -> None:
    async def main() -> None:
        where = world.address()
        with pytest.raises(ConnectionRefusedError) as caught:
            await aio.open_connection(where)
        assert caught.value.status == Status.REFUSED and caught.value.address == str(where)

    world.run(main)


def test_waits_until_published(world) -> None:
    async def main() -> None:
        where = world.address()
        begun = time.monotonic()
        opening = asyncio.create_task(aio.open_connection(where, wait=math.inf, backoff_max=0.05))
        await asyncio.sleep(0.3)
        assert not opening.done()
        async with await aio.start_server(echo, where):
            reader, writer = await opening
            assert time.monotonic() - begun < 2 * SLOW
            writer.write(b"late")
            assert await reader.readexactly(4) == b"late"
            await close(writer)

    world.run(main)


def test_wait_passes(world) -> None:
    async def main() -> None:
        begun = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            await aio.open_connection(world.address(), wait=0.3)
        assert 0.3 <= time.monotonic() - begun < 2 * SLOW
        assert caught.value.status == Status.TIMEOUT and caught.value.attempts > 1

    world.run(main)


@contextlib.contextmanager
def silent_multiplexer(folder: Path) -> Iterator[tuple[Address, Callable[[], bool]]]:
    """Takes connections and says nothing: its address, and whether the newest client has left."""
    clients: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                clients.append(listener.accept()[0])

    def has_left() -> bool:
        clients[-1].settimeout(5)
        while clients[-1].recv(100):
            pass
        return True

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "v"))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield Address.mux(folder / "v", 52), has_left
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for client in clients:
        client.close()


@contextlib.contextmanager
def full(listener: socket.socket, address: Address) -> Iterator[Address]:
    """A listener with a queue that has no room, so that a connection stays under way."""
    with listener, contextlib.ExitStack() as clients:
        listener.listen(0)
        for _ in range(3):
            client = clients.enter_context(socket.socket(listener.family))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(listener.getsockname())
        yield address


@contextlib.contextmanager
def full_tcp(folder: Path) -> Iterator[Address]:
    listener = socket.create_server(("127.0.0.1", 0))
    with full(listener, Address(f"tcp://127.0.0.1:{listener.getsockname()[1]}")) as address:
        yield address


@contextlib.contextmanager
def full_unix(folder: Path) -> Iterator[Address]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "full"))
    with full(listener, Address.unix(folder / "full")) as address:
        yield address


@contextlib.contextmanager
def silent(folder: Path) -> Iterator[Address]:
    with silent_multiplexer(folder) as (address, _):
        yield address


@contextlib.contextmanager
def nobody(folder: Path) -> Iterator[Address]:
    yield Address.unix(folder / "nobody")


def running_timers() -> int:
    gc.collect()
    return sum(isinstance(each, asyncio.TimerHandle) and not each.cancelled() for each in gc.get_objects())


STAGES = {"the queue": full_unix, "the connection": full_tcp, "the handshake": silent}


@own_transport
@pytest.mark.parametrize("stage", STAGES)
def test_deadline(world, tmp_path, stage) -> None:
    async def main() -> None:
        with STAGES[stage](tmp_path) as address:
            begun = time.monotonic()
            with pytest.raises(virtsock.TimedOutError, match=re.escape(str(address))):
                await aio.open_connection(address, timeout=0.2)
            assert 0.2 <= time.monotonic() - begun < 2

    world.run(main)


@own_transport
@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize("stage", [*STAGES, "the pause"])
def test_cancelled(world, tmp_path, stage, how) -> None:
    async def main() -> None:
        with {**STAGES, "the pause": nobody}[stage](tmp_path) as address:
            loop, before, timers = asyncio.get_running_loop(), set(os.listdir("/proc/self/fd")), running_timers()
            opening = asyncio.create_task(aio.open_connection(address, timeout=math.inf, wait=math.inf, backoff_first=5))
            begun = time.monotonic()
            await asyncio.sleep(0.05)
            used = {int(name) for name in {*os.listdir("/proc/self/fd")} - before}
            if how == "cancel":
                await asyncio.sleep(0.05)
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await opening
            assert time.monotonic() - begun < 2
            assert open_descriptors() <= len(before) + (stage == "the handshake")  # the multiplexer's own
            assert not any(loop.remove_reader(descriptor) or loop.remove_writer(descriptor) for descriptor in used)
            assert running_timers() == timers

    world.run(main)


@own_transport
def test_the_loop_goes_on_and_the_multiplexer_hears_of_the_end(world, tmp_path) -> None:
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    async def main() -> None:
        with silent_multiplexer(tmp_path) as (address, has_left):
            ticking = asyncio.create_task(tick())
            with pytest.raises(TimeoutError):
                await aio.open_connection(address, timeout=0.5)
            assert turns > 5
            assert await asyncio.to_thread(has_left)
            ticking.cancel()

    world.run(main)


@own_transport
def test_names_are_looked_up_in_a_thread(world, monkeypatch) -> None:
    """There is no such name on this system: who looks it up is replaced, by one who takes his time."""
    looked = threading.Event()
    target = world.address()

    def resolve(handle: object, options: object) -> object:
        assert threading.current_thread() is not threading.main_thread()
        looked.wait(5)
        return target._handle

    monkeypatch.setattr(virtsock.native, "resolve", resolve)

    async def main() -> None:
        opening = asyncio.create_task(aio.open_connection(Address.hyperv("a name", 5000)))
        cancelled = asyncio.create_task(aio.open_connection(Address.hyperv("a name", 5000)))
        await asyncio.sleep(0.1)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert not opening.done()
        looked.set()
        with pytest.raises(ConnectionRefusedError):
            await opening

    world.run(main)


def test_misuse(world) -> None:
    async def main() -> None:
        where = world.address()
        messages = Address(str(where).partition("?")[0] + "?type=seqpacket")
        for call in aio.open_connection(messages), aio.start_server(echo, messages):
            with pytest.raises(ValueError, match="bytes"):
                await call
        with pytest.raises(ValueError, match="server_hostname" if world.kind in ("asyncio", "uvloop") else "TLS"):
            await aio.open_connection(where, ssl=True)
        with pytest.raises(virtsock.Error) as caught:
            await aio.open_connection(where, hyperv_suspend=True)
        assert caught.value.status == Status.UNSUPPORTED

    world.run(main)


def test_options_are_those_of_the_plain_calls() -> None:
    """But linger and message_max, which a plain socket cannot keep, and the time limit of accept."""

    def options(call: Callable[..., object]) -> set[str]:
        return {name for name, about in inspect.signature(call).parameters.items() if about.kind == about.KEYWORD_ONLY}

    kept = {"linger", "message_max"}
    tls = {"limit", "ssl"}
    assert options(aio.open_connection) == options(virtsock.connect) - kept | tls | {"server_hostname"}
    assert options(aio.start_server) == options(virtsock.listen) - kept - {"timeout"} | tls | {"start_serving"}


# Serving.


def test_rules(world) -> None:
    served = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await reader.read())
        await close(writer)

    async def try_with(rule: str) -> None:
        async with await aio.start_server(note, world.address(), allow=[rule]) as server:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                async with open_to(server.address) as (reader, writer):
                    writer.write(rule.encode())
                    writer.write_eof()
                    assert await reader.read() == b""
            await asyncio.sleep(0.1 * SLOW)

    async def main() -> None:
        await try_with(f"uid={os.getuid() + 1}" if IS_UNIX else "host")
        assert served == []
        await try_with("self" if IS_UNIX else "local")
        assert served == [b"self" if IS_UNIX else b"local"]

    world.run(main)


def test_closing_with_clients(world) -> None:
    """A server that is closed takes no more clients and leaves those that it has; wait_closed waits for them."""

    async def main() -> None:
        server = await aio.start_server(echo, world.address())
        async with open_to(server.address) as (reader, writer), open_to(server.address) as (other, _):
            for each in writer, _:
                each.write(b"a")
            assert await reader.readexactly(1) == await other.readexactly(1) == b"a"
            server.close()
            server.close()
            assert not server.is_serving() and "closed" in repr(server)
            with pytest.raises(ConnectionRefusedError):
                await aio.open_connection(server.address)
            waiting = asyncio.create_task(server.wait_closed())
            writer.write(b"b")
            assert await reader.readexactly(1) == b"b"
            await close(writer)
            await asyncio.sleep(0.05)
            assert not waiting.done()
            server.close_clients()
            assert await other.read() == b""
            await waiting
        with pytest.raises(RuntimeError, match="closed"):
            await server.start_serving()

    world.run(main)


def test_aborting_clients(world) -> None:
    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        writer.write(b"a" * 8 * MEBI)
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    async def main() -> None:
        server = await aio.start_server(never_read, world.address())
        async with server, open_to(server.address) as (reader, _):
            assert await reader.readexactly(1) == b"a"
            server.close()
            server.close_clients()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await server.wait_closed()
            server.abort_clients()
            await server.wait_closed()

    world.run(main)


def test_serve_forever(world) -> None:
    async def main() -> None:
        server = await aio.start_server(echo, world.address(), start_serving=False)
        assert not server.is_serving()
        opening = asyncio.create_task(aio.open_connection(server.address))
        serving = asyncio.create_task(server.serve_forever())
        reader, writer = await opening
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        with pytest.raises(RuntimeError, match="before"):
            await server.serve_forever()
        await close(writer)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()

    world.run(main)


def test_close_ends_serve_forever(world) -> None:
    async def main() -> None:
        server = await aio.start_server(echo, world.address())
        asyncio.get_running_loop().call_later(0.05, server.close)
        with pytest.raises(asyncio.CancelledError):
            await server.serve_forever()

    world.run(main)


def all_descriptors() -> list[int]:
    """Takes every one that is left."""
    spare = []
    with contextlib.suppress(OSError):
        while True:
            spare.append(os.dup(0))
    return spare


def test_out_of_descriptors(world) -> None:
    """The client stays queued, the loop is told, and a second later another try is made."""

    async def main() -> None:
        server = await aio.start_server(echo, world.address(), start_serving=False)
        client = virtsock.connect(server.address, timeout=20)
        spare = all_descriptors()
        begun = time.monotonic()
        try:
            await server.start_serving()
            await until(lambda: bool(world.reports))
        finally:
            for descriptor in spare:
                os.close(descriptor)
        error = world.reports[0]["exception"]
        assert error.status == Status.NO_RESOURCES and world.reports[0]["server"] is server
        world.reports.clear()
        client.sendall(b"hello")
        assert await asyncio.to_thread(client.recv_exact, 5) == b"hello"
        assert time.monotonic() - begun >= 0.9
        client.close()
        server.close()
        await server.wait_closed()

    with few_descriptors():
        world.run(main)


@contextlib.contextmanager
def few_descriptors() -> Iterator[None]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_closed_while_it_pauses(world, monkeypatch) -> None:
    monkeypatch.setattr(aio, "_PAUSE", 0.2)

    async def main() -> None:
        server = await aio.start_server(echo, world.address(), start_serving=False)
        client = virtsock.connect(server.address, timeout=20)
        spare = all_descriptors()
        try:
            await server.start_serving()
            await until(lambda: bool(world.reports))
            server.close()
        finally:
            for descriptor in spare:
                os.close(descriptor)
        world.reports.clear()
        await server.wait_closed()
        await asyncio.sleep(0.3)
        client.abort()

    with few_descriptors():
        world.run(main)


# TLS.


@pytest.fixture
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's, which need no certificate: the keys are anonymous."""
    both = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    both[1].check_hostname = False
    for context in both:
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    return both


def test_tls(world, contexts) -> None:
    async def main() -> None:
        if world.kind in ("threads", "framed"):
            with pytest.raises(ValueError, match="TLS"):
                await aio.start_server(echo, world.address(), ssl=contexts[0])
            return
        server = await aio.start_server(echo, world.address(), ssl=contexts[0])
        async with server, open_to(server.address, ssl=contexts[1], server_hostname="guest") as (reader, writer):
            assert writer.get_extra_info("cipher")[0] == "AECDH-AES256-SHA"
            writer.write(b"secret")
            assert await reader.readexactly(6) == b"secret"

    world.run(main)


@pytest.mark.parametrize("half_close", ["native", "none", "unknown"])
def test_tls_that_begins_later(world, contexts, half_close) -> None:
    """Whatever the way's half-close is: uvloop knows its own transports alone."""
    if world.kind in ("framed", "threads"):
        pytest.skip("TLS is asyncio's, and begins on a socket")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(9))
        await writer.drain()
        await writer.start_tls(contexts[0])
        writer.write((await reader.readexactly(6)).upper())
        await writer.drain()
        await close(writer)

    async def main() -> None:
        where = f"{world.address()}?half-close={half_close}"
        async with await aio.start_server(answer, where) as server, open_to(server.address) as (reader, writer):
            writer.write(b"STARTTLS\n")
            assert await reader.readexactly(9) == b"STARTTLS\n"
            await writer.start_tls(contexts[1], server_hostname="guest")
            writer.write(b"secret")
            assert await reader.readexactly(6) == b"SECRET"

    world.run(main)



def test_tls_that_is_none(world, contexts) -> None:
    """Who speaks no TLS is dropped, and the server goes on; who waits for TLS can be cancelled, and dropped by the server."""

    async def main() -> None:
        if world.kind in ("threads", "framed"):
            return
        async with await aio.start_server(echo, world.address(), ssl=contexts[0]) as server:
            async with open_to(server.address) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()
            await until(lambda: bool(world.reports))
            assert all(isinstance(report["exception"], ssl.SSLError) for report in world.reports)
            world.reports.clear()
            async with open_to(server.address) as (reader, writer):
                await until(lambda: bool(server._clients))
                server.abort_clients()
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
        held = []
        async with await aio.start_server(lambda reader, writer: held.append(writer), world.address()) as server:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await aio.open_connection(server.address, ssl=contexts[1], server_hostname="guest")
            server.abort_clients()

    world.run(main)


# Streams that threads serve.


class Recorder(asyncio.Protocol):
    """What a transport tells its protocol."""

    def __init__(self) -> None:
        self.data, self.calls = bytearray(), []

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> None:
        self.calls.append("eof")

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, failure: Exception | None) -> None:
        self.calls.append("lost" if failure is None else type(failure).__name__)


@pytest.fixture
def threads(request, address, monkeypatch) -> Iterator[World]:
    """One end is a transport of ours; the other is the test's, a plain stream."""
    before = open_descriptors(), threading.active_count()
    yield World("threads", address)
    wait_for(lambda: (open_descriptors(), threading.active_count()) == before)


def served(world: World, test: Callable[[Transport, Recorder, virtsock.Stream], Awaitable[None]]) -> None:
    async def main() -> None:
        with virtsock.listen(world.address()) as listener, virtsock.connect(listener.address, timeout=20) as peer:
            recorder = Recorder()
            await test(Transport(asyncio.get_running_loop(), listener.accept(), recorder), recorder, peer)
            await until(lambda: recorder.calls[-1:] in (["lost"], ["ResetError"]))

    world.run(main)


def test_thread_pauses_reading(threads) -> None:
    async def test(transport: Transport, recorder: Recorder, peer: virtsock.Stream) -> None:
        assert transport.is_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        peer.sendall(b"a")
        await until(lambda: recorder.data == b"a")  # the read that was under way
        peer.sendall(b"b")
        await asyncio.sleep(0.1 * SLOW)
        assert recorder.data == b"a"
        for _ in range(3):
            transport.resume_reading()
        await until(lambda: recorder.data == b"ab")
        assert transport._turns._value == 0  # type: ignore[attr-defined]
        transport.close()
        peer.close()

    served(threads, test)


def test_thread_limits_what_waits(threads) -> None:
    async def test(transport: Transport, recorder: Recorder, peer: virtsock.Stream) -> None:
        transport.set_write_buffer_limits(high=3 * MEBI, low=2 * MEBI)
        assert transport.get_write_buffer_limits() == (2 * MEBI, 3 * MEBI)
        for _ in range(4):
            transport.write(bytes(MEBI))
        assert recorder.calls == ["pause"] and 3 * MEBI < transport.get_write_buffer_size() <= 4 * MEBI
        await asyncio.to_thread(peer.recv_exact, MEBI)
        await asyncio.to_thread(peer.recv_exact, MEBI)
        await until(lambda: recorder.calls == ["pause", "resume"])
        await asyncio.to_thread(peer.recv_exact, 2 * MEBI)
        await until(lambda: transport.get_write_buffer_size() == 0)
        for limits in {"high": 1, "low": 2}, {"high": -1}:
            with pytest.raises(ValueError, match="low"):
                transport.set_write_buffer_limits(**limits)
        transport.set_write_buffer_limits(low=10)
        assert transport.get_write_buffer_limits() == (10, 40)
        transport.close()
        peer.close()

    served(threads, test)


def test_thread_sends_all_before_it_closes(threads) -> None:
    async def test(transport: Transport, recorder: Recorder, peer: virtsock.Stream) -> None:
        transport.write(bytes(MEBI))
        peer.sendall(b"dropped")
        time.sleep(0.1 * SLOW)  # it has come, and the loop has not heard of it
        transport.close()
        assert transport.is_closing()
        transport.write(b"dropped, too")
        peer.sendall(b"as is this")
        assert len(await asyncio.to_thread(peer.recv_exact, MEBI)) == MEBI
        assert await asyncio.to_thread(peer.recv, 1) == b""
        begun = time.monotonic()
        await until(lambda: recorder.calls[-1] == "lost")
        assert 0.9 <= time.monotonic() - begun < 1 + 2 * SLOW  # the peer has not ended
        assert recorder.data == b""

    served(threads, test)


def test_thread_aborts_a_writer_that_waits(threads) -> None:
    async def test(transport: Transport, recorder: Recorder, peer: virtsock.Stream) -> None:
        transport.write(bytes(8 * MEBI))
        await asyncio.sleep(0.1 * SLOW)
        assert recorder.calls == ["pause"]
        begun = time.monotonic()
        transport.abort()
        await until(lambda: recorder.calls[-1] == "lost")
        assert time.monotonic() - begun < 2 * SLOW

    served(threads, test)


def test_thread_tells_what_broke(threads) -> None:
    async def test(transport: Transport, recorder: Recorder, peer: virtsock.Stream) -> None:
        transport.write(bytes(8 * MEBI))
        await asyncio.sleep(0.1 * SLOW)
        peer.abort()
        await until(lambda: recorder.calls[-1] == "ResetError")
        assert transport.is_closing()

    served(threads, test)


def test_thread_protocols(threads) -> None:
    async def test(transport: Transport, recorder: Recorder, peer: virtsock.Stream) -> None:
        other = Recorder()
        assert transport.get_protocol() is recorder
        transport.set_protocol(other)
        peer.sendall(b"x")
        await until(lambda: other.data == b"x")
        with pytest.raises(TypeError, match="buffered"):
            transport.set_protocol(asyncio.BufferedProtocol())
        for wrong in "text", 5:
            with pytest.raises(TypeError):
                transport.write(wrong)
        transport.set_protocol(recorder)
        peer.close()
        await until(lambda: recorder.calls == ["eof", "lost"])  # who wants no half of it, closes

    served(threads, test)


def test_thread_outlives_its_loop(threads) -> None:
    """Nobody closed the transport; its threads end once the stream has something to tell."""

    async def main() -> None:
        Transport(asyncio.get_running_loop(), accepted, Recorder())

    with virtsock.listen(threads.address()) as listener, virtsock.connect(listener.address, timeout=20) as peer:
        accepted = listener.accept()
        threads.run(main)
        assert threading.active_count() > 2
        peer.sendall(b"x")
        wait_for(lambda: accepted.fileno() == -1)


def refuse_threads(monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    """So many threads can still be started."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        nonlocal left
        if (left := left - 1) < 0:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_no_thread_more(threads, monkeypatch) -> None:
    async def main() -> None:
        refuse_threads(monkeypatch, 1)
        with pytest.raises(RuntimeError, match="thread"):
            Transport(asyncio.get_running_loop(), accepted, Recorder())
        assert accepted.fileno() == -1

    with virtsock.listen(threads.address()) as listener, virtsock.connect(listener.address, timeout=20):
        accepted = listener.accept()
        threads.run(main)


def test_no_thread_more_to_serve(threads, monkeypatch) -> None:
    """The client is dropped, the loop is told, and the server closes."""
    monkeypatch.setattr(aio, "_threads_only", True)

    async def main() -> None:
        server = await aio.start_server(echo, threads.address())
        refuse_threads(monkeypatch, 0)
        with virtsock.connect(server.address, timeout=0) as client:
            await until(lambda: bool(threads.reports))
            await asyncio.sleep(0.1 * SLOW)
            assert client.recv(1) == b""
        assert "start new thread" in str(threads.reports.pop()["exception"])
        server.close()
        await server.wait_closed()

    threads.run(main)


# The programs of docs/asyncio.md.

DOCUMENT = (Path(__file__).parents[2] / "docs/asyncio.md").read_text()
PROGRAMS = dict(re.findall(r"^## (\w+)\n.*?^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL))


def test_there_is_a_program_for_each() -> None:
    assert list(PROGRAMS) == ["asyncio", "uvloop", "trio", "anyio"] and DOCUMENT.count("```python") == 4


@pytest.mark.parametrize("about", PROGRAMS)
def test_program(about, address, tmp_path) -> None:
    """Talks with itself, and says what came back."""
    file = tmp_path / f"with_{about}.py"
    file.write_text(PROGRAMS[about])
    done = subprocess.run([sys.executable, "-X", "dev", file, str(address())], text=True, capture_output=True, timeout=30 * SLOW)
    told = [line for line in done.stderr.splitlines() if not re.fullmatch("Executing .* took [0-9.]+ seconds", line)]      # of a slow machine
    assert (done.returncode, done.stdout, told) == (0, "hello\n", [])
