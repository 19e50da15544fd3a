# SPDX-License-Identifier: MIT
"""docs/virtsock.md: what `wait`, `mux`, `resolve` and `service` print there is what they print, numbers of measurement apart."""

import contextlib
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from builds import ROOT
from test_tools import TOOL, eventually

MANUAL = (ROOT / "docs" / "virtsock.md").read_text()


def sections():
    """Name, and rows of (command, lines that follow it): a section's examples are one session; another multiplexer begins another."""
    for name, text in re.findall(r"^## virtsock (\w+)$(.*?)(?=^## |\Z)", MANUAL, re.MULTILINE | re.DOTALL):
        if name not in ("wait", "mux", "resolve", "service"):
            continue
        session = []
        for command, lines in re.findall(r"^    \$ (.*)\n((?:    [^$].*\n)*)", text, re.MULTILINE):
            if command.startswith("virtsock mux") and session:
                yield name, session
                session = []
            session.append((command, [line[4:] for line in lines.splitlines()]))
        yield name, session


def plain(text):
    """Without times, and without what a race decides: how many attempts were made in some time."""
    return re.sub(r"[\d.]+ ms|\d+ attempts", "N", text).splitlines()


def listens(path):
    """Asked of the system (__SO_ACCEPTCON): a connection would be one client more."""
    return any(row[3] == "00010000" and row[-1] == path for row in map(str.split, Path("/proc/net/unix").read_text().splitlines()[1:]))


@contextlib.contextmanager
def background(words, log):
    with open(log, "wb") as file, subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=file, stdout=file) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_all_have_examples():
    assert [name for name, _ in sections()] == ["wait", "mux", "mux", "resolve", "service"]


@pytest.mark.parametrize("number, name", list(enumerate(name for name, _ in sections())))
def test_examples_print_what_they_do(number, name):
    _, session = list(sections())[number]
    with tempfile.TemporaryDirectory(prefix="manual-") as directory, contextlib.ExitStack() as running:
        for step, (command, expected) in enumerate(session):
            program, *words = command.replace("/tmp/vm", f"{directory}/vm").split()
            expected = plain("\n".join(expected).replace("/tmp/vm", f"{directory}/vm"))
            assert program == "virtsock"
            if words[-1] == "&":
                log = Path(directory) / f"log{step}"
                running.enter_context(background([TOOL, *words[:-1]], log))
                eventually(lambda log=log, expected=expected: plain(log.read_text()) == expected)
                eventually(lambda words=words: listens(f"{directory}/vm/vsock.sock" + ("" if words[0] == "mux" else "_52")))
            else:
                done = subprocess.run([TOOL, *words], stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=60)
                assert plain(done.stdout + done.stderr) == expected


@pytest.mark.parametrize("name", ["wait", "mux", "stress", "list", "doctor"])
def test_every_option_is_told(name):
    text = subprocess.run([TOOL, name, "--help"], text=True, capture_output=True, check=True).stdout
    for option in re.findall(r"--([a-z-]+)", text.partition("Options:")[2].partition("Examples:")[0]):
        section = MANUAL.partition(f"## virtsock {name}\n")[2].partition("\n## ")[0]
        assert option in ("help", "version") or f"`--{option}" in section or f", `--{option}" in section


@pytest.mark.parametrize("row", ["dialect", "fault"])
def test_every_dialect_and_fault_is_told(row):
    """As many as the command says that there are."""
    said = subprocess.run([TOOL, "mux", f"--{row}", "?", "/nowhere"], text=True, stderr=subprocess.PIPE).stderr.partition("it is ")[2]
    table = re.search(rf"^\| {row} \|.*\n(?:\|.*\n)*", MANUAL, re.MULTILINE)[0]
    assert re.findall(r"^\| `([a-z=MS-]+)`", table, re.MULTILINE) == re.findall(r"[a-z=MS-]{3,}", said)
    help_text = subprocess.run([TOOL, "mux", "--help"], text=True, capture_output=True, check=True).stdout
    assert all(name in help_text for name in re.findall(r"[a-z=MS-]{3,}", said))
