# SPDX-License-Identifier: MIT
"""examples/python: virtsock under TLS, HTTP, socketserver, multiprocessing and Dask, each with itself and with a peer that is wrong. On two
machines they are in tests/vm/test_others.py."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import virtsock
from certificate import NAME
from certificate import make as make_certificate
from conftest import IS_UNIX, SLOW, TRANSPORT, stream_only

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"
LIMIT = 30 * SLOW

pytestmark = [stream_only, pytest.mark.proves("python-others")]


class Server:
    """An example that listens, by the address that it told; .end() ends it, and is what it wrote."""

    def __init__(self, name: str, *arguments: object, **environment: str) -> None:
        self.process = subprocess.Popen(
            command(name, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first.startswith("listening on "), first + self.process.communicate(timeout=LIMIT)[1]
        self.address = first.split()[-1]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=LIMIT)

    def end(self) -> str:
        self.process.terminate()
        return self.process.communicate(timeout=LIMIT)[1]


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]


def ask(name: str, *arguments: object, code: int = 0, **environment: str) -> str:
    """What a client prints; its errors, where it fails as it should."""
    done = subprocess.run(command(name, *arguments), text=True, capture_output=True, timeout=LIMIT, env={**os.environ, **environment})
    assert done.returncode == code, done.stderr
    return done.stdout.strip() if code == 0 else done.stderr


def test_every_example_is_run() -> None:
    names = {file.stem for file in EXAMPLES.glob("*.py")}
    assert names == {"tls", "line_server", "http_server", "http_client", "connection", "dask_sum", "grpc_echo"}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_tls(address, certificate, tmp_path) -> None:
    with Server("tls", "serve", address(), *certificate) as server:
        assert ask("tls", "ask", server.address, certificate[0]) == "TLSv1.3 HELLO"
        stranger = make_certificate(tmp_path)[0]
        assert "CERTIFICATE_VERIFY_FAILED" in ask("tls", "ask", server.address, stranger, code=1)
        with virtsock.connect(server.address, timeout=LIMIT) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                while plain.recv(100):
                    pass
        assert ask("tls", "ask", server.address, certificate[0]) == "TLSv1.3 HELLO"
        said = server.end()
    assert "UNKNOWN_CA" in said and "HTTP_REQUEST" in said


def lines_to(server: Server) -> virtsock.Stream:
    return virtsock.connect(server.address, timeout=LIMIT)


def test_lines(address) -> None:
    """Two clients at once, each in a thread of the server."""
    with Server("line_server", address()) as server, lines_to(server) as one, lines_to(server) as two:
        for stream in one, two:
            stream.sendall(b"first\nsec")
            assert stream.recv_exact(6) == b"FIRST\n"
        one.abort()
        two.sendall(b"ond\n")
        two.shutdown(virtsock.SHUT_SEND)
        assert two.makefile("rb").read() == b"SECOND\n"


def test_lines_by_rules(address) -> None:
    others = f"uid={os.getuid() + 1}" if IS_UNIX else "7"
    own = "self" if IS_UNIX else "local"
    with Server("line_server", address(), others) as server, lines_to(server) as stream, contextlib.suppress(ConnectionResetError):
        stream.sendall(b"x\n")
        assert stream.recv(10) == b""
    with Server("line_server", address(), others, own) as server, lines_to(server) as stream:
        stream.sendall(b"x\n")
        assert stream.recv_exact(2) == b"X\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello")
    (folder / "large.bin").write_bytes(bytes(1 << 20))
    return folder


def test_http(address, site) -> None:
    with Server("http_server", address(), site) as server:
        assert ask("http_client", server.address, "/hello.txt", "/nothing", "/hello.txt").splitlines()[0] == "200 hello"
        assert ask("http_client", server.address, "/large.bin") == "200 " + "\0" * (1 << 20)
        said = server.end()
    assert '"GET /hello.txt HTTP/1.1" 200' in said and '"GET /nothing HTTP/1.1" 404' in said


def test_http_by_hand(address, site) -> None:
    """Two requests by one connection, as HTTP/1.1 has it."""
    with Server("http_server", address(), site) as server, virtsock.connect(server.address, timeout=LIMIT) as stream:
        for _ in range(2):
            stream.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += stream.recv_exact(1)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Length: 5\r\n" in head
            assert stream.recv_exact(5) == b"hello"


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> type:
    """The example's class, without its program."""
    source = (EXAMPLES / "http_client.py").read_text().partition("\n\nwith httpx.Client")[0]
    names: dict[str, object] = {}
    exec(compile(source, "http_client.py", "exec"), names)
    kind = names["Transport"]
    assert isinstance(kind, type)
    return kind


def test_httpx_knows_the_failures(address, listener, transport) -> None:
    with httpx.Client(transport=transport(str(address())), timeout=LIMIT) as client, pytest.raises(httpx.ConnectError):
        client.get("http://guest/")
    soon = httpx.Timeout(LIMIT, read=0.2)
    with httpx.Client(transport=transport(str(listener.address)), timeout=soon) as client, pytest.raises(httpx.ReadTimeout):
        client.get("http://guest/")


def test_httpx_leaves_a_connection_that_the_server_ended(address, site, transport, listener) -> None:
    def serve() -> None:
        for _ in range(2):
            with listener.accept() as stream:
                while not stream.recv(65536).endswith(b"\r\n\r\n"):
                    pass
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    thread = threading.Thread(target=serve)
    thread.start()
    with httpx.Client(transport=transport(str(listener.address)), timeout=LIMIT) as client:
        for _ in range(2):
            assert client.get("http://guest/").text == "ok"
            thread.join(0.2)
    thread.join(LIMIT)
    assert not thread.is_alive()


def test_https(address, certificate, site, transport, listener) -> None:
    """The example's start_tls: httpx asks for it where the URL says https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def serve() -> None:
        with listener.accept() as stream, context.wrap_socket(stream.to_socket(), server_side=True) as sock:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    thread = threading.Thread(target=serve)
    thread.start()
    verify = ssl.create_default_context(cafile=certificate[0])
    with httpx.Client(transport=transport(str(listener.address), verify=verify), timeout=LIMIT) as client:
        assert client.get(f"https://{NAME}/").text == "ok"
    thread.join(LIMIT)


def test_connection(address) -> None:
    with Server("connection", "serve", address(), KEY="secret") as server:
        assert ask("connection", "ask", server.address, 1, 2, 39, KEY="secret") == "42"
        assert "AuthenticationError" in ask("connection", "ask", server.address, 1, code=1, KEY="wrong")
        with virtsock.connect(server.address, timeout=LIMIT) as stream:
            stream.sendall(b"\xff" * 100)
            stream.shutdown(virtsock.SHUT_SEND)
            with contextlib.suppress(ConnectionResetError):
                while stream.recv(1000):
                    pass
        assert ask("connection", "ask", server.address, KEY="secret") == "0"
        assert "digest" in server.end()


@contextlib.contextmanager
def worker(scheduler: str) -> Iterator[None]:
    command = [sys.executable, "-m", "dask", "worker", scheduler, "--no-nanny", "--nthreads", "1", "--dashboard-address", "127.0.0.1:0"]
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": folder}) as process,
    ):
        try:
            yield
        finally:
            process.kill()


def test_dask(tmp_path) -> None:
    address = f"unix://{tmp_path}/scheduler" if IS_UNIX else f"{TRANSPORT}://:8786"
    with Server("dask_sum", address, 2, TMPDIR=str(tmp_path)) as server, worker(server.address), worker(server.address):
        assert server.process.stdout is not None
        assert server.process.stdout.read() == f"the sum is {sum(number**2 for number in range(100))}\n"
        assert server.process.wait(LIMIT) == 0
