# SPDX-License-Identifier: MIT
"""virtsock doctor: systems that a test makes up below --root, calls that a seccomp filter forbids, paths that are wrong in every way. What needs
an AF_VSOCK connection is made in a machine: vm/test_doctor.py."""

import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from builds import PLAIN, ROOT
from test_tools import TOOL, eventually, running

FORBID = [sys.executable, str(Path(__file__).with_name("forbid.py"))]
NOBODY = 65534


def doctor(*words, before=(), **more):
    done = subprocess.run([*before, TOOL, "doctor", *map(str, words)], text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL, **more)
    return done.returncode, done.stdout, done.stderr


def findings(*words, **more):
    """(exit code, {id: finding}): what --json says, whose `ok` is the exit code."""
    code, out, err = doctor("--json", *words, **more)
    told = json.loads(out)
    assert err == "" and set(told) == {"version", "address", "findings", "ok"}
    assert code == (0 if told["ok"] else 1)
    for finding in told["findings"]:
        assert set(finding) == {"level", "id", "text", "advice", "system_code"}
        assert finding["level"] in ("ok", "note", "problem") and finding["text"]
        assert finding["advice"] or finding["level"] != "problem" or finding["id"] == "unknown", finding
    return code, {finding["id"]: finding for finding in told["findings"]}


def problems(*words, **more):
    """The causes that are named."""
    return [name for name, finding in findings(*words, **more)[1].items() if finding["level"] == "problem"]


# --- Systems ------------------------------------------------------------------------------------------------------------------

RELEASE = "6.1.0-test"
HOST = {"proc/modules": "vhost_vsock 28672 0 - Live 0x0\nvsock 61440 1 vhost_vsock, Live 0x0\n", "calls": "socket 0\ncid 0 2\n",
        "dev/vhost-vsock": "", "dev/vsock": ""}
GUEST = {"proc/modules": "vmw_vsock_virtio_transport 20480 1 - Live 0x0\nvsock 61440 2 - Live 0x0\n", "calls": "socket 0\ncid 0 7\n",
         "dev/vsock": ""}
LONE = {"proc/modules": "vsock_loopback 16384 0 - Live 0x0\n", "calls": "socket 0\ncid 0 1\n"}
EMPTY = {"proc/modules": "ext4 1 0 - Live 0x0\nmy_vsock_loopback 1 0 - Live 0x0\n", "calls": "socket 0\ncid 0 4294967295\n"}
QEMU = {"proc/cpuinfo": "processor : 0\nflags : fpu hypervisor lahf_lm\n", "sys/class/dmi/id/sys_vendor": "QEMU\n",
        "sys/class/dmi/id/product_name": "Standard PC (Q35)\n"}
HYPERV = {**QEMU, "sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n", "sys/class/dmi/id/product_name": "Virtual Machine\n"}
VMWARE = {**QEMU, "sys/class/dmi/id/sys_vendor": "VMware, Inc.\n"}
HV_SOCK = {"proc/modules": "hv_sock 1 0 - Live 0x0\n", "calls": "socket 0\ncid 0 4294967295\n"}


@pytest.fixture
def folder():
    """One that every user may look into."""
    with tempfile.TemporaryDirectory(prefix="doctor-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def system(folder):
    """A root that has these files, beside a kernel's release and a process that no filter confines."""

    def make(files):
        for name, text in {"proc/sys/kernel/osrelease": RELEASE + "\n", "proc/self/status": "Name:\tx\nSeccomp:\t0\n", **files}.items():
            file = folder / "root" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return f"--root={folder}/root"

    return make


@pytest.fixture
def unprivileged(folder):
    """For subprocess: somebody whom a mode of 0 stops, with the command where everybody finds it."""
    shutil.copy(TOOL, folder / "virtsock")
    return {"executable": str(folder / "virtsock"), **({"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {})}


WELL = {
    "a host": (HOST, {"cid": "CID 2, a host", "transports": "to guests"}),
    "a guest": (GUEST, {"cid": "CID 7, a guest", "transports": "to the host", "machine": f"Linux {RELEASE}, no hypervisor"}),
    "a guest of Hyper-V": ({**HV_SOCK, **HYPERV}, {"cid": "every guest of Hyper-V", "transports": "to the host", "machine": "virtual: Microsoft"}),
    "a guest of VMware": ({"proc/modules": "vmw_vsock_vmci_transport 1 0 - Live 0x0\n", "calls": "socket 0\ncid 0 9", **VMWARE}, {"transports": "host"}),
    "modules that are built in": ({"proc/modules": "", f"lib/modules/{RELEASE}/modules.builtin": "kernel/drivers/vhost/vhost_vsock.ko\n",
                                   "calls": "socket 0\ncid 0 2\n", "dev/vhost-vsock": ""}, {"transports": "to guests"}),
    "modules that sysfs has": ({"proc/modules": "", "sys/module/vsock_loopback/refcnt": "0", "calls": "socket 0\ncid 0 1\n"},
                               {"transports": "to itself alone"}),
    "a kernel without modules": ({"calls": "socket 0\ncid 0 3\n"}, {"cid": "CID 3", "transports": "to the host"}),
    "a kernel without modules or CID": ({"calls": "socket 0\ncid 0 4294967295\n"}, {"cid": "no CID"}),
    "nothing but itself": (LONE, {"cid": "no CID but 1", "transports": "to itself alone"}),
    "all ways": ({**HOST, "proc/modules": HOST["proc/modules"] + GUEST["proc/modules"] + LONE["proc/modules"], "calls": "socket 0\ncid 0 7\n"},
                 {"nested": "a host as well", "transports": "to guests, to the host, and to itself"}),
    "podman": ({**GUEST, "run/.containerenv": ""}, {"container": "podman"}),
    "docker": ({**GUEST, ".dockerenv": ""}, {"container": "docker"}),
    "kubernetes": ({**GUEST, "proc/self/cgroup": "0::/kubepods.slice/x\n"}, {"container": "control group"}),
    "WSL": ({**GUEST, "proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n"}, {"wsl": "every start"}),
    "a filter": ({**GUEST, "proc/self/status": "Seccomp:\t2\n"}, {"seccomp-filter": "seccomp"}),
    "SELinux": ({**GUEST, "sys/fs/selinux/enforce": "1"}, {"selinux": "enforces"}),
    "AppArmor": ({**GUEST, "sys/module/apparmor/parameters/enabled": "Y\n", "proc/self/attr/current": "docker-default (enforce)\n"},
                 {"apparmor": "docker-default (enforce)"}),
    "a namespace of its own": ({**HOST, "proc/sys/net/vsock/ns_mode": "local\n"}, {"namespace": "local"}),
    "no siblings": ({**HOST, "proc/sys/net/vsock/g2h_fallback": "0\n"}, {"siblings": "g2h_fallback"}),
    "no device for VMs": ({name: HOST[name] for name in HOST if name != "dev/vhost-vsock"}, {"vhost": "cannot be opened"}),
}


@pytest.mark.parametrize("name", WELL)
def test_systems_that_are_well(system, name):
    files, expected = WELL[name]
    code, found = findings(system(files))
    assert code == 0, found
    for about, text in expected.items():
        assert text in found[about]["text"], found[about]


NOT_THERE = {
    "podman": (GUEST, "container"), "permissive": ({**GUEST, "sys/fs/selinux/enforce": "0"}, "selinux"),
    "AppArmor of others": ({**GUEST, "sys/module/apparmor/parameters/enabled": "Y", "proc/self/attr/current": "unconfined"}, "apparmor"),
    "AppArmor that is off": ({**GUEST, "sys/module/apparmor/parameters/enabled": "N", "proc/self/attr/current": "x"}, "apparmor"),
    "one way alone": (GUEST, "nested"), "a global namespace": ({**HOST, "proc/sys/net/vsock/ns_mode": "global"}, "namespace"),
    "siblings": ({**HOST, "proc/sys/net/vsock/g2h_fallback": "1"}, "siblings"), "no filter": (GUEST, "seccomp-filter"),
    "a device for VMs": (HOST, "vhost"), "nothing known of modules": ({"calls": "socket 0\ncid 0 4294967295"}, "transports"),
    "a plain Linux": (GUEST, "wsl"),
}


@pytest.mark.parametrize("name", NOT_THERE)
def test_what_is_not_there_is_not_told(system, name):
    files, about = NOT_THERE[name]
    code, found = findings(system(files))
    assert code == 0 and about not in found


FILTERED = {"proc/self/status": "Seccomp:\t2\n"}
ILL = {
    "nothing loaded, bare metal": (EMPTY, "no-transport", "modprobe vhost_vsock"),
    "nothing loaded, in QEMU": ({**EMPTY, **QEMU}, "no-transport", "vmw_vsock_virtio_transport"),
    "nothing loaded, in Hyper-V": ({**EMPTY, **HYPERV}, "no-transport", "hv_sock"),
    "nothing loaded, in VMware": ({**EMPTY, **VMWARE}, "no-transport", "vmw_vsock_vmci_transport"),
    "nothing loaded, another processor in QEMU": ({**EMPTY, "sys/class/dmi/id/sys_vendor": "QEMU\n"}, "no-transport", "vmw_vsock_virtio_transport"),
    "nothing loaded, a tablet of Microsoft's": ({**EMPTY, "sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n",
                                                 "sys/class/dmi/id/product_name": "Surface\n"}, "no-transport", "modprobe vhost_vsock"),
    "a driver without its device": ({**GUEST, **QEMU, "calls": EMPTY["calls"]}, "no-transport", "vsock device"),
    "EAFNOSUPPORT": ({**EMPTY, "calls": f"socket {errno.EAFNOSUPPORT}"}, "no-module", "modprobe vsock"),
    "EPROTONOSUPPORT": ({**EMPTY, "calls": f"socket {errno.EPROTONOSUPPORT}"}, "no-module", "modprobe vsock"),
    "EAFNOSUPPORT under a filter": ({**EMPTY, **FILTERED, "calls": f"socket {errno.EAFNOSUPPORT}"}, "no-module", "modprobe vsock"),
    "EAFNOSUPPORT of a filter": ({**GUEST, **FILTERED, "calls": f"socket {errno.EAFNOSUPPORT}"}, "seccomp", "RestrictAddressFamilies"),
    "EPERM under a filter": ({**GUEST, **FILTERED, "calls": f"socket {errno.EPERM}"}, "seccomp", "no module is missing"),
    "EPERM without a filter": ({**GUEST, "calls": f"socket {errno.EPERM}"}, "security-module", "no seccomp filter"),
    "EACCES": ({**GUEST, "calls": f"socket {errno.EACCES}"}, "security-module", "SELinux"),
    "ESOCKTNOSUPPORT": ({**GUEST, "calls": f"socket {errno.ESOCKTNOSUPPORT}"}, "no-socket-type", "stream"),
    "ENODEV of the CID": ({**GUEST, "calls": f"socket 0\ncid {errno.ENODEV}"}, "no-transport", "vhost_vsock"),
    "another code": ({**GUEST, "calls": "socket 0\ncid 5"}, "unknown", None),
}


@pytest.mark.parametrize("name", ILL)
def test_systems_that_are_ill(system, name):
    files, cause, advice = ILL[name]
    _, found = findings(system(files))
    told = {name: finding for name, finding in found.items() if finding["level"] == "problem"}
    assert list(told) == [cause]
    assert advice is None or advice in told[cause]["advice"]


def test_codes_are_told(system):
    _, found = findings(system(ILL["EPERM under a filter"][0]))
    assert found["seccomp"]["system_code"] == errno.EPERM and os.strerror(errno.EPERM) in found["seccomp"]["text"]


NO_DEVICE = {"proc/modules": GUEST["proc/modules"], "calls": "socket 0\n"}


def test_no_device(system):
    """A container that /dev/vsock is not mapped into. The code is the system's own, and other ways are still told."""
    code, found = findings(system(NO_DEVICE))
    assert code == 1 and found["no-device"]["system_code"] == errno.ENOENT and "map /dev/vsock" in found["no-device"]["advice"]
    assert found["transports"]["level"] == "ok"


def test_a_device_that_is_denied(system, folder, unprivileged):
    root = system({**NO_DEVICE, "dev/vsock": ""})
    (folder / "root/dev/vsock").chmod(0)
    code, found = findings(root, **unprivileged)
    assert code == 1 and found["device-denied"]["system_code"] == errno.EACCES and "root" in found["device-denied"]["advice"]


def test_a_device_for_vms_that_is_denied(system, folder, unprivileged):
    root = system(HOST)
    (folder / "root/dev/vhost-vsock").chmod(0)
    assert "kvm" in findings(root, **unprivileged)[1]["vhost"]["advice"]


@pytest.mark.parametrize("name", ["proc/modules", "calls", "proc/self/status", "proc/cpuinfo", "sys/class/dmi/id/sys_vendor",
                                  "proc/sys/kernel/osrelease", "run/.containerenv", "dev/vsock", "sys/fs/selinux/enforce"])
@pytest.mark.parametrize("text", ["", "\0", "x" * 100_000, "\n" * 5000, "socket\ncid\n", "\xff\xfe %s %n\n", "Seccomp:\t", "a " * 5000])
def test_files_that_are_strange(system, name, text):
    """Whatever a file has in it, the answer is an answer."""
    code, found = findings(system({**GUEST, name: text}))
    assert code in (0, 1) and found


def test_an_empty_root(folder):
    code, found = findings(f"--root={folder}")
    assert code in (0, 1) and "no-device" in found


# --- This system --------------------------------------------------------------------------------------------------------------


def test_it_connects_to_nothing(need):
    need(shutil.which("strace"), "strace is not installed")
    code, _, calls = doctor(before=["strace", "-f", "-e", "trace=%network"])
    assert "socket(AF_VSOCK" in calls and code in (0, 1)
    for call in ("connect(", "bind(", "listen(", "sendto(", "sendmsg("):
        assert call not in calls


@pytest.mark.parametrize("error, cause", [("EPERM", "seccomp"), ("EACCES", "security-module")])
def test_sockets_that_are_forbidden(error, cause):
    """By a filter, as a container's profile does it."""
    code, found = findings(before=[*FORBID, "socket:40", error])
    assert code == 1 and found[cause]["system_code"] == getattr(errno, error) and found["seccomp-filter"]["level"] == "note"


def test_a_unit_without_the_family():
    """systemd's RestrictAddressFamilies= is a filter that answers as a kernel without the family."""
    _, found = findings(before=[*FORBID, "socket:40", "EAFNOSUPPORT"])
    there = Path("/dev/vsock").exists() or Path("/sys/module/vsock").exists()
    assert ("seccomp" if there else "no-module") in found


def test_info_says_the_same():
    """Why there is no AF_VSOCK: word by word."""
    before = [*FORBID, "socket:40", "EPERM"]
    found = findings(before=before)[1]["seccomp"]
    done = subprocess.run([*before, TOOL, "info", "--json"], capture_output=True, check=True, timeout=60)
    told = json.loads(done.stdout)["transports"][0]
    assert (told["message"], told["advice"], told["system_code"]) == (found["text"], found["advice"], found["system_code"])


def test_text():
    code, out, err = doctor(before=[*FORBID, "socket:40", "EPERM"])
    lines = out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("problem  seccomp             AF_VSOCK is forbidden"))
    assert (code, err) == (1, "") and lines[at + 1].startswith(" " * 29 + "a container's seccomp profile")


@pytest.mark.parametrize("words, text", [
    (["--wait", "1"], "for an address"), (["--timeout=1"], "for an address"), (["-l"], "for an address"),
    (["unix:///x", "unix:///y"], "one word too many"), (["--roof"], "no option"), (["nonsense"], "no known scheme"), (["vsock://3:99999999999"], "vsock"),
    (["-l", "--wait", "1", "unix:///x"], "--wait is for connecting"),
])  # fmt: skip
def test_usage(words, text):
    code, out, err = doctor(*words)
    assert (code, out) == (2, "") and text in err


# --- Addresses ----------------------------------------------------------------------------------------------------------------


def listener(path, kind=socket.SOCK_STREAM):
    made = socket.socket(socket.AF_UNIX, kind)
    made.bind(str(path))
    made.listen()
    return made


SCHEMES = {"unix": "unix://{}", "mux": "vsock-mux://:52{}", "hyperkit": "hyperkit://:52{}"}


@pytest.fixture(params=SCHEMES)
def place(request, folder):
    """(address, the path of the socket that it connects to)."""
    base = folder / "vm"
    if request.param == "hyperkit":
        base.mkdir()
        return SCHEMES["hyperkit"].format(base), base / "connect"
    return SCHEMES[request.param].format(base), base


def test_missing_socket(place):
    code, found = findings(place[0])
    assert code == 1 and list(found) == ["missing-socket"] and found["missing-socket"]["system_code"] == errno.ENOENT
    assert str(place[1]) in found["missing-socket"]["text"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_missing_directory(folder, scheme):
    assert problems(SCHEMES[scheme].format(f"{folder}/no/such")) == ["missing-directory"]


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["file", "directory"])
def test_no_socket(place, make):
    make(place[1])
    assert problems(place[0]) == ["not-a-socket"]


def test_stale_socket(place):
    listener(place[1]).close()
    code, found = findings(place[0])
    assert code == 1 and found["stale-socket"]["system_code"] == errno.ECONNREFUSED and "its program has ended" in found["stale-socket"]["advice"]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's alone")
def test_an_abstract_name_leaves_no_stale_socket(tmp_path):
    """Nobody listens there, and nothing was left behind."""
    name = f"@virtsock-doctor-{os.getpid()}"
    code, found = findings(f"unix://{name}")
    assert code == 1 and list(found) == ["nobody-listens"] and found["nobody-listens"]["system_code"] == errno.ECONNREFUSED
    assert found["nobody-listens"]["text"] == f"connect unix://{name}: nobody listens there"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name[1:])
        server.listen()
        assert findings(f"unix://{name}")[0] == 0


def test_path_too_long(folder):
    for scheme in SCHEMES.values():
        assert problems(scheme.format(folder / ("x" * 120))) == ["path-too-long"]


def test_denied_socket(place, unprivileged):
    with listener(place[1]):
        place[1].chmod(0)
        code, found = findings(place[0], **unprivileged)
    assert code == 1 and found["path-denied"]["system_code"] == errno.EACCES


def test_denied_directory(folder, unprivileged):
    hidden = folder / "hidden"
    hidden.mkdir()
    with listener(hidden / "s"):
        hidden.chmod(0)
        code, found = findings(f"unix://{hidden}/s", **unprivileged)
        hidden.chmod(0o700)
    assert code == 1 and "may not be searched" in found["path-denied"]["text"]


def test_another_type(folder):
    with listener(folder / "s", socket.SOCK_SEQPACKET):
        assert problems(f"unix://{folder}/s") == ["no-socket-type"]
        assert findings(f"unix://{folder}/s?type=seqpacket")[0] == 0


def test_one_that_answers(folder):
    with listener(folder / "s"):
        code, found = findings(f"unix://{folder}/s")
        assert (code, list(found)) == (0, ["answer"]) and found["answer"]["level"] == "ok"


def test_one_that_comes_late(folder):
    with running("doctor", "--wait", "30", f"unix://{folder}/s", stdout=subprocess.PIPE) as waiting, listener(folder / "s") as late:
        late.settimeout(30)
        late.accept()[0].close()
        assert waiting.wait(30) == 0


def test_tcp(folder):
    with socket.create_server(("127.0.0.1", 0)) as late:
        address = f"tcp://127.0.0.1:{late.getsockname()[1]}"
        assert findings(address)[0] == 0
    assert problems(address) == ["nobody-listens"]


# What an answer of a multiplexer, or none, is called: a fault of virtsock mux, the cause, and a word of the advice.
ANSWERS = {"refused": "nobody-listens", "unread": "connection-limit", "garbage": "other-dialect", "nul": "other-dialect", "endless": "other-dialect",
           "digits": "other-dialect", "cut": "other-dialect", "silent": "no-answer"}


@pytest.mark.parametrize("fault", ANSWERS)
def test_answers_of_a_multiplexer(folder, fault):
    with multiplexer(folder, "--fault", fault):
        code, found = findings("--timeout", "2" if fault == "silent" else "30", f"vsock-mux://:52{folder}/vsock.sock")
    assert code == 1 and list(found) == [ANSWERS[fault]]


@contextlib.contextmanager
def multiplexer(folder, *words):
    with open(folder / "log", "wb") as log, running("mux", *words, str(folder), stderr=log) as process:
        eventually(lambda: (folder / "log").read_text().count("listening on") == 2 or process.poll() is not None)
        yield process


@pytest.mark.parametrize("scheme", ["mux", "hyperkit"])
def test_nobody_listens_in_the_guest(folder, scheme):
    address = SCHEMES[scheme].format(f"{folder}/vsock.sock" if scheme == "mux" else folder)
    with multiplexer(folder):
        code, found = findings(address)
        assert code == 1 and list(found) == ["nobody-listens"] and found["nobody-listens"]["advice"].startswith("start the service")
        with listener(folder / ("vsock.sock_52" if scheme == "mux" else "00000003.00000034")):
            assert findings(address)[0] == 0


def test_the_cause_is_that_of_the_attempts(folder):
    """Not that the time has passed."""
    with multiplexer(folder):
        code, found = findings("--wait", "0.2", f"vsock-mux://:52{folder}/vsock.sock")
        assert code == 1 and list(found) == ["nobody-listens"] and "attempts" in found["nobody-listens"]["text"]
    assert problems("--wait", "0.2", f"unix://{folder}/s") == ["missing-socket"]


# --- Listening ----------------------------------------------------------------------------------------------------------------


def test_an_address_that_is_free(folder):
    code, found = findings("-l", f"unix://{folder}/s")
    assert code == 0 and "can be listened on" in found["answer"]["text"] and not (folder / "s").exists()


def test_an_address_that_is_taken(folder):
    with listener(folder / "s"):
        assert problems("-l", f"unix://{folder}/s") == ["in-use"]
    assert problems("-l", f"unix://{folder}/no/s") == ["missing-directory"]


def test_a_directory_that_may_not_be_written(folder, unprivileged):
    (folder / "locked").mkdir(mode=0o555)
    assert problems("-l", f"unix://{folder}/locked/s", **unprivileged) == ["path-denied"]


# --- Every error that users meet ----------------------------------------------------------------------------------------------

UNIX, VSOCK = 5, 1
# Operation, scheme, code, a word of the advice. What cannot be made here is named; the rest is made in this file or in vm/test_doctor.py, too.
# Windows' codes are in c/110_causes.c, which runs under Wine.
ERRORS = [
    ("supported", VSOCK, "EAFNOSUPPORT", "modprobe vsock"),
    ("supported", VSOCK, "EPERM", "seccomp"),
    ("connect", VSOCK, "ENODEV", "vsock_loopback"),
    ("local cid", VSOCK, "ENODEV", "vhost_vsock"),              # Linux before 5.5 says it of the ioctl
    ("local cid", VSOCK, "ENOENT", "map /dev/vsock"),
    ("local cid", VSOCK, "EACCES", "root"),
    ("connect", VSOCK, "ECONNRESET", "start the service"),
    ("connect", VSOCK, "ETIMEDOUT", "registered the service"),
    ("connect", VSOCK, "ENETUNREACH", "load"),
    ("listen", VSOCK, "EADDRNOTAVAIL", "any CID"),
    ("listen", VSOCK, "EADDRINUSE", "another port"),
    ("listen", VSOCK, "EACCES", "1024"),
    ("listen", VSOCK, "EINVAL", "5.6"),
    ("connect", VSOCK, "EINVAL", "one peer"),
    ("supported", VSOCK, "ESOCKTNOSUPPORT", "stream"),
    ("connect", VSOCK, "ESOCKTNOSUPPORT", "type="),
    ("connect", VSOCK, "ENOPROTOOPT", "option"),                # VMCI's options are set by nobody here
    ("connect", VSOCK, "EPROTO", "hypervisor"),                 # needs a hypervisor with that defect
    ("recv", VSOCK, "ENOBUFS", "BUFFER_SIZE"),                  # Linux 6.x, by many small packets; the doctor receives nothing
    ("send", VSOCK, "EPIPE", "closed"),                         # the doctor sends nothing
    ("send", VSOCK, "ENOTCONN", "connect again"),
    ("connect", UNIX, "ENOENT", "path"),
    ("connect", UNIX, "ECONNREFUSED", "its program has ended"),
    ("connect", UNIX, "EACCES", "permissions"),
    ("connect", UNIX, "ENAMETOOLONG", "shorter path"),
]  # fmt: skip
STATUS = {"ENOTCONN": -9}


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int32), ("os_code", ctypes.c_int32), ("scheme", ctypes.c_int32), ("attempts", ctypes.c_int32),
                ("op", ctypes.c_char * 16), ("message", ctypes.c_char * 224)]


def advice_of(error):
    library = ctypes.CDLL(str(PLAIN / "libvirtsock.so"))
    library.virtsock_advice.restype = ctypes.c_char_p
    return (library.virtsock_advice(ctypes.byref(error)) or b"").decode()


@pytest.mark.parametrize("op, scheme, code, word", ERRORS, ids=[f"{op} {code}" for op, _, code, _ in ERRORS])
def test_every_error_has_advice(op, scheme, code, word):
    assert word in advice_of(Error(STATUS.get(code, -19), getattr(errno, code), scheme, 0, op.encode()))


def test_an_interrupted_call_has_advice():
    """EINTR is the library's to handle, and comes to a caller as INTERRUPTED, who asked for it."""
    assert "call again" in advice_of(Error(-12, 0, VSOCK, 0, b"connect"))


def test_codes_that_nobody_knows():
    """As WSAGetLastError() == 0 after a failure: no advice is better than a wrong one."""
    assert advice_of(Error(-19, 0, VSOCK, 0, b"connect")) == "" and advice_of(Error(-19, 11717, VSOCK, 0, b"connect")) == ""


def test_every_name_is_told():
    """In the manual, of every cause and of every finding that the sources have."""
    manual = (ROOT / "docs" / "virtsock.md").read_text().partition("## virtsock doctor\n")[2]
    files = [*(ROOT / "tools/commands/doctor").glob("*.c"), *(ROOT / "tools/platform").glob("doctor_*.c")]
    text = "".join(file.read_text() for file in files)
    rows = re.findall(r'(?:\{ (?:NULL|"[a-z ]+"), \w+, \w+|\{ VIRTSOCK_E_\w+, (?:NULL|"\w+")), "([a-z-]+)" \}', text)
    names = {*rows, *re.findall(r'(?:return |\] = \{ |finding_problem\()"([a-z-]+)"', text)}
    assert len(names) > 30 and not {name for name in names if f"`{name}`" not in manual}
    notes = set(re.findall(r'finding_note\("([a-z-]+)"', text)) - {"cid", "transports"}
    assert len(notes) > 8 and not {name for name in notes if f"`{name}`" not in manual}
