# SPDX-License-Identifier: MIT
"""Transports with an address of their own: tcp, and the two multiplexers, with the standard library's sockets at the other end."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import virtsock
from conftest import SLOW, TRANSPORT, fails_with
from virtsock import Status
from watch import Watch

pytestmark = pytest.mark.skipif(TRANSPORT != "unix", reason="has transports of its own, and runs once")


@contextlib.contextmanager
def multiplexer(path: Path, says: bytes | None, asks: bytes = b"CONNECT 52\n") -> Iterator[None]:
    """One connection: the request must come whole, then the answer is given; None is silence until the client ends, b"" hangs up."""
    heard = []

    def serve() -> None:
        with contextlib.closing(listener.accept()[0]) as client:
            heard.append(client.recv(100))
            if says is not None:
                client.sendall(says)
            if says != b"":
                with contextlib.suppress(ConnectionResetError):
                    while client.recv(100):
                        pass

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(10)
    path.unlink()
    assert heard == [asks]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_tcp(host) -> None:
    if host == "[::1]" and not socket.has_ipv6:
        pytest.skip("this system has no IPv6")
    with virtsock.listen(f"tcp://{host}:any", timeout=5) as listener:
        assert listener.address.scheme == "tcp" and listener.address.host in ("127.0.0.1", "::1")
        with virtsock.connect(listener.address, timeout=5) as client, listener.accept() as server:
            assert client.peer == listener.address and server.peer == client.local
            client.sendall(b"ping")
            assert server.recv(10) == b"ping"
        with socket.create_connection((listener.address.host, listener.address.port)) as plain, listener.accept() as server:
            plain.sendall(b"plain")
            assert server.recv_exact(5) == b"plain"
    with fails_with(Status.REFUSED, "tcp://"):
        virtsock.connect(listener.address)


def test_mux_loses_no_byte_after_the_answer(tmp_path) -> None:
    where = virtsock.Address.mux(tmp_path / "v", 52)
    with multiplexer(tmp_path / "v", b"OK 1073741824\nhello"), virtsock.connect(where, timeout=5) as stream:
        assert stream.recv_exact(5) == b"hello"
        assert stream.peer == where and stream.local is None


@pytest.mark.parametrize("half_close", ["unknown", "none", "native"])
def test_mux_half_closes_when_told(tmp_path, half_close) -> None:
    where = virtsock.Address.mux(tmp_path / "v", 52).replace(half_close=half_close)
    with multiplexer(tmp_path / "v", b"OK 1073741824\n"), virtsock.connect(where, timeout=5) as stream:
        if half_close == "native":
            stream.shutdown(virtsock.SHUT_SEND)
        else:
            with fails_with(Status.UNSUPPORTED, half_close):
                stream.shutdown(virtsock.SHUT_SEND)


@pytest.mark.parametrize(("says", "status", "cause"), [
    (b"", Status.REFUSED, "nobody listens"),
    (b"OK \0\n", Status.PROTOCOL, "OK and a port"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", Status.PROTOCOL, "OK and a port"),
    (b"OK " + b"7" * 4096 + b"\n", Status.PROTOCOL, "OK and a port"),
])
def test_mux_answers_that_fail(tmp_path, says, status, cause) -> None:
    with multiplexer(tmp_path / "v", says), fails_with(status, cause):
        virtsock.connect(virtsock.Address.mux(tmp_path / "v", 52), timeout=5)


def test_mux_silence_ends_at_the_deadline(tmp_path) -> None:
    with multiplexer(tmp_path / "v", None):
        watch = Watch()
        with fails_with(Status.TIMEOUT, "vsock-mux://:52"):
            virtsock.connect(virtsock.Address.mux(tmp_path / "v", 52), connect_timeout=0.2)
        watch.end()
        assert 0.2 <= watch.took and watch.used < 0.2 + 0.1 * SLOW


def test_mux_service(tmp_path) -> None:
    service = virtsock.service_from_port(52)
    where = virtsock.Address(f"vsock-mux://:{service}{tmp_path}/v")
    with multiplexer(tmp_path / "v", f"OK {service}\nx".encode(), f"CONNECT {service}\n".encode()), virtsock.connect(where) as stream:
        assert stream.recv_exact(1) == b"x"


@pytest.mark.parametrize(("address", "file"), [
    ("vsock-mux://:52{}/v", "v_52"), ("hyperkit://:80{}", "00000002.00000050"), ("hyperkit://3:80{}", "00000003.00000050"),
])
def test_where_a_guest_comes_to(tmp_path, address, file) -> None:
    where = virtsock.Address(address.format(tmp_path))
    with virtsock.listen(where, timeout=5, socket_mode=0o660) as listener:
        assert listener.address == where
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as guest:
            guest.connect(str(tmp_path / file))
            with listener.accept() as host:
                guest.sendall(b"from a guest")
                assert host.recv(100) == b"from a guest" and host.peer is None
                if where.scheme == "vsock-mux":
                    with fails_with(Status.UNSUPPORTED, "half-close=unknown"):
                        host.shutdown(virtsock.SHUT_SEND)
    assert not (tmp_path / file).exists()


def test_hyperkit_is_asked_in_18_bytes(tmp_path) -> None:
    where = virtsock.Address.hyperkit(tmp_path, 80)
    with multiplexer(tmp_path / "connect", b"guest", b"00000003.00000050\n"), virtsock.connect(where, timeout=5) as stream:
        assert stream.recv_exact(5) == b"guest"


def test_what_they_cannot_do(tmp_path) -> None:
    for text in "vsock-mux://:any/x", "hyperkit://:any/x", "tcp://127.0.0.1:any":
        with fails_with(Status.INVALID, "port"):
            virtsock.connect(text)
    with fails_with(Status.UNSUPPORTED, "streams"):
        virtsock.connect("tcp://127.0.0.1:1?type=seqpacket")
    with fails_with(Status.UNSUPPORTED, "CID"):
        virtsock.listen(virtsock.Address.mux(tmp_path / "v", 52), allow=["3"])
    with fails_with(Status.NAME_TOO_LONG, "107"):
        virtsock.connect(virtsock.Address.mux("/" + "x" * 107, 52))


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's alone")
def test_abstract_names(tmp_path, monkeypatch) -> None:
    """With another program's sockets at either end; no file is made."""
    monkeypatch.chdir(tmp_path)
    name = f"virtsock-{os.getpid()}/a b"
    where = virtsock.Address(f"unix://@{name}")
    assert where == virtsock.Address.unix(f"@{name}") and where.path == f"@{name}" and str(where).endswith("/a%20b")
    with fails_with(Status.UNSUPPORTED, "an abstract name has no SOCKET_MODE"):
        virtsock.listen(where, socket_mode=0o600)
    with virtsock.listen(where, timeout=5) as listener, socket.socket(socket.AF_UNIX) as client:
        assert listener.address == where
        client.bind(f"\0{name}-client")
        client.connect(f"\0{name}")
        with listener.accept() as stream:
            assert stream.peer == virtsock.Address(f"unix://@{name}-client") and stream.local == where
    with fails_with(Status.REFUSED, "@virtsock"):
        virtsock.connect(where)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}\0with a NUL")
        server.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"\0{name}\0with a NUL")
        with virtsock.Stream.from_socket(client) as stream:
            assert stream.peer is None
    assert not list(tmp_path.iterdir())
