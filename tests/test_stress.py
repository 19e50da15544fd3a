# SPDX-License-Identifier: MIT
"""`virtsock stress` against itself over every transport that needs no machine, and against sock_stress and hvstress of linuxkit/virtsock as
their sources say that they behave, written down here: ends that do their part, and such as spoil it. VIRTSOCK_STRESS_FULL=1 makes the long
runs as long as the project promises; AF_VSOCK is in tests/vm."""

import contextlib
import hashlib
import json
import os
import pty
import random
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from test_tools import TOOL, eventually, read_terminal, read_to_end, run, running

FULL = os.environ.get("VIRTSOCK_STRESS_FULL") == "1"
PATIENCE = 400 if FULL else 60
SIZE = 100_000
EXACT = ("-L", str(SIZE), "-l", str(SIZE), "-i", "1")
PLAIN = not re.search("asan|tsan|musl|linux-", str(TOOL))  # an ordinary program of this machine


@pytest.fixture
def place():
    """A folder with a name that is short enough for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="stress-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def logged(log, *words, until="listening on", **more):
    with open(log, "wb") as err, running(*words, stderr=err, **more) as process:
        process.log = log.read_text
        eventually(lambda: until in process.log() or process.poll() is not None)
        assert process.poll() is None, process.log()
        yield process


def stress(*words, **more):
    """Exit code, the result as JSON tells it, and what was said beside."""
    done = run("stress", *words, "--json", timeout=PATIENCE, **more)
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout), done.stderr.decode()


def succeeds(*words, connections=None):
    code, result, said = stress(*words)
    assert code == 0 and result["ok"] and not result["failed"] and result["good"] == result["connections"], said
    assert result["bytes_sent"] == result["bytes_received"]
    assert connections in (None, result["connections"])
    return result


@contextlib.contextmanager
def python_server(place, talk, kind=socket.SOCK_STREAM):
    """talk(connection, number) in a thread for each; .results in the order of their ends."""

    class Server(threading.Thread):
        results, errors, clients = [], [], 0

        def __init__(self):
            super().__init__(daemon=True)
            self.results, self.errors, self.threads = [], [], []

        def attend(self, connection, number):
            try:
                with connection:
                    self.results.append(talk(connection, number))
            except OSError as error:
                self.errors.append(error)

        def run(self):
            with contextlib.suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    connection.settimeout(PATIENCE)
                    self.clients += 1
                    self.threads.append(threading.Thread(target=self.attend, args=(connection, self.clients), daemon=True))
                    self.threads[-1].start()

    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.bind(str(place / "s"))
        listener.listen(64)
        server = Server()
        server.address = f"unix://{place}/s"
        server.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
    server.join(10)
    for thread in server.threads:
        thread.join(10)
        assert not thread.is_alive()


# --- Against itself ------------------------------------------------------------------------------------------------------------

TRANSPORTS = ("unix", "seqpacket", "framed", "tcp", "vsock-mux", "hyperkit", "udp")
DIALECTS = ("firecracker", "cloud-hypervisor", "vhost-device-vsock", "openvmm")


@contextlib.contextmanager
def our_server(place, transport, *words, dialect="cloud-hypervisor", **more):
    """(process, the client's address)."""
    with contextlib.ExitStack() as undo:
        if transport in ("vsock-mux", "hyperkit"):
            undo.enter_context(logged(place / "mux.log", "mux", "-d", dialect, str(place / "vm"), until="for hyperkit"))
        at = {"unix": f"unix://{place}/s", "seqpacket": f"unix://{place}/s?type=seqpacket", "framed": f"unix://{place}/s?half-close=framed",
              "tcp": "tcp://127.0.0.1:any", "udp": "udp://127.0.0.1:any", "vsock-mux": f"vsock-mux://{place}/vm/vsock.sock",
              "hyperkit": f"hyperkit://{place}/vm"}[transport]
        if "://" + str(place) in at and transport in ("vsock-mux", "hyperkit"):
            at = at.replace("://", "://:22099", 1)
        server = undo.enter_context(logged(place / "log", "stress", "-s", at, "-v", *words, **more))
        yield server, at.replace("any", re.search(r"(\d+)\n", server.log())[1] if "any" in at else "")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("words", [(), ("-p", "4", "-a"), ("-B", "1", "-b", "5000", "-p", "3", "-r")],
                         ids=["plain", "alternating", "random"])
def test_against_itself(place, transport, words):
    with our_server(place, transport) as (_, address):
        succeeds("-c", address, "-i", "40", *words, connections=40)


@pytest.mark.parametrize("transport", ["unix", "seqpacket", "framed", "vsock-mux"])
def test_without_a_half_close(place, transport):
    with our_server(place, transport) as (_, address):
        succeeds(address, "-i", "20", "--no-half-close")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects_of_multiplexers(place, dialect):
    """By count nothing is lost in any; with a half-close it is, where the end of one direction ends both, and that is said."""
    with our_server(place, "vsock-mux", dialect=dialect) as (_, address):
        succeeds(address, "-i", "20", "-p", "2", "-l", "1000000", "--no-half-close")
        if dialect in ("firecracker", "vhost-device-vsock"):
            code, result, said = stress(address, "-i", "5", "-L", "1000000", "-l", "1000000")
            assert code == 1 and 1 <= result["failures"]["ended early"] <= 5, said         # what is on its way at the end is lost
            assert f"with {dialect} the end of one direction is the end of both; --no-half-close does without it" in said
            code, _, said = stress(address + "?half-close=none", "-i", "2")
            assert code == 1 and "--no-half-close does without it" in said
        else:
            succeeds(address, "-i", "5", "-L", "1000000", "-l", "1000000")


@pytest.mark.parametrize("single", [(), ("-1",)])
def test_much_in_both_directions_at_once(place, single):
    """More than any buffer holds: an end that sent first and received then would never end."""
    with our_server(place, "unix", *single) as (_, address):
        succeeds(address, "-L", "8000000", "-l", "8000000", "-i", "4", "-p", "2")


def test_long_runs_over_a_multiplexer(place):
    """10 at once of up to 100 MB, and 10,000 short ones; bounded in an ordinary run."""
    with our_server(place, "vsock-mux") as (_, address):
        succeeds(address, "-p", "10", "-i", "10", "-l", "100000000" if FULL else "10000000")
        succeeds(address, "-p", "10", "-i", "10000" if FULL else "1000", "-l", "1000")


@pytest.mark.skipif(not PLAIN, reason="what a sanitizer takes is not bounded")
def test_memory_does_not_grow_with_what_is_carried(place):
    """Chunks of 2 GB asked for: no end ever holds more than a few pieces of 64 KiB of each connection."""
    words = ["-p", "4", "-w", "60", "-L", "20000000", "-l", "20000000", "-b", "2000000000"]
    with our_server(place, "unix") as (server, address), running("stress", address, *words, stdout=subprocess.DEVNULL) as client:
        eventually(lambda: server.log().count("20000000 bytes echoed") == 4, PATIENCE)
        for process in client, server:
            assert int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]) < 6000


def test_checksums_are_told_at_both_ends(place):
    with our_server(place, "unix") as (server, address):
        done = run("stress", "-v", address, "-i", "5")
        told = re.findall(r"connection \d+: (\d+) bytes .* checksum (\w{16}) sent, (\w{16}) came back", done.stderr.decode())
        assert len(told) == 5 and all(sent == came for _, sent, came in told)
        eventually(lambda: server.log().count("echoed") == 5)
        echoed = re.findall(r"client \d+: (\d+) bytes echoed .* checksum (\w{16})", server.log())
        assert sorted((n, sent) for n, sent, _ in told) == sorted(echoed)


def answer(connection, _number):
    """All of it, once it is there."""
    data = read_to_end(connection)
    connection.sendall(data)
    return data


def test_checksum_is_what_the_manual_says(place):
    with python_server(place, answer) as server:
        told = re.findall(r"checksum (\w{16}) sent", run("stress", "-v", server.address, "-i", "9", "-l", "40").stderr.decode())
        eventually(lambda: len(server.results) == 9)
    for data in server.results:
        value = 0xCBF29CE484222325
        for at in range(0, len(data), 8):
            value = (value ^ int.from_bytes(data[at:at + 8], "little")) * 0x100000001B3 % 2**64
            value ^= value >> 32
        told.remove(f"{value:016x}")
    assert told == []


def test_server_ends_after_i_connections(place):
    with our_server(place, "unix", "-i", "12", "--json") as (server, address):
        succeeds(address, "-i", "12", "-p", "3")
        assert server.wait(10) == 0


def test_server_tells_its_result(place):
    with logged(place / "log", "stress", "-s", f"unix://{place}/s", "-v", "-i", "2", "--json", stdout=subprocess.PIPE) as server:
        result = succeeds(f"unix://{place}/s", "-i", "2")
        assert server.wait(10) == 0
        assert json.loads(server.stdout.read()) == {"address": f"unix://{place}/s", "ok": True, "clients": 2, "failed": 0,
                                                    "bytes_echoed": result["bytes_sent"]}


def test_server_serves_as_many_at_once_as_it_may(place):
    with our_server(place, "unix", "-p", "2") as (server, address), contextlib.ExitStack() as held:
        for _ in range(2):
            held.enter_context(connected(place))
        eventually(lambda: "2 clients at once: the next waits" in server.log())
        with running("stress", address, "-i", "3", stdout=subprocess.DEVNULL) as client:
            with pytest.raises(subprocess.TimeoutExpired):
                client.wait(0.3)
            held.close()
            assert client.wait(10) == 0


def test_server_with_one_thread_takes_one_after_another(place):
    def threads():
        return len(os.listdir(f"/proc/{server.pid}/task"))

    with our_server(place, "unix", "-1") as (server, address):
        idle = threads()
        with connected(place) as first:
            first.sendall(b"x")
            assert first.recv(1) == b"x"
            with connected(place) as second:
                second.sendall(b"y")
                second.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    second.recv(1)
                first.close()
                second.settimeout(10)
                assert second.recv(1) == b"y"
            assert threads() == idle
        succeeds(address, "-i", "20", "-p", "5")


def connected(place):
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(30)
    stream.connect(str(place / "s"))
    return stream


def exactly(connection, size):
    """So much, or less at the end."""
    parts = bytearray()
    while len(parts) < size and (data := connection.recv(size - len(parts))):
        parts += data
    return bytes(parts)


# --- sock_stress and hvstress as the other end ------------------------------------------------------------------------------------


def hvstress_serves(connection, _number):
    """hvstress.c -a: 4096 and 4 bytes in turns, until a client closes."""
    turn = 0
    while data := connection.recv(4 if turn % 2 else 4096):
        connection.sendall(data)
        turn += 1


def sock_stress_serves(connection, _number):
    """stream_echo.go: copies until the end, then closes."""
    digest, size = hashlib.sha256(), 0
    while data := connection.recv(32768):
        connection.sendall(data)
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


def sock_stress_connects(place, size, least=16384, most=16384):
    """One thread writes chunks of bytes from 0 to 254 and ends its direction, the other reads exact chunks meanwhile; MD5 of both."""

    def send():
        rest = size
        while rest > 0:
            chunk = bytes(numbers.randrange(255) for _ in range(min(rest, numbers.randint(least, most))))
            stream.sendall(chunk)
            sent.update(chunk)
            rest -= len(chunk)
        stream.shutdown(socket.SHUT_WR)

    numbers, sent, came = random.Random(size), hashlib.md5(), hashlib.md5()
    with connected(place) as stream:
        sender = threading.Thread(target=send)
        sender.start()
        rest = size
        while rest > 0:
            want = min(rest, random.Random(rest).randint(least, most))
            chunk = exactly(stream, want)
            assert len(chunk) == want, "Unexpected EOF"
            came.update(chunk)
            rest -= want
        sender.join()
        return sent.digest() == came.digest()


def hvstress_connects(place, size, sizes):
    """hvstress.c: pieces of a fixed pattern, both directions end by count, and nobody ends one; -a has 4096 and 4 bytes in turns."""

    def send():
        rest, turn = size, 0
        while rest > 0:
            rest -= stream.send(pattern[:min(rest, sizes[turn % 2])])
            turn += 1

    pattern, count, turn = bytes(range(256)) * 16, 0, 0
    with connected(place) as stream:
        sender = threading.Thread(target=send)
        sender.start()
        while count < size:
            data = stream.recv(min(size - count, sizes[turn % 2]))
            assert data
            count, turn = count + len(data), turn + 1
        sender.join()


def test_sock_stress_serves(place):
    with python_server(place, sock_stress_serves) as server:
        result = succeeds("-c", server.address, "-i", "30", "-p", "3", connections=30)
        eventually(lambda: len(server.results) == 30)
    assert sum(size for size, _ in server.results) == result["bytes_sent"]


@pytest.mark.parametrize("words", [(), ("-a",), ("--no-half-close",), ("-m", "1000000", "-p", "4")])
def test_hvstress_serves(place, words):
    with python_server(place, hvstress_serves) as server:
        succeeds("-c", server.address, "-i", "10", *words, connections=10)


@pytest.mark.parametrize("words", [(), ("-1",), ("-a",)])
def test_sock_stress_connects(place, words):
    with our_server(place, "unix", *words) as (server, _):
        assert all(sock_stress_connects(place, size) for size in (0, 1, 16384, 65536, 50001))
        assert sock_stress_connects(place, 200_000, 100, 30_000)
        eventually(lambda: server.log().count("echoed") == 6)
        assert sum(map(int, re.findall(r": (\d+) bytes echoed", server.log()))) == 0 + 1 + 16384 + 65536 + 50001 + 200_000


@pytest.mark.parametrize("sizes", [(4096, 4096), (4096, 4)], ids=["-", "-a"])
@pytest.mark.parametrize("words", [(), ("-a",), ("-1",)])
def test_hvstress_connects(place, sizes, words):
    with our_server(place, "unix", *words) as (server, _):
        for size in (1, 4096, 100_000):
            hvstress_connects(place, size, sizes)
        eventually(lambda: server.log().count("echoed") == 3)


# --- What a peer does wrong -------------------------------------------------------------------------------------------------------


def spoiled(change):
    """Sends back everything, changed, once all of it is there."""

    def talk(connection, _number):
        data = read_to_end(connection)
        for piece in [changed] if isinstance(changed := change(data), bytes) else changed:
            connection.sendall(piece)

    return talk


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


AT = 50_001
FAULTS = {
    "a byte": (lambda d: flip(d, AT), "changed", f"byte {AT} was changed: 0x"),
    "the first byte": (lambda d: flip(d, 0), "changed", "byte 0 was changed"),
    "the last byte": (lambda d: flip(d, SIZE - 1), "changed", f"byte {SIZE - 1} was changed"),
    "all bytes": (lambda d: bytes(len(d)), "changed", "byte 0 was changed"),
    "drops one": (lambda d: d[:AT] + d[AT + 1:], "missing", f"1 byte from {AT} on: missing"),
    "drops a chunk": (lambda d: d[:AT] + d[AT + 4096:], "missing", f"4096 bytes from {AT} on: missing"),
    "drops the first": (lambda d: d[1:], "missing", "1 byte from 0 on: missing"),
    "drops the last": (lambda d: d[:-1], "ended early", f"ended early: {SIZE} of {SIZE} bytes were sent, {SIZE - 1} came back"),
    "sends one twice": (lambda d: d[:AT + 1] + d[AT:], "twice", f"1 byte from {AT} on: came back twice"),
    "sends a chunk twice": (lambda d: d[:AT + 4096] + d[AT:], "twice", f"4096 bytes from {AT} on: came back twice"),
    "sends the last chunk twice": (lambda d: d + d[-4096:], "twice", f"4096 bytes from {SIZE - 4096} on: came back twice"),
    "sends more": (lambda d: d + bytes(100), "changed", f"byte {SIZE} was changed"),
    "swaps two chunks": (lambda d: d[:AT] + d[AT + 4096:AT + 8192] + d[AT:AT + 4096] + d[AT + 8192:], "out of order",
                         f"4096 bytes from {AT} on: out of order"),
    "sends it backwards": (lambda d: d[::-1], "changed", "byte 0 was changed"),
    "ends in the middle": (lambda d: d[:AT], "ended early", f"{AT} came back"),
    "sends nothing": (lambda d: b"", "ended early", "ended early"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_spoiled_is_found(place, fault):
    change, kind, message = FAULTS[fault]
    with python_server(place, spoiled(change)) as server:
        code, result, said = stress(server.address, *EXACT)
    assert code == 1 and not result["ok"] and result["failures"] == {kind: 1} and (result["good"], result["failed"]) == (0, 1)
    assert f"virtsock: connection 1: {message}" in said or message in said


def test_one_bad_byte_among_many_connections(place):
    def talk(connection, number):
        data = read_to_end(connection)
        connection.sendall(flip(data, 4999) if number == 17 else data)

    with python_server(place, talk) as server:
        code, result, said = stress(server.address, "-L", "5000", "-l", "5000", "-i", "60", "-p", "4")
    assert (code, result["good"], result["failures"]) == (1, 59, {"changed": 1})
    assert said.count("was changed") == 1


def holds(sends_back, takes):
    """Takes and sends back so much, and then holds the connection."""

    def talk(connection, _number):
        data = exactly(connection, takes)
        connection.sendall(data[:sends_back])
        held.wait(30)

    held = threading.Event()
    talk.release = held.set
    return talk


@pytest.mark.parametrize(
    "size, takes, sends_back, message",
    [
        (8_000_000, 1000, 1000, "the peer takes no more"),
        (SIZE, SIZE, 4000, f"the peer sends no more back: nothing moved for 0.5 s; {SIZE} of {SIZE} bytes were sent, 4000 came back"),
        (SIZE, SIZE, 0, "the peer sends no more back"),
        (SIZE, SIZE, SIZE, "the peer does not end"),
    ],
)
def test_stall(place, size, takes, sends_back, message):
    talk = holds(sends_back, takes)
    with python_server(place, talk) as server:
        begun = time.monotonic()
        code, result, said = stress(server.address, "-L", str(size), "-l", str(size), "-i", "1", "--stall", "0.5")
        took = time.monotonic() - begun
        talk.release()
    assert (code, result["failures"]) == (1, {"stalled": 1})
    assert message in said and f" of {size} bytes were sent" in said
    assert 0.5 <= took < 10


def test_slow_is_no_stall(place):
    def talk(connection, _number):
        for _ in range(10):
            data = exactly(connection, SIZE // 10)
            time.sleep(0.1)
            connection.sendall(data)
        return read_to_end(connection)

    with python_server(place, talk) as server:
        begun = time.monotonic()
        assert succeeds(server.address, *EXACT, "--stall", "0.7")
        assert time.monotonic() - begun > 1


def test_late_echo_is_no_deadlock(place):
    """All of it is taken before anything is sent back."""
    with python_server(place, spoiled(lambda data: data)) as server:
        succeeds(server.address, "-L", "5000000", "-l", "5000000", "-i", "2")


def test_break(place):
    """What the peer never read is a break."""
    with python_server(place, lambda connection, _: connection.recv(1)) as server:
        code, result, said = stress(server.address, "-L", "5000000", "-l", "5000000", "-i", "3")
    assert code == 1 and result["failed"] == 3
    assert set(result["failures"]) <= {"receive: reset", "send: reset", "ended early"} and sum(result["failures"].values()) == 3
    assert "of 5000000 bytes were sent" in said


def test_server_outlives_bad_clients(place):
    with our_server(place, "unix", "--stall", "0.5") as (server, address):
        with connected(place) as leaves:
            leaves.sendall(bytes(100_000))
        with connected(place) as stands:
            stands.sendall(b"x")
            eventually(lambda: "stalled after 1 bytes: nothing moved for 0.5 s" in server.log())
            assert stands.recv(1) == b"x"
        with connected(place) as deaf:
            deaf.settimeout(5)
            with contextlib.suppress(OSError):
                deaf.sendall(bytes(50_000_000))
            eventually(lambda: server.log().count("stalled") == 2)
        succeeds(address, "-i", "10")
        assert server.poll() is None


def test_server_s_exit_code_tells_of_bad_clients(place):
    with our_server(place, "unix", "-i", "2") as (server, address):
        with connected(place) as leaves:
            leaves.sendall(bytes(100_000))
            assert leaves.recv(1)
        succeeds(address, "-i", "1")
        assert server.wait(10) == 1


# --- Counts, seeds, sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parallel, connections", [(1, 1), (1, 7), (3, 7), (7, 7), (20, 7), (5, 100)])
def test_as_many_connections_as_were_asked_for(place, parallel, connections):
    with python_server(place, sock_stress_serves) as server:
        succeeds(server.address, "-p", str(parallel), "-i", str(connections), "-l", "5000", connections=connections)
        assert server.clients == connections


def test_parallel_is_at_once(place):
    """All of them are there before one is answered; and never more."""

    def talk(connection, _number):
        busy.append(1)
        most.append(len(busy))
        barrier.wait(20)
        sock_stress_serves(connection, 0)
        busy.pop()

    busy, most, barrier = [], [], threading.Barrier(5)
    with python_server(place, talk) as server:
        succeeds(server.address, "-p", "5", "-i", "20", "-l", "100")
    assert max(most) == 5


def test_pause(place):
    with python_server(place, sock_stress_serves) as server:
        begun = time.monotonic()
        succeeds(server.address, "-w", "0.2", "-i", "4", "-l", "100")
        assert 0.6 <= time.monotonic() - begun < 5


def test_default_is_a_hundred_of_at_most_64_kib(place):
    with python_server(place, sock_stress_serves) as server:
        succeeds(server.address, connections=100)
    sizes = [size for size, _ in server.results]
    assert len(sizes) == 100 and max(sizes) <= 65536 and max(sizes) > 50000 and min(sizes) < 15000


def test_every_byte_occurs_and_positions_matter(place):
    with python_server(place, answer) as server:
        succeeds(server.address, *EXACT)
    (data,) = server.results
    assert set(data) == set(range(256))
    assert len({data[at:at + 16] for at in range(SIZE - 16)}) == SIZE - 16


def contents(place, *words):
    with python_server(place, sock_stress_serves) as server:
        result = succeeds(server.address, "-i", "12", *words)
        eventually(lambda: len(server.results) == 12)
    (place / "s").unlink()
    return sorted(server.results), result["seed"]


def test_seeds(place):
    first, seed = contents(place)
    assert seed == 1 and contents(place, "-p", "5") == (first, 1) and contents(place, "--seed", "1") == (first, 1)
    assert len(set(first)) == 12
    other, seed = contents(place, "-r")
    assert other != first and seed != 1
    assert contents(place, "--seed", str(seed), "-p", "3") == (other, seed)
    assert contents(place, "-r")[1] != seed


def messages(place, *words):
    def talk(connection, _number):
        sizes = []
        while data := connection.recv(1 << 17):
            sizes.append(len(data))
            connection.send(data)
        return sizes

    with python_server(place, talk, socket.SOCK_SEQPACKET) as server:
        succeeds(server.address + "?type=seqpacket", "-i", "1", *words)
        eventually(lambda: server.results)
    (place / "s").unlink()
    return server.results[0]


def test_chunks(place):
    """Each is a message, where there are messages."""
    exact = ("-L", "300000", "-l", "300000")
    assert messages(place, *exact) == [16384] * 18 + [300000 - 18 * 16384]
    assert messages(place, *exact, "-a")[:-1] == ([4096, 4] * 200)[:len(messages(place, *exact, "-a")) - 1]
    sizes = messages(place, *exact, "-B", "100", "-b", "9000")
    assert all(100 <= size <= 9000 for size in sizes[:-1]) and max(sizes) > 7000 and min(sizes[:-1]) < 2000
    assert set(messages(place, *exact, "-b", "1000")[:-1]) == {1000}          # what was not told gives way
    assert set(messages(place, *exact, "-B", "20000")[:-1]) == {20000}
    assert messages(place, "-L", "0", "-l", "0") == []


def test_m_is_bytes_as_well(place):
    with python_server(place, sock_stress_serves) as server:
        succeeds(server.address, "-m", "700", "-i", "20")
        eventually(lambda: len(server.results) == 20)
    assert max(size for size, _ in server.results) <= 700


# --- Errors, ends, progress -------------------------------------------------------------------------------------------------------


def test_exit_on_error(place):
    with python_server(place, spoiled(lambda data: data[1:])) as server:
        code, result, said = stress(server.address, "-L", "1000", "-l", "1000", "-e")
        assert (code, result["good"], result["failed"], server.clients) == (1, 0, 1, 1)
        code, result, said = stress(server.address, "-L", "1000", "-l", "1000", "-i", "30")
        assert (code, result["good"], result["failures"], server.clients) == (1, 0, {"missing": 30}, 31)
        assert said.count(": missing") == 10 and said.count("more failures are counted; -v tells of each") == 1
        assert stress(server.address, "-L", "1000", "-l", "1000", "-i", "30", "-v")[2].count(": missing") == 30


def test_exit_on_error_ends_connections_under_way(place):
    def talk(connection, number):
        data = exactly(connection, 1000)
        if number == 1:
            eventually(lambda: server.clients == 3)
            connection.sendall(flip(data, 0))
        else:
            connection.recv(1)      # until the client gives it up

    with python_server(place, talk) as server:
        begun = time.monotonic()
        code, result, _ = stress(server.address, "-L", "1000", "-l", "1000", "-e", "-p", "3", "--no-half-close")
        assert (code, result["failed"], result["good"], server.clients) == (1, 1, 0, 3)
        assert time.monotonic() - begun < 10


def test_nobody_listens(place):
    code, result, said = stress(f"unix://{place}/s", "-i", "5", "-p", "2")
    assert (code, result["failures"], result["bytes_sent"]) == (1, {"connect: refused": 5}, 0)
    assert f"virtsock: connection 1: connect unix://{place}/s: " in said


def test_waits_for_its_server(place):
    with running("stress", f"unix://{place}/s", "--wait", "30", "-i", "3", "-p", "3", stdout=subprocess.DEVNULL) as client:
        time.sleep(0.3)
        assert client.poll() is None
        with our_server(place, "unix"):
            assert client.wait(30) == 0


def test_text(place):
    with python_server(place, sock_stress_serves) as server:
        done = run("stress", server.address, "-i", "20", "-l", "100")
    assert (done.returncode, done.stderr) == (0, b"")
    first, second = done.stdout.decode().splitlines()
    assert first == f"{server.address}: 20 of 20 connections got every byte back, 0 failed"
    assert re.fullmatch(r"(\d+) bytes sent, \1 came back in [\d.]+ s: [\d.]+ MiB/s each way, [\d.]+ connections/s; seed 1", second)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [("-w", "60"), ("-L", "1000", "--no-half-close", "-l", "1000")], ids=["pausing", "under way"])
def test_signal_ends_the_client(place, number, words):
    talk = sock_stress_serves if "-w" in words else holds(10, 1000)
    with (
        python_server(place, talk) as server,
        running("stress", server.address, "--json", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client,
    ):
        eventually(lambda: server.clients == 1 and (server.results or "-w" not in words))
        client.send_signal(number)
        out, err = client.communicate(timeout=10)
        if "-w" not in words:
            talk.release()
    result = json.loads(out)
    assert (client.returncode, result["interrupted"], result["failed"], err) == (1, True, 0, b"virtsock: interrupted\n")
    assert result["good"] == 0 or ("-w" in words and result["good"] == 1)       # the server is done before its client has counted that


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [(), ("-1",)])
def test_signal_ends_the_server(place, number, words):
    with our_server(place, "unix", *words) as (server, _), connected(place) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"       # it is in the middle of that
        server.send_signal(number)
        assert server.wait(10) == 0
    assert not (place / "s").exists()


def test_progress_is_for_terminals(place):
    ours, theirs = pty.openpty()
    with python_server(place, sock_stress_serves) as server:
        with running("stress", server.address, "-i", "8", "-w", "0.2", stdout=subprocess.DEVNULL, stderr=theirs) as client:
            assert client.wait(30) == 0
        os.close(theirs)
        said = read_terminal(ours)
        line = r"\r\x1b\[Kvirtsock: \d of 8 connections, 0 failed, [\d.]+ MiB/s each way, about \d+ s to go"
        assert re.search(line, said), said
        assert run("stress", server.address, "-i", "4", "-w", "0.2").stderr == b""


# --- Threads that there are not ---------------------------------------------------------------------------------------------------


def few_threads():
    resource.setrlimit(resource.RLIMIT_AS, (24 << 20, 24 << 20))        # an ordinary user has RLIMIT_NPROC; root has not


needs_limit = pytest.mark.skipif(not PLAIN, reason="this build's own memory is beyond any limit of address space")


@needs_limit
def test_server_out_of_threads(place):
    with logged(place / "log", "stress", "-s", f"unix://{place}/s", "-v", preexec_fn=few_threads) as server:
        crowd = [connected(place) for _ in range(120)]
        eventually(lambda: "no thread for the next client" in server.log())
        for client in crowd:
            client.close()
        succeeds(f"unix://{place}/s", "-i", "5")
        assert server.log().count("no thread for the next client") < 10


@needs_limit
def test_echo_server_out_of_threads(place):
    """serve.c, which has one a client."""
    with logged(place / "log", "echo", "-s", f"unix://{place}/s", "-v", preexec_fn=few_threads) as server:
        crowd = [connected(place) for _ in range(120)]
        eventually(lambda: "waits: the system has no thread to give" in server.log())
        for client in crowd:
            client.close()
        assert run("echo", f"unix://{place}/s").returncode == 0
        assert server.log().count("no thread to give") < 10


@needs_limit
def test_client_out_of_threads(place):
    """Nobody is answered before it has said something: that it has no thread for a worker, or for a connection, or no memory, whichever
    comes first. It goes on with what it has, and what could not be done is counted."""

    def talk(connection, number):
        noticed.wait(30)
        sock_stress_serves(connection, number)

    noticed, log = threading.Event(), place / "log"
    with (
        python_server(place, talk) as server,
        logged(log, "stress", server.address, "-p", "300", "-i", "300", "-l", "100", "--json", stdout=subprocess.PIPE,
               preexec_fn=few_threads, until="virtsock: ") as client,
    ):
        noticed.set()
        result = json.loads(client.communicate(timeout=PATIENCE)[0])
        said = client.log()
    assert re.search("in place of 300: the system has no more threads|no thread to give|out of memory", said), said
    assert result["good"] + result["failed"] == 300
    assert client.returncode == (1 if result["failed"] else 0)
    assert set(result["failures"]) <= {"no thread", "connect: no resources"}


# --- Words ------------------------------------------------------------------------------------------------------------------------


def test_hyperkit_as_printed(place):
    """linuxkit's lines: the host's state directory, relative to where the program runs."""
    with (
        logged(place / "mux.log", "mux", "./hvtest-state", until="for hyperkit", cwd=place),
        logged(place / "log", "stress", "-s", "-m", "hyperkit:./hvtest-state", "-v", "1", cwd=place) as server,
    ):
        assert "no address: hyperkit:///./hvtest-state is taken" in server.log()
        done = run("stress", "-c", "3", "-m", "hyperkit:./hvtest-state", "-v", "1", cwd=place)
    assert done.returncode == 0
    said = done.stderr.decode()
    assert "3: hyperkit://3/./hvtest-state is taken" in said and said.count("there and back") == 100


@pytest.mark.parametrize(
    "words, taken",
    [
        ("-s", ["no address: vsock:// is taken", "vsock:// names no port: 22099 is taken"]),
        ("-s -v 1", ["no address: vsock:// is taken", "vsock:// names no port: 22099 is taken"]),
        ("-s vsock", ["vsock: vsock:// is taken", "vsock:// names no port: 22099 is taken"]),
        ("-s hvsock", ["hvsock: hvsock:// is taken", "hvsock:// names no port: 810097020 is taken"]),
        ("-s tcp", ["tcp: tcp://localhost:5303 is taken"]),
        ("-s tcp6", ["tcp6: tcp://[::1]:5303 is taken"]),
        ("-s udp://:7", ["udp://:7: udp://localhost:7 is taken"]),
        ("-c", ["no address: vsock://local is taken", "vsock://local names no port: 22099 is taken"]),
        ("-c 3", ["3: vsock://3 is taken", "vsock://3 names no port: 22099 is taken"]),
        ("-c 2 -v 1", ["2: vsock://2 is taken", "vsock://2 names no port: 22099 is taken"]),
        ("-c vsock://", ["vsock://: vsock://local is taken", "vsock://local names no port: 22099 is taken"]),
        ("-c VSOCK://3", ["VSOCK://3: vsock://3 is taken", "vsock://3 names no port: 22099 is taken"]),
        ("-c Vsock-Mux:///vm.sock", ["Vsock-Mux:///vm.sock names no port: 22099 is taken"]),
        ("-c UDP4://[::1]", ["UDP4://[::1]: udp://[::1]:5303 is taken"]),
        ("-c vsock://:1235", ["vsock://:1235: vsock://local:1235 is taken"]),
        ("-c hvsock://parent", ["hvsock://parent names no port: 810097020 is taken"]),
        ("-c vsock-mux:///vm.sock", ["vsock-mux:///vm.sock names no port: 22099 is taken"]),
        ("-c tcp4://10.0.0.1", ["tcp4://10.0.0.1: tcp://10.0.0.1:5303 is taken"]),
        ("-c tcp://[::1]:9", []),
        ("-c udp://[::1]", ["udp://[::1]: udp://[::1]:5303 is taken"]),
        ("-c 3 -m docker", ["3: hyperkit+docker://3 is taken", "hyperkit+docker://3 names no port: 22099 is taken"]),
        ("-c -m hyperkit:/a?b%c", ["no address: hyperkit:///a%3Fb%25c is taken", "hyperkit:///a%3Fb%25c names no port: 22099 is taken"]),
        ("-s -m hyperkit:vm", ["no address: hyperkit:///./vm is taken", "hyperkit:///./vm names no port: 22099 is taken"]),
        ("-c vsock://3:80 -m hyperkit:/vm", ["vsock://3:80: hyperkit://3:80/vm is taken"]),
        ("vsock://3:80", []),
        ("-v 2 vsock://3:80", []),
        ("-v2 vsock://3:80 -vv -v0", []),
    ],
)
def test_addresses_as_sock_stress_takes_them(words, taken):
    """What is filled in is told. -i 0 is a mistake that is noticed next, so that nobody is connected to."""
    done = run("stress", *words.split(), "-i", "0")
    *told, last = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (2, b"")
    assert told == [f"virtsock: {line}" for line in taken] and last.startswith("virtsock: wanted are: -i, ")


@pytest.mark.parametrize(
    "words, said",
    [
        ("", "needs -s, -c or an address"),
        ("-s unix:///a -c unix:///b", "one end and one address"),
        ("-c unix:///a unix:///b", "one end and one address"),
        ("-c unix:///a -L 10 -l 9", "the least is more than the most"),
        ("-c unix:///a -B 10 -b 9", "the least is more than the most"),
        ("-c unix:///a -p 0", "-p from 1 to 10000"),
        ("-c unix:///a -p 10001", "-p from 1 to 10000"),
        ("-c unix:///a -b 0", "-b from 1"),
        ("-c unix:///a -w forever", "-w a time that ends"),
        ("-c unix:///a -i many", '--connections "many"'),
        ("-c unix:///a -v 10", '--verbose "10"'),
        ("-c unix:///a -1", "-1 is for the server"),
        ("-s unix:///a -e", "are for the client"),
        ("-s unix:///a -l 5", "are for the client"),
        ("-s unix:///a -m 5", "are for the client"),
        ("-s unix:///a --no-half-close", "are for the client"),
        ("-s unix:///a --wait 1", "--wait is for connecting"),
        ("-c unix:///a --mode 600", "--mode is for listening"),
        ("-c unix:///a -m docker", "is for vsock://CID:PORT"),
        ("-c tcp://localhost -m docker", "is for vsock://CID:PORT"),
        ("-c udp://localhost -m docker", "is for vsock://CID:PORT"),
        ("-c 3 -m hyperkit:", "it is hyperkit:DIRECTORY, docker, or"),
        ("-c 3 -m virtualbox", "it is hyperkit:DIRECTORY, docker, or"),
        ("-c unix:///a -m 10000000000", "below a thousand million"),
        ("-c unix:///a -m 5 -l 5", "not beside -l"),
        ("-s udp://localhost -i 5", "no connections to count"),
        ("-c unix", "no known scheme"),
        ("-c vsock:3", "the port is missing"),
        ("-c VSOCK", "no known scheme"),
        ("-c tcp://web", "no name is looked up"),
        ("-c udp://web:80", "no name is looked up"),
        ("-c vsock://3:80x", "80x"),
    ],
)
def test_usage_errors(words, said):
    done = run("stress", *words.split())
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


def test_help():
    text = run("stress", "--help").stdout.decode()
    assert max(map(len, text.splitlines())) <= 120
    assert "-s, --server [ADDRESS]" in text and "-v, --verbose [LEVEL]" in text


# --- Datagrams --------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def datagram_server(answer):
    """answer(datagram, number): what goes back, in order."""

    def serve():
        number = 0
        with contextlib.suppress(OSError):
            while True:
                data, peer = s.recvfrom(1 << 16)
                if data == b"end":
                    return
                number += 1
                for piece in answer(data, number):
                    s.sendto(piece, peer)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"udp://127.0.0.1:{s.getsockname()[1]}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", s.getsockname())
        thread.join(10)
        assert not thread.is_alive()


def held_back():
    """Every second one before the one that came before it."""
    kept = []

    def answer(data, _number):
        kept.append(data)
        if len(kept) == 2:
            yield kept.pop()
            yield kept.pop()

    return answer


def test_datagrams_of_sock_stress_come_back():
    """dgram_echo.go sends 1 to 8192 bytes, and takes back what comes."""
    with tempfile.TemporaryDirectory() as folder, our_server(Path(folder), "udp") as (server, address):
        port = int(address.rpartition(":")[2])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            for size in (1, 4096, 8192, 0, 65507):
                data = os.urandom(size)
                client.sendto(data, ("127.0.0.1", port))
                assert client.recv(1 << 16) == data
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0


def test_datagrams_with_sock_stress():
    """Its server has room for 4096 bytes: none is bigger, unless told none is smaller than -B."""
    sizes = []

    def answer(data, _number):
        sizes.append(len(data))
        yield data[:4096]

    with datagram_server(answer) as address:
        succeeds(address, "-i", "20", "-p", "2")
        assert min(sizes) >= 4 and max(sizes) <= 4096 and max(sizes) > 3500
        sizes.clear()
        succeeds(address, "-i", "5", "-B", "100", "-b", "200", "-L", "10000", "-l", "10000")
        assert len(sizes) > 5 * 10000 / 200 and max(sizes) <= 200


def test_datagrams_in_another_order_are_fine():
    with datagram_server(held_back()) as address:
        succeeds(address, "-i", "1", "-L", "40000", "-l", "40000", "-B", "1000", "-b", "1000")


@pytest.mark.parametrize(
    "answer, kind, message",
    [
        (lambda d, n: [] if n == 5 else [d], "missing", "datagram 4 of 1000 bytes is missing"),
        (lambda d, n: [d, d] if n == 5 else [d], "twice", "datagram 4 came back twice"),
        (lambda d, n: [flip(d, 500)] if n == 5 else [d], "changed", "a datagram of 1000 bytes was changed; its number seems to be 4"),
        (lambda d, n: [d[:999]] if n == 5 else [d], "changed", "a datagram of 999 bytes was changed"),
        (lambda d, n: [d + b"x"] if n == 5 else [d], "changed", "a datagram of 1001 bytes was changed"),
        (lambda d, n: [b"", d] if n == 5 else [d], "changed", "a datagram of 0 bytes was changed"),
        (lambda d, n: [flip(d, 0)] if n == 5 else [d], "", "datagram"),
    ],
)
def test_what_is_spoiled_of_datagrams_is_found(answer, kind, message):
    with datagram_server(answer) as address:
        code, result, said = stress(address, "-i", "1", "-L", "40000", "-l", "40000", "-B", "1000", "-b", "1000")
    assert (code, result["failed"]) == (1, 1) and kind in str(result["failures"])
    assert message in said


def test_nobody_takes_datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{s.getsockname()[1]}"
    code, result, said = stress(address, "-i", "2")
    assert (code, result["failed"]) == (1, 2) and "Connection refused" in said


def forge(source, to, data):
    """A datagram of 127.0.0.1 with that source port, as anybody in a network can make one."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as s:
        s.sendto(struct.pack("!HHHH", source, to, 8 + len(data), 0) + data, ("127.0.0.1", 0))


def echoed(server):
    """Bytes that it sent back, as it tells when it is asked to end."""
    server.send_signal(signal.SIGTERM)
    return int(re.search(rb"(\d+) bytes echoed", server.communicate(timeout=30)[0])[1])


def test_no_datagram_goes_round_for_ever(place):
    """A server of another kind sends back what comes, too; what is new is answered still."""
    with our_server(place, "udp") as (server, address), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", int(address.rpartition(":")[2])))
        s.settimeout(5)
        rounds = 0
        s.send(b"ball")
        with contextlib.suppress(TimeoutError):
            while rounds < 1000 and s.recv(100) == b"ball":
                rounds += 1
                s.send(b"ball")
        assert rounds == 64 and "a datagram of 4 bytes is not sent back: it goes round" in server.log()
        s.send(b"another")
        assert s.recv(100) == b"another"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can forge a datagram")
def test_a_server_does_not_answer_itself_nor_its_kind(place):
    with (
        our_server(place, "udp", stdout=subprocess.PIPE) as (one, first),
        logged(place / "log2", "stress", "-s", "udp://127.0.0.1:any", "-v", stdout=subprocess.PIPE) as two,
    ):
        a, b = int(first.rpartition(":")[2]), int(re.search(r"port (\d+)", two.log())[1])
        forge(a, a, b"self")
        forge(7, a, b"echo")
        eventually(lambda: "a server's port" in one.log() and "a service's port" in one.log())
        forge(a, b, b"kind")
        eventually(lambda: "it goes round" in one.log() + two.log())
        assert 0 < echoed(one) + echoed(two) <= 2 * 64 * 4


# --- Peers that know no half-close ------------------------------------------------------------------------------------------------


def test_a_peer_that_knows_no_half_close(place):
    """Once, what does without it is named; where nothing says that it is so, nothing else can know."""

    def until_the_end_of_one(connection, _number):
        while data := connection.recv(1000):
            time.sleep(0.01)
            if select.select([connection], [], [], 0)[0] and not connection.recv(1, socket.MSG_PEEK):
                return
            connection.sendall(data)

    with python_server(place, until_the_end_of_one) as server:
        code, result, said = stress(server.address, "-i", "3", "-L", "100", "-l", "100")
        assert (code, result["failures"]) == (1, {"ended early": 3})
        assert said.count("--no-half-close does without it") == 1
        succeeds(server.address, "-i", "3", "-L", "100", "-l", "100", "--no-half-close")
    (place / "s").unlink()
    with python_server(place, lambda c, _: c.recv(10)) as server:
        code, _, said = stress(server.address, "-i", "3", "-L", "10000000", "-l", "10000000")
        assert code == 1 and "--no-half-close" not in said
