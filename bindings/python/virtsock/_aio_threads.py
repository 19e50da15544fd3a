# SPDX-License-Identifier: MIT
"""A stream that asyncio cannot poll, as a transport of its loop: a thread reads, a thread writes, and both only hand over to the loop.

For `virtsock.aio`: framed streams, which have no descriptor, and Windows, where no loop can wait for a Hyper-V socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from queue import SimpleQueue

from ._errors import Error
from .native import E_CANCELLED, SHUT_SEND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._stream import Stream

_CHUNK = 65536  # bytes that a read asks for, and the high-water mark of what waits to be written
_LINGER = 1.0  # seconds that a close waits for the peer's end: Hyper-V drops what is under way when a socket closes


class Transport(asyncio.Transport):
    """The loop's side, but for `_reads` and `_writes`, which are the threads. They end when the stream does, or at `close` and `abort`.

    `close` sends what was written, then waits up to a second for the peer's end; meanwhile what comes is dropped.
    `get_extra_info("peername")` and `("sockname")` are `virtsock.Address`es or None.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: Stream, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": stream.peer, "sockname": stream.local})
        self._loop, self._stream, self._protocol = loop, stream, protocol
        self._frames = stream.fileno() < 0
        self._turns = threading.Semaphore(0)  # reads that are due
        self._turn_owed = self._reading_paused = self._writing_paused = False
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()  # b"" ends the direction, None the thread
        self._size, self._low, self._high = 0, _CHUNK // 4, _CHUNK
        self._eof_written = self._closing = False
        self._failure: Exception | None = None
        self._reader = threading.Thread(target=self._reads, name="virtsock-reader", daemon=True)
        self._writer = threading.Thread(target=self._writes, name="virtsock-writer", daemon=True)
        try:
            self._reader.start()
            self._writer.start()
        except BaseException:  # no thread more
            self.abort()
            raise
        protocol.connection_made(self)
        self._next_turn()

    # The threads.

    def _reads(self) -> None:
        data = b"?"
        try:
            while data:
                if not self._closing:
                    self._turns.acquire()
                data = self._stream.recv(_CHUNK)
                if not self._closing:
                    self._tell(self._received, data)
        except Error as error:
            if not self._closing:
                self._tell(self._fail, error)

    def _writes(self) -> None:
        try:
            while (data := self._queue.get()) is not None:
                if data:
                    self._stream.sendall(data)
                else:
                    self._stream.shutdown(SHUT_SEND)
                self._tell(self._sent, len(data))
        except Error as error:
            self._tell(self._fail, error)
        with contextlib.suppress(Error):
            if self._frames:  # an end of their own, with a call inside as well
                self._stream.close()
            else:
                self._stream.shutdown(SHUT_SEND)
        if not self._frames:
            self._reader.join(_LINGER)
        self._stream.abort()
        self._reader.join()
        self._tell(self._lost)

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:  # the loop was closed before the transport
            self.abort()

    # What they tell the loop.

    def _received(self, data: bytes) -> None:
        if self._closing:
            return
        if not data:
            if not self._protocol.eof_received():
                self.close()
            return
        self._protocol.data_received(data)
        self._next_turn()

    def _next_turn(self) -> None:
        self._turn_owed = self._reading_paused
        if not self._turn_owed:
            self._turns.release()

    def _sent(self, size: int) -> None:
        self._size -= size
        if self._writing_paused and self._size <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()

    def _fail(self, error: Error) -> None:
        if error.code != E_CANCELLED and self._failure is None:
            self._failure = error
        self.abort()

    def _lost(self) -> None:
        self._protocol.connection_lost(self._failure)

    # What protocols and programs call.

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError("a stream that threads serve takes no buffered protocol, and so no start_tls")
        self._protocol = protocol

    def is_reading(self) -> bool:
        return not self._closing and not self._reading_paused

    def pause_reading(self) -> None:
        """One read more may be under way; what it brings is delivered."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        self._reading_paused = False
        if self._turn_owed:
            self._next_turn()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._eof_written:
            raise RuntimeError("cannot write after write_eof")
        piece = data if type(data) is bytes else memoryview(data).tobytes()
        if piece and not self._closing:
            self._queue.put(piece)
            self._size += len(piece)
            self._pause_writing()

    def _pause_writing(self) -> None:
        if not self._writing_paused and self._size > self._high:
            self._writing_paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._eof_written and not self._closing:
            self._eof_written = True
            self._queue.put(b"")

    def get_write_buffer_size(self) -> int:
        return self._size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = _CHUNK if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError("0 <= low <= high, in bytes")
        self._low, self._high = low, high
        self._pause_writing()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._queue.put(None)
            self._turns.release()

    def abort(self) -> None:
        self.close()
        self._stream.abort()
