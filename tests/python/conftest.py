# SPDX-License-Identifier: MIT
"""What the Python tests share. VIRTSOCK_TEST_TRANSPORT says over what they run: unix (default), unix-seqpacket, and, in a VM alone,
vsock and vsock-seqpacket, which use CID 1."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
import virtsock
from watch import Watch

pytestmark = pytest.mark.proves("cpython")

TRANSPORT = os.environ.get("VIRTSOCK_TEST_TRANSPORT", "unix")
IS_UNIX = TRANSPORT.startswith("unix")
IS_STREAM = not TRANSPORT.endswith("seqpacket")

SLOW = int(os.environ.get("VIRTSOCK_TEST_SLOW", "1"))  # an emulated machine may be so many times later

stream_only = pytest.mark.skipif(not IS_STREAM, reason="messages have no such thing")
unix_only = pytest.mark.skipif(not IS_UNIX, reason="UNIX sockets only")

_ports = iter(range(random.randrange(20000, 60000) * 1000, 2**32 - 2))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proves")     # as tests/proofs.py has it, which is not loaded in a VM
    known = ("unix", "unix-seqpacket", "vsock", "vsock-seqpacket")
    if TRANSPORT not in known:
        pytest.exit(f"VIRTSOCK_TEST_TRANSPORT is one of {', '.join(known)}", 2)


@pytest.fixture
def address(tmp_path) -> Callable[[], virtsock.Address]:
    """A factory of addresses that nobody uses."""
    numbers = iter(range(1000000))

    def make() -> virtsock.Address:
        kind = "" if IS_STREAM else "?type=seqpacket"
        if IS_UNIX:
            return virtsock.Address(str(virtsock.Address.unix(tmp_path / f"s{next(numbers)}")) + kind)
        return virtsock.Address(f"vsock://local:{next(_ports)}{kind}")

    return make


@pytest.fixture
def listener(address) -> Iterator[virtsock.Listener]:
    with virtsock.listen(address(), timeout=20) as made:
        yield made


@pytest.fixture
def pair(listener) -> Iterator[tuple[virtsock.Stream, virtsock.Stream]]:
    """A client's end and a server's."""
    with virtsock.connect(listener.address, timeout=20) as client, listener.accept() as server:
        server.settimeout(20)
        yield client, server


@contextlib.contextmanager
def running(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """Another thread; what it raises is raised at the end."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    yield thread
    thread.join(30)
    assert not thread.is_alive(), "the other thread hangs"
    if failures:
        raise failures[0]


@contextlib.contextmanager
def handler(number: int, function: Callable[..., object]) -> Iterator[None]:
    before = signal.signal(number, function)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(number, before)


@contextlib.contextmanager
def fails_with(status: virtsock.Status, cause: str = "") -> Iterator[None]:
    with pytest.raises(virtsock.Error) as caught:
        yield
    assert caught.value.status == status and cause in str(caught.value)


class Interrupted(Exception):
    """What the handler of `interrupted_within` raises."""


def interrupted_within(call: Callable[[], object], limit: float) -> None:
    """The call blocks; a signal's handler that raises ends it in time."""
    fired: list[Watch] = []

    def fire(*_: object) -> None:
        before.end()
        fired.append(Watch())
        raise Interrupted

    with handler(signal.SIGALRM, fire):
        before = Watch()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupted):
            call()
        fired[0].end()
    assert before.used < 0.1 + limit
    assert fired[0].used < limit


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
