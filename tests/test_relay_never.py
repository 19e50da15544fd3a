# SPDX-License-Identifier: MIT
# ruff: noqa: F811
"""What can never work: `virtsock relay` says so, with exit code 2, before anybody could connect to it."""

import socket
import subprocess

import pytest
from test_relay import accept, activated, connect, listener, place, relay  # noqa: F401
from test_relay_ends import take
from test_tools import run, running

LONG = "a" * 120
FITS = 107  # bytes of a socket's path


def refused(place, *words, said, **more):
    """The rule is its line's text, or words; FROM is never made, nor what another rule has before it."""
    done = run("relay", *words, **more)
    message = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b""), message
    assert said in message
    assert list(place.glob("from*")) == []


@pytest.mark.parametrize(
    "to, said",
    [
        ("vsock://:1024", "TO needs a CID"),
        ("vsock://any:1024", "TO needs a CID"),
        ("hvsock:///1024", "TO needs a VM"),
        ("hvsock://children/1024", "TO needs a VM"),
        ("hvsock://e0e16197-dd56-4a10-9195-5ee7a155a839/1024", "write vsock://CID:PORT"),
        ("unix:///tmp/x?type=dgram", "no transport has datagrams"),
        ("vsock://3:1024?type=dgram", "no transport has datagrams"),
        (f"unix:///tmp/{LONG}", "the path has 125 bytes, and no socket's has more than 107"),
        (f"vsock-mux://:1024/tmp/{LONG}", "the path has 125 bytes"),
        ("hyperkit://:1024/tmp/" + "a" * 98, "the path has 111 bytes with /connect, which is added to it"),
        ("fd://77", "this process has no such descriptor"),
    ],
)
def test_to(place, to, said):
    refused(place, f"unix://{place}/from", to, said=said)
    (place / "rules").write_text(f"unix://{place}/from1 unix:///tmp/x\nunix://{place}/from2 {to}\n")
    refused(place, "--rules", str(place / "rules"), said=f"{place}/rules:2: {to}: ")


@pytest.mark.parametrize(
    "rule, said",
    [
        ("unix:///tmp/x?type=dgram unix:///tmp/y", "no transport has datagrams"),
        (f"vsock-mux://:52/tmp/{'a' * 100} unix:///tmp/y", "the path has 108 bytes with _52, which is added to it, and no"),
        (f"unix:///tmp/{LONG} unix:///tmp/y", "the path has 125 bytes"),
        (f"hyperkit://:52/tmp/{'a' * 90} unix:///tmp/y", "the path has 113 bytes with /00000002.00000034, which is added"),
        (f"syslog:/tmp/{LONG} unix:///tmp/y", "the path has 125 bytes"),
        ("fd://77 unix:///tmp/y", "this process has no such descriptor"),
        ("tcp://127.0.0.1:1?type=seqpacket unix:///tmp/y?type=seqpacket", "carries streams alone"),
        ("unix:///tmp/y?type=seqpacket vsock-mux://:1/tmp/y?type=seqpacket", "carries streams alone"),
        ("unix:///tmp/y?type=seqpacket hvsock://parent/1024?type=seqpacket", "carries streams alone"),
        ("unix:///tmp/y unix:///tmp/y", "TO is FROM"),
        ("unix:///tmp/x unix:///tmp/y max=0", "a max of 0 would let nobody in"),
    ],
)
def test_a_rule(place, rule, said):
    (place / "rules").write_text(f"unix://{place}/from1 unix:///tmp/x\n{rule}\n")
    refused(place, "--rules", str(place / "rules"), said=f"{place}/rules:2: ")
    refused(place, "--rules", str(place / "rules"), said=said)


FOR_VSOCK = "--privileged-port is for vsock://CID:PORT: no other end has a source port"


@pytest.mark.parametrize(
    "to, said",
    [
        ("unix:///tmp/x", FOR_VSOCK),
        ("tcp://127.0.0.1:1", FOR_VSOCK),
        ("tcp://localhost:1", FOR_VSOCK),
        ("vsock-mux://:1024/tmp/x", FOR_VSOCK),
        ("hyperkit://:1024/tmp/x", FOR_VSOCK),
        ("hvsock://parent/1024", FOR_VSOCK),
        ("-", FOR_VSOCK),
        ("exec:/bin/cat", FOR_VSOCK),
        ("vsock://3:1024?half-close=framed", "--privileged-port cannot be kept with half-close=framed"),
    ],
)
def test_a_source_port_where_there_is_none(place, to, said):
    refused(place, "--privileged-port", f"unix://{place}/from", to, said=f"{to}: {said}")
    (place / "rules").write_text(f"unix://{place}/from unix:///tmp/x\nunix://{place}/from1 {to} privileged-port=true\n")
    if not to.startswith("exec:"):
        refused(place, "--rules", str(place / "rules"), said=f"{place}/rules:2: {to}: {said}")
    if to not in ("-", "tcp://localhost:1", "exec:/bin/cat"):
        done = run("cat", "--privileged-port", to)
        assert (done.returncode, done.stdout) == (2, b"") and f"{to}: {said}" in done.stderr.decode()


def test_a_source_port_and_what_it_does_not_go_with(place):
    refused(place, "--privileged-port", "--stays", "1", f"unix://{place}/from", "vsock://3:1024", said="--stays is for ways that accept early")
    (place / "rules").write_text(f"unix://{place}/from vsock://3:1024 privileged-port=perhaps\n")
    refused(place, "--rules", str(place / "rules"), said="privileged-port=perhaps: true or false")
    for words in (["-l", "--privileged-port", "vsock://:1024"], ["--stays", "1", "--privileged-port", "vsock://3:1024"]):
        done = run("cat", *words)
        assert done.returncode == 2 and b"--privileged-port is for connecting, and without --stays" in done.stderr


def test_a_max_of_0(place):
    refused(place, "--max", "0", f"unix://{place}/from", "unix:///tmp/x", said="a max of 0 would let nobody in")


def test_longest_paths_fit(place):
    """What is added counts, and no byte more."""
    room = FITS - len(str(place)) - len("/_52")
    path = place / ("a" * room)
    rule = f"vsock-mux://:52{path}", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *rule), connect(f"{path}_52") as client, accept(server) as s:
        client.sendall(b"x")
        assert take(s, 1) == b"x"
    refused(place, f"vsock-mux://:52{path}a", f"unix://{place}/to", said="the path has 108 bytes with _52")


@pytest.mark.parametrize("line", ["unix:///a unix:///b\0 allow=uid=4242", "\0", "unix:///a\0", "# comment \0"])
def test_a_nul_in_a_file(place, line):
    """What stands behind it would be read by nobody: a rule for whom to accept, perhaps."""
    (place / "rules").write_text(f"unix://{place}/from unix:///b\n{line}\nunix:///c unix:///d\n")
    refused(place, "--rules", str(place / "rules"), said=f"{place}/rules:2: the line: has a NUL in it")


def test_the_last_line_needs_no_end(place):
    (place / "rules").write_text(f"unix://{place}/one unix://{place}/to\nunix://{place}/two unix://{place}/to")
    with listener(place / "to") as server, relay(place, "--rules", str(place / "rules"), ready="two"):
        connect(place / "two").close()
        accept(server).close()


# --- Sockets that are there already -----------------------------------------------------------------------------------


def test_descriptors_that_are_no_such_sockets(place):
    with open(place / "file", "w") as file, listener(place / "listens") as listening:
        datagrams, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with datagrams, other:
            for fd, said in (
                (file.fileno(), "is no socket of a stream or of messages"),
                (datagrams.fileno(), "is no socket of a stream or of messages"),
                (listening.fileno(), "that socket listens, and TO is connected to"),
            ):
                refused(place, f"unix://{place}/from", f"fd://{fd}", said=said, pass_fds=[fd])


def packets(place, name):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(str(place / name))
    s.listen()
    return s


LOST = "FROM has messages (seqpacket): in a stream they would lose their ends"


def test_messages_that_were_passed_on_and_a_stream(place):
    with packets(place, "door") as door:
        fd = door.fileno()
        refused(place, f"fd://{fd}", "unix:///tmp/x", said=LOST, pass_fds=[fd])
        refused(place, f"fd://{fd}", "tcp://127.0.0.1:1", said=LOST, pass_fds=[fd])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        fd = theirs.fileno()
        refused(place, f"fd://{fd}", "unix:///tmp/x", said=LOST, pass_fds=[fd])
        said = "TO has messages (seqpacket), and FROM is a stream"
        refused(place, f"unix://{place}/from", f"fd://{fd}", said=said, pass_fds=[fd])
        with running("relay", "-", "unix:///tmp/x", stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as inetd:
            assert inetd.wait(10) == 2
            assert LOST in inetd.stderr.read().decode()


def test_activation_by_messages_and_a_stream(place):
    with packets(place, "door") as door, listener(place / "stream") as stream:
        with activated(place, [door], "x", "activated", f"unix://{place}/to") as r:
            assert r.wait(10) == 2
            assert LOST in r.log()
        with activated(place, [door, stream], "x:y", "activated", f"unix://{place}/to") as r:
            assert r.wait(10) == 2
            assert "some of the sockets that were passed on have messages" in r.log()
