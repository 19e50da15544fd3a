# SPDX-License-Identifier: MIT
"""The set-ups that tests ask for: one guest with AF_VSOCK over CID 1, and a host with its guest.

Owns what QEMU is told and which accelerator runs it. Knows nothing of pytest.
"""

import contextlib
import errno
import fcntl
import functools
import os
import shutil
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from . import initrd, kernel
from .kernel import LabError, Missing
from .machine import PROJECT, Guest, Here, Machine

QEMU = "qemu-system-x86_64"
PACKAGES = ("qemu-system-x86", "busybox-static", "kmod")
ACCEL_VARIABLE = "VIRTSOCK_VM_ACCEL"        # kvm or tcg, where the choice shall not be made here
BASE = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p")
LOOPBACK = (*BASE, "vsock_loopback")
HOST = (*BASE, "vhost_vsock", "kvm_amd", "kvm_intel")      # of the last two one fits; the other one's refusal is in the log
GUEST = (*BASE, "vmw_vsock_virtio_transport")
# A timer's interrupt may get lost in emulated virtualization. With a periodic tick that costs one tick; without, the kernel waits for ever.
TICKS = "nohz=off highres=off"
KERNEL_LINE = f"console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable no_timer_check audit=0 lsm= {TICKS}"
# QEMU emulates AMD's virtualization, so the emulated host has KVM for its own guest, which then boots many times faster
# than in emulation twice over. A family this new makes the kernel pass over a search for AGP bridges, 1 s each time.
EMULATED_CPU = "qemu64,family=23,+svm,+npt,+rdrand"
GUEST_CID = 42
BOOT_TIME = 60                              # seconds, many times what is usual
NESTED_BOOT_TIME = 240                      # where the host has no KVM, about 60 are usual


@dataclass
class Pair:
    """A host and its guest, which AF_VSOCK over vhost joins: the guest is `cid` to the host, the host is 2 to the guest."""

    host: Machine
    guest: Guest
    cid: int
    how: str            # for a report: "on this machine" or "nested"

    def close(self):
        self.guest.close()
        self.host.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def loopback(logs):
    """A guest with AF_VSOCK over CID 1, up. Its serial log goes to logs/loopback.log."""
    guest = boot("loopback", LOOPBACK, logs, memory=512, cpus=2)
    return up(guest, BOOT_TIME)


def pair(logs):
    """A host and its guest, up: on this machine where it has vhost, else the host is a guest too."""
    return on_this_machine(logs) if vhost_here() else nested(logs)


def on_this_machine(logs):
    cid = free_cid()
    guest = boot("guest", GUEST, logs, memory=512, cpus=1, devices=vsock_device(cid))
    return Pair(Here(), up(guest, BOOT_TIME), cid, "on this machine")


def nested(logs):
    """Both as guests, one in the other. The inner one's channel and log go through ports of the outer one."""
    ours, outer_end = socket.socketpair()
    log = Path(logs, "guest.log")
    ports = [*port(2, f"socket,fd={outer_end.fileno()}"), *port(3, f"file,path={log}")]
    with outer_end:
        host = boot("host", HOST, logs, memory=1536, cpus=1, devices=ports, fds=(outer_end.fileno(),))
    up(host, BOOT_TIME)
    argv = command_line(GUEST, channel="pipe,path=/dev/vport0p2", log="file,path=/dev/vport0p3", memory=256, cpus=1,
                        accel=("-accel", "kvm", "-accel", "tcg", "-cpu", "max"), devices=vsock_device(GUEST_CID))
    guest = Guest("guest", host.start(argv), ours, log)
    try:
        return Pair(host, up(guest, NESTED_BOOT_TIME), GUEST_CID, "nested")
    except BaseException:
        host.close()
        raise


def up(guest, timeout):
    """The guest, once it takes commands; where it does not, it is ended before the error is passed on."""
    try:
        guest.wait_ready(timeout)
    except BaseException:
        guest.close()
        raise
    return guest


def boot(name, modules, logs, *, memory, cpus, devices=(), fds=(), accel=None):
    """A guest on this machine, on its way up."""
    if not shutil.which(QEMU):
        raise Missing(f"{QEMU} is not installed ({PACKAGES[0]})")
    Path(logs).mkdir(parents=True, exist_ok=True)
    log = Path(logs, f"{name}.log")
    log.unlink(missing_ok=True)
    accel = ACCELERATORS[accel or accelerator()]
    ours, theirs = socket.socketpair()
    with theirs:
        argv = command_line(modules, channel=f"socket,fd={theirs.fileno()}", log=f"file,path={log}",
                            memory=memory, cpus=cpus, accel=accel, devices=devices)
        qemu = Here().start(argv, fds=(theirs.fileno(), *fds))
    return Guest(name, qemu, ours, log)


def command_line(modules, *, channel, log, memory, cpus, accel, devices):
    """QEMU's arguments. channel and log are values of -chardev without an id."""
    linux = kernel.get()
    ramdisk = initrd.make(linux, modules, [PROJECT, kernel.cache_root()])
    return [
        QEMU, "-M", "q35", *accel, "-smp", cpus, "-m", memory, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", linux.image, "-initrd", ramdisk, "-append", KERNEL_LINE,
        "-chardev", f"{log},id=log", "-serial", "chardev:log", "-device", "virtio-serial-pci", *port(1, channel),
        "-virtfs", "local,path=/,mount_tag=machine,security_model=none,readonly=on,multidevs=remap", *devices,
    ]


def port(number, chardev):
    """A virtio port, /dev/vport0p<number> in the guest."""
    return ["-chardev", f"{chardev},id=port{number}", "-device", f"virtserialport,nr={number},chardev=port{number}"]


def vsock_device(cid):
    return ["-device", f"vhost-vsock-pci,guest-cid={cid}"]


ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    "tcg": ("-accel", "tcg,thread=multi", "-cpu", EMULATED_CPU),
}
KVM_BOOT_TIME = 5


@functools.cache
def accelerator():
    """kvm where a guest boots on it in a short try (a device that can be opened may still run no stock kernel), else tcg."""
    if named := os.environ.get(ACCEL_VARIABLE):
        return named
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    this_boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    verdict = kernel.cached(f"kvm/{this_boot}", lambda folder: (folder / "accelerator").write_text(try_kvm(folder)))
    return (verdict / "accelerator").read_text()


def try_kvm(logs):
    try:
        with contextlib.closing(boot("kvm", BASE, logs, memory=256, cpus=1, accel="kvm")) as guest:
            guest.wait_ready(KVM_BOOT_TIME)
        return "kvm"
    except LabError:
        return "tcg"


def vhost_here():
    return os.access("/dev/vhost-vsock", os.R_OK | os.W_OK)


def free_cid():
    """A CID that no other guest of this machine has. linux/vhost.h: VHOST_SET_OWNER, VHOST_VSOCK_SET_GUEST_CID."""
    for cid in range(GUEST_CID, GUEST_CID + 100):
        with open("/dev/vhost-vsock", "r+b", buffering=0) as device:
            fcntl.ioctl(device, 0xaf01)
            try:
                fcntl.ioctl(device, 0x4008af60, struct.pack("=Q", cid))
                return cid
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise LabError(f"/dev/vhost-vsock: {error}") from error
    raise LabError("no CID is free for a guest")
