# SPDX-License-Identifier: MIT
"""The guests' kernel: Debian's package, unpacked below the user's cache and never installed.

Owns the boot image and the answer to "which module files". Knows nothing of machines.
"""

import contextlib
import lzma
import os
import shutil
import struct
import tempfile
from pathlib import Path

from . import packages
from .cache import Missing, cache_root, cached, tool

META_PACKAGE = "linux-image-amd64"          # not the cloud flavour: that one has no 9p
PACKAGE_VARIABLE = "VIRTSOCK_VM_KERNEL"     # names another package, such as linux-image-6.1.0-50-amd64
SIGNATURE_END = b"~Module signature appended~\n"
KEPT = ("arch/x86/kvm", "crypto", "drivers/char", "drivers/crypto/ccp", "drivers/hv", "drivers/vhost", "drivers/virtio", "fs/9p", "fs/fscache",
        "fs/netfs", "lib", "net/9p", "net/vmw_vsock", "virt")       # of the package's 400 MB of modules, a tenth


class Kernel:
    """An unpacked kernel package: `vmlinux` and `vmlinuz` to boot, modules(names) to load."""

    def __init__(self, root):
        self.root = root
        self.vmlinux, self.vmlinuz = root / "vmlinux", root / "vmlinuz"
        self.version = next((root / "lib" / "modules").iterdir()).name

    def modules(self, names):
        """{file: the files that it needs} for these modules and all that they need."""
        folder = self.root / "lib" / "modules" / self.version
        needs = {}
        for line in (folder / "modules.dep").read_text().splitlines():
            file, _, rest = line.partition(":")
            needs[folder / file] = [folder / needed for needed in rest.split()]
        wanted = [file for file in needs if file.stem.replace("-", "_") in names]
        return {file: needs[file] for top in wanted for file in [*needs[top], top]}


def package_name():
    """The package that holds a kernel: what the metapackage depends on, or what the environment names."""
    if named := os.environ.get(PACKAGE_VARIABLE):
        return named
    for line in tool("apt-cache", "depends", META_PACKAGE).decode().splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends":
            return name
    raise Missing(f"the package lists do not have {META_PACKAGE}: run apt-get update")


def get():
    """The kernel, fetched and unpacked at first use."""
    name = newest_cached() or package_name()
    return Kernel(cached(f"linux/{name}", lambda folder: unpack(name, folder)))


def newest_cached():
    """Where the environment names nothing, a kernel that is here already will do: no network, the same one every run."""
    if os.environ.get(PACKAGE_VARIABLE):
        return None
    here = [folder for folder in (cache_root() / "linux").glob("linux-image-*") if folder.is_dir()]
    return max(here, key=lambda folder: folder.stat().st_mtime).name if here else None


def unpack(name, folder):
    """Fill the folder: vmlinux, vmlinuz, lib/modules with its index, nothing else of the package."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        packages.unpack(name, Path(work, "all"))
        packed, = Path(work, "all", "boot").glob("vmlinuz-*")
        shutil.move(packed, folder / "vmlinuz")
        (folder / "vmlinux").write_bytes(bootable((folder / "vmlinuz").read_bytes()))
        modules, = Path(work, "all", "lib", "modules").iterdir()
        keep(modules, folder / "lib" / "modules" / modules.name)
    tool("depmod", "-b", folder, modules.name)


def keep(modules, folder):
    """Move what guests load, and the lists that depmod reads."""
    for part in KEPT:
        target = folder / "kernel" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(modules / "kernel" / part, target)
    for index in modules.glob("modules.*"):
        shutil.move(index, folder)


def bootable(image):
    """The ELF inside a bzImage, which QEMU starts through its PVH note, or the image itself where it is packed otherwise.

    Unpacking is what an emulated guest would spend most of its boot on. Fields: Documentation/x86/boot.rst.
    """
    setup_sectors, = struct.unpack_from("<B", image, 0x1f1)
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    with contextlib.suppress(lzma.LZMAError):
        elf = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(image[start:start + length])
        return without_trailing_zeros(elf)
    return image


def without_trailing_zeros(elf):
    """The same program with the zeros at its end left to the loader, half the file: every nested boot reads it whole."""
    table, = struct.unpack_from("<Q", elf, 0x20)
    size, count = struct.unpack_from("<HH", elf, 0x36)
    headers = [table + size * index for index in range(count)]
    last = max(headers, key=lambda at: struct.unpack_from("<Q", elf, at + 8))
    begin, = struct.unpack_from("<Q", elf, last + 8)
    in_file, = struct.unpack_from("<Q", elf, last + 32)
    kept = len(elf[begin:begin + in_file].rstrip(b"\0"))
    small = bytearray(elf[:begin + kept])
    struct.pack_into("<Q", small, last + 32, kept)
    struct.pack_into("<Q", small, 0x28, 0)                  # the section table is gone with the end of the file
    struct.pack_into("<HHH", small, 0x3a, 0, 0, 0)
    return bytes(small)


def unsigned(module):
    """A module without its signature, which is long to verify under emulation."""
    if not module.endswith(SIGNATURE_END):
        return module
    end = len(module) - len(SIGNATURE_END)
    length, = struct.unpack_from(">I", module, end - 4)     # struct module_signature ends with the signature's length
    return module[:end - 12 - length]
