# SPDX-License-Identifier: MIT
"""python -m tests.vm.bench FOLDER [SETUP...]: runs `virtsock bench` in machines, and writes its results and a plot of each set-up.

Owns what docs/bench.md shows. UNIX sockets and TCP within the same machine are the baselines.
"""

import argparse
import contextlib
import datetime
import json
import sys
import tempfile
from pathlib import Path

from virtsock import plot

from . import lab, qemu

TOOL = str(Path(__file__).parents[2] / "build" / "musl" / "tools" / "virtsock")
SIZES = "8,128,1024,4096,16384,65536,262144"
SMALL = "8,128,512,1024,2048"      # among siblings vhost-device-vsock 0.3 loses what a packet of 4096 bytes carries
PORT = 7400


def inside(machine, name, address, listens_at=None):
    """One machine with itself."""
    return name, machine, listens_at or address, machine, address, SIZES


def loopback(vm):
    yield inside(vm, "unix", "unix:///tmp/bench")
    yield inside(vm, "tcp", f"tcp://127.0.0.1:{PORT}")
    yield inside(vm, "vsock", f"vsock://local:{PORT}", f"vsock://:{PORT}")


def between(machines, sizes=lambda label: SIZES):
    """Each way from one machine to another, and what a guest does with itself."""
    yield inside(machines.ways(PORT)[0].listening, "unix in the guest", "unix:///tmp/bench")
    for way in machines.ways(PORT):
        yield way.label.replace("->", " to "), way.listening, way.listens_at, way.connecting, way.connects_to, sizes(way.label)


SETUPS = {
    "loopback": (lab.loopback, loopback, "Within one guest"),
    "mux": (lab.family, lambda vms: between(vms, lambda label: SMALL if label == "guest->guest" else SIZES), "Over vhost-device-vsock"),
    "pair": (lab.pair, between, "A host and its guest, vhost-vsock"),
}


def measure(server, listens_at, client, address, words):
    """Both ends in one guest share a processor: from one to another an emulator's wake takes as long as this machine pleases."""
    tool = ["taskset", "-c", "0", TOOL] if client is server else [TOOL]
    with server.start([*tool, "bench", "-s", "-v", listens_at]) as job:
        job.expect("listening on")
        done = client.run([*tool, "bench", "--json", "--wait", "20", *words, address], timeout=1800)
    if done.code != 0:
        sys.exit(done.text)
    return json.loads(next(line for line in done.text.splitlines() if line.startswith("{")))


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.vm.bench")
    parser.add_argument("folder", type=Path)
    parser.add_argument("setups", nargs="*", default=list(SETUPS), metavar="|".join(SETUPS))
    parser.add_argument("--seconds", default="1")
    parser.add_argument("--runs", default="3")
    chosen = parser.parse_args()
    if not SETUPS.keys() >= set(chosen.setups):
        parser.error(f"the setups are {', '.join(SETUPS)}")
    chosen.folder.mkdir(exist_ok=True)
    for setup in chosen.setups:
        boot, rows, title = SETUPS[setup]
        results = {}
        with tempfile.TemporaryDirectory() as logs, contextlib.closing(boot(logs)) as machines:
            for name, server, listens_at, client, address, sizes in rows(machines):
                print(f"{setup}: {name}", flush=True)
                words = ["-m", sizes, "--seconds", chosen.seconds, "--runs", chosen.runs]
                results[name] = measure(server, listens_at, client, address, words)
                (chosen.folder / f"{setup}-{name.replace(' ', '-')}.json").write_text(json.dumps(results[name]))
        date = datetime.datetime.now(datetime.UTC).date()
        plot.draw(results, chosen.folder / f"{setup}.svg", title=f"{title} (QEMU, {qemu.accelerator()}), {date}")


if __name__ == "__main__":
    main()
