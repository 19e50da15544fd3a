# SPDX-License-Identifier: MIT
# ruff: noqa: F811
"""`virtsock relay` and logs: messages that it forwards, what becomes of those that it cannot, and its own lines, for
which it never waits and which never come back to it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from test_relay import accept, connect, frames, listener, place, relay  # noqa: F401
from test_relay_ends import take
from test_tools import TOOL, eventually, read_to_end


@contextlib.contextmanager
def sender(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.settimeout(30)
        s.connect(str(path))
        yield s


@contextlib.contextmanager
def forwarding(place, *words, **more):
    """place/log.sock to place/to."""
    rule = f"syslog:{place}/log.sock", f"unix://{place}/to"
    with relay(place, *words, *rule, ready="datagrams at", **more) as r:
        yield r


def unreached(r):
    """How many messages could not be sent so far."""
    r.send_signal(signal.SIGUSR1)
    [counts] = json.loads(r.stdout.readline())
    return counts["unreached"]


def ended(r):
    """Its counters, from --json --stats."""
    r.terminate()
    [counts] = json.loads(r.stdout.readline())
    assert r.wait(10) == 0
    return counts


# --- Messages ---------------------------------------------------------------------------------------------------------


def test_an_empty_datagram_is_a_message(place):
    """And no end, neither before others nor when it is the last, or when it lies there at the end."""
    with listener(place / "to") as server, forwarding(place) as r:
        with sender(place / "log.sock") as program:
            for message in (b"", b"one", b"", b""):
                program.send(message)
            with accept(server) as s:
                assert take(s, 11) == b"0 3 one0 0 "
                r.send_signal(signal.SIGSTOP)
                for message in (b"", b"two", b""):
                    program.send(message)
                r.terminate()
                r.send_signal(signal.SIGCONT)
                assert read_to_end(s) == b"0 3 two0 "
        assert r.wait(10) == 0


def test_lost_is_what_is_lost(place):
    """The last message is kept for the collector that comes; those that it took the place of are lost. The counters have
    what was sent again."""
    with forwarding(place, "--json", "--stats", stdout=subprocess.PIPE) as r, sender(place / "log.sock") as program:
        program.send(b"one")
        eventually(lambda: "the last message is kept until that changes" in r.log())
        assert "lost" not in r.log()
        program.send(b"two")
        program.send(b"three")
        with listener(place / "none") as server:
            eventually(lambda: unreached(r) == 3)
            os.rename(place / "none", place / "to")
            program.send(b"four")
            with accept(server) as s:
                assert list(frames(take(s, 13))) == [b"three", b"four"]
                eventually(lambda: "messages that are lost: 2; those from now on are sent" in r.log())
                counts = ended(r)
    assert (counts["accepted"], counts["unreached"], counts["lost"], counts["bytes"]) == (4, 3, 2, 13)
    assert r.log().count("kept") == r.log().count("lost") == 1


def test_each_time_that_the_collector_is_away_is_told(place):
    with forwarding(place) as r, sender(place / "log.sock") as program:
        for times in (1, 2):
            program.send(b"one")
            eventually(lambda times=times: r.log().count("kept until that changes") == times)
            with listener(place / "to") as server:
                program.send(b"two")
                with accept(server) as s:
                    assert take(s, 10) == b"3 one3 two"
            (place / "to").unlink()


def test_what_was_kept_is_lost_at_the_end(place):
    with forwarding(place, "--json", "--stats", stdout=subprocess.PIPE) as r, sender(place / "log.sock") as program:
        program.send(b"one")
        eventually(lambda: "kept" in r.log())
        assert ended(r)["lost"] == 1
        assert r.log().endswith("messages that are lost: 1\n")


def test_a_message_that_was_sent_again_is_not_lost(place):
    """Nobody knows whether it came; so it is sent once more, and counted once more."""
    with (
        listener(place / "to") as server,
        forwarding(place, "--json", "--stats", stdout=subprocess.PIPE) as r,
        sender(place / "log.sock") as program,
    ):
        program.send(b"one")
        with accept(server) as s:
            assert take(s, 5) == b"3 one"
        program.send(b"two")
        with accept(server) as s:
            assert take(s, 10) == b"3 one3 two"
            counts = ended(r)
    assert (counts["accepted"], counts["unreached"], counts["lost"], counts["bytes"]) == (2, 0, 0, 15)
    assert "lost" not in r.log()


def test_a_collector_that_hangs_is_told_at_the_end(place):
    with listener(place / "to") as server, forwarding(place) as r, sender(place / "log.sock") as program:
        program.settimeout(0.5)
        program.send(b"first")
        with accept(server):
            with contextlib.suppress(TimeoutError):
                while True:
                    program.send(bytes(50000))
            r.terminate()
            assert r.wait(10) == 0
            assert f"unix://{place}/to does not take what is left: it is lost" in r.log()
            assert not (place / "log.sock").exists()


# --- The socket -------------------------------------------------------------------------------------------------------


def test_a_removed_socket_is_made_again(place):
    """What lay there is forwarded, and who connects anew is heard."""
    with listener(place / "to") as server, forwarding(place, "--mode", "622") as r:
        with sender(place / "log.sock") as program:
            program.send(b"one")
            with accept(server) as s:
                assert take(s, 5) == b"3 one"
                (place / "log.sock").unlink()
                eventually(lambda: "the socket was removed, and was made again" in r.log())
                assert (place / "log.sock").stat().st_mode & 0o777 == 0o622
                with sender(place / "log.sock") as other:
                    other.send(b"two")
                    assert take(s, 5) == b"3 two"
                r.terminate()
                assert r.wait(10) == 0
        assert not (place / "log.sock").exists()


def test_a_removed_folder_is_waited_for(place):
    folder = place / "run"
    folder.mkdir()
    rule = f"syslog:{folder}/log.sock", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *rule, ready="datagrams at") as r:
        shutil.rmtree(folder)
        eventually(lambda: "cannot be made again yet: No such file or directory" in r.log())
        time.sleep(1.5)
        assert r.log().count("cannot be made") == 1
        folder.mkdir()
        eventually((folder / "log.sock").exists)
        with sender(folder / "log.sock") as program:
            program.send(b"one")
            with accept(server) as s:
                assert take(s, 5) == b"3 one"


def test_another_s_socket_is_left_alone(place):
    """That has taken the place: it is not removed at the end."""
    with listener(place / "to"), forwarding(place) as r, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(place / "new"))
        os.rename(place / "new", place / "log.sock")
        eventually(lambda: "cannot be made again yet: Address already in use" in r.log())
        r.terminate()
        assert r.wait(10) == 0
        assert (place / "log.sock").exists()


@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="names that are no paths are Linux's")
def test_an_abstract_name_removes_no_file(place):
    name = f"@{place.name}"
    (place / name).write_text("precious")
    rule = f"syslog:{name}", f"unix://{place}/to"
    with (
        listener(place / "to") as server,
        relay(place, *rule, ready="datagrams at", cwd=place) as r,
        sender(f"\0{place.name}") as program,
    ):
        program.send(b"one")
        with accept(server) as s:
            assert take(s, 5) == b"3 one"
            r.terminate()
            assert r.wait(10) == 0
    assert (place / name).read_text() == "precious"


# --- Its own lines ----------------------------------------------------------------------------------------------------


@pytest.fixture
def house(place, need):
    """Words before a command, for which `place` is /run, where its log is."""
    words = ["unshare", "-rm", "sh", "-c", f'mount --bind "{place}" /run && exec "$0" "$@"']
    need(shutil.which("unshare"), "unshare is not installed")
    need(subprocess.run([*words, "true"], capture_output=True).returncode == 0, "no namespace of mounts can be had")
    need(Path("/var/run").resolve() == Path("/run") and not os.path.exists("/dev/log"), "the log is elsewhere")
    return words


@contextlib.contextmanager
def detached(place, house, *words):
    pidfile = place / "pid"
    command = [*house, TOOL, "relay", "-v", "--detach", "--json", "--stats", "--pidfile", str(pidfile), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            eventually(lambda: pidfile.exists() and pidfile.read_text() != "", 30)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("path", ["/run/log", "/var/run/log", "/run/other"])
def test_it_does_not_feed_on_itself(place, house, path):
    """Its log is the socket that it forwards, by whatever name, and there is something to tell, as TO is away."""
    if path == "/run/other":
        (place / "log").symlink_to("other")
    rule = f"syslog:{path}", f"unix://{place}/to"
    with detached(place, house, *rule), sender(place / Path(path).name) as program:
        program.send(b"one")
        time.sleep(1)
        with listener(place / "to") as server:
            program.send(b"two")
            with accept(server) as s:
                assert take(s, 10) == b"3 one3 two"
                s.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    s.recv(1)


def drain(log):
    lines = []
    with contextlib.suppress(TimeoutError):
        while True:
            lines.append(log.recv(4096))
    return lines


def test_a_log_that_hangs_costs_lines_and_no_service(place, house):
    """Nobody reads the lines of 300 conversations; to somebody who does then the log says how many it has not had."""
    rule = f"unix://{place}/from", f"unix://{place}/to"
    with listener(place / "to") as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(place / "log"))
        log.settimeout(0.2)
        with detached(place, house, *rule):
            for _ in range(300):
                with connect(place / "from") as client, accept(server) as s:
                    client.sendall(b"x")
                    assert take(s, 1) == b"x"
            heard = drain(log)
            with connect(place / "from"), accept(server):
                eventually(lambda: heard.extend(drain(log)) or any(b"lines of this log were lost" in line for line in heard))
            eventually(lambda: heard.extend(drain(log)) or heard[-1].endswith(b" back"))
            assert sum(b"lines of this log were lost" in line for line in heard) == 1


def test_standard_error_that_nobody_reads_costs_lines_and_no_service(place):
    ours, theirs = os.pipe()
    rule = f"unix://{place}/from", f"unix://{place}/to"
    with listener(place / "to") as server, open(ours, "rb") as said:
        command = [TOOL, "relay", "-v", "--threads", "1", "--json", "--stats", *rule]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as r:
            os.close(theirs)
            try:
                eventually((place / "from").exists)
                for _ in range(1000):
                    with connect(place / "from") as client, accept(server) as s:
                        client.sendall(b"x")
                        assert take(s, 1) == b"x"
                r.terminate()
                [counts] = json.loads(r.stdout.readline())
                assert r.wait(10) == 0
            finally:
                r.kill()
        lines = said.read().splitlines()
    assert counts["unlogged"] > 0
    assert all(line.startswith(b"virtsock: ") for line in lines)
    assert len(lines) + counts["unlogged"] == 2001
