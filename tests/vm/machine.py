# SPDX-License-Identifier: MIT
"""A machine and the jobs in it: a guest behind QEMU, or the machine that runs the tests.

Owns the processes, the frames of the guests' channel and every deadline. Knows nothing of which guests make a lab.
"""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from .cache import LabError

PROJECT = Path(__file__).resolve().parents[2]
TAIL = 3000                 # bytes of a log that an error carries
KILL_GRACE = 20             # seconds for a killed job to be reported


class TimedOut(LabError):
    """A deadline passed; what was waited for has been ended."""


class Result(NamedTuple):
    code: int               # exit code; 128 + N after signal N
    output: bytes           # standard output and error together

    @property
    def text(self):
        return self.output.decode(errors="replace")


class Job:
    """A command under way, made by start(). A context manager: leaving it ends the command."""

    def __init__(self, machine, command):
        self.machine, self.command = machine, command
        self.result = None
        self._output = b""
        self._looks = 0
        self._news = threading.Condition()

    def wait(self, timeout=60):
        """Its Result. At the deadline the job is ended and TimedOut raised."""
        with self._news:
            if self._news.wait_for(self._over, timeout):
                return self._outcome()
        with contextlib.suppress(TimedOut):
            self.kill()
        raise TimedOut(self._story(f"did not end within {timeout} s"))

    def expect(self, text, timeout=60):
        """The output so far, once it holds the text (which a server prints when it is ready). Deadline as wait()."""
        wanted = text.encode() if isinstance(text, str) else text
        deadline = time.monotonic() + timeout
        while wanted not in self.output(deadline - time.monotonic()):
            if self._over():
                raise LabError(self._story(f"ended with {self._outcome().code} without {wanted!r}"))
            if time.monotonic() > deadline:
                self.kill()
                raise TimedOut(self._story(f"no {wanted!r} within {timeout} s"))
            time.sleep(0.02)
        return self._output

    def output(self, timeout=60):
        """What it has printed by now, or was known of that when the time was over."""
        with self._news:
            before = self._looks
            if not self._over():
                self.machine._peek(self)
                self._news.wait_for(lambda: self._over() or self._looks > before, max(timeout, 0))
            return self._output

    def kill(self):
        """End it, with all of its process group, and wait for that. A job that has ended is left as it is."""
        for _ in range(KILL_GRACE):
            with self._news:
                if self._over():
                    return
                self.signal("KILL")
                if self._news.wait_for(self._over, 1):
                    return
        raise TimedOut(self._story("would not be killed"))

    def signal(self, name):
        """Send it to all of its process group: "STOP", "CONT", "KILL"."""
        if not self._over():
            self.machine._signal(self, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(LabError):
            self.kill()

    def _over(self):
        return self.result is not None or self.machine.gone

    def _outcome(self):
        if self.result is None:
            raise LabError(self._story("was cut off: the machine is gone"))
        return self.result

    def _story(self, what):
        shown = self._output[-TAIL:].decode(errors="replace")
        return self.machine.story(f"{self.machine.name}: {self.command!r} {what}; it printed: {shown!r}")

    def _tell(self, output=None, code=None):
        with self._news:
            if output is not None:
                self._output = output
                self._looks += 1
            if code is not None:
                self.result = Result(code, output)
            self._news.notify_all()


class Machine:
    """What a guest and the machine itself have in common."""

    name = "machine"
    gone = False

    def run(self, command, timeout=60, env=None, cwd=None):
        """(exit code, output) of a command: a list of arguments, or shell text. It is ended at the deadline."""
        return self.start(command, env, cwd).wait(timeout)

    def story(self, what):
        """A failure's message, with all that helps to understand it."""
        return what

    def tail(self):
        """The end of its serial log, where it has one."""
        return ""

    def close(self):
        """End the machine, if it is ours to end."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Here(Machine):
    """The machine that runs the tests. Jobs have its environment, and end when this process does."""

    name = "here"

    def start(self, command, env=None, cwd=None, fds=()):
        job = Job(self, command)
        job._file = tempfile.TemporaryFile()
        started = threading.Event()
        threading.Thread(target=self._life, args=(job, script(command, env, cwd), fds, started), daemon=True).start()
        started.wait()
        return job

    def _life(self, job, text, fds, started):
        """Start and await it in one thread: to the system a parent's death is that of the thread which forked."""
        try:
            job._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "/bin/sh", "-c", text], stdin=subprocess.DEVNULL, stdout=job._file,
                stderr=subprocess.STDOUT, start_new_session=True, pass_fds=fds)
        finally:
            started.set()
        code = job._process.wait()
        job._tell(self._read(job), code if code >= 0 else 128 - code)

    def _peek(self, job):
        job._tell(self._read(job))

    def _signal(self, job, name):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job._process.pid, signal.Signals[f"SIG{name}"])

    @staticmethod
    def _read(job):
        return os.pread(job._file.fileno(), os.fstat(job._file.fileno()).st_size, 0)


class Guest(Machine):
    """A guest that init.sh serves. `qemu` is the job that runs it, `channel` a socket that ends at its virtio port."""

    def __init__(self, name, qemu, channel, log):
        self.name, self.qemu, self.log = name, qemu, Path(log)
        self._channel = channel
        self._jobs = {}
        self._last = 0
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def wait_ready(self, timeout):
        """Return when the guest takes commands; raise when it cannot any more, or not in time."""
        deadline = time.monotonic() + timeout
        while not self._ready.wait(0.1):
            if self.gone or self.qemu.result is not None:
                raise LabError(self.story(f"{self.name}: ended while it booted"))
            if time.monotonic() > deadline:
                raise TimedOut(self.story(f"{self.name}: not up within {timeout} s"))

    def start(self, command, env=None, cwd=None):
        """A Job in the machine's file system, which is read-only but for /tmp, /var/tmp and /run. env is added to PATH and HOME."""
        job = Job(self, command)
        with self._lock:
            self._last += 1
            job.number = self._last
            self._jobs[job.number] = job
        self._say(f"start {job.number} {one_line(script(command, env, cwd))}")
        return job

    def story(self, what):
        said = self.qemu.output(5)[-TAIL:].decode(errors="replace").strip() or "nothing"
        return f"{what}\n--- QEMU of {self.name} said ---\n{said}\n--- serial log of {self.name}, {self.log} ---\n{self.tail()}"

    def tail(self):
        with contextlib.suppress(OSError):
            return self.log.read_bytes()[-TAIL:].decode(errors="replace").replace("\r", "")
        return "(none)"

    def close(self):
        """Hang up: a guest in order then powers itself off, any other has its QEMU killed."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._channel.close()
        with contextlib.suppress(LabError):
            self.qemu.wait(5)

    def _peek(self, job):
        self._say(f"peek {job.number}")

    def _signal(self, job, name):
        self._say(f"signal {job.number} {name}")

    def _say(self, line):
        with self._lock, contextlib.suppress(OSError):      # a channel that is broken is the reader's to notice
            self._channel.sendall(line.encode(errors="surrogateescape") + b"\n")

    def _listen(self):
        with contextlib.suppress(OSError), self._channel.makefile("rb") as frames:
            while head := frames.readline():
                kind, number, code, size = head.split()
                self._frame(kind, int(number), int(code), frames.read(int(size)))
        self.gone = True
        for job in list(self._jobs.values()):
            job._tell()

    def _frame(self, kind, number, code, output):
        if kind == b"ready":
            self._ready.set()
        elif kind == b"done":
            self._jobs.pop(number)._tell(output, code)
        elif job := self._jobs.get(number):
            job._tell(output)


def script(command, env, cwd):
    """Shell text for a command: a list of arguments, or text that is shell already. The default folder is the project's."""
    if not isinstance(command, str):
        command = "exec " + shlex.join(map(str, command))
    exports = "".join(f"export {name}={shlex.quote(str(value))}\n" for name, value in (env or {}).items())
    return f"cd {shlex.quote(str(cwd or PROJECT))} || exit 126\n{exports}{command}\n"


def one_line(text):
    """A shell word for any text, on one line: the guest takes its commands by the line."""
    return shlex.quote(text).replace("\n", "'$'\\n''")
