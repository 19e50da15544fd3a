# SPDX-License-Identifier: MIT
"""A hypervisor that is not there: programs of a host and programs of its guest meet in one machine, with no VM.

    with FakeHypervisor() as vm:
        vm.serve(1024, handle)                                  # in the guest: a function that is given a Stream
        stream = virtsock.connect(vm.address(1024))             # on the host

Owns the host's socket, which speaks a multiplexer's protocol (`Dialect`) and ends conversations as that one does, and one thread; what
comes is carried to whoever listens in the guest. Times are seconds. Needs the UNIX sockets of Python, which has none on Windows.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import socket
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, get_args

from . import Address, Error, Stream
from . import _muxes as mux
from ._muxes import Dialect, Fault
from .native import CID_HOST

__all__ = ["DIALECTS", "FAULTS", "Dialect", "FakeHypervisor", "Fault"]

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
FAULTS: tuple[Fault, ...] = get_args(Fault)

_FIRST_OWN_PORT = 1 << 30
_PATIENCE = 5.0  # with a function of the guest that does not end
_LOOK = 0.01  # how often it is looked whether a guest that sends no more has closed
_NO_ANSWER = ("libkrun", "hyperkit")

_log = logging.getLogger(__name__)


class FakeHypervisor:
    """A guest's multiplexer on this machine, from its making to `close`; a context manager.

    dialect: whose protocol it speaks; the strictest unless told, so that what works with it works with the others. fault: as for `inject`.
    most: connections at once, of which the next is hung up on unread; the dialect's unless told. `ValueError`: there is no such thing. Any
    method may be called from any thread; none waits, but `close`.
    """

    dialect: Dialect
    """As it was made."""
    directory: Path
    """Of its own, removed at the end."""
    path: Path
    """The socket in it: Firecracker's `uds_path`, HyperKit's `connect`. libkrun has one for each port, this and `_PORT`."""

    def __init__(self, dialect: Dialect = "firecracker", *, fault: Fault | None = None, most: int | None = None) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"dialect {dialect!r}: it is {', '.join(DIALECTS)}")
        self.dialect = dialect
        self._manner = mux.MANNERS[dialect]
        self._most = self._manner.most if most is None else most
        self.inject(fault)
        self._own_ports = itertools.count(_FIRST_OWN_PORT)
        self._services: dict[int, Callable[[Stream], object]] = {}
        self._guests: dict[threading.Thread, Stream] = {}
        self._errors: list[BaseException] = []
        self._closing = False
        self._active = 0
        self._runs = asyncio.Event()
        self._runs.set()
        self._open: set[int] = set()
        self._loop = asyncio.SelectorEventLoop()
        with contextlib.ExitStack() as undone:
            undone.callback(self._loop.close)
            self._folder = tempfile.TemporaryDirectory(prefix="virtsock-")
            undone.callback(self._folder.cleanup)
            self.directory = Path(self._folder.name)
            self.path = self.directory / {"hyperkit": "connect", "libkrun": "port"}.get(dialect, "vsock.sock")
            doors: list[tuple[socket.socket, int | None]] = [] if dialect == "libkrun" else [(mux.listening(self.path), None)]
            undone.pop_all()
        self._task = self._loop.create_task(self._serve(doors))
        self._thread = threading.Thread(target=self._run, name=f"virtsock {dialect}", daemon=True)
        self._thread.start()

    # --- For tests ---

    def address(self, port: int) -> Address:
        """What programs of the host connect to, to reach the guest's port, or listen on, to be reached from the guest.

        `OverflowError`: a port is 0..2**32-1. libkrun's ports lead one way each: to the guest from `serve` or `guest_address` on. Where the
        dialect carries half-closes it says so (`half-close=native`); over the others one direction cannot end alone.
        """
        if self.dialect == "libkrun":
            return Address.unix(f"{self.path}_{mux.checked(port)}")
        if self.dialect == "hyperkit":
            return Address.hyperkit(self.directory, port)
        return Address.mux(self.path, port).replace(half_close="unknown" if self._manner.ends_both else "native")

    def guest_address(self, port: int) -> Address:
        """What a service of the guest listens on; in a VM it would be `vsock://:PORT`. `OverflowError` as for `address`."""
        path = self._guest_path(port)
        self._lead_in(port)
        return Address.unix(path)

    def host_address(self, port: int) -> Address:
        """What a client in the guest connects to, to reach the host; in a VM it would be `vsock://host:PORT`. `OverflowError` likewise."""
        if self.dialect == "libkrun":
            return self.address(port)
        if self.dialect == "hyperkit":
            return Address.unix(self.directory / f"{CID_HOST:08x}.{mux.checked(port):08x}")
        return Address.unix(f"{self.path}_{mux.checked(port)}")

    def serve(self, port: int, handler: Callable[[Stream], object]) -> None:
        """Makes a service of the guest: each client of the port is given to handler, in a thread of its own, and closed after it.

        What a handler raises is raised by `close`, unless the client broke off (`ConnectionResetError`, `BrokenPipeError`).
        """
        self._services[mux.checked(port)] = handler
        self._lead_in(port)

    def pause(self) -> None:
        """The VM stands still: the host's socket accepts, and nothing answers or moves (vhost-device-vsock hangs up), until `resume`."""
        self._do(self._runs.clear)

    def resume(self) -> None:
        """All goes on. Who came meanwhile arrives in the guest now, even if it has left."""
        self._do(self._runs.set)

    def inject(self, fault: Fault | None, *, times: int | None = None, delay: float = 0.2) -> None:
        """Does a fault to the clients that come to the host's socket from now on: to the first `times` of them, None: to all.

        late: is `delay` seconds late with the answer. pieces: answers byte by byte. glued: sends the answer and the first data of the
        guest at once, if that says something first. silent: never answers. refused: hangs up. garbage: answers something else.
        reset: breaks the connection at the first byte from the client. None: works from now on.
        HyperKit and libkrun answer nothing: pieces, glued and garbage are a `ValueError` there.
        """
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"fault {fault!r}: it is {', '.join(FAULTS)}")
        if self.dialect in _NO_ANSWER and fault in ("pieces", "glued", "garbage"):
            raise ValueError(f"fault {fault!r}: {self.dialect} has no answer that it could be done to")
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
        return self.directory / f"guest_{mux.checked(port)}"

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
            raise mux.HangUp(f"nobody listens on port {port} of the guest: {why}") from why
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

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """In the thread; nothing after the end."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _do(self, function: Callable[[], object]) -> None:
        """In the thread, and done when this returns."""
        done = threading.Event()

        def do() -> None:
            function()
            done.set()

        self._call(do)
        while self._thread.is_alive() and not done.wait(0.1):
            pass

    def _lead_in(self, port: int) -> None:
        """Makes libkrun's socket for a port of the guest, which accepts from then on, whoever listens."""
        if self.dialect == "libkrun" and port not in self._open and not self._loop.is_closed():
            self._open.add(port)
            self._call(self._keep, mux.listening(Path(f"{self.path}_{port}")), port)

    def _keep(self, listener: socket.socket, port: int | None) -> None:
        self._clients.create_task(self._accept(listener, port)).add_done_callback(lambda _: listener.close())

    async def _serve(self, doors: list[tuple[socket.socket, int | None]]) -> None:
        async with asyncio.TaskGroup() as self._clients:
            try:
                for listener, port in doors:
                    self._keep(listener, port)
                await asyncio.get_running_loop().create_future()
            finally:
                self._closing = True
                for stream in self._guests.values():
                    stream.abort()

    async def _accept(self, listener: socket.socket, port: int | None) -> None:
        while True:
            await mux.readable(listener)
            client, _ = listener.accept()
            client.setblocking(False)
            task = self._clients.create_task(self._attend(client, port, *next(self._faults)))
            self._active += 1
            task.add_done_callback(functools.partial(self._leave, client))  # also of one that was cancelled before it began

    def _leave(self, client: socket.socket, _: asyncio.Task[None]) -> None:
        self._active -= 1
        client.close()

    async def _attend(self, client: socket.socket, port: int | None, fault: Fault | None, delay: float) -> None:
        try:
            if self._most is not None and self._active > self._most:
                raise mux.HangUp(f"{self._most} connections are all that it takes")
            if self._manner.hangs_up and not self._runs.is_set():
                raise mux.HangUp("the VM is paused")
            await self._runs.wait()
            port, answer = (port, b"") if port is not None else await self._ask(client)
            if fault == "late":
                await asyncio.sleep(delay)
            if fault == "refused":
                return
            if fault == "silent":
                await mux.drop(client)
            elif fault == "garbage":
                await mux.send(client, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            else:
                with self._reach(port) as guest:
                    await mux.answer(client, guest, answer, fault)
                    await self._join(client, guest, fault == "reset")
        except mux.HangUp as why:
            _log.warning("the fake %s hangs up: %s", self.dialect, why)
        except ConnectionError:  # the client broke off
            pass

    async def _ask(self, client: socket.socket) -> tuple[int, bytes]:
        """The port that a client wants, and what it is to be answered."""
        if self.dialect == "hyperkit":
            return await mux.ask_hyperkit(client)
        manner = self._manner
        line = await mux.read_line(client, manner)
        words = line.split() if line.endswith(b"\n") else []
        if manner.loose and len(words) > 1:
            words = [words[0], words[1].removeprefix(b"+")]
        port = mux.port_of(words[1], manner.services) if len(words) == 2 and words[0].lower() == b"connect" else None
        if port is None:
            raise mux.HangUp(f"no request that it takes: {line!r}")
        if manner.own_port:
            return port, b"OK %d\n" % next(self._own_ports)
        return port, b"OK %d\n" % port if words[1].isdigit() else b"OK %s\n" % words[1].lower()

    # --- Conversations ---

    async def _join(self, client: socket.socket, guest: socket.socket, breaks: bool) -> None:
        """Carries both ways until both have ended; where an end breaks, both do, since the caller closes them."""
        try:
            async with asyncio.TaskGroup() as ways:
                back = ways.create_task(self._back(guest, client))
                ways.create_task(mux.break_off(client) if breaks else self._forth(client, guest, back))
        except* ConnectionError:
            pass

    async def _forth(self, client: socket.socket, guest: socket.socket, back: asyncio.Task[None]) -> None:
        await self._pour(client, guest)
        if not self._manner.ends_both:
            mux.end(guest)
            return
        back.cancel()
        with contextlib.suppress(OSError):
            guest.shutdown(socket.SHUT_RDWR)
            while guest.recv(1 << 16):  # what is on its way back is lost; left unread it would be a break for the guest
                pass
        await asyncio.sleep(self._manner.host_end)
        raise mux.Over

    async def _back(self, guest: socket.socket, client: socket.socket) -> None:
        await self._pour(guest, client)
        if not self._manner.keeps_end:
            mux.end(client)
            return
        while not mux.has_closed(guest):
            await asyncio.sleep(_LOOK)
        raise mux.Over

    async def _pour(self, source: socket.socket, sink: socket.socket) -> None:
        while data := await mux.receive(source, 1 << 16):
            await self._runs.wait()
            await mux.send(sink, data)
