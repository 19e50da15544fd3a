# SPDX-License-Identifier: MIT
"""`virtsock wait`: at once, late, never; and what it says meanwhile. Multiplexers are `virtsock mux`."""

import contextlib
import itertools
import os
import pty
import signal
import socket
import subprocess
import threading
import time

import pytest
import virtsock
from test_mux import PROTOCOLS, address, mux, vm  # noqa: F401 (a fixture)
from test_tools import delay_of, eventually, read_terminal, run, running


@pytest.fixture
def where(tmp_path):
    return f"unix://{tmp_path}/s"


def test_at_once(where):
    with virtsock.listen(where) as listener:
        done = run("wait", where, timeout=10)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        with listener.accept() as client:
            assert client.recv(1) == b""  # it came, said nothing and left


def test_late_listener(where):
    with running("wait", where, "-v", stderr=subprocess.PIPE) as waiting:
        time.sleep(0.5)
        assert waiting.poll() is None
        with virtsock.listen(where):
            lines = waiting.communicate(timeout=10)[1].decode().splitlines()
    assert waiting.returncode == 0
    assert lines[0].startswith(f"virtsock: attempt 1 of {where}: refused, system code 2 ")
    assert lines[-1].startswith(f"virtsock: attempt {len(lines)} of {where}: connected, after ")


def test_never(where):
    mine, begun = delay_of(), time.monotonic()
    with running("wait", "--wait", "0.5", where, stderr=subprocess.PIPE) as waiting:
        os.waitid(os.P_PID, waiting.pid, os.WEXITED | os.WNOWAIT)
        took, delay = time.monotonic() - begun, delay_of(waiting.pid) + delay_of() - mine
        message, *_ = waiting.communicate()[1].decode().splitlines()
    assert 0.5 <= took < 0.8 + delay
    assert waiting.returncode == 1
    assert message.startswith(f"virtsock: connect {where}: no connection within 500 ms, ")


def test_one_attempt(where):
    done = run("wait", "-v", "--wait", "0", where)
    attempt, message, _ = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert attempt.startswith("virtsock: attempt 1 of ")
    assert message == f"virtsock: connect {where}: no such socket (ENOENT)"


@pytest.mark.parametrize("words", [[], ["--wait", "forever"]])
def test_waits_long_unless_told(where, words):
    with running("wait", where, *words) as waiting, pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(3)


def test_what_cannot_come_is_not_waited_for(tmp_path):
    begun = time.monotonic()
    assert run("wait", f"unix://{tmp_path}/{'x' * 108}").returncode == 1
    assert run("wait", "hvsock://web:80").returncode == 1
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_multiplexer(vm, protocol):  # noqa: F811
    """CONNECT/OK tells whether the port is there; HyperKit takes every connection."""
    with running("wait", "--wait", "20", address(vm, protocol)) as waiting:
        time.sleep(0.2)
        with mux(vm):
            if protocol == "hyperkit":
                assert waiting.wait(10) == 0
            else:
                with pytest.raises(subprocess.TimeoutExpired):
                    waiting.wait(0.5)
                with virtsock.listen(address(vm, protocol)):
                    assert waiting.wait(10) == 0


def test_attempts_of_their_own_time(vm):  # noqa: F811
    with mux(vm, "--fault", "silent", "--fault-count", "2"), virtsock.listen(address(vm, "vsock-mux")):
        done = run("wait", "-v", "--timeout", "0.2", address(vm, "vsock-mux"))
    assert done.returncode == 0
    assert [line.split(": ")[2].split(",")[0] for line in done.stderr.decode().splitlines()] == ["timeout", "timeout", "connected"]


def test_broken_answer_is_not_waited_over(vm):  # noqa: F811
    begun = time.monotonic()
    with mux(vm, "--fault", "garbage"):
        assert run("wait", address(vm, "vsock-mux")).returncode == 1
    assert time.monotonic() - begun < 5


@contextlib.contextmanager
def early(path, hung_up, delay=0.0):
    """As libkrun's and vfkit's sockets: accepts, and hangs up on so many clients; then it echoes."""
    came = []

    def attend(connection, number):
        with connection:
            came.append(number)
            if number < hung_up:
                time.sleep(delay)
                return
            with contextlib.suppress(OSError):
                while data := connection.recv(4096):
                    connection.sendall(data)

    def serve():
        with contextlib.suppress(OSError):
            for number in itertools.count():
                threading.Thread(target=attend, args=[listener.accept()[0], number], daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield came
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("command", ["wait", "cat", "relay"])
def test_who_hangs_up_at_once_is_not_there_yet(where, command):
    """And is tried again, whatever a client has to say; without the option a connection is a connection."""
    path = where.removeprefix("unix://")
    with early(path, 3) as came:
        words = ["--wait", "20", "--stays", "0.2"]
        if command == "wait":
            assert run("wait", *words, where).returncode == 0
        elif command == "cat":
            assert run("cat", *words, where, input=b"hello").stdout == b"hello"
        else:
            with running("relay", "-v", *words, f"{where}-r", where, stderr=subprocess.PIPE) as relay:
                relay.stderr.readline()
                assert run("cat", f"{where}-r", input=b"hello").stdout == b"hello"
        assert len(came) == 4
    os.unlink(path)
    with early(path, 1):
        assert run("wait", "--wait", "20", where).returncode == 0


def test_that_it_hung_up_is_said(where):
    with early(where.removeprefix("unix://"), 1000, delay=0.1) as came:
        done = run("wait", "-v", "--wait", "0.5", "--stays", "1", where)
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"hung up on before a byte came" in done.stderr and b"attempt 2 " in done.stderr
        assert len(came) > 1
        assert run("wait", "--wait", "0", "--stays", "0.05", where).returncode == 0     # it hangs up later than that


def test_progress_on_a_terminal(where):
    ours, theirs = pty.openpty()
    assert run("wait", "--wait", "1", where, stderr=theirs).returncode == 1
    os.close(theirs)
    said = read_terminal(ours)
    assert f"waiting for {where[:60]}: 0 s, attempt " in said
    assert b"waiting for" not in run("wait", "--wait", "1", where).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it(where, number):
    with running("wait", "-v", where, stderr=subprocess.PIPE) as waiting:
        waiting.stderr.readline()
        waiting.send_signal(number)
        assert waiting.wait(10) == -number


@pytest.mark.parametrize(
    "words, said",
    [
        ("wait", "needs an address"),
        ("wait vsock://3", "port is missing"),
        ("wait /tmp/socket", "unix://"),
        ("wait nonsense://x", "nonsense"),
        ("wait unix:///a unix:///b", "one word too many"),
        ("wait --wait soon unix:///a", '--wait "soon"'),
        ("wait --mode 600 unix:///a", "no option --mode"),
        ("wait --allow self unix:///a", "no option --allow"),
    ],
)
def test_usage_errors(words, said):
    done = run(*words.split())
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


def test_full_backlog_is_waited_for(where):
    path = where.removeprefix("unix://")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with running("wait", where) as waiting:
            time.sleep(0.3)
            assert waiting.poll() is None
            listener.accept()[0].close()
            eventually(lambda: waiting.poll() == 0)
