# SPDX-License-Identifier: MIT
"""The statuses. Apart, because `enum` takes longer to import than all the rest: it is loaded when a status is first looked at."""

from __future__ import annotations

from enum import IntEnum

from . import native


class Status(IntEnum):
    """What the caller can do about a failure; the words are those of `virtsock_status` in C."""

    OK = native.OK  #: 0; no error has it
    INVALID = native.E_INVALID  #: mend the argument
    UNSUPPORTED = native.E_UNSUPPORTED  #: choose another transport: not on this system, or not in this version
    REFUSED = native.E_REFUSED  #: retry later: nobody listens
    TIMEOUT = native.E_TIMEOUT  #: retry with more time
    UNREACHABLE = native.E_UNREACHABLE  #: check that the VM runs
    DENIED = native.E_DENIED  #: mend permissions
    IN_USE = native.E_IN_USE  #: choose another port or path; or: another call is inside
    EOF = native.E_EOF  #: stop reading: the peer ended in order
    RESET = native.E_RESET  #: stop: the conversation broke, data may be lost
    CANCELLED = native.E_CANCELLED  #: stop: it was closed here, before or during the call
    AGAIN = native.E_AGAIN  #: wait for readiness
    INTERRUPTED = native.E_INTERRUPTED  #: look at your signals, call again
    PROTOCOL = native.E_PROTOCOL  #: report: the peer broke a handshake or a frame
    NAME_TOO_LONG = native.E_NAME_TOO_LONG  #: shorten the path
    MESSAGE_TOO_LONG = native.E_MESSAGE_TOO_LONG  #: send less, or receive more
    NOT_FOUND = native.E_NOT_FOUND  #: check the name; or: there is no such part
    AMBIGUOUS = native.E_AMBIGUOUS  #: use the id: several VMs have that name
    NO_RESOURCES = native.E_NO_RESOURCES  #: back off, then try again
    SYSTEM = native.E_SYSTEM  #: report: everything else; `errno` has the system's code
