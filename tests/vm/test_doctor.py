# SPDX-License-Identifier: MIT
"""virtsock doctor where AF_VSOCK may be used: each cause is made in a machine of its own, by its kernel where that can be, and is named."""

import errno
import json
import struct

import pytest
from builds import PLAIN, ROOT

from . import modules

TOOL = str(PLAIN / "tools" / "virtsock")
FORBID = ["python3", "-IS", str(ROOT / "tests" / "forbid.py")]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
PORT = 5200
GUEST_CID = 42
# linux/vhost.h: VHOST_SET_OWNER, VHOST_VSOCK_SET_GUEST_CID: a VM that has a CID, and never runs
IDLE_VM = f"""
import fcntl, struct, sys, time
device = open("/dev/vhost-vsock", "r+b", buffering=0)
fcntl.ioctl(device, 0xaf01)
fcntl.ioctl(device, 0x4008af60, {struct.pack("=Q", GUEST_CID)!r})
print("has its CID", flush=True)
time.sleep(1000)
"""


def doctor(vm, *words, before=()):
    """(exit code, {id: finding}), and that both agree."""
    done = vm.run([*before, TOOL, "doctor", "--json", *words], timeout=60)
    told = json.loads(done.text)
    assert done.code == (0 if told["ok"] else 1), done.text
    return done.code, {finding["id"]: finding for finding in told["findings"]}


def named(vm, cause, error, *words, **more):
    """The finding, after it was seen that this is the last cause, with this code."""
    code, found = doctor(vm, *words, **more)
    problems = [name for name, finding in found.items() if finding["level"] == "problem"]
    assert code == 1 and problems[-1:] == [cause], found
    assert found[cause]["system_code"] == (getattr(errno, error) if error else 0) and found[cause]["advice"]
    return found


@pytest.fixture
def vm(bare_vm):
    return bare_vm


def listener(vm, port=PORT, cid=""):
    job = vm.start([TOOL, "cat", "-v", "-l", "--echo", f"vsock://{cid}:{port}"])
    job.expect("listening on")
    return job


def test_no_module(vm):
    """EAFNOSUPPORT, of the kernel."""
    modules.exactly(vm)
    assert "modprobe vsock" in named(vm, "no-module", "EAFNOSUPPORT")["no-module"]["advice"]
    named(vm, "no-module", "EAFNOSUPPORT", f"vsock://1:{PORT}")


def test_no_transport(vm):
    modules.exactly(vm, "vsock")
    found = named(vm, "no-transport", None)
    assert "vmw_vsock_virtio_transport" in found["no-transport"]["advice"] and "QEMU" in found["machine"]["text"]


@pytest.mark.parametrize("cid, cause, word", [(1, "no-loopback", "vsock_loopback"), (2, "no-guest-transport", "vmw_vsock_virtio_transport"),
                                              (99, "no-host-transport", "vhost_vsock")])
def test_no_way(vm, cid, cause, word):
    """ENODEV, of the kernel: the one transport that leads there is not loaded."""
    modules.exactly(vm, "vsock")
    assert word in named(vm, cause, "ENODEV", f"vsock://{cid}:{PORT}")[cause]["advice"]


def test_no_such_vm(vm):
    """ENODEV, of the host's transport."""
    modules.exactly(vm, "vhost_vsock")
    found = named(vm, "no-such-cid", "ENODEV", f"vsock://99:{PORT}")
    assert "a host" in found["cid"]["text"] and "to guests" in found["transports"]["text"]


def test_nobody_listens(vm):
    """ECONNRESET."""
    modules.exactly(vm, "vsock_loopback")
    assert "start the service" in named(vm, "nobody-listens", "ECONNRESET", f"vsock://1:{PORT}")["nobody-listens"]["advice"]


def test_the_host_that_is_not(vm):
    """With vsock_loopback alone, CID 2 is the machine itself."""
    modules.exactly(vm, "vsock_loopback")
    assert "this machine itself" in named(vm, "nobody-listens", "ECONNRESET", f"vsock://2:{PORT}")["nobody-listens"]["advice"]


def test_no_answer(vm):
    """ETIMEDOUT: a VM that has its CID and does not run."""
    modules.exactly(vm, "vhost_vsock")
    with vm.start(["python3", "-IS", "-c", IDLE_VM]) as idle:
        idle.expect("has its CID")
        named(vm, "no-answer", "ETIMEDOUT", f"vsock://{GUEST_CID}:{PORT}")
        named(vm, "no-answer", None, "--timeout", "0.2", f"vsock://{GUEST_CID}:{PORT}")


def test_no_such_type(vm):
    """ESOCKTNOSUPPORT: a guest that has not said that it knows seqpacket."""
    modules.exactly(vm, "vhost_vsock")
    with vm.start(["python3", "-IS", "-c", IDLE_VM]) as idle:
        idle.expect("has its CID")
        named(vm, "no-socket-type", "ESOCKTNOSUPPORT", f"vsock://{GUEST_CID}:{PORT}?type=seqpacket")


def test_one_that_answers(vm):
    modules.exactly(vm, "vsock_loopback")
    with listener(vm):
        code, found = doctor(vm, f"vsock://1:{PORT}")
        assert code == 0 and "answers" in found["answer"]["text"]


def test_one_that_comes_late(vm):
    modules.exactly(vm, "vsock_loopback")
    with vm.start([TOOL, "doctor", "-v", "--wait", "50", f"vsock://1:{PORT}"]) as waiting:
        waiting.expect("attempt 2")
        with listener(vm):
            assert waiting.wait().code == 0


def test_device_denied(vm):
    """EACCES of /dev/vsock, which only root may read here; a service that answers is no problem for all that."""
    modules.exactly(vm, "vsock_loopback")
    assert "root" in named(vm, "device-denied", "EACCES", before=NOBODY)["device-denied"]["advice"]
    with listener(vm):
        code, found = doctor(vm, f"vsock://1:{PORT}", before=NOBODY)
        assert code == 0 and found["device-denied"]["level"] == "problem"


def test_no_device(vm):
    """ENOENT of /dev/vsock."""
    modules.exactly(vm, "vsock_loopback")
    assert vm.run("mv /dev/vsock /dev/vsock.away").code == 0
    try:
        assert "container" in named(vm, "no-device", "ENOENT")["no-device"]["advice"]
    finally:
        assert vm.run("mv /dev/vsock.away /dev/vsock").code == 0


@pytest.mark.parametrize("error, cause", [("EPERM", "seccomp"), ("EACCES", "security-module"), ("EAFNOSUPPORT", "seccomp")])
def test_forbidden_sockets(vm, error, cause):
    """By a seccomp filter; of a connection as well. (A kernel without the family is test_no_module.)"""
    modules.exactly(vm, "vsock_loopback")
    found = named(vm, cause, error, before=[*FORBID, "socket:40", error])
    assert found["seccomp-filter"]["level"] == "note"
    named(vm, cause, error, f"vsock://1:{PORT}", before=[*FORBID, "socket:40", error])


FORCED = {
    "ENETUNREACH": "unreachable-cid",       # the transports of Hyper-V and VMware say it, which QEMU has not
    "EPROTO": "out-of-turn",                # needs a hypervisor with that defect
    "EINVAL": "bad-address",                # Linux before 5.6, of CID 1
    "EADDRNOTAVAIL": "unreachable-cid",
    "ENOBUFS": "no-resources",
    "ENOMEM": "no-resources",
    "EIO": "unknown",
}


@pytest.mark.parametrize("error", FORCED)
def test_codes_that_this_kernel_does_not_give(vm, error):
    """A filter gives them, in place of connect()."""
    modules.exactly(vm, "vsock_loopback")
    code, found = doctor(vm, f"vsock://1:{PORT}", before=[*FORBID, "connect", error])
    assert code == 1 and found[FORCED[error]]["system_code"] == getattr(errno, error), found


LISTENING = {
    "not-our-cid": ("EADDRNOTAVAIL", "vsock://77:5200", ()),
    "privileged-port": ("EACCES", "vsock://:900", NOBODY),
}


@pytest.mark.parametrize("cause", LISTENING)
def test_listening(vm, cause):
    modules.exactly(vm, "vsock_loopback")
    error, address, before = LISTENING[cause]
    named(vm, cause, error, "-l", address, before=before)


def test_listening_twice(vm):
    modules.exactly(vm, "vsock_loopback")
    with listener(vm):
        named(vm, "in-use", "EADDRINUSE", "-l", f"vsock://:{PORT}")
    code, found = doctor(vm, "-l", f"vsock://:{PORT}")
    assert code == 0 and "can be listened on" in found["answer"]["text"]


def test_listening_to_itself_without_loopback(vm):
    modules.exactly(vm, "vsock")
    named(vm, "no-loopback", "EADDRNOTAVAIL", "-l", f"vsock://1:{PORT}")


def test_it_connects_to_nothing_by_itself(vm):
    modules.exactly(vm, "vsock_loopback")
    done = vm.run(["strace", "-f", "-e", "trace=%network", TOOL, "doctor"])
    assert "socket(AF_VSOCK" in done.text
    for call in ("connect(", "bind(", "listen(", "sendto("):
        assert call not in done.text


def test_it_loads_nothing_by_itself(vm):
    """A look at /dev/vhost-vsock is no opening of it."""
    modules.exactly(vm, "vsock_loopback")
    before = modules.loaded(vm)
    doctor(vm)
    assert modules.loaded(vm) == before


def test_between_host_and_guest(nested_vms):
    """Both ends: what they are, and a port that nobody listens on."""
    ends = nested_vms.ways(PORT)
    for end, cid, way in zip(ends, (2, nested_vms.cid), ("to guests", "to the host"), strict=True):
        found = named(end.connecting, "nobody-listens", "ECONNRESET", end.connects_to)
        assert f"CID {cid}" in found["cid"]["text"] and way in found["transports"]["text"]
        with listener(end.listening):
            assert doctor(end.connecting, end.connects_to)[0] == 0
