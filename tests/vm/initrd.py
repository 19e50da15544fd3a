# SPDX-License-Identifier: MIT
"""The first ramdisk: busybox, init.sh, the kernel modules in loading order. Owns the cpio format and its cache."""

import hashlib
import shutil
import stat
from pathlib import Path

from . import kernel

INIT = Path(__file__).with_name("init.sh")
FOLDERS = ("bin", "dev", "proc", "sys", "modules", "machine", "root")


def entry(name, mode, data=b"", number=0, device=(0, 0)):
    """One cpio member: Documentation/driver-api/early-userspace/buffer-format.rst."""
    label = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(label), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + label
    return pad(head) + pad(data)


def pad(data):
    return data + b"\0" * (-len(data) % 4)


def archive(modules, shown):
    """The ramdisk as bytes: not packed, since a guest under emulation unpacks slower than it reads."""
    members = [(folder, stat.S_IFDIR | 0o755, b"") for folder in FOLDERS]
    members.append(("init", stat.S_IFREG | 0o755, INIT.read_bytes()))
    members.append(("bin/busybox", stat.S_IFREG | 0o755, busybox()))
    members.append(("show", stat.S_IFREG | 0o644, "".join(f"{folder}\n" for folder in shown).encode()))
    for number, file in enumerate(modules):
        members.append((f"modules/{number:02}-{file.name}", stat.S_IFREG | 0o644, kernel.unsigned(file.read_bytes())))
    console = entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    return b"".join(entry(*member, number) for number, member in enumerate(members, 1)) + console + entry("TRAILER!!!", 0)


def busybox():
    """The static busybox; a dynamic one would die as the guest's first process."""
    found = shutil.which("busybox", path=kernel.ENVIRONMENT["PATH"])
    if not found:
        raise kernel.Missing("busybox is not installed (busybox-static)")
    program = Path(found).read_bytes()
    if b"/ld-linux" in program[:4096]:
        raise kernel.Missing("busybox is not static (busybox-static)")
    return program


def make(kernel_, names, shown):
    """The file of a ramdisk that loads these modules and shows these folders; made once for each content."""
    data = archive(kernel_.modules(names), shown)
    name = hashlib.sha256(data).hexdigest()[:24]
    return kernel.cached(f"initrd/{name}", lambda folder: (folder / "initrd").write_bytes(data)) / "initrd"
