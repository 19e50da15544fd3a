# SPDX-License-Identifier: MIT
"""Dask distributed between machines that have no network: its messages over `vsock://`, `vsock-mux://`, `hvsock://` and `unix://`.

Owns how Dask's addresses become this library's, by which one a machine reaches another, and how a message is framed. `distributed` finds
it by its entry points; programs install `virtsock[dask]`, name such an address, and import nothing. The settings, all below
`distributed.comm.virtsock`: `allow` (peer rules of every listener), `cid` (in place of `virtsock.local_cid()`), `guests` (on a host with a
multiplexer: the path of a guest's UNIX socket, with `{cid}` in it). See docs/dask.md.
"""

# distributed has no types, and dask no list of what it exports.
# pyright: reportIncompatibleMethodOverride=false, reportPrivateImportUsage=false

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import shutil
import struct
import tempfile
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import dask
from dask.utils import parse_timedelta
from distributed.comm.core import BaseListener, Comm, CommClosedError, Connector, FatalCommClosedError
from distributed.comm.registry import Backend
from distributed.comm.utils import from_frames, to_frames
from distributed.system import MEMORY_LIMIT
from distributed.utils import ensure_memoryview

from . import aio
from ._address import Address, local_cid
from ._errors import Error, InvalidError
from .native import CID_ANY, CID_HOST, CID_LOCAL, E_IN_USE, E_UNSUPPORTED

__all__: list[str] = []  # distributed finds it by its entry points

Handler = Callable[[Comm], Awaitable[None]]

logger: logging.Logger = logging.getLogger(__name__)


def setting(name: str, default: Any = None) -> Any:
    return dask.config.get(f"distributed.comm.virtsock.{name}", default)


# --- Who reaches whom by which address --------------------------------------------------------------------------------


class Place(NamedTuple):
    """A machine among machines: its CID, 2 for one that acts as the host of its guests, None without any; and, on a host whose guests are
    behind a multiplexer, the path of a guest's UNIX socket, with {cid} in it."""

    cid: int | None
    guests: str | None = None


def here() -> Place:
    """This machine, asked every time: a snapshot that is restored may have changed it."""
    cid, guests = setting("cid"), setting("guests")
    if cid is None and guests is not None:
        cid = CID_HOST
    if cid is None:
        with contextlib.suppress(Error):
            cid = local_cid()
    return Place(cid, guests)


def reach(to: Address, place: Place) -> Address:
    """The address by which a program at `place` reaches the one that is advertised as `to`. Pure: the table of docs/dask.md."""
    if to.scheme != "vsock" or to.to_host or place.cid is None or to.cid is None:
        return to
    assert to.port is not None
    if to.cid in (place.cid, CID_LOCAL):
        return Address.vsock(CID_LOCAL, to.port)
    if to.cid <= CID_HOST or place.cid == CID_LOCAL:
        return to
    if place.cid == CID_HOST:
        return to if place.guests is None else Address.mux(place.guests.format(cid=to.cid), to.port)
    return Address(f"{to}?to-host=1")


def contact(listening: Address, place: Place) -> Address:
    """What a listener is advertised as: its own address, but with this machine's CID, or 1 without any, where it listens on every one; a
    multiplexer's as its guest sees it, since the host's address for listening leads into the guest when it connects."""
    if listening.scheme == "vsock-mux" and listening.port is not None:
        return Address.vsock(CID_HOST, listening.port)
    if listening.scheme == "vsock" and listening.cid == CID_ANY and listening.port is not None:
        return Address.vsock(CID_LOCAL if place.cid is None else place.cid, listening.port)
    return listening


# --- Dask's addresses: SCHEME://LOC, and HOST:PORT in LOC where Dask puts it together itself --------------------------


def address_of(scheme: str, loc: str) -> Address:
    """For connecting. `vsock-mux:///PATH:PORT`, Dask's order, is `vsock-mux://:PORT/PATH`. ValueError: not to be used here."""
    if scheme == "vsock-mux" and loc.startswith("/"):
        path, _, port = loc.rpartition(":")
        loc = f":{port}{path}"
    try:
        address = Address(f"{scheme}://{loc}")
    except InvalidError as error:       # an OSError as well, which Dask would try again and again
        raise ValueError(str(error)) from None
    if address.type != "stream" or address.half_close == "framed":
        raise ValueError(f"Dask's messages go over a plain stream: leave the options of {address} out")
    return address


def is_ip(host: str) -> bool:
    """What Dask puts in where it was told no host."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def to_listen(scheme: str, loc: str, number: int, folder: Callable[[], str]) -> Address:
    """For listening: without a host on every one, or in a folder of its own; without a port, or with 0, on one that the system chooses or,
    where it chooses none, `number`."""
    host, colon, port = loc.rpartition(":")
    if not colon:
        host, port = loc, ""
    if is_ip(host):
        host = ""
    if scheme == "unix" and not host:
        return address_of(scheme, f"{folder()}/comm")
    named = scheme != "vsock" and not colon and host        # unix:///PATH, hvsock://VM/SERVICE
    if port in ("", "0") and not named:
        port = "any" if scheme == "vsock" else str(number)
    return address_of(scheme, f"{host}:{port}" if port else host)


# --- Frames of a message ----------------------------------------------------------------------------------------------

_MAGIC = b"vsd1"
_HEAD = struct.Struct("<4sI")           # and how many frames; their lengths follow, 8 bytes each, then the frames
_AT_ONCE = 1 << 17                      # bytes: a message up to here is one write
_PIECE = 1 << 20                        # bytes: what is written, and what is read, between two turns of the loop
_HANDSHAKE_MAX = 1 << 16                # bytes of a message from one who has not shaken hands
_FLUSH = 5.0                            # seconds that a close waits for the peer to take what is under way


def head_of(sizes: list[int]) -> bytes:
    return _HEAD.pack(_MAGIC, len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes)


def count_in(head: bytes, most: int) -> int:
    """How many lengths follow. ValueError: this is no message, or its lengths alone have more than `most` bytes."""
    magic, count = _HEAD.unpack(head)
    if magic != _MAGIC or count == 0:
        raise ValueError(f"the peer sends no messages of Dask over virtsock, but {head!r}")
    if count * 8 > most:
        raise ValueError(f"a message of {count} frames is too long")
    return int(count)


def sizes_in(lengths: bytes, most: int) -> tuple[int, ...]:
    """Bytes of each frame. ValueError: all have more than `most`."""
    sizes = struct.unpack(f"<{len(lengths) // 8}Q", lengths)
    if sum(sizes) > most:
        raise ValueError(f"a message of {sum(sizes)} bytes is too long: at most {most}")
    return sizes


# --- The backend ------------------------------------------------------------------------------------------------------


def _abort(transport: asyncio.WriteTransport) -> None:
    with contextlib.suppress(AttributeError):   # asyncio's, of a transport whose close is done: it has let go of its loop
        transport.abort()


def _abort_later(loop: asyncio.AbstractEventLoop, transport: asyncio.WriteTransport) -> None:
    with contextlib.suppress(RuntimeError):     # the loop is closed
        loop.call_soon_threadsafe(_abort, transport)


class StreamComm(Comm):
    """Messages over the two halves of a stream. One reader and one writer at a time; a call that fails or is cancelled closes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, local: str, peer: str, deserialize: bool) -> None:
        super().__init__(deserialize)
        self._reader, self._writer = reader, writer
        self._local_addr, self._peer_addr = local, peer
        self._closed = False
        self._dangling = weakref.finalize(self, _abort_later, asyncio.get_running_loop(), writer.transport)
        self._dangling.atexit = False

    @property
    def local_address(self) -> str:
        return self._local_addr

    @property
    def peer_address(self) -> str:
        return self._peer_addr

    async def read(self, deserializers: Any = None) -> Any:
        with self._aborting():
            frames = await self._frames(MEMORY_LIMIT if self.handshake_options else _HANDSHAKE_MAX)
        try:
            return await from_frames(  # type: ignore[no-untyped-call]
                frames, deserialize=self.deserialize, deserializers=deserializers, allow_offload=self.allow_offload)
        except Exception as error:
            if self.handshake_options and not isinstance(error, EOFError):
                raise                   # the frames were whole: what is wrong is inside, and the next message is in its place
            self.abort()
            raise CommClosedError(f"in {self}: no message: {error}") from error

    async def write(self, msg: Any, serializers: Any = None, on_error: str = "message") -> int:
        if self.closed():
            raise CommClosedError(f"in {self}: closed")
        context = {"sender": self.local_info, "recipient": self.remote_info, **self.handshake_options}
        frames = list(map(ensure_memoryview, await to_frames(  # type: ignore[no-untyped-call]
            msg, allow_offload=self.allow_offload, serializers=serializers, on_error=on_error, context=context)))
        pieces = [memoryview(head_of([frame.nbytes for frame in frames])), *frames]
        total = sum(piece.nbytes for piece in pieces)
        if total <= _AT_ONCE:
            pieces = [memoryview(b"".join(pieces))]
        with self._aborting():
            for piece in pieces:
                for begin in range(0, piece.nbytes, _PIECE):
                    self._writer.write(piece[begin : begin + _PIECE])
                    await self._writer.drain()
        return total

    async def _frames(self, most: int) -> list[memoryview]:
        count = count_in(await self._reader.readexactly(_HEAD.size), most)
        sizes = sizes_in(await self._reader.readexactly(8 * count), most)
        return [await self._exactly(size) for size in sizes]

    async def _exactly(self, size: int) -> memoryview:
        """A buffer of its own, which is freed apart from others and may be written to."""
        whole = memoryview(bytearray(size))
        have = 0
        while have < size:
            piece = await self._reader.read(min(size - have, _PIECE))
            if not piece:
                raise EOFError("the peer ended in the middle of a message")
            whole[have : have + len(piece)] = piece
            have += len(piece)
        return whole

    @contextlib.contextmanager
    def _aborting(self) -> Iterator[None]:
        """After a failure nobody knows where in the stream a message begins."""
        try:
            yield
        except (OSError, EOFError, ValueError) as error:
            self.abort()
            raise CommClosedError(f"in {self}: {error}") from error
        except BaseException:
            self.abort()
            raise

    async def close(self) -> None:
        """What was written still goes, if the peer takes it within seconds."""
        if not self._closed:
            self._closed = True
            self._writer.close()
            try:
                async with asyncio.timeout(_FLUSH):
                    await self._writer.wait_closed()
            except OSError:             # TimeoutError is one
                pass
            finally:
                self.abort()

    def abort(self) -> None:
        self._closed = True
        self._dangling.detach()
        _abort(self._writer.transport)

    def closed(self) -> bool:
        return self._closed or self._writer.is_closing() or self._reader.at_eof() or self._reader.exception() is not None


def refuse_encryption(connection_args: dict[str, Any]) -> None:
    if connection_args.get("require_encryption"):
        raise RuntimeError("Dask's configuration requires encryption, which these streams do not have: leave it out, or use tls://")


class StreamConnector(Connector):
    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    async def connect(self, address: str, deserialize: bool = True, **connection_args: Any) -> StreamComm:
        """One attempt. A failure that another attempt would not mend is a FatalCommClosedError."""
        refuse_encryption(connection_args)
        asked = address_of(self._scheme, address)
        try:
            reader, writer = await aio.open_connection(reach(asked, here()) if asked.scheme == "vsock" else asked, limit=_PIECE)
        except Error as error:
            raise (FatalCommClosedError if error.code == E_UNSUPPORTED else CommClosedError)(str(error)) from error
        local = name_of(writer, "sockname") or f"{self._scheme}://"
        return StreamComm(reader, writer, local, f"{self._scheme}://{address}", deserialize)


class StreamListener(BaseListener):
    """The comm handler gets every client that the peer rules admit and that shakes hands in time."""

    def __init__(self, scheme: str, loc: str, handler: Handler, deserialize: bool = True, *,
                 allow_offload: bool = True, handshake_overrides: dict[str, Any] | None = None, **connection_args: Any) -> None:
        super().__init__()
        refuse_encryption(connection_args)
        self.prefix: str = f"{scheme}://"
        self._scheme, self._loc, self._handler, self._deserialize = scheme, loc, handler, deserialize
        self._allow_offload, self._overrides = allow_offload, handshake_overrides
        self._server: aio.Server | None = None
        self._folder: str | None = None

    async def start(self) -> None:
        backlog = int(dask.config.get("distributed.comm.socket-backlog"))
        for left in reversed(range(5)):         # a number that was made up may be taken
            address = to_listen(self._scheme, self._loc, random.randrange(1 << 16, 1 << 31), self._own_folder)
            try:
                self._server = await aio.start_server(
                    self._serve, address, limit=_PIECE, backlog=backlog, allow=setting("allow", ()))
                return
            except Error as error:
                if error.code != E_IN_USE or not left:
                    raise

    def _own_folder(self) -> str:
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="dask-")
        return self._folder

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        local, peer = name_of(writer, "sockname") or self.listen_address, name_of(writer, "peername") or self.prefix
        comm = StreamComm(reader, writer, local, peer, self._deserialize)
        comm.allow_offload = self._allow_offload
        try:
            async with asyncio.timeout(parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))):
                await self.on_connection(comm, self._overrides)
        except Exception as error:
            logger.info("A client of %s did not shake hands: %s", self.listen_address, error)
            comm.abort()
            return
        if self._server is None:
            comm.abort()
            return
        await self._handler(comm)

    @property
    def listen_address(self) -> str:
        return str(self._listening())

    @property
    def contact_address(self) -> str:
        return str(contact(self._listening(), here()))

    def _listening(self) -> Address:
        if self._server is None:
            raise ValueError("the listener is not started, or stopped")
        return self._server.address


def name_of(writer: asyncio.StreamWriter, which: str) -> str | None:
    """One end of an AF_VSOCK stream; ends of UNIX sockets have no names of use."""
    match writer.get_extra_info(which):
        case (int(cid), int(port)):
            return str(Address.vsock(cid, port))
    return None


def machine_of(address: Address, place: Place) -> str:
    """Which machine that is, as Dask wants to know it: by the CID, the VM or the guest's UNIX socket. Where the address names none, this
    one's loopback address, which Dask's own HTTP servers then listen at."""
    if address.scheme == "vsock":
        cid = place.cid if address.cid == CID_LOCAL else address.cid
        return _THIS if cid is None or cid == CID_ANY else str(cid)
    return (address.vm or address.path if address.scheme != "unix" else None) or _THIS


_THIS = "127.0.0.1"


class StreamBackend(Backend):
    """What is the same for all schemes. LOC is what follows SCHEME://."""

    scheme: ClassVar[str]

    def get_connector(self) -> StreamConnector:
        return StreamConnector(self.scheme)

    def get_listener(self, loc: str, handle_comm: Handler, deserialize: bool, **connection_args: Any) -> StreamListener:
        return StreamListener(self.scheme, loc, handle_comm, deserialize, **connection_args)

    def get_address_host(self, loc: str) -> str:
        if not loc or is_ip(loc.rpartition(":")[0]):
            return _THIS
        return machine_of(address_of(self.scheme, loc), here())

    def get_address_host_port(self, loc: str) -> tuple[str, int]:
        port = address_of(self.scheme, loc).port
        if port is None:
            raise NotImplementedError
        return self.get_address_host(loc), port

    def resolve_address(self, loc: str) -> str:
        return str(address_of(self.scheme, loc)).partition("://")[2] if loc else ""

    def get_local_address_for(self, loc: str) -> str:
        return ""                       # every address of this machine, and any port


class VsockBackend(StreamBackend):
    scheme = "vsock"


class MuxBackend(StreamBackend):
    scheme = "vsock-mux"


class HypervBackend(StreamBackend):
    scheme = "hvsock"


class UnixBackend(StreamBackend):
    scheme = "unix"
