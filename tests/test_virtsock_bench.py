# SPDX-License-Identifier: MIT
"""`virtsock bench`: every mode over every transport that needs no machine, with both ends' counts compared; peers that speak hvbench's way
or the documented bytes; peers that break; and the plot. How fast anything is is not judged here, but whether it can be true."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from builds import ROOT
from test_tools import TOOL, eventually, run, running

TRANSPORTS = ("unix", "unix-seqpacket", "unix-framed", "tcp", "vsock-mux")
SECONDS = 0.25             # in less, a machine that has much else to do may get nothing done
QUICK = ("-m", "8,4096", "--seconds", str(SECONDS))
PERCENTILES = ("min", "p50", "p90", "p99", "p99.9", "max")
STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, *range(1, 11), *range(20, 101, 10), *range(200, 1001, 100)]

MAGIC = b"virtsock bench 1"
SEND, RECEIVE, LATENCY, CONNECT, TOLD = 1, 2, 3, 4, 5


@pytest.fixture
def folder():
    """Short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)


@contextlib.contextmanager
def started(folder, *words):
    """A command that listens by now; .log() is what it says, .where the address that it says."""
    log = folder / f"log-{words[0]}"
    with open(log, "wb") as err, running(*words, "-v", stderr=err, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        process.log = lambda: log.read_text()
        eventually(lambda: "listening on" in process.log() or process.poll() is not None)
        assert process.poll() is None, process.log()
        process.where = re.search(r"listening on (\S+)", process.log())[1]
        yield process


@contextlib.contextmanager
def server(folder, *words, transport="unix"):
    """`virtsock bench -s`; .to is the address for clients."""
    address = {"unix": f"unix://{folder}/s", "unix-seqpacket": f"unix://{folder}/s?type=seqpacket", "tcp": "tcp://127.0.0.1:any",
               "unix-framed": f"unix://{folder}/s?half-close=framed", "udp": "udp://127.0.0.1:any",
               "vsock-mux": f"vsock-mux://:52{folder}/vm/vsock.sock"}[transport]
    with contextlib.ExitStack() as stack:
        if transport == "vsock-mux":
            stack.enter_context(started(folder, "mux", f"{folder}/vm"))
        process = stack.enter_context(started(folder, "bench", "-s", *words, address))
        process.to = process.where if transport in ("tcp", "udp") else address
        yield process


def bench(*words, code=0, **more):
    done = run("bench", *words, **more)
    assert done.returncode == code, done.stderr.decode()
    return done


def measured(*words, **more):
    return json.loads(bench("--json", *words, **more).stdout)


def told(log, what):
    """Bytes of each client of whom the server says that."""
    return [int(n) for n in re.findall(rf"client \d+: {what}, (\d+) bytes in ", log)]


def check_times(times):
    values = [times[name] for name in PERCENTILES]
    assert values == sorted(values) and values[0] > 0
    assert values[0] <= times["mean"] <= values[-1]


def check_spread(spread, values):
    assert spread["min"] == min(values) and spread["max"] == max(values)
    assert spread["min"] <= spread["median"] <= spread["max"]


def check_bandwidth(point, runs):
    assert len(point["runs"]) == runs
    for one in point["runs"]:
        assert one["bytes"] > 0 and SECONDS * 1e9 <= one["duration_ns"] < 30e9
        assert abs(one["bytes_per_second"] - one["bytes"] * 1e9 / one["duration_ns"]) <= 1
    check_spread(point["bytes_per_second"], [one["bytes_per_second"] for one in point["runs"]])


def check_latency(point, runs):
    assert len(point["runs"]) == runs and point["count"] == sum(one["count"] for one in point["runs"])
    check_times(point["ns"])
    for one in point["runs"]:
        check_times(one["ns"])
        assert abs(one["per_second"] - one["count"] * 1e9 / one["duration_ns"]) <= 1
        assert one["count"] * one["ns"]["mean"] - one["ns"]["max"] <= one["duration_ns"]    # one at a time; the last may end later


def check_connections(point, runs, count):
    assert len(point["runs"]) == runs and point["count"] == sum(one["count"] for one in point["runs"])
    assert 0 < point["count"] <= runs * count and point["connect_errors"] == point["socket_errors"] == 0
    assert [step["below_ns"] for step in point["histogram"]] == [round(ms * 1e6) for ms in STEPS] + [None]
    assert sum(step["count"] for step in point["histogram"]) == point["count"]
    check_times(point["ns"])
    least, most = (point["ns"][end] for end in ("min", "max"))
    filled = [step["below_ns"] or 1 << 62 for step in point["histogram"] if step["count"]]
    assert least < filled[0] and most < filled[-1]


def check_all(result, runs, sizes=(8, 4096), count=100):
    """All tests, each size of each, in order."""
    bandwidth = {way: [p for p in result["results"] if p.get("direction") == way] for way in ("send", "receive")}
    latency = [p for p in result["results"] if p["test"] == "latency"]
    connections = [p for p in result["results"] if p["test"] == "connections"]
    assert len(result["results"]) == 3 * len(sizes) + 1
    for points in (*bandwidth.values(), latency):
        assert [p["message_bytes"] for p in points] == list(sizes)
    for point in (*bandwidth["send"], *bandwidth["receive"]):
        check_bandwidth(point, runs)
    for point in latency:
        check_latency(point, runs)
    check_connections(connections[0], runs, count)


# --- Every mode ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_test_on_every_transport(folder, transport):
    """What the client prints as received by the server is what the server says; what it receives is no more than was sent."""
    runs = 2 if transport == "unix" else 1
    with server(folder, transport=transport) as s:
        result = measured(*QUICK, "--runs", str(runs), "--count", "100", s.to)
        assert result["ok"] is True and result["address"] == s.to
        assert result["measured_ms"] == SECONDS * 1000 and result["warmup_ms"] == SECONDS * 100
        check_all(result, runs)
        sent, received = ([one["bytes"] for p in result["results"] if p.get("direction") == way for one in p["runs"]]
                          for way in ("send", "receive"))
        eventually(lambda: all(len(told(s.log(), what)) == 2 * runs for what in ("received", "sent", "sent back")))
        assert told(s.log(), "received") == sent
        assert all(ours <= theirs for ours, theirs in zip(received, told(s.log(), "sent"), strict=True))


@pytest.mark.parametrize("server_polls", [False, True])
@pytest.mark.parametrize("transport", ["unix", "tcp", "vsock-mux"])
def test_polled_and_bulk(folder, transport, server_polls):
    with server(folder, *(["-p"] if server_polls else []), transport=transport) as s:
        result = measured("-p", "-b", *QUICK, "--count", "100", s.to)
        check_all(result, runs=1)
        assert result["polls"] is True
        for point in result["results"]:
            assert point["server_polls"] is server_polls
            bulk = point["test"] == "bandwidth"
            assert point.get("receive_bytes") == (2 << 20 if bulk else point.get("message_bytes"))


def test_large_messages(folder):
    with server(folder) as s:
        result = measured("-m", f"{2 << 20},{16 << 20}", "--seconds", "2", "-B", "-L", s.to)
        assert [p["message_bytes"] for p in result["results"]] == [2 << 20, 16 << 20] * 3


def test_one_test_one_direction(folder):
    with server(folder) as s:
        (point,) = measured("-B", "-d", "receive", "-m", "512", "--seconds", "0.4", s.to)["results"]
        assert (point["test"], point["direction"]) == ("bandwidth", "receive")
        (point,) = measured("-L", "-m", "512", "--seconds", "0.4", s.to)["results"]
        assert point["test"] == "latency"
        (point,) = measured("-C", "--count", "10", s.to)["results"]
        assert (point["test"], point["count"]) == ("connections", 10)


def test_connections_are_bounded_by_time(folder):
    with server(folder) as s:
        begun = time.monotonic()
        (point,) = measured("-C", "--seconds", "0.2", "--count", "2000000", s.to)["results"]
        assert time.monotonic() - begun < 20
        assert 0 < point["count"] < 2000000 and point["runs"][0]["duration_ns"] >= 0.2e9


def test_table(folder):
    with server(folder) as s:
        text = bench("-m", "8,4096", "--seconds", "0.4", "--count", "50", s.to).stdout.decode()
    assert re.findall(r"^\S.*$", text, re.MULTILINE) == [
        "bandwidth, client sends, blocking", "bandwidth, client receives, blocking", "latency, blocking, in microseconds",
        "connections, blocking, in milliseconds"]
    assert re.search(r"^ +4096( +\d+\.\d){3}$", text, re.MULTILINE)
    assert re.search(r"^ +4096 +\d+( +\d+\.\d){5}$", text, re.MULTILINE)
    assert text.endswith("100.00 %\n")
    count = int(re.search(r"^  (\d+) at \d+ a second; p50, p90, p99, p99.9, max:( \d+\.\d{3}){5}$", text, re.MULTILINE)[1])
    assert 0 < count <= 50
    assert sum(int(n) for n in re.findall(r"^  [<>] +\S+ +(\d+) ", text, re.MULTILINE)) == count


def test_dat(folder):
    """As gnuplot's `index` reads it: two blank lines between blocks; the connections' as hvbench printed them, but for 900 to 999 ms."""
    with server(folder) as s:
        text = bench("--dat", *QUICK, "--runs", "3", "--count", "100", s.to).stdout.decode()
    blocks = [[line.split() for line in block.splitlines() if line[0] != "#"] for block in text.split("\n\n\n")]
    send, receive, latency, connections = blocks
    for block in send, receive, latency:
        assert [line[0] for line in block] == ["8", "4096"]
        for _, average, *each in block:
            assert len(each) == 3 and abs(float(average) - sum(map(float, each)) / 3) < 0.011      # each is rounded
    assert all(word.isdigit() for block in (send, receive) for line in block for word in line[2:])
    assert "# time (ms) vs count vs cumulative percent\n0.01 " in text
    assert [line[0] for line in connections] == [f"{step:g}" for step in STEPS] + [">=1000", "connect_err", "socket_err"]
    seen, total = 0, sum(int(count) for _, count, _ in connections)
    for _, count, percent in connections:
        seen += int(count)
        assert float(percent) == pytest.approx(100 * seen / total, abs=0.006)
    assert 0 < total <= 300 and re.findall(r"# Index (\d)", text) == list("0123")


@pytest.mark.parametrize("transport", ["unix", "udp"])
def test_progress_is_for_a_terminal(folder, transport):
    ours, theirs = pty.openpty()
    words = ("bench", "-L", "-m", "8,512", "--seconds", "1.2")
    with server(folder, transport=transport) as s, running(*words, s.to, stdout=subprocess.PIPE, stderr=theirs) as client:
        os.close(theirs)
        text = b""
        with contextlib.suppress(OSError):          # EIO: the other side is closed
            while select.select([ours], [], [], 30)[0] and (part := os.read(ours, 4096)):
                text += part
        os.close(ours)
        assert client.wait(30) == 0
    said = re.findall(r"virtsock: latency (\d+) bytes: (\d) of 2, (\d+) s left", text.decode())
    assert {row[:2] for row in said} == {("8", "1"), ("512", "2")} and len(said) > 4
    left = [int(row[2]) for row in said]
    assert left == sorted(left, reverse=True) and left[0] == 3
    assert text.endswith(b"\r\x1b[K")


# --- hvbench, and programs that only read ----------------------------------------------------------------------------------


@contextlib.contextmanager
def python_server(folder, talk, clients=1):
    """A server of Python's for so many clients, in turn; .results has what talk(connection) returned, .errors what it raised."""

    class Server(threading.Thread):
        def __init__(self):
            super().__init__(daemon=True)
            self.results, self.errors = [], []

        def run(self):
            try:
                for _ in range(clients):
                    with listener.accept()[0] as connection:
                        connection.settimeout(30)
                        self.results.append(talk(connection))
            except Exception as error:
                self.errors.append(error)
            finally:
                listener.close()

    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(30)
    listener.bind(str(folder / "s"))
    listener.listen()
    thread = Server()
    thread.to = f"unix://{folder}/s"
    thread.start()
    try:
        yield thread
    finally:
        thread.join(60)
    assert not thread.is_alive()


def drain(connection, size=65536):
    """As hvbench -s: to the end, in so great receives. Bytes, and those that are not zero."""
    total = other = 0
    while part := connection.recv(size):
        total += len(part)
        other += len(part) - part.count(0)
    return total, other


def read(connection, size):
    """So many bytes, or fewer where the peer ends."""
    data = b""
    while len(data) < size and (part := connection.recv(size - len(data))):
        data += part
    return data


def connect(s):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(s.to.removeprefix("unix://"))        # with a timeout, a full backlog would be an error of Python's
    connection.settimeout(30)
    return connection


def test_a_plain_server_is_measured(folder):
    """It gets zeros alone, as from hvbench, and what is printed is what it got but for the warm-up."""
    with python_server(folder, drain) as s:
        result = measured("--plain", "-B", "-m", "4096", "--seconds", "0.3", "--warmup", "0.1", s.to)
    (point,) = result["results"]
    ((total, other),) = s.results
    (one,) = point["runs"]
    assert result["plain"] is True and point["direction"] == "send" and point["server_polls"] is None
    assert other == 0 and total % 4096 == 0 and 0 < one["bytes"] < total
    assert one["duration_ns"] >= 0.3e9


@pytest.mark.parametrize("words", [["--count", "50"], ["--count", "50", "-p"], ["--count", "1"]], ids=" ".join)
def test_connections_to_a_plain_server(folder, words):
    """It leaves after so many, as hvbench's does after 2000: none is refused, and none is made that is not counted."""
    count = int(words[1])
    with python_server(folder, drain, clients=count) as s:
        (point,) = measured("--plain", "-C", *words, s.to)["results"]
    check_connections(point, 1, count)
    assert point["count"] == count
    assert s.results == [(0, 0)] * count


def test_connections_to_a_plain_server_that_is_late(folder):
    """The attempts before it listened are in no time."""
    with running("bench", "--plain", "-C", "--count", "5", "--wait", "30", "--json", f"unix://{folder}/s", stdout=subprocess.PIPE) as client:
        time.sleep(1)
        with python_server(folder, drain, clients=5) as s:
            result = json.loads(client.communicate(timeout=60)[0])
    (point,) = result["results"]
    assert client.returncode == 0 and s.results == [(0, 0)] * 5
    check_connections(point, 1, 5)
    assert point["count"] == 5 and point["ns"]["max"] < 0.5e9, point


@pytest.mark.parametrize("words, cap", [([], 2 << 20), (["-m", "4096"], 4096)])
def test_hvbench_as_client(folder, words, cap):
    """Messages of zeros until it has enough; its server ends after one client."""
    with server(folder, "-B", *words) as s:
        with connect(s) as connection:
            for _ in range(1000):
                connection.sendall(bytes(4096))
        assert s.wait(10) == 0
        assert told(s.log(), "drained") == [4096 * 1000]


def test_hvbench_as_client_of_connections(folder):
    """2000, after which its server ends; ours in between are not counted."""
    with server(folder, "-C") as s:
        for number in range(2000):
            connect(s).close()
            if number == 1000:
                measured("-C", "--count", "10", s.to)
        assert s.wait(30) == 0
        eventually(lambda: told(s.log(), "drained") == [0] * 2000)


@pytest.mark.parametrize("data", [b"\0", b"v", MAGIC[:15], MAGIC, MAGIC + bytes(23), b"virtsock BENCH 1" + bytes(100),
                                  bytes(16) + MAGIC + bytes(24)])
def test_what_is_no_request_is_drained(folder, data):
    with server(folder) as s:
        with connect(s) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        eventually(lambda: told(s.log(), "drained") == [len(data)])


# --- The bytes that docs/virtsock.md tells -----------------------------------------------------------------------------------


def ask(connection, test, message=100, receive=64, warmup=0, measure=100, magic=MAGIC):
    """The server's answer and flags."""
    connection.sendall(magic + struct.pack(">6I", test, message, receive, warmup, measure, 0))
    reply = read(connection, 24)
    assert reply[:16] == MAGIC
    return struct.unpack(">2I", reply[16:])


def test_a_client_by_the_book_sends(folder):
    with server(folder, "-p") as s, connect(s) as connection:
        assert ask(connection, SEND) == (0, 1)
        with contextlib.suppress(BlockingIOError):
            connection.setblocking(False)
            connection.send(b"x" * 5000)            # in pieces of any size
        connection.settimeout(30)
        count, ns = struct.unpack(">2Q", read(connection, 16))
        assert count <= 5000 and 100e6 <= ns < 30e9
        connection.close()
        eventually(lambda: told(s.log(), "received") == [count])


def test_a_client_by_the_book_receives(folder):
    with server(folder) as s, connect(s) as connection:
        assert ask(connection, RECEIVE, message=1000) == (0, 0)
        assert read(connection, 100000) == bytes(100000)


def test_a_client_by_the_book_has_its_message_back(folder):
    with server(folder) as s, connect(s) as connection:
        assert ask(connection, LATENCY, message=5) == (0, 0)
        for word in b"hello", b"again":
            connection.sendall(word)
            assert read(connection, 5) == word
        connection.close()
        eventually(lambda: told(s.log(), "sent back") == [10])


@pytest.mark.parametrize("words, answer", [
    ({"test": 0}, 2), ({"test": 5}, 2), ({"message": 0}, 2), ({"message": (16 << 20) + 1}, 2), ({"receive": 0}, 2),
    ({"receive": 1 << 31}, 2),
    ({"measure": 0}, 2), ({"measure": 3600001}, 2), ({"warmup": 1 << 31}, 2), ({"magic": b"virtsock bench 2"}, 1),
])
def test_what_a_server_does_not_do(folder, words, answer):
    with server(folder) as s, connect(s) as connection:
        assert ask(connection, **{"test": LATENCY, **words}) == (answer, 0)
        assert connection.recv(1) == b""


def read_request(connection):
    request = read(connection, 40)
    assert request[:16] == MAGIC
    return struct.unpack(">6I", request[16:])


def test_a_server_by_the_book(folder):
    """What it says that it received is what is printed, whatever was sent."""
    def talk(connection):
        request = read_request(connection)
        connection.sendall(MAGIC + struct.pack(">2I", 0, 1))
        assert read(connection, 512) == bytes(512)
        connection.sendall(struct.pack(">2Q", 3000, 2_000_000_000))
        drain(connection)
        return request

    with python_server(folder, talk) as s:
        (point,) = measured("-B", "-d", "send", "-m", "512", "-b", "--seconds", "2", "--warmup", "0.5", s.to)["results"]
    assert s.results == [(SEND, 512, 2 << 20, 500, 2000, 0)]
    assert point["runs"] == [{"duration_ns": 2_000_000_000, "bytes": 3000, "bytes_per_second": 1500}] and point["server_polls"] is True


# --- Peers that break ------------------------------------------------------------------------------------------------------


def failed(*words, said, status):
    done = bench("--json", *words, code=1)
    result = json.loads(done.stdout)
    assert result["ok"] is False and result["status"] == status and said in result["message"], result
    assert said in done.stderr.decode()
    return result


def test_nobody_listens(folder):
    assert failed(f"unix://{folder}/s", said="connect", status="refused")["results"] == []


def hold(connection):
    return drain(connection)


def test_a_server_that_never_answers(folder):
    with python_server(folder, hold) as s:
        failed("-L", "--timeout", "0.3", s.to, said="say --plain", status="timeout")


@pytest.mark.parametrize("answer, said", [
    (b"", "without an answer"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "something else"),
    (MAGIC + struct.pack(">2I", 1, 0), "another version"), (MAGIC + struct.pack(">2I", 2, 0), "refuses"), (MAGIC[:10], "without an answer"),
])
def test_a_server_that_answers_wrong(folder, answer, said):
    def talk(connection):
        read(connection, 40)
        connection.sendall(answer)

    with python_server(folder, talk) as s:
        failed("-B", "-d", "receive", s.to, said=said, status="protocol")


@pytest.mark.parametrize("words", [("-B", "-d", "send"), ("-B", "-d", "receive"), ("-L",)])
@pytest.mark.parametrize("polls", [(), ("-p",)])
def test_a_server_that_dies(folder, words, polls):
    """Killed in the middle of ten seconds: said at once."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with server(folder) as s, running("bench", *words, *polls, "-m", "64", "--json", s.to, **pipes) as client:
        time.sleep(0.3)
        begun = time.monotonic()
        s.send_signal(signal.SIGKILL)
        out, err = client.communicate(timeout=30)
        assert time.monotonic() - begun < 5
        assert client.returncode == 1 and err.startswith(b"virtsock: ")
        assert json.loads(out)["ok"] is False


def test_a_server_that_stops_ends_the_client_in_time(folder):
    with server(folder) as s:
        s.send_signal(signal.SIGSTOP)
        failed("-L", "--timeout", "0.2", "-m", "8", s.to, said="no answer", status="timeout")
        s.send_signal(signal.SIGCONT)
        client = subprocess.Popen([TOOL, "bench", "-B", "-d", "send", "-m", "4096", "--seconds", "1", "--json", s.to],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.4)
        s.send_signal(signal.SIGSTOP)
        out, err = client.communicate(timeout=60)
        s.send_signal(signal.SIGCONT)
    assert client.returncode == 1 and json.loads(out)["status"] == "timeout", err
    assert b"does not end what is over" in err


def test_a_plain_server_that_leaves(folder):
    with python_server(folder, lambda connection: connection.recv(100000)) as s:
        assert json.loads(bench("--plain", "--json", "-B", "-m", "4096", s.to, code=1).stdout)["ok"] is False


def test_connections_that_fail_are_counted(folder):
    """The server accepts eleven and goes: the other nine are refused, and that is no success."""
    def talk(connection):
        read_request(connection)
        connection.sendall(MAGIC + bytes(8))
        return drain(connection)

    with python_server(folder, talk, clients=11) as s:
        result = failed("-C", "--count", "20", s.to, said="", status="refused")
    (point,) = result["results"]
    assert (point["count"], point["connect_errors"], point["socket_errors"]) == (10, 10, 0)
    assert sum(step["count"] for step in point["histogram"]) == 10


def test_clients_that_break_do_not_end_a_server(folder):
    with server(folder) as s:
        for test in SEND, RECEIVE, LATENCY:
            with connect(s) as connection:
                ask(connection, test, measure=10000)
        with connect(s) as connection:
            connection.sendall(MAGIC)
        check_all(measured("-m", "8", "--seconds", "0.4", "--count", "100", s.to), runs=1, sizes=(8,))


@contextlib.contextmanager
def slow_link(folder, to, bytes_a_second):
    """A socket at folder/slow whose way to `to` takes so many bytes a second; back it goes at once."""
    stop = threading.Event()

    def carry(source, target, pace):
        with contextlib.suppress(OSError):
            while not stop.is_set() and (part := source.recv(pace or 65536)):
                target.sendall(part)
                if pace:
                    stop.wait(len(part) / bytes_a_second)
            target.shutdown(socket.SHUT_WR)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                near, far = listener.accept()[0], socket.socket(socket.AF_UNIX)
                far.connect(to)
                ends.extend([near, far])
                for job in (near, far, 1000), (far, near, None):
                    threading.Thread(target=carry, args=job, daemon=True).start()

    ends = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "slow"))
    listener.listen()
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"unix://{folder}/slow"
    finally:
        stop.set()
        for one in (listener, *ends):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.mark.parametrize("words", [("-B", "-d", "send"), ("-B", "-d", "send", "-p"), ("-B", "-d", "send", "-b")])
def test_a_slow_link_does_not_overrun(folder, words):
    """2 MiB take twenty seconds; half a second is measured."""
    with server(folder) as s, slow_link(folder, str(folder / "s"), 100_000) as to:
        begun = time.monotonic()
        (point,) = measured(*words, "-m", str(2 << 20), "--seconds", "0.5", to)["results"]
        assert time.monotonic() - begun < 8
        (one,) = point["runs"]
        eventually(lambda: told(s.log(), "received") == [one["bytes"]])
        assert one["bytes"] < 1 << 20 and one["duration_ns"] < 2e9


def test_a_message_that_never_comes_back(folder):
    """2 MiB of latency over such a link: no message in the time, which is a failure and no figure."""
    with server(folder), slow_link(folder, str(folder / "s"), 100_000) as to:
        begun = time.monotonic()
        failed("-L", "-m", str(2 << 20), "--seconds", "0.5", to, said="nothing arrived", status="timeout")
        assert time.monotonic() - begun < 15


# --- Datagrams -------------------------------------------------------------------------------------------------------------


def check_sent(one):
    assert 0 <= one["lost"] < one["sent"]
    return one["sent"] - one["lost"]


def test_datagrams(folder):
    """Sending and latency; what the client prints is what the server says, and what came is no more than was sent."""
    with server(folder, transport="udp") as s:
        done = bench("--json", "-m", "8,4096", "--seconds", "0.3", "--runs", "2", s.to)
        assert done.stderr.count(b"bandwidth is that of sending") == 1
        result = json.loads(done.stdout)
        assert result["ok"] is True and result["address"] == s.to
        assert [(p["test"], p.get("direction"), p["message_bytes"]) for p in result["results"]] == [
            ("bandwidth", "send", 8), ("bandwidth", "send", 4096), ("latency", None, 8), ("latency", None, 4096)]
        sending, latency = result["results"][:2], result["results"][2:]
        said = re.findall(r"client \d+: (received|sent back), (\d+) bytes in (\d+\.\d+) ms, (\d+) datagrams in all", s.log())
        runs = [one for point in result["results"] for one in point["runs"]]
        assert [row[0] for row in said] == ["received"] * 4 + ["sent back"] * 4
        assert [int(row[3]) for row in said[:4]] == [check_sent(one) for one in runs[:4]]
        assert [int(row[1]) for row in said[:4]] == [one["bytes"] for one in runs[:4]]
        for point in sending:
            check_spread(point["bytes_per_second"], [one["bytes_per_second"] for one in point["runs"]])
            for one in point["runs"]:
                assert 0 < one["bytes"] <= check_sent(one) * point["message_bytes"] and 0 < one["duration_ns"] <= 0.3e9
        for point in latency:
            check_latency(point, 2)
            assert point["count"] <= check_sent(point)
        for point in result["results"]:
            assert all(point[key] == sum(one[key] for one in point["runs"]) for key in ("sent", "lost"))
        s.send_signal(signal.SIGTERM)
        assert s.wait(10) == 0


def test_datagrams_printed(folder):
    """The usual sizes but those that no datagram has, with what is lost; linuxkit's lines; and the plot."""
    with server(folder, transport="udp") as s:
        table = bench("--seconds", "0.02", "--warmup", "0", s.to).stdout.decode()
        text = bench("--dat", "-m", "8,512", "--seconds", "0.1", "--warmup", "0", s.to).stdout.decode()
        (folder / "datagrams.json").write_bytes(bench("--json", "-m", "8,512", "--seconds", "0.1", "--warmup", "0", s.to).stdout)
    assert re.findall(r"^\S.*$", table, re.MULTILINE) == ["bandwidth, client sends, datagrams", "latency, datagrams, in microseconds"]
    assert len(re.findall(r"^ +\d+( +\d+\.\d){3} +\d+\.\d\d %$", table, re.MULTILINE)) == 12
    assert len(re.findall(r"^ +\d+ +\d+( +\d+\.\d){5} +\d+\.\d\d %$", table, re.MULTILINE)) == 12
    assert table.count("lost\n") == 2 and " 16384 " in table and " 65536 " not in table
    assert [line.split()[0] for line in text.splitlines() if line[:1].isdigit()] == ["8", "512"] * 2
    pytest.importorskip("matplotlib")
    assert plot(folder / "datagrams.json", "-o", folder / "a.svg").returncode == 0
    assert texts_of(folder / "a.svg").count("datagrams") == 2


@contextlib.contextmanager
def datagram_peer(answer):
    """answer(datagram) gives what goes back, in order, each after so many seconds; .requests are those that came."""

    def serve():
        with contextlib.suppress(OSError):
            while (got := s.recvfrom(1 << 16))[0] != b"end":
                if got[0].startswith(MAGIC):
                    thread.requests.append(struct.unpack(">6I", got[0][16:]))
                for delay, piece in answer(got[0], thread.requests):
                    time.sleep(delay)
                    s.sendto(piece, got[1])

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, daemon=True)
        thread.requests = []
        thread.to = f"udp://127.0.0.1:{s.getsockname()[1]}"
        thread.start()
        yield thread
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", s.getsockname())
        thread.join(10)
        assert not thread.is_alive()


READY = MAGIC + bytes(8)


@pytest.mark.parametrize("size", [1, 8, 40])
def test_datagrams_lost_late_and_repeated(size):
    """Two are lost, and cost 200 ms each. The others come twice, after the two before them and 5 ms: no time is shorter."""
    messages = []

    def answer(data, requests):
        if data.startswith(MAGIC):
            return [(0, READY if requests[-1][0] == LATENCY else MAGIC + struct.pack(">3Q", 0, 0, len(messages)))]
        messages.append(data)
        return [] if len(messages) < 3 else [(0, one) for one in messages[-3:-1]] + [(0.005, data), (0, data)]

    with datagram_peer(answer) as s:
        (point,) = measured("-L", "-m", str(size), "--seconds", "0.8", "--warmup", "0", s.to)["results"]
    assert {len(one) for one in messages} == {size} and len(set(messages)) == len(messages)
    assert point["lost"] >= 2 and point["lost"] + point["count"] == point["sent"] == len(messages)     # a busy machine may lose more
    assert point["ns"]["min"] >= 5e6


def test_requests_that_are_lost_are_said_again():
    """The same, until it is answered; a late answer to the first is none to the last. What the server counted is what is printed."""
    def answer(data, requests):
        if not data.startswith(MAGIC) or requests.count(requests[-1]) < 3:
            return []
        return [(0, READY), (0, READY)] + [(0, MAGIC + struct.pack(">3Q", 3000, 2_000_000_000, 2))] * (requests[-1][0] == TOLD)

    with datagram_peer(answer) as s:
        (point,) = measured("-B", "-d", "send", "-m", "512", "--seconds", "0.2", "--timeout", "20", s.to)["results"]
    number = s.requests[0][5]
    assert s.requests == [(SEND, 512, 512, 20, 200, number)] * 3 + [(TOLD, 512, 512, 20, 200, number)] * 3
    (one,) = point["runs"]
    assert (one["bytes"], one["duration_ns"], one["bytes_per_second"]) == (3000, 2_000_000_000, 1500)
    assert one["sent"] - one["lost"] == 2


@pytest.mark.parametrize("words, said, status", [
    (lambda test: [], "no answer", "timeout"), (lambda test: [b"HTTP/1.1 400", b""], "no answer", "timeout"),
    (lambda test: [MAGIC + struct.pack(">2I", 1, 0)], "another version", "protocol"),
    (lambda test: [MAGIC + struct.pack(">2I", 2, 0)], "refuses", "protocol"),
    (lambda test: [READY if test == LATENCY else MAGIC + struct.pack(">2I", 3, 0)], "another client", "protocol"),
    (lambda test: [READY, MAGIC + bytes(24)], "nothing arrived", "timeout"),
    (lambda test: [READY], "no answer", "timeout"),
])
def test_answers_of_datagrams_that_are_wrong(words, said, status):
    with datagram_peer(lambda data, requests: [(0, one) for one in words(requests[-1][0]) if data.startswith(MAGIC)]) as s:
        limit = ["--timeout", "1"] if READY in words(LATENCY) else []           # that of the first answer; of the last it is longer
        failed("-L", "-m", "8", "--seconds", "0.2", *limit, s.to, said=said, status=status)
    if said == "no answer":
        assert 2 <= s.requests.count(s.requests[-1]) <= 5         # 5, unless the machine is busy


class Asker:
    """A client of datagrams by the book."""

    def __init__(self, to):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", int(to.rpartition(":")[2])))
        self.socket.settimeout(30)

    def say(self, test, message=100, receive=100, warmup=0, measure=60000, number=7, magic=MAGIC):
        self.socket.send(magic + struct.pack(">6I", test, message, receive, warmup, measure, number))
        reply = self.socket.recv(1 << 16)
        assert reply[:16] == MAGIC and len(reply) <= 40
        return struct.unpack(">2I" if len(reply) == 24 else ">3Q", reply[16:])


def test_a_client_of_datagrams_by_the_book(folder):
    """The request again begins nothing anew; of another's, or of another size, nothing counts; the count once told stays."""
    with server(folder, transport="udp") as s:
        ours, other = Asker(s.to), Asker(s.to)
        assert ours.say(TOLD) == (3, 0)
        assert ours.say(SEND) == (0, 0)
        for _ in range(5):
            ours.socket.send(bytes(100))
            ours.socket.send(bytes(99))
            other.socket.send(bytes(100))
        assert ours.say(SEND) == (0, 0)
        for _ in range(5):
            ours.socket.send(bytes(100))
        bytes_, ns, datagrams = ours.say(TOLD)
        assert (bytes_, datagrams) == (1000, 10) and 0 < ns < 60e9
        ours.socket.send(bytes(100))
        assert ours.say(TOLD) == (bytes_, ns, 10)
        assert told(s.log(), "received") == [1000]
        assert ours.say(SEND, warmup=60000, number=8) == (0, 0)
        ours.socket.send(bytes(100))
        assert ours.say(TOLD, number=7) == (3, 0)
        assert ours.say(TOLD, number=8) == (0, 0, 1)


def test_datagrams_come_back_to_the_latest_client(folder):
    """And to nobody else; what would need more than was sent is refused."""
    with server(folder, transport="udp") as s:
        ours, other = Asker(s.to), Asker(s.to)
        assert other.say(LATENCY, message=5) == ours.say(LATENCY, message=5) == (0, 0)
        other.socket.send(b"other")
        for word in b"hello", b"again!", b"again":
            ours.socket.send(word)
        assert (ours.socket.recv(100), ours.socket.recv(100)) == (b"hello", b"again")
        assert other.say(TOLD, message=5) == (3, 0)         # the first that it hears
        for words in ({"test": RECEIVE}, {"test": CONNECT}, {"test": 6}, {"message": 65508}, {"message": 0}, {"measure": 0}):
            assert other.say(**{"test": LATENCY, **words}) == (2, 0)
        assert other.say(LATENCY, magic=b"virtsock bench 2") == (1, 0)
        assert ours.say(TOLD, message=5)[2] == 2            # they took nothing over


@pytest.mark.parametrize("words", [("-B",), ("-L",)])
def test_a_server_of_datagrams_that_dies(folder, words):
    with server(folder, transport="udp") as s:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with running("bench", *words, "-m", "64", "--seconds", "60", "--json", s.to, **pipes) as client:
            time.sleep(0.3)
            s.send_signal(signal.SIGKILL)
            out, err = client.communicate(timeout=30)
            assert (client.returncode, json.loads(out)["status"]) == (1, "refused") and b"nobody has that port" in err
        failed(*words, "-m", "64", s.to, said="nobody has that port", status="refused")


def test_a_server_of_datagrams_that_comes_later(folder):
    """Refused until then; --wait goes on."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.bind(("::1", 0))
        to = f"udp://[::1]:{one.getsockname()[1]}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running("bench", "-L", "-m", "8", "--seconds", "0.2", "--wait", "60", "-v", to, **pipes) as client:
        assert b"attempt 1: bench " + to.encode() + b": nobody has that port" in client.stderr.readline()
        with started(folder, "bench", "-s", to) as s:
            out, err = client.communicate(timeout=60)
            assert (client.returncode, s.where) == (0, to), err


# --- Usage -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, said", [
    ("-s -c unix:///x", "one end each"),
    ("-s --json unix:///x", "the client says"),
    ("-s --seconds 1 unix:///x", "the client says"),
    ("-s --wait 1 unix:///x", "--wait is for connecting"),
    ("--allow host unix:///x", "--allow is for listening"),
    ("-m 0 unix:///x", "wanted are bytes"),
    ("-m 8, unix:///x", "wanted are bytes"),
    ("-m 8x unix:///x", "wanted are bytes"),
    ("-m 16777217 unix:///x", "wanted are bytes"),
    (f"-m {','.join(['1'] * 65)} unix:///x", "no more than 64"),
    ("-s -m x unix:///x", "wanted are bytes"),
    ("-d up unix:///x", "send, receive or both"),
    ("--plain -d both unix:///x", "only receives"),
    ("--plain -L unix:///x", "sends nothing back"),
    ("--json --dat unix:///x", "one of them"),
    ("--seconds 0 unix:///x", "--seconds is from"),
    ("--seconds forever unix:///x", "--seconds is from"),
    ("--seconds 3601 unix:///x", "--seconds is from"),
    ("--warmup forever unix:///x", "--warmup to"),
    ("--runs 0 unix:///x", "--runs is from"),
    ("--runs 101 unix:///x", "--runs is from"),
    ("--count 0 unix:///x", "--count is from"),
    ("--vsock unix:///x", "says its scheme"),
    ("-s word", "no address to listen on"),
    ("-vsock -c nonsense", "loopback, parent or a CID"),
    ("-vsock -c 4294967296", "loopback, parent or a CID"),
    ("-x unix:///x", "no option -x"),
    ("unix:///x unix:///y", "one word too many"),
    ("-C udp://127.0.0.1:9", "leave -C out"),
    ("-d receive udp://127.0.0.1:9", "--direction send"),
    ("-d both udp://127.0.0.1:9", "--direction send"),
    ("-L -m 65508 udp://127.0.0.1:9", "65507 bytes at most"),
    ("-p udp://127.0.0.1:9", "leave -p, -b and --plain out"),
    ("-b udp://127.0.0.1:9", "leave -p, -b and --plain out"),
    ("--plain -B udp://127.0.0.1:9", "leave -p, -b and --plain out"),
    ("-vsock udp://127.0.0.1:9", "says its scheme"),
    ("-L udp://127.0.0.1:any", "this end sends"),
    ("-L udp://web:9", "parse udp://web:9: "),
    ("-s -m 8 udp://127.0.0.1:9", "takes none of"),
    ("-s --allow host udp://127.0.0.1:9", "takes none of"),
    ("-s --mode 600 udp://127.0.0.1:9", "takes none of"),
])
def test_usage_errors(words, said):
    done = run("bench", *words.split())
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


@pytest.mark.parametrize("words", ["-p", "-p -L -m 8", "-s -p"])
def test_what_has_no_descriptor_is_not_polled(folder, words):
    """At either end, before it connects or listens."""
    done = run("bench", *words.split(), f"unix://{folder}/s?half-close=framed", timeout=20)
    assert (done.returncode, done.stdout) == (2, b"") and b"leave -p out" in done.stderr
    assert not (folder / "s").exists()


# --- The plot --------------------------------------------------------------------------------------------------------------


def plot(*words):
    return subprocess.run([sys.executable, "-m", "virtsock.plot", *map(str, words)], capture_output=True, text=True, timeout=120)


def texts_of(svg):
    return ["".join(one.itertext()).strip() for one in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def results():
    """Two files of real results."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for transport in "unix", "tcp":
            with server(Path(name), transport=transport) as s:
                Path(name, f"{transport}.json").write_bytes(bench("--json", *QUICK, "--runs", "2", "--count", "50", s.to).stdout)
        yield Path(name)


def test_plot(results, folder):
    """Two lines in each of four panels; the same twice, byte for byte; text is text."""
    pytest.importorskip("matplotlib")
    for out in "a.svg", "b.svg":
        done = plot(results / "unix.json", results / "tcp.json", "-o", folder / out, "--title", "a & b")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    texts = texts_of(folder / "a.svg")
    assert texts.count("unix") == texts.count("tcp") == 4 and "a & b" in texts
    assert set(texts) >= {"Bandwidth, the client sends", "Bandwidth, the client receives", "Latency, there and back: p50, dotted p99",
                          "Connections"}
    assert (folder / "a.svg").read_bytes() == (folder / "b.svg").read_bytes()
    assert (folder / "a.svg").stat().st_size < 100_000


def test_plot_of_one_test(results, folder):
    pytest.importorskip("matplotlib")
    whole = json.loads((results / "unix.json").read_text())
    whole["results"] = [point for point in whole["results"] if point["test"] == "latency"]
    (folder / "alone.json").write_text(json.dumps(whole))
    assert plot(folder / "alone.json", "-o", folder / "a.svg").returncode == 0
    texts = texts_of(folder / "a.svg")
    assert "alone" in texts and "Connections" not in texts


@pytest.mark.parametrize("text, said", [
    ("", "Expecting value"), ("[]", "not what virtsock bench"), ('{"results": []}', "nothing to draw"),
    ('{"results": [{"test": "latency"}]}', "message_bytes"),
])
def test_plot_of_what_is_none(folder, text, said):
    (folder / "bad.json").write_text(text)
    done = plot(folder / "bad.json", "-o", folder / "out.svg")
    assert done.returncode == 1 and said in done.stderr and done.stderr.startswith("virtsock.plot: ") and "Traceback" not in done.stderr
    assert not (folder / "out.svg").exists()


def test_plot_usage(folder):
    assert plot("-o", folder / "x.svg").returncode == 2
    assert plot(folder / "x.json").returncode == 2
    done = plot(folder / "missing.json", "-o", folder / "x.svg")
    assert done.returncode == 1 and "missing.json" in done.stderr


# --- The pages -------------------------------------------------------------------------------------------------------------


def test_every_option_is_told():
    """In the section of `bench`, or among those that it shares."""
    text = run("bench", "--help").stdout.decode()
    manual = (ROOT / "docs" / "virtsock.md").read_text()
    told = "".join(manual.partition(head)[2].partition("\n## ")[0] for head in ("## virtsock bench\n", "## Options of `cat`"))
    options = re.findall(r"--([a-z-]+)", text.partition("Options:")[2].partition("Examples:")[0])
    assert len(options) > 20
    assert not [name for name in options if name not in ("help", "version") and f"`--{name}" not in told]


def test_plots_of_the_pages_are_there():
    """Each is a picture of real machines with the lines that its table has."""
    page = (ROOT / "docs" / "bench.md").read_text()
    plots = re.findall(r"!\[[^]]*\]\((bench/\w+\.svg)\)", page)
    assert len(plots) >= 2
    for name in plots:
        texts = texts_of(ROOT / "docs" / name)
        assert set(texts) >= {"Bandwidth, the client sends", "Latency, there and back: p50, dotted p99", "Connections"}
