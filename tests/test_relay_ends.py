# SPDX-License-Identifier: MIT
# ruff: noqa: F811
"""`virtsock relay`: conversations that end in a state of their own (before TO is there, with a reader that stalls, with
bytes that nobody takes, while it is asked to end), and that what one leaves behind is not another's."""

import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest
from test_relay import MIB, accept, connect, digest, listener, place, relay, sending  # noqa: F401
from test_tools import TOOL, eventually, read_to_end, running


def waiting(s):
    """Bytes that lie there to be received."""
    return struct.unpack("i", fcntl.ioctl(s, termios.FIONREAD, bytes(4)))[0]


def take(s, size):
    data = b""
    while len(data) < size and (part := s.recv(size - len(data))):
        data += part
    return data


def fill(s, seconds=0.3):
    """Sends until for so long neither the relay nor its peer has taken anything. How much."""
    sent, last = 0, time.monotonic()
    s.setblocking(False)
    while True:
        try:
            sent += s.send(MIB[:65536])
            last = time.monotonic()
        except BlockingIOError:
            if time.monotonic() >= last + seconds:
                break
            time.sleep(0.01)
    s.settimeout(30)
    return sent


def takes_no_more(s):
    """Asked by a send, without the poll of a timeout: that does not tell it of a full queue."""
    s.setblocking(False)
    try:
        s.send(b"x")
    except (BlockingIOError, BrokenPipeError) as error:
        return isinstance(error, BrokenPipeError)
    finally:
        s.settimeout(30)


def port_of(r):
    return int(re.search(r"listening on tcp://127.0.0.1:(\d+)", r.log())[1])


def events_of(s, seconds=10):
    poll = select.poll()
    poll.register(s, 0)
    return [event for _, event in poll.poll(seconds * 1000)]


@contextlib.contextmanager
def conversation(path, server):
    """A client and what the relay has connected it to."""
    with connect(path) as client, accept(server) as s:
        yield client, s


# --- Before TO is there -----------------------------------------------------------------------------------------------


def test_client_that_has_gone_is_gone_for_a_target_that_comes_later(place):
    """Its bytes are worth the wait; that nobody takes an answer any more must be seen by a target that says nothing."""
    with relay(place, "--wait", "forever", f"unix://{place}/from", f"unix://{place}/to") as r:
        with connect(place / "from") as client:
            client.sendall(b"last words")
            eventually(lambda: "client 1 of" in r.log())
        time.sleep(0.1)  # the relay hears of it before there is a target, or after: both are to end alike
        with listener(place / "to") as server, accept(server) as s:
            assert read_to_end(s) == b"last words"
            assert events_of(s) == [select.POLLHUP]
        eventually(lambda: ": 10 bytes, 0 back\n" in r.log())


# --- A reader that stalls ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["client", "server"])
def test_a_reader_that_gives_up_is_told_to_a_sender_that_waits(place, reader):
    """No event tells that of a peer whose queue is full: a sender that waits is tried again."""
    with listener(place / "to") as server, relay(place, f"unix://{place}/from", f"unix://{place}/to"):
        with conversation(place / "from", server) as (client, s):
            reads, sends = (client, s) if reader == "client" else (s, client)
            fill(sends)
            reads.shutdown(socket.SHUT_RD)
            eventually(lambda: takes_no_more(sends), 30)
            reads.sendall(b"the other direction goes on")
            assert sends.recv(100) == b"the other direction goes on"


def test_what_there_is_room_for_is_delivered_at_the_end(place):
    """A reader that has made some room, but not so much that an event tells of it, when all is cut. Thrice, since a
    look at senders that wait may come in between, and find the room as well."""
    words = "--drain", "0", f"unix://{place}/from", f"unix://{place}/to"
    for _ in range(3):
        with listener(place / "to") as server, relay(place, *words) as r:
            with conversation(place / "from", server) as (client, s):
                fill(client)
                there, got = waiting(s), len(s.recv(60000))
                r.terminate()
                assert r.wait(10) == 0
                with contextlib.suppress(ConnectionResetError):
                    while part := s.recv(65536):
                        got += len(part)
                assert got > there
        (place / "to").unlink()


# --- What is not to be taken for an end -------------------------------------------------------------------------------


def test_silence_is_idle_only_once_its_time_has_passed(place):
    """From the beginning of a conversation in which nothing has moved yet."""
    with listener(place / "to") as server, relay(place, "--idle", "1", f"unix://{place}/from", f"unix://{place}/to"):
        begun = time.monotonic()
        with conversation(place / "from", server) as (client, _):
            assert client.recv(1) == b""
            assert time.monotonic() - begun >= 1


def test_a_client_that_has_waited_may_be_idle_as_well(place):
    words = "--idle", "0.3", "--wait", "forever", f"unix://{place}/from", f"unix://{place}/to"
    with relay(place, *words) as r, connect(place / "from") as client:
        eventually(lambda: "client 1 of" in r.log())
        time.sleep(0.5)  # this is not
        assert "too long" not in r.log()
        with listener(place / "to") as server, accept(server):
            assert client.recv(1) == b""
            eventually(lambda: "then nothing for too long" in r.log())


def test_what_has_moved_once_may_be_idle_as_well(place):
    words = "--idle", "0.3", f"unix://{place}/from", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *words) as r:

        def is_ended():
            """Unless that was before its byte came."""
            with conversation(place / "from", server) as (client, _):
                with contextlib.suppress(BrokenPipeError):
                    client.sendall(b"x")
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""
            return "1 bytes, 0 back, then nothing for too long" in r.log()

        eventually(is_ended, 60)


@pytest.mark.parametrize("ending", ["cut", "idle", "unreached"])
def test_what_is_no_end_is_a_break_for_tcp(place, ending):
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = "tcp://127.0.0.1:%d" % server.getsockname()[1]
        limits = ["--idle", "0.3"] if ending == "idle" else ["--drain", "0"]
        with relay(place, *limits, "tcp://127.0.0.1:any", target) as r:
            if ending == "unreached":
                server.close()
                with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", port_of(r)), timeout=30) as client:
                    client.recv(1)  # on a busy machine the connection itself is late enough to be told
                return
            with socket.create_connection(("127.0.0.1", port_of(r)), timeout=30) as client, accept(server) as s:
                if ending == "cut":
                    r.terminate()
                for end in client, s:
                    with pytest.raises(ConnectionResetError):
                        end.recv(1)


def breaks(s):
    """Closes with a reset."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def test_a_break_in_mid_answer_while_the_client_sends(place):
    """The system tells of a reset once: to the send that comes first, mostly."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = "tcp://127.0.0.1:%d" % server.getsockname()[1]
        with relay(place, "--threads", "1", "--stats", "--json", "tcp://127.0.0.1:any", target, stdout=subprocess.PIPE) as r:
            for number in range(1, 9):
                with socket.create_connection(("127.0.0.1", port_of(r)), timeout=30) as client:
                    s = accept(server)
                    client.sendall(b"request")
                    take(s, 7)
                    s.sendall(b"half an answer")
                    assert take(client, 14) == b"half an answer"
                    client.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        for _ in range(100):
                            client.send(MIB[:65536])
                    breaks(s)
                    eventually(lambda n=number: r.log().count("then the connection broke") == n)
                    client.settimeout(30)
                    with pytest.raises(ConnectionResetError):
                        client.recv(1)
            r.terminate()
            assert json.loads(r.communicate(timeout=20)[0])[0]["broken"] == 8


@pytest.mark.parametrize("code", ["ENOMEM", "ENOBUFS"])
def test_a_send_for_which_the_system_has_nothing_loses_nothing_in_silence(place, code):
    trace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=sendto", "-e", f"inject=sendto:error={code}:when=4"]
    if shutil.which("strace") is None or subprocess.run([*trace, "true"], capture_output=True).returncode != 0:
        pytest.skip("strace is not there, or may not trace")
    with socket.create_server(("127.0.0.1", 0)) as server, open(place / "log", "wb") as log:
        target = "tcp://127.0.0.1:%d" % server.getsockname()[1]
        command = [*trace, TOOL, "relay", "-v", "--threads", "1", "tcp://127.0.0.1:any", target]
        with subprocess.Popen(command, stderr=log) as r:
            try:
                r.log = (place / "log").read_text
                eventually(lambda: "listening on" in r.log())
                with socket.create_connection(("127.0.0.1", port_of(r)), timeout=30) as client, accept(server) as s:
                    for _ in range(3):
                        client.sendall(b"x")
                        assert s.recv(1) == b"x"
                    client.sendall(b"this may be lost")
                    for end in client, s:
                        with pytest.raises(ConnectionResetError):
                            take(end, 100)
                    eventually(lambda: "then the connection broke" in r.log())
            finally:
                subprocess.run(["pkill", "-TERM", "-P", str(r.pid)], check=False)
                r.wait(20)


def test_a_break_in_the_middle_of_a_frame(place):
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = "tcp://127.0.0.1:%d" % server.getsockname()[1]
        with relay(place, "tcp://127.0.0.1:any?half-close=framed", target) as r:
            with socket.create_connection(("127.0.0.1", port_of(r)), timeout=30) as client, accept(server) as s:
                client.sendall(struct.pack("<I", 100) + b"half a frame")
                assert take(s, 12) == b"half a frame"
                breaks(client)
                with pytest.raises(ConnectionResetError):
                    s.recv(1)
                eventually(lambda: "then the connection broke" in r.log())


def test_a_break_says_no_end_in_frames(place):
    """The client of frames sees that its socket ends with neither ShutdownWrite nor Close."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = "tcp://127.0.0.1:%d" % server.getsockname()[1]
        with relay(place, "tcp://127.0.0.1:any?half-close=framed", target) as r:
            with socket.create_connection(("127.0.0.1", port_of(r)), timeout=30) as client, accept(server) as s:
                client.sendall(struct.pack("<I", 7) + b"request")
                assert take(s, 7) == b"request"
                s.sendall(b"half an answer")
                assert take(client, 18) == struct.pack("<I", 14) + b"half an answer"
                breaks(s)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(100) == b""
                eventually(lambda: "then the connection broke" in r.log())


SHUT_WRITE, CLOSE = bytes.fromhex("addeefbe"), bytes.fromhex("addeadde")


@pytest.mark.parametrize("first", ["client", "server"])
def test_frames_end_by_close(place, first):
    """As ocaml-hvsock's ends do: nobody's socket ends before both have said Close."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = "tcp://127.0.0.1:%d" % server.getsockname()[1]
        with relay(place, "--stats", "--json", "tcp://127.0.0.1:any?half-close=framed", target, stdout=subprocess.PIPE) as r:
            with socket.create_connection(("127.0.0.1", port_of(r)), timeout=30) as client, accept(server) as s:
                client.sendall(struct.pack("<I", 7) + b"request")
                assert take(s, 7) == b"request"
                if first == "client":
                    client.sendall(SHUT_WRITE)
                    assert s.recv(1) == b""
                s.sendall(b"answer")
                assert take(client, 10) == struct.pack("<I", 6) + b"answer"
                s.shutdown(socket.SHUT_WR)
                assert take(client, 4) == SHUT_WRITE
                if first == "server":
                    client.sendall(struct.pack("<I", 4) + b"more" + SHUT_WRITE)
                    assert read_to_end(s) == b"more"
                assert take(client, 4) == CLOSE
                client.sendall(CLOSE)
                assert client.recv(1) == b""
            r.terminate()
            counts = json.loads(r.communicate(timeout=20)[0])[0]
            assert (counts["broken"], counts["bytes_back"]) == (0, 6)


def test_frames_wait_for_a_peer_that_reads_late(place):
    """Whose own Close meets no broken pipe, though the client has long gone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = "tcp://127.0.0.1:%d?half-close=framed" % server.getsockname()[1]
        with relay(place, "--stats", "--json", f"unix://{place}/from", target, stdout=subprocess.PIPE) as r:
            with connect(place / "from") as client:
                s = accept(server)
                client.sendall(b"request")
            with s:
                time.sleep(2)                   # longer than a close waits by itself
                assert take(s, 19) == struct.pack("<I", 7) + b"request" + SHUT_WRITE + CLOSE
                s.setblocking(False)
                with pytest.raises(BlockingIOError):
                    s.recv(1)
                s.settimeout(30)
                s.sendall(CLOSE)
                assert s.recv(1) == b""
            r.terminate()
            assert json.loads(r.communicate(timeout=20)[0])[0]["broken"] == 0


def test_frames_are_counted_while_it_runs(place):
    with listener(place / "to") as server, relay(place, f"unix://{place}/from?half-close=framed", f"unix://{place}/to") as r:
        with connect(place / "from") as client, accept(server) as s:
            client.sendall(struct.pack("<I", 7) + b"request")
            assert take(s, 7) == b"request"
            eventually(lambda: r.send_signal(signal.SIGUSR1) or " bytes 7 bytes_back 0" in r.log())      # counted once they have left
        eventually(lambda: "client 1 of" in r.log() and ": 7 bytes" in r.log())


def test_input_that_cannot_be_read_is_no_end(place):
    folder = os.open(place, os.O_RDONLY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = "tcp://127.0.0.1:%d" % server.getsockname()[1]
        with relay(place, "-", target, ready=None, stdin=folder) as r:
            with accept(server) as s, pytest.raises(ConnectionResetError):
                s.recv(1)
            assert r.wait(10) == 1
    os.close(folder)


# --- What one leaves behind -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["gives up", "idle", "cut short"])
def test_bytes_that_nobody_took_are_not_another_s(place, ending):
    """A conversation of much is carried by a pipe of the kernel, and pipes are used again."""
    limit = "idle=1" if ending == "idle" else ""
    (place / "rules").write_text(f"unix://{place}/a unix://{place}/to {limit}\nunix://{place}/b unix://{place}/to\n")
    with listener(place / "to") as server, relay(place, "--threads", "1", "--rules", str(place / "rules")) as r:
        eventually(lambda: r.log().count("listening on") == 2)
        for number in range(1, 4):
            broken = contextlib.suppress(BrokenPipeError, ConnectionResetError)
            with conversation(place / "a", server) as (client, s), broken:
                for _ in range(3):  # by now there is a pipe
                    client.sendall(MIB[:150000])
                    take(s, 150000)
                fill(client)
                if ending == "gives up":
                    s.shutdown(socket.SHUT_RD)
                elif ending == "idle":
                    eventually(lambda n=number: r.log().count("then nothing for too long") == n)
            with conversation(place / "b", server) as (client, s), sending(client, MIB):
                assert digest(read_to_end(s)) == digest(MIB)


# --- Targets that can be had once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["fd", "standard"])
def test_a_target_that_can_be_had_once_takes_one_client(place, to):
    """Then nobody is let in, and it ends with that conversation."""
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    address = f"fd://{theirs.fileno()}" if to == "fd" else "-"
    more = {"pass_fds": [theirs.fileno()], "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with ours, relay(place, f"unix://{place}/from", address, **more) as r:
        theirs.close()
        with connect(place / "from") as client:
            client.sendall(b"first")
            assert (ours.recv(5) if to == "fd" else os.read(r.stdout.fileno(), 5)) == b"first"
            eventually(lambda: not (place / "from").exists())
            with pytest.raises(OSError):
                connect(place / "from")
        ours.close()
        r.stdin.close()
        assert r.wait(10) == 0
        assert "client 2" not in r.log()


# --- Several threads --------------------------------------------------------------------------------------------------


def test_whoever_leaves_makes_room_for_the_next(place):
    """On each thread, while the others of that thread stay."""
    words = "--threads", "2", "--max", "4", f"unix://{place}/from", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *words), contextlib.ExitStack() as stack:
        inside = [stack.enter_context(contextlib.ExitStack()) for _ in range(4)]
        for one in inside:
            one.enter_context(conversation(place / "from", server))
        for one in inside:
            with connect(place / "from") as client:
                client.sendall(b"my turn")
                one.close()
                with accept(server) as s:
                    assert s.recv(7) == b"my turn"
            one.enter_context(conversation(place / "from", server))


def test_it_ends_with_the_last_conversation_of_any_thread(place):
    words = "--threads", "2", "--drain", "forever", f"unix://{place}/from", f"unix://{place}/to"
    for last in (0, 1):
        with listener(place / "to") as server, relay(place, *words) as r, contextlib.ExitStack() as stack:
            inside = [stack.enter_context(contextlib.ExitStack()) for _ in range(2)]
            for one in inside:
                one.enter_context(conversation(place / "from", server))
            r.terminate()
            eventually(lambda: not (place / "from").exists())
            inside[not last].close()
            eventually(lambda: r.log().count(" bytes, ") == 1)
            assert r.poll() is None
            inside[last].close()
            assert r.wait(10) == 0
        (place / "to").unlink()


# --- Asked to end -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def manager(place):
    """What a service manager hears, and the environment that leads to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(place / "notify"))
        s.settimeout(30)
        yield s, {**os.environ, "NOTIFY_SOCKET": str(place / "notify")}


def test_who_waits_for_a_target_is_cut_as_well(place):
    words = "--wait", "forever", "--drain", "0.2", f"unix://{place}/from", f"unix://{place}/to"
    with relay(place, *words) as r, connect(place / "from") as client:
        eventually(lambda: "client 1 of" in r.log())
        r.terminate()
        assert client.recv(1) == b""
        assert r.wait(10) == 0
        assert "0 bytes, 0 back, then it was cut" in r.log()


def test_frames_are_cut_as_well(place):
    from_, to = (f"unix://{place}/{name}?half-close=framed" for name in ("from", "to"))
    with running("cat", "-l", "--echo", "-v", to, stderr=subprocess.PIPE) as server:
        server.stderr.readline()
        with (
            relay(place, "--drain", "0.2", from_, to) as r,
            running("cat", from_, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as cat,
        ):
            cat.stdin.write(b"x")
            cat.stdin.flush()
            assert cat.stdout.read(1) == b"x"
            r.terminate()
            assert r.wait(10) == 0
            assert "then it was cut" in r.log()


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_who_waits_to_be_accepted_is_served_while_it_drains(place, kind):
    """--max keeps the second waiting; it has connected, and is not dropped. A UNIX socket lets in no other."""
    from_ = f"unix://{place}/from" if kind == "unix" else "tcp://127.0.0.1:any"
    words = "--max", "1", "--drain", "30", from_, f"unix://{place}/to"
    with listener(place / "to") as server, manager(place) as (hears, env), relay(place, *words, env=env) as r:
        def enter():
            if kind == "unix":
                return connect(place / "from")
            return socket.create_connection(("127.0.0.1", port_of(r)), timeout=30)

        def is_refused():
            try:
                enter().close()
            except ConnectionRefusedError:
                return True

        assert hears.recv(100) == b"READY=1"
        with enter() as first, accept(server) as s, enter() as second:
            second.sendall(b"my turn")
            r.terminate()
            assert hears.recv(100) == b"STOPPING=1"
            if kind == "unix":
                eventually(is_refused)
            first.close()
            s.close()
            with accept(server) as s:
                assert s.recv(7) == b"my turn"
                s.sendall(b"well done")
                assert second.recv(9) == b"well done"
        server.close()
        assert r.wait(30) == 0
