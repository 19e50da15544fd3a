# SPDX-License-Identifier: MIT
"""Errors: one class a status, each the builtin that a Python programmer would catch, with the story in attributes."""

from __future__ import annotations

import errno
import gc
import pickle
import traceback
import tracemalloc

import pytest
import virtsock
from conftest import fails_with, unix_only
from virtsock import Error, Status, _errors, native

BUILTINS = {
    Status.INVALID: ValueError,
    Status.REFUSED: ConnectionRefusedError,
    Status.TIMEOUT: TimeoutError,
    Status.DENIED: PermissionError,
    Status.EOF: EOFError,
    Status.RESET: ConnectionResetError,
    Status.AGAIN: BlockingIOError,
    Status.INTERRUPTED: InterruptedError,
    Status.NOT_FOUND: LookupError,
}


@pytest.mark.parametrize("status", [status for status in Status if status != Status.OK])
def test_each_status(status: Status) -> None:
    error = _errors._make(int(status), 0, 3, "connect", "connect vsock://3:1024: this: that", "do something", 7)
    assert isinstance(error, Error) and isinstance(error, OSError) and isinstance(error, BUILTINS.get(status, OSError))
    assert error.status is status and error.errno > 0
    assert (error.operation, error.address, error.attempts, error.done) == ("connect", "vsock://3:1024", 3, 7)
    assert error.strerror == "connect vsock://3:1024: this: that"
    assert error.advice == "do something" and "do something" in "".join(traceback.format_exception(error))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and again.status is status and str(again) == str(error) and again.address == error.address


def test_messages_have_no_control_characters() -> None:
    for hidden in ("\x1b", "\x7f", "\x80", "\x9b", "\x9f", "\u061c", "\u200f", "\u2028", "\u202e", "\u2066", "\u2069"):
        with pytest.raises(Error) as caught:
            virtsock.Address(f"no:{hidden}.")
        assert hidden not in str(caught.value) and "parse no:?.: " in str(caught.value)
    with pytest.raises(Error, match="parse no:\xa0\u2065."):
        virtsock.Address("no:\xa0\u2065.")


def test_builtins_are_told_apart() -> None:
    for status, builtin in BUILTINS.items():
        others = [other for other, kind in BUILTINS.items() if issubclass(_errors._KINDS[other][0], builtin) and other != status]
        assert others == [], builtin


def test_unknown_status_is_system() -> None:
    error = _errors._make(-99, 0, 0, "", "new", None, 0)
    assert error.status is Status.SYSTEM and error.code == -99 and error.advice is None
    assert native.status_name(-99) == "system"


@unix_only
def test_refused(address) -> None:
    where = address()
    with pytest.raises(ConnectionRefusedError) as caught:
        virtsock.connect(where)
    error = caught.value
    assert (error.status, error.errno, error.operation, error.address) == (Status.REFUSED, errno.ENOENT, "connect", str(where))
    assert error.attempts == 1 and error.advice and error.__notes__ == [error.advice]


def test_in_use(listener) -> None:
    with pytest.raises(Error) as caught:
        virtsock.listen(listener.address)
    assert caught.value.status == Status.IN_USE and caught.value.errno == errno.EADDRINUSE
    assert caught.value.address == str(listener.address)


def test_unsupported() -> None:
    with fails_with(Status.UNSUPPORTED):
        virtsock.connect("vsock://1:1024?type=dgram")
    with fails_with(Status.UNSUPPORTED):
        native.supported(native.SCHEME_HYPERV)
    assert virtsock.supported("unix") and not virtsock.supported("hvsock") and not virtsock.supported("nonesuch")


def test_again_and_reset(pair) -> None:
    client, server = pair
    client.setblocking(False)
    with pytest.raises(BlockingIOError) as caught:
        client.recv(1)
    assert caught.value.errno == errno.EAGAIN and caught.value.status == Status.AGAIN
    server.close()
    with pytest.raises((ConnectionResetError, BrokenPipeError)) as broken:
        for _ in range(100):
            client.send(b"x")
    assert broken.value.status == Status.RESET


def test_a_name_too_long(tmp_path) -> None:
    with pytest.raises(OSError) as caught:
        virtsock.connect(virtsock.Address.unix(tmp_path / ("x" * 200)))
    assert caught.value.status == Status.NAME_TOO_LONG


def test_none_is_never_a_crash() -> None:
    functions = {name: getattr(native, name) for name in dir(native) if callable(getattr(native, name)) and not name.startswith("__")}
    assert len(functions) > 40
    for name, function in functions.items():
        if name in ("options_new", "version", "local_cid", "milliseconds"):
            continue
        for count in range(1, 5):
            with pytest.raises(TypeError):
                function(*[None] * count)


def test_a_handle_of_another_kind(pair, listener) -> None:
    client, _ = pair
    for wrong in (listener._handle, client, listener, object(), 5, "x", native.options_new()):
        with pytest.raises(TypeError):
            native.stream_recv(wrong, bytearray(1), 0)
        with pytest.raises(TypeError):
            native.stream_fd(wrong)
        with pytest.raises(TypeError):
            native.connect(wrong, None)
        with pytest.raises(TypeError):
            virtsock.Stream(wrong)
    with pytest.raises(TypeError):
        native.accept(client._handle, 0)
    with pytest.raises(TypeError):
        virtsock.Listener(client._handle)


def test_wrong_arguments(pair) -> None:
    client, _ = pair
    for arguments in ((), (1, 2), (b"x", 1)):
        with pytest.raises(TypeError):
            client.recv(*arguments)
    for arguments, named in (((), {}), ((bytearray(1), 1, 2), {}), ((bytearray(1),), {"size": 1}), ((bytearray(1), 1), {"nbytes": 1})):
        with pytest.raises(TypeError):
            client.recv_into(*arguments, **named)
    for size in (None, "1", 1.0, b"1", True):
        with pytest.raises(TypeError):
            client.recv(size)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        client.recv(-1)
    for size in (2**63, -(2**63) - 1):
        with pytest.raises(OverflowError):
            client.recv(size)
    with pytest.raises(ValueError):
        client.shutdown(7)
    for timeout in (-2, 2**31):
        with pytest.raises(OverflowError):
            native.stream_recv(client._handle, bytearray(1), timeout)


def test_errors_leak_nothing(address) -> None:
    def fail(count: int) -> None:
        for _ in range(count):
            for call in (lambda: virtsock.Address("x"), lambda: virtsock.Address("\ud800"), lambda: virtsock.Address.vsock(-1, 1)):
                with pytest.raises((ValueError, OverflowError)):
                    call()

    def growth() -> int:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        fail(300)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    fail(100)
    tracemalloc.start()
    grown = min(growth() for _ in range(4))
    tracemalloc.stop()
    assert grown < 5000
