# SPDX-License-Identifier: MIT
"""The multiplexers that `virtsock.testing` stands in for: how each takes requests, what it answers, and how conversations end there."""

from __future__ import annotations

import asyncio
import contextlib
import re
import select
import socket
from pathlib import Path
from typing import Literal, NamedTuple

from . import port_from_service

Dialect = Literal["firecracker", "cloud-hypervisor", "vhost-device-vsock", "openvmm", "libkrun", "hyperkit"]
"""Whose protocol is spoken. They differ in the requests that they take, in what they answer, and in how conversations end."""
Fault = Literal["late", "pieces", "glued", "silent", "refused", "garbage", "reset"]
"""What is done wrong: see `FakeHypervisor.inject`."""

CID = 3  # of the guest
PIECE = 0.002  # between the bytes of an answer
GLUE = 0.5  # for a guest to say what can be glued


class Manner(NamedTuple):
    """How requests are taken: of at most so many bytes, of which the rest comes within `patience` after the first (0: with it; None: at
    any time). What is answered: a port of its own, or what was asked for. Whether GUIDs are taken, and what follows too early is lost;
    whether the port may have a plus before it and words behind it.

    ends_both: the host's end of sending is the end of both directions, and what comes back is lost; the host hears of it `host_end` later.
    keeps_end: the guest's is not told to the host until the guest has closed. most: connections at once; more are hung up on unread.
    hangs_up: on who comes while the VM is paused.
    """

    longest: int = 0
    patience: float | None = None
    own_port: bool = False
    services: bool = False
    forgets: bool = False
    loose: bool = False
    ends_both: bool = False
    keeps_end: bool = False
    host_end: float = 0
    most: int | None = None
    hangs_up: bool = False


MANNERS: dict[Dialect, Manner] = {
    # Ends and limit: seen with Firecracker 1.16.1, November 2026.
    "firecracker": Manner(32, 0, own_port=True, loose=True, ends_both=True, keeps_end=True, most=1023),
    # The first with half-closes: seen with Cloud Hypervisor 53.0, November 2026.
    "cloud-hypervisor": Manner(32, None, own_port=True, most=1023),
    # Seen with vhost-device-vsock 0.3.0, November 2026.
    "vhost-device-vsock": Manner(8192, 0, forgets=True, ends_both=True, keeps_end=True, hangs_up=True),
    # How they end was never seen: as UNIX sockets do.
    "openvmm": Manner(45, 2, services=True),
    "hyperkit": Manner(),
    # Seen with libkrun 1.19.7, November 2026; its guest gets a reset, for which UNIX sockets have no word.
    "libkrun": Manner(ends_both=True, host_end=5),
}


class HangUp(Exception):
    """The multiplexer closes a connection, as they do where they can do nothing for it. Says why, for the log."""


class Over(ConnectionError):
    """Both directions have ended at once."""


def listening(path: Path) -> socket.socket:
    with contextlib.ExitStack() as undone:
        listener = undone.enter_context(socket.socket(socket.AF_UNIX))
        listener.setblocking(False)
        listener.bind(str(path))
        listener.listen(1024)
        undone.pop_all()
    return listener


def checked(port: int) -> int:
    if not 0 <= port < 1 << 32:
        raise OverflowError(f"{port} is not within 0..{(1 << 32) - 1}")
    return port


def port_of(word: bytes, services: bool) -> int | None:
    if word.isdigit():
        return int(word) if int(word) < 1 << 32 else None
    with contextlib.suppress(ValueError, LookupError):
        return port_from_service(word.decode()) if services else None
    return None


async def readable(sock: socket.socket) -> None:
    """Takes nothing, so that nothing is lost if this is cancelled."""
    ready = asyncio.Event()
    asyncio.get_running_loop().add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        asyncio.get_running_loop().remove_reader(sock)


async def receive(sock: socket.socket, size: int) -> bytes:
    return await asyncio.get_running_loop().sock_recv(sock, size)


async def send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def read_line(client: socket.socket, manner: Manner) -> bytes:
    """A byte a time, since what follows is the guest's. Without newline: it ended, came too slowly, or is too long."""
    line = await receive(client, 1)
    with contextlib.suppress(BlockingIOError, TimeoutError):
        async with asyncio.timeout(manner.patience or None):
            while line and not line.endswith(b"\n") and len(line) < manner.longest:
                byte = client.recv(1) if manner.patience == 0 else await receive(client, 1)
                if not byte:
                    break
                line += byte
        if manner.forgets:
            client.recv(8192)
    return line


async def ask_hyperkit(client: socket.socket) -> tuple[int, bytes]:
    line = await receive(client, 18)
    words = re.fullmatch(rb"([0-9a-f]{8})\.([0-9a-f]{8})\n", line)
    if words is None or int(words[1], 16) != CID:
        raise HangUp(f"no request that it takes: {line!r}")
    return int(words[2], 16), b""


async def answer(client: socket.socket, guest: socket.socket, answer: bytes, fault: Fault | None) -> None:
    if fault == "pieces":
        for byte in answer:
            await send(client, bytes([byte]))
            await asyncio.sleep(PIECE)
        return
    if fault == "glued":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GLUE):
                await readable(guest)
            answer += guest.recv(4096)
    if answer:
        await send(client, answer)


def end(sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # macOS says so of a peer that has gone
        sink.shutdown(socket.SHUT_WR)


def has_closed(peer: socket.socket) -> bool:
    """And not its sending side alone."""
    poll = select.poll()
    poll.register(peer, 0)
    return bool(poll.poll(0))


async def break_off(client: socket.socket) -> None:
    """What has come and is not read makes the close a reset."""
    await readable(client)
    raise ConnectionResetError


async def drop(client: socket.socket) -> None:
    while await receive(client, 1 << 16):
        pass
