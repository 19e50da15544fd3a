# SPDX-License-Identifier: MIT
"""The first ramdisk of every guest: busybox, init.sh, the command where it was built static, and the modules of a host and of a guest.

Owns the cpio format and its cache.
"""

import hashlib
import shutil
import stat
import time
from pathlib import Path

from . import kernel
from .cache import Missing, cache_root, cached, found
from .machine import PROJECT

INIT = Path(__file__).with_name("init.sh")
TOOL = PROJECT / "build" / "musl" / "tools" / "virtsock"
DRIVERS = ("virtio_pci", "virtio_mmio", "vmw_vsock_virtio_transport", "hv_sock",        # init.sh loads these, where it is told nothing else
           "virtio_console", "9pnet_virtio", "9p", "vsock_loopback", "vhost_vsock", "kvm_amd", "kvm_intel")
FOLDERS = ("bin", "dev", "proc", "sys", "lib", "lib/modules", "machine", "root")
KEPT_DAYS = 2               # of older ramdisks, once a new one is made


def entry(name, mode, data=b"", number=0, device=(0, 0)):
    """One cpio member: Documentation/driver-api/early-userspace/buffer-format.rst."""
    label = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(label), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + label
    return pad(head) + pad(data)


def pad(data):
    return data + b"\0" * (-len(data) % 4)


def archive(linux):
    """The ramdisk as bytes: not packed, since a guest under emulation unpacks slower than it reads."""
    programs = {"init": INIT.read_bytes(), "bin/busybox": busybox()}
    if TOOL.exists():
        programs["bin/virtsock"] = TOOL.read_bytes()
    files = {f"lib/modules/{linux.version}/{name}": data for name, data in modules(linux).items()}
    return cpio((*FOLDERS, f"lib/modules/{linux.version}"), programs, files, {"dev/console": (5, 1)})


def cpio(folders, programs, files, devices):
    """These folders, {name: bytes} of programs and of other files, and {name: numbers} of character devices."""
    members = [(folder, stat.S_IFDIR | 0o755, b"") for folder in folders]
    members += [(name, stat.S_IFREG | 0o755, data) for name, data in programs.items()]
    members += [(name, stat.S_IFREG | 0o644, data) for name, data in files.items()]
    nodes = [entry(name, stat.S_IFCHR | 0o600, device=device) for name, device in devices.items()]
    return b"".join([*(entry(*member, number) for number, member in enumerate(members, 1)), *nodes, entry("TRAILER!!!", 0)])


def modules(linux):
    """{name: bytes} of the drivers, and the list by which modprobe finds what each needs."""
    needs = linux.modules(DRIVERS)
    listed = "".join(f"{file.name}: {' '.join(needed.name for needed in files)}\n" for file, files in needs.items())
    return {"modules.dep": listed.encode(), **{file.name: kernel.unsigned(file.read_bytes()) for file in needs}}


def busybox():
    """The static busybox; a dynamic one would die as the guest's first process."""
    file = found("busybox")
    if not file:
        raise Missing("busybox is not installed (busybox-static)")
    program = Path(file).read_bytes()
    if b"/ld-linux" in program[:4096]:
        raise Missing("busybox is not static (busybox-static)")
    return program


def make(linux):
    """The file of the ramdisk; made once for each content."""
    data = archive(linux)

    def write(folder):
        (folder / "initrd").write_bytes(data)
        for old in cache_root().glob("initrd/*"):
            if old.is_dir() and old.stat().st_mtime < time.time() - KEPT_DAYS * 86400:
                shutil.rmtree(old, ignore_errors=True)

    return cached(f"initrd/{hashlib.sha256(data).hexdigest()[:24]}", write) / "initrd"
