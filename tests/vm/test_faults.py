# SPDX-License-Identifier: MIT
"""What only a machine can do to a conversation: die, stand still, start over, not be there yet. The guest of each test is its own, and is
the image that users get."""

import contextlib
import json
import time
from typing import NamedTuple

import pytest

from builds import BUILD, TOOL

from . import initrd, qemu
from .appliance import MEMORY, Appliance
from .machine import Here, Machine
from .multiplexer import Multiplexer

pytestmark = pytest.mark.proves("guest-faults")

PYTHON = BUILD / "venv" / "bin" / "python"
CID = 60
GUEST_PORT, HOST_PORT, BULK_PORT = 1024, 1025, 1026
DEADLINE = 90               # seconds, for what takes a boot
AT_ONCE = 5                 # seconds, for what takes none; the emulated host is slow
ECHO = f"virtsock cat -v -l --echo vsock://:{GUEST_PORT}"
SINK = f"virtsock cat -v -l vsock://:{GUEST_PORT} </dev/console >/dev/null"
CALL = f"virtsock cat --wait forever vsock://2:{HOST_PORT} </dev/zero >/dev/null"


class Place(NamedTuple):
    """A guest to be, its host, and how they reach each other."""

    guest: Appliance
    host: Machine
    guest_s: str            # where the guest is reached
    host_s: str             # where the host listens for it
    mux: Multiplexer | None = None

    def script(self, text):
        return self.host.start([str(PYTHON), "-c", text, self.guest_s, self.host_s, self.guest_s.replace(str(GUEST_PORT), str(BULK_PORT))])


@contextlib.contextmanager
def behind_multiplexer(_):
    host = Here()
    with Multiplexer((CID,)) as mux:
        device = qemu.vhost_user_device(mux.device(CID), MEMORY)
        with Appliance(host, device, accel=qemu.accelerator()) as guest:
            yield Place(guest, host, f"vsock-mux://:{GUEST_PORT}{mux.path(CID)}", f"vsock-mux://:{HOST_PORT}{mux.path(CID)}", mux)


@contextlib.contextmanager
def behind_vhost(request):
    vms = request.getfixturevalue("nested_vms")
    nested = vms.how == "nested"
    cid = CID if nested else qemu.free_cid()
    with Appliance(vms.host, qemu.vhost_device(cid), accel="nested" if nested else qemu.accelerator()) as guest:
        yield Place(guest, vms.host, f"vsock://{cid}:{GUEST_PORT}", f"vsock://:{HOST_PORT}")


@pytest.fixture(params=[behind_multiplexer, behind_vhost], ids=["mux", "vhost"])
def place(request, vm_logs):
    if not initrd.TOOL.exists():
        pytest.skip("the static command is not built (preset musl), and the image has nothing to run")
    try:
        with request.param(request) as made:
            yield made
    except qemu.Missing as reason:
        pytest.skip(str(reason))


def told(job):
    """What a script said last."""
    done = job.wait(DEADLINE)
    assert done.code == 0, done.text
    return json.loads(done.text.splitlines()[-1])


ENDS = """
import json, sys, threading, time, virtsock
ends = {}
def until_it_ends(name, call):
    moved = 0
    try:
        while n := call():
            if moved < 1 << 20 <= moved + n:
                print("flowing", flush=True)
            moved += n
        ends[name] = "eof"
    except virtsock.Error as error:
        ends[name] = error.status.name.lower()
def send(stream, data):
    try:
        return stream.send(data)
    except virtsock.Error as error:
        if error.status != virtsock.Status.NO_RESOURCES:
            raise
        time.sleep(0.01)        # Linux 6.1 says ENOMEM, whatever its transport said (af_vsock.c), while a guest goes
        return 1
"""
CONNECTS = ENDS + """
with virtsock.connect(sys.argv[1], timeout=60, connect_timeout=5, wait=60) as stream:
    waits = threading.Thread(target=until_it_ends, args=("recv", lambda: len(stream.recv(65536))))
    waits.start()
    until_it_ends("send", lambda: send(stream, bytes(65536)))
    waits.join()
print(json.dumps(ends))
"""
ACCEPTS = ENDS + """
with virtsock.listen(sys.argv[2], timeout=60) as listener, listener.accept() as stream:
    until_it_ends("recv", lambda: len(stream.recv(65536)))
    until_it_ends("send", lambda: send(stream, b"x"))
print(json.dumps(ends))
"""


@pytest.mark.parametrize("script, run", [(CONNECTS, SINK), (ACCEPTS, CALL)], ids=["host sends", "guest sends"])
def test_killed_in_mid_transfer(place, script, run):
    """The call that moves bytes and the one that waits for some end at once, as those of a peer that is gone. One direction is busy: with
    both, vhost-device-vsock 0.3 comes to a stop by itself, one time in fifty MiB, whoever the peers are."""
    place.guest.start(run)
    if run == SINK:         # connections to a guest that boots can leave vhost-device-vsock 0.3 with nothing but hang-ups for it
        place.guest.expect("listening on", DEADLINE)
    with place.script(script) as job:
        job.expect("flowing", DEADLINE)
        began = time.monotonic()
        place.guest.qemu.kill()
        ends = told(job)
        assert time.monotonic() - began < AT_ONCE
        assert ends["recv"] in ("eof", "reset") and ends["send"] == "reset", ends


STOPS = r"""
import hashlib, json, sys, time, virtsock
WAIT = 1.0
times, sent, number = [], hashlib.sha256(), 0
def timed(call, *arguments):
    began = time.monotonic()
    try:
        return call(*arguments)
    except virtsock.TimedOutError:
        times.append(time.monotonic() - began)
def exchange(stream, seconds, owed=b""):
    global number
    number += 1
    block = owed or b"%08d" % number * 512
    if not owed:
        stream.sendall(block)
    stream.settimeout(seconds)
    while block and (piece := timed(stream.recv, len(block))):
        assert block.startswith(piece)
        block = block[len(piece):]
    return block                                # what has not come back
def fill(bulk, seconds):
    bulk.settimeout(seconds)
    data = b"".join(b"%08d" % (number + i) for i in range(8192))
    n = timed(bulk.send, data) or 0
    sent.update(data[:n])
    return n
with virtsock.connect(sys.argv[1], timeout=60, connect_timeout=5, wait=60) as stream, \
        virtsock.connect(sys.argv[3], timeout=60, connect_timeout=5, wait=60) as bulk:
    while not (owed := exchange(stream, WAIT)):
        if number == 8:
            print("flowing", flush=True)
    while fill(bulk, WAIT):
        pass
    print("stands still", flush=True)
    assert exchange(stream, 60, owed) == b"" and exchange(stream, 60) == b""
    assert fill(bulk, 60)
    bulk.shutdown(virtsock.SHUT_SEND_UNCHECKED)       # over a multiplexer the end of both, and there is no answer
    bulk.finish(60)
print(json.dumps({"blocks": number, "times": times, "sent": sent.hexdigest()}))
"""


def test_stopped_past_a_deadline_and_continued(place):
    """A receive and a send end at their own time; no byte is lost, and none is there twice, when the guest goes on."""
    place.guest.start(f"virtsock cat -v -l vsock://:{BULK_PORT} </dev/null | sha256sum & {ECHO}")
    with place.script(STOPS) as job:
        job.expect("flowing", DEADLINE)
        place.guest.qemu.signal("STOP")
        job.expect("stands still", DEADLINE)
        place.guest.qemu.signal("CONT")
        end = told(job)
        assert end["blocks"] > 8 and len(end["times"]) == 2 and all(1 <= took < 1 + AT_ONCE for took in end["times"]), end
        place.guest.expect(end["sent"], DEADLINE)


RESETS = """
import json, sys, time, virtsock
def status_of(call, *arguments, **named):
    began = time.monotonic()
    try:
        call(*arguments, **named).close()
        status = "ok"
    except virtsock.Error as error:
        status = error.status.name.lower()
    return status, time.monotonic() - began
def drain(stream):
    while stream.recv(65536):
        pass
    return stream
def send_until_it_ends(stream):
    while True:
        stream.sendall(b"x")
        time.sleep(0.1)
said = {}
with virtsock.listen(sys.argv[2], timeout=60) as listener:
    idle = virtsock.connect(sys.argv[1], timeout=60, connect_timeout=5, wait=60)
    idle.sendall(b"hello")
    idle.recv_exact(5)
    flood = listener.accept()
    flood.settimeout(60)
    flood.recv_exact(1 << 20)
    print("flowing", flush=True)
    flood.settimeout(2)
    said["recv"], _ = status_of(drain, flood)
    said["connect"], said["connect took"] = status_of(virtsock.connect, sys.argv[1], timeout=1)
    print("ended", flush=True)
    with listener.accept() as again:
        again.settimeout(60)
        again.recv_exact(1 << 20)
    said["send"], _ = status_of(send_until_it_ends, idle)
    with virtsock.connect(sys.argv[1], timeout=60, connect_timeout=5, wait=60) as stream:
        stream.sendall(b"hello")
        said["echo"] = stream.recv_exact(5).decode()
print(json.dumps(said))
"""


def test_reset_by_the_monitor(place):
    """A guest that starts over says nothing of it: a call ends at its deadline, and a send once the new kernel answers. The host's listener
    lives, and takes the guest again. vhost-device-vsock 0.3 serves a guest no more after a reset: both start anew, as Firecracker would."""
    place.guest.start(f"{CALL} & {ECHO}")
    with place.script(RESETS) as job:
        job.expect("flowing", DEADLINE)
        place.guest.tell("system_reset")
        job.expect("ended", DEADLINE)
        if place.mux:
            place.guest.qemu.kill()
            place.mux.restart()
            place.guest.start(f"{CALL} & {ECHO}")
        said = told(job)
        assert said["recv"] in ("timeout", "eof", "reset") and said["send"] == "reset" and said["echo"] == "hello", said
        assert said["connect took"] < 1 + AT_ONCE and (not place.mux or said["connect"] == "timeout"), said


def test_before_the_guest_listens(place):
    """Refused; and found by one that waits."""
    place.guest.start(f"virtsock info; sleep 3; {ECHO}")
    place.guest.expect("local CID", DEADLINE)
    done = place.host.run([str(TOOL), "echo", "--json", "--no-bye", place.guest_s])
    assert done.code == 1 and json.loads(done.text.splitlines()[-1])["status"] == "refused", done.text
    done = place.host.run([str(TOOL), "echo", "--json", "--no-bye", "--wait", "60", place.guest_s], timeout=DEADLINE)
    assert done.code == 0 and json.loads(done.text.splitlines()[-1])["attempts"] > 1, done.text


def test_while_the_guest_boots(place):
    """One that began to wait before the machine was switched on finds the guest's program, however many stages answer in its stead."""
    with place.host.start([str(TOOL), "echo", "-v", "--json", "--no-bye", "--wait", "60", place.guest_s]) as job:
        job.expect("attempt 2")
        place.guest.start(ECHO)
        end = told(job)
        assert end["ok"] and end["attempts"] > 2, end
