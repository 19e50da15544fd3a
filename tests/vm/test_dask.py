# SPDX-License-Identifier: MIT
"""Dask's scheduler on a host, its workers in guests: two in one guest over vhost-vsock, one in each of two behind a multiplexer. Every row
of docs/dask.md's table is gone by: to the host, to a guest, to a sibling, to the own machine."""

import contextlib
import time

import pytest
from builds import BUILD

from . import kernel

pytestmark = pytest.mark.proves("dask")

PYTHON = BUILD / "venv" / "bin" / "python"
PATIENCE = 300                  # an emulated machine takes most of a minute to start Dask
QUIET = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": f"{PATIENCE}s", "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": f"{PATIENCE}s"}

SCHEDULER = """
import asyncio, os, sys, zlib
from distributed import Client, Scheduler

async def main():
    size, *hosts = sys.argv[1:]
    async with Scheduler(host=hosts, port=8786, dashboard_address="127.0.0.1:0") as scheduler:
        print("listening on", *(listener.contact_address for listener in scheduler.listeners), flush=True)
        async with Client(scheduler.address, asynchronous=True) as client:
            await client.wait_for_workers(2)
            one, two = sorted(scheduler.workers)
            print("workers", one, two, flush=True)
            assert sum(await client.gather(client.map(pow, range(100), [2] * 100))) == 328350
            data = os.urandom(int(size))
            kept = await client.scatter(data, workers=[one])
            assert await client.submit(zlib.crc32, kept, workers=[two]) == zlib.crc32(data)
            assert await client.gather(kept) == data
            who = await client.run(os.uname)
            assert set(who) == {one, two}
            print("computed", flush=True)

asyncio.run(main())
"""
WORKERS = """
import asyncio, sys
from distributed import Worker

async def main():
    made = [Worker(sys.argv[1], nthreads=1, memory_limit=0, local_directory="/tmp") for _ in range(int(sys.argv[2]))]
    await asyncio.gather(*made)
    await asyncio.gather(*(worker.finished() for worker in made))

asyncio.run(main())
"""


@contextlib.contextmanager
def loopback(*machines):
    """The kernel's module for CID 1, by which programs of one machine reach each other."""
    linux = kernel.get()
    modprobe = f"modprobe -d {linux.root} -S {linux.version}"
    with contextlib.ExitStack() as undo:
        for machine in machines:
            assert machine.run(f"{modprobe} vsock_loopback").code == 0
            undo.callback(machine.run, f"for i in 1 2 3 4 5; do {modprobe} -r vsock_loopback && break; sleep 1; done")
        yield


def compute(host, at, guests, size, env=None):
    """The workers' addresses. guests: (machine, how many workers); size: bytes that one worker hands to the other."""
    begun = time.monotonic()
    with contextlib.ExitStack() as undo:
        scheduler = undo.enter_context(host.start([str(PYTHON), "-c", SCHEDULER, str(size), *at], env={**QUIET, **(env or {})}))
        scheduler.expect("listening on", PATIENCE)
        for guest, count in guests:
            undo.enter_context(guest.start([str(PYTHON), "-c", WORKERS, "vsock://2:8786", str(count)], env=QUIET))
        output = scheduler.expect("computed", PATIENCE).decode()
        scheduler.wait(PATIENCE)
    print(f"{time.monotonic() - begun:.0f} s\n{output}")
    return next(line.split()[1:] for line in output.splitlines() if line.startswith("workers"))


def test_two_workers_in_a_guest(nested_vms):
    """Its workers reach each other by its own CID, the scheduler's client the scheduler by CID 2."""
    with loopback(nested_vms.host, nested_vms.guest):
        workers = compute(nested_vms.host, ["vsock://"], [(nested_vms.guest, 2)], 1 << 20)
    assert len(set(workers)) == 2 and all(worker.startswith(f"vsock://{nested_vms.cid}:") for worker in workers)


def test_two_guests_behind_a_multiplexer(mux_vm, tmp_path):
    """Workers have one address for all; the host goes to them by their guest's UNIX socket, and they to each other as siblings,
    among whom vhost-device-vsock 0.3.0 loses packets of more than a few KiB (docs/transports.md)."""
    if len(mux_vm.guests) < 2:
        pytest.skip("there is one guest")
    sockets = [f"vsock-mux://{mux_vm.mux.path(cid)}" for cid in mux_vm.cids]
    settings = {"DASK_DISTRIBUTED__COMM__VIRTSOCK__GUESTS": mux_vm.mux.path("{cid}")}
    workers = compute(mux_vm.host, [f"unix://{tmp_path}/scheduler", *sockets], [(guest, 1) for guest in mux_vm.guests], 1000, settings)
    assert [worker.rpartition(":")[0] for worker in sorted(workers)] == [f"vsock://{cid}" for cid in sorted(mux_vm.cids)]
