# SPDX-License-Identifier: MIT
"""Streams and listeners: what `virtsock.native` has, with the manners of the standard library's `socket`.

Times are seconds: None waits for ever, 0 never waits (`BlockingIOError`). Any method may be called from any thread; `close` ends the calls
that other threads are in. A signal handler runs while a call waits, and Ctrl-C ends it.
"""

from __future__ import annotations

import time

from . import native
from ._address import Address, handle_of
from ._errors import Error, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import IO, Any, Self

    from typing_extensions import Buffer

_FOREVER = -1
_LONGEST = 0x7FFFFFFF  # ms; about 24 days

_send, _recv, _recv_into = native.stream_send, native.stream_recv, native.stream_recv_into


def milliseconds(seconds: float | None) -> int:
    """Rounded up, so that no wait ends early. None and infinity: for ever."""
    if seconds is None or seconds == float("inf"):
        return _FOREVER
    if not seconds >= 0:
        raise ValueError("a time is at least 0 seconds, or None for ever")
    if seconds * 1000 > _LONGEST:
        raise OverflowError(f"{seconds} seconds are too long: at most {_LONGEST // 1000}, or None for ever")
    return -int(-seconds * 1000 // 1)


_TIMES = ("connect_timeout", "wait", "backoff_first", "backoff_max", "linger")


def _options(allow: Iterable[str] = (), **named: float | None) -> native._Options:
    options = native.options_new()
    native.options_set(options, native.OPTION_INTERRUPTIBLE, 1)
    for name, value in named.items():
        if value is not None:
            number: Any = milliseconds(value) if name in _TIMES else +value  # a bool becomes a number
            native.options_set(options, getattr(native, "OPTION_" + name.upper()), number)
    for rule in (allow,) if isinstance(allow, str) else allow:
        native.options_allow(options, rule)
    return options


# fmt: off
def connect(
    address: Address | str, *, timeout: float | None = None, wait: float | None = None, connect_timeout: float | None = None,
    backoff_first: float | None = None, backoff_max: float | None = None, linger: float | None = None,
    buffer_min: int | None = None, buffer_size: int | None = None, buffer_max: int | None = None, message_max: int | None = None,
    hyperv_passthru: bool | None = None, hyperv_suspend: bool | None = None, hyperv_high_vtl: bool | None = None,
) -> Stream:
    """Connects, and waits until that is done or has failed; OK means that the peer's system accepted.

    timeout: of the stream's calls, and of one attempt to connect if connect_timeout is not given.
    wait: how long to try again where nobody listens yet or the VM does not answer; math.inf for ever. Not given: one attempt.
    connect_timeout: one attempt with its handshake; math.inf for ever. Not given: the system's, about a second on Hyper-V.
    backoff_first, backoff_max: pauses between attempts. linger: how long `close` waits for the peer's end.
    buffer_*, message_max: bytes. An option that the address's scheme has no use for is refused (status UNSUPPORTED).
    """
    ms = milliseconds(timeout)
    options = _options(
        connect_timeout=connect_timeout if connect_timeout is not None else timeout or None, wait=wait,
        backoff_first=backoff_first, backoff_max=backoff_max, linger=linger,
        buffer_min=buffer_min, buffer_size=buffer_size, buffer_max=buffer_max, message_max=message_max,
        hyperv_passthru=hyperv_passthru, hyperv_suspend=hyperv_suspend, hyperv_high_vtl=hyperv_high_vtl,
    )
    return Stream(native.connect(handle_of(address), options), ms)


def listen(
    address: Address | str, *, allow: Iterable[str] = (), backlog: int | None = None, mode: int | None = None,
    timeout: float | None = None, linger: float | None = None,
    buffer_min: int | None = None, buffer_size: int | None = None, buffer_max: int | None = None, message_max: int | None = None,
) -> Listener:
    """Listens.

    allow: whom, by rules like "host", "local", "parent", "3-9", "uid=1000", "self"; none admits everybody. A rule that the transport
    cannot check is refused (status UNSUPPORTED).
    backlog: clients that wait to be accepted, 128. mode: permission bits of a UNIX socket, 0o600. timeout: of `accept`.
    linger, buffer_*, message_max: as for `connect`, of the streams that come.
    """
    ms = milliseconds(timeout)
    options = _options(
        allow, backlog=backlog, socket_mode=mode, linger=linger,
        buffer_min=buffer_min, buffer_size=buffer_size, buffer_max=buffer_max, message_max=message_max,
    )
    return Listener(native.listen(handle_of(address), options), ms)
# fmt: on


class _Timed:
    """What streams and listeners have in common."""

    __slots__ = ("__weakref__", "_ms")
    _ms: int
    close: Callable[[], None]
    fileno: Callable[[], int]

    def settimeout(self, seconds: float | None) -> None:
        """The limit of each call from now on: None waits for ever, 0 never waits."""
        self._ms = milliseconds(seconds)

    def gettimeout(self) -> float | None:
        return None if self._ms == _FOREVER else self._ms / 1000

    def setblocking(self, flag: bool) -> None:
        """`settimeout(None)` or `settimeout(0)`."""
        self._ms = _FOREVER if flag else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_handle") and self.fileno() >= 0:
            try:
                import warnings
            except ImportError:  # the interpreter is going down
                return
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)


class Stream(_Timed):
    """A connection. Made by `connect`, `Listener.accept` and `Stream.from_socket`; to be closed, best by `with`.

    A stream that is collected while it is open is closed. After `close` calls raise an `OSError` with `errno` EBADF (status CANCELLED).
    A seqpacket stream has messages: one call sends or receives one; `sendall` and `recv_exact` are refused there.
    """

    __slots__ = ("_closing", "_handle", "_io_refs")

    def __init__(self, handle: native._Stream, timeout_ms: int = _FOREVER) -> None:
        self._handle = handle
        self._ms = timeout_ms
        self._io_refs, self._closing = 0, False

    @classmethod
    def from_socket(cls, sock: socket.socket) -> Self:
        """Takes a connected socket over, with its timeout; `sock` is detached. If it cannot be, `sock` stays as it is."""
        timeout = sock.gettimeout()
        self = cls(native.stream_from_fd(sock.fileno(), _options()), milliseconds(timeout))
        sock.settimeout(None)
        sock.detach()
        return self

    def send(self, data: Buffer) -> int:
        """Sends some of the bytes, at least one, and returns how many; a whole message on seqpacket."""
        return _send(self._handle, data, self._ms)

    def sendall(self, data: Buffer) -> None:
        """Sends all bytes; the timeout is for all of them. A failure says in `done` how many went."""
        native.stream_send_all(self._handle, data, self._ms)

    def sendmsg(self, buffers: Iterable[Buffer]) -> int:
        """As `send`, from several pieces: the first 256 of a stream."""
        return native.stream_sendv(self._handle, buffers, self._ms)

    def recv(self, size: int) -> bytes:
        """Up to size bytes, at least one; b"" at the end. One message on seqpacket, of size bytes at most."""
        return _recv(self._handle, size, self._ms)

    def recv_into(self, buffer: Buffer, nbytes: int = 0) -> int:
        """As `recv`, into the first nbytes of a writable buffer (0: all of it); returns how many came, 0 at the end."""
        if nbytes:
            if nbytes < 0 or nbytes > memoryview(buffer).nbytes:
                raise ValueError("nbytes is negative, or more than the buffer has")
            buffer = memoryview(buffer).cast("B")[:nbytes]
        return _recv_into(self._handle, buffer, self._ms)

    def recv_exact(self, size: int) -> bytes:
        """All of size bytes. A failure, or an `EOFError` if the peer ends before, has in `partial` what came."""
        data = bytearray(size)
        try:
            native.stream_recv_exact(self._handle, data, self._ms)
        except Error as error:
            error.partial = bytes(data[: error.done])
            raise
        return bytes(data)

    def shutdown(self, how: int) -> None:
        """Ends one direction or both: `SHUT_SEND`, `SHUT_RECV`, `SHUT_BOTH`, or the standard library's names. Waits only if framed."""
        native.stream_shutdown(self._handle, how)

    def finish(self, timeout: float | None = None) -> None:
        """Ends in order: half-closes, waits for the peer's end (what still comes is dropped), closes. Nothing in flight is lost.

        `TimeoutError` if the peer has not ended in time; the stream is closed all the same.
        """
        ms = milliseconds(timeout)
        until = time.monotonic() + ms / 1000
        scrap = bytearray(65536)
        try:  # not by stream_close, which no signal ends
            native.stream_shutdown(self._handle, native.SHUT_SEND)
            while self._drops(scrap, ms):
                if ms != _FOREVER:
                    ms = max(1, milliseconds(max(0, until - time.monotonic())))
        finally:
            native.stream_close(self._handle, 0)

    def _drops(self, scrap: bytearray, ms: int) -> bool:
        try:
            return _recv_into(self._handle, scrap, ms) > 0
        except Error as error:
            if error.code != native.E_MESSAGE_TOO_LONG:
                raise
            return True

    def close(self) -> None:
        """Closes; other threads' calls end. Waits if `linger` was given, and on Hyper-V. Doing it again does nothing.

        As for a socket, a file from `makefile` that is open keeps the stream open: it is closed with the last of them.
        """
        self._closing = True
        if self._io_refs == 0:
            native.stream_close(self._handle, -1)

    def abort(self) -> None:
        """Closes at once, whatever is in flight and whoever has a file of it."""
        native.stream_close(self._handle, 0)

    def fileno(self) -> int:
        """The descriptor, which the stream keeps owning; -1 when closed, or framed."""
        return native.stream_fd(self._handle)

    def detach(self) -> int:
        """The descriptor, which is the caller's from now on; the stream is closed. It is a blocking one."""
        return native.stream_detach(self._handle)

    def to_socket(self) -> socket.socket:
        """The connection as a plain `socket.socket`, with the same timeout, for asyncio, trio, ssl and others; the stream is closed."""
        import socket

        descriptor = self.detach()
        try:
            sock = socket.socket(fileno=descriptor)
        except BaseException:
            socket.close(descriptor)
            raise
        sock.settimeout(self.gettimeout())
        return sock

    def makefile(self, mode: str = "r", buffering: int | None = None, **text: str | None) -> IO[Any]:
        """A file of the stream, as `socket.makefile`: mode "r", "w" or "rw", with "b" or as text. Closing it leaves the stream open."""
        import socket

        make: Any = socket.socket.makefile  # asks for no more than _io_refs, _decref_socketios and the calls
        return make(self, mode, buffering, **text)  # type: ignore[no-any-return]

    def _decref_socketios(self) -> None:
        self._io_refs -= 1
        if self._closing:
            self.close()

    @property
    def peer(self) -> Address | None:
        """The other end; None: it has no name (a UNIX client)."""
        try:
            return Address._of(native.stream_peer(self._handle))
        except NotFoundError:
            return None

    @property
    def local(self) -> Address | None:
        """This end."""
        try:
            return Address._of(native.stream_local(self._handle))
        except NotFoundError:
            return None

    @property
    def info(self) -> dict[str, int]:
        """What is known of scheme, type, attempts, last_status, last_code, buffer_size (bytes), peer_uid and peer_pid."""
        known = {}
        for name in _ITEMS:
            try:
                known[name] = native.stream_get(self._handle, getattr(native, "ITEM_" + name.upper()))
            except Error as error:
                if error.code not in (native.E_NOT_FOUND, native.E_UNSUPPORTED):
                    raise
        return known

    def __repr__(self) -> str:
        try:
            return f"<virtsock.Stream fd={self.fileno()} local={str(self.local)!r} peer={str(self.peer)!r}>"
        except Error:
            return "<virtsock.Stream closed>"


_ITEMS = ("scheme", "type", "attempts", "last_status", "last_code", "buffer_size", "peer_uid", "peer_pid")


class Listener(_Timed):
    """What clients come to. Made by `listen`, which adopts a socket by `fd://N`; `for stream in listener` accepts until it is closed."""

    __slots__ = ("_address", "_handle")

    def __init__(self, handle: native._Listener, timeout_ms: int = _FOREVER) -> None:
        self._handle = handle
        self._ms = timeout_ms
        self._address = Address._of(native.listener_address(handle))

    def accept(self) -> Stream:
        """The next client that the rules admit, with no timeout of its own.

        Without descriptors left (status NO_RESOURCES) it stays queued: pause before the next call.
        """
        return Stream(native.accept(self._handle, self._ms))

    def __iter__(self) -> Iterator[Stream]:
        while True:
            try:
                stream = self.accept()
            except Error as error:
                if error.code == native.E_CANCELLED:
                    return
                raise
            yield stream

    @property
    def address(self) -> Address:
        """Where it listens, with the port that the system chose."""
        return self._address

    def fileno(self) -> int:
        """The descriptor, for a poll loop; -1 when closed."""
        return native.listener_fd(self._handle)

    def close(self) -> None:
        """Other threads' `accept` ends. A UNIX socket is removed. Doing it again does nothing."""
        native.listener_close(self._handle)

    def __repr__(self) -> str:
        return f"<virtsock.Listener {self._address}{'' if self.fileno() >= 0 else ' closed'}>"
