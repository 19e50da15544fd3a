# SPDX-License-Identifier: MIT
"""examples/python with a host and its guest at the ends, both ways. What a peer does wrong is in tests/python/test_720_others.py."""

import subprocess
import tempfile
from pathlib import Path

import pytest
from builds import BUILD, ROOT, TOOL

pytestmark = pytest.mark.proves("python-others")

PYTHON = BUILD / "venv" / "bin" / "python"
EXAMPLES = ROOT / "examples" / "python"
PORT = 7300
PATIENCE = 120


@pytest.fixture(params=[0, 1], ids=["host->guest", "guest->host"])
def ends(request, nested_vms):
    return lambda port: nested_vms.ways(port)[request.param]


def example(name, *arguments):
    return [str(word) for word in (PYTHON, EXAMPLES / f"{name}.py", *arguments)]


def serve(machine, name, *arguments, env=None):
    """Listens by now; a context manager that ends it."""
    job = machine.start(example(name, *arguments), env=env)
    job.expect("listening on", PATIENCE)
    return job


def ask(machine, name, *arguments, env=None):
    done = machine.run(example(name, *arguments), PATIENCE, env)
    assert done.code == 0, done.text
    return done.text.strip()


@pytest.fixture(scope="module")
def certificate():
    """Where guests see it, which is not in this machine's /tmp."""
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        subprocess.run([PYTHON, ROOT / "tests" / "python" / "certificate.py", folder], check=True)
        yield Path(folder, "certificate.pem"), Path(folder, "key.pem")


def test_tls(ends, certificate):
    way = ends(PORT)
    with serve(way.listening, "tls", "serve", way.listens_at, *certificate):
        assert ask(way.connecting, "tls", "ask", way.connects_to, certificate[0]) == "TLSv1.3 HELLO"


def test_lines(ends):
    """socketserver, which the listener's rules guard: the server names whom it expects."""
    way = ends(PORT + 1)
    peer = "host" if way.label == "host->guest" else "3-4000"
    with serve(way.listening, "line_server", way.listens_at, peer):
        assert way.connecting.run(f"printf 'one\\ntwo\\n' | {TOOL} cat {way.connects_to}", PATIENCE) == (0, b"ONE\nTWO\n")
    with serve(way.listening, "line_server", ends(PORT + 2).listens_at, "local"):
        assert b"ONE" not in way.connecting.run(f"printf 'one\\n' | {TOOL} cat {ends(PORT + 2).connects_to}", PATIENCE).output


def test_http(ends):
    way = ends(PORT + 3)
    with serve(way.listening, "http_server", way.listens_at, EXAMPLES) as job:
        assert ask(way.connecting, "http_client", way.connects_to, "/tls.py") == "200 " + (EXAMPLES / "tls.py").read_text().strip()
        job.expect("GET /tls.py HTTP/1.1")


def test_connection(ends):
    way = ends(PORT + 4)
    with serve(way.listening, "connection", "serve", way.listens_at, env={"KEY": "secret"}):
        assert ask(way.connecting, "connection", "ask", way.connects_to, 1, 2, 39, env={"KEY": "secret"}) == "42"
