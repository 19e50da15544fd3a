# SPDX-License-Identifier: MIT
"""Streams and listeners: what `virtsock.native` has, with the manners of the standard library's `socket`.

Times are seconds: None waits for ever, 0 never waits (`BlockingIOError`). Any method may be called from any thread; `close` ends the calls
that other threads are in. A signal handler runs while a call waits, and Ctrl-C ends it.
"""

from __future__ import annotations

from . import native
from ._address import Address, handle_of
from ._errors import Error, NotFoundError
from .native import milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator
    from typing import IO, Any, Self

    from typing_extensions import Buffer

_FOREVER = -1  # ms
_LONGEST = 2**31 - 1  # ms, 24 days

_OPTIONS = {name[7:].lower(): number for name, number in vars(native).items() if name.startswith("OPTION_")}
_ITEMS = {name[5:].lower(): number for name, number in vars(native).items() if name.startswith("ITEM_")}
_TIMES = ("connect_timeout", "wait", "stays", "backoff_first", "backoff_max", "linger")


def _options(allow: Iterable[str] = (), **named: float | None) -> native._Options:
    options = native.options_new()
    native.options_set(options, native.OPTION_INTERRUPTIBLE, 2)
    for name, value in named.items():
        if value is not None:
            number: Any = milliseconds(value) if name in _TIMES else +value  # a bool becomes a number
            native.options_set(options, _OPTIONS[name], number)
    for rule in (allow,) if isinstance(allow, str) else allow:
        native.options_allow(options, rule)
    return options


_DEFAULTS = _options()


# fmt: off
def connect(
    address: Address | str, *, timeout: float | None = None, wait: float | None = None, connect_timeout: float | None = None,
    stays: float | None = None, backoff_first: float | None = None, backoff_max: float | None = None, linger: float | None = None,
    buffer_min: int | None = None, buffer_size: int | None = None, buffer_max: int | None = None, message_max: int | None = None,
    hyperv_passthru: bool | None = None, hyperv_suspend: bool | None = None, hyperv_high_vtl: bool | None = None,
) -> Stream:
    """Connects, and waits until that is done or has failed; OK means that the peer's system accepted.

    timeout: of the stream's calls, and of one attempt to connect if connect_timeout is not given. All times are seconds.
    wait: how long to try again where nobody listens yet or the VM does not answer; math.inf for ever. Not given: one attempt.
    connect_timeout: one attempt with its handshake; math.inf for ever. Not given: the system's, about a second on Hyper-V.
    stays: a peer that hangs up within that time and has sent nothing is not there yet (libkrun, vfkit and HyperKit accept before anybody
    listens in the guest); a connection is one once it has lasted so long, or a byte has come.
    backoff_first, backoff_max: pauses between attempts. linger: how long `close` waits for the peer's end.
    buffer_*, message_max: bytes. hyperv_*: what Windows has for its sockets.
    An option that the address's scheme has no use for is refused (status UNSUPPORTED). `ConnectionRefusedError`: nobody listens;
    `TimeoutError`: the time has passed; status UNREACHABLE: there is no such VM.
    """
    if (timeout is wait is connect_timeout is stays is backoff_first is backoff_max is linger is buffer_min is buffer_size is buffer_max
            is message_max is hyperv_passthru is hyperv_suspend is hyperv_high_vtl is None):
        return Stream(native.connect(handle_of(address), _DEFAULTS))
    ms = milliseconds(timeout)
    options = _options(
        connect_timeout=connect_timeout if connect_timeout is not None else timeout or None, wait=wait,
        stays=stays, backoff_first=backoff_first, backoff_max=backoff_max, linger=linger,
        buffer_min=buffer_min, buffer_size=buffer_size, buffer_max=buffer_max, message_max=message_max,
        hyperv_passthru=hyperv_passthru, hyperv_suspend=hyperv_suspend, hyperv_high_vtl=hyperv_high_vtl,
    )
    return Stream(native.connect(handle_of(address), options), ms)


def listen(
    address: Address | str, *, allow: Iterable[str] = (), backlog: int | None = None, socket_mode: int | None = None,
    timeout: float | None = None, linger: float | None = None,
    buffer_min: int | None = None, buffer_size: int | None = None, buffer_max: int | None = None, message_max: int | None = None,
    hyperv_passthru: bool | None = None, hyperv_suspend: bool | None = None, hyperv_high_vtl: bool | None = None,
) -> Listener:
    """Listens at an address, at once. A UNIX socket that nobody listens on any more is replaced; status IN_USE: somebody does.

    allow: whom, by rules like "host", "local", "parent", "3-9", "uid=1000", "self"; none admits everybody. A rule that the transport
    cannot check is refused (status UNSUPPORTED).
    backlog: clients that wait to be accepted, as many as the system allows. socket_mode: permission bits of a UNIX socket,
    0o600. timeout: of `accept`, seconds.
    linger (seconds), buffer_* and message_max (bytes), hyperv_*: as for `connect`, of the streams that come.
    """
    ms = milliseconds(timeout)
    options = _options(
        allow, backlog=backlog, socket_mode=socket_mode, linger=linger,
        buffer_min=buffer_min, buffer_size=buffer_size, buffer_max=buffer_max, message_max=message_max,
        hyperv_passthru=hyperv_passthru, hyperv_suspend=hyperv_suspend, hyperv_high_vtl=hyperv_high_vtl,
    )
    return Listener(native.listen(handle_of(address), options), ms)
# fmt: on


def wait(address: Address | str, timeout: float | None = None) -> None:
    """Waits until something listens there: connects as `connect` with `wait` does, and leaves. The peer sees a client that says nothing.

    `TimeoutError` after so many seconds; None waits for ever, 0 tries once. A failure that no waiting mends is raised at once.
    """
    connect(address, wait=float("inf") if timeout is None else timeout).abort()


class Stream(native.StreamBase):
    """A connection. Made by `connect`, `Listener.accept` and `Stream.from_socket`; to be closed, best by `with`.

    A stream that is collected while it is open is closed. After `close` calls raise an `OSError` with `errno` EBADF (status CANCELLED).
    A seqpacket stream has messages: one call sends or receives one; `sendall` and `recv_exact` are refused there.
    """

    __slots__ = ("__weakref__",)

    @classmethod
    def from_socket(cls, sock: socket.socket) -> Self:
        """Takes a connected socket over, with its timeout; `sock` is detached. `ValueError`: it is none, and stays as it is."""
        timeout = sock.gettimeout()
        self = cls(native.stream_from_fd(sock.fileno(), _options()), milliseconds(timeout))
        sock.settimeout(None)
        sock.detach()
        return self

    def sendmsg(self, buffers: Iterable[Buffer]) -> int:
        """As `send`, from several pieces: the first 256 of a stream."""
        return native.stream_sendv(self._handle, buffers, self._ms)

    def recv_exact(self, size: int) -> bytes:
        """Waits for all of size bytes. A failure, or an `EOFError` if the peer ends before, has in `partial` what came."""
        data = bytearray(size)
        try:
            native.stream_recv_exact(self._handle, data, self._ms)
        except Error as error:
            error.partial = bytes(data[: error.done])
            raise
        return bytes(data)

    def shutdown(self, how: int) -> None:
        """Ends one direction or both: `SHUT_SEND`, `SHUT_RECV`, `SHUT_BOTH`; else `ValueError`. Waits only if framed.

        Status UNSUPPORTED: the sending direction was to end alone, and the address says half-close=none, or does not say that it can: a
        multiplexer's is unknown, and may say half-close=native. `SHUT_SEND_UNCHECKED` tries it there all the same; an answer may be lost.
        """
        native.stream_shutdown(self._handle, how)

    def finish(self, timeout: float | None = None) -> None:
        """Ends in order: half-closes (not with half-close=none or unknown), waits for the peer's end, closes. Nothing in flight is lost.

        What still comes is dropped. Where this end is not told early, and the peer waits for it, give it a time.

        `TimeoutError` if the peer has not ended in so many seconds; the stream is closed all the same.
        """
        ms = milliseconds(timeout)
        native.stream_close(self._handle, _LONGEST if ms == _FOREVER else max(ms, 1))

    def close(self) -> None:
        """Closes; other threads' calls end. Doing it again does nothing.

        Waits for the peer's end if `linger` was given, and up to a second if framed and on Hyper-V: `TimeoutError`, but closed it is.

        As for a socket, a file from `makefile` that is open keeps the stream open: it is closed with the last of them.
        """
        self._closing = True
        if self._io_refs == 0:
            native.stream_close(self._handle, -1)

    def abort(self) -> None:
        """Closes at once, whatever is in flight and whoever has a file of it."""
        native.stream_close(self._handle, 0)

    def detach(self) -> int:
        """The descriptor, which is the caller's from now on; the stream is closed. It blocks. Status IN_USE: a call is inside."""
        return native.stream_detach(self._handle)

    def to_socket(self) -> socket.socket:
        """The connection as a plain `socket.socket`, with the same timeout, for asyncio, trio, ssl and others. As `detach` otherwise."""
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
        """As `socket.makefile`, with the same mode, buffering and text. Closing the file leaves the stream open."""
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
        """This end; None: it has no name."""
        try:
            return Address._of(native.stream_local(self._handle))
        except NotFoundError:
            return None

    @property
    def info(self) -> dict[str, int]:
        """What is known of scheme, type, attempts, last_status, last_code, buffer_size (bytes), peer_uid, peer_pid and peer_state.

        peer_state: of PEER_ENDED (it sends no more; what it has sent can still be received) and PEER_DEAF (it takes no more), PEER_GONE being both.
        """
        known = {}
        for name, item in _ITEMS.items():
            try:
                known[name] = native.stream_get(self._handle, item)
            except Error as error:
                if error.code not in (native.E_NOT_FOUND, native.E_UNSUPPORTED):
                    raise
        return known

    def __repr__(self) -> str:
        try:
            return f"<virtsock.Stream fd={self.fileno()} local={str(self.local)!r} peer={str(self.peer)!r}>"
        except Error:
            return "<virtsock.Stream closed>"



class Listener(native.ListenerBase):
    """What clients come to. Made by `listen`, which adopts a socket by `fd://N`; `for stream in listener` accepts until it is closed."""

    __slots__ = ("__weakref__", "_address")

    def __init__(self, handle: native._Listener, timeout_ms: int = _FOREVER) -> None:
        self._address = Address._of(native.listener_address(handle))

    def accept(self) -> Stream:
        """Waits for the next client that the rules admit, which has no timeout; `TimeoutError`.

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

    def close(self) -> None:
        """Other threads' `accept` ends. A UNIX socket is removed. Doing it again does nothing. Never waits."""
        native.listener_close(self._handle)

    def __repr__(self) -> str:
        return f"<virtsock.Listener {self._address}{'' if self.fileno() >= 0 else ' closed'}>"
