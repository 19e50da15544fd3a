# SPDX-License-Identifier: MIT
"""Listening, connecting, accepting; sockets that come from and go to the standard library."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import virtsock
from conftest import IS_STREAM, IS_UNIX, TRANSPORT, fails_with, running, stream_only, unix_only
from virtsock import Status, native
from watch import Watch

TYPE = socket.SOCK_STREAM if IS_STREAM else socket.SOCK_SEQPACKET


def test_both_ends(listener) -> None:
    with virtsock.connect(listener.address, timeout=5) as client, listener.accept() as server:
        assert client.peer == listener.address
        assert client.gettimeout() == 5 and server.gettimeout() is None
        assert client.send(b"ping") == 4 and server.recv(100) == b"ping"
        assert client.info["attempts"] == 1 and server.info["attempts"] == 0
        assert client.info["type"] == (native.TYPE_STREAM if IS_STREAM else native.TYPE_SEQPACKET)
        if IS_UNIX:
            assert server.peer is None and client.local is None
            assert server.info["peer_pid"] == os.getpid()
        else:
            assert server.peer.cid == 1 and client.local.cid in (1, virtsock.CID_ANY) and "peer_pid" not in server.info
        assert str(client.fileno()) in repr(client)


def test_text_or_address(address) -> None:
    where = address()
    with virtsock.listen(str(where)) as listener, virtsock.connect(where), virtsock.connect(str(where)):
        assert listener.address == where and str(where) in repr(listener)


@pytest.mark.skipif(IS_UNIX, reason="paths are not chosen by the system")
def test_any_port() -> None:
    kind = "" if IS_STREAM else "?type=seqpacket"
    with virtsock.listen(f"vsock://:any{kind}") as listener:
        assert listener.address.port not in (None, virtsock.PORT_ANY)
        with virtsock.connect(f"vsock://local:{listener.address.port}{kind}", timeout=5), listener.accept() as server:
            assert server.local.port == listener.address.port


def test_wait_finds_a_late_listener(address) -> None:
    where = address()
    made = []

    def late() -> None:
        time.sleep(0.3)
        made.append(virtsock.listen(where))

    with running(late), virtsock.connect(where, wait=10, timeout=5, backoff_first=0.005, backoff_max=0.02) as client:
        assert client.info["attempts"] > 1 and client.info["last_status"] == 0
    made[0].close()


def test_wait_that_nobody_answers(address) -> None:
    watch = Watch()
    with pytest.raises(TimeoutError) as caught:
        virtsock.connect(address(), wait=0.3)
    watch.end()
    assert 0.3 <= watch.took and watch.used < 3
    assert caught.value.attempts > 1 and caught.value.status == Status.TIMEOUT and caught.value.errno > 0


def test_who_hangs_up_without_a_byte_is_not_there_yet(address) -> None:
    where = address()
    with virtsock.listen(where, timeout=10) as listener:

        def serve() -> None:
            for _ in range(4):
                listener.accept().abort()
            with listener.accept() as last:
                last.recv(1)

        with running(serve):
            with fails_with(Status.REFUSED, "hung up"):
                virtsock.connect(where, stays=0.1)
            with virtsock.connect(where, stays=0.1, wait=20) as client:
                assert client.info["attempts"] == 4


def test_wait(address) -> None:
    where = address()
    made = []

    def late() -> None:
        time.sleep(0.2)
        made.append(virtsock.listen(where, timeout=5))

    with running(late):
        assert virtsock.wait(where) is None
    with made[0] as listener, listener.accept() as server:
        assert server.recv(1) == b""
        virtsock.wait(str(where), 0)


def test_wait_gives_up(address) -> None:
    watch = Watch()
    with pytest.raises(TimeoutError):
        virtsock.wait(address(), 0.2)
    watch.end()
    assert 0.2 <= watch.took and watch.used < 3
    with pytest.raises(ConnectionRefusedError):
        virtsock.wait(address(), 0)
    with fails_with(Status.UNSUPPORTED):
        virtsock.wait("vsock://3:80?type=dgram")


@unix_only
def test_the_socket_file(address) -> None:
    where = address()
    before = os.umask(0)
    try:
        with virtsock.listen(where) as listener:
            assert stat.S_IMODE(os.stat(where.path).st_mode) == 0o600
        assert not os.path.exists(where.path) and listener.fileno() == -1
        with virtsock.listen(where, socket_mode=0o666):
            assert stat.S_IMODE(os.stat(where.path).st_mode) == 0o666
    finally:
        os.umask(before)
    with socket.socket(socket.AF_UNIX, TYPE) as stale:
        stale.bind(where.path)
    with virtsock.listen(where), virtsock.connect(where):
        pass
    open(where.path, "w").close()
    with pytest.raises(OSError) as caught:
        virtsock.listen(where)
    assert caught.value.status == Status.IN_USE and os.path.exists(where.path)


def test_a_second_listener_is_nobody_s_client(address) -> None:
    """One for a single client still waits for it; and who has bound and does not listen yet keeps the name."""
    where = address()
    with virtsock.listen(where, timeout=0) as first:
        with fails_with(Status.IN_USE, "somebody listens"):
            virtsock.listen(where)
        with pytest.raises(BlockingIOError):
            first.accept()


@unix_only
def test_who_does_not_listen_yet_keeps_the_name(address) -> None:
    where = address()
    with socket.socket(socket.AF_UNIX, TYPE) as plain:
        plain.bind(where.path)
        with fails_with(Status.IN_USE, "or is about to"):
            virtsock.listen(where)
        plain.listen()
        with virtsock.connect(where):
            plain.accept()[0].close()
    os.unlink(where.path)


def test_a_crowd_waits_to_be_accepted(address) -> None:
    where = address()
    with virtsock.listen(where), contextlib.ExitStack() as crowd:
        for _ in range(300):
            crowd.enter_context(virtsock.connect(where, connect_timeout=5))


@unix_only
def test_a_locked_directory_stops_nobody(address) -> None:
    where = address()
    lock = os.open(os.path.dirname(where.path), os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        for _ in range(2):
            with virtsock.listen(where), virtsock.connect(where):
                pass
            assert not os.path.exists(where.path)
            with socket.socket(socket.AF_UNIX, TYPE) as stale:
                stale.bind(where.path)
    finally:
        os.close(lock)
    os.unlink(where.path)


def test_iterating_ends_with_the_close(listener) -> None:
    seen = []

    def serve() -> None:
        for stream in listener:
            with stream:
                seen.append(stream.recv(10))

    with running(serve):
        for number in range(5):
            with virtsock.connect(listener.address, timeout=5) as client:
                client.send(b"%d" % number)
                assert client.recv(1) == b""
        listener.close()
    assert seen == [b"0", b"1", b"2", b"3", b"4"]
    assert list(listener) == []


@unix_only
def test_a_listener_of_the_standard_library(address) -> None:
    where = address()
    with socket.socket(socket.AF_UNIX, TYPE) as plain:
        plain.bind(where.path)
        plain.listen()
        with virtsock.connect(where, timeout=5) as client:
            server, _ = plain.accept()
            with server:
                client.send(b"to socket")
                assert server.recv(100) == b"to socket"
                server.sendall(b"to virtsock")
                assert client.recv(100) == b"to virtsock"
                server.shutdown(socket.SHUT_WR)
                assert client.recv(100) == b""


def test_a_client_of_the_standard_library(listener) -> None:
    family = socket.AF_UNIX if IS_UNIX else socket.AF_VSOCK
    where = listener.address.path if IS_UNIX else (1, listener.address.port)
    with socket.socket(family, TYPE) as plain:
        plain.settimeout(5)
        plain.connect(where)
        with listener.accept() as server:
            plain.sendall(b"to virtsock")
            assert server.recv(100) == b"to virtsock"
            server.send(b"to socket")
            assert plain.recv(100) == b"to socket"


def test_to_socket_and_back(pair) -> None:
    client, server = pair
    client.settimeout(7)
    number = client.fileno()
    plain = client.to_socket()
    assert type(plain) is socket.socket and plain.fileno() == number and plain.gettimeout() == 7 and plain.type == TYPE
    assert client.fileno() == -1
    with pytest.raises(OSError):
        client.to_socket()
    plain.sendall(b"plain")
    assert server.recv(100) == b"plain"
    with virtsock.Stream.from_socket(plain) as again:
        assert plain.fileno() == -1 and again.fileno() == number and again.gettimeout() == 7
        again.send(b"again")
        assert server.recv(100) == b"again"
        assert os.get_blocking(number)


def test_what_cannot_be_adopted(tmp_path) -> None:
    with socket.socket(socket.AF_UNIX) as alone:
        with pytest.raises(ValueError):
            virtsock.Stream.from_socket(alone)
        assert alone.fileno() >= 0
    with open(tmp_path / "file", "w") as file:
        with pytest.raises(ValueError):
            native.stream_from_fd(file.fileno(), None)
        with pytest.raises(ValueError):
            virtsock.connect(f"fd://{file.fileno()}")
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other, fails_with(Status.UNSUPPORTED):
        virtsock.Stream.from_socket(one)
    for number in (-1, 999999, 2**40):
        with pytest.raises(OSError):
            native.stream_from_fd(number, None)


def test_fd_addresses() -> None:
    one, other = socket.socketpair()
    with other, virtsock.connect(f"fd://{one.fileno()}") as stream:
        assert stream.fileno() == one.detach()
        stream.send(b"x")
        assert other.recv(1) == b"x"


@unix_only
def test_a_listening_socket_is_adopted(address) -> None:
    where = address()
    plain = socket.socket(socket.AF_UNIX, TYPE)
    plain.bind(where.path)
    plain.listen()
    with virtsock.listen(f"fd://{plain.detach()}", timeout=5) as listener:
        assert listener.address == where and not os.get_blocking(listener.fileno())
        with virtsock.connect(where) as client, listener.accept() as server:
            client.send(b"x")
            assert server.recv(1) == b"x"


@unix_only
def test_what_is_not_adopted_stays_as_it_was(address) -> None:
    """A rule that sockets of that family cannot keep; others share the descriptor."""
    where = address()
    with socket.socket(socket.AF_UNIX, TYPE) as plain:
        plain.bind(where.path)
        plain.listen()
        with fails_with(Status.UNSUPPORTED, "cannot tell"):
            virtsock.listen(f"fd://{plain.fileno()}", allow=["3"])
        assert os.get_blocking(plain.fileno())
        with virtsock.connect(where):
            plain.accept()[0].close()


def test_an_adopted_stream_is_what_it_is() -> None:
    for kind, known in ((socket.SOCK_STREAM, native.TYPE_STREAM), (socket.SOCK_SEQPACKET, native.TYPE_SEQPACKET)):
        one, other = socket.socketpair(socket.AF_UNIX, kind)
        with other, virtsock.connect(f"fd://{one.detach()}") as stream:
            assert stream.info["type"] == known and os.get_blocking(stream.fileno())


@unix_only
def test_self_is_the_effective_user(address) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be two users")
    with virtsock.listen(address(), allow=["self"], timeout=0.05) as listener:
        for server, admitted in ((0, True), (65534, False)):
            with virtsock.connect(listener.address) as client:
                os.seteuid(server)
                try:
                    if admitted:
                        listener.accept().close()
                    else:
                        with pytest.raises(TimeoutError):
                            listener.accept()
                finally:
                    os.seteuid(0)
                assert client.recv(1) == b""


@unix_only
def test_a_step_in_a_pause_begins_nothing(address) -> None:
    options = native.options_new()
    for option, value in ((native.OPTION_WAIT, -1), (native.OPTION_BACKOFF_FIRST, 60000), (native.OPTION_BACKOFF_MAX, 60000)):
        native.options_set(options, option, value)
    handle = native.connect_start(address()._handle, options)
    for _ in range(5):
        with pytest.raises(BlockingIOError):
            native.stream_connect(handle, 0)
        descriptor, events, wait_ms = native.stream_wants(handle)
        assert (descriptor, events) == (-1, 0) and 0 < wait_ms <= 60000
    assert native.stream_get(handle, native.ITEM_ATTEMPTS) == 1
    native.stream_close(handle, 0)


def test_detach(pair) -> None:
    client, server = pair
    number = client.detach()
    try:
        assert os.write(number, b"raw") == 3 and server.recv(10) == b"raw"
    finally:
        os.close(number)
    assert server.recv(1) == b""


def test_detach_with_a_call_inside(pair) -> None:
    client, server = pair
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        assert client.recv(1) == b"x"

    with running(wait):
        begun.wait()
        time.sleep(0.1)
        with pytest.raises(OSError) as caught:
            client.detach()
        assert caught.value.status == Status.IN_USE
        server.send(b"x")


def test_connecting_step_by_step(listener) -> None:
    handle = native.connect_start(listener.address._handle, None)
    for _ in range(100):
        try:
            native.stream_connect(handle, 0)
            break
        except BlockingIOError:
            descriptor, events, wait_ms = native.stream_wants(handle)
            assert events in (1, 2, 3) or descriptor == -1
            assert wait_ms >= -1
            time.sleep(0.01)
    with virtsock.Stream(handle) as client, listener.accept() as server:
        client.send(b"x")
        assert server.recv(1) == b"x"


def test_another_process(listener) -> None:
    code = "import sys, virtsock\ns = virtsock.connect(sys.argv[1], timeout=10)\ns.send(s.recv(100).upper())\nprint(s.recv(1))\n"
    child = subprocess.Popen([sys.executable, "-c", code, str(listener.address)], stdout=subprocess.PIPE, text=True)
    with listener.accept() as server:
        server.settimeout(10)
        server.send(b"hello")
        assert server.recv(100) == b"HELLO"
    assert child.communicate(timeout=10)[0].strip() == "b''"


def test_the_transport_is_the_one_asked_for(address) -> None:
    assert (address().scheme, address().type) == tuple(
        {"unix": ("unix", "stream"), "vsock": ("vsock", "stream")}.get(TRANSPORT, (TRANSPORT.partition("-")[0], "seqpacket"))
    )


@stream_only
def test_ten_lines(listener) -> None:
    """The example of the README, as it stands."""
    example = Path(__file__).parents[2] / "examples/ten_lines.py"

    def serve() -> None:
        with listener.accept() as server:
            server.settimeout(10)
            request = b"".join(iter(lambda: server.recv(100), b""))
            server.sendall(request.upper())

    with running(serve):
        output = subprocess.run([sys.executable, example, str(listener.address)], check=True, capture_output=True, timeout=20).stdout
    assert output == b"HELLO"
