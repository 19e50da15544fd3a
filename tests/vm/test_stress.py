# SPDX-License-Identifier: MIT
"""`virtsock stress` over a real AF_VSOCK: within one guest, and between a host and its guest, with the words that sock_stress's users type.
VIRTSOCK_STRESS_FULL=1 makes the long runs as long as the project promises: some three minutes on an emulated machine."""

import json
import os
import re

import pytest
from builds import TOOL

FULL = os.environ.get("VIRTSOCK_STRESS_FULL") == "1"
PATIENCE = 900 if FULL else 180
PORT = 7500
DEFAULT = 22099
CROWD = """
import collections, os, select, socket, sys
count, port = map(int, sys.argv[1:])
crowd = [socket.socket(socket.AF_VSOCK) for _ in range(count)]
for client in crowd:
    client.setblocking(False)
    client.connect_ex((1, port))
told = collections.Counter()
for client in crowd:
    select.select([], [client], [], 60)
    client.settimeout(60)
    try:
        if code := client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code))
        client.sendall(b"ten bytes.")
        client.shutdown(socket.SHUT_WR)
        told["answered" if client.makefile("rb").read().startswith(b"ten bytes.") else "not answered"] += 1
    except OSError as error:
        told[error.strerror] += 1
print(*(f"{told[one]} {one}" for one in sorted(told)))"""


def serve(machine, *words):
    """Listens by now; a context manager that ends it. -v 1, as it is printed, tells that it listens."""
    job = machine.start([str(TOOL), "stress", "-s", *words, "-v", "1"])
    job.expect("listening on")
    return job


def succeeds(machine, *words, connections):
    done = machine.run([str(TOOL), "stress", *words, "--json"], PATIENCE)
    assert done.code == 0, done.text
    result = json.loads(done.text.splitlines()[-1])
    assert result["ok"] and result["good"] == connections and result["bytes_sent"] == result["bytes_received"], result
    return result


def test_words_as_printed(loopback_vm):
    with serve(loopback_vm) as server:
        assert b"vsock:// names no port: 22099 is taken" in server.output() and b"listening on vsock://:22099" in server.output()
        for words in (["-c", "1", "-v", "1"], ["-c", "-v", "1"], ["-c", "vsock", "-v"], ["-v", "vsock://1"]):
            done = loopback_vm.run([str(TOOL), "stress", *words, "-i", "10"], PATIENCE)
            assert done.code == 0 and done.text.count("there and back") == 10, done.text
            assert "10 of 10 connections got every byte back, 0 failed" in done.text


@pytest.mark.parametrize("words", [(), ("-p", "4", "-a"), ("-p", "3", "-B", "1", "-b", "9000", "-r"), ("--no-half-close",)],
                         ids=["plain", "alternating", "random", "by count"])
@pytest.mark.parametrize("kind", ["", "?type=seqpacket", "?half-close=framed"], ids=["stream", "seqpacket", "framed"])
def test_within_a_guest(loopback_vm, words, kind):
    with serve(loopback_vm, f"vsock://:{PORT}{kind}"):
        succeeds(loopback_vm, f"vsock://1:{PORT}{kind}", "-i", "20", *words, connections=20)


def test_single_threaded_server(loopback_vm):
    with serve(loopback_vm, f"vsock://:{PORT}", "-1", "-i", "30") as server:
        succeeds(loopback_vm, f"vsock://1:{PORT}", "-i", "30", "-p", "4", connections=30)
        assert server.wait().code == 0


def test_long_runs_within_a_guest(loopback_vm):
    """10 at once of up to 100 MB, and 10,000 short ones."""
    with serve(loopback_vm):
        succeeds(loopback_vm, "-c", "1", "-p", "10", "-i", "10", "-l", "100000000" if FULL else "20000000", connections=10)
        many = 10000 if FULL else 500
        succeeds(loopback_vm, "-c", "1", "-p", "10", "-i", str(many), "-l", "1000", connections=many)


@pytest.mark.parametrize("words", [("stress", "-s"), ("cat", "-l", "--echo"), ("echo", "-s")], ids=" ".join)
def test_a_crowd_is_served(loopback_vm, words):
    """Where the queue is full, AF_VSOCK refuses: 500 who come at once find room, and each is answered."""
    with loopback_vm.start([str(TOOL), *words, "-v", f"vsock://:{PORT + 1}"]) as server:
        server.expect("listening on")
        done = loopback_vm.run(f"python3 -ISc '{CROWD}' 500 {PORT + 1}", PATIENCE)
        assert (done.code, done.text) == (0, "500 answered\n"), done.text[-2000:]


def test_nobody_listens(loopback_vm):
    done = loopback_vm.run([str(TOOL), "stress", f"vsock://1:{PORT + 99}", "-i", "3", "--json"], PATIENCE)
    assert done.code == 1 and json.loads(done.text.splitlines()[-1])["failures"] == {"connect: refused": 3}, done.text


@pytest.mark.parametrize("way", [0, 1], ids=["host->guest", "guest->host"])
def test_between_a_host_and_its_guest(nested_vms, way):
    """-s -v 1 at one end; -c 3 or -c 2 at the other, as linuxkit has it for the host's side and the guest's."""
    ends = nested_vms.ways(DEFAULT)[way]
    cid = re.match(r"vsock://(\d+):", ends.connects_to)[1]
    with serve(ends.listening):
        done = ends.connecting.run([str(TOOL), "stress", "-c", cid, "-v", "1", "-i", "20"], PATIENCE)
        assert done.code == 0 and done.text.count("there and back") == 20, done.text
        size, many = ("20000000", 1000) if FULL else ("1000000", 100)
        succeeds(ends.connecting, "-c", cid, "-p", "10", "-i", "10", "-l", size, connections=10)
        succeeds(ends.connecting, "-c", cid, "-p", "5", "-i", str(many), "-l", "1000", connections=many)
