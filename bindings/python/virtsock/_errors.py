# SPDX-License-Identifier: MIT
"""Failures as exceptions: a class for each status that has a builtin which a Python programmer would catch."""

from __future__ import annotations

import errno as _errno

from . import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._status import Status


class Error(OSError):
    """A failure of this library, with the system's code in `errno` (or the usual one, where no system was asked)."""

    code: int = native.E_SYSTEM
    """The status as a number, also one that this version has no name for."""
    operation: str | None = None
    """`"connect"`, `"recv"`, ..."""
    address: str | None = None
    """Which address it was about, as text."""
    attempts: int = 0
    """How often a connection was tried."""
    advice: str | None = None
    """What to do, one sentence; also a note of the exception."""
    done: int = 0
    """Bytes that were moved before `sendall` or `recv_exact` failed."""
    partial: bytes = b""
    """What `recv_exact` had read."""

    @property
    def status(self) -> Status:
        """What can be done about it. A status that is not known yet is SYSTEM."""
        from ._status import Status

        return Status(self.code if self.code in _KINDS else native.E_SYSTEM)


class InvalidError(Error, ValueError):
    """INVALID: mend the argument."""


class RefusedError(Error, ConnectionRefusedError):
    """REFUSED: nobody listens; retry later."""


class TimedOutError(Error, TimeoutError):
    """TIMEOUT: the caller's own time passed."""


class DeniedError(Error, PermissionError):
    """DENIED: mend permissions."""


class EndOfStreamError(Error, EOFError):
    """EOF: the peer ended before all the bytes came that `recv_exact` was asked for; `partial` has the others."""


class ResetError(Error, ConnectionResetError, BrokenPipeError):
    """RESET: the conversation broke, data may be lost."""


class WouldBlockError(Error, BlockingIOError):
    """AGAIN: nothing is ready, and the timeout is 0."""


class BrokenOffError(Error, InterruptedError):
    """INTERRUPTED: a signal ended what cannot be continued."""


class NotFoundError(Error, LookupError):
    """NOT_FOUND: there is no such name."""


# fmt: off
_KINDS: dict[int, tuple[type[Error], int]] = {
    native.E_INVALID: (InvalidError, _errno.EINVAL), native.E_UNSUPPORTED: (Error, _errno.EOPNOTSUPP),
    native.E_REFUSED: (RefusedError, _errno.ECONNREFUSED), native.E_TIMEOUT: (TimedOutError, _errno.ETIMEDOUT),
    native.E_UNREACHABLE: (Error, _errno.EHOSTUNREACH), native.E_DENIED: (DeniedError, _errno.EACCES),
    native.E_IN_USE: (Error, _errno.EADDRINUSE), native.E_EOF: (EndOfStreamError, _errno.EPIPE),
    native.E_RESET: (ResetError, _errno.ECONNRESET), native.E_CANCELLED: (Error, _errno.EBADF),
    native.E_AGAIN: (WouldBlockError, _errno.EAGAIN), native.E_INTERRUPTED: (BrokenOffError, _errno.EINTR),
    native.E_PROTOCOL: (Error, _errno.EPROTO), native.E_NAME_TOO_LONG: (Error, _errno.ENAMETOOLONG),
    native.E_MESSAGE_TOO_LONG: (Error, _errno.EMSGSIZE), native.E_NOT_FOUND: (NotFoundError, _errno.ENOENT),
    native.E_AMBIGUOUS: (Error, _errno.EINVAL), native.E_NO_RESOURCES: (Error, _errno.ENOMEM),
    native.E_SYSTEM: (Error, _errno.EIO),
}
# fmt: on


def _make(code: int, os_code: int, attempts: int, operation: str, message: str, advice: str | None, done: int) -> Error:
    """The exception for a failure in the core; native calls it."""
    kind, usual = _KINDS.get(code, (Error, _errno.EIO))
    if code == native.E_TIMEOUT and not operation:  # it passed in a signal handler: the core was not asked again
        message = "the time has passed"
    error = kind(os_code or usual, message)
    error.code = code
    error.attempts, error.done = attempts, done
    if operation:
        error.operation = operation
        about, cause, _ = message.removeprefix(operation).partition(": ")
        error.address = about.removeprefix(" ") if cause and about else None
    if advice is not None:
        error.advice = advice
        error.add_note(advice)
    return error


for _kind in (Error, *{kind for kind, _ in _KINDS.values()}):
    _kind.__module__ = "virtsock"
native.set_error_maker(_make)
