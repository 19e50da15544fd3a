# SPDX-License-Identifier: MIT
"""virtsock.testing: the fake hypervisor, with plain sockets and the virtsock command as clients too; its faults; what it leaves; pytest's
fixtures; and docs/testing.md, whose example is run as it stands."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import virtsock
from conftest import SLOW, TRANSPORT, fails_with, open_descriptors, running
from virtsock import Status, _muxes
from virtsock.testing import DIALECTS, FAULTS, FakeHypervisor

pytestmark = pytest.mark.skipif(TRANSPORT != "unix", reason="has transports of its own, and runs once")

ROOT = Path(__file__).parents[2]
TOOL = Path(os.environ.get("VIRTSOCK_TOOL") or ROOT / "build/dev/tools/virtsock")
HYPERKIT, LIBKRUN = "hyperkit", "libkrun"
MUXES = [dialect for dialect in DIALECTS if dialect not in (HYPERKIT, LIBKRUN)]
HALF_CLOSES = ("cloud-hypervisor", "openvmm", HYPERKIT)  # of both ends
REQUEST = {**dict.fromkeys(MUXES, b"CONNECT 52\n"), HYPERKIT: b"00000003.00000034\n", LIBKRUN: b""}
SERVICE = virtsock.service_from_port(52).encode()
BIG = os.urandom(1 << 20)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No test here leaves a descriptor or a thread."""
    descriptors, threads = open_descriptors(), threading.active_count()
    yield
    assert (open_descriptors(), threading.active_count()) == (descriptors, threads)


@pytest.fixture(params=DIALECTS)
def vm(request) -> Iterator[FakeHypervisor]:
    with FakeHypervisor(request.param) as made:
        yield made


def echo(stream: virtsock.Stream) -> None:
    while data := stream.recv(1 << 16):
        stream.sendall(data)


def greet(stream: virtsock.Stream) -> None:
    stream.sendall(b"hello")
    stream.recv(1)


def read_all(stream: virtsock.Stream | socket.socket) -> bytes:
    with stream.makefile("rb") as file:
        return file.read()


@contextlib.contextmanager
def plain(vm: FakeHypervisor) -> Iterator[socket.socket]:
    """A client that knows nothing of the library."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(f"{vm.path}_52" if vm.dialect == LIBKRUN else str(vm.path))
        yield client


def is_hung_up(client: socket.socket) -> bool:
    """Without a word."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


# --- Who meets whom --------------------------------------------------------------------------------------------------------------


def test_host_program_meets_a_function(vm) -> None:
    def say() -> None:
        stream.sendall(BIG)
        if vm.dialect in HALF_CLOSES:
            stream.shutdown(virtsock.SHUT_SEND)

    vm.serve(52, echo)
    with virtsock.connect(vm.address(52), timeout=10) as stream, running(say):
        found = read_all(stream) if vm.dialect in HALF_CLOSES else stream.recv_exact(len(BIG))
        assert hashlib.sha256(found).digest() == hashlib.sha256(BIG).digest()


def test_the_address_says_whether_one_direction_can_end_alone(vm) -> None:
    known = {"firecracker": "unknown", "vhost-device-vsock": "unknown"}
    assert vm.address(52).half_close == known.get(vm.dialect, "native")


def test_host_program_meets_a_guest_service(vm) -> None:
    with virtsock.listen(vm.guest_address(52), timeout=10) as service:
        for number in range(3):
            with virtsock.connect(vm.address(52), timeout=10) as client, service.accept() as guest:
                client.sendall(b"to the guest %d" % number)
                assert guest.recv_exact(14) == b"to the guest %d" % number
                guest.sendall(b"to the host")
                guest.close()
                assert read_all(client) == b"to the host"


def test_host_program_listens_for_guests(vm) -> None:
    where = vm.host_address(52)
    with (
        virtsock.listen(vm.address(52), timeout=10, allow=["self"]) as listener,
        virtsock.connect(where, timeout=10) as guest,
        listener.accept() as host,
    ):
        guest.sendall(b"from the guest")
        assert host.recv(100) == b"from the guest"
    with fails_with(Status.REFUSED):
        virtsock.connect(where, timeout=10)


def test_both_directions_have_the_same_port(vm) -> None:
    """The guest's port 52 is not the host's."""
    if vm.dialect == LIBKRUN:
        pytest.skip("a port of libkrun leads one way")
    with virtsock.listen(vm.address(52), timeout=10) as host, virtsock.listen(vm.guest_address(52), timeout=10) as guest:
        with virtsock.connect(vm.address(52), timeout=10) as client, guest.accept() as service:
            client.sendall(b"1")
            assert service.recv(1) == b"1"
        with virtsock.connect(vm.host_address(52), timeout=10) as client, host.accept() as service:
            client.sendall(b"2")
            assert service.recv(1) == b"2"


def test_many_at_once(vm) -> None:
    vm.serve(52, echo)
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(virtsock.connect(vm.address(52), timeout=10)) for _ in range(50)]
        for number, stream in enumerate(streams):
            stream.sendall(b"%d" % number)
        assert [stream.recv(10) for stream in streams] == [b"%d" % number for number in range(50)]


def test_serve_may_change_its_function(vm) -> None:
    for word in (b"one", b"two"):
        vm.serve(52, lambda stream, word=word: stream.sendall(word))
        with virtsock.connect(vm.address(52), timeout=10) as stream:
            assert read_all(stream) == word


@pytest.mark.parametrize("dialect", MUXES)
def test_nobody_listens(dialect, caplog) -> None:
    with FakeHypervisor(dialect) as vm:
        with fails_with(Status.REFUSED, "nobody listens"):
            virtsock.connect(vm.address(52), timeout=10)
        with virtsock.listen(vm.guest_address(52)):
            pass
        with fails_with(Status.REFUSED, "nobody listens"):
            virtsock.connect(vm.address(52), timeout=10)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert f"the fake {dialect} hangs up: nobody listens on port 52 of the guest" in caplog.text


def test_an_end_that_breaks_breaks_both(vm) -> None:
    with virtsock.listen(vm.guest_address(52), timeout=10) as service:
        with virtsock.connect(vm.address(52), timeout=10) as client, service.accept() as guest:
            client.sendall(b"unread")
            time.sleep(0.05)
            guest.abort()
            with fails_with(Status.RESET):
                while True:
                    client.sendall(BIG)
        with virtsock.connect(vm.address(52), timeout=10) as client, service.accept() as guest:
            client.abort()
            assert guest.recv(1) == b""
            with fails_with(Status.RESET):
                while True:
                    guest.sendall(BIG)


# --- What each multiplexer says ----------------------------------------------------------------------------------------------------


def test_answers(vm) -> None:
    vm.serve(52, lambda stream: stream.sendall(b"!"))
    answers = {"firecracker": b"OK %d\n", "cloud-hypervisor": b"OK %d\n", HYPERKIT: b"", LIBKRUN: b""}
    for number in range(3):
        answer = answers.get(vm.dialect, b"OK 52\n")
        with plain(vm) as client:
            client.sendall(REQUEST[vm.dialect])
            assert read_all(client) == (answer % (2**30 + number) if b"%" in answer else answer) + b"!"


@pytest.mark.parametrize("dialect", MUXES)
@pytest.mark.parametrize("request_line", [b"connect 52\n", b"CoNnEcT 52\r\n", b"CONNECT\t0052\n"])
def test_requests_that_are_taken(dialect, request_line) -> None:
    with FakeHypervisor(dialect) as vm, plain(vm) as client:
        vm.serve(52, lambda stream: stream.sendall(b"!"))
        client.sendall(request_line)
        assert re.fullmatch(rb"OK \d+\n!", read_all(client))


@pytest.mark.parametrize("dialect", MUXES)
@pytest.mark.parametrize("bad", [
    b"\n", b"CONNECT\n", b"CONNECT 4294967296\n", b"CONNECT ++52\n", b"CONNECT -1\n", b"CONNECT 0x34\n", b"GET / HTTP/1.1\r\n\r\n",
    b"CONNECT 5\xb2\n", b"CONNECT 52", b"CONNECT 12345678-9abc-def0-1234-56789abcdef0\n", b"CONNECT" + b" " * 40 + b"53\n",
])  # fmt: skip
def test_requests_that_are_not(dialect, bad) -> None:
    with FakeHypervisor(dialect) as vm, plain(vm) as client:
        vm.serve(52, echo)
        client.sendall(bad)
        client.shutdown(socket.SHUT_WR)
        assert is_hung_up(client)


@pytest.mark.parametrize("dialect", MUXES)
@pytest.mark.parametrize("request_line", [b"CONNECT +52\n", b"CONNECT 52 x\n"])
def test_requests_that_firecracker_takes(dialect, request_line) -> None:
    with FakeHypervisor(dialect) as vm, plain(vm) as client:
        vm.serve(52, lambda stream: stream.sendall(b"!"))
        client.sendall(request_line)
        assert read_all(client) == b"OK 1073741824\n!" if dialect == "firecracker" else is_hung_up(client)


@pytest.mark.parametrize("bad", [
    b"00000004.00000034\n", b"00000003.00000034 ", b"00000003.0000003G\n", b"00000003.00000034", b"CONNECT 52\n",
])  # fmt: skip
def test_requests_that_hyperkit_does_not_take(bad) -> None:
    with FakeHypervisor(HYPERKIT) as vm, plain(vm) as client:
        vm.serve(52, greet)
        client.sendall(bad)
        client.shutdown(socket.SHUT_WR)
        assert is_hung_up(client)


@pytest.mark.parametrize("dialect", MUXES)
def test_services_are_for_openvmm(dialect) -> None:
    with FakeHypervisor(dialect) as vm, plain(vm) as client:
        vm.serve(52, lambda stream: stream.sendall(b"!"))
        client.sendall(b"CONNECT %s\n" % SERVICE.upper())
        if dialect == "openvmm":
            assert read_all(client) == b"OK %s\n!" % SERVICE
        else:
            assert is_hung_up(client)


@pytest.mark.parametrize(("dialect", "taken"), [*zip(MUXES, [False, True, False, True], strict=True), (HYPERKIT, False)])
def test_a_request_in_two_pieces(dialect, taken) -> None:
    with FakeHypervisor(dialect) as vm, plain(vm) as client:
        vm.serve(52, lambda stream: stream.sendall(b"!"))
        client.sendall(REQUEST[dialect][:-2])
        time.sleep(0.2)
        with contextlib.suppress(BrokenPipeError):
            client.sendall(REQUEST[dialect][-2:])
        if taken:
            assert read_all(client).endswith(b"!")
        else:
            assert is_hung_up(client)


def test_patience_of_openvmm() -> None:
    with FakeHypervisor("openvmm") as vm, plain(vm) as client:
        begun = time.monotonic()
        client.sendall(b"CONNECT 5")
        assert is_hung_up(client)
        assert 1.9 < time.monotonic() - begun < 10 * SLOW


@pytest.mark.parametrize(("dialect", "kept"), [*zip(MUXES, [True, True, False, True], strict=True), (HYPERKIT, True)])
def test_what_is_sent_before_the_answer(dialect, kept) -> None:
    with FakeHypervisor(dialect) as vm, plain(vm) as client:
        vm.serve(52, echo)
        client.sendall(REQUEST[dialect] + b"early ")
        while dialect != HYPERKIT and client.recv(1) != b"\n":
            pass
        client.sendall(b"late")
        wanted, found = (b"early late" if kept else b"late"), b""
        while len(found) < len(wanted):
            found += client.recv(10)
        assert found == wanted


# --- How conversations end -----------------------------------------------------------------------------------------------------------


def ends(stream: virtsock.Stream | socket.socket, seconds: float) -> bytes | None:
    """What comes within that time and the end; None: no end."""
    stream.settimeout(seconds)
    try:
        return read_all(stream)
    except (TimeoutError, virtsock.TimedOutError):
        return None


def test_the_host_ends_its_direction(vm, monkeypatch) -> None:
    """Over three of them that is the end of both, and what is on its way back is lost."""
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def answer(stream: virtsock.Stream) -> None:
        heard.put(read_all(stream))
        stream.sendall(b"the answer")

    monkeypatch.setitem(_muxes.MANNERS, LIBKRUN, _muxes.MANNERS[LIBKRUN]._replace(host_end=0.5))
    with FakeHypervisor(vm.dialect) as made:
        made.serve(52, answer)
        with plain(made) as client:
            client.sendall(REQUEST[made.dialect])
            answered = b"" if made.dialect not in MUXES else client.recv(20)
            client.sendall(b"request")
            begun = time.monotonic()
            client.shutdown(socket.SHUT_WR)
            assert ends(client, 10 * SLOW) == (b"the answer" if made.dialect in HALF_CLOSES else b"")
            assert made.dialect != LIBKRUN or time.monotonic() - begun > 0.49  # and no sooner
        assert answered == b"" or answered.startswith(b"OK ")
        assert heard.get(timeout=10 * SLOW) == b"request"  # before the close ends who listens


def test_what_came_before_the_end_was_delivered() -> None:
    """To both: what the host has said reaches the guest, what has come to the host stays there."""
    with FakeHypervisor("firecracker") as vm, virtsock.listen(vm.guest_address(52), timeout=10) as service:
        client = virtsock.connect(vm.address(52), timeout=10)
        with client, service.accept() as guest:
            guest.sendall(b"before")
            time.sleep(0.1)
            client.sendall(b"request")
            with fails_with(Status.UNSUPPORTED):
                client.shutdown(virtsock.SHUT_SEND)
            client.shutdown(virtsock.SHUT_SEND_UNCHECKED)
            assert read_all(guest) == b"request"
            with fails_with(Status.RESET):
                guest.sendall(b"after")
            assert read_all(client) == b"before"


def test_the_guest_ends_its_direction(vm) -> None:
    """Two of them do not tell the host, until the guest has closed; and what the host still says comes through."""
    told = vm.dialect not in ("firecracker", "vhost-device-vsock")
    with (
        virtsock.listen(vm.guest_address(52), timeout=10) as service,
        virtsock.connect(vm.address(52), timeout=10) as client,
        service.accept() as guest,
    ):
        guest.sendall(b"all of it")
        guest.shutdown(virtsock.SHUT_SEND)
        assert client.recv_exact(9) == b"all of it"
        assert ends(client, 10 if told else 0.3) == (b"" if told else None)
        client.sendall(b"still")
        assert guest.recv_exact(5) == b"still"
        guest.close()
        assert told or ends(client, 10) == b""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_too_many(dialect) -> None:
    """Hung up on before it was read, which a client can tell from `nobody listens`."""
    with FakeHypervisor(dialect, most=2) as vm:
        vm.serve(52, echo)
        with virtsock.connect(vm.address(52), timeout=10) as one, virtsock.connect(vm.address(52), timeout=10):
            assert hears(one) == b"x"
            with plain(vm) as client, pytest.raises((ConnectionResetError, BrokenPipeError)):
                time.sleep(0.1)
                client.sendall(REQUEST[dialect] or b"x")
                client.recv(1)
            assert hears(one) == b"x"
        end = time.monotonic() + 10 * SLOW
        while outcome(vm, 10) != b"x":
            assert time.monotonic() < end


def test_limits_are_the_real_ones() -> None:
    most = {dialect: manner.most for dialect, manner in _muxes.MANNERS.items() if manner.most}
    assert most == {"firecracker": 1023, "cloud-hypervisor": 1023}


def test_a_paused_vm(vm) -> None:
    """It accepts, and nothing answers or moves; who has left meanwhile arrives in the guest as a client that has left."""
    came = []

    def note(stream: virtsock.Stream) -> None:
        came.append(stream.recv(10))
        stream.sendall(b"hello")

    vm.serve(52, note)
    with virtsock.connect(vm.address(52), timeout=10) as before:
        vm.pause()
        before.sendall(b"before")
        time.sleep(0.1)
        if vm.dialect == "vhost-device-vsock":
            with fails_with(Status.REFUSED):
                virtsock.connect(vm.address(52), timeout=10)
        elif vm.dialect in MUXES:
            with fails_with(Status.TIMEOUT):
                virtsock.connect(vm.address(52), connect_timeout=0.2)
        assert not came and ends(before, 0.2) is None
        vm.resume()
        before.settimeout(10)
        assert before.recv_exact(5) == b"hello"
    end = time.monotonic() + 10 * SLOW
    while len(came) < 1 + (vm.dialect in MUXES and vm.dialect != "vhost-device-vsock"):
        assert time.monotonic() < end
    assert sorted(came) == [b"", b"before"][-len(came):]


def test_libkrun_accepts_before_anybody_listens() -> None:
    with FakeHypervisor(LIBKRUN) as vm:
        where = vm.guest_address(52)
        with virtsock.connect(vm.address(52), timeout=10) as stream:
            assert stream.recv(1) == b""
        with virtsock.listen(where, timeout=10) as service, virtsock.connect(vm.address(52)) as stream, service.accept() as guest:
            guest.sendall(b"x")
            assert stream.recv(1) == b"x"


# --- Faults --------------------------------------------------------------------------------------------------------------------------


def hears(stream: virtsock.Stream) -> bytes:
    stream.sendall(b"x")
    return stream.recv(10)


def outcome(vm: FakeHypervisor, timeout: float) -> bytes | Status:
    """What a client comes to: what it hears, or how it fails."""
    try:
        with virtsock.connect(vm.address(52), timeout=timeout) as stream:
            return hears(stream)
    except virtsock.Error as error:
        return error.status


WORKS = b"hello"
MUX_OUTCOMES = {
    None: WORKS, "late": WORKS, "pieces": WORKS, "glued": WORKS, "silent": Status.TIMEOUT, "refused": Status.REFUSED,
    "garbage": Status.PROTOCOL, "reset": Status.RESET,
}  # fmt: skip
HYPERKIT_OUTCOMES = {None: WORKS, "late": WORKS, "silent": Status.TIMEOUT, "refused": b"", "reset": Status.RESET}
OUTCOMES = [(dialect, fault, expected) for dialect in MUXES for fault, expected in MUX_OUTCOMES.items()]
OUTCOMES += [(dialect, fault, expected) for dialect in (HYPERKIT, LIBKRUN) for fault, expected in HYPERKIT_OUTCOMES.items()]


@pytest.mark.parametrize(("dialect", "fault", "expected"), OUTCOMES)
def test_fault(dialect, fault, expected) -> None:
    """By the argument, and then for good. The guest speaks first where that is to be glued, and last else."""
    with FakeHypervisor(dialect, fault=fault) as vm:
        vm.serve(52, greet if fault == "glued" else lambda stream: stream.recv(1) and stream.sendall(WORKS))
        for _ in range(2):
            found = outcome(vm, 10 if expected is not Status.TIMEOUT else 0.2)
            if fault == "refused" and dialect not in MUXES:  # a byte that meets nobody breaks the pipe
                assert found in (b"", Status.RESET)
            else:
                assert found == expected


def test_every_fault_has_its_outcome() -> None:
    assert set(MUX_OUTCOMES) == {None, *FAULTS}


@pytest.mark.parametrize("dialect", MUXES)
def test_late_is_too_late(dialect) -> None:
    with FakeHypervisor(dialect) as vm:
        vm.serve(52, greet)
        vm.inject("late", delay=0.5)
        begun = time.monotonic()
        with fails_with(Status.TIMEOUT):
            virtsock.connect(vm.address(52), connect_timeout=0.1)
        assert outcome(vm, 10) == WORKS
        assert time.monotonic() - begun > 0.59


def test_pieces_and_glue_are_what_they_say(monkeypatch) -> None:
    """What it sends at once, to the client and to the guest; and pauses between the pieces."""
    sent, send = [], _muxes.send

    async def recorded(sock: socket.socket, data: bytes) -> None:
        sent.append(data)
        await send(sock, data)

    monkeypatch.setattr(_muxes, "PIECE", 0.05)
    monkeypatch.setattr(_muxes, "send", recorded)
    with FakeHypervisor("vhost-device-vsock") as vm:
        vm.serve(52, greet)
        for fault, segments in (("pieces", [b"O", b"K", b" ", b"5", b"2", b"\n", WORKS]), ("glued", [b"OK 52\n" + WORKS])):
            vm.inject(fault)
            begun = time.monotonic()
            with virtsock.connect(vm.address(52), timeout=10) as stream:
                assert stream.recv_exact(5) == WORKS
            assert sent == segments
            assert time.monotonic() - begun > 0.05 * (len(segments) - 2)
            sent.clear()


def test_glue_does_not_wait_for_ever(monkeypatch) -> None:
    monkeypatch.setattr(_muxes, "GLUE", 0.05)
    with FakeHypervisor(fault="glued") as vm:
        vm.serve(52, echo)
        assert outcome(vm, 10) == b"x"


@pytest.mark.parametrize("dialect", MUXES)
def test_wait_takes_refusals_for_not_yet(dialect) -> None:
    with FakeHypervisor(dialect) as vm:
        vm.serve(52, echo)
        vm.inject("refused", times=3)
        with virtsock.connect(vm.address(52), timeout=10, wait=20) as stream:
            assert stream.info["attempts"] == 4
            assert hears(stream) == b"x"


def test_faults_change_while_it_runs() -> None:
    with FakeHypervisor() as vm:
        vm.serve(52, echo)
        with virtsock.connect(vm.address(52), timeout=10) as stream:
            found = []
            for fault in ("garbage", "refused", None, "reset"):
                vm.inject(fault)
                found.append(outcome(vm, 10))
            vm.inject("garbage", times=2)
            found += [outcome(vm, 10) for _ in range(3)]
            assert hears(stream) == b"x"  # which came before them
    assert found == [Status.PROTOCOL, Status.REFUSED, b"x", Status.RESET, Status.PROTOCOL, Status.PROTOCOL, b"x"]


def test_what_is_not_known() -> None:
    for make in (lambda: FakeHypervisor("qemu"), lambda: FakeHypervisor(fault="slow"), lambda: FakeHypervisor(HYPERKIT, fault="garbage"),
                 lambda: FakeHypervisor(LIBKRUN, fault="glued")):
        with pytest.raises(ValueError, match=r"it is firecracker|it is late|has no answer"):
            make()
    with FakeHypervisor() as vm:
        for call in (vm.address, vm.guest_address, vm.host_address, lambda port: vm.serve(port, echo)):
            for port in (-1, 2**32):
                with pytest.raises(OverflowError, match="within"):
                    call(port)
        with pytest.raises(ValueError, match="it is late"):
            vm.inject("slow")


# --- What fails, and what is left ----------------------------------------------------------------------------------------------------


def fails(stream: virtsock.Stream) -> None:
    assert stream.recv(1) == b"y", "not what the guest wants"


def test_a_failure_of_the_guest_is_raised_at_the_end(vm) -> None:
    vm.serve(52, fails)
    with virtsock.connect(vm.address(52), timeout=10) as stream:
        assert hears(stream) == b""
    with pytest.raises(AssertionError, match="not what the guest wants") as caught:
        vm.close()
    assert caught.value.__notes__ == ["in the guest's service on port 52"]
    vm.close()


def test_what_is_no_exception_too() -> None:
    vm = FakeHypervisor()
    vm.serve(52, lambda stream: pytest.fail("in the guest"))
    assert outcome(vm, 10) in (b"", Status.RESET)
    with pytest.raises(pytest.fail.Exception, match="in the guest"):
        vm.close()


def test_several_failures_are_a_group() -> None:
    vm = FakeHypervisor()
    vm.serve(52, fails)
    for _ in range(3):
        with virtsock.connect(vm.address(52), timeout=10) as stream:
            assert hears(stream) == b""
    with pytest.raises(ExceptionGroup, match="fake firecracker") as caught:
        vm.close()
    assert [type(error) for error in caught.value.exceptions] == [AssertionError] * 3


def test_a_failure_of_the_test_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError) as caught, FakeHypervisor() as vm:
        vm.serve(52, fails)
        with virtsock.connect(vm.address(52), timeout=10) as stream:
            assert hears(stream) == b""
        raise ZeroDivisionError
    (note,) = caught.value.__notes__
    assert "Meanwhile in the fake hypervisor" in note and "AssertionError: not what the guest wants" in note


def test_a_client_that_breaks_off_is_no_failure(vm) -> None:
    ended = threading.Event()

    def endless(stream: virtsock.Stream) -> None:
        try:
            while True:
                stream.sendall(BIG)
        finally:
            ended.set()

    vm.serve(52, endless)
    with virtsock.connect(vm.address(52), timeout=10) as stream:
        stream.recv(1)
    assert ended.wait(10)


def test_close_ends_a_guest_that_waits(vm) -> None:
    """The calls on its stream end as on a closed one: it does not see an end that the client has not made."""
    seen, inside = [], threading.Event()

    def wait(stream: virtsock.Stream) -> None:
        inside.set()
        try:
            stream.recv(1)
        except virtsock.Error as error:
            seen.append(error.status)
            raise

    vm.serve(52, wait)
    with virtsock.connect(vm.address(52), timeout=10) as stream:
        assert inside.wait(10)
        begun = time.monotonic()
        vm.close()
        assert time.monotonic() - begun < 4 * SLOW  # its patience with a guest is 5
        assert read_all(stream) == b""
    assert seen == [Status.CANCELLED]


def test_a_guest_that_does_not_end_is_a_failure(monkeypatch) -> None:
    monkeypatch.setattr("virtsock.testing._PATIENCE", 0.1)
    let_go, vm = threading.Event(), FakeHypervisor()
    vm.serve(52, lambda stream: stream.sendall(b"x") or let_go.wait(20))
    with virtsock.connect(vm.address(52), timeout=10) as stream:
        stream.recv_exact(1)
        with pytest.raises(RuntimeError, match="service on port 52 has not ended"):
            vm.close()
        let_go.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(10)


def test_its_own_failure_is_raised_at_the_end(monkeypatch) -> None:
    """It takes no more clients then, instead of leaving them without an answer."""

    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "no descriptor is left")

    vm = FakeHypervisor()
    vm.serve(52, echo)
    monkeypatch.setattr(FakeHypervisor, "_join", full)
    assert outcome(vm, 10) in (b"", Status.RESET)
    with fails_with(Status.REFUSED):
        virtsock.connect(vm.address(52), timeout=10, wait=0)
    with pytest.raises(ExceptionGroup) as caught:
        vm.close()
    assert [error.errno for error in caught.value.exceptions] == [errno.EMFILE]


def test_close_whatever_is_going_on(vm) -> None:
    """Clients that have said nothing, that wait for an answer, that talk; in every dialect; and it leaves no directory."""
    vm.serve(52, echo)
    with contextlib.ExitStack() as clients:
        for fault in (None, "late", "silent", "reset"):
            vm.inject(fault, delay=20)
            clients.enter_context(plain(vm))
            client = clients.enter_context(plain(vm))
            client.sendall(REQUEST[vm.dialect])
        vm.inject(None)
        stream = clients.enter_context(virtsock.connect(vm.address(52), timeout=10))
        assert hears(stream) == b"x"
        assert (vm.dialect == LIBKRUN or vm.path.is_socket()) and vm.directory.stat().st_mode & 0o777 == 0o700
        vm.close()
        assert read_all(stream) == b""
    assert not vm.directory.exists()
    assert "closed" in repr(vm)


def test_rounds_leave_nothing() -> None:
    """Closed while a client is on its way in, too."""
    for number in range(100):
        with FakeHypervisor(DIALECTS[number % len(DIALECTS)]) as vm, socket.socket(socket.AF_UNIX) as client:
            vm.serve(52, echo)
            client.connect(f"{vm.path}_52" if vm.dialect == LIBKRUN else str(vm.path))
            if number % 2:
                client.sendall(REQUEST[vm.dialect])


def test_a_directory_that_is_too_deep(tmp_path, monkeypatch) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with warnings.catch_warnings(record=True, action="always") as left:
        with pytest.raises(OSError, match="too long"):
            FakeHypervisor()
        gc.collect()
    assert not left and not list(deep.iterdir())


# --- The command ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not TOOL.exists(), reason="the command is not built")
def test_the_command_connects(vm) -> None:
    vm.serve(52, echo)  # never ends first, so the silence after its answer is its end, where no half-close is known to be carried
    words = ["--no-half-close"] if vm.dialect == LIBKRUN else []  # this process has no name that tells of it
    done = subprocess.run([TOOL, "cat", *words, "--quiet", "1", str(vm.address(52))], input=BIG, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout == BIG


@pytest.mark.skipif(not TOOL.exists(), reason="the command is not built")
def test_the_command_is_the_guest(vm) -> None:
    with subprocess.Popen([TOOL, "cat", "-v", "-l", "--echo", str(vm.guest_address(52))], stderr=subprocess.PIPE) as service:
        try:
            assert service.stderr is not None and b"listening" in service.stderr.readline()
            with virtsock.connect(vm.address(52), timeout=10) as stream:
                assert hears(stream) == b"x"
        finally:
            service.kill()


@pytest.mark.skipif(not TOOL.exists(), reason="the command is not built")
@pytest.mark.parametrize(("fault", "message"), [
    ("refused", b"nobody listens"), ("garbage", b"OK and a port"), ("silent", b"no answer"),
])  # fmt: skip
def test_the_command_meets_faults(fault, message) -> None:
    command = [TOOL, "wait", "--wait", "0", "--timeout", "0.3"]
    with FakeHypervisor(fault=fault) as vm:
        done = subprocess.run([*command, str(vm.address(52))], capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == 1 and message in done.stderr, done.stderr
        vm.inject("late")
        vm.serve(52, echo)
        assert subprocess.run([*command, "--timeout", "10", str(vm.address(52))], timeout=60, stdin=subprocess.DEVNULL).returncode == 0


# --- pytest --------------------------------------------------------------------------------------------------------------------------


def run_pytest(folder: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, *words, folder],
                          cwd=folder, text=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


def test_the_example_of_the_page(tmp_path) -> None:
    """With warnings as errors: it leaves nothing open."""
    page = (ROOT / "docs" / "testing.md").read_text()
    examples = dict(re.findall(r"<!-- (\w+\.py) -->\n```python\n(.*?)```", page, re.DOTALL))
    assert set(examples) == {"greeter.py", "test_greeter.py"}
    for name, text in examples.items():
        (tmp_path / name).write_text(text)
    code, text = run_pytest(tmp_path, "-W", "error")
    assert code == 0 and "7 passed" in text, text


FIXTURES = """
import pytest

@pytest.mark.parametrize("fake_hypervisor", ["hyperkit"], indirect=True)
def test_dialect(fake_hypervisor):
    assert fake_hypervisor.dialect == "hyperkit"

def test_addresses(virtsock_address, tmp_path_factory):
    import virtsock
    with virtsock.listen(virtsock_address, timeout=5) as listener, virtsock.connect(virtsock_address, timeout=5), listener.accept():
        pass

def test_the_guest_fails(fake_hypervisor):
    import virtsock
    def guest(stream):
        assert stream.recv(1) == b"y", "not what the guest wants"
    fake_hypervisor.serve(1, guest)
    with virtsock.connect(fake_hypervisor.address(1), timeout=5) as stream:
        stream.sendall(b"x")
        assert stream.recv(1) == b""

def test_nobody_is_there(fake_hypervisor):
    import virtsock
    virtsock.connect(fake_hypervisor.address(2), timeout=5)
"""


def test_fixtures_fail_tests_and_say_why(tmp_path) -> None:
    (tmp_path / "test_fixtures.py").write_text(FIXTURES)
    code, text = run_pytest(tmp_path)
    assert code == 1 and "1 failed, 3 passed, 1 error" in text, text
    assert "ERROR at teardown of test_the_guest_fails" in text and "not what the guest wants" in text
    assert "the fake firecracker hangs up: nobody listens on port 2 of the guest" in text


def test_fixtures_are_listed(tmp_path) -> None:
    (tmp_path / "test_nothing.py").write_text("")
    _, text = run_pytest(tmp_path, "--fixtures")
    assert "fake_hypervisor -- " in text and "virtsock_address -- " in text


@pytest.mark.parametrize(("module", "stranger"), [("virtsock.testing", "pytest"), ("virtsock.pytest_plugin", "asyncio")])
def test_imports(module, stranger) -> None:
    """Tests without pytest have none; and pytest pays for the fake hypervisor where it is used."""
    text = f"import {module}, sys; print({stranger!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", text], text=True, capture_output=True, timeout=60).stdout == "False\n"
