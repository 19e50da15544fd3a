# SPDX-License-Identifier: MIT
"""Debian unstable with Lua 5.5, made by debootstrap once and kept in build/, and how a program runs in it.

Owns the chroot and knows nothing of the library. Whatever is mounted for it is mounted in a namespace, which ends with its first process.
"""

from __future__ import annotations

import os
from pathlib import Path

from builds import BUILD
from vm.cache import LabError, Missing, cached, tool
from vm.packages import mirror

APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
TELLING = ("sh", "-c", '"$@" >&2', "sh")                # debootstrap tells why it fails on standard output
DEBOOTSTRAP = ("debootstrap", "--variant=minbase", "--include=lua5.5,liblua5.5-dev", "--force-check-gpg",
               "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg", "unstable")


def debian() -> Path:
    """The chroot. Missing, where it cannot be had."""
    def make(folder: Path) -> None:
        try:
            tool(*APART, "--mount-proc", *TELLING, *DEBOOTSTRAP, folder, mirror(), timeout=1800)
        except LabError as error:
            raise Missing(f"Debian unstable cannot be had: {str(error).splitlines()[-1]}") from error

    if os.geteuid() != 0:
        raise Missing("Debian unstable runs in a chroot, and that takes root")
    return cached(BUILD / "lua55" / "unstable", make)


def inside(root: Path, *words: str) -> list[str]:
    """A command that runs the words in the chroot, with its own /proc; below a shell: few signals end a namespace's first process."""
    return [*APART, f"--root={root}", "--mount-proc", "/bin/sh", "-c", '"$@"; exit $?', "sh", *words]
