# SPDX-License-Identifier: MIT
"""`virtsock relay` over AF_VSOCK: tests/test_relay.py in a guest, where its ends are CID 1's; idle connections; what vsudd did,
between a guest and its host; OpenSSH."""

import os
import re
import shutil

import pytest
from builds import BUILD, ROOT, TOOL

from . import lab, packages, qemu

PYTHON = BUILD / "venv" / "bin" / "python"
IDLE = os.environ.get("VIRTSOCK_TEST_IDLE", "1000")         # 10000 take three minutes of an emulated machine
PORT = 7500


def run_there(vm, *words, timeout=900, **environment):
    """pytest in the guest, over VIRTSOCK_TEST_VSOCK; what it printed."""
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ROOT, "--basetemp", "/tmp/pytest", *words]
    done = vm.run(["sh", "-c", f"ulimit -n 30000; exec {' '.join(map(repr, map(str, command)))}"], timeout=timeout, cwd=ROOT,
                  env={"VIRTSOCK_TEST_VSOCK": "1", "VIRTSOCK_TOOL": str(TOOL), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment})
    print(done.text)
    assert done.code == 0, done.text
    return done.text


MATRIX = ("checksums_and_half_close_client_first", "half_close_server_first", "slow_reader", "peer_that_dies")


def test_every_pair_with_vsock(loopback_vm):
    """In one process: there pytest takes a quarter of a minute to begin."""
    said = run_there(loopback_vm, "-vv", "-k", " or ".join(MATRIX), "tests/test_relay.py")
    assert all(re.search(rf"test_{test}\S*vsock\S* PASSED", said) for test in MATRIX)


def test_idle_connections(vm_logs):
    """Ten thousand in under 64 MiB of the relay's memory, fewer in as much less, by threads that can be counted on a hand."""
    try:
        guest = qemu.boot("idle", lab.LOOPBACK, vm_logs, memory=1536, cpus=2)
    except lab.Missing as reason:
        pytest.skip(str(reason))
    with lab.up(guest, lab.BOOT_TIME) as vm:
        print(run_there(vm, "-s", "tests/test_relay.py::test_idle_connections_cost_little", VIRTSOCK_TEST_IDLE=IDLE))


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


# A server that listens on TCP alone, whose files are not installed; as root, whom the guest's own tables of users let in by key.
SERVER = """set -e
mkdir -p /tmp/ssh /run/sshd && chmod 755 /run/sshd && cd /tmp/ssh
{ cat /etc/passwd; echo 'sshd:x:22:65534::/run/sshd:/usr/sbin/nologin'; } >passwd && mount --bind passwd /etc/passwd
echo 'root:*:19000:0:99999:7:::' >shadow && mount --bind shadow /etc/shadow
ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user
{SSHD} -f /dev/null -h /tmp/ssh/host -p 2222 -o AuthorizedKeysFile=/tmp/ssh/user.pub -o StrictModes=no -o PidFile=none -E /tmp/ssh/log
exec {TOOL} relay -v vsock://:22 tcp://127.0.0.1:2222
"""
CLIENT = """ssh -F /dev/null -i /tmp/ssh/user -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null {OPTIONS} \
-o ProxyCommand='{TOOL} relay {PASS} - vsock://1:22' root@guest 'cat; echo through' || cat /tmp/ssh/log"""


@pytest.fixture(scope="module")
def sshd():
    if not shutil.which("ssh"):
        pytest.skip("ssh is not installed")
    try:
        return packages.program("openssh-server", "usr/sbin/sshd")
    except lab.Missing as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("passes", [False, True], ids=["ProxyCommand", "ProxyUseFdpass"])
def test_ssh_with_the_relay(loopback_vm, sshd, passes):
    """Into a guest over vsock: the client's proxy is the relay, and so is what the server stands behind."""
    server = SERVER.replace("{SSHD}", str(sshd)).replace("{TOOL}", str(TOOL))
    client = CLIENT.replace("{TOOL}", str(TOOL)).replace("{OPTIONS}", "-o ProxyUseFdpass=yes" * passes).replace("{PASS}", "--pass-fd" * passes)
    with loopback_vm.start(["unshare", "-m", "sh", "-c", server]) as job:
        job.expect("listening on", 120)
        done = loopback_vm.run(f"head -c 300000 {TOOL} >/tmp/file; {{ {client}; }} </tmp/file >/tmp/out; cat /tmp/file >/tmp/wanted; "
                               "echo through >>/tmp/wanted; cmp /tmp/out /tmp/wanted && echo same", 180)
        assert done.text.splitlines()[-1] == "same", done.text
    loopback_vm.run("kill $(pidof sshd); rm -r /tmp/ssh", 60)


SERVICE = """
import os, socket, subprocess, sys
kind, program = getattr(socket, sys.argv[1]), sys.argv[2]
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
manager = socket.socket(socket.AF_VSOCK, kind)
manager.bind((socket.VMADDR_CID_ANY, 9999))
manager.listen()
for one in log, manager:
    one.settimeout(60)

def told():
    with manager.accept()[0] as s:
        return s.recv(99)

relay = subprocess.Popen([program, "relay", "-v", "-detach", "-pidfile", "/tmp/relay.pid", "vsock://:9998", "unix:///tmp/nobody"],
                         env={**os.environ, "NOTIFY_SOCKET": "vsock:1:9999"})
assert told() == b"READY=1"
assert open("/tmp/relay.pid").read() == f"{relay.pid}\\n"
with socket.socket(socket.AF_VSOCK) as client:
    client.settimeout(60)
    client.connect((1, 9998))
    line = log.recv(1024).decode()
    while "nobody" not in line:
        assert line.startswith(f"<30>virtsock[{relay.pid}]: "), line
        line = log.recv(1024).decode()
relay.terminate()
assert told() == b"STOPPING=1"
assert relay.wait(60) == 0 and not os.path.exists("/tmp/relay.pid")
os.unlink("/dev/log")
print("as told")
"""


@pytest.mark.parametrize("kind", ["SOCK_SEQPACKET", "SOCK_STREAM"])
def test_a_service_that_detaches(loopback_vm, kind):
    """Ready and stopping, told to a manager beyond AF_VSOCK that takes messages, or streams alone; and its log."""
    done = loopback_vm.run([str(PYTHON), "-c", SERVICE, kind, str(TOOL)], timeout=180)
    assert (done.code, done.text.splitlines()[1:]) == (0, ["as told"]), done.text
