# SPDX-License-Identifier: MIT
"""What is kept between runs, in the user's cache, and the programs of this machine that fill it.

Owns the folder and its locks. Knows nothing of kernels and machines.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ENVIRONMENT = {**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}


class LabError(Exception):
    """The lab cannot do what was asked; the text says why, and what would help."""


class Missing(LabError):
    """Something is not installed, or not to be had: a reason to skip."""


def cache_root():
    """The folder of everything that is kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "virtsock" / "vm"


def cached(name, make):
    """cache_root()/name, or the whole path that name is, made by make(new empty folder) once; a folder half made is never seen there."""
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


def found(program):
    """Where a program of this machine is, or None."""
    return shutil.which(program, path=ENVIRONMENT["PATH"])


def tool(*argv, cwd=None, timeout=300, **more):
    """The output of a program of this machine; Missing where it is not installed, LabError where it fails or takes too long."""
    try:
        done = subprocess.run(argv, cwd=cwd, env=ENVIRONMENT, capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL, **more)
    except FileNotFoundError as error:
        raise Missing(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(map(str, argv))}: not done within {timeout} s") from error
    if done.returncode:
        raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
