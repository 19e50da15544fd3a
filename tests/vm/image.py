# SPDX-License-Identifier: MIT
"""python3 -m tests.vm.image FOLDER: writes the guest image, a kernel and a first ramdisk. docs/guest-image.md says how to boot it."""

import argparse
import shutil
import sys
from pathlib import Path

from . import initrd, kernel
from .cache import LabError, Missing


def write(folder):
    """vmlinux (an ELF program, with a PVH note), vmlinuz (the same, packed, with an EFI stub) and initrd: what the tests boot."""
    if not initrd.TOOL.exists():
        raise Missing(f"{initrd.TOOL} is not built: cmake --preset musl && cmake --build build/musl")
    linux = kernel.get()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {"vmlinux": linux.vmlinux, "vmlinuz": linux.vmlinuz, "initrd": initrd.make(linux)}
    return [shutil.copyfile(source, folder / name) for name, source in files.items()]


def main():
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm.image", description="Writes vmlinux, vmlinuz and initrd: a guest with virtsock in it.")
    parser.add_argument("folder")
    try:
        for file in write(parser.parse_args().folder):
            print(f"{file.stat().st_size:>10}  {file}")
    except (LabError, OSError) as error:
        print(f"tests.vm.image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
