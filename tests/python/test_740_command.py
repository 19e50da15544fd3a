# SPDX-License-Identifier: MIT
"""The command as pip installs it, and as `python -m virtsock`: what a process has to do with others is as the C program has it. What the
command does is the matter of test_tools.py."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import virtsock
from conftest import SLOW, running, stream_only, unix_only
from virtsock import _command

ENDS = ("SIGINT", "SIGTERM", "SIGHUP")
EVERY_BYTE = bytes(range(256)) * 1024 + b"\r\n\x1a\0\xff"


def installed() -> str:
    found = shutil.which("virtsock", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
    assert found is not None, "pip has installed no command"
    return found


@pytest.fixture(params=["python -m virtsock", "virtsock"])
def command(request: pytest.FixtureRequest) -> list[str]:
    return [sys.executable, "-m", "virtsock"] if request.param.startswith("python") else [installed()]


def run(*command: str | bytes, given: bytes = b"", **more: object) -> tuple[int, bytes, bytes]:
    done = subprocess.run(command, input=given, capture_output=True, timeout=60 * SLOW, **more)
    return done.returncode, done.stdout, done.stderr


def in_shell(text: str, command: list[str]) -> list[str]:
    """The shell does something to itself, and becomes the command."""
    return ["sh", "-c", f'{text}; exec "$@"', "sh", *command]


@contextlib.contextmanager
def started(command: list[str], log: Path, until: str) -> Iterator[subprocess.Popen[bytes]]:
    """It runs, and has said so on standard error, which is the log."""
    with log.open("wb") as err, subprocess.Popen(command, stderr=err, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 20 * SLOW
            while until not in log.read_text():
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def test_exit_codes(command: list[str], address: Callable[[], virtsock.Address]) -> None:
    assert run(*command, "--version") == (0, f"virtsock {virtsock.version()}\n".encode(), b"")
    code, out, err = run(*command)
    assert (code, out) == (2, b"") and err.startswith(b"Usage: virtsock COMMAND")
    code, out, err = run(*command, "dance")
    assert (code, out) == (2, b"") and err.startswith(b"virtsock: there is no command dance\n")
    nobody = str(address())
    code, out, err = run(*command, "cat", nobody)
    assert (code, out) == (1, b"") and err.startswith(f"virtsock: connect {nobody}: ".encode())


@stream_only
def test_bytes_are_bytes(command: list[str], listener: virtsock.Listener) -> None:
    def reverse() -> None:
        with listener.accept() as peer:
            peer.settimeout(30)
            got = peer.makefile("rb").read()
            peer.sendall(got[::-1])

    with running(reverse):
        assert run(*command, "cat", str(listener.address), given=EVERY_BYTE) == (0, EVERY_BYTE[::-1], b"")


@unix_only
@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "POSIX"])
@pytest.mark.parametrize("mode", [{}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONUTF8": "1"}], ids=str)
def test_words_are_bytes(command: list[str], locale: str, mode: dict[str, str]) -> None:
    word = b"\xff\x80-\xc3\xa9-\xed\xb2\x80"
    shown = rb"\xff\x80-" + b"\xc3\xa9" + rb"-\xed\xb2\x80"  # what is no UTF-8 is written out, byte by byte
    code, out, err = run(*command, word, env={**os.environ, "LC_ALL": locale, **mode})
    assert (code, out) == (2, b"") and err.startswith(b"virtsock: there is no command " + shown + b"\n")


@unix_only
@pytest.mark.parametrize("name", ENDS)
def test_a_signal_ends_a_client(command: list[str], name: str, address: Callable[[], virtsock.Address], tmp_path: Path) -> None:
    words = ["wait", "-v", "--wait", "120", str(address())]
    with started([*command, *words], tmp_path / "log", "attempt 1 of") as process:
        process.send_signal(getattr(signal, name))
        assert process.wait(10 * SLOW) == -getattr(signal, name)
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("name", ENDS)
def test_a_signal_ends_a_listener_in_order(command: list[str], name: str, address: Callable[[], virtsock.Address], tmp_path: Path) -> None:
    with started([*command, "echo", "-s", "-v", str(address())], tmp_path / "log", "listening on") as process:
        process.send_signal(getattr(signal, name))
        assert process.wait(10 * SLOW) == 0


@unix_only
@pytest.mark.parametrize("name", ENDS)
def test_an_ignored_signal_stays_ignored(command: list[str], name: str, address: Callable[[], virtsock.Address], tmp_path: Path) -> None:
    words = ["wait", "-v", "--wait", "120", str(address())]
    with started(in_shell(f"trap '' {name[3:]}", [*command, *words]), tmp_path / "log", "attempt 1 of") as process:
        process.send_signal(getattr(signal, name))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)


@unix_only
def test_a_file_that_may_grow_no_more(command: list[str], tmp_path: Path) -> None:
    """SIGXFSZ ends the command, as it does in C; Python ignores it."""
    with (tmp_path / "file").open("wb") as file:
        limited = in_shell("ulimit -c 0; ulimit -f 1", [*command, "cat", "--help"])
        done = subprocess.run(limited, stdout=file, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, timeout=60 * SLOW)
    assert done.returncode == -signal.SIGXFSZ


@unix_only
def test_a_broken_pipe_is_a_failure(command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*command, "--help"], stdout=writing, stderr=subprocess.PIPE, timeout=60 * SLOW)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"virtsock: standard output: Broken pipe\n")


@unix_only
def test_what_is_printed_leaves(command: list[str]) -> None:
    """To its last byte, or it is a failure: C's standard output is flushed at the end."""
    code, out, err = run(*command, "--help")
    assert (code, err) == (0, b"") and out.endswith(b"Exit codes: 0 done, 1 failed, 2 usage.\n")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*command, "--help"], stdout=full, stderr=subprocess.PIPE, timeout=60 * SLOW)
    assert (done.returncode, done.stderr) == (1, b"virtsock: standard output: No space left on device\n")


@stream_only
def test_a_closed_standard_input_is_no_socket(command: list[str], listener: virtsock.Listener) -> None:
    code, out, err = run(*in_shell("exec <&-", [*command, "cat", str(listener.address)]))
    assert (code, out, err) == (1, b"", b"virtsock: standard input: Bad file descriptor\n")


@unix_only
def test_no_standard_stream_at_all(command: list[str], address: Callable[[], virtsock.Address]) -> None:
    assert run(*in_shell("exec <&- >&- 2>&-", [*command, "cat", str(address())]))[0] == 1


@unix_only
def test_a_program_that_imports_virtsock_does_not_load_it() -> None:
    assert run(sys.executable, "-c", "import sys, virtsock; print('virtsock._command' in sys.modules)")[1] == b"False\n"


@unix_only
def test_words_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError):
        _command.run(b"virtsock", "--version")  # type: ignore[arg-type]
