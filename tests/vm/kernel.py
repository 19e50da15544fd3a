# SPDX-License-Identifier: MIT
"""The guests' kernel: Debian's package, unpacked below the user's cache and never installed.

Owns the download, the boot image and the answer to "which module files, in which order". Knows nothing of machines.
"""

import contextlib
import fcntl
import lzma
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

META_PACKAGE = "linux-image-amd64"          # not the cloud flavour: that one has no 9p
PACKAGE_VARIABLE = "VIRTSOCK_VM_KERNEL"     # names another package, such as linux-image-6.1.0-50-amd64
SIGNATURE_END = b"~Module signature appended~\n"
KEPT = ("arch/x86/kvm", "crypto", "drivers/char", "drivers/crypto/ccp", "drivers/vhost", "drivers/virtio", "fs/9p", "fs/fscache",
        "fs/netfs", "lib", "net/9p", "net/vmw_vsock", "virt")       # of the package's 400 MB of modules, a tenth
ENVIRONMENT = {**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}


class LabError(Exception):
    """The lab cannot do what was asked; the text says why, and what would help."""


class Missing(LabError):
    """Something is not installed, or not to be had: a reason to skip."""


def cache_root():
    """The folder of everything that is kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "virtsock" / "vm"


def cached(name, make):
    """cache_root()/name, made by make(new empty folder) once; a folder half made is never seen under that name."""
    final = cache_root() / name
    if final.exists():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with open(final.with_name(final.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)        # a second run waits here instead of making its own
        if not final.exists():
            with tempfile.TemporaryDirectory(dir=final.parent, prefix=".new-") as fresh:
                made = Path(fresh, "made")
                made.mkdir()
                make(made)
                made.rename(final)
    return final


def tool(*argv, cwd=None, **more):
    """The output of a program of this machine; Missing where it is not installed, LabError where it fails."""
    try:
        done = subprocess.run(argv, cwd=cwd, env=ENVIRONMENT, capture_output=True, timeout=300, **more)
    except FileNotFoundError as error:
        raise Missing(f"{argv[0]} is not installed") from error
    if done.returncode:
        raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


class Kernel:
    """An unpacked kernel package: `image` to boot, `modules(names)` to load."""

    def __init__(self, root):
        self.root = root
        self.image = root / "vmlinux"
        self.version = next((root / "lib" / "modules").iterdir()).name

    def modules(self, names):
        """The files to load for these modules, each once, what is needed before what needs it."""
        files = {}
        for name in names:
            for line in tool("modprobe", "-d", self.root, "-S", self.version, "--show-depends", name).decode().splitlines():
                verb, _, file = line.strip().partition(" ")
                if verb == "insmod":
                    files[Path(file.strip())] = None
        return list(files)


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
    return Kernel(cached(f"kernel/{name}", lambda folder: unpack(name, folder)))


def newest_cached():
    """Where the environment names nothing, a kernel that is here already will do: no network, the same one every run."""
    if os.environ.get(PACKAGE_VARIABLE):
        return None
    here = [folder for folder in (cache_root() / "kernel").glob("linux-image-*") if folder.is_dir()]
    return max(here, key=lambda folder: folder.stat().st_mtime).name if here else None


def unpack(name, folder):
    """Fill the folder: vmlinux, lib/modules with its index, nothing else of the package."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        fetch(name, work)
        package, = Path(work).glob("*.deb")
        tool("dpkg", "-x", package, work)
        boot, = Path(work, "boot").glob("vmlinuz-*")
        (folder / "vmlinux").write_bytes(bootable(boot.read_bytes()))
        modules, = Path(work, "lib", "modules").iterdir()
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


def fetch(name, folder):
    """Download one package into the folder. apt warns there as root that it was not sandboxed: that is no failure."""
    try:
        tool("apt-get", "download", name, cwd=folder)
    except LabError as error:
        raise Missing(f"the kernel package {name} cannot be downloaded (try apt-get update): {error}") from error


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
