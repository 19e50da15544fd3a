# SPDX-License-Identifier: MIT
"""The set-ups that tests and the demonstration ask for: one guest with AF_VSOCK over CID 1, a host and its guest over vhost-vsock, a host
and its guests over a multiplexer.

Owns which machines make a set-up, and how its programs reach each other. Knows nothing of pytest.
"""

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from . import qemu
from .cache import LabError, Missing      # noqa: F401 (who asks for a set-up gets these)
from .machine import Guest, Here, Machine
from .multiplexer import Multiplexer

LOOPBACK = ("vsock_loopback",)
HOST = ("vhost_vsock", "kvm_amd", "kvm_intel")      # of the last two one fits; the other one's refusal is in the log
GUEST = ("vmw_vsock_virtio_transport",)
MEMORY = 256
BOOT_TIME = 60                              # seconds, many times what is usual
NESTED_BOOT_TIME = 240                      # where the host has no KVM, about 60 are usual
SIBLINGS = (42, 43)


class Way(NamedTuple):
    """From one program to another: who listens where, and who connects to which address."""

    label: str
    listening: Machine
    listens_at: str
    connecting: Machine
    connects_to: str
    half_close: bool = True     # one direction may end before the other


@dataclass
class Pair:
    """A host and its guest, which AF_VSOCK over vhost joins: the guest is `cid` to the host, the host is 2 to the guest."""

    host: Machine
    guest: Guest
    cid: int
    how: str            # for a report: "on this machine" or "nested"

    @property
    def machines(self):
        return [self.host, self.guest]

    def ways(self, port):
        return [Way("host->guest", self.guest, f"vsock://:{port}", self.host, f"vsock://{self.cid}:{port}"),
                Way("guest->host", self.host, f"vsock://:{port}", self.guest, f"vsock://2:{port}")]

    def close(self):
        self.guest.close()
        self.host.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@dataclass
class Family:
    """This machine and its guests behind one multiplexer: to each guest the host is CID 2 and its siblings are `cids`; to the host a guest
    is a UNIX socket, mux.path(cid). vhost-device-vsock takes the end of the host's direction for the end of both, and keeps the end of a
    guest's direction to itself; among siblings it only hands packets on."""

    host: Here
    guests: list
    cids: tuple
    mux: Multiplexer

    @property
    def machines(self):
        return self.guests

    def ways(self, port):
        guest, path = self.guests[0], self.mux.path(self.cids[0])
        found = [Way("host->guest", guest, f"vsock://:{port}", self.host, f"vsock-mux://:{port}{path}", False),
                 Way("guest->host", self.host, f"vsock-mux://:{port}{path}", guest, f"vsock://2:{port}", False)]
        if len(self.guests) > 1:
            found.append(Way("guest->guest", self.guests[1], f"vsock://:{port}", guest, f"vsock://{self.cids[1]}:{port}?to-host=1"))
        return found

    def close(self):
        for guest in self.guests:
            guest.close()
        self.mux.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def loopback(logs):
    """A guest with AF_VSOCK over CID 1, up. Its serial log goes to logs/loopback.log."""
    guest = qemu.boot("loopback", LOOPBACK, logs, memory=512, cpus=2)
    return up(guest, BOOT_TIME)


def bare(logs):
    """A guest without AF_VSOCK, up."""
    return up(qemu.boot("bare", (), logs, memory=512, cpus=2), BOOT_TIME)


def pair(logs):
    """A host and its guest, up: on this machine where it has vhost, else the host is a guest too."""
    return on_this_machine(logs) if qemu.vhost_here() else nested(logs)


def on_this_machine(logs):
    cid = qemu.free_cid()
    guest = qemu.boot("guest", GUEST, logs, memory=512, cpus=1, devices=qemu.vhost_device(cid))
    return Pair(Here(), up(guest, BOOT_TIME), cid, "on this machine")


def nested(logs):
    """Both as guests, one in the other. The inner one's channel and log go through ports of the outer one."""
    ours, outer_end = socket.socketpair()
    log = Path(logs, "guest.log")
    ports = [*qemu.port(2, f"socket,fd={outer_end.fileno()}"), *qemu.port(3, f"file,path={log}")]
    with outer_end:
        host = qemu.boot("host", HOST, logs, memory=1536, cpus=1, nests=True, devices=ports, fds=(outer_end.fileno(),))
    up(host, BOOT_TIME)
    argv = qemu.jobs_line(GUEST, channel="pipe,path=/dev/vport0p2", log="file,path=/dev/vport0p3", memory=MEMORY, cpus=1,
                          accel="nested", devices=qemu.vhost_device(qemu.GUEST_CID))
    guest = Guest("guest", host.start(argv), ours, log)
    try:
        return Pair(host, up(guest, NESTED_BOOT_TIME), qemu.GUEST_CID, "nested")
    except BaseException:
        host.close()
        raise


def family(logs, cids=SIBLINGS, build=True):
    """This machine with guests behind a multiplexer, up. build: compile the multiplexer, if it is to be had in no other way."""
    with contextlib.ExitStack() as undo:
        mux = undo.enter_context(Multiplexer(cids, build))
        guests = []
        for cid in cids:
            device = qemu.vhost_user_device(mux.device(cid), MEMORY)
            guests.append(qemu.boot(f"guest-{cid}", GUEST, logs, memory=MEMORY, cpus=1, devices=device))
            undo.enter_context(guests[-1])
        for guest in guests:
            guest.wait_ready(BOOT_TIME)
        undo.pop_all()
        return Family(Here(), guests, cids, mux)


def up(guest, timeout):
    """The guest, once it takes commands; where it does not, it is ended before the error is passed on."""
    try:
        guest.wait_ready(timeout)
    except BaseException:
        guest.close()
        raise
    return guest
