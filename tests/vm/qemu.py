# SPDX-License-Identifier: MIT
"""What QEMU is told: the machine, the accelerator that runs it, the devices.

Owns every argument of QEMU but those that a set-up adds. Knows nothing of jobs' output and of pytest.
"""

import contextlib
import errno
import fcntl
import functools
import os
import shutil
import socket
import struct
from pathlib import Path

from . import initrd, kernel
from .cache import LabError, Missing, cache_root, cached
from .machine import PROJECT, Guest, Here

QEMU = "qemu-system-x86_64"
PACKAGES = ("qemu-system-x86", "busybox-static", "kmod")
ACCEL_VARIABLE = "VIRTSOCK_VM_ACCEL"        # kvm or tcg, where the choice shall not be made here
BASE = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p")          # what the lab's own channel needs
KERNEL_LINE = "console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable no_timer_check audit=0 lsm="
# A timer's interrupt may get lost in emulated virtualization. With a periodic tick that costs one tick; without, the kernel waits for ever.
# Elsewhere it would only keep the processor busy.
TICKS = "nohz=off highres=off"
# QEMU emulates AMD's virtualization, so the emulated host has KVM for its own guest, which then boots many times faster
# than in emulation twice over. A family this new makes the kernel pass over a search for AGP bridges, 1 s each time. The last four make it
# x86-64-v2, for which packages with compiled code in them are built, as numpy is.
EMULATED_CPU = "qemu64,family=23,+svm,+npt,+rdrand,+ssse3,+sse4.1,+sse4.2,+popcnt"
ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    "tcg": ("-accel", "tcg,thread=multi", "-cpu", EMULATED_CPU),
    "nested": ("-accel", "kvm", "-accel", "tcg", "-cpu", "max"),
}
KVM_BOOT_TIME = 5
GUEST_CID = 42


def boot(name, modules, logs, *, memory, cpus, devices=(), fds=(), accel=None, nests=False):
    """A guest on this machine that takes jobs, on its way up. nests: it will have a guest of its own."""
    if not shutil.which(QEMU):
        raise Missing(f"{QEMU} is not installed ({PACKAGES[0]})")
    Path(logs).mkdir(parents=True, exist_ok=True)
    log = Path(logs, f"{name}.log")
    log.unlink(missing_ok=True)
    ours, theirs = socket.socketpair()
    with theirs:
        argv = jobs_line(modules, channel=f"socket,fd={theirs.fileno()}", log=f"file,path={log}",
                         memory=memory, cpus=cpus, accel=accel or accelerator(), devices=devices, nests=nests)
        qemu = Here().start(argv, fds=(theirs.fileno(), *fds))
    return Guest(name, qemu, ours, log)


def jobs_line(modules, *, channel, log, memory, cpus, accel, devices, nests=False):
    """QEMU's arguments for a guest that sees this machine's files and takes jobs. channel and log are values of -chardev without an id."""
    shown = f"{PROJECT}:{cache_root()}"
    told = f'modules={",".join((*BASE, *modules))} jobs="{shown}"'
    return line(told, log=log, memory=memory, cpus=cpus, accel=accel, nests=nests, devices=[
        "-no-reboot", "-device", "virtio-serial-pci", *port(1, channel),
        "-virtfs", "local,path=/,mount_tag=machine,security_model=none,readonly=on,multidevs=remap", *devices])


def line(told, *, log, memory, cpus, accel, devices, nests=False, ramdisk=None):
    """QEMU's arguments for the image; told: what init.sh reads on the kernel line, or what the first process of another ramdisk does."""
    linux = kernel.get()
    ticks = [TICKS] if nests or accel == "nested" else []
    return [
        QEMU, "-M", "q35", *ACCELERATORS[accel], "-smp", cpus, "-m", memory, "-nodefaults", "-no-user-config", "-display", "none",
        "-kernel", linux.vmlinux, "-initrd", ramdisk or initrd.make(linux), "-append", " ".join([KERNEL_LINE, *ticks, told]),
        "-chardev", f"{log},id=log", "-serial", "chardev:log", *devices,
    ]


def port(number, chardev):
    """A virtio port, /dev/vport0p<number> in the guest."""
    return ["-chardev", f"{chardev},id=port{number}", "-device", f"virtserialport,nr={number},chardev=port{number}"]


def vhost_device(cid):
    return ["-device", f"vhost-vsock-pci,guest-cid={cid}"]


def vhost_user_device(path, memory):
    """The device behind a program that listens at the path; the two share the guest's memory."""
    return ["-object", f"memory-backend-memfd,id=shared,size={memory}M,share=on", "-machine", "memory-backend=shared",
            "-chardev", f"socket,id=vsock,path={path}", "-device", "vhost-user-vsock-pci,chardev=vsock"]


@functools.cache
def accelerator():
    """kvm where a guest boots on it in a short try (a device that can be opened may still run no stock kernel), else tcg."""
    if named := os.environ.get(ACCEL_VARIABLE):
        return named
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    this_boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    verdict = cached(f"kvm/{this_boot}", lambda folder: (folder / "accelerator").write_text(try_kvm(folder)))
    return (verdict / "accelerator").read_text()


def try_kvm(logs):
    try:
        with contextlib.closing(boot("kvm", (), logs, memory=256, cpus=1, accel="kvm")) as guest:
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
