# SPDX-License-Identifier: MIT
"""The guest image as a user has it: written into a folder, booted from there on machines of several kinds, with nothing said but what
docs/guest-image.md says."""

import json
import subprocess
import sys

import pytest

from builds import BUILD, TOOL

from . import image, initrd, kernel, qemu
from .cache import Missing
from .machine import PROJECT, Here
from .multiplexer import Multiplexer

CID = 70
SHARED = ["-m", "256", "-object", "memory-backend-memfd,id=shared,size=256M,share=on", "-M", "q35,memory-backend=shared"]


@pytest.fixture(scope="module")
def folder():
    """Below build/, where the emulated host sees it too."""
    try:
        image.write(BUILD / "image")
    except Missing as reason:
        pytest.skip(str(reason))
    return BUILD / "image"


def test_it_is_what_the_tests_boot(folder):
    linux = kernel.get()
    assert (folder / "initrd").read_bytes() == initrd.make(linux).read_bytes()
    assert (folder / "vmlinux").read_bytes() == linux.vmlinux.read_bytes()
    assert b"bin/virtsock\0" in (folder / "initrd").read_bytes()


def command(folder, file, *options):
    return [qemu.QEMU, *options, "-nodefaults", "-display", "none", "-kernel", folder / file, "-initrd", folder / "initrd",
            "-append", f"console=ttyS0 panic=-1 {qemu.TICKS}", "-serial", "stdio"]


def answers(host, address, guest):
    """Its own program, at its own port."""
    done = host.run([str(TOOL), "echo", "--json", "--no-bye", "--wait", "60", address], timeout=90)
    assert done.code == 0, done.text + guest.output().decode(errors="replace")
    return json.loads(done.text.splitlines()[-1])["ok"]


@pytest.mark.parametrize("file", ["vmlinux", "vmlinuz"])
def test_a_pc_behind_a_multiplexer(folder, vm_logs, file):
    with multiplexer() as mux:
        device = ["-chardev", f"socket,id=vsock,path={mux.device(CID)}", "-device", "vhost-user-vsock-pci,chardev=vsock"]
        with Here().start(command(folder, file, "-accel", qemu.accelerator(), *SHARED, *device)) as guest:
            assert answers(Here(), f"vsock-mux://:1024{mux.path(CID)}", guest)


def test_virtio_mmio_behind_vhost(folder, nested_vms):
    """The devices of Firecracker: no PCI, virtio-mmio told by ACPI. The emulated host has KVM, by which this machine's clock is known."""
    accel = qemu.ACCELERATORS["nested" if nested_vms.how == "nested" else qemu.accelerator()]
    options = [*accel, "-m", "256", "-M", "microvm,acpi=on", "-device", f"vhost-vsock-device,guest-cid={CID}"]
    with nested_vms.host.start(command(folder, "vmlinux", *options)) as guest:
        assert answers(nested_vms.host, f"vsock://{CID}:1024", guest)


def multiplexer():
    try:
        return Multiplexer((CID,))
    except Missing as reason:
        pytest.skip(str(reason))


def test_the_command_that_writes_it(folder, tmp_path):
    done = subprocess.run([sys.executable, "-m", "tests.vm.image", tmp_path / "new"], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[1].rpartition("/")[2] for line in done.stdout.splitlines()) == ["initrd", "vmlinux", "vmlinuz"]
    done = subprocess.run([sys.executable, "-m", "tests.vm.image", "/dev/null/no"], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.startswith("tests.vm.image: ")
