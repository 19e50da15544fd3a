# SPDX-License-Identifier: MIT
"""The statuses. Apart, because `enum` takes longer to import than all the rest: it is loaded when a status is first looked at."""

from __future__ import annotations

from enum import IntEnum

from . import native


class Status(IntEnum):
    """What the caller can do about a failure; the words are those of `virtsock_status` in C."""

    OK = native.OK
    INVALID = native.E_INVALID
    UNSUPPORTED = native.E_UNSUPPORTED
    REFUSED = native.E_REFUSED
    TIMEOUT = native.E_TIMEOUT
    UNREACHABLE = native.E_UNREACHABLE
    DENIED = native.E_DENIED
    IN_USE = native.E_IN_USE
    EOF = native.E_EOF
    RESET = native.E_RESET
    CANCELLED = native.E_CANCELLED
    AGAIN = native.E_AGAIN
    INTERRUPTED = native.E_INTERRUPTED
    PROTOCOL = native.E_PROTOCOL
    NAME_TOO_LONG = native.E_NAME_TOO_LONG
    MESSAGE_TOO_LONG = native.E_MESSAGE_TOO_LONG
    NOT_FOUND = native.E_NOT_FOUND
    AMBIGUOUS = native.E_AMBIGUOUS
    NO_RESOURCES = native.E_NO_RESOURCES
    SYSTEM = native.E_SYSTEM
