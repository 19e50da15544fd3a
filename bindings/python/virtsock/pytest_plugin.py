# SPDX-License-Identifier: MIT
"""Fixtures for the tests of programs that use virtsock. pytest finds them itself where virtsock is installed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["fake_hypervisor", "virtsock_address"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsock import Address
    from virtsock.testing import FakeHypervisor


@pytest.fixture
def fake_hypervisor(request: pytest.FixtureRequest) -> Iterator[FakeHypervisor]:
    """A `virtsock.testing.FakeHypervisor`, closed after the test, which fails if the guest did.

    It speaks as Firecracker does, or as `@pytest.mark.parametrize("fake_hypervisor", [...], indirect=True)` says.
    """
    from virtsock.testing import FakeHypervisor

    with FakeHypervisor(getattr(request, "param", "firecracker")) as vm:
        yield vm


@pytest.fixture
def virtsock_address() -> Iterator[Address]:
    """A `unix://` address that nobody uses, in a directory whose name is short enough for a socket; removed after the test."""
    from virtsock import Address

    with tempfile.TemporaryDirectory(prefix="virtsock-") as directory:
        yield Address.unix(Path(directory, "socket"))
