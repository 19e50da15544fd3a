# SPDX-License-Identifier: MIT
"""A guest that runs one command of its first ramdisk and nothing else, as the image's users have it: for a test that treats it badly.

Owns the machine, its serial log and its monitor. Its host is the machine that runs QEMU: this one, or a guest.
"""

import contextlib
import time

from . import qemu
from .cache import LabError
from .machine import TAIL

MEMORY = 256
MONITOR = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as stream:
    stream.settimeout(20)
    stream.connect(sys.argv[1])
    lines = stream.makefile("rw")
    lines.readline()
    for command in "qmp_capabilities", sys.argv[2]:
        lines.write(json.dumps({"execute": command}))
        lines.flush()
        while "return" not in (line := json.loads(lines.readline())):
            assert "error" not in line, line
"""


class Appliance:
    """Off until start(). A context manager: leaving it ends QEMU."""

    name = "appliance"

    def __init__(self, host, device, *, accel):
        self.host, self.device, self.accel, self.qemu = host, device, accel, None
        self.folder = host.run("mktemp -d /tmp/virtsock-vm.XXXXXX").text.strip()

    def start(self, run):
        """Switch it on; run: shell text for its kernel line."""
        arguments = qemu.line(f'run="{run}"', log=f"file,path={self.folder}/log", memory=MEMORY, cpus=1, accel=self.accel, devices=[
            "-chardev", f"socket,id=monitor,path={self.folder}/monitor,server=on,wait=off", "-mon", "chardev=monitor,mode=control", *self.device])
        self.qemu = self.host.start(arguments)

    def printed(self):
        return self.host.run(["cat", f"{self.folder}/log"]).text.replace("\r", "")

    def expect(self, text, timeout):
        """Return when it has printed the text."""
        deadline = time.monotonic() + timeout
        while text not in self.printed():
            if time.monotonic() > deadline:
                raise LabError(f"no {text!r} within {timeout} s; it printed: {self.tail()}")
            time.sleep(0.05)

    def tell(self, command):
        """A command of QEMU's machine protocol, such as system_reset."""
        done = self.host.run(["python3", "-ISc", MONITOR, f"{self.folder}/monitor", command], timeout=30)
        assert done.code == 0, done.text

    def tail(self):
        """The end of what QEMU and the guest said."""
        return (self.qemu.output(5).decode(errors="replace") + self.printed())[-TAIL:] if self.qemu else "(not switched on)"

    def close(self):
        with contextlib.suppress(LabError):
            if self.qemu:
                self.qemu.kill()
            self.host.run(["rm", "-rf", self.folder])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
