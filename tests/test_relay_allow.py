# SPDX-License-Identifier: MIT
# ruff: noqa: F811
"""`virtsock relay --allow`: whoever a client comes by, he is asked who he is; a source that cannot tell is refused at the start."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys

import pytest
from test_relay import accept, activated, connect, listener, place, relay  # noqa: F401
from test_tools import eventually, run, running

ME, OTHER = os.getuid(), os.getuid() + 4242
OTHERS = f"uid={OTHER}"


def end_of(client):
    """What one who is refused sees: an end, or a break, where there was something that nobody read."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        client.sendall(b"let me in")
        assert client.recv(100) == b""


def nobody_came(server):
    server.settimeout(0)
    with pytest.raises(BlockingIOError):
        server.accept()
    server.settimeout(30)


def counters(r):
    r.terminate()
    found = json.loads(r.communicate(timeout=20)[0].splitlines()[-1])[0]
    return {name: found[name] for name in ("accepted", "active", "refused")}


@contextlib.contextmanager
def passed_on(place, how, allow):
    """A client, and the relay that was given the other end of it: as inetd does, by number, as systemd does with Accept=yes."""
    with listener(place / "in") as door, connect(place / "in") as client, accept(door) as ours:
        to = f"unix://{place}/to"
        if how == "activated":
            with activated(place, [ours], "", "--allow", allow, "activated", to) as r:
                yield client, r
            return
        if how == "inetd":
            words, more = ["-", to], {"stdin": ours, "stdout": ours}
        else:
            words, more = [f"fd://{ours.fileno()}", to], {"pass_fds": [ours.fileno()]}
        with relay(place, "--allow", allow, *words, ready=None, **more) as r:
            ours.close()
            yield client, r


@pytest.mark.parametrize("how", ["inetd", "number", "activated"])
def test_a_client_that_is_passed_on_is_asked(place, how):
    with listener(place / "to") as server, passed_on(place, how, OTHERS) as (client, r):
        assert r.wait(10) == (1 if how == "inetd" else 0)
        nobody_came(server)
        assert f"refused, as no --allow admits it: a client of user {ME}" in r.log()


@pytest.mark.parametrize("how", ["inetd", "number", "activated"])
@pytest.mark.parametrize("allow", ["self", "local", f"uid={ME}"])
def test_a_client_that_is_passed_on_is_admitted(place, how, allow):
    with listener(place / "to") as server, passed_on(place, how, allow) as (client, r):
        with accept(server) as s:
            client.sendall(b"let me in")
            assert s.recv(9) == b"let me in"


def test_one_of_several_that_are_passed_on(place):
    """Who is refused keeps nobody else out, and sees an end though another holds his socket."""
    with listener(place / "in") as door, connect(place / "in") as client, accept(door) as ours, listener(place / "to") as server:
        with activated(place, [ours, door], "", "--allow", "self", "activated", f"unix://{place}/to"):
            for c in client, connect(place / "in"):
                with c, accept(server) as s:
                    c.sendall(b"x")
                    assert s.recv(1) == b"x"
        with connect(place / "in") as client, accept(door) as ours:
            with activated(place, [ours, door], "", "--allow", OTHERS, "activated", f"unix://{place}/to") as r:
                end_of(client)
                with connect(place / "in") as another:
                    end_of(another)
                eventually(lambda: r.log().count("refused, as no") == 2)
                nobody_came(server)


@pytest.mark.parametrize("rule", ["7", "3-9", "host", "parent", "local:privileged", "8ba03980-174a-43e7-852a-e5ec79a671c7"])
@pytest.mark.parametrize("how", ["listens", "inetd", "number"])
def test_what_a_socket_cannot_tell_is_refused(place, how, rule):
    if how == "listens":
        done = run("relay", "--allow", rule, f"unix://{place}/from", f"unix://{place}/to", timeout=20)
        assert (done.returncode, b"this source cannot tell" in done.stderr) == (2, True)
        assert not (place / "from").exists()
        return
    with passed_on(place, how, rule) as (_, r):
        assert r.wait(10) == 2
        assert "this source cannot tell" in r.log()


@pytest.mark.parametrize("rule", ["self", "local", "7"])
def test_tcp_tells_nothing(place, rule):
    done = run("relay", "--allow", rule, "tcp://127.0.0.1:any", f"unix://{place}/to", timeout=20)
    assert (done.returncode, b"this source cannot tell" in done.stderr) == (2, True)


def test_a_socket_that_cannot_tell_is_refused_before_another_rule_listens(place):
    (place / "rules").write_text(f"unix://{place}/first unix://{place}/to allow=self\ntcp://127.0.0.1:any unix://{place}/to allow=self\n")
    done = run("relay", "--rules", str(place / "rules"), timeout=20)
    assert (done.returncode, b"tcp://127.0.0.1:any: --allow self: this source cannot tell" in done.stderr) == (2, True)
    with listener(place / "door") as door:
        (place / "rules").write_text(f"unix://{place}/first unix://{place}/to\nfd://{door.fileno()} unix://{place}/to allow=7\n")
        with running("relay", "-v", "--rules", str(place / "rules"), pass_fds=[door.fileno()], stderr=subprocess.PIPE) as r:
            assert r.wait(10) == 2
            said = r.stderr.read().decode()
            assert "this source cannot tell a peer's CID" in said and f"listening on unix://{place}/first" not in said


@pytest.mark.parametrize("from_, rule, what", [
    ("unix://{place}/from", "7", "a peer's CID"), ("unix://{place}/from", "host", "whether a peer is the host"),
    ("unix://{place}/from", "parent", "whether a peer is the host"), ("unix://{place}/from", "local:privileged", "a peer's port"),
    ("unix://{place}/from", "8ba03980-174a-43e7-852a-e5ec79a671c7", "a peer's VM"),
    ("tcp://127.0.0.1:any", "self", "a peer's user"), ("tcp://127.0.0.1:any", "local", "whether a peer is local"),
])
def test_what_cannot_be_told_is_named(place, from_, rule, what):
    done = run("relay", "--allow", rule, from_.format(place=place), f"unix://{place}/to", timeout=20)
    assert done.stderr.decode().endswith(f"--allow {rule}: this source cannot tell {what}\n")


@pytest.mark.skipif(not os.path.exists("/proc/net/unix"), reason="names that are no paths are Linux's")
def test_a_listener_whose_name_is_no_address(place):
    """It was passed on, and is of UNIX all the same."""
    with socket.socket(socket.AF_UNIX) as door, listener(place / "to") as server, socket.socket(socket.AF_UNIX) as client:
        door.bind(f"\0{place.name}\0more")
        door.listen()
        with activated(place, [door], "", "--allow", "self", "activated", f"unix://{place}/to"):
            client.connect(door.getsockname())
            with accept(server) as s:
                client.sendall(b"x")
                assert s.recv(1) == b"x"


@pytest.mark.parametrize("words, why", [
    (["syslog:{place}/log", "unix://{place}/to"], "datagrams do not tell who sent them"),
    (["-", "unix://{place}/to"], "standard input is no socket"),
    (["--pass-fd", "-", "unix://{place}/to"], "standard input is no socket|no client of whom"),
])
def test_sources_that_tell_nothing_are_refused_before_anything_is_opened(place, words, why):
    (place / "rules").write_text(f"unix://{place}/first unix://{place}/to\n")
    words = [word.format(place=place) for word in words]
    more = [] if "--pass-fd" in words else ["--rules", str(place / "rules")]
    done = run("relay", "--allow", "self", *more, *words, timeout=20, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert any(one in done.stderr.decode() for one in why.split("|"))
    assert not (place / "first").exists() and not (place / "log").exists()


def test_a_line_of_its_own_for_what_can_be_asked(place):
    """Where datagrams go beside it: the rule is then no matter of theirs."""
    (place / "rules").write_text(f"syslog:{place}/log unix://{place}/to\nunix://{place}/from unix://{place}/to allow=self\n")
    with listener(place / "to") as server, relay(place, "--rules", str(place / "rules")):
        with connect(place / "from") as client, accept(server) as s:
            client.sendall(b"x")
            assert s.recv(1) == b"x"


def test_frames_are_asked_as_well(place):
    for allow, got in ((OTHERS, b""), ("self", struct.pack("<I", 4) + b"here")):
        with listener(place / "to") as server, relay(place, "--allow", allow, f"unix://{place}/from?half-close=framed", f"unix://{place}/to"):
            with connect(place / "from") as client:
                if got:
                    with accept(server) as s:
                        s.sendall(b"here")
                        assert client.recv(len(got), socket.MSG_WAITALL) == got
                else:
                    with contextlib.suppress(ConnectionResetError):
                        assert client.recv(100) == b""
                    nobody_came(server)
        (place / "to").unlink()


def test_the_refused_are_told_and_counted(place):
    words = "--stats", "--json", "--allow", OTHERS, f"unix://{place}/from", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *words, stdout=subprocess.PIPE) as r:
        for _ in range(3):
            with connect(place / "from") as client:
                end_of(client)
        eventually(lambda: r.log().count(f"unix://{place}/from: refused, as no --allow admits it: a client of user {ME} (process {os.getpid()})") == 3)
        nobody_came(server)
        assert counters(r) == {"accepted": 0, "active": 0, "refused": 3}


def test_the_refused_are_told_to_who_asks(place):
    """Without -v they are counted, and no line is written for each: anybody could fill a disk."""
    words = "--stats", "--allow", OTHERS, f"unix://{place}/from", f"unix://{place}/to"
    with running("relay", *words, stderr=subprocess.PIPE) as r:
        eventually((place / "from").exists)
        with connect(place / "from") as client:
            end_of(client)
        r.terminate()
        said = r.communicate(timeout=20)[1].decode()
    assert " refused 1 " in said and "no --allow" not in said


ASK = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
print("waits", flush=True)
s.sendall(b"x")
print(s.recv(1) == b"x", flush=True)
"""


@pytest.mark.skipif(ME != 0, reason="needs two users")
@pytest.mark.parametrize("crowd", [63, 64, 65, 200])
@pytest.mark.parametrize("drains", [False, True], ids=["serves", "drains"])
def test_a_crowd_of_refused_clients_keeps_nobody_out(place, crowd, drains):
    """More than are looked at in a row, and nobody comes after them."""
    os.chmod(place, 0o755)
    words = "--stats", "--json", "--threads", "1", "--mode", "666", "--allow", OTHERS, f"unix://{place}/from", f"unix://{place}/to"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listener(place / "to"))
        r = stack.enter_context(relay(place, *words, stdout=subprocess.PIPE))
        r.send_signal(signal.SIGSTOP)
        for _ in range(crowd):
            stack.enter_context(connect(place / "from"))
        asks = stack.enter_context(subprocess.Popen([sys.executable, "-c", ASK, str(place / "from"), str(OTHER)], stdout=subprocess.PIPE, text=True))
        assert asks.stdout.readline() == "waits\n"
        if drains:
            r.terminate()
        r.send_signal(signal.SIGCONT)
        with accept(server) as s:
            s.sendall(s.recv(1))
            assert asks.stdout.readline() == "True\n"
        assert asks.wait(20) == 0
        assert counters(r) == {"accepted": 1, "active": 0, "refused": crowd}
