# SPDX-License-Identifier: MIT
"""virtsock list: what it makes of netlink's bytes, whoever sends them, and what it says where the kernel does not tell. vm/test_list.py has real
sockets, and `ss` beside it."""

import ctypes
import errno
import json
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from builds import C_RUNS, BUILD, ROOT
from test_tools import TOOL, run

FORBID = [sys.executable, str(Path(__file__).with_name("forbid.py"))]
SOCKET, MORE, DONE, FAILED, GARBLED = range(5)
BY_FAMILY, ERROR_TYPE, DONE_TYPE, NOOP = 20, 2, 3, 1
ANY = 0xFFFFFFFF


class Found(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint8) for name in ("type", "state", "shutdown")] + [
        (name, ctypes.c_uint32) for name in ("local_cid", "local_port", "peer_cid", "peer_port", "inode")]


@pytest.fixture(scope="module")
def diag(tmp_path_factory):
    """tools/commands/list/diag.c as a library."""
    made = tmp_path_factory.mktemp("diag") / "diag.so"
    source = ROOT / "tools" / "commands" / "list" / "diag.c"
    subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", "-shared", "-fPIC", "-o", made, source], check=True)
    library = ctypes.CDLL(str(made))
    library.diag_next.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(Found),
                                  ctypes.POINTER(ctypes.c_int)]
    return library


def read(diag, data):
    """(sockets, how it ended, the kernel's code)."""
    at, code, sockets = ctypes.c_size_t(0), ctypes.c_int(0), []
    while True:
        found, before = Found(), at.value
        step = diag.diag_next(data, len(data), ctypes.byref(at), ctypes.byref(found), ctypes.byref(code))
        assert at.value <= len(data)
        if step != SOCKET:
            return sockets, step, code.value
        assert at.value > before
        sockets.append(tuple(getattr(found, name) for name, _ in Found._fields_))


def message(kind, payload=b"", length=None, flags=2):
    """struct nlmsghdr and what follows it, padded to 4 bytes."""
    whole = struct.pack("=IHHII", 16 + len(payload) if length is None else length, kind, flags, 0, 0) + payload
    return whole + b"\0" * (-len(whole) % 4)


def vsock(type=1, state=1, shutdown=0, ends=(3, 5000, 2, 6000), inode=77, family=40):
    """struct vsock_diag_msg."""
    return message(BY_FAMILY, struct.pack("=BBBB6I", family, type, state, shutdown, *ends, inode, 0) + b"\0\0\0\0")


ONE = (1, 1, 0, 3, 5000, 2, 6000, 77)
END = message(DONE_TYPE, struct.pack("=i", 0))


def test_the_request(diag):
    """As the kernel's structs have it: struct nlmsghdr, struct vsock_diag_req."""
    out = ctypes.create_string_buffer(b"\xaa" * 64, 64)
    diag.diag_request(out, ctypes.c_uint32(0x80000402))
    assert out.raw == struct.pack("=IHHII BBHIII2I", 40, 20, 0x301, 0, 0, 40, 0, 0, 0x80000402, 0, 0, 0, 0) + b"\xaa" * 24


def test_layouts_are_the_kernel_s(tmp_path, need):
    """Where its headers are."""
    need(Path("/usr/include/linux/vm_sockets_diag.h").exists(), "the kernel's headers are not installed")
    (tmp_path / "layout.c").write_text("""
        #include <linux/netlink.h>
        #include <linux/sock_diag.h>
        #include <linux/vm_sockets_diag.h>
        #include <stddef.h>
        #define IS(a, b) _Static_assert((a) == (b), #a)
        IS(sizeof(struct nlmsghdr), 16); IS(sizeof(struct vsock_diag_req), 24); IS(sizeof(struct vsock_diag_msg), 32);
        IS(offsetof(struct nlmsghdr, nlmsg_type), 4); IS(offsetof(struct nlmsghdr, nlmsg_flags), 6);
        IS(offsetof(struct vsock_diag_req, vdiag_states), 4); IS(offsetof(struct vsock_diag_msg, vdiag_type), 1);
        IS(offsetof(struct vsock_diag_msg, vdiag_state), 2); IS(offsetof(struct vsock_diag_msg, vdiag_shutdown), 3);
        IS(offsetof(struct vsock_diag_msg, vdiag_src_cid), 4); IS(offsetof(struct vsock_diag_msg, vdiag_dst_cid), 12);
        IS(offsetof(struct vsock_diag_msg, vdiag_ino), 20);
        IS(NETLINK_SOCK_DIAG, 4); IS(SOCK_DIAG_BY_FAMILY, 20); IS(NLM_F_REQUEST | NLM_F_DUMP, 0x301); IS(NLMSG_ERROR, 2); IS(NLMSG_DONE, 3);
        """)
    subprocess.run(["cc", "-fsyntax-only", tmp_path / "layout.c"], check=True)


GOOD = {
    "one socket": (vsock(), [ONE], MORE, 0),
    "one socket and the end": (vsock() + END, [ONE], DONE, 0),
    "no socket": (END, [], DONE, 0),
    "an end without a code": (message(DONE_TYPE), [], DONE, 0),
    "an end with a code": (vsock() + message(DONE_TYPE, struct.pack("=i", -errno.EINTR)), [ONE], FAILED, errno.EINTR),
    "what follows the end": (END + vsock(), [], DONE, 0),
    "another family": (vsock(family=2) + vsock(), [ONE], MORE, 0),
    "another message": (message(NOOP) + message(99, b"xyz") + vsock(), [ONE], MORE, 0),
    "more than the message has today": (message(BY_FAMILY, vsock()[16:] + b"later"), [ONE], MORE, 0),
    "all bits": (vsock(255, 255, 255, (ANY,) * 4, ANY), [(255, 255, 255, ANY, ANY, ANY, ANY, ANY)], MORE, 0),
    "many": (b"".join(vsock(inode=n) for n in range(500)), [(*ONE[:-1], n) for n in range(500)], MORE, 0),
    "a refusal": (message(ERROR_TYPE, struct.pack("=i", -errno.ENOENT) + b"\0" * 16), [], FAILED, errno.ENOENT),
    "an acknowledgement": (message(ERROR_TYPE, struct.pack("=i", 0) + b"\0" * 16), [], DONE, 0),
    "nothing": (b"", [], MORE, 0),
}


@pytest.mark.parametrize("name", GOOD)
def test_answers(diag, name):
    data, *expected = GOOD[name]
    assert list(read(diag, data)) == expected


HOSTILE = {
    "a length of nothing": message(BY_FAMILY, vsock()[16:], length=0),
    "a length without its own head": message(BY_FAMILY, vsock()[16:], length=15),
    "a length beyond the end": message(BY_FAMILY, vsock()[16:], length=52),
    "a length of 4 GiB": message(BY_FAMILY, vsock()[16:], length=ANY),
    "a length that wraps when it is rounded up": message(NOOP, b"xxxx", length=0xFFFFFFFD),
    "a socket that is cut": message(BY_FAMILY, vsock()[16:47]),
    "a socket of nothing": message(BY_FAMILY),
    "a refusal without a code": message(ERROR_TYPE, b"\0\0"),
    "a code that is none": message(ERROR_TYPE, struct.pack("=i", 5)),
    "the least code": message(ERROR_TYPE, struct.pack("=i", -(1 << 31))),
    "the least code at the end": message(DONE_TYPE, struct.pack("=i", -(1 << 31))),
    "a head that is cut": vsock()[:15],
    "a byte": b"\0",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers(diag, name):
    assert read(diag, HOSTILE[name])[:2] == ([], GARBLED)
    assert read(diag, vsock() + HOSTILE[name])[:2] == ([ONE], GARBLED)


def test_answers_that_are_cut(diag):
    """At every byte: whole messages are read, the one that is cut never is."""
    data = vsock(inode=1) + vsock(inode=2) + END
    for length in range(len(data)):
        sockets, end, _ = read(diag, data[:length])
        assert len(sockets) == min(length // 48, 2) and end == (MORE if length % 48 == 0 else GARBLED)


def mutants():
    """The same ones every time."""
    chance = random.Random(8)
    for data in [*(row[0] for row in GOOD.values() if len(row[0]) < 500), *HOSTILE.values()]:
        yield data
        for _ in range(60):
            changed = bytearray(data or b"\0")
            for _ in range(chance.randint(1, 4)):
                changed[chance.randrange(len(changed))] = chance.choice((0, 1, 2, 3, 15, 16, 20, 48, 127, 128, 255, chance.randrange(256)))
            yield bytes(changed[: chance.randint(0, len(changed))] if chance.random() < 0.3 else changed)


@pytest.mark.parametrize("build", C_RUNS)
def test_mutants(tmp_path, build, need):
    """Under the sanitizers, too, each in memory of just its size."""
    program = BUILD / build / "tests" / "fuzz" / "replay_diag"
    need(program.exists(), f"build/{build} is not there")
    count = 0
    for count, data in enumerate(mutants(), 1):
        (tmp_path / str(count)).write_bytes(data)
    done = subprocess.run([program, tmp_path], text=True, capture_output=True, timeout=300)
    assert done.returncode == 0 and done.stdout.splitlines() == [f"{count} files", "END"], done.stdout + done.stderr
    assert count > 1000


# --- The command --------------------------------------------------------------------------------------------------------------


def listed(*words, before=()):
    done = subprocess.run([*before, TOOL, "list", *words], text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def test_here():
    """This kernel tells, or it is said what it lacks; nothing is printed then."""
    code, out, err = listed("-a", "--json")
    if code == 0:
        assert isinstance(json.loads(out), list) and err == ""
    else:
        assert (code, out) == (1, "") and "modprobe vsock_diag" in err


REFUSALS = {
    "EPROTONOSUPPORT": ("vsock_diag is not loaded", "modprobe vsock_diag"),
    "EPERM": ("Operation not permitted", "seccomp profile"),
    "EACCES": ("Permission denied", "security policy"),
}


@pytest.mark.parametrize("error", REFUSALS)
def test_what_is_forbidden(error):
    """By a filter: the netlink socket."""
    code, out, err = listed(before=[*FORBID, "socket:16", error])
    assert (code, out) == (1, "")
    for text in REFUSALS[error]:
        assert text in err


def test_it_asks_for_what_is_wanted(need):
    """The states of the request, as strace reads them; and it connects to nothing."""
    need(shutil.which("strace"), "strace is not installed")
    sent = {}
    for words in ((), ("-l",), ("-a",)):
        _, _, calls = listed(*words, before=["strace", "-e", "trace=%network", "-e", "write=none", "-x", "-s", "64"])
        line = next(line for line in calls.splitlines() if line.startswith("sendto("))
        sent[words] = line
        assert "NETLINK_SOCK_DIAG" in calls and "connect(" not in calls and "AF_VSOCK, SOCK" not in calls
    assert len(set(sent.values())) == 3


@pytest.mark.parametrize("words, text", [(["-a", "-l"], "leave one"), (["vsock://3:1"], "one word too many"), (["-x"], "no option")])
def test_usage(words, text):
    done = run("list", *words, text=True)
    assert (done.returncode, done.stdout) == (2, "") and text in done.stderr
