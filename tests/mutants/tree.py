# SPDX-License-Identifier: MIT
"""A copy of the project in which one mutant after another is built and tested; what is not changed stays built."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import ROOT
from .claims import targets_of

PR_SET_CHILD_SUBREAPER = 36             # linux/prctl.h
PATIENCE = 240                          # seconds, where nothing is known
ENVIRONMENT = {"VIRTSOCK_TEST_ROUNDS": "100", "PYTHONPATH": "tests", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


Limit = Callable[[str], float]


class BuildError(Exception):
    """What the build printed."""


@dataclass
class Outcome:
    """Of one run of pytest."""

    failed: list[str] = field(default_factory=list)     # items; a hang is one
    hung: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    code: int = 0


class Tree:
    def __init__(self, number: int, build: str) -> None:
        self.build = build
        self.root = ROOT / "build" / "mutants" / f"{number}-{build}"
        self.folder = self.root / "build" / build
        self.order = self.folder / "order.json"

    # --- Sources ---------------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Makes it what the project is, with all that git has or would have; what is the same keeps its time."""
        command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        names = {name for name in listed if name and (ROOT / name).is_file()}
        for name in names:
            self.write(name, (ROOT / name).read_bytes(), (ROOT / name).stat().st_mode)
        for top in {Path(name).parts[0] for name in names} & {"core", "tools", "tests"}:
            for path in (self.root / top).rglob("*"):
                if path.suffix in (".c", ".h", ".py") and str(path.relative_to(self.root)) not in names:
                    path.unlink()

    def write(self, name: str, content: bytes, mode: int = 0o644) -> None:
        path = self.root / name
        if path.exists() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode & 0o777)

    # --- Building --------------------------------------------------------------------------------------------------------

    def configure(self) -> None:
        if not (self.folder / "build.ninja").exists():
            self.call("cmake", "--preset", self.build, "-G", "Ninja", "-DVIRTSOCK_LUA=OFF", "-DVIRTSOCK_WERROR=OFF",
                      "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O1 -w")

    def make(self, step: str) -> None:
        """What the tests of that step run."""
        self.call("ninja", "-C", str(self.folder), "-j2", *targets_of(step, self.root))

    def call(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.root, text=True, errors="replace", capture_output=True)
        if done.returncode != 0:
            raise BuildError(done.stdout + done.stderr)

    # --- Testing ---------------------------------------------------------------------------------------------------------

    def test(self, words: list[str], limit: Limit | None, stop: bool, order: dict[str, float] | None = None) -> Outcome:
        """stop: at the first failure. limit: seconds after which an item hangs; None: not known. order: the witness's."""
        reading, writing = os.pipe()
        environment = {**os.environ, **ENVIRONMENT, "VIRTSOCK_BUILD": self.build, "MUTANTS_WITNESS": str(writing),
                       "MUTANTS_ORDER": str(self.order)}
        self.order.write_text(json.dumps(order or {}))
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "mutants.witness", *words]
        nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([*command, *(["-x"] if stop else [])], cwd=self.root, env=environment, pass_fds=[writing],
                                   start_new_session=True, preexec_fn=hear_signals, **nothing)
        os.close(writing)
        try:
            return watch(process, reading, limit)
        finally:
            sweep()
            process.wait()
            os.close(reading)


def hear_signals() -> None:
    """That tests send, and that a shell's background or nohup ignores."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def watch(process: subprocess.Popen, reading: int, limit: Limit | None) -> Outcome:
    """Until pytest has ended, or one item takes longer than it may."""
    outcome, item, since, rest = Outcome(), "", time.monotonic(), b""
    while True:
        if select.select([reading], [], [], 0.5)[0]:
            data = os.read(reading, 65536)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                what, _, name = line.decode().partition(" ")
                if what == "begins":
                    item, since = name, time.monotonic()
                elif what == "ends":
                    outcome.seconds[name] = time.monotonic() - since
                elif name not in outcome.failed:
                    outcome.failed.append(name)
            if not data:
                outcome.code = process.wait()
                return outcome
        elif process.poll() is not None:
            outcome.code = process.returncode
            return outcome
        if time.monotonic() - since > (limit(item) if item and limit is not None else PATIENCE):
            outcome.failed.append(item)
            outcome.hung = True
            return outcome


# --- Processes that a test has left --------------------------------------------------------------------------------------------


def adopt() -> None:
    """Whatever loses its parent becomes a child of this process."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [os.getpid()]
    for parent in found:
        found += children.get(parent, [])
    return found[1:]


def sweep() -> None:
    """Ends what this process has begun, and what that has."""
    while left := descendants():
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)
        reap()


def reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
