# SPDX-License-Identifier: MIT
"""A host and its guest over vhost-vsock: C, Python and Lua at either end, both ways; and peers that are not ours."""

import pytest

from .exchange import LANGUAGES, TOOL, ask, command, serve

PORT = 7100


def at(port, cid=""):
    return f"vsock://{cid}:{port}"


@pytest.fixture(params=["host->guest", "guest->host"])
def way(request, nested_vms):
    """(the machine that listens, the one that connects, the CID that it connects to)"""
    if request.param == "host->guest":
        return nested_vms.guest, nested_vms.host, nested_vms.cid
    return nested_vms.host, nested_vms.guest, 2


@pytest.mark.parametrize("server", LANGUAGES)
def test_conversation(way, server):
    """One server answers a client of each language."""
    listening, connecting, cid = way
    with serve(listening, server, at(PORT)):
        for client in LANGUAGES:
            assert 0 <= ask(connecting, client, at(PORT, cid)) < 60_000


def test_rules_between_machines(way):
    """The server sees who comes: the guest its host (CID 2), the host its guest."""
    listening, connecting, cid = way
    peer = "host" if cid != 2 else "3-4000"
    with listening.start([str(TOOL), "echo", "-v", "-s", "--allow", peer, at(PORT + 1)]) as job:
        job.expect("listening on")
        ask(connecting, "C", at(PORT + 1, cid))
    with listening.start([str(TOOL), "echo", "-v", "-s", "--allow", "local", at(PORT + 2)]) as job:
        job.expect("listening on")
        with pytest.raises(RuntimeError):
            ask(connecting, "C", at(PORT + 2, cid))


def test_socat_connects(way):
    listening, connecting, cid = way
    with serve(listening, "C", at(PORT + 3)):
        done = connecting.run(f"printf hello | socat -t 20 - VSOCK-CONNECT:{cid}:{PORT + 3}")
    assert done == (0, b"helloBye!"), done.text


def test_socat_listens(way):
    listening, connecting, cid = way
    with listening.start(f"exec socat -d -d VSOCK-LISTEN:{PORT + 4},fork EXEC:cat") as job:
        job.expect("listening on")
        done = connecting.run(f"printf hello | {TOOL} cat --wait 20 vsock://{cid}:{PORT + 4}")
    assert done == (0, b"hello"), done.text


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
    stream.connect((%d, %d))
    stream.sendall(b"hello")
    stream.shutdown(socket.SHUT_WR)
    with stream.makefile() as reply:
        print(reply.read(), end="")
"""


@pytest.mark.parametrize("client", LANGUAGES)
def test_python_s_own_socket_listens(way, client):
    listening, connecting, cid = way
    with listening.start(["python3", "-ISc", PYTHON_SERVER % (PORT + 5)]) as job:
        job.expect("listening on")
        ask(connecting, client, at(PORT + 5, cid))


@pytest.mark.parametrize("server", LANGUAGES)
def test_python_s_own_socket_connects(way, server):
    listening, connecting, cid = way
    with serve(listening, server, at(PORT + 6)):
        done = connecting.run(["python3", "-ISc", PYTHON_CLIENT % (cid, PORT + 6)])
    assert done == (0, b"helloBye!"), done.text


def test_nobody_listens(way):
    _, connecting, cid = way
    arguments, environment = command("C", "client", at(PORT + 99, cid))
    arguments = [str(a) for a in arguments if a not in ("--wait", "20", "--json")]
    done = connecting.run(arguments, env=environment)
    assert done.code == 1 and "nobody listens on that port of the peer (ECONNRESET)" in done.text
