# SPDX-License-Identifier: MIT
"""A driver that is taken away under conversations, as a snapshot and a migration do: the guest of this test is its own, since its multiplexer serves
it no more after that."""

import json

import pytest
from builds import BUILD

from . import lab

PYTHON = str(BUILD / "venv" / "bin" / "python")
PORT = 5300
# A receive that is inside meanwhile, one that comes later, a close that waits for the peer's end, and what the system says to a plain socket.
SCRIPT = f"""
import glob, json, os, socket, threading, time, virtsock
def outcome(call):
    try:
        return "bytes" if call() else "eof"
    except virtsock.Error as error:
        return error.status.name.lower()
said = {{}}
with virtsock.listen("vsock://:{PORT}", timeout=60) as listener:
    print("listening", flush=True)
    inside, later, closing, plain = (listener.accept() for _ in range(4))
    thread = threading.Thread(target=lambda: said.update(inside=outcome(lambda: inside.recv(1))))
    thread.start()
    time.sleep(0.5)
    driver = "/sys/bus/virtio/drivers/vmw_vsock_virtio_transport/"
    name = os.path.basename(glob.glob(driver + "virtio*")[0])
    with open(driver + "unbind", "w") as file:
        file.write(name)
    thread.join(30)
    said["state"] = later.info["peer_state"]
    said["later"] = outcome(lambda: later.recv(1))
    said["closing"] = outcome(lambda: closing.finish(5))
    raw = plain.to_socket()
    try:
        raw.recv(1)
    except OSError as error:
        said["plain"] = [error.errno, raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]
    for stream in (inside, later):
        stream.abort()
    raw.close()
print(json.dumps(said))
"""


@pytest.fixture
def vms(vm_logs):
    try:
        with lab.family(vm_logs / "driver") as made:
            yield made
    except lab.Missing as reason:
        pytest.skip(str(reason))


@pytest.mark.proves("D4")
def test_a_driver_that_goes_is_a_reset(vms):
    guest, mux = vms.guests[0], vms.mux.path(vms.cids[0])
    clients = "import sys, time, virtsock\nkeep = [virtsock.connect(sys.argv[1], wait=30) for _ in range(4)]\ntime.sleep(60)"
    with guest.start([PYTHON, "-c", SCRIPT]) as job:
        job.expect("listening")
        with vms.host.start([PYTHON, "-c", clients, f"vsock-mux://:{PORT}{mux}"]):
            done = job.wait(90)
    assert done.code == 0, done.text
    said = json.loads(done.text.splitlines()[-1])
    assert said.pop("plain") == [107, 104]      # ENOTCONN, and ECONNRESET behind it
    assert said == {"inside": "reset", "later": "reset", "closing": "reset", "state": 3}
