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
    """Ten thousand in under 16 MiB of the relay's memory, fewer in as much less, by threads that can be counted on a hand."""
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


# Tells the source ports of so many clients.
SEES = """
import socket, sys
s = socket.socket(socket.AF_VSOCK)
s.bind((socket.VMADDR_CID_ANY, int(sys.argv[1])))
s.listen()
print("listening", flush=True)
for _ in range(int(sys.argv[2])):
    client, (_, port) = s.accept()
    print("from", port, flush=True)
    client.sendall(client.recv(99))
    client.close()
"""
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def test_a_source_port_below_1024(loopback_vm):
    """For those who ask with :privileged: each of many clients has one, and the bytes go through; others are refused."""
    vm, at = loopback_vm, f"vsock://1:{PORT + 10}"
    with (
        vm.start([str(TOOL), "relay", "-v", "--allow", "1:privileged", f"vsock://:{PORT + 10}", "unix:///tmp/echo"]) as door,
        vm.start([str(TOOL), "cat", "-l", "--echo", "-v", "unix:///tmp/echo"]) as echo,
        vm.start([str(TOOL), "relay", "-v", "--privileged-port", "unix:///tmp/low", at]) as low,
        vm.start([str(TOOL), "relay", "-v", "unix:///tmp/high", at]) as high,
    ):
        for job in door, echo, low, high:
            job.expect("listening on", 60)
        assert vm.run(f"for i in 1 2 3; do printf low | {TOOL} cat unix:///tmp/low; done", 60) == (0, b"lowlowlow")
        assert vm.run(f"printf high | {TOOL} cat unix:///tmp/high", 60).text != "high"
        door.expect("refused, as no --allow admits it: vsock://1:", 60)
        assert vm.run(f"printf cat | {TOOL} cat --privileged-port {at}", 60) == (0, b"cat")
        assert vm.run(f"printf pass | {TOOL} relay --privileged-port - {at}", 60) == (0, b"pass")


def test_source_ports_are_others_each_time(loopback_vm):
    vm, port = loopback_vm, PORT + 11
    with vm.start([str(PYTHON), "-ISc", SEES, str(port), "4"]) as sees:
        sees.expect("listening", 60)
        for _ in range(2):
            assert vm.run(f"printf x | {TOOL} relay --privileged-port - vsock://1:{port}", 60) == (0, b"x")
        assert vm.run(f"printf x | {TOOL} cat --privileged-port vsock://1:{port}", 60) == (0, b"x")
        assert vm.run(f"printf x | {TOOL} cat vsock://1:{port}", 60) == (0, b"x")
        assert sees.wait(60).code == 0
        ports = [int(found) for found in re.findall(rb"from (\d+)", sees.output())]
    assert [512 <= one < 1024 for one in ports] == [True, True, True, False]


TAKES = """
import socket, time
taken = [socket.socket(socket.AF_VSOCK) for _ in range(512, 1024)]
for port, s in enumerate(taken, 512):
    s.bind((socket.VMADDR_CID_ANY, port))
print("all are taken", flush=True)
time.sleep(5)
"""


def test_source_ports_that_are_taken(loopback_vm):
    """Who comes then waits for one, as for a descriptor; a server that comes late is found with --wait."""
    vm, at = loopback_vm, f"vsock://1:{PORT + 12}"
    with (
        vm.start([str(TOOL), "cat", "-l", "--echo", "-v", at.replace("1:", ":", 1)]) as echo,
        vm.start([str(TOOL), "relay", "-v", "--privileged-port", "unix:///tmp/taken", at]) as relay,
        vm.start(["sh", "-c", f"ulimit -n 2000; exec '{PYTHON}' -ISc '{TAKES}'"]) as taken,
    ):
        echo.expect("listening on", 60)
        relay.expect("listening on", 60)
        taken.expect("all are taken", 60)
        done = vm.run(f"{TOOL} cat --privileged-port {at} </dev/null", 60)
        assert done.code == 1 and "every source port from 512 to 1023 is taken" in done.text, done.text
        assert vm.run(f"printf later | {TOOL} cat unix:///tmp/taken", 60) == (0, b"later")
    server = f"(sleep 1; exec {TOOL} cat -l --echo {at.replace('1:', ':', 1)})"
    late = f"{server} & printf late | {TOOL} cat --privileged-port --wait 30 {at}; kill $!"
    assert vm.run(late, 60).text.startswith("late")


def test_a_source_port_that_this_process_may_not_have(loopback_vm):
    """Refused before anybody could connect, and told what is missing; with nobody there, as ever."""
    for words in (["relay", "--privileged-port", "unix:///tmp/never", "vsock://1:7999"], ["cat", "--privileged-port", "vsock://1:7999"]):
        done = loopback_vm.run([*NOBODY, str(TOOL), *words], 60)
        assert done.code == 2 and "needs CAP_NET_BIND_SERVICE" in done.text, done.text
    done = loopback_vm.run(["timeout", "30", str(TOOL), "cat", "--privileged-port", "--wait", "1", "vsock://1:7999"], 60)
    assert done.code == 1 and "nobody listens there" in done.text, done.text
