# SPDX-License-Identifier: MIT
"""`virtsock mux`, and the transports that it stands in for: each against the other, and both against a second implementation of the
protocols (interop/mux_peer.py)."""

import contextlib
import hashlib
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import virtsock
from interop.mux_peer import (
    CLOUD_HYPERVISOR,
    DIALECTS,
    FIRECRACKER,
    OPENVMM,
    VHOST_DEVICE_VSOCK,
    Hypervisor,
    ask_hyperkit,
    ask_mux,
    connected,
    read_line,
)
from test_tools import TOOL, delay_of, eventually, read_to_end, run, running
from virtsock import Status

pytestmark = pytest.mark.proves("muxes")

MIB = os.urandom(1 << 20)
GUID = "12345678-9abc-def0-1234-56789abcdef0"
PROTOCOLS = ("vsock-mux", "hyperkit")
HALF_CLOSES = (CLOUD_HYPERVISOR, OPENVMM)
LIBKRUN = "libkrun"


@pytest.fixture
def vm():
    """A directory's name, short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="mux-") as directory:
        yield Path(directory) / "vm"


@contextlib.contextmanager
def mux(vm, *words, name=None, **more):
    log = vm.parent / "log"
    with open(log, "wb") as err, running("mux", name or str(vm), "-v", *words, stderr=err, **more) as process:
        process.log = lambda: log.read_text()
        eventually(lambda: re.search("/connect for hyperkit|/guest_52\n", process.log()) or process.poll() is not None)
        assert process.poll() is None, process.log()
        yield process


def address(vm, protocol, port=52):
    return f"vsock-mux://:{port}{vm}/vsock.sock" if protocol == "vsock-mux" else f"hyperkit://:{port}{vm}"


def native(where):
    """That address, by which the library ends a direction alone: of a guest, whose own sockets do so, or whatever the multiplexer makes of it."""
    return f"{where}?half-close=native"


@contextlib.contextmanager
def dialect_of(vm, dialect, *words):
    """The mux; a host's address in it for port 52, and the guest's."""
    if dialect == LIBKRUN:
        with mux(vm, "-d", dialect, "--port", "52", *words) as m:
            m.host, m.guest = f"unix://{vm}/port_52", f"unix://{vm}/guest_52"
            yield m
        return
    words = words if dialect == "hyperkit" else ("-d", dialect, *words)
    with mux(vm, *words) as m:
        m.host = m.guest = address(vm, "hyperkit" if dialect == "hyperkit" else "vsock-mux")
        yield m


@contextlib.contextmanager
def program(where, talk, clients=1):
    """Listens, and talks to each client in a thread; .results has what talk returned, or what it failed with."""

    class Program(threading.Thread):
        def __init__(self):
            super().__init__(daemon=True)
            self.results, self.threads = [], []

        def attend(self, stream):
            try:
                with stream:
                    self.results.append(talk(stream))
            except Exception as error:
                self.results.append(error)

        def run(self):
            for _ in range(clients):
                try:
                    stream = listener.accept()
                except virtsock.Error:
                    return
                self.threads.append(threading.Thread(target=self.attend, args=[stream], daemon=True))
                self.threads[-1].start()

    thread = Program()
    with virtsock.listen(where) as listener:
        thread.start()
        yield thread
        while thread.is_alive() and select.select([listener], [], [], 0)[0]:        # somebody is there, and was not accepted yet
            time.sleep(0.001)
    thread.join(30)
    for one in thread.threads:
        one.join(30)
        assert not one.is_alive()


def drain(stream):
    parts = []
    while part := stream.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def echo(stream):
    count = 0
    while part := stream.recv(1 << 16):
        stream.sendall(part)
        count += len(part)
    return count


def hung_up(s):
    """Without a word."""
    with s:
        try:
            return s.recv(1) == b""
        except ConnectionResetError:
            return True


# --- What it answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("request_line", [b"CONNECT 52\n", b"connect 52\n", b"cOnNeCt 52\r\n", b"CONNECT 0052\n"])
def test_answers_in_the_dialect(vm, dialect, request_line):
    with mux(vm, "--dialect", dialect), program(address(vm, "vsock-mux"), echo, 2):
        for number in range(2):
            s, line = ask_mux(vm / "vsock.sock", request_line)
            with s:
                assert line == (b"OK %d\n" % (2**30 + number) if dialect in (FIRECRACKER, CLOUD_HYPERVISOR) else b"OK 52\n")
                s.sendall(b"hello")
                assert s.recv(5) == b"hello"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "bad", [b"CONNECT\n", b"CONNECT 4294967296\n", b"CONNECT ++52\n", b"CONNECT +\n", b"CONNECT -1\n", b"CONNECT 5\x002\n", b"GET / HTTP/1.1\r\n\r\n",
            b"\n", b"CONNECT 0x34\n", b"CONNECT" + b" " * 57 + b"52\n"])
def test_hangs_up_on_what_is_no_request(vm, dialect, bad):
    with mux(vm, "-d", dialect) as m, program(address(vm, "vsock-mux"), drain):
        s, line = ask_mux(vm / "vsock.sock", bad)
        assert line == b""
        assert hung_up(s)
        eventually(lambda: "client 1: no request that this dialect takes\n" in m.log())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("request_line", [b"CONNECT +52\n", b"CONNECT 52 x\n", b"connect  +0052\tx y\r\n"])
def test_firecracker_takes_more_than_others(vm, dialect, request_line):
    with mux(vm, "-d", dialect), program(address(vm, "vsock-mux"), drain):
        s, line = ask_mux(vm / "vsock.sock", request_line)
        s.close()
        assert line == (b"OK 1073741824\n" if dialect == FIRECRACKER else b"")


@pytest.mark.parametrize("dialect, longest", [(FIRECRACKER, 32), (CLOUD_HYPERVISOR, 32), (OPENVMM, 45)])
def test_longest_request(vm, dialect, longest):
    with mux(vm, "-d", dialect), program(address(vm, "vsock-mux"), drain):
        request = b"CONNECT" + b" " * (longest - 10) + b"52\n"
        s, line = ask_mux(vm / "vsock.sock", request)
        s.close()
        assert len(request) == longest and line.startswith(b"OK ")
        s, line = ask_mux(vm / "vsock.sock", request.replace(b" ", b"  ", 1))
        s.close()
        assert line == b""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_request_in_pieces(vm, dialect):
    with mux(vm, "-d", dialect) as m, program(address(vm, "vsock-mux"), drain), connected(vm / "vsock.sock") as s:
        s.sendall(b"CONNECT ")
        if dialect in (CLOUD_HYPERVISOR, OPENVMM):
            time.sleep(0.2)
            s.sendall(b"52\n")
            assert read_line(s).startswith(b"OK ")
        else:
            assert hung_up(s)
            eventually(lambda: "no request" in m.log())


def test_openvmm_waits_two_seconds(vm):
    with mux(vm, "-d", OPENVMM) as m, connected(vm / "vsock.sock") as s:
        delay, begun = delay_of() + delay_of(m.pid), time.monotonic()
        s.sendall(b"CONNECT ")
        time.sleep(1)
        s.sendall(b"5")
        assert hung_up(s)
        assert 1.9 < time.monotonic() - begun < 3 + delay_of() + delay_of(m.pid) - delay


@pytest.mark.parametrize("dialect", DIALECTS)
def test_payload_that_does_not_wait_for_the_answer(vm, dialect):
    with mux(vm, "-d", dialect), program(address(vm, "vsock-mux"), drain) as p:
        s, line = ask_mux(vm / "vsock.sock", b"CONNECT 52\nearly ")
        with s:
            assert line.startswith(b"OK ")
            s.sendall(b"late")
        eventually(lambda: p.results)
    assert p.results == [b"late" if dialect == VHOST_DEVICE_VSOCK else b"early late"]


@pytest.mark.parametrize("asked", ["52", "00000034-FACB-11e6-bd58-64006a7986d3"])
@pytest.mark.parametrize("listening", ["52", "00000034-facb-11e6-bd58-64006a7986d3"])
def test_openvmm_knows_ports_by_both_names(vm, asked, listening):
    with mux(vm, "-d", OPENVMM), program(address(vm, "vsock-mux", listening), echo):
        s, line = ask_mux(vm / "vsock.sock", b"CONNECT %s\n" % asked.encode())
        s.close()
        assert line == b"OK %s\n" % asked.lower().encode()


def test_services_of_no_port(vm):
    with mux(vm, "-d", OPENVMM), program(address(vm, "vsock-mux", GUID), echo), virtsock.connect(address(vm, "vsock-mux", GUID)) as s:
        s.sendall(b"hello")
        assert s.recv(5) == b"hello"
    with mux(vm), program(address(vm, "vsock-mux", GUID), echo), pytest.raises(virtsock.RefusedError):
        virtsock.connect(address(vm, "vsock-mux", GUID))


def test_services_are_for_the_dialect_that_has_them(vm):
    """Also where a request may be as long as theirs."""
    with mux(vm, "-d", VHOST_DEVICE_VSOCK), program(address(vm, "vsock-mux", GUID), echo):
        s, line = ask_mux(vm / "vsock.sock", b"CONNECT %s\n" % GUID.encode())
        assert line == b"" and hung_up(s)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_program_that_accepts_nobody_is_given_up(vm, protocol):
    name = "vsock.sock_52" if protocol == "vsock-mux" else "00000002.00000034"
    with mux(vm), socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(vm / name))
        listener.listen(0)
        first.connect(str(vm / name))           # its queue is full
        begun = time.monotonic()
        with connected(vm / ("vsock.sock" if protocol == "vsock-mux" else "connect")) as s:
            s.sendall(b"CONNECT 52\n" if protocol == "vsock-mux" else b"00000002.00000034\n")
            assert hung_up(s)
        assert 2 <= time.monotonic() - begun < 5


def test_hyperkit_reads_once(vm):
    with mux(vm) as m, program(address(vm, "hyperkit"), drain) as p:
        with connected(vm / "connect") as s:
            s.sendall(b"00000003.")
            assert hung_up(s)
        for bad in (b"00000003.0000003\n4", b"00000003-00000034\n", b"xxxxxxxx.xxxxxxxx\n"):
            with connected(vm / "connect") as s:
                s.sendall(bad)
                assert hung_up(s)
        with ask_hyperkit(vm / "connect", 3, 52) as s:
            s.sendall(b"payload")
        eventually(lambda: p.results == [b"payload"])
        assert m.log().count("no request that HyperKit takes") == 4


def test_hyperkit_prefers_the_cid(vm):
    def say(text):
        return lambda s: s.sendall(text)

    with mux(vm), program(f"hyperkit://:52{vm}", say(b"host's")), program(f"hyperkit://7:52{vm}", say(b"seven's")):
        with virtsock.connect(f"hyperkit://7:52{vm}") as s:
            assert drain(s) == b"seven's"
        with virtsock.connect(f"hyperkit://8:52{vm}") as s:
            assert drain(s) == b"host's"


def test_nobody_listens(vm):
    with mux(vm) as m:
        s, line = ask_mux(vm / "vsock.sock", b"CONNECT 52\n")
        assert line == b"" and hung_up(s)
        assert hung_up(ask_hyperkit(vm / "connect", 3, 52))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(vm / "vsock.sock_52"))
        with pytest.raises(virtsock.RefusedError, match="the multiplexer hung up"):
            virtsock.connect(address(vm, "vsock-mux"))
        assert run("cat", address(vm, "vsock-mux")).returncode == 1
        assert f"client 1: port 52: connect unix://{vm}/vsock.sock_52: " in m.log()


# --- Conversations -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_server_speaks_first(vm, dialect):
    def greet(stream):
        stream.sendall(b"220 ready\r\n")
        return drain(stream)

    with mux(vm, "-d", dialect):
        for protocol in PROTOCOLS:
            with program(address(vm, protocol), greet) as p, virtsock.connect(native(address(vm, protocol))) as s:
                assert s.recv_exact(11) == b"220 ready\r\n"
                s.shutdown(virtsock.SHUT_SEND)
                assert s.recv(1) == b""
            assert p.results == [b""]


@pytest.mark.parametrize("dialect", [*HALF_CLOSES, "hyperkit"])
def test_half_close_both_ways(vm, dialect):
    def answer_at_the_end(stream):
        request = drain(stream)
        stream.sendall(MIB)
        return request

    def end_first(stream):
        stream.sendall(b"all of it")
        stream.shutdown(virtsock.SHUT_SEND)
        return drain(stream)

    with dialect_of(vm, dialect) as m:
        with program(m.guest, answer_at_the_end) as p:
            assert run("cat", m.host, input=b"request").stdout == MIB
        assert p.results == [b"request"]
        with program(native(m.guest), end_first) as p, virtsock.connect(m.host) as s:
            assert drain(s) == b"all of it"
            s.sendall(MIB)
        assert p.results == [MIB]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_fifty_connections_of_much_both_ways(vm, dialect):
    """By count where the end of one direction is the end of both."""

    def send(stream):
        stream.sendall(MIB * 2)
        if dialect in HALF_CLOSES:
            stream.shutdown(virtsock.SHUT_SEND_UNCHECKED)

    def exchange(stream):
        sender = threading.Thread(target=send, args=[stream])
        sender.start()
        digest = hashlib.sha256(drain(stream) if dialect in HALF_CLOSES else stream.recv_exact(2 * len(MIB))).digest()
        sender.join()
        return digest

    def client(number):
        with virtsock.connect(address(vm, PROTOCOLS[number % 2])) as s:
            results.append(exchange(s))

    results = []
    with mux(vm, "-d", dialect), program(address(vm, "vsock-mux"), exchange, 25) as a, program(address(vm, "hyperkit"), exchange, 25) as b:
        threads = [threading.Thread(target=client, args=[n]) for n in range(50)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        eventually(lambda: len(a.results + b.results) == 50)
    assert results + a.results + b.results == [hashlib.sha256(MIB * 2).digest()] * 100


def test_slow_reader_stops_nobody(vm):
    def flood(stream):
        with contextlib.suppress(virtsock.Error):
            stream.sendall(MIB * 8)

    with (
        mux(vm),
        program(address(vm, "vsock-mux"), flood),
        program(address(vm, "vsock-mux", 53), echo),
        virtsock.connect(address(vm, "vsock-mux")) as slow,
        virtsock.connect(address(vm, "vsock-mux", 53), timeout=20) as quick,
    ):
        time.sleep(0.1)  # buffers are full
        quick.sendall(b"hello")
        assert quick.recv_exact(5) == b"hello"
        assert len(drain(slow)) == len(MIB) * 8


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("half_closed", [False, True])
def test_client_that_leaves_is_gone_for_the_program(vm, protocol, half_closed):
    """Not its half alone: a program that sends nothing must see the hang-up, too."""

    def watch(stream):
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return stream.recv(5), [event for _, event in poll.poll(10000)]

    with mux(vm, "-d", CLOUD_HYPERVISOR) as m, program(address(vm, protocol), watch) as p:
        with virtsock.connect(native(address(vm, protocol))) as s:
            s.sendall(b"hello")
            if half_closed:
                s.shutdown(virtsock.SHUT_SEND)
                time.sleep(0.1)
                assert not p.results
        eventually(lambda: p.results)
        assert p.results == [(b"hello", [select.POLLHUP])]
        eventually(lambda: "5 bytes to the program, 0 back\n" in m.log())


def test_program_that_receives_no_more(vm):
    """And sends still: the client learns both."""

    def deaf(stream):
        stream.shutdown(virtsock.SHUT_RECV)
        stream.sendall(b"ready")
        told.wait(20)
        stream.sendall(b"hello")

    told = threading.Event()
    with (
        mux(vm),
        program(address(vm, "vsock-mux"), deaf),
        virtsock.connect(address(vm, "vsock-mux"), timeout=10) as s,
    ):
        assert s.recv_exact(5) == b"ready"
        with pytest.raises(virtsock.ResetError):
            for _ in range(200):  # not so much that it waits for room: Linux does not wake it then, mux or none
                s.sendall(b"x")
                time.sleep(0.005)
        told.set()
        assert s.recv_exact(5) == b"hello"


def test_program_that_breaks_off(vm):
    """Before it has read what was sent: no byte more is taken from the client."""
    with (
        mux(vm),
        program(address(vm, "vsock-mux"), lambda s: s.recv(1)),
        virtsock.connect(address(vm, "vsock-mux"), timeout=20) as s,
        pytest.raises(virtsock.ResetError),
    ):
        for _ in range(100):
            s.sendall(MIB)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_hundred_connections_leak_nothing(vm, protocol):
    def used():
        return len(os.listdir(f"/proc/{m.pid}/fd"))

    def threads():
        return len(os.listdir(f"/proc/{m.pid}/task"))

    def both_wait():
        """A listener makes what wakes it when it first waits."""
        return sum("eventfd" in os.readlink(fd.path) for fd in os.scandir(f"/proc/{m.pid}/fd")) == 2

    with mux(vm) as m, program(address(vm, protocol), echo, 200) as p:
        eventually(both_wait)
        idle, few = used(), threads() + 8           # some are kept for the next client
        for number in range(200):
            with virtsock.connect(address(vm, protocol), timeout=20) as s:
                s.sendall(b"hello")
                assert s.recv_exact(5) == b"hello"
                if number % 2:
                    s.shutdown(virtsock.SHUT_SEND_UNCHECKED)
                    assert s.recv(1) == b""
        eventually(lambda: p.results == [5] * 200)
        eventually(lambda: used() == idle and threads() <= few)
    assert m.log().count("joined") == 200


# --- How conversations end ---------------------------------------------------------------------------------------------------

EVERY = (*DIALECTS, LIBKRUN, "hyperkit")


@pytest.mark.parametrize("dialect", EVERY)
def test_client_that_ends_its_sending(vm, dialect):
    """Over three of them that is the end of both directions: the program is told, and what it still says is lost."""
    half_closes = dialect not in (FIRECRACKER, VHOST_DEVICE_VSOCK, LIBKRUN)

    def answer_at_the_end(stream):
        request = drain(stream)
        try:
            stream.sendall(b"the answer")
        except virtsock.ResetError:
            return request, "lost"
        return request, "sent"

    with dialect_of(vm, dialect) as m, program(m.guest, answer_at_the_end) as p, virtsock.connect(native(m.host), timeout=20) as s:
        s.sendall(b"request")
        begun = time.monotonic()
        s.shutdown(virtsock.SHUT_SEND)
        assert drain(s) == (b"the answer" if half_closes else b"")
        assert (time.monotonic() - begun >= 5) == (dialect == LIBKRUN)
    assert p.results == [(b"request", "sent" if half_closes else "lost")]


@pytest.mark.parametrize("dialect", [FIRECRACKER, VHOST_DEVICE_VSOCK])
def test_what_was_there_before_that_end(vm, dialect):
    """The program gets all that the client had sent; what has come to the client stays, what has not is lost: and neither sees a break."""

    def greet(stream):
        stream.sendall(b"before")
        came = stream.recv_exact(len(MIB))
        with pytest.raises(virtsock.ResetError):
            stream.sendall(MIB * 8)             # more than there is room for: the client ends in the middle of it
        return came, drain(stream)

    with dialect_of(vm, dialect) as m, program(m.guest, greet) as p, virtsock.connect(native(m.host), timeout=20) as s:
        assert s.recv_exact(6) == b"before"
        s.sendall(MIB)
        assert s.recv_exact(1) == MIB[:1]
        s.shutdown(virtsock.SHUT_SEND)
        assert len(drain(s)) < 8 * len(MIB) - 1
    assert p.results == [(MIB, b"")]


@pytest.mark.parametrize("dialect", EVERY)
def test_program_that_ends_its_sending(vm, dialect):
    """Two of them do not tell the client before the program has closed."""
    told = dialect not in (FIRECRACKER, VHOST_DEVICE_VSOCK)
    closes = threading.Event()

    def end_first(stream):
        stream.sendall(b"all of it")
        stream.shutdown(virtsock.SHUT_SEND)
        came = stream.recv_exact(5)
        closes.wait(20)
        return came

    with dialect_of(vm, dialect) as m, program(native(m.guest), end_first) as p, virtsock.connect(m.host, timeout=0.5) as s:
        assert s.recv_exact(9) == b"all of it"
        if told:
            assert s.recv(1) == b""
        else:
            with pytest.raises(virtsock.TimedOutError):
                s.recv(1)
        s.sendall(b"still")
        eventually(lambda: closes.set() or p.results)
        s.settimeout(20)
        assert s.recv(1) == b""
    assert p.results == [b"still"]


@pytest.mark.parametrize("dialect", EVERY)
def test_client_that_leaves_after_the_program_has_ended_its_sending(vm, dialect):
    """Nothing of the conversation goes on."""
    leave = threading.Event()

    def end_first(stream):
        stream.shutdown(virtsock.SHUT_SEND)
        leave.set()
        return drain(stream)

    with dialect_of(vm, dialect) as m, program(native(m.guest), end_first) as p:
        with virtsock.connect(m.host, timeout=20):
            assert leave.wait(20)
            time.sleep(0.1)
        eventually(lambda: p.results == [b""])
        eventually(lambda: "0 bytes to the program, 0 back" in m.log())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_too_many(vm, dialect):
    """Hung up on before its request was read, which tells it from a port that nobody listens on; and there is room again after one left."""
    with dialect_of(vm, dialect, "--max", "2") as m, program(m.guest, echo, 10):
        with virtsock.connect(m.host) as one, virtsock.connect(m.host):
            with connected(vm / "vsock.sock") as s, pytest.raises((ConnectionResetError, BrokenPipeError)):
                eventually(lambda: "one too many, hung up on unread" in m.log())
                s.sendall(b"CONNECT 52\n")
                s.recv(1)
            one.sendall(b"hello")
            assert one.recv_exact(5) == b"hello"
        with virtsock.connect(m.host, wait=20) as s:
            s.sendall(b"hello")
            assert s.recv_exact(5) == b"hello"


@pytest.mark.parametrize("dialect", [FIRECRACKER, CLOUD_HYPERVISOR])
def test_a_thousand_and_twenty_three(vm, dialect):
    """As many as the real ones take."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("two descriptors for each connection are more than this user may have")
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with dialect_of(vm, dialect) as m, contextlib.ExitStack() as held:
            listener = held.enter_context(virtsock.listen(m.guest))
            for _ in range(1023):
                held.enter_context(virtsock.connect(m.host, timeout=20))
                held.enter_context(listener.accept())
            with pytest.raises(virtsock.RefusedError):
                virtsock.connect(m.host)
            eventually(lambda: m.log().count("one too many") == 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_paused_vm(vm, dialect):
    """The socket accepts, nothing answers; a client that has left meanwhile is one that leaves when it comes to the program."""
    with dialect_of(vm, dialect) as m, program(m.guest, drain, 10) as p:
        m.send_signal(signal.SIGSTOP)
        with pytest.raises(virtsock.TimedOutError):
            virtsock.connect(m.host, connect_timeout=0.2)
        m.send_signal(signal.SIGCONT)
        eventually(lambda: p.results == [b""])


def test_libkrun_has_a_socket_for_each_port(vm):
    """Which accepts before anybody listens in the guest, and hangs up then."""
    with mux(vm, "-d", LIBKRUN, "-p", "52", "--port=53") as m:
        assert sorted(os.listdir(vm)) == ["port_52", "port_53"]
        with virtsock.connect(f"unix://{vm}/port_53", timeout=20) as s:
            assert s.recv(1) == b""
        for port in (52, 53):
            with program(f"unix://{vm}/guest_{port}", echo), virtsock.connect(f"unix://{vm}/port_{port}", timeout=20) as s:
                s.sendall(b"%d" % port)
                assert s.recv_exact(2) == b"%d" % port
        assert f"listening on unix://{vm}/port_52 for unix://{vm}/guest_52\n" in m.log()
        m.terminate()
        assert m.wait(10) == 0 and not os.listdir(vm)


# --- What the command makes of that --------------------------------------------------------------------------------------------


def answer_late(stream):
    """A request, its answer, and the end."""
    request = stream.recv(100)
    time.sleep(0.3)
    stream.sendall(MIB)
    return request


@pytest.mark.parametrize("dialect", EVERY)
def test_cat_gets_the_whole_answer(vm, dialect):
    """Whatever the way makes of the end of its input: it knows who serves the socket, or is careful."""
    with dialect_of(vm, dialect) as m, program(m.guest, answer_late) as p:
        done = run("cat", m.host, input=b"request")
        assert (done.returncode, done.stderr) == (0, b"") and done.stdout == MIB
    assert p.results == [b"request"]


@pytest.mark.parametrize("dialect", EVERY)
def test_cat_gets_back_what_a_peer_echoes_that_does_not_end(vm, dialect):
    with dialect_of(vm, dialect) as m, program(m.guest, echo):
        done = run("cat", "--quiet", "1", m.host, input=MIB * 3)
        assert (done.returncode, done.stderr) == (0, b"") and done.stdout == MIB * 3


@pytest.mark.parametrize("dialect", [FIRECRACKER, OPENVMM])
def test_silence_may_have_cut_an_answer(vm, dialect):
    """Unless the user has said that it is the end."""
    with dialect_of(vm, dialect) as m, program(m.guest, echo):
        begun = time.monotonic()
        done = run("cat", m.host, input=b"hello")
        assert time.monotonic() - begun >= 5
        assert (done.returncode, done.stdout) == (1, b"hello")
        assert b"quiet for 5 s after the end of input" in done.stderr and b"--quiet SECONDS" in done.stderr


def test_silence_does_not_end_what_is_still_sent(vm):
    """Nor a peer that says something now and then."""

    def count(stream):
        for _ in range(4):
            time.sleep(0.5)
            stream.sendall(b"x")

    with dialect_of(vm, FIRECRACKER) as m, program(m.guest, count):
        assert run("cat", "--quiet", "1.5", m.host, input=b"hello").stdout == b"xxxx"
    with dialect_of(vm, FIRECRACKER) as m, program(m.guest, echo), running(
        "cat", "--quiet", "0.3", m.host, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as cat:
        time.sleep(1)
        cat.stdin.write(b"late")
        cat.stdin.flush()
        assert cat.stdout.read(4) == b"late"
        cat.stdin.close()
        assert cat.wait(10) == 0


def test_a_listener_waits_for_a_client_that_is_quiet(vm):
    """And says so: where its end of sending is not told, both would wait for ever."""
    with dialect_of(vm, FIRECRACKER) as m:
        with running("cat", "-l", m.guest, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as cat:
            with virtsock.connect(m.host, timeout=20, wait=20) as s:
                s.sendall(b"hello")
                assert b"the peer is quiet" in cat.stderr.readline()
                s.sendall(b" again")
            assert cat.communicate(timeout=20) == (b"hello again", b"") and cat.returncode == 0


def test_what_nobody_knows_is_tried(vm):
    """After a silence; what comes then shows that the way carries half-closes."""

    def answer_at_the_end(stream):
        request = drain(stream)
        stream.sendall(MIB)
        return request

    with dialect_of(vm, OPENVMM) as m, program(m.guest, answer_at_the_end) as p:
        done = run("cat", m.host, input=b"request")
        assert (done.returncode, done.stderr) == (0, b"") and done.stdout == MIB
    assert p.results == [b"request"]


def test_what_the_user_says_of_the_way(vm):
    with dialect_of(vm, FIRECRACKER) as m:
        with program(m.guest, answer_late):
            assert run("cat", "--half-close", m.host, input=b"request").stdout == b""
        with program(m.guest, answer_late):
            done = run("cat", "-v", native(m.host), input=b"request")
            assert done.stdout == b"" and b"the end of both" not in done.stderr
    with dialect_of(vm, CLOUD_HYPERVISOR) as m:
        for words, where in ((["--no-half-close"], m.host), ([], m.host + "?half-close=none")):
            with program(m.guest, answer_late):
                assert run("cat", *words, where, input=b"request").stdout == MIB
        with program(m.guest, echo):
            assert run("cat", "--no-half-close", "--quiet", "0.3", m.host, input=b"hello").stdout == b"hello"


TOLD = {FIRECRACKER: "seen with Firecracker 1.16.1", CLOUD_HYPERVISOR: "from 53.0 on", VHOST_DEVICE_VSOCK: "seen with vhost-device-vsock 0.3.0",
        OPENVMM: "nobody knows", LIBKRUN: "seen with libkrun 1.19.7"}


@pytest.mark.parametrize("dialect", TOLD)
def test_the_way_is_told(vm, dialect):
    with dialect_of(vm, dialect) as m, program(m.guest, lambda s: s.sendall(b"x"), 3):
        assert TOLD[dialect] in run("cat", "-v", m.host).stderr.decode()
        found = json.loads(run("doctor", "--json", m.host).stdout)
        assert found["ok"] and [row["text"] for row in found["findings"] if TOLD[dialect] in row["text"]]
        assert "half-close" in [row["id"] for row in found["findings"]]


@pytest.mark.parametrize("dialect", TOLD)
def test_echo_without_a_bye_says_why(vm, dialect):
    with dialect_of(vm, dialect) as m, running("echo", "-s", "-v", m.guest, stderr=subprocess.PIPE) as server:
        server.stderr.readline()
        done = run("echo", m.host)
        if dialect in HALF_CLOSES:
            assert done.returncode == 0
        else:
            assert done.returncode == 1 and f"with {dialect} the end".encode() in done.stderr and b"--no-bye" in done.stderr
        assert run("echo", "--no-bye", m.host).returncode == 0
        done = run("echo", m.host + "?half-close=none")
        assert done.returncode == 1 and b"--no-bye" in done.stderr


CLIENTS = pytest.mark.parametrize("client", ["unix", "tcp", "framed"])


@contextlib.contextmanager
def relaying(vm, client, to):
    """A client of a relay before that address. Frames have threads of their own there."""
    where = {"unix": f"unix://{vm}/r", "tcp": "tcp://127.0.0.1:any", "framed": f"unix://{vm}/r?half-close=framed"}[client]
    with running("relay", "-v", "--stats", "--json", where, to, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as relay:
        where = relay.stderr.readline().decode().split("listening on ")[1].split(" for ")[0]
        with virtsock.connect(where, timeout=30) as s:
            yield relay, s


@CLIENTS
@pytest.mark.parametrize("dialect", EVERY)
def test_relay_keeps_a_clients_end_back(vm, dialect, client):
    """Whose answer comes whole, and whose conversation ended in order."""
    with dialect_of(vm, dialect) as m, program(m.guest, answer_late) as p, relaying(vm, client, m.host) as (relay, s):
        s.sendall(b"request")
        s.shutdown(virtsock.SHUT_SEND)
        assert read_to_end(s) == MIB
        s.close()
        relay.terminate()
        out, err = relay.communicate(timeout=20)
        counts = json.loads(out)[0]
        assert (counts["accepted"], counts["broken"], counts["idle"], counts["bytes_back"]) == (1, 0, 0, len(MIB))
        assert (b"kept back" in err) == (dialect not in (CLOUD_HYPERVISOR, "hyperkit"))
    assert p.results == [b"request"]


@CLIENTS
@pytest.mark.parametrize("answers", [True, False])
def test_relay_tries_what_nobody_knows(vm, answers, client):
    """After a silence: an answer shows that the way carries half-closes, and without one the end may have cut it: a break, where it can be told."""

    def talk(stream):
        request = drain(stream)
        if answers:
            stream.sendall(MIB)
        return request

    with dialect_of(vm, OPENVMM) as m, program(m.guest, talk) as p, relaying(vm, client, m.host) as (relay, s):
        begun = time.monotonic()
        s.sendall(b"request")
        s.shutdown(virtsock.SHUT_SEND)
        with contextlib.nullcontext() if answers or client == "unix" else pytest.raises(virtsock.ResetError):
            assert read_to_end(s) == (MIB if answers else b"")
        assert time.monotonic() - begun >= 5
        s.close()
        relay.terminate()
        counts = json.loads(relay.communicate(timeout=20)[0])[0]
        assert (counts["broken"], counts["idle"]) == (0, 0 if answers else 1)
    assert p.results == [b"request"]


def test_relay_lets_a_client_leave_that_waits(vm):
    """Its end was kept back; that it has gone is not."""
    with dialect_of(vm, FIRECRACKER) as m, program(m.guest, echo) as p, running(
        "relay", "-v", f"unix://{vm}/r", m.host, stderr=subprocess.PIPE
    ) as relay:
        relay.stderr.readline()
        with connected(vm / "r") as s:
            s.sendall(b"request")
            s.shutdown(socket.SHUT_WR)
            assert s.recv(7) == b"request"
            assert not p.results
        eventually(lambda: p.results == [7])


# --- Faults ------------------------------------------------------------------------------------------------------------------

ENDS = {
    "refused": Status.REFUSED, "unread": Status.REFUSED, "garbage": Status.PROTOCOL, "nul": Status.PROTOCOL,
    "endless": Status.PROTOCOL, "digits": Status.PROTOCOL, "cut": Status.PROTOCOL, "silent": Status.TIMEOUT, "late=5000": Status.TIMEOUT,
}


@pytest.mark.parametrize("fault", ENDS)
def test_fault_has_its_status_within_the_deadline(vm, fault):
    with mux(vm, "--fault", fault) as m, program(address(vm, "vsock-mux"), drain):
        for _ in range(3):
            late = ENDS[fault] == Status.TIMEOUT
            delay, begun = delay_of() + delay_of(m.pid), time.monotonic()
            with pytest.raises(virtsock.Error) as caught:
                virtsock.connect(address(vm, "vsock-mux"), connect_timeout=0.4 if late else 20)
            took = time.monotonic() - begun
            delay = delay_of() + delay_of(m.pid) - delay
            assert caught.value.status == ENDS[fault], caught.value
            assert 0.4 <= took < 0.5 + delay if late else took < 0.4 + delay
        assert f": {fault}\n" in m.log()


@pytest.mark.parametrize("fault", ENDS)
def test_command_says_what_is_wrong(vm, fault):
    with mux(vm, "--fault", fault):
        done = run("cat", "--timeout", "0.2", address(vm, "vsock-mux"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(f"virtsock: connect {address(vm, 'vsock-mux')}: ".encode())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", ["late=300", "pieces", "glued"])
def test_fault_that_loses_no_byte(vm, dialect, fault):
    def greet(stream):
        stream.sendall(MIB)
        return echo(stream)

    begun = time.monotonic()
    with (
        mux(vm, "-d", dialect, "--fault", fault),
        program(address(vm, "vsock-mux"), greet) as p,
        virtsock.connect(address(vm, "vsock-mux"), timeout=20) as s,
    ):
        assert fault != "late=300" or time.monotonic() - begun >= 0.3
        assert s.recv_exact(len(MIB)) == MIB
        s.sendall(b"hello")
        assert s.recv_exact(5) == b"hello"
        s.shutdown(virtsock.SHUT_SEND_UNCHECKED)
        assert drain(s) == b""
    assert p.results == [5]


@pytest.mark.parametrize("fault, least, end", [("endless", 65536, b""), ("digits", 4096, b"\n")])
def test_long_answers_are_as_long_as_is_told(vm, fault, least, end):
    """They do not end by a hang-up, which would help a client."""
    with mux(vm, "--fault", fault), connected(vm / "vsock.sock") as s:
        s.sendall(b"CONNECT 52\n")
        answer = b""
        while len(answer) < least or not answer.endswith(end):
            part = s.recv(65536)
            assert part != b""
            answer += part
        assert answer.startswith(b"OK ") and (b"\n" in answer) == (end != b"")
        assert select.select([s], [], [], 0.2)[0] == [] or s.recv(1) != b""


def test_glued_bytes_are_counted(vm):
    with mux(vm, "--fault", "glued") as m, program(address(vm, "vsock-mux"), lambda s: s.sendall(b"hello")):
        s, line = ask_mux(vm / "vsock.sock", b"CONNECT 52\n")
        with s:
            assert read_to_end(s) == b"hello"
        eventually(lambda: "port 52: 0 bytes to the program, 5 back\n" in m.log())


def test_glued_is_one_piece(vm):
    with mux(vm, "--fault", "glued"), program(address(vm, "vsock-mux"), lambda s: s.sendall(b"payload"), 50):
        for number in range(50):
            with connected(vm / "vsock.sock") as s:
                s.sendall(b"CONNECT 52\n")
                assert s.recv(100) == b"OK %d\npayload" % (2**30 + number)


def test_glued_to_a_client_that_speaks_first(vm):
    with mux(vm, "--fault", "glued"), program(address(vm, "vsock-mux"), echo), virtsock.connect(address(vm, "vsock-mux")) as s:
        s.sendall(b"hello")
        assert s.recv_exact(5) == b"hello"


def test_pieces_are_pieces(vm):
    with mux(vm, "--fault", "pieces"), program(address(vm, "vsock-mux"), drain), connected(vm / "vsock.sock") as s:
        s.sendall(b"CONNECT 52\n")
        assert len(s.recv(100)) < 14


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_reset_in_mid_conversation(vm, protocol):
    """What the program has said before comes through."""

    def greet(stream):
        stream.sendall(b"hello")
        return drain(stream)

    with (
        mux(vm, "--fault", "reset"),
        program(address(vm, protocol), greet) as p,
        virtsock.connect(address(vm, protocol), timeout=20) as s,
    ):
        assert s.recv_exact(5) == b"hello"
        s.sendall(b"x")
        with pytest.raises(virtsock.ResetError):
            s.recv(1)
    assert p.results == [b""]


def ends(stream):
    with stream:
        try:
            return stream.recv(1) == b""
        except virtsock.ResetError:
            return True


@pytest.mark.parametrize("fault", ["refused", "unread"])
def test_hyperkit_cannot_tell_a_refusal(vm, fault):
    """But for one that comes before the request: either the connection is refused, or it was made and ends."""
    with mux(vm, "--fault", fault):
        for _ in range(20):
            try:
                assert ends(virtsock.connect(address(vm, "hyperkit"), timeout=20))
            except virtsock.RefusedError:
                assert fault == "unread"


@pytest.mark.parametrize("fault", ["late=300", "silent"])
def test_hyperkit_late_and_silent(vm, fault):
    with (
        mux(vm, "--fault", fault),
        program(address(vm, "hyperkit"), lambda s: s.sendall(b"hello")),
        virtsock.connect(address(vm, "hyperkit"), timeout=0.2) as s,
    ):
        with pytest.raises(virtsock.TimedOutError):
            s.recv(5)
        s.settimeout(1)
        if fault == "late=300":
            assert s.recv_exact(5) == b"hello"
        else:
            with pytest.raises(virtsock.TimedOutError):
                s.recv(5)


@pytest.mark.parametrize("fault", ["garbage", "pieces", "glued", "nul", "endless", "digits", "cut"])
def test_hyperkit_has_no_answer_to_spoil(vm, fault):
    with mux(vm, "--fault", fault), program(address(vm, "hyperkit"), echo), virtsock.connect(address(vm, "hyperkit"), timeout=20) as s:
        s.sendall(b"hello")
        assert s.recv_exact(5) == b"hello"


@pytest.mark.parametrize("fault", ["refused", "unread", "silent"])
def test_first_clients_alone(vm, fault):
    with (
        mux(vm, "--fault", fault, "--fault-count", "3"),
        program(address(vm, "vsock-mux"), echo),
        virtsock.connect(address(vm, "vsock-mux"), connect_timeout=0.1, wait=20, timeout=20) as s,
    ):
        assert s.info["attempts"] == 4
        s.sendall(b"hello")
        assert s.recv_exact(5) == b"hello"


# --- The library against the other implementation -----------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [*DIALECTS, "hyperkit"])
def test_library_as_client_of_another_server(vm, dialect):
    half_closes = dialect in (*HALF_CLOSES, "hyperkit")

    def guest(connection):
        connection.sendall(b"220 ready\r\n")
        request = read_to_end(connection) if half_closes else connection.recv(5, socket.MSG_WAITALL)
        connection.sendall(MIB)
        return request

    vm.mkdir()
    with Hypervisor(vm / ("connect" if dialect == "hyperkit" else "vsock.sock"), dialect, guest) as h:
        where = address(vm, "hyperkit" if dialect == "hyperkit" else "vsock-mux")
        for _ in range(20):
            with virtsock.connect(where, timeout=20) as s:
                assert s.recv_exact(11) == b"220 ready\r\n"
                s.sendall(b"hello")
                if half_closes:
                    s.shutdown(virtsock.SHUT_SEND_UNCHECKED)
                assert drain(s) == MIB
    assert h.requests == [b"00000003.00000034\n" if dialect == "hyperkit" else b"CONNECT 52\n"] * 20
    assert h.results == [b"hello"] * 20


@pytest.mark.parametrize("dialect", [*DIALECTS, "hyperkit"])
def test_both_servers_end_alike(vm, dialect):
    """The mux and the second implementation: what a program of the host gets in each order of ends."""

    def guest(connection):
        first = connection.recv(7)
        connection.shutdown(socket.SHUT_WR)
        rest = read_to_end(connection)
        return first, rest

    def found(where):
        with virtsock.connect(where, timeout=0.5) as s:
            s.sendall(b"request")
            try:
                end = s.recv(1)
            except virtsock.TimedOutError:
                end = None
            s.shutdown(virtsock.SHUT_SEND_UNCHECKED)
            s.settimeout(20)
            return end, s.recv(1)

    def guest_of_mux(stream):
        with stream.to_socket() as connection:
            connection.settimeout(20)
            return guest(connection)

    vm.mkdir()
    name = vm / ("connect" if dialect == "hyperkit" else "vsock.sock")
    with Hypervisor(name, dialect, guest) as h:
        other = found(address(vm, "hyperkit" if dialect == "hyperkit" else "vsock-mux"))
    name.unlink()
    with dialect_of(vm, dialect) as m, program(m.guest, guest_of_mux) as p:
        assert found(m.host) == other
    assert p.results == h.results == [(b"request", b"")]


def test_library_asks_for_a_service(vm):
    vm.mkdir()
    with (
        Hypervisor(vm / "vsock.sock", OPENVMM, lambda c: c.sendall(b"hello")) as h,
        virtsock.connect(address(vm, "vsock-mux", GUID)) as s,
    ):
        assert drain(s) == b"hello"
    assert h.requests == [b"CONNECT %s\n" % GUID.encode()]


@pytest.mark.parametrize("answer", [b"OK 4294967295\n", b"ok 7\n", b"OK 7\r\n", b"OK %s\n" % GUID.encode()])
def test_library_takes_every_answer_in_use(vm, answer):
    vm.mkdir()
    with (
        Hypervisor(vm / "vsock.sock", FIRECRACKER, lambda c: c.sendall(b"hello"), answer=answer),
        virtsock.connect(address(vm, "vsock-mux")) as s,
    ):
        assert drain(s) == b"hello"


def test_library_hears_no_from_another_server(vm):
    vm.mkdir()
    with Hypervisor(vm / "vsock.sock", FIRECRACKER, lambda c: None, ports={52}), pytest.raises(virtsock.RefusedError):
        virtsock.connect(address(vm, "vsock-mux", 53))


@pytest.mark.parametrize("protocol, request_line", [("vsock-mux", "CONNECT 52\\n"), ("hyperkit", "00000003.00000034\\n")])
def test_request_leaves_in_one_send(vm, protocol, request_line):
    trace = vm.parent / "trace"
    command = ["strace", "-f", "-s", "200", "-e", "trace=connect,sendto,sendmsg,write,writev", "-o", trace, TOOL]
    if shutil.which("strace") is None or subprocess.run([*command, "--version"], capture_output=True).returncode != 0:
        pytest.skip("strace is not there, or may not trace")
    with mux(vm), program(address(vm, protocol), echo):
        done = subprocess.run([*command, "cat", address(vm, protocol)], input=b"payload", stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == b"payload"
    lines = trace.read_text().split(" connect(")[1].splitlines()[1:]
    sent = re.findall(r'(?:sendto|write|sendmsg|writev)\(\d+, "(.*?)", (\d+)', "\n".join(lines))
    assert sent[0] == (request_line, str(len(request_line) - 1))
    assert sent[1] == ("payload", "7")


# --- The directory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_made_and_left_in_order(vm, number):
    with mux(vm) as m, program(address(vm, "vsock-mux"), drain), virtsock.connect(address(vm, "vsock-mux"), timeout=20) as s:
        assert stat.S_IMODE(vm.stat().st_mode) == 0o700
        assert all(stat.S_IMODE((vm / name).stat().st_mode) == 0o600 for name in ("vsock.sock", "connect"))
        m.send_signal(number)
        assert m.wait(10) == 0
        assert not (vm / "vsock.sock").exists() and not (vm / "connect").exists()
        assert ends(s)
    assert m.log().splitlines()[:2] == [
        f"virtsock: listening on unix://{vm}/vsock.sock for vsock-mux://:PORT{vm}/vsock.sock",
        f"virtsock: listening on unix://{vm}/connect for hyperkit://:PORT{vm}",
    ]


def test_stale_sockets_are_replaced(vm):
    with mux(vm) as m:
        m.kill()
        m.wait()
    assert (vm / "connect").is_socket()
    with mux(vm), program(address(vm, "hyperkit"), echo), virtsock.connect(address(vm, "hyperkit")) as s:
        s.sendall(b"hello")
        assert s.recv_exact(5) == b"hello"


def test_live_one_is_left_alone(vm):
    with mux(vm):
        done = run("mux", str(vm))
        assert done.returncode == 1
        assert done.stderr.startswith(f"virtsock: listen unix://{vm}/vsock.sock: somebody listens".encode())
        with program(address(vm, "vsock-mux"), echo), virtsock.connect(address(vm, "vsock-mux")):
            pass


def test_failure_at_the_second_socket_takes_back_the_first(vm):
    vm.mkdir()
    (vm / "connect").write_text("a file")
    done = run("mux", str(vm))
    assert done.returncode == 1
    assert b"/connect: " in done.stderr
    assert os.listdir(vm) == ["connect"]


def test_directory_that_may_not_be_written(vm):
    vm.parent.chmod(0o755)
    vm.mkdir()
    vm.chmod(0o555)
    tool = shutil.copy(TOOL, vm.parent / "virtsock")  # the build folder may be closed to others
    other = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run([tool, "mux", str(vm)], capture_output=True, timeout=60, **other)
    assert done.returncode == 1
    assert done.stderr.startswith(f"virtsock: listen unix://{vm}/vsock.sock: the directory may not be".encode())
    done = subprocess.run([tool, "mux", str(vm / "new")], capture_output=True, timeout=60, **other)
    assert (done.returncode, done.stderr) == (1, f"virtsock: {vm}/new: Permission denied\n".encode())


@pytest.mark.parametrize("size, fits", [(107, True), (108, False)])
def test_longest_path(vm, size, fits):
    deep = vm.parent / ("d" * (size - len(str(vm.parent)) - len("//vsock.sock")))
    if fits:
        with mux(deep):
            assert len(str(deep / "vsock.sock")) == size
        return
    done = run("mux", str(deep))
    assert done.returncode == 1
    assert b"107 bytes" in done.stderr
    assert not deep.exists()  # seen before anything was made


def test_slashes_behind_the_directory(vm):
    """They are no part of the addresses that it tells, and has."""
    where = address(vm, "hyperkit")
    with mux(vm, name=f"{vm}//") as m, program(where, drain), virtsock.connect(where):
        assert f"for vsock-mux://:PORT{vm}/vsock.sock\n" in m.log() and f"for hyperkit://:PORT{vm}\n" in m.log()


def test_no_directory_to_make_it_in(vm):
    done = run("mux", str(vm / "below"))
    assert (done.returncode, done.stderr) == (1, f"virtsock: {vm}/below: No such file or directory\n".encode())


def test_relative_and_odd_names(vm):
    with mux(vm, "-d", CLOUD_HYPERVISOR, name="odd name%", cwd=vm.parent) as m:
        assert "for vsock-mux://:PORT/./odd%20name%25/vsock.sock?half-close=native\n" in m.log()
        where = "vsock-mux://:52/./odd%20name%25/vsock.sock"
        with running("cat", "-l", "--echo", "-v", where, cwd=vm.parent, stderr=subprocess.PIPE) as server:
            server.stderr.readline()
            assert run("cat", where, cwd=vm.parent, input=b"hello").stdout == b"hello"


@pytest.mark.parametrize(
    "words, said",
    [
        ("mux", "needs a directory"),
        ("mux /tmp/a /tmp/b", "one word too many: /tmp/b"),
        ("mux --dialect qemu /tmp/a", '--dialect "qemu"'),
        ("mux --dialect libkrun /tmp/a", "name them, each with --port"),
        ("mux --dialect libkrun --port x /tmp/a", '--port "x"'),
        ("mux --dialect libkrun --port 4294967296 /tmp/a", '--port "4294967296"'),
        ("mux --port 52 /tmp/a", "--port is for --dialect libkrun"),
        ("mux --max x /tmp/a", '--max "x"'),
        ("mux --fault odd /tmp/a", '--fault "odd"'),
        ("mux --fault late /tmp/a", '--fault "late"'),
        ("mux --fault late= /tmp/a", '--fault "late="'),
        ("mux --fault late=1s /tmp/a", '--fault "late=1s"'),
        ("mux --fault late=12345678 /tmp/a", '--fault "late=12345678"'),
        ("mux --fault silent --fault-count 18446744073709551617 /tmp/a", '--fault-count "18446744073709551617"'),
        ("mux --fault silent --fault-count x /tmp/a", '--fault-count "x"'),
        ("mux --fault silent --fault-count 2147483648 /tmp/a", '--fault-count "2147483648"'),
        ("mux --fault-count 1 /tmp/a", "--fault-count counts what --fault does"),
        ("mux --wait 1 /tmp/a", "no option --wait"),
    ],
)
def test_usage_errors(words, said):
    done = run(*words.split())
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
    assert run("mux", "").returncode == 2
