# SPDX-License-Identifier: MIT
"""asyncio over every transport: `open_connection` and `start_server` with the standard library's StreamReader and StreamWriter.

    reader, writer = await virtsock.aio.open_connection("vsock://3:1024", timeout=5)

Connecting never blocks the loop. Any loop will do: asyncio's own or uvloop's. For trio and anyio see docs/asyncio.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
import time

from . import native
from ._address import Address, handle_of
from ._aio_threads import Transport
from ._errors import Error
from ._stream import Listener, Stream, _options, listen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from ssl import SSLContext
    from typing import Any

    _Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]

__all__ = ["Server", "open_connection", "start_server"]

_LIMIT = 65536  # bytes that a StreamReader holds; asyncio's default
_PAUSE = 1.0  # seconds without accepting, out of descriptors; asyncio's
_BATCH = 100  # clients accepted before others have their turn
_LOOK_AGAIN = 10  # ms, where nothing can be waited for
_threads_only = sys.platform == "win32"  # no loop there can wait for a Hyper-V socket


# fmt: off
async def open_connection(
    address: Address | str, *, limit: int = _LIMIT, ssl: SSLContext | bool | None = None, server_hostname: str | None = None,
    timeout: float | None = None, wait: float | None = None, connect_timeout: float | None = None,
    stays: float | None = None, backoff_first: float | None = None, backoff_max: float | None = None,
    buffer_min: int | None = None, buffer_size: int | None = None, buffer_max: int | None = None,
    hyperv_passthru: bool | None = None, hyperv_suspend: bool | None = None, hyperv_high_vtl: bool | None = None,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects without blocking the loop, handshakes and further attempts included, and gives what asyncio's `open_connection` does.

    timeout: of one attempt, another name for connect_timeout; wait, and the others: as for `virtsock.connect`, in seconds and bytes. limit,
    ssl, server_hostname: as for asyncio.
    A name is looked up in a thread first. Raises `virtsock.Error`; what is cancelled leaves nothing behind.
    """
    options = _options(
        connect_timeout=connect_timeout if connect_timeout is not None else timeout, wait=wait,
        stays=stays, backoff_first=backoff_first, backoff_max=backoff_max,
        buffer_min=buffer_min, buffer_size=buffer_size, buffer_max=buffer_max,
        hyperv_passthru=hyperv_passthru, hyperv_suspend=hyperv_suspend, hyperv_high_vtl=hyperv_high_vtl,
    )
    where = _checked(address, ssl)
    if ssl and server_hostname is None:
        raise ValueError("ssl needs a server_hostname: the address has none")
    stream = Stream(await _connected(where, options))
    if _by_threads(stream):
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport = Transport(loop, stream, protocol)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return reader, _keep_open(writer) if _is_whole(where) else writer
    sock = _plain(stream)
    if _is_whole(where) and not ssl:
        return await _open_whole(sock, limit)
    open_ = asyncio.open_unix_connection if sock.family == socket.AF_UNIX else asyncio.open_connection
    return await open_(sock=sock, limit=limit, ssl=ssl, server_hostname=server_hostname)


async def start_server(
    client_connected_cb: _Served, address: Address | str, *, limit: int = _LIMIT, ssl: SSLContext | None = None, start_serving: bool = True,
    allow: Iterable[str] = (), backlog: int | None = None, socket_mode: int | None = None,
    buffer_min: int | None = None, buffer_size: int | None = None, buffer_max: int | None = None,
    hyperv_passthru: bool | None = None, hyperv_suspend: bool | None = None, hyperv_high_vtl: bool | None = None,
) -> Server:
    """Listens at an address, at once.

    `client_connected_cb(reader, writer)` is called for each client that the rules admit, and run as a task if a coroutine.

    allow, backlog, socket_mode, buffer_* (bytes), hyperv_*: as for `virtsock.listen`; limit, ssl, start_serving: as for
    asyncio's `start_server`. Raises `virtsock.Error`.
    """
    where = _checked(address, ssl)
    listener = listen(
        where, allow=allow, backlog=backlog, socket_mode=socket_mode, timeout=None if _threads_only else 0,
        buffer_min=buffer_min, buffer_size=buffer_size, buffer_max=buffer_max,
        hyperv_passthru=hyperv_passthru, hyperv_suspend=hyperv_suspend, hyperv_high_vtl=hyperv_high_vtl,
    )
    server = Server(listener, client_connected_cb, limit, ssl)
    if start_serving:
        await server.start_serving()
    return server
# fmt: on


def _is_whole(address: Address) -> bool:
    return address.half_close in ("none", "unknown")


def _refuse_eof() -> None:
    raise NotImplementedError("half-close=none or unknown: let the peer end first, then close")


def _keep_open(writer: asyncio.StreamWriter) -> asyncio.StreamWriter:
    """Where a way has half-close=none, or nobody knows: the end of writing may be the end of both directions.

    The writer's transport is the loop's own, since uvloop begins TLS on no other.
    """
    writer.can_write_eof = lambda: False  # type: ignore[method-assign]
    writer.write_eof = _refuse_eof  # type: ignore[method-assign]
    return writer


async def _open_whole(sock: socket.socket, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit, loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport: Any
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock)
    return reader, _keep_open(asyncio.StreamWriter(transport, protocol, reader, loop))


def _checked(address: Address | str, ssl: object) -> Address:
    address = address if isinstance(address, Address) else Address(address)
    if address.type != "stream":
        raise ValueError(f"asyncio's streams are of bytes, which {address} has not: use loop.sock_recv with a Stream's to_socket()")
    if ssl and (_threads_only or address.half_close == "framed"):
        raise ValueError(f"{address} is served by threads, which asyncio's TLS does not take")
    return address


async def _connected(address: Address, options: native._Options) -> native._Stream:
    if address.scheme == "hvsock":  # for others that is no look-up
        target = await asyncio.to_thread(native.resolve, handle_of(address), options)
    else:
        target = native.resolve(handle_of(address), options)
    stream = native.connect_start(target, options)
    try:
        while not _is_connected(stream):
            await _progress(*native.stream_wants(stream))
    except BaseException:
        native.stream_close(stream, 0)
        raise
    return stream


def _is_connected(stream: native._Stream) -> bool:
    try:
        native.stream_connect(stream, 0)
    except BlockingIOError:
        return False
    return True


async def _progress(fd: int, events: int, timeout_ms: int) -> None:
    """Until the descriptor is ready for one of the events, or the time has passed; the watch is gone at the end."""
    if _threads_only:
        fd, timeout_ms = -1, _LOOK_AGAIN if timeout_ms < 0 else min(timeout_ms, _LOOK_AGAIN)
    loop = asyncio.get_running_loop()
    due = loop.create_future()

    def ready() -> None:
        if not due.done():
            due.set_result(None)

    timer = loop.call_later(timeout_ms / 1000, ready) if timeout_ms >= 0 else None
    try:
        if fd >= 0 and events & native.WANT_RECV:
            loop.add_reader(fd, ready)
        if fd >= 0 and events & native.WANT_SEND:
            loop.add_writer(fd, ready)
        await due
    finally:
        if timer is not None:
            timer.cancel()
        if fd >= 0:
            loop.remove_reader(fd)
            loop.remove_writer(fd)


def _by_threads(stream: Stream) -> bool:
    return _threads_only or stream.fileno() < 0


def _plain(stream: Stream) -> socket.socket:
    """The stream as a socket that the running loop takes. uvloop knows no AF_VSOCK, and does not ask what it is told is AF_UNIX."""
    sock = stream.to_socket()
    if sock.type != socket.SOCK_STREAM:
        sock.close()
        raise ValueError("asyncio's streams are of bytes, and this socket's are messages")
    sock.setblocking(False)
    if sock.family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6) and _in_uvloop():
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=sock.detach())
    return sock


def _in_uvloop() -> bool:
    return any(kind.__module__.partition(".")[0] == "uvloop" for kind in type(asyncio.get_running_loop()).__mro__)


class _Client(asyncio.StreamReaderProtocol):
    """A client of a server, which knows it from the accept to the end."""

    def __init__(self, server: Server) -> None:
        super().__init__(asyncio.StreamReader(server._limit, server._loop), self._serve, server._loop)
        self._server = server
        self.transport: asyncio.BaseTransport | None = None
        self.task: asyncio.Task[None] | None = None
        server._clients.add(self)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        return self._server._callback(reader, _keep_open(writer) if self._server._whole else writer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._server._forget(self)

    def attach(self, sock: socket.socket) -> None:
        """Begins to make a transport of the socket, which may take a handshake."""
        loop = self._server._loop
        taken = False

        async def attach() -> None:
            nonlocal taken
            taken = True
            await loop.connect_accepted_socket(lambda: self, sock, ssl=self._server._ssl)

        def attached(task: asyncio.Task[None]) -> None:
            if not taken:  # cancelled before it began
                sock.close()
            if self.transport is None:
                self._server._forget(self)
            if not task.cancelled() and (error := task.exception()) is not None and loop.get_debug():
                self._server._report("a client was lost in its handshake", error)  # no news otherwise, as asyncio has it

        self.task = loop.create_task(attach())
        self.task.add_done_callback(attached)


class Server(asyncio.AbstractServer):
    """As asyncio's Server; closed by `close`, or by `async with`. Instead of `sockets` it has `address`."""

    def __init__(self, listener: Listener, callback: _Served, limit: int, ssl: SSLContext | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener, self._callback, self._limit, self._ssl = listener, callback, limit, ssl
        self._whole = not ssl and _is_whole(listener.address)
        self._clients: set[_Client] = set()
        self._serving = self._closed = False
        self._pause: asyncio.TimerHandle | None = None
        self._forever: asyncio.Future[None] | None = None
        self._ended = asyncio.Event()

    @property
    def address(self) -> Address:
        """Where it listens, with the port that the system chose."""
        return self._listener.address

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """As asyncio's: the loop that it was made in."""
        return self._loop

    def is_serving(self) -> bool:
        """As asyncio's: whether it accepts."""
        return self._serving

    async def start_serving(self) -> None:
        """As asyncio's: begins to accept; clients that came before have waited. Doing it again does nothing."""
        if self._closed:
            raise RuntimeError("the server is closed")
        if self._serving:
            return
        self._serving = True
        if _threads_only:
            threading.Thread(target=self._accepts, name="virtsock-accept", daemon=True).start()
        else:
            self._watch()

    async def serve_forever(self) -> None:
        """As asyncio's: accepts until this is cancelled, which closes the server and waits for its clients; `close` cancels it, too."""
        if self._forever is not None:
            raise RuntimeError("serve_forever was called before")
        await self.start_serving()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        finally:
            self._forever = None
            self.close()
            await self.wait_closed()

    def close(self) -> None:
        """As asyncio's: accepts no more; clients that are connected stay so. Doing it again does nothing."""
        if self._closed:
            return
        self._unwatch()
        self._listener.close()
        self._serving, self._closed = False, True
        if self._forever is not None:
            self._forever.cancel()
        self._wake()

    def close_clients(self) -> None:
        """As asyncio's: closes the transports of all clients, once what was written is sent."""
        self._end_clients("close")

    def abort_clients(self) -> None:
        """As asyncio's: closes the transports of all clients at once."""
        self._end_clients("abort")

    async def wait_closed(self) -> None:
        """As asyncio's: until the server is closed and all its clients' connections have ended."""
        await self._ended.wait()

    def __repr__(self) -> str:
        return f"<virtsock.aio.Server {self.address} {'closed' if self._closed else 'serving' if self._serving else 'waiting'}>"

    def _end_clients(self, how: str) -> None:
        for client in [*self._clients]:
            if client.transport is not None:
                getattr(client.transport, how)()
            elif client.task is not None:  # in its handshake
                client.task.cancel()

    def _watch(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _unwatch(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        elif self._serving and not _threads_only:
            self._loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        try:
            for _ in range(_BATCH):
                self._admit(self._listener.accept())
        except BlockingIOError:
            pass
        except Error as error:
            self._unwatch()
            self._pause = self._loop.call_later(_PAUSE, self._watch)
            self._report("no client could be accepted; the next try is in a second", error)

    def _accepts(self) -> None:
        """The thread that accepts, where no loop can be told of clients."""
        with contextlib.suppress(RuntimeError):  # the loop was closed
            while True:
                try:
                    self._loop.call_soon_threadsafe(self._admit, self._listener.accept())
                except Error as error:
                    if error.code == native.E_CANCELLED:
                        return
                    self._loop.call_soon_threadsafe(self._report, "no client could be accepted; the next try is in a second", error)
                    time.sleep(_PAUSE)

    def _admit(self, stream: Stream) -> None:
        if self._closed:
            stream.abort()
        elif _by_threads(stream):
            client = _Client(self)
            try:
                Transport(self._loop, stream, client)
            finally:
                if client.transport is None:
                    self._forget(client)
        else:
            sock = _plain(stream)
            _Client(self).attach(sock)

    def _forget(self, client: _Client) -> None:
        self._clients.discard(client)
        self._wake()

    def _wake(self) -> None:
        if self._closed and not self._clients:
            self._ended.set()

    def _report(self, message: str, error: BaseException) -> None:
        self._loop.call_exception_handler({"message": message, "exception": error, "server": self})
