# SPDX-License-Identifier: MIT
"""vhost-device-vsock at work: one process for guests that are siblings, and the UNIX sockets of its two sides.

Owns the process and the folder of its sockets.
"""

import tempfile
import time
from pathlib import Path

from . import device
from .cache import LabError
from .machine import Here

START_TIME = 20


class Multiplexer:
    """For guests with these CIDs. A context manager: leaving it ends the process."""

    def __init__(self, cids, build=True):
        self._program, self._cids = device.program(build), cids
        self._folder = tempfile.TemporaryDirectory(prefix="virtsock-mux-")
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self):
        machines = [f"guest-cid={cid},socket={self.device(cid)},uds-path={self.path(cid)}" for cid in self._cids]
        self.job = Here().start([self._program, *(word for machine in machines for word in ("--vm", machine))], env={"RUST_LOG": "info"})
        deadline = time.monotonic() + START_TIME
        while not all(Path(self.device(cid)).exists() for cid in self._cids):
            if self.job.result is not None or time.monotonic() > deadline:
                raise LabError(f"the multiplexer does not start: {self.job.output().decode(errors='replace')}")
            time.sleep(0.01)

    def restart(self):
        """Another process at the same paths, as if the machine were switched on again."""
        self.job.kill()
        for cid in self._cids:
            Path(self.device(cid)).unlink(missing_ok=True)
        self._start()

    def device(self, cid):
        """Where QEMU finds the guest's device."""
        return f"{self._folder.name}/{cid}.device"

    def path(self, cid):
        """Where the host finds the guest."""
        return f"{self._folder.name}/{cid}"

    def close(self):
        self.job.kill()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
