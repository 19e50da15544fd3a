# SPDX-License-Identifier: MIT
"""The lab itself: jobs, deadlines, and AF_VSOCK between programs that are not ours, over CID 1 and over vhost."""

import time
from pathlib import Path

import pytest

from . import cache, initrd, kernel, lab, qemu
from .machine import Here, LabError, TimedOut, one_line

SERVER = """
import socket, sys
with socket.socket(socket.AF_VSOCK) as listener:
    listener.bind((socket.VMADDR_CID_ANY, int(sys.argv[1])))
    listener.listen()
    print("listening on", sys.argv[1], flush=True)
    with listener.accept()[0] as stream:
        while data := stream.recv(65536):
            stream.sendall(data.upper())
"""
CLIENT = """
import socket, sys
with socket.socket(socket.AF_VSOCK) as stream:
    stream.connect((int(sys.argv[1]), int(sys.argv[2])))
    stream.sendall(sys.argv[3].encode())
    stream.shutdown(socket.SHUT_WR)
    with stream.makefile() as reply:
        print(reply.read())
"""


def python_server(machine, port):
    return machine.start(["python3", "-ISc", SERVER, port])


def socat_server(machine, port):
    return machine.start(f"exec socat -d -d -t 30 VSOCK-LISTEN:{port} SYSTEM:'tr a-z A-Z'")


def python_client(machine, cid, port, text):
    return machine.run(["python3", "-ISc", CLIENT, cid, port, text])


def socat_client(machine, cid, port, text):
    return machine.run(f"printf %s {text} | socat -t 30 - VSOCK-CONNECT:{cid}:{port}")


def exchange(server, client, listening, connecting, cid, port):
    """A text goes there and comes back in capitals."""
    with server(listening, port) as job:
        job.expect("listening on")
        reply = client(connecting, cid, port, f"port{port}")
        assert reply.text.strip() == f"PORT{port}", reply
        assert job.wait().code == 0


@pytest.fixture(params=["here", "guest"])
def machine(request):
    """The interface is one: each test of it runs on this machine and in a guest."""
    return Here() if request.param == "here" else request.getfixturevalue("loopback_vm")


def test_exit_codes(machine):
    assert machine.run("exit 7").code == 7
    assert machine.run(["true"]) == (0, b"")
    assert machine.run("kill -TERM $$").code == 143
    assert machine.run(["no-such-program"]).code == 127
    assert machine.run("true", cwd="/no-such-folder").code == 126


def test_arguments_and_environment_arrive_as_they_are(machine):
    nasty = ["", "a b", "'", '"', "$HOME", "line\nbreak", "\\n", "é"]
    assert machine.run(["printf", "%s|", *nasty]).text == "|".join(nasty) + "|"
    assert machine.run('printf %s "$NASTY"', env={"NASTY": "\n".join(nasty)}).text == "\n".join(nasty)


def test_output_is_bytes(machine):
    assert machine.run(r"printf 'a\0b\377\n' ; echo error >&2").output == b"a\0b\xff\nerror\n"
    wanted = 300_000
    made = machine.run(f"yes 0123456789abcde | head -c {wanted}; head -c {wanted} /dev/zero").output
    assert made == (b"0123456789abcde\n" * wanted)[:wanted] + b"\0" * wanted


def test_jobs_run_at_once(machine):
    with machine.start("echo up; exec sleep 60") as sleeper:
        sleeper.expect("up")
        assert machine.run("echo meanwhile").text == "meanwhile\n"
        assert sleeper.result is None
    assert sleeper.result.code == 137


def test_a_job_past_its_deadline_is_ended_with_its_children(machine):
    began = time.monotonic()
    with pytest.raises(TimedOut, match="told before"):
        machine.run("echo told before; sleep 98765 | sleep 98765", timeout=1)
    assert 1 <= time.monotonic() - began < 15
    assert machine.run("pgrep -f '[s]leep 98765'").code == 1
    assert machine.run("echo usable").text == "usable\n"


def test_what_a_job_never_prints_ends_the_wait(machine):
    with pytest.raises(LabError, match="ended with 3 without b'ready'"):
        machine.start("echo nothing; exit 3").expect("ready")
    with pytest.raises(TimedOut, match="no b'ready' within 1 s"):
        machine.start("sleep 60").expect("ready", timeout=1)


def test_guest_sees_the_project_and_cannot_change_it(loopback_vm):
    assert loopback_vm.run(["cat", __file__]).text == Path(__file__).read_text()
    assert loopback_vm.run("touch README.touched").code != 0
    assert loopback_vm.run("touch /tmp/own && test -w /dev/shm").code == 0


def test_errors_carry_the_serial_log(loopback_vm):
    loopback_vm.run("echo a mark on the console >/dev/console")
    with pytest.raises(TimedOut, match="a mark on the console"):
        loopback_vm.run("sleep 60", timeout=0.5)


def test_a_guest_that_does_not_come_up_is_an_error_in_time(vm_logs):
    guest = qemu.boot("late", (), vm_logs, memory=256, cpus=1)
    with pytest.raises(TimedOut, match=r"late: not up within 0\.2 s"):
        lab.up(guest, 0.2)
    assert guest.qemu.result is not None


def test_a_guest_that_dies_ends_its_jobs(vm_logs):
    with lab.up(qemu.boot("mortal", (), vm_logs, memory=256, cpus=1), lab.BOOT_TIME) as guest:
        job = guest.start("sleep 60")
        guest.qemu.kill()
        with pytest.raises(LabError, match="cut off"):
            job.wait()
        with pytest.raises(LabError, match="cut off"):
            guest.run("true")


def test_loopback(loopback_vm):
    exchange(socat_server, python_client, loopback_vm, loopback_vm, 1, 6001)
    exchange(python_server, socat_client, loopback_vm, loopback_vm, 1, 6002)


def test_host_to_guest(nested_vms):
    exchange(socat_server, python_client, nested_vms.guest, nested_vms.host, nested_vms.cid, 6003)
    exchange(python_server, socat_client, nested_vms.guest, nested_vms.host, nested_vms.cid, 6004)


def test_guest_to_host(nested_vms):
    exchange(socat_server, python_client, nested_vms.host, nested_vms.guest, 2, 6005)
    exchange(python_server, socat_client, nested_vms.host, nested_vms.guest, 2, 6006)


def test_nested_jobs(nested_vms):
    assert nested_vms.guest.run("head -c 300000 /dev/zero").output == b"\0" * 300_000
    with pytest.raises(TimedOut):
        nested_vms.guest.run("sleep 60", timeout=1)
    assert nested_vms.guest.run("exit 9").code == 9


def test_a_host_with_vhost_needs_no_nesting(nested_vms):
    """The emulated host is such a machine: the lab runs there as it would here, beside the guest that is up already."""
    if nested_vms.how != "nested":
        pytest.skip("this machine has vhost itself: the other tests here were that case")
    inside = {"XDG_CACHE_HOME": cache.cache_root().parents[1], qemu.ACCEL_VARIABLE: "kvm"}
    done = nested_vms.host.run("python3 -m tests.vm --logs /tmp/logs pair guest 'echo up in $(hostname)'", 120, inside)
    assert done == (0, b"on this machine, guest's CID 43\nup in (none)\n"), done.text


def test_a_cached_folder_is_whole_or_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fails(folder):
        (folder / "half").write_text("")
        raise LabError("half way")

    with pytest.raises(LabError, match="half way"):
        cache.cached("thing", fails)
    assert not (cache.cache_root() / "thing").exists()
    made = cache.cached("thing", lambda folder: (folder / "whole").write_text("1"))
    assert cache.cached("thing", fails) == made
    assert [file.name for file in made.iterdir()] == ["whole"]


def test_module_signature_is_cut_off():
    tail = bytes(8) + (5).to_bytes(4, "big") + kernel.SIGNATURE_END
    assert kernel.unsigned(b"module" + b"proof" + tail) == b"module"
    assert kernel.unsigned(b"module") == b"module"


def test_ramdisk_entries_are_aligned():
    for size in range(5):
        assert len(initrd.entry("name" + "x" * size, 0o100644, b"d" * size)) % 4 == 0


def test_one_line_is_one_line_and_the_same_text():
    text = "a\nb'c\n\"$d\\n"
    line = f"printf %s {one_line(text)}"
    assert "\n" not in line
    assert Here().run(["busybox", "sh", "-c", line]).text == text
