# SPDX-License-Identifier: MIT
"""gRPC from a host to its guest through a relay at each end: over AF_VSOCK at both, and behind a multiplexer, where the host's is a UNIX
socket."""

import pytest

from . import grpc_exchange

pytestmark = pytest.mark.proves("grpc")


def test_host_and_guest(nested_vms, tmp_path):
    """As the example has it, but for the CID, and the host's path, which may be on this machine."""
    changes = {"vsock://3:": f"vsock://{nested_vms.cid}:"}
    if nested_vms.how != "nested":
        changes["/tmp/guest"] = tmp_path / "guest"
    grpc_exchange.converse(nested_vms.guest, nested_vms.host, changes)


def test_behind_a_multiplexer(mux_vm, tmp_path):
    changes = {"vsock://3:50051": f"vsock-mux://:50051{mux_vm.mux.path(mux_vm.cids[0])}", "/tmp/guest": tmp_path / "guest"}
    grpc_exchange.converse(mux_vm.guests[0], mux_vm.host, changes)
