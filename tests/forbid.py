# SPDX-License-Identifier: MIT
"""Runs a command under a seccomp filter, as a container's profile does it: `forbid.py CALL[:FIRST] ERRNO COMMAND...`.

CALL (socket, connect) ends with that error, where FIRST is told for this first argument alone; the kernel does not carry it out.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

NUMBERS = {"x86_64": {"socket": 41, "connect": 42}, "aarch64": {"socket": 198, "connect": 203}}
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06                     # linux/filter.h: BPF_LD+W+ABS, BPF_JMP+JEQ+K, BPF_RET+K
ALLOW, ERROR = 0x7FFF0000, 0x00050000                           # linux/seccomp.h
NUMBER, FIRST_ARGUMENT = 0, 16                                  # struct seccomp_data
NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2                   # linux/prctl.h


def rules(number, first, code):
    verdict = [(RETURN, 0, 0, ERROR | code), (RETURN, 0, 0, ALLOW)]
    if first is not None:
        verdict = [(LOAD, 0, 0, FIRST_ARGUMENT), (JUMP_IF_EQUAL, 0, 1, first), *verdict]
    return [(LOAD, 0, 0, NUMBER), (JUMP_IF_EQUAL, 0, len(verdict) - 1, number), *verdict]


def confine(call, code):
    name, _, first = call.partition(":")
    filters = b"".join(struct.pack("HBBI", *rule) for rule in rules(NUMBERS[platform.machine()][name], int(first) if first else None, code))
    held = ctypes.create_string_buffer(filters)
    program = struct.pack("HxxxxxxP", len(filters) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(SET_SECCOMP, FILTER, program) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    confine(sys.argv[1], getattr(errno, sys.argv[2]))
    os.execvp(sys.argv[3], sys.argv[3:])
