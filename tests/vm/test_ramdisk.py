# SPDX-License-Identifier: MIT
"""`cat` and `relay` in a guest whose first ramdisk holds nothing else: no busybox, no shell, no C library, no /etc, nothing mounted.

What Debian's kernel cannot do without comes with the command: its drivers for AF_VSOCK and virtio are modules, and some process has to load
them and to be the first (loader.c). The host is this machine, behind a multiplexer.
"""

import contextlib
import gzip
import hashlib
import os
import re
import socket
import subprocess

import pytest
from builds import TOOL
from interop.mux_peer import ask_mux

from . import cache, initrd, kernel, lab, modules, qemu
from .machine import Here
from .multiplexer import Multiplexer

CID = 71
MEMORY = 128
MIB = os.urandom(1 << 20)
PIECE = 16384
STATIC = ["musl-gcc", "-static", "-s", "-Os", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
DRIVERS = {"virtio", "virtio_ring", "virtio_pci", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "vsock",
           "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport"}


@pytest.fixture(scope="module")
def ramdisk(vm_logs):
    """The file, below the folder of the logs."""
    if not initrd.TOOL.exists():
        pytest.skip(f"{initrd.TOOL} is not built: cmake --preset musl && cmake --build build/musl")
    try:
        linux = kernel.get()
        cache.tool(*STATIC, initrd.INIT.with_name("loader.c"), "-o", vm_logs / "init")
        cache.tool("strip", "-o", vm_logs / "virtsock", initrd.TOOL)
    except lab.Missing as reason:
        pytest.skip(str(reason))
    programs = {name: (vm_logs / name).read_bytes() for name in ("init", "virtsock")}
    drivers = modules.in_order(linux.modules(("virtio_pci", *lab.GUEST)))
    files = {f"modules/{number:02}-{name}.ko": kernel.unsigned(file.read_bytes()) for number, (name, file) in enumerate(drivers.items())}
    archive = initrd.cpio(("dev", "modules"), programs, files, {"dev/ttyS0": (4, 64)})
    (vm_logs / "ramdisk").write_bytes(gzip.compress(archive))
    return vm_logs / "ramdisk"


@pytest.fixture
def mux():
    """For one guest: it is a moment without the device's socket when that guest is gone."""
    try:
        with Multiplexer((CID,)) as made:
            yield made
    except lab.Missing as reason:
        pytest.skip(str(reason))


class Minimal:
    """The guest, which runs these words of the command; its serial line is a socket here."""

    def __init__(self, ramdisk, mux, words):
        self.console, theirs = socket.socketpair()
        self.console.settimeout(lab.BOOT_TIME)
        self.printed = ""
        with theirs:
            arguments = qemu.line(f"-- /virtsock {words}", log=f"socket,fd={theirs.fileno()}", memory=MEMORY, cpus=1, accel=qemu.accelerator(),
                                  devices=["-no-reboot", *qemu.vhost_user_device(mux.device(CID), MEMORY)], ramdisk=ramdisk)
            self.qemu = Here().start(arguments, fds=(theirs.fileno(),))

    def expect(self, text):
        """Return when it has printed the text."""
        while text not in self.printed:
            part = b""
            with contextlib.suppress(TimeoutError):
                part = self.console.recv(4096)
            assert part, f"no {text!r}: {self.printed}{self.qemu.output().decode(errors='replace')}"
            self.printed += part.decode(errors="replace").replace("\r", "")

    def interrupt(self):
        """Ctrl-C on its serial line."""
        self.console.sendall(b"\x03")

    def ends(self, code):
        """It says so and powers itself off: QEMU's end is its own."""
        self.expect(f"init: exit {code}\n")
        assert self.qemu.wait(60).code == 0
        assert self.printed.count("init: ") == 1, self.printed

    def close(self):
        self.qemu.kill()
        self.console.close()


@pytest.fixture
def boot(ramdisk, mux):
    """boot(words), once it has said that it is ready."""
    with contextlib.ExitStack() as guests:

        def start(words, ready="listening on"):
            guest = Minimal(ramdisk, mux, words)
            guests.callback(guest.close)
            guest.expect(ready)
            return guest

        yield start


def listed(ramdisk):
    """Its names, read by another program than the one that wrote it."""
    done = subprocess.run([cache.found("busybox"), "cpio", "-t"], input=gzip.decompress(ramdisk.read_bytes()), capture_output=True, check=True)
    return done.stdout.decode().split()


def test_the_ramdisk_holds_nothing_else(ramdisk):
    """Two programs, both without an interpreter, and the drivers."""
    names = listed(ramdisk)
    drivers = [name for name in names if name.startswith("modules/")]
    assert [name for name in names if name not in drivers] == ["dev", "modules", "init", "virtsock", "dev/ttyS0"]
    assert {re.fullmatch(r"modules/\d\d-(\w+)\.ko", name)[1] for name in drivers} == DRIVERS
    for program in "init", "virtsock":
        assert b"INTERP" not in cache.tool("readelf", "-lW", ramdisk.with_name(program))
    assert ramdisk.with_name("virtsock").stat().st_size <= 320 * 1024


def same(data, other):
    return hashlib.sha256(data).digest() == hashlib.sha256(other).digest()


def carried(data, one, other):
    """What comes out at the other connection of what goes in at the one, a piece at a time: with much under way both ways at once,
    vhost-device-vsock 0.3 may stand still for ever (its issue 494)."""
    for connection in one, other:
        connection.settimeout(60)
    found = b""
    with other.makefile("rb") as stream:
        for begin in range(0, len(data), PIECE):
            one.sendall(data[begin:begin + PIECE])
            found += stream.read(min(PIECE, len(data) - begin))
    return found


def at_the_hosts_port(mux, port):
    """Where the multiplexer goes for a guest that connects to the host."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{mux.path(CID)}_{port}")
    server.listen()
    server.settimeout(60)
    return server


def test_relay_between_two_programs_of_the_host(boot, mux):
    """From one into the guest and out of it to another: a MiB each way."""
    with at_the_hosts_port(mux, 7002) as server:
        guest = boot("relay -v vsock://:7001 vsock://host:7002")
        client, said = ask_mux(mux.path(CID), b"CONNECT 7001\n")
        with client:
            assert said.startswith(b"OK ")
            other, _ = server.accept()
            with other:
                assert same(carried(MIB, client, other), MIB)
                assert same(carried(MIB[::-1], other, client), MIB[::-1])
        guest.expect("1048576 bytes, 1048576 back")
        guest.interrupt()
        guest.ends(0)


def test_relay_carries_the_half_close(boot, mux):
    """This multiplexer loses it, and `half-close=framed` brings it through: `cat` sees all come back that the other sends back after its end."""
    framed = "?half-close=framed"
    with Here().start([str(TOOL), "cat", "-l", "--echo", "-v", f"vsock-mux://:7004{mux.path(CID)}{framed}"]) as echo:
        echo.expect("listening on")
        guest = boot(f"relay -v vsock://:7003{framed} vsock://host:7004{framed}")
        done = subprocess.run([TOOL, "cat", f"vsock-mux://:7003{mux.path(CID)}{framed}"], input=MIB[:PIECE], stdout=subprocess.PIPE, timeout=60)
        assert done.returncode == 0 and same(done.stdout, MIB[:PIECE])
        guest.interrupt()
        guest.ends(0)


def test_cat_echoes_to_the_host(boot, mux):
    guest = boot("cat -l --echo -v vsock://:7005")
    client, said = ask_mux(mux.path(CID), b"CONNECT 7005\n")
    with client:
        assert said.startswith(b"OK ")
        assert same(carried(MIB, client, client), MIB)
    guest.interrupt()
    guest.ends(0)


def test_cat_prints_what_the_host_sends(boot, mux):
    """To the serial line, its standard output; and it ends by itself."""
    guest = boot("cat -l -v vsock://:7006")
    client, _ = ask_mux(mux.path(CID), b"CONNECT 7006\n")
    with client:
        client.sendall(b"from the host\n")
    guest.expect("from the host\n")
    guest.ends(0)


@pytest.mark.parametrize("words, code", [("cat vsock://host:7007", 1), ("relay vsock://:7007", 2)])
def test_the_exit_code_is_told(boot, words, code):
    """Of a command that fails at once: nobody listens, no second address."""
    boot(words, "virtsock: ").ends(code)
