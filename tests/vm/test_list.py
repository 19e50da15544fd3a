# SPDX-License-Identifier: MIT
"""virtsock list in a machine whose sockets are known: beside `ss --vsock`, and beside a second reading of netlink."""

import json
import shutil

import pytest
from builds import PLAIN

from . import modules

TOOL = str(PLAIN / "tools" / "virtsock")
PORT = 5300
# Listeners of both types, a connection and both its ends, one that sends no more, and one that is bound and no more. Tells who it is.
SOCKETS = f"""
import json, os, socket, time
def listener(port, type):
    made = socket.socket(socket.AF_VSOCK, type)
    made.bind((socket.VMADDR_CID_ANY, port))
    made.listen()
    return made
def connection(listener, port):
    made = socket.socket(socket.AF_VSOCK)
    made.connect((1, port))
    return made, listener.accept()[0]
stream, packets = listener({PORT}, socket.SOCK_STREAM), listener({PORT + 1}, socket.SOCK_SEQPACKET)
(a, b), (c, d) = connection(stream, {PORT}), connection(stream, {PORT})
c.shutdown(socket.SHUT_WR)
bound = socket.socket(socket.AF_VSOCK)
bound.bind((1, {PORT + 2}))
print(json.dumps(dict(pid=os.getpid(), ports=[a.getsockname()[1], c.getsockname()[1]], cids=[a.getsockname()[0], b.getsockname()[0]],
                      fds=[s.fileno() for s in (stream, packets, a, b, c, d, bound)])), flush=True)
time.sleep(1000)
"""
# linux/vm_sockets_diag.h, read once more.
NETLINK = """
import json, socket, struct
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as asked:
    asked.sendto(struct.pack("=IHHII BBHIII2I", 40, 20, 0x301, 0, 0, 40, 0, 0, 0xffffffff, 0, 0, 0, 0), (0, 0))
    rows, over = [], False
    while not over:
        data = asked.recv(65536)
        while data and not over:
            length, kind = struct.unpack_from("=IH", data)
            over = kind == 3
            if kind == 20:
                rows.append(struct.unpack_from("=BBBB5I", data, 16)[1:])
            assert kind in (3, 20)
            data = data[(length + 3) & ~3:]
print(json.dumps(rows))
"""
STATES = {"established": (1, "ESTAB"), "syn-sent": (2, "SYN-SENT"), "unconnected": (7, "UNCONN"), "listen": (10, "LISTEN"), "closing": (11, "CLOSING")}
TYPES = {"stream": (1, "v_str"), "dgram": (2, "v_dgr"), "seqpacket": (5, "v_seq")}


def listed(vm, *words):
    done = vm.run([TOOL, "list", "--json", *words])
    assert done.code == 0, done.text
    return json.loads(done.text)


def ends(row):
    return row["local"]["cid"], row["local"]["port"], row["peer"]["cid"], row["peer"]["port"]


@pytest.fixture
def vm(bare_vm):
    modules.exactly(bare_vm, "vsock_loopback", "vsock_diag")
    return bare_vm


@pytest.fixture
def sockets(vm):
    """What the program of SOCKETS tells, while it runs."""
    with vm.start(["python3", "-IS", "-c", SOCKETS]) as job:
        yield json.loads(job.expect("\n").splitlines()[0])


def of(told, rows):
    return [row for row in rows if told["pid"] in (process["pid"] for process in row["processes"])]


def test_all(vm, sockets):
    """Every socket of the program, with its descriptor, its state and its ends; and each once."""
    rows = of(sockets, listed(vm, "-a", "-p"))
    by_fd = {row["processes"][0]["fd"]: row for row in rows}
    assert sorted(by_fd) == sorted(sockets["fds"]) and len(rows) == 7
    stream, packets, a, b, c, d, bound = (by_fd[fd] for fd in sockets["fds"])
    assert (stream["state"], stream["type"], ends(stream)) == ("listen", "stream", (None, PORT, None, None))
    assert (packets["state"], packets["type"], packets["local"]["port"]) == ("listen", "seqpacket", PORT + 1)
    mine, theirs = (None if cid == 2**32 - 1 else cid for cid in sockets["cids"])         # Linux 6.1: a client is bound to any CID
    assert (a["state"], ends(a)) == ("established", (mine, sockets["ports"][0], 1, PORT))
    assert (b["state"], ends(b)) == ("established", (theirs, PORT, 1, sockets["ports"][0]))
    assert (a["sends"], a["receives"], c["sends"], c["receives"]) == (True, True, False, True)
    assert (bound["state"], ends(bound)[:2]) == ("unconnected", (1, PORT + 2))
    assert all(row["processes"][0]["name"].startswith("python3") for row in rows) and len({row["inode"] for row in rows}) == 7


def test_choices(vm, sockets):
    """Those with a peer, unless told; -l those that listen. (`ss -l` has those that are unconnected, too.)"""
    assert {row["state"] for row in of(sockets, listed(vm, "-p"))} == {"established"} and len(of(sockets, listed(vm, "-p"))) == 4
    assert {row["state"] for row in of(sockets, listed(vm, "-l", "-p"))} == {"listen"} and len(of(sockets, listed(vm, "-l", "-p"))) == 2
    assert "processes" not in listed(vm, "-a")[0]


def test_as_netlink_has_it(vm, sockets):
    done = vm.run(["python3", "-IS", "-c", NETLINK])
    assert done.code == 0, done.text
    shown = [(TYPES[row["type"]][0], STATES[row["state"]][0], (not row["receives"]) + 2 * (not row["sends"]),
              *(2**32 - 1 if number is None else number for number in ends(row)), row["inode"]) for row in listed(vm, "-a")]
    assert sorted(shown) == sorted(map(tuple, json.loads(done.text))) and len(shown) >= 7


@pytest.mark.parametrize("words", [(), ("-l",), ("-a",)], ids=["with a peer", "listening", "all"])
def test_as_ss_has_it(vm, sockets, words, need):
    need(shutil.which("ss"), "ss is not installed")
    done = vm.run(["ss", "--vsock", "-n", "-H", *words])
    assert done.code == 0, done.text
    theirs = sorted(tuple(line.split()[:2] + line.split()[4:6]) for line in done.text.splitlines() if words != ("-l",) or " UNCONN " not in line)
    ours = sorted((TYPES[row["type"]][1] if row["type"] != "seqpacket" else "???", STATES[row["state"]][1],
                   *(f"{'*' if row[end]['cid'] is None else row[end]['cid']}:{'*' if row[end]['port'] is None else row[end]['port']}"
                     for end in ("local", "peer"))) for row in listed(vm, *words))
    assert ours == theirs


def test_text(vm, sockets):
    """The same rows, for people."""
    done = vm.run([TOOL, "list", "-l", "-p"])
    assert done.code == 0
    head, *lines = done.text.splitlines()
    assert head.split() == ["STATE", "TYPE", "LOCAL", "PEER", "PROCESS"]
    assert f"listen stream *:{PORT} *:* {sockets['pid']}/python3 fd {sockets['fds'][0]}" in [" ".join(line.split()) for line in lines]
    assert "PROCESS" not in vm.run([TOOL, "list"]).text


def test_whose_they_are_is_told_to_root(vm, sockets):
    """Another user sees the sockets, not whose they are."""
    done = vm.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", TOOL, "list", "-a", "-p", "--json"])
    assert done.code == 0
    rows = [row for row in json.loads(done.text) if row["local"]["port"] == PORT]
    assert rows and all(row["processes"] == [] for row in rows)


def test_many(vm):
    """More than a datagram's worth: none twice, none lost."""
    program = f"""
import resource, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
held = []
for port in range(20000, 21500):
    held.append(socket.socket(socket.AF_VSOCK))
    held[-1].bind((socket.VMADDR_CID_ANY, port))
    held[-1].listen()
print("ready", flush=True)
time.sleep(1000)
"""
    with vm.start(["python3", "-IS", "-c", program]) as job:
        job.expect("ready")
        ports = [row["local"]["port"] for row in listed(vm, "-l")]
        assert sorted(port for port in ports if 20000 <= port < 21500) == list(range(20000, 21500))


def test_without_the_module(bare_vm):
    modules.exactly(bare_vm, "vsock_loopback")
    done = bare_vm.run([TOOL, "list", "-a"])
    assert done.code == 1 and "vsock_diag is not loaded" in done.text and "modprobe vsock_diag" in done.text
