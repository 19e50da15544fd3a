# SPDX-License-Identifier: MIT
"""`virtsock bench` over a real AF_VSOCK, within one guest and between machines: a short run of each mode, and hvbench's own words."""

import json
import re

import pytest
from builds import TOOL

PORT = 7300
HVBENCH_PORT = 0x3049197C
QUICK = ["-m", "512,4096", "--seconds", "0.5", "--count", "50", "--wait", "20", "--json"]


def served(machine, *words):
    job = machine.start([str(TOOL), "bench", "-s", "-v", *words])
    job.expect("listening on")
    return job


def measured(machine, *words):
    done = machine.run([str(TOOL), "bench", *words], timeout=120)
    assert done.code == 0, done.text
    return json.loads(next(line for line in done.text.splitlines() if line.startswith("{")))


def bytes_of(points, direction):
    return [one["bytes"] for point in points if point.get("direction") == direction for one in point["runs"]]


@pytest.mark.parametrize("client_polls", [[], ["-p"]])
@pytest.mark.parametrize("server_polls", [[], ["-p"]])
def test_every_test_in_a_guest(loopback_vm, client_polls, server_polls):
    with served(loopback_vm, *server_polls, f"vsock://:{PORT}") as job:
        points = measured(loopback_vm, *QUICK, *client_polls, f"vsock://local:{PORT}")["results"]
        job.signal("TERM")
        log = job.wait().text
    assert [point["test"] for point in points] == ["bandwidth"] * 4 + ["latency"] * 2 + ["connections"]
    assert [int(n) for n in re.findall(r"received, (\d+) bytes", log)] == bytes_of(points, "send")
    assert all(count > 0 for way in ("send", "receive") for count in bytes_of(points, way))
    assert all(point["count"] > 0 for point in points[4:])
    assert points[-1]["connect_errors"] == points[-1]["socket_errors"] == 0
    assert sum(step["count"] for step in points[-1]["histogram"]) == points[-1]["count"]


@pytest.mark.parametrize("target", ["loopback", "1", "0x1"])
def test_words_of_hvbench(loopback_vm, target):
    """`-s -vsock -B` and `-c TARGET -vsock -B -m 4096`, as they were; the server ends after its client."""
    with served(loopback_vm, "-vsock", "-B", "-m", "4096") as job:
        result = measured(loopback_vm, "-c", target, "-vsock", "-B", "-m", "4096", "--seconds", "0.3", "--wait", "20", "--json")
        assert result["address"] == f"vsock://1:{HVBENCH_PORT}" and result["plain"] is True
        done = job.wait()
    (drained,) = (int(n) for n in re.findall(r"drained, (\d+) bytes", done.text))
    assert done.code == 0 and 0 < result["results"][0]["runs"][0]["bytes"] <= drained


@pytest.mark.parametrize("way", [0, 1])
def test_between_machines(nested_vms, way):
    ends = nested_vms.ways(PORT + 1)[way]
    with served(ends.listening, ends.listens_at):
        points = measured(ends.connecting, *QUICK, ends.connects_to)["results"]
    assert len(points) == 7 and points[-1]["count"] > 0


@pytest.mark.parametrize("way, sizes", [(0, "512,4096"), (1, "512,4096"), (2, "512,1024")])
def test_over_a_multiplexer(mux_vm, way, sizes):
    """Among siblings vhost-device-vsock 0.3 loses what a packet of 4096 bytes carries."""
    ends = mux_vm.ways(PORT + 2)[way]
    with served(ends.listening, ends.listens_at):
        points = measured(ends.connecting, *QUICK, "-m", sizes, ends.connects_to)["results"]
    assert len(points) == 7 and points[-1]["count"] > 0
