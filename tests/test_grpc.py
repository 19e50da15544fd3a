# SPDX-License-Identifier: MIT
"""examples/python/grpc_echo.py with both of its relays, on one machine: `virtsock mux` is between them. tests/vm/test_grpc.py has a guest
and its host."""

import pytest
from test_tools import eventually, running
from vm import grpc_exchange, lab

pytestmark = pytest.mark.proves("grpc")


@pytest.fixture
def changes(tmp_path):
    """What in the example's commands is another address, or path, here: in place of the VM's CID a socket, which tells nobody's."""
    vm = tmp_path / "vm"
    with open(tmp_path / "log", "wb") as log, running("mux", str(vm), stderr=log):
        eventually(lambda: b"hyperkit" in (tmp_path / "log").read_bytes())
        address = f"vsock-mux://:50051{vm}/vsock.sock"
        yield {"--allow host vsock://:50051": address, "vsock://3:50051": address, "/tmp/echo": tmp_path / "echo",
               "/tmp/guest": tmp_path / "guest"}


def test_calls_breaks_and_reconnection(changes):
    machine = lab.Here()
    grpc_exchange.converse(machine, machine, changes, ("reading", grpc_exchange.SERVER, "KILL", 137))
