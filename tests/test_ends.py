# SPDX-License-Identifier: MIT
# ruff: noqa: F811
"""An upload, and a request with its answer: over each kind of half-close, each way and dialect, from C, Python, Lua,
`cat` and a client of `relay`. What was sent has come, by its hash. VIRTSOCK_TEST_UPLOAD=400000000 makes them as large as
was promised."""

import contextlib
import hashlib
import os
import subprocess
import sys
import threading

import pytest
import virtsock
from builds import LUAS, PLAIN, ROOT, TOOL, lua_environment
from test_mux import CLOUD_HYPERVISOR, FIRECRACKER, LIBKRUN, OPENVMM, VHOST_DEVICE_VSOCK, dialect_of, vm  # noqa: F401
from test_tools import running

LARGE, SMALL = int(os.environ.get("VIRTSOCK_TEST_UPLOAD", 8_000_000)), 300_000
ENDS_BOTH = (FIRECRACKER, VHOST_DEVICE_VSOCK, LIBKRUN)
WAYS = ("unix", "tcp", CLOUD_HYPERVISOR, OPENVMM, *ENDS_BOTH)
LIMIT_S = 120 + LARGE // 1_000_000
UNSAID = (FIRECRACKER, VHOST_DEVICE_VSOCK, CLOUD_HYPERVISOR, OPENVMM)      # their addresses say nothing of half-closes


def content(path, size):
    """A file of so many bytes, no piece of which is another's; its hash."""
    block, sha = os.urandom((1 << 20) - 8), hashlib.sha256()
    with open(path, "wb") as file:
        for at in range(0, size, 1 << 20):
            piece = (at.to_bytes(8, "big") + block)[: size - at]
            file.write(piece)
            sha.update(piece)
    return sha.hexdigest()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What is sent, by kind: an upload, or a request; the answer to it; and the client in C."""
    folder = tmp_path_factory.mktemp("ends")
    for name, size in (("upload", LARGE), ("request", SMALL), ("answer", LARGE)):
        (folder / f"{name}.sha").write_text(content(folder / name, size))
    strict = "cc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/core/include"
    source, program = ROOT / "tests" / "ends" / "client.c", folder / "client"
    subprocess.run([*strict, source, f"-L{PLAIN}", "-lvirtsock", "-o", program], check=True)
    return folder


@contextlib.contextmanager
def way_of(way, vm):
    """The client's address, and the server's."""
    if way in ("unix", "tcp"):
        yield (f"unix://{vm}.s", f"unix://{vm}.s") if way == "unix" else ("tcp://127.0.0.1:any", "tcp://127.0.0.1:any")
        return
    with dialect_of(vm, way) as m:
        yield m.host, m.guest


def environment():
    return {**os.environ, **lua_environment("5.4"), "LD_LIBRARY_PATH": str(PLAIN)}


@contextlib.contextmanager
def serving(listener, kind, place):
    """One client: an upload to its end, or a request of a known length and its answer. The hash of what came."""
    sha = hashlib.sha256()

    def serve():
        with listener.accept() as stream:
            left = LARGE + 1 if kind == "upload" else SMALL
            while left > 0 and (piece := stream.recv(min(left, 1 << 18))):
                sha.update(piece)
                left -= len(piece)
            if kind == "answer":
                stream.sendall((place / "answer").read_bytes())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield sha
    thread.join(LIMIT_S)
    assert not thread.is_alive(), "the server waits"


@contextlib.contextmanager
def command_of(client, kind, to, sent, place, vm):
    """Of a client; for one of a relay, that is Python and runs before the way."""
    ours = ROOT / "tests" / "ends"
    python = [sys.executable, ours / "client.py"]
    commands = {"c": [place / "client"], "python": python, "lua": [LUAS["5.4"], ours / "client.lua"]}
    if client == "cat":
        yield [TOOL, "cat", *(["--quiet", "0.5"] if kind == "upload" else []), to]
    elif client in commands:
        yield [*commands[client], kind, to, sent]
    else:
        front = f"unix://{vm}.r" + ("?half-close=framed" if client == "relay-framed" else "")
        with running("relay", "-v", front, to, stderr=subprocess.PIPE) as relay:
            relay.stderr.readline()
            yield [*python, kind, front, sent]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["upload", "answer"])
@pytest.mark.parametrize("half_close", ["native", "none", "framed"])
@pytest.mark.parametrize("client", ["c", "python", "lua", "cat", "relay", "relay-framed"])
def test_all_of_it_comes(vm, place, client, half_close, kind, way):
    asks = client not in ("c", "python", "lua") and way == LIBKRUN     # the command asks who serves the way, unless the address says
    if way in ENDS_BOTH and not asks and (half_close, kind) == ("native", "answer"):
        pytest.skip("the end of one direction is the end of both: for half-close=none, or framed")
    sent = place / ("upload" if kind == "upload" else "request")
    linger = 60 if half_close == "framed" else None
    with (
        way_of(way, vm) as (host, guest),
        virtsock.listen(f"{guest}?half-close={half_close}", timeout=60, linger=linger) as listener,
        open(sent, "rb") as file,
    ):
        to = host.replace("any", str(listener.address.port)) + f"?half-close={half_close}"
        with command_of(client, kind, to, sent, place, vm) as command, serving(listener, kind, place) as came:
            done = subprocess.run(command, stdin=file, capture_output=True, env=environment(), timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, b"")
    assert came.hexdigest() == (place / f"{sent.name}.sha").read_text()
    if kind == "answer":
        assert hashlib.sha256(done.stdout).hexdigest() == (place / "answer.sha").read_text()


@pytest.mark.parametrize("way", UNSAID)
@pytest.mark.parametrize("client", ["c", "python", "lua"])
def test_no_answer_is_lost_silently(vm, place, client, way):
    """`sendall`, `shutdown`, `recv` as over any socket, where the address does not say that one direction can end alone: the shutdown fails, and
    says what to write."""
    with way_of(way, vm) as (host, guest), virtsock.listen(guest, timeout=60) as listener:
        with command_of(client, "answer", host, place / "request", place, vm) as command, serving(listener, "cut", place):
            done = subprocess.run(command, capture_output=True, env=environment(), timeout=LIMIT_S)
    assert done.returncode == 1 and done.stdout == b""
    assert b"shutdown vsock-mux://:52" in done.stderr and b"half-close=unknown" in done.stderr


@pytest.mark.parametrize("way", UNSAID)
@pytest.mark.parametrize("kind", ["upload", "answer"])
@pytest.mark.parametrize("client", ["python", "cat", "relay", "relay-framed"])
def test_the_command_finds_out(vm, place, client, kind, way):
    """All of it comes where nothing is said: the command asks who serves the way, and an upload needs no half-close."""
    if client == "python" and kind == "answer":
        pytest.skip("no answer without a half-close: test_no_answer_is_lost_silently")
    sent = place / ("upload" if kind == "upload" else "request")
    with way_of(way, vm) as (host, guest), virtsock.listen(guest, timeout=60) as listener, open(sent, "rb") as file:
        with command_of(client, kind, host, sent, place, vm) as command, serving(listener, kind, place) as came:
            done = subprocess.run(command, stdin=file, capture_output=True, env=environment(), timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, b"")
    assert came.hexdigest() == (place / f"{sent.name}.sha").read_text()
    if kind == "answer":
        assert hashlib.sha256(done.stdout).hexdigest() == (place / "answer.sha").read_text()
