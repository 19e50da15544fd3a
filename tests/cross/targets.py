# SPDX-License-Identifier: MIT
"""Other kinds of machines: how a program that was built for one is run here."""

from __future__ import annotations

import shutil

from builds import BUILD

# Target: qemu-user's name of it; None: this machine runs it.
TARGETS = {"linux-aarch64": "aarch64", "linux-s390x": "s390x", "musl": None, "linux-i386": None, "glibc-2.17": None}


def command(target, program):
    """Of a program of that build, without its arguments; None: a build or an emulator is missing."""
    path, machine = BUILD / target / program, TARGETS[target]
    emulator = shutil.which(f"qemu-{machine}-static") if machine else ""
    if not path.exists() or emulator is None:
        return None
    return [emulator, "-L", f"/usr/{machine}-linux-gnu", str(path)] if machine else [str(path)]
