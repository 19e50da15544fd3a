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


def test_what_vsudd_did(nested_vms):
    """Its flags in a guest: a UNIX service for the host, and the guest's log to the host."""
    guest, host, cid = nested_vms.guest, nested_vms.host, nested_vms.cid
    relay = [TOOL, "relay", "-v", "-pidfile", "/tmp/vsudd.pid", "-inport", f"{PORT}:unix:/tmp/service", "-inport",
             f"{PORT + 1:08X}-FACB-11E6-BD58-64006A7986D3:unix:/tmp/service", "-syslog", f"{PORT + 2}:/tmp/log"]
    send = "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect('/tmp/log'); s.send(b'<30>hello'); s.send(b'x' * 5000)"
    with (
        guest.start([str(TOOL), "cat", "-l", "--echo", "-v", "unix:///tmp/service"]) as service,
        host.start([str(TOOL), "cat", "-l", "-v", f"vsock://:{PORT + 2}"]) as log,
        guest.start(list(map(str, relay))) as job,
    ):
        service.expect("listening on")
        log.expect("listening on")
        job.expect("datagrams at /tmp/log")
        for port in (PORT, PORT + 1):
            assert host.run(f"printf hello | {TOOL} cat --wait 30 vsock://{cid}:{port}", 120) == (0, b"hello")
        assert guest.run([str(PYTHON), "-c", send], 120).code == 0
        log.expect("9 <30>hello5000 xxxx", 60)
        job.signal("TERM")
        assert job.wait(60).code == 0
        assert guest.run("ls /tmp/vsudd.pid /tmp/log", 30).code != 0
