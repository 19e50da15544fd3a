# SPDX-License-Identifier: MIT
# ruff: noqa: F811
"""`virtsock relay` as a guest in a house: descriptors, files and memory that it takes and leaves, sockets that others
share, what it says and how often, and who is served by whom."""

import array
import contextlib
import json
import os
import pty
import re
import resource
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
from test_relay import (  # noqa: F401
    MIB,
    accept,
    activated,
    connect,
    digest,
    echo_server,
    listener,
    place,
    relay,
    rss,
    sending,
)
from test_relay_ends import fill, take
from test_tools import TOOL, eventually, read_to_end, run, running

O_CLOEXEC, O_NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK


def flags_of(process, fd):
    return int(re.search(r"flags:\s+(\d+)", Path(f"/proc/{process.pid}/fdinfo/{fd}").read_text())[1], 8)


def descriptors(pid):
    """What each is, by number."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


def carry(sends, takes, pieces=3):
    """So much in all that a pipe is made for it, where one may be."""
    for _ in range(pieces):
        sends.sendall(MIB[:150000])
        assert take(takes, 150000) == MIB[:150000]


@contextlib.contextmanager
def traced(place, options, *words):
    """`virtsock relay -v WORDS` under strace with those options, once it is ready; its number. trace, log: what is
    said."""
    pidfile = place / "pid"
    trace = ["strace", "-f", "-o", str(place / "trace"), *options]
    command = [*trace, TOOL, "relay", "-v", "--pidfile", str(pidfile), *words]
    with open(place / "log", "wb") as err, subprocess.Popen(command, stderr=err) as process:
        try:
            eventually(lambda: process.poll() is not None or (pidfile.exists() and pidfile.read_text()), 30)
            pid = int(pidfile.read_text())
            yield pid
            os.kill(pid, signal.SIGTERM)
            process.wait(30)
        finally:
            process.kill()


def talk(path, server, data=b"hello"):
    """There and back, of an echo or a program that is `server`."""
    with connect(path) as client, accept(server) as s:
        client.sendall(data)
        assert take(s, len(data)) == data
        s.sendall(data)
        assert take(client, len(data)) == data


def test_a_pidfile_that_cannot_be_written_leaves_no_other(place, need):
    """It is written beside its name, which it takes then."""
    need(shutil.which("strace"), "strace is not installed")
    trace = ["strace", "-f", "-o", "/dev/null", "-e", "inject=ftruncate:error=ENOSPC"]
    words = "--pidfile", str(place / "pid"), f"unix://{place}/from", f"unix://{place}/to"
    done = subprocess.run([*trace, TOOL, "relay", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "No space left on device" in done.stderr
    assert list(place.glob("pid.*")) == []


# --- Descriptors ------------------------------------------------------------------------------------------------------


def test_nothing_is_inherited_by_programs(place):
    """In every part of the relay: sockets that were passed on, pipes, both ends, datagrams, standard input's pair."""
    froms = "activated", f"syslog:{place}/log.sock", "-"
    (place / "rules").write_text("".join(f"{from_} unix://{place}/to\n" for from_ in froms))
    with listener(place / "to") as server, listener(place / "door") as door:
        with activated(place, [door], "x", "--rules", str(place / "rules")) as r:
            with accept(server), connect(place / "door") as client, accept(server) as s:
                sender = threading.Thread(target=client.sendall, args=[MIB])
                sender.start()
                assert len(take(s, 600000)) == 600000  # what goes on is in a pipe
                kinds = descriptors(r.pid)
                assert {re.sub(r"\W.*", "", kind) for kind in kinds.values()} >= {"socket", "pipe", "anon_inode"}
                kinds.pop(door.fileno())  # where the manager of this test had it
                assert [fd for fd in kinds if fd > 2 and not flags_of(r, fd) & O_CLOEXEC] == []
                take(s, len(MIB) - 600000)
                sender.join(30)


def test_soft_limit_is_raised(place):
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    words = f"unix://{place}/from", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *words, preexec_fn=lower) as r:
        talk(place / "from", server)
        soft, hard = resource.prlimit(r.pid, resource.RLIMIT_NOFILE)
        assert soft == hard


def test_a_conversation_that_waits_holds_no_pipe(place):
    """It takes two descriptors, however much it has moved."""
    with (
        contextlib.ExitStack() as stack,
        listener(place / "to") as server,
        relay(place, "--threads", "1", f"unix://{place}/from", f"unix://{place}/to") as r,
    ):
        before = len(descriptors(r.pid))
        for _ in range(10):
            client = stack.enter_context(connect(place / "from"))
            s = stack.enter_context(accept(server))
            carry(client, s)
        eventually(lambda: len(descriptors(r.pid)) <= before + 2 * 10 + 2)  # and one pipe, which all of them had


def test_only_one_null_device_per_standard_descriptor(place):
    with running("relay", "-detach", f"unix://{place}/from", f"unix://{place}/to") as r:
        eventually((place / "from").exists)
        eventually(lambda: [fd for fd, kind in sorted(descriptors(r.pid).items()) if kind == "/dev/null"] == [0, 1, 2])


# --- Sockets that others share ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["from", "to"])
def test_a_shared_socket_is_left_as_it_is(place, end):
    """Whether it blocks is the flag of all who have it; and it blocks no other conversation."""
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    theirs.setblocking(True)
    fd = f"fd://{theirs.fileno()}"
    once = f"{fd} unix://{place}/to" if end == "from" else f"unix://{place}/once {fd}"
    (place / "rules").write_text(f"{once}\nunix://{place}/from unix://{place}/to\n")
    words = "--threads", "1", "--rules", str(place / "rules")
    with ours, theirs, listener(place / "to") as server, relay(place, *words, pass_fds=[theirs.fileno()]) as r:
        eventually((place / "from").exists)
        with accept(server) if end == "from" else connect(place / "once") as peer:
            carry(peer, ours)
            carry(ours, peer)
            fill(peer)
            talk(place / "from", server)
            assert theirs.getblocking() and not flags_of(r, theirs.fileno()) & O_NONBLOCK
        with contextlib.suppress(ConnectionResetError):
            while ours.recv(65536):
                pass


def test_a_terminal_is_no_inetd(place):
    """Standard input and output are one file, but no socket."""
    main, terminal = pty.openpty()
    with listener(place / "to") as server:
        with running("relay", "-", f"unix://{place}/to", stdin=terminal, stdout=terminal, stderr=subprocess.PIPE):
            os.close(terminal)
            with accept(server) as s:
                os.write(main, b"question\n")
                assert take(s, 9) == b"question\n"
                s.sendall(b"answer")
                got = b""
                while b"answer" not in got:
                    got += os.read(main, 100)
    os.close(main)


def test_two_sockets_are_no_inetd(place):
    """As a program has them that makes a pair for each direction: the answer goes to the other one."""
    (asks, stdin), (hears, stdout) = socket.socketpair(), socket.socketpair()
    with asks, hears, listener(place / "to") as server:
        hears.settimeout(30)
        with running("relay", "-", f"unix://{place}/to", stdin=stdin, stdout=stdout) as r:
            stdin.close()
            stdout.close()
            with accept(server) as s:
                asks.sendall(b"question")
                asks.shutdown(socket.SHUT_WR)
                assert read_to_end(s) == b"question"
                s.sendall(b"answer")
            assert read_to_end(hears) == b"answer"
            assert r.wait(10) == 0


def test_a_descriptor_is_passed_once_there_is_room(place):
    """Over a socket that others made non-blocking, and that is full."""
    ours, theirs = socket.socketpair()
    with ours, listener(place / "to") as server:
        ours.settimeout(30)
        theirs.setblocking(False)
        fill(theirs, 0)
        theirs.setblocking(False)
        with running("relay", "--pass-fd", "-", f"unix://{place}/to", stdout=theirs, stderr=subprocess.PIPE) as r:
            theirs.close()
            with accept(server) as s:
                control = []
                while not control:
                    _, control, _, _ = ours.recvmsg(65536, socket.CMSG_SPACE(4))
                assert (r.wait(10), r.stderr.read()) == (0, b"")
                with socket.socket(fileno=array.array("i", control[0][2])[0]) as passed:
                    passed.sendall(b"through")
                    assert take(s, 7) == b"through"


# --- Files ------------------------------------------------------------------------------------------------------------


def test_an_old_pid_file_is_written_anew(place):
    """None of a longer number stays, and none of its permissions."""
    pidfile = place / "pid"
    pidfile.write_text("1234567890123456789\n")
    pidfile.chmod(0o666)
    with relay(place, "--pidfile", str(pidfile), f"unix://{place}/from", f"unix://{place}/to") as r:
        eventually(lambda: pidfile.read_text() == f"{r.pid}\n")
        assert stat.S_IMODE(pidfile.stat().st_mode) == 0o600


def test_a_pid_file_is_nobody_else_s(place):
    """A link that stands there is not followed, and nobody can read a new one before its mode is right."""
    (place / "precious").write_text("precious")
    (place / "link").symlink_to(place / "precious")
    done = run("relay", "--pidfile", str(place / "link"), f"unix://{place}/from", f"unix://{place}/to")
    said = f"virtsock: {place}/link: Too many levels of symbolic links\n"
    assert (done.returncode, done.stderr.decode()) == (1, said)
    assert (place / "precious").read_text() == "precious"


def test_a_pid_file_is_0600_from_birth(place, need):
    need(shutil.which("strace"), "strace is not installed")
    with traced(place, ["-e", "trace=openat,open"], f"unix://{place}/from", f"unix://{place}/to"):
        pass
    assert re.search(rf'"{place}/pid\.\d+", \S+O_EXCL\S+, 0600\)', (place / "trace").read_text())


def test_no_socket_can_be_taken_along(place, need):
    """By a program that another thread starts in the moment after it was made."""
    need(shutil.which("strace"), "strace is not installed")
    words = f"syslog:{place}/log.sock", f"unix://{place}/to"
    with traced(place, ["-e", "trace=socket,socketpair"], *words):
        pass
    calls = [line for line in (place / "trace").read_text().splitlines() if "socket(" in line or "socketpair(" in line]
    assert any("socketpair(" in line for line in calls) and any("SOCK_DGRAM" in line for line in calls)
    assert [line for line in calls if "SOCK_CLOEXEC" not in line] == []


@pytest.mark.parametrize("writes", ["as we do", "over it"])
def test_the_pid_file_of_the_next_instance_stays(place, writes):
    """Which has begun while this one still drains."""
    pidfile = place / "pid"
    words = "--drain", "forever", "--pidfile", str(pidfile), f"unix://{place}/from", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *words) as a:
        eventually(lambda: pidfile.exists())
        with connect(place / "from"), accept(server):
            a.terminate()
            eventually(lambda: not (place / "from").exists())
            if writes == "over it":
                pidfile.write_text("1\n")
                assert pidfile.read_text() == "1\n"
            else:
                with relay(place, *words[:-2], f"unix://{place}/from2", f"unix://{place}/to") as b:
                    eventually(lambda: pidfile.read_text() == f"{b.pid}\n")
                    shutil.copy(pidfile, place / "copy")
                    (place / "copy").rename(pidfile)  # it is another's with the same number, but not this one's
                assert pidfile.exists()
        assert a.wait(10) == 0
    assert pidfile.exists()
    assert sorted(file.name for file in place.glob("pid*")) == ["pid"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs a folder of another's")
def test_a_pid_file_in_a_folder_of_another_s(place):
    """As /run has it for a service that is no user of its own there: the file is all that it may write."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        pidfile = Path(folder) / "pid"
        pidfile.write_text("1234567890123456789\n")
        os.chown(pidfile, 65534, 65534)
        os.chmod(place, 0o777)
        words = "--pidfile", str(pidfile), f"unix://{place}/from", f"unix://{place}/to"
        with relay(place, *words, user=65534) as r:
            eventually(lambda: pidfile.read_text() == f"{r.pid}\n")


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "socket"])
def test_what_is_no_file_is_no_pid_file(place, kind):
    """It is left alone, and nobody waits for who might read it."""
    where = Path("/dev/null") if kind == "device" else place / "there"
    if kind == "fifo":
        os.mkfifo(where)
    elif kind == "directory":
        where.mkdir()
    elif kind == "socket":
        listener(where).close()
    done = run("relay", "--pidfile", str(where), f"unix://{place}/from", f"unix://{place}/to", timeout=20)
    said = f"virtsock: {where}: something stands there that is no file, which a pidfile is\n"
    assert (done.returncode, done.stderr.decode()) == (1, said)
    assert where.exists()
    assert not (place / "from").exists()


def test_a_pid_file_that_is_a_fifo_by_now_is_not_waited_for(place):
    """Nobody writes to it, ever."""
    pidfile = place / "pid"
    with relay(place, "--pidfile", str(pidfile), f"unix://{place}/from", f"unix://{place}/to") as r:
        eventually(lambda: pidfile.exists() and pidfile.read_text() == f"{r.pid}\n")
        pidfile.unlink()
        os.mkfifo(pidfile)
        r.terminate()
        assert r.wait(10) == 0
    assert pidfile.is_fifo()


@pytest.mark.skipif(os.getuid() != 0, reason="needs a file of another's")
def test_a_pid_file_whose_place_cannot_be_taken_leaves_nothing_beside_it(place):
    """As in /tmp, where nobody removes what is another's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o1777)
        pidfile = Path(folder) / "pid"
        pidfile.write_text("1\n")
        pidfile.chmod(0o666)
        os.chmod(place, 0o777)
        done = run("relay", "--pidfile", str(pidfile), f"unix://{place}/from", f"unix://{place}/to", user=65534, timeout=20)
        assert done.returncode == 1 and str(pidfile) in done.stderr.decode()
        assert os.listdir(folder) == ["pid"]


@pytest.mark.parametrize("what", ["socket", "file"])
def test_a_datagram_socket_that_is_another_s_by_now_stays(place, what):
    with relay(place, f"syslog:{place}/log", f"unix://{place}/to", ready="datagrams at") as r:
        (place / "log").unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            if what == "socket":
                other.bind(str(place / "log"))
            else:
                (place / "log").write_text("precious")
            r.terminate()
            assert r.wait(10) == 0
    assert (place / "log").exists()


def test_an_abstract_datagram_socket_is_no_file(place):
    name = f"@{place.name}"
    (place / name).write_text("precious")
    with relay(place, f"syslog:{name}", f"unix://{place}/to", ready="datagrams at", cwd=place) as r:
        r.terminate()
        assert r.wait(10) == 0
    assert (place / name).read_text() == "precious"


@pytest.mark.parametrize("what", ["file", "link", "stream"])
def test_what_is_no_stale_datagram_socket_stays(place, what):
    path = place / "log.sock"
    with contextlib.ExitStack() as stack:
        if what == "file":
            path.write_text("precious")
        elif what == "link":
            path.symlink_to(place / "nowhere")
        else:
            stack.enter_context(listener(path))
        done = run("relay", f"syslog:{path}", f"unix://{place}/to")
        assert (done.returncode, done.stderr.decode()) == (1, f"virtsock: syslog:{path}: Address already in use\n")
        assert path.is_symlink() or path.exists()
        if what == "file":
            assert path.read_text() == "precious"
        elif what == "stream":
            connect(path).close()


# --- Memory and time --------------------------------------------------------------------------------------------------


def test_a_reader_that_stalls_again_and_again_costs_no_memory(place):
    """What waits for room has a place of its own; messages are copied all along."""
    kind = socket.SOCK_SEQPACKET
    with (
        socket.socket(socket.AF_UNIX, kind) as server,
        socket.socket(socket.AF_UNIX, kind) as client,
        relay(place, f"unix://{place}/from?type=seqpacket", f"unix://{place}/to?type=seqpacket") as r,
    ):
        server.bind(str(place / "to"))
        server.listen()
        server.settimeout(30)
        client.settimeout(30)
        client.connect(str(place / "from"))
        with accept(server) as s:

            def cost_of(rounds):
                for _ in range(rounds):
                    for _ in range(fill(client, 0.01) // 65536):
                        assert len(s.recv(65536)) == 65536
                return rss(r)

            first, last = cost_of(10), cost_of(60)
        if "san/" not in TOOL:  # sanitizers keep much of their own
            assert last - first < 2**20


def test_readers_that_stall_cost_little(place):
    """16 KiB are taken at once while bytes are copied: so much at most is kept for each."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listener(place / "to"))
        r = stack.enter_context(relay(place, "--threads", "1", f"unix://{place}/from", f"unix://{place}/to"))
        clients = []
        for _ in range(60):
            clients.append(stack.enter_context(connect(place / "from")))
            stack.enter_context(accept(server))
        before = rss(r)
        for client in clients:
            fill(client, 0)
        for client in clients:
            fill(client, 0.02)
        fill(clients[-1])
        if "san/" not in TOOL:
            assert rss(r) - before < len(clients) * 32768


# --- How bytes are moved ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size, from_, to, splices",
    [
        (len(MIB), "unix", "unix", True),
        (len(MIB), "tcp", "unix", True),
        (len(MIB), "unix", "tcp", False),
        (100000, "unix", "unix", False),
    ],
)
def test_the_kernel_moves_what_goes_on(place, need, size, from_, to, splices):
    """Short conversations, and what goes to TCP, are copied."""
    need(shutil.which("strace"), "strace is not installed")
    source = f"unix://{place}/from" if from_ == "unix" else "tcp://127.0.0.1:any"
    with listener(place / "to") if to == "unix" else socket.create_server(("127.0.0.1", 0)) as server:
        target = f"unix://{place}/to" if to == "unix" else "tcp://127.0.0.1:%d" % server.getsockname()[1]
        with traced(place, ["-e", "trace=splice"], source, target):
            port = re.search(r"listening on tcp://127.0.0.1:(\d+)", (place / "log").read_text())
            enter = socket.create_connection(("127.0.0.1", int(port[1])), 30) if port else connect(place / "from")
            with enter as client, accept(server) as s, sending(client, MIB[:size]):
                assert digest(read_to_end(s)) == digest(MIB[:size])
    assert ("splice(" in (place / "trace").read_text()) == splices


def test_what_a_pipe_cannot_carry_is_copied(place, need):
    """A socket of which the kernel cannot splice: it is given up for that conversation, with the pipe."""
    need(shutil.which("strace"), "strace is not installed")
    options = ["-e", "trace=splice", "-e", "inject=splice:error=EINVAL"]
    words = "--threads", "1", f"unix://{place}/from", f"unix://{place}/to"
    with listener(place / "to") as server, traced(place, options, *words) as pid:
        for _ in range(3):
            with connect(place / "from") as client, accept(server) as s, sending(client, MIB):
                assert digest(read_to_end(s)) == digest(MIB)
        pipes = [fd for fd, kind in descriptors(pid).items() if kind.startswith("pipe:") and fd > 2]
        assert len(pipes) <= 2


# --- Who is served, and by whom ---------------------------------------------------------------------------------------


def test_a_crowd_that_waits_is_let_in(place):
    """More than are accepted in a row, and nobody comes after them."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listener(place / "to"))
        echo_server(server)
        r = stack.enter_context(relay(place, f"unix://{place}/from", f"unix://{place}/to"))
        with connect(place / "from") as client:  # it has begun to look at the door
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        r.send_signal(signal.SIGSTOP)
        clients = [stack.enter_context(connect(place / "from")) for _ in range(100)]
        r.send_signal(signal.SIGCONT)
        for client in clients:
            client.sendall(b"x")
        for client in clients:
            assert client.recv(1) == b"x"


def watched(process):
    """How many descriptors each thread's loop looks at, as the kernel tells it."""
    found = []
    for fd, kind in descriptors(process.pid).items():
        if kind == "anon_inode:[eventpoll]":
            found.append(Path(f"/proc/{process.pid}/fdinfo/{fd}").read_text().count("tfd:"))
    return sorted(found)


def test_clients_are_dealt_out_evenly(place):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listener(place / "to"))
        r = stack.enter_context(relay(place, "--threads", "3", f"unix://{place}/from", f"unix://{place}/to"))
        eventually(lambda: watched(r) == [1, 1, 3])  # what wakes each, the door, and who tells that its socket was removed
        for _ in range(6):
            stack.enter_context(connect(place / "from"))
            stack.enter_context(accept(server))
        eventually(lambda: watched(r) == [5, 5, 7])  # two conversations each


def test_that_descriptors_ran_out_is_told_once_each_time(place):
    words = "--threads", "1", f"unix://{place}/from", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *words) as r:
        echo_server(server)

        def enter():
            client = connect(place / "from")
            client.sendall(b"x")
            return client

        def told():
            return r.log().count("no descriptor left")

        def is_told_again():
            """Once there was room, and nobody waited."""
            with enter() as client:
                assert client.recv(1) == b"x"
            time.sleep(0.2)
            return told() == 2

        with enter() as first:
            assert first.recv(1) == b"x"
            most = max(descriptors(r.pid)) + 1
            resource.prlimit(r.pid, resource.RLIMIT_NOFILE, (most, most))
            second = enter()
            eventually(lambda: told() == 1)
            time.sleep(0.5)  # it is tried ten times a second
            assert told() == 1
        with second:
            assert second.recv(1) == b"x"
        eventually(is_told_again, 30)


def test_a_client_that_leaves_while_descriptors_lack_keeps_nobody_out(place):
    """It had been accepted, and there was no descriptor for TO."""
    words = "--threads", "1", f"unix://{place}/from", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *words) as r:
        with connect(place / "from") as first, accept(server):
            eventually(lambda: "client 1 of" in r.log())
            most = max(descriptors(r.pid)) + 2  # one is left
            resource.prlimit(r.pid, resource.RLIMIT_NOFILE, (most, most))
            with connect(place / "from"):
                eventually(lambda: "client 2 of" in r.log())
            eventually(lambda: "it left before it was connected" in r.log())
            first.sendall(b"x")
        talk(place / "from", server)


@pytest.mark.parametrize("framed", ["from", "to"])
def test_frames_are_counted(place, framed):
    query = "?half-close=framed"
    from_, to = (f"unix://{place}/{name}" + query * (framed == name) for name in ("from", "to"))
    with running("cat", "-l", "--echo", "-v", to, stderr=subprocess.PIPE) as server:
        server.stderr.readline()
        with relay(place, "--json", "--stats", from_, to, stdout=subprocess.PIPE) as r:
            assert run("cat", from_, input=MIB).stdout == MIB
            eventually(lambda: f": {len(MIB)} bytes, {len(MIB)} back\n" in r.log())
            r.terminate()
            [counted] = json.loads(r.stdout.readline())
    assert (counted["bytes"], counted["bytes_back"], counted["active"]) == (len(MIB), len(MIB), 0)
