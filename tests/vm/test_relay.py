# SPDX-License-Identifier: MIT
"""`virtsock relay` over AF_VSOCK: tests/test_relay.py in a guest, where its ends are CID 1's; ten thousand idle connections; and what vsudd did,
between a guest and its host."""

import pytest
from builds import BUILD, ROOT, TOOL

from . import lab, qemu

PYTHON = BUILD / "venv" / "bin" / "python"
IDLE = 10000
PORT = 7500


def run_there(vm, *words, timeout=900, **environment):
    """pytest in the guest, over VIRTSOCK_TEST_VSOCK; what it printed."""
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ROOT, "--basetemp", "/tmp/pytest", *words]
    done = vm.run(["sh", "-c", f"ulimit -n 30000; exec {' '.join(map(repr, map(str, command)))}"], timeout=timeout, cwd=ROOT,
                  env={"VIRTSOCK_TEST_VSOCK": "1", "VIRTSOCK_TOOL": str(TOOL), **environment})
    print(done.text)
    assert done.code == 0, done.text
    return done.text


MATRIX = ("checksums_and_half_close_client_first", "half_close_server_first", "slow_reader", "peer_that_dies")


@pytest.mark.parametrize("test", MATRIX)
def test_every_pair_with_vsock(loopback_vm, test):
    assert " passed" in run_there(loopback_vm, "-k", test, "tests/test_relay.py")


def test_ten_thousand_idle_connections(vm_logs):
    """In under 64 MiB of the relay's memory, by threads that can be counted on a hand."""
    try:
        guest = qemu.boot("idle", lab.LOOPBACK, vm_logs, memory=1536, cpus=2)
    except lab.Missing as reason:
        pytest.skip(str(reason))
    with lab.up(guest, lab.BOOT_TIME) as vm:
        print(run_there(vm, "-s", "tests/test_relay.py::test_idle_connections_cost_little", VIRTSOCK_TEST_IDLE=str(IDLE)))
