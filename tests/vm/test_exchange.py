# SPDX-License-Identifier: MIT
"""A host and its guest over vhost-vsock, a host and two guests over a multiplexer: C, Python and Lua at either end, every way; and peers
that are not ours."""

import contextlib
import json
import re
import socket
from pathlib import Path

import pytest
from builds import PLAIN

from . import kernel
from .exchange import LANGUAGES, TOOL, ask, command, serve

pytestmark = pytest.mark.proves("vsock-pair", "mux")

PORT = 7100
WAYS = {"vhost host->guest": 0, "vhost guest->host": 1, "mux host->guest": 0, "mux guest->host": 1, "mux guest->guest": 2}
VSOCK_LISTENS = [way for way in WAYS if way != "mux guest->host"]
VSOCK_CONNECTS = [way for way in WAYS if way != "mux host->guest"]
HALF_CLOSE = [way for way in WAYS if way in VSOCK_LISTENS and way in VSOCK_CONNECTS]
DEADLINE = 20


@pytest.fixture
def way(request):
    """port: the lab.Way that has the name of the parameter."""
    machines = request.getfixturevalue("nested_vms" if request.param.startswith("vhost") else "mux_vm")
    return lambda port: machines.ways(port)[WAYS[request.param]]


every_way = pytest.mark.parametrize("way", WAYS, indirect=True)
vsock_listens = pytest.mark.parametrize("way", VSOCK_LISTENS, indirect=True)
half_close = pytest.mark.parametrize("way", HALF_CLOSE, indirect=True)
vsock_connects = pytest.mark.parametrize("way", VSOCK_CONNECTS, indirect=True)


def cid_of(address):
    return re.match(r"vsock://(\d+):", address)[1]


@every_way
@pytest.mark.parametrize("server", LANGUAGES)
def test_conversation(way, server):
    """One server answers a client of each language."""
    ends = way(PORT)
    with serve(ends.listening, server, ends.listens_at):
        for client in LANGUAGES:
            assert 0 <= ask(ends.connecting, client, ends.connects_to, ends.half_close) < 60_000


@vsock_listens
@pytest.mark.proves("L9")
def test_rules_between_machines(way):
    """The server sees who comes: a guest its host (CID 2), a host its guest, a guest its sibling."""
    ends = way(PORT + 1)
    peer = "host" if ends.label == "host->guest" else "3-4000"
    with ends.listening.start([str(TOOL), "echo", "-v", "-s", "--allow", peer, ends.listens_at]) as job:
        job.expect("listening on")
        ask(ends.connecting, "C", ends.connects_to, ends.half_close)
    ends = way(PORT + 2)
    with ends.listening.start([str(TOOL), "echo", "-v", "-s", "--allow", "local", ends.listens_at]) as job:
        job.expect("listening on")
        with pytest.raises(RuntimeError):
            ask(ends.connecting, "C", ends.connects_to, ends.half_close)


@pytest.mark.parametrize("way", ["vhost host->guest", "vhost guest->host"], indirect=True)
@pytest.mark.parametrize("server", LANGUAGES)
def test_worlds_cross(way, server):
    """Hyper-V's words on AF_VSOCK: any VM listening, the parent for the host, a service for a port."""
    ends = way(PORT + 9)
    to = ends.connects_to if ends.label == "host->guest" else f"hvsock://parent/{PORT + 9:08x}-facb-11e6-bd58-64006a7986d3"
    with serve(ends.listening, server, f"hvsock://:{PORT + 9}"):
        for client in LANGUAGES:
            ask(ends.connecting, client, to, ends.half_close)


@half_close
def test_the_walk_through(way):
    """examples/c, written for Hyper-V: one source for both worlds, and no word of Hyper-V's in the addresses."""
    ends, programs = way(PORT + 11), PLAIN / "examples" / "c"
    with ends.listening.start([str(programs / "server"), ends.listens_at]) as job:
        job.expect("waiting for a client")
        done = ends.connecting.run([str(programs / "client"), ends.connects_to])
        assert done.code == 0 and "14 bytes received: this is a test" in done.text, done.text
        job.expect("the client has ended its direction")
        assert job.wait().code == 0


@half_close
@pytest.mark.parametrize("server", LANGUAGES)
def test_socat_connects(way, server):
    ends = way(PORT + 3)
    with serve(ends.listening, server, ends.listens_at):
        done = ends.connecting.run(f"printf hello | socat -t 20 - VSOCK-CONNECT:{cid_of(ends.connects_to)}:{PORT + 3}")
    assert done == (0, b"helloBye!"), done.text


@half_close
def test_socat_listens(way):
    ends = way(PORT + 4)
    with ends.listening.start(f"exec socat -d -d -t 20 VSOCK-LISTEN:{PORT + 4},fork EXEC:cat") as job:
        job.expect("listening on")
        done = ends.connecting.run(f"printf hello | {TOOL} cat --wait 20 '{ends.connects_to}'")
    assert done == (0, b"hello"), done.text


@half_close
@pytest.mark.parametrize("client", LANGUAGES)
def test_socat_sends_back(way, client):
    ends = way(PORT + 12)
    with ends.listening.start(f"exec socat -d -d -t 20 VSOCK-LISTEN:{PORT + 12},fork EXEC:cat") as job:
        job.expect("listening on")
        ask(ends.connecting, client, ends.connects_to, False)


PYTHON_SERVER = """
import socket
with socket.socket(socket.AF_VSOCK) as listener:
    listener.bind((socket.VMADDR_CID_ANY, %d))
    listener.listen()
    print("listening on", flush=True)
    with listener.accept()[0] as stream:
        while data := stream.recv(65536):
            stream.sendall(data)
        stream.sendall(b"Bye!")
"""
PYTHON_CLIENT = """
import socket
with socket.socket(socket.AF_VSOCK) as stream:
    stream.connect((%s, %d))
    stream.sendall(b"hello")
    print(stream.recv(5, socket.MSG_WAITALL).decode(), end="", flush=True)
    if %s:
        stream.shutdown(socket.SHUT_WR)
        print(stream.recv(5, socket.MSG_WAITALL).decode(), end="")
"""


@vsock_listens
@pytest.mark.parametrize("client", LANGUAGES)
def test_python_s_own_socket_listens(way, client):
    ends = way(PORT + 5)
    with ends.listening.start(["python3", "-ISc", PYTHON_SERVER % (PORT + 5)]) as job:
        job.expect("listening on")
        ask(ends.connecting, client, ends.connects_to, ends.half_close)


@vsock_connects
@pytest.mark.parametrize("server", LANGUAGES)
def test_python_s_own_socket_connects(way, server):
    ends = way(PORT + 6)
    with serve(ends.listening, server, ends.listens_at):
        done = ends.connecting.run(["python3", "-ISc", PYTHON_CLIENT % (cid_of(ends.connects_to), PORT + 6, ends.half_close)])
    assert done == (0, b"helloBye!" if ends.half_close else b"hello"), done.text


@pytest.mark.parametrize("server", LANGUAGES)
def test_another_client_of_the_multiplexer(mux_vm, server):
    """The protocol as its authors wrote it down, by hand: what the guest's server hears is what was sent."""
    with serve(mux_vm.guests[0], server, f"vsock://:{PORT + 7}"), socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(DEADLINE)
        stream.connect(mux_vm.mux.path(mux_vm.cids[0]))
        stream.sendall(b"CONNECT %d\n" % (PORT + 7))
        assert stream.recv(100) == b"OK %d\n" % (PORT + 7)
        stream.sendall(b"hello")
        assert stream.recv(5, socket.MSG_WAITALL) == b"hello"


@pytest.mark.parametrize("client", LANGUAGES)
def test_another_listener_of_the_multiplexer(mux_vm, client):
    arguments, environment = command(client, "client", f"vsock://host:{PORT + 8}")
    path = Path(f"{mux_vm.mux.path(mux_vm.cids[0])}_{PORT + 8}")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as undo:
        listener.bind(str(path))
        undo.callback(path.unlink)
        listener.listen()
        listener.settimeout(DEADLINE)
        with mux_vm.guests[0].start([*map(str, arguments), "--no-bye"], env=environment) as job:
            stream, _ = listener.accept()
            with stream:
                stream.settimeout(DEADLINE)
                stream.sendall(stream.recv(14, socket.MSG_WAITALL))
                assert stream.recv(1) == b""
            assert job.wait(DEADLINE).code == 0


def test_the_multiplexer_has_no_half_close(mux_vm):
    """Why those ways do without it. Where this fails, the multiplexer has learned, and the others can have their goodbye."""
    ends = mux_vm.ways(PORT + 10)[0]
    with serve(ends.listening, "C", ends.listens_at), pytest.raises(RuntimeError, match="sent all bytes back, and said no bye"):
        ask(ends.connecting, "C", ends.connects_to)


@every_way
@pytest.mark.proves("C1")
def test_nobody_listens(way):
    """A host that has no listener is not heard of by a guest behind vhost-device-vsock: it answers nothing, and the kernel waits 2 s."""
    ends = way(PORT + 99)
    done = ends.connecting.run([str(TOOL), "echo", "--json", ends.connects_to])
    told = json.loads(next(line for line in done.text.splitlines() if line.startswith("{")))
    unheard = "vsock-mux" in ends.listens_at
    assert done.code == 1 and told["status"] == ("timeout" if unheard else "refused"), done.text


def test_to_host_is_for_a_guest_that_is_a_host_too(mux_vm):
    """A guest's kernel takes every address for its host's side, with the flag or without; until it has guests of its own."""
    server, guest = mux_vm.guests[1], mux_vm.guests[0]
    plain, flagged = (f"vsock://{mux_vm.cids[1]}:{PORT + 9}{flag}" for flag in ("", "?to-host=1"))
    linux = kernel.get()
    modprobe = f"modprobe -d {linux.root} -S {linux.version}"
    with serve(server, "C", f"vsock://:{PORT + 9}"):
        for address in plain, flagged:
            ask(guest, "C", address)
        assert guest.run(f"{modprobe} vhost_vsock").code == 0
        try:
            assert guest.run([str(TOOL), "echo", plain]).code == 1
            ask(guest, "C", flagged)
        finally:
            assert guest.run(f"{modprobe} -r vhost_vsock").code == 0
