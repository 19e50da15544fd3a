# SPDX-License-Identifier: MIT
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""What users write: right, with the types that it has; and wrong, which checkers have to find. Checked by test_types.py, run by nobody."""

from __future__ import annotations

import asyncio
import math
import os
import selectors
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, assert_type

import virtsock
from virtsock import Address, Status, aio
from virtsock.testing import DIALECTS, FakeHypervisor


class Timed(Protocol):
    """Some code that takes sockets and streams alike."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...
    def settimeout(self, value: float | None, /) -> None: ...
    def fileno(self) -> int: ...


def client(path: Path) -> bytes:
    with virtsock.connect("vsock://3:1024", timeout=5, wait=math.inf, connect_timeout=0.5) as stream:
        assert_type(stream, virtsock.Stream)
        stream.sendall(b"hello")
        stream.sendall(bytearray(b"hello"))
        assert_type(stream.send(memoryview(b"hello")), int)
        assert_type(stream.sendmsg([b"head", memoryview(b"body")]), int)
        assert_type(stream.recv(100), bytes)
        assert_type(stream.recv_exact(4), bytes)
        assert_type(stream.recv_into(bytearray(100)), int)
        assert_type(stream.recv_into(memoryview(bytearray(100)), 10), int)
        assert_type(stream.peer, Address | None)
        assert_type(stream.local, Address | None)
        assert_type(stream.info["attempts"], int)
        assert_type(stream.gettimeout(), float | None)
        assert_type(stream.fileno(), int)
        stream.settimeout(None)
        stream.settimeout(1)
        stream.setblocking(False)
        stream.shutdown(virtsock.SHUT_SEND)
        stream.shutdown(socket.SHUT_WR)
        stream.finish(timeout=2)
    with virtsock.connect(Address.unix(path)) as stream, stream.makefile("rb") as file:
        return bytes(file.read())


def server(serve: Callable[[virtsock.Stream], object]) -> None:
    with virtsock.listen("vsock://:any", allow=["host", "3-9"], backlog=5, timeout=0.5) as listener:
        assert_type(listener, virtsock.Listener)
        assert_type(listener.address, Address)
        assert_type(listener.address.port, int | None)
        assert_type(listener.accept(), virtsock.Stream)
        for stream in listener:
            assert_type(stream, virtsock.Stream)
            with stream:
                serve(stream)


def addresses() -> dict[Address, str]:
    address = Address("vsock://3:1024")
    assert_type(address.scheme, str)
    assert_type(address.cid, int | None)
    assert_type(address.vm, str | None)
    assert_type(address.path, str | None)
    assert_type(address.to_host, bool | None)
    assert_type(address == Address.vsock(3, 1024), bool)
    assert_type(virtsock.resolve("hvsock://web:80"), Address)
    assert_type(virtsock.local_cid(), int)
    assert_type(virtsock.supported("vsock"), bool)
    assert_type(virtsock.service_from_port(80), str)
    assert_type(virtsock.port_from_service(virtsock.service_from_port(80)), int)
    assert_type(virtsock.CID_HOST, int)
    assert_type(virtsock.VM_PARENT, str)
    assert_type(virtsock.version(), str)
    return {address: str(address), Address.hyperv("web", 80): "", Address.mux(Path("/run/vm.sock"), 52): ""}


def errors() -> int | None:
    try:
        virtsock.connect("vsock://3:1024")
    except virtsock.RefusedError as error:
        builtin: ConnectionRefusedError = error
        assert_type(builtin.errno, int | None)
        assert_type(error.status, Status)
        assert_type(error.advice, str | None)
        assert_type(error.operation, str | None)
        return error.attempts
    except virtsock.EndOfStreamError as error:
        end: EOFError = error
        assert_type(error.partial, bytes)
        raise end from None
    except virtsock.Error as error:
        if error.status is Status.UNREACHABLE:
            return None
        raise
    return 0


def others(stream: virtsock.Stream, plain: socket.socket) -> None:
    """The standard library takes a stream where it asks for a file's descriptor, and its socket where it wants that."""
    either: list[Timed] = [stream, plain]
    selectors.DefaultSelector().register(stream, selectors.EVENT_READ)
    os.get_blocking(stream.fileno())
    assert_type(virtsock.Stream.from_socket(plain), virtsock.Stream)
    assert_type(stream.to_socket(), socket.socket)
    assert_type(ssl.create_default_context().wrap_socket(stream.to_socket()), ssl.SSLSocket)
    assert_type(stream.detach(), int)
    either.clear()


async def loop(stream: virtsock.Stream) -> None:
    reader, writer = await asyncio.open_connection(sock=stream.to_socket())
    writer.write(await reader.read(100))
    reader, writer = await aio.open_connection("vsock://3:1024", timeout=5, wait=30)
    assert_type(reader, asyncio.StreamReader)
    assert_type(writer, asyncio.StreamWriter)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())

    async with await aio.start_server(serve, "vsock://:any", allow=["host"]) as server:
        assert_type(server.address, Address)
        await server.serve_forever()


def fake(fake_hypervisor: FakeHypervisor, virtsock_address: Address) -> None:
    """A test with the fixtures."""
    fake_hypervisor.serve(1024, lambda stream: stream.sendall(stream.recv(10)))
    fake_hypervisor.inject("late", delay=0.5, times=3)
    fake_hypervisor.inject(None)
    assert_type(fake_hypervisor.address(1024), Address)
    assert_type(fake_hypervisor.path, Path)
    for dialect in DIALECTS:
        with FakeHypervisor(dialect, fault="silent") as vm:
            assert_type(vm, FakeHypervisor)
    virtsock.listen(virtsock_address)


def wrong(stream: virtsock.Stream, address: Address, vm: FakeHypervisor) -> None:
    """Each line is found: an ignore that ignores nothing is an error."""
    virtsock.connect(3)  # type: ignore[arg-type]
    virtsock.connect("vsock://3:1024", 5)  # type: ignore[call-arg]
    virtsock.connect("vsock://3:1024", timeout="5")  # type: ignore[arg-type]
    virtsock.connect("vsock://3:1024", timeout_ms=5)  # type: ignore[call-arg]
    virtsock.listen("vsock://:1024", allow=3)  # type: ignore[arg-type]
    virtsock.listen("vsock://:1024").recv(5)  # type: ignore[attr-defined]
    stream.send("text")  # type: ignore[arg-type]
    stream.sendall([b"text"])  # type: ignore[arg-type]
    stream.recv()  # type: ignore[call-arg]
    stream.settimeout("5")  # type: ignore[arg-type]
    print(stream.peer.port)  # type: ignore[union-attr]
    stream.nothing()  # type: ignore[attr-defined]
    address.port = 5  # type: ignore[misc]
    Address.vsock("3", 1024)  # type: ignore[arg-type]
    Address(3)  # type: ignore[arg-type]
    print(Status.NOTHING)  # type: ignore[attr-defined]
    FakeHypervisor("qemu")  # type: ignore[arg-type]
    vm.inject("slow")  # type: ignore[arg-type]
    vm.serve(1024, 5)  # type: ignore[arg-type]
    aio.start_server(vm, "vsock://:1024")  # type: ignore[arg-type, unused-coroutine]
