# SPDX-License-Identifier: MIT
"""Other programs for AF_VSOCK as the command's peers, in a guest: socat, ncat and Python's own sockets.

Each end sends a MiB and keeps what comes. A client ends its direction and waits for the end of the answer; a server answers after the client's
end, so an answer is lost where a half-close is taken for a close. ncat as a server cannot: it answers at once, and its client's end is its own.
"""

import pytest
from builds import TOOL

from . import lab, packages

PORT = 7600
PATIENCE = 120
PYTHON = "python3 -ISc 'import shutil, socket, sys, threading; s = socket.socket(socket.AF_VSOCK); port = int(sys.argv[1]); {}'"
CONNECT = """
s.connect((1, port))
def send():
    with open("/tmp/there", "rb") as file:
        s.sendfile(file)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
shutil.copyfileobj(s.makefile("rb"), sys.stdout.buffer)"""
LISTEN = """
s.bind((socket.VMADDR_CID_ANY, port))
s.listen()
print("listening on", port, flush=True)
client, _ = s.accept()
with client, open("/tmp/back", "rb") as file, open("/tmp/got", "wb") as got:
    shutil.copyfileobj(client.makefile("rb"), got)
    client.sendfile(file)"""
CLIENTS = {
    "socat": "socat -t 60 - VSOCK-CONNECT:1:{port} </tmp/there",
    "ncat": "{ncat} --vsock 1 {port} </tmp/there",
    "Python": PYTHON.format(CONNECT) + " {port}",
    "cat": f"{TOOL} cat vsock://1:{{port}} </tmp/there",
}
SERVERS = {
    "socat": "exec socat -d -d -t 60 VSOCK-LISTEN:{port} SYSTEM:'cat >/tmp/got; cat /tmp/back'",
    "ncat": "exec {ncat} -v --vsock -l {port} </tmp/back >/tmp/got",
    "Python": "exec " + PYTHON.format(LISTEN) + " {port}",
    "cat": f"exec {TOOL} cat -v -l vsock://:{{port}} </tmp/back >/tmp/got",
}
THEIRS = ("socat", "ncat", "Python")


@pytest.fixture(scope="module")
def ncat():
    try:
        return packages.program("ncat", "usr/bin/ncat")
    except lab.Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture
def talk(loopback_vm, ncat):
    """talk(client, port, server, port): one conversation, with what each end has got compared."""
    fresh = loopback_vm.run("cd /tmp && rm -f got came && head -c 1048576 /dev/urandom >there && head -c 1048576 /dev/urandom >back", PATIENCE)
    assert fresh.code == 0, fresh.text

    def conversation(client, at, server, port):
        with loopback_vm.start(SERVERS[server].format(port=port, ncat=ncat)) as job:
            job.expect("istening on", PATIENCE)
            done = loopback_vm.run(f"{CLIENTS[client].format(port=at, ncat=ncat)} >/tmp/came", PATIENCE)
            assert done.code == 0, done.text
            assert job.wait(PATIENCE).code == 0, job.output()
        compared = loopback_vm.run("cd /tmp && cmp there got && cmp back came", PATIENCE)
        assert compared.code == 0, compared.text

    return conversation


@pytest.mark.parametrize("client, server", [*((client, "cat") for client in THEIRS), *(("cat", server) for server in THEIRS)])
def test_cat(talk, client, server):
    talk(client, PORT, server, PORT)


@pytest.mark.parametrize("client, server", [("socat", "ncat"), ("ncat", "Python"), ("Python", "socat")])
def test_relay(loopback_vm, talk, client, server):
    """Each of them before the relay, and each behind it."""
    with loopback_vm.start([str(TOOL), "relay", "-v", f"vsock://:{PORT + 1}", f"vsock://1:{PORT + 2}"]) as job:
        job.expect("listening on")
        talk(client, PORT + 1, server, PORT + 2)
        job.expect("1048576 bytes, 1048576 back")
        job.signal("TERM")
        assert job.wait(PATIENCE).code == 0


@pytest.mark.parametrize("client", THEIRS)
@pytest.mark.parametrize("words", [("cat", "-l", "--echo", "-v"), ("stress", "-s", "-v")], ids=lambda words: words[0])
def test_what_echoes(loopback_vm, ncat, words, client):
    """`cat -l --echo` and a server of `stress` to any client."""
    with loopback_vm.start([str(TOOL), *words, f"vsock://:{PORT + 3}"]) as job:
        job.expect("listening on")
        sent = "head -c 1048576 /dev/urandom >/tmp/there && "
        done = loopback_vm.run(f"{sent}{CLIENTS[client].format(port=PORT + 3, ncat=ncat)} >/tmp/came && cmp /tmp/there /tmp/came", PATIENCE)
        assert done.code == 0, done.text


def test_stress_of_socat(loopback_vm):
    """Whose way back is cat's."""
    with loopback_vm.start(f"exec socat -d -d -t 60 VSOCK-LISTEN:{PORT + 4},fork EXEC:cat") as job:
        job.expect("listening on", PATIENCE)
        done = loopback_vm.run([str(TOOL), "stress", "-p", "3", "-i", "12", "-l", "300000", f"vsock://1:{PORT + 4}"], PATIENCE)
        assert done.code == 0 and "12 of 12 connections got every byte back" in done.text, done.text
