# SPDX-License-Identifier: MIT
"""What the command makes of its tables of options: the manual page, and completion, tried in the shells themselves."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest
from test_tools import TOOL

START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set bell-style none'\nvirtsock() { printf 'given<%s>' \"$@\"; echo; }"),
    "zsh": (["zsh", "-f", "-i"], "unsetopt beep; autoload -U compinit; compinit -u -D\nvirtsock() { printf 'given<%s>' \"$@\"; echo; }"),
    "fish": (["fish", "--no-config", "-i"], "function virtsock; printf 'given<%s>' $argv; echo; end"),
}
TYPED = {
    "ech\t": ["echo"],
    "echo --no-b\t": ["echo", "--no-bye"],
    "completion --h\t": ["completion", "--help"],
    "cat hyperk\t": ["cat", "hyperkit://"],
    "cat --wait 5 --registe\t": ["cat", "--wait", "5", "--register"],
    "cat ./some\t": ["cat", "./some file"],
}


def commands():
    said = subprocess.run([TOOL, "--help"], text=True, capture_output=True, check=True).stdout
    return re.findall(r"^  (\w+) +\S", said.partition("Commands:")[2].partition("\n\n")[0], re.MULTILINE)


def options(command):
    """Letter or "", name, value or "": as --help has them."""
    said = subprocess.run([TOOL, command, "--help"], text=True, capture_output=True, check=True).stdout
    return re.findall(r"^  (?:-(\w), |    )--([a-z-]+)(?: (\[?[A-Z]\S*))?", said.partition("Options:")[2], re.MULTILINE)


class Shell:
    """An interactive shell at a terminal."""

    def __init__(self, words, folder):
        self.terminal, other = pty.openpty()
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(["setsid", "--ctty", *words], stdin=other, stdout=other, stderr=other, cwd=folder, env=environment)
        os.close(other)

    def type(self, text):
        os.write(self.terminal, text.encode())

    def until(self, pattern):
        """What matches in the output from here on."""
        said, deadline = "", time.monotonic() + 30
        while not (found := re.search(pattern, said)):
            if not select.select([self.terminal], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise AssertionError(f"waited for {pattern!r}, saw {said!r}")
            said += os.read(self.terminal, 4096).decode(errors="replace")
        return found

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


@pytest.fixture(params=START)
def shell(request, tmp_path, need):
    words, first = START[request.param]
    need(shutil.which(request.param), f"no {request.param}")
    (tmp_path / "some file").touch()
    script = tmp_path / "script"
    script.write_bytes(subprocess.run([TOOL, "completion", request.param], capture_output=True, check=True).stdout)
    running = Shell(words, tmp_path)
    try:
        running.type(f"{first}\n. {script}\nvirtsock rea'dy'\n")
        running.until("given<ready>")
        yield running
    finally:
        running.close()


def test_completes(shell):
    for typed, words in TYPED.items():
        shell.type(f"virtsock {typed}\n")
        assert re.findall("<(.*?)>", shell.until(r"((given<[^\r\n>]*>)+)\r\n")[1]) == words


@pytest.mark.parametrize("shell_name", START)
def test_every_option_is_there(shell_name):
    script = subprocess.run([TOOL, "completion", shell_name], text=True, capture_output=True, check=True).stdout
    assert len(commands()) >= 9
    for command in commands():
        assert re.search(rf"\b{command}\b", script)
        for letter, name, _ in options(command):
            if shell_name == "fish":
                row = rf"seen_subcommand_from {command}' -l {name}{f' -s {letter}' if letter else ''} "
            else:
                row = rf"(?s)^    {command}\).*?--{name}\b.*?;;$"
            assert re.search(row, script, re.MULTILINE), (command, name)


def test_no_such_shell():
    done = subprocess.run([TOOL, "completion", "tcsh"], text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (2, "") and "bash, zsh or fish" in done.stderr


# --- The manual page -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page():
    return subprocess.run([TOOL, "manual"], capture_output=True, check=True).stdout


def test_the_page_is_clean(page, need):
    need(shutil.which("mandoc"), "no mandoc")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=page, capture_output=True)
    assert "missing date" in done.stdout.decode() and done.stdout.count(b"\n") == 1, done.stdout.decode()     # it is the build's, not a page's


def test_the_page_tells_all(page, need):
    need(shutil.which("mandoc"), "no mandoc")
    shown = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=200"], input=page, capture_output=True, check=True).stdout.decode()
    plain = re.sub(".\b", "", shown)
    for command in commands():
        section = plain.partition(f"   virtsock {command}\n")[2].partition("\n   virtsock ")[0]
        for letter, name, value in options(command):
            tag = re.escape(f"{f'-{letter}, ' if letter else ''}--{name}{f' {value}' if value else ''}")
            assert re.search(rf"^ {{7}}{tag}(\n| +\S)", section, re.MULTILINE), (command, name)
        examples = subprocess.run([TOOL, command, "--help"], text=True, capture_output=True, check=True).stdout.partition("Examples:\n")[2]
        assert all(line.split("  ")[0].strip() in section for line in examples.strip().splitlines())
    known = json.loads(subprocess.run([TOOL, "info", "--json"], text=True, capture_output=True, check=True).stdout)["transports"]
    told = re.findall(r"^ +([a-z-]+)://", plain.partition("\nADDRESSES\n")[2].partition("\nCOMMANDS\n")[0], re.MULTILINE)
    assert sorted(told) == sorted(transport["scheme"] for transport in known)
