# SPDX-License-Identifier: MIT
"""A hypervisor that is not there: programs of a host and programs of its guest meet in one machine, with no VM.

    with FakeHypervisor() as vm:
        vm.serve(1024, handle)                                  # in the guest: a function that is given a Stream
        stream = virtsock.connect(vm.address(1024))             # on the host

Owns the host's socket, which speaks a multiplexer's protocol (`Dialect`), and one thread; what comes is carried to whoever listens in the
guest. Times are seconds. Needs the UNIX sockets of Python, which has none on Windows.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
import socket
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self, get_args

from . import Address, Error, Stream, port_from_service
from .native import CID_HOST

__all__ = ["DIALECTS", "FAULTS", "Dialect", "FakeHypervisor", "Fault"]

Dialect = Literal["firecracker", "cloud-hypervisor", "vhost-device-vsock", "openvmm", "hyperkit"]
"""Whose protocol is spoken. They differ in the requests that they take, and in what they answer."""
Fault = Literal["late", "pieces", "glued", "silent", "refused", "garbage", "reset"]
"""What is done wrong: see `FakeHypervisor.inject`."""
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
FAULTS: tuple[Fault, ...] = get_args(Fault)

_CID = 3  # of the guest
_FIRST_OWN_PORT = 1 << 30
_PIECE = 0.002  # between the bytes of an answer
_GLUE = 0.5  # for a guest to say what can be glued
_PATIENCE = 5.0  # with a function of the guest that does not end

_log = logging.getLogger(__name__)


class _Manner(NamedTuple):
    """How requests are taken: of at most so many bytes, of which the rest comes within `patience` after the first (0: with it; None: at
    any time). What is answered: a port of its own, or what was asked for. Whether GUIDs are taken, and what follows too early is lost.
    """

    longest: int
    patience: float | None
    own_port: bool = False
    services: bool = False
    forgets: bool = False


_MANNERS = {
    "firecracker": _Manner(32, 0, own_port=True),
    "cloud-hypervisor": _Manner(32, None, own_port=True),
    "vhost-device-vsock": _Manner(8192, 0, forgets=True),
    "openvmm": _Manner(45, 2, services=True),
}


class _HangUp(Exception):
    """The multiplexer closes a connection, as they do where they can do nothing for it. Says why, for the log."""


class FakeHypervisor:
    """A guest's multiplexer on this machine, from its making to `close`; a context manager.

    dialect: whose protocol it speaks. fault: as for `inject`. `ValueError`: there is no such thing. Any method may be called from any
    thread; none waits, but `close`.
    """

    dialect: Dialect
    """As it was made."""
    directory: Path
    """Of its own, removed at the end."""
    path: Path
    """The socket in it: Firecracker's `uds_path`, HyperKit's `connect`."""

    def __init__(self, dialect: Dialect = "firecracker", *, fault: Fault | None = None) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"dialect {dialect!r}: it is {', '.join(DIALECTS)}")
        self.dialect = dialect
        self.inject(fault)
        self._own_ports = itertools.count(_FIRST_OWN_PORT)
        self._services: dict[int, Callable[[Stream], object]] = {}
        self._guests: dict[threading.Thread, Stream] = {}
        self._errors: list[BaseException] = []
        self._closing = False
        with contextlib.ExitStack() as undone:
            self._folder = tempfile.TemporaryDirectory(prefix="virtsock-")
            undone.callback(self._folder.cleanup)
            self.directory = Path(self._folder.name)
            self.path = self.directory / ("connect" if dialect == "hyperkit" else "vsock.sock")
            self._listener = undone.enter_context(socket.socket(socket.AF_UNIX))
            self._listener.setblocking(False)
            self._listener.bind(str(self.path))
            self._listener.listen(128)
            undone.pop_all()
        self._loop = asyncio.SelectorEventLoop()
        self._task = self._loop.create_task(self._serve())
        self._thread = threading.Thread(target=self._run, name=f"virtsock {dialect}", daemon=True)
        self._thread.start()

    # --- For tests ---

    def address(self, port: int) -> Address:
        """What programs of the host connect to, to reach the guest's port, or listen on, to be reached from the guest.

        `OverflowError`: a port is 0..2**32-1.
        """
        return Address.hyperkit(self.directory, port) if self.dialect == "hyperkit" else Address.mux(self.path, port)

    def guest_address(self, port: int) -> Address:
        """What a service of the guest listens on; in a VM it would be `vsock://:PORT`. `OverflowError` as for `address`."""
        return Address.unix(self._guest_path(port))

    def host_address(self, port: int) -> Address:
        """What a client in the guest connects to, to reach the host; in a VM it would be `vsock://host:PORT`. `OverflowError` likewise."""
        if self.dialect == "hyperkit":
            return Address.unix(self.directory / f"{CID_HOST:08x}.{_checked(port):08x}")
        return Address.unix(f"{self.path}_{_checked(port)}")

    def serve(self, port: int, handler: Callable[[Stream], object]) -> None:
        """Makes a service of the guest: each client of the port is given to handler, in a thread of its own, and closed after it.

        What a handler raises is raised by `close`, unless the client broke off (`ConnectionResetError`, `BrokenPipeError`).
        """
        self._services[_checked(port)] = handler

    def inject(self, fault: Fault | None, *, times: int | None = None, delay: float = 0.2) -> None:
        """Does a fault to the clients that come to the host's socket from now on: to the first `times` of them, None: to all.

        late: is `delay` seconds late with the answer. pieces: answers byte by byte. glued: sends the answer and the first data of the
        guest at once, if that says something first. silent: never answers. refused: hangs up. garbage: answers something else.
        reset: breaks the connection at the first byte from the client. None: works from now on.
        HyperKit answers nothing: pieces, glued and garbage are a `ValueError` there.
        """
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"fault {fault!r}: it is {', '.join(FAULTS)}")
        if self.dialect == "hyperkit" and fault in ("pieces", "glued", "garbage"):
            raise ValueError(f"fault {fault!r}: HyperKit has no answer that it could be done to")
        done = itertools.repeat((fault, delay)) if times is None else itertools.repeat((fault, delay), times)
        self._faults: Iterator[tuple[Fault | None, float]] = itertools.chain(done, itertools.repeat((None, 0.0)))

    def close(self) -> None:
        """Ends all connections and threads, removes the directory; doing it again does nothing.

        Raises what went wrong in the threads: a single error as it is, several as an exception group. A handler whose stream is closed
        by this is not wrong, but it is (`RuntimeError`) if it has not ended in 5 seconds, which is how long this may wait for each.
        """
        wrong = self._end()
        if wrong is not None:
            raise wrong

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """As `close`; but an error of the block stays the one that is raised, with the others in a note."""
        wrong = self._end()
        if wrong is not None and error is not None:
            error.add_note("".join(["Meanwhile in the fake hypervisor:\n", *traceback.format_exception(wrong)]))
        elif wrong is not None:
            raise wrong

    def __repr__(self) -> str:
        return f"<virtsock.testing.FakeHypervisor {self.dialect} {str(self.path)!r}{' closed' if self._loop.is_closed() else ''}>"

    def _end(self) -> BaseException | None:
        if self._loop.is_closed():
            return None
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        for thread in self._guests:
            thread.join(_PATIENCE)
            if thread.is_alive():
                self._errors.append(RuntimeError(f"{thread.name} has not ended, though its stream is closed"))
        self._loop.close()
        self._folder.cleanup()
        if len(self._errors) > 1:
            return BaseExceptionGroup(f"in the fake {self.dialect}", self._errors)
        return self._errors[0] if self._errors else None

    # --- The guest ---

    def _guest_path(self, port: int) -> Path:
        return self.directory / f"guest_{_checked(port)}"

    def _reach(self, port: int) -> socket.socket:
        """The multiplexer's end of a connection to the guest. Never waits: one that cannot be had at once is refused."""
        handler = self._services.get(port)
        if handler is not None:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            self._start(port, handler, Stream.from_socket(theirs))
            return ours
        ours = socket.socket(socket.AF_UNIX)
        try:
            ours.setblocking(False)
            ours.connect(str(self._guest_path(port)))
        except OSError as why:
            ours.close()
            raise _HangUp(f"nobody listens on port {port} of the guest: {why}") from why
        return ours

    def _start(self, port: int, handler: Callable[[Stream], object], stream: Stream) -> None:
        thread = threading.Thread(target=self._handle, args=(handler, stream), name=f"the guest's service on port {port}", daemon=True)
        thread.start()
        self._guests = {other: its for other, its in self._guests.items() if other.is_alive()} | {thread: stream}

    def _handle(self, handler: Callable[[Stream], object], stream: Stream) -> None:
        try:
            with stream:
                handler(stream)
        except (ConnectionResetError, BrokenPipeError):
            pass
        except BaseException as error:  # pytest.fail raises no Exception
            if not (self._closing and isinstance(error, Error)):
                error.add_note(f"in {threading.current_thread().name}")
                self._errors.append(error)

    # --- The multiplexer: one thread, a task for each client ---

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self._errors.append(error)

    async def _serve(self) -> None:
        with self._listener:
            async with asyncio.TaskGroup() as clients:
                try:
                    while True:
                        await _readable(self._listener)
                        self._admit(clients)
                finally:
                    self._closing = True
                    for stream in self._guests.values():
                        stream.abort()

    def _admit(self, clients: asyncio.TaskGroup) -> None:
        client, _ = self._listener.accept()
        client.setblocking(False)
        task = clients.create_task(self._attend(client, *next(self._faults)))
        task.add_done_callback(lambda _: client.close())  # also of one that was cancelled before it began

    async def _attend(self, client: socket.socket, fault: Fault | None, delay: float) -> None:
        try:
            port, answer = await (_ask_hyperkit(client) if self.dialect == "hyperkit" else self._ask(client))
            if fault == "late":
                await asyncio.sleep(delay)
            if fault == "refused":
                return
            if fault == "silent":
                await _drop(client)
            elif fault == "garbage":
                await _send(client, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            else:
                with self._reach(port) as guest:
                    await _answer(client, guest, answer, fault)
                    await _join(client, guest, fault == "reset")
        except _HangUp as why:
            _log.warning("the fake %s hangs up: %s", self.dialect, why)
        except ConnectionError:  # the client broke off
            pass

    async def _ask(self, client: socket.socket) -> tuple[int, bytes]:
        """The port that a client wants, and what it is to be answered."""
        manner = _MANNERS[self.dialect]
        line = await _read_line(client, manner)
        words = line.split() if line.endswith(b"\n") else []
        port = _port(words[1], manner.services) if len(words) == 2 and words[0].lower() == b"connect" else None
        if port is None:
            raise _HangUp(f"no request that it takes: {line!r}")
        if manner.own_port:
            return port, b"OK %d\n" % next(self._own_ports)
        return port, b"OK %d\n" % port if words[1].isdigit() else b"OK %s\n" % words[1].lower()


def _checked(port: int) -> int:
    if not 0 <= port < 1 << 32:
        raise OverflowError(f"{port} is not within 0..{(1 << 32) - 1}")
    return port


def _port(word: bytes, services: bool) -> int | None:
    if word.isdigit():
        return int(word) if int(word) < 1 << 32 else None
    with contextlib.suppress(ValueError, LookupError):
        return port_from_service(word.decode()) if services else None
    return None


async def _readable(sock: socket.socket) -> None:
    """Takes nothing, so that nothing is lost if this is cancelled."""
    ready = asyncio.Event()
    asyncio.get_running_loop().add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        asyncio.get_running_loop().remove_reader(sock)


async def _receive(sock: socket.socket, size: int) -> bytes:
    return await asyncio.get_running_loop().sock_recv(sock, size)


async def _send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def _read_line(client: socket.socket, manner: _Manner) -> bytes:
    """A byte a time, since what follows is the guest's. Without newline: it ended, came too slowly, or is too long."""
    line = await _receive(client, 1)
    with contextlib.suppress(BlockingIOError, TimeoutError):
        async with asyncio.timeout(manner.patience or None):
            while line and not line.endswith(b"\n") and len(line) < manner.longest:
                byte = client.recv(1) if manner.patience == 0 else await _receive(client, 1)
                if not byte:
                    break
                line += byte
        if manner.forgets:
            client.recv(8192)
    return line


async def _ask_hyperkit(client: socket.socket) -> tuple[int, bytes]:
    line = await _receive(client, 18)
    words = re.fullmatch(rb"([0-9a-f]{8})\.([0-9a-f]{8})\n", line)
    if words is None or int(words[1], 16) != _CID:
        raise _HangUp(f"no request that it takes: {line!r}")
    return int(words[2], 16), b""


async def _answer(client: socket.socket, guest: socket.socket, answer: bytes, fault: Fault | None) -> None:
    if fault == "pieces":
        for byte in answer:
            await _send(client, bytes([byte]))
            await asyncio.sleep(_PIECE)
        return
    if fault == "glued":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GLUE):
                await _readable(guest)
            answer += guest.recv(4096)
    if answer:
        await _send(client, answer)


async def _join(client: socket.socket, guest: socket.socket, breaks: bool) -> None:
    """Carries both ways until both have ended; where an end breaks, both do, since the caller closes them."""
    try:
        async with asyncio.TaskGroup() as ways:
            ways.create_task(_carry(guest, client))
            ways.create_task(_break(client) if breaks else _carry(client, guest))
    except* ConnectionError:
        pass


async def _carry(source: socket.socket, sink: socket.socket) -> None:
    while data := await _receive(source, 1 << 16):
        await _send(sink, data)
    with contextlib.suppress(OSError):  # macOS says so of a peer that has gone
        sink.shutdown(socket.SHUT_WR)


async def _break(client: socket.socket) -> None:
    """What has come and is not read makes the close a reset."""
    await _readable(client)
    raise ConnectionResetError


async def _drop(client: socket.socket) -> None:
    while await _receive(client, 1 << 16):
        pass
