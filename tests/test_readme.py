# SPDX-License-Identifier: MIT
"""The README's examples as they stand: what is printed there is the file, and the file runs against the command."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builds import LUAS, PLAIN, ROOT, TOOL, lua_environment

README = (ROOT / "README.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- (examples/\S+) -->\n```\w+\n(.*?)```", README, re.DOTALL))


@pytest.fixture
def echo(tmp_path):
    """A peer that sends back what comes, for many clients: its address."""
    address = f"unix://{tmp_path}/echo.sock"
    with subprocess.Popen([TOOL, "cat", "-v", "-l", "--echo", address], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        while "listening on" not in server.stderr.readline():
            assert server.poll() is None
        yield address
        server.terminate()


def test_readme_has_the_three_languages():
    assert sorted(Path(name).suffix for name in EXAMPLES) == [".c", ".lua", ".py"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_readme_prints_the_file(name):
    text = "\n".join(line for line in (ROOT / name).read_text().splitlines() if "SPDX" not in line)
    assert EXAMPLES[name].strip() == text.strip()


def reply(command, **environment):
    done = subprocess.run([str(c) for c in command], env={**os.environ, **environment}, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_c(compiler, tmp_path, echo):
    program = tmp_path / "ten_lines"
    (tmp_path / "ten_lines.c").write_text(EXAMPLES["examples/ten_lines.c"])
    subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", tmp_path / "ten_lines.c", f"-I{ROOT}/core/include", f"-L{PLAIN}", "-lvirtsock", "-o",
                    program], check=True)
    assert reply([program, echo], LD_LIBRARY_PATH=str(PLAIN)) == "hello"
    gone = subprocess.run([program, "unix:///nobody/is/here"], env={**os.environ, "LD_LIBRARY_PATH": str(PLAIN)}, text=True, capture_output=True)
    assert gone.returncode == 1 and "no such socket" in gone.stderr


def test_python(tmp_path, echo):
    (tmp_path / "ten_lines.py").write_text(EXAMPLES["examples/ten_lines.py"])
    assert reply([sys.executable, tmp_path / "ten_lines.py", echo]) == "hello"


@pytest.mark.parametrize("version", LUAS)
def test_lua(version, tmp_path, echo):
    if shutil.which(LUAS[version]) is None:
        pytest.skip(f"{LUAS[version]} is not installed")
    (tmp_path / "ten_lines.lua").write_text(EXAMPLES["examples/ten_lines.lua"])
    assert reply([LUAS[version], tmp_path / "ten_lines.lua", echo], **lua_environment(version)) == "hello"


def test_command_line(echo):
    line = re.search(r"^    (printf hello \| virtsock cat .*) vsock://", README, re.MULTILINE)
    assert line is not None
    assert reply(["sh", "-c", f"{line[1]} {echo}"], PATH=f"{TOOL.parent}:{os.environ['PATH']}") == "hello"


@pytest.mark.parametrize("end", ["py", "lua"])
def test_echo_examples(end, tmp_path):
    """examples/echo_server and echo_client, with each other and with the command's."""
    address = f"unix://{tmp_path}/example.sock"
    run = {"py": [sys.executable], "lua": [LUAS["5.4"]]}[end]
    environment = {**os.environ, **lua_environment("5.4")}
    with subprocess.Popen([*run, ROOT / "examples" / f"echo_server.{end}", address], stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None and "listening on" in server.stdout.readline()
        assert reply([*run, ROOT / "examples" / f"echo_client.{end}", address], **lua_environment("5.4")).startswith("ok ")
        assert "bye" in reply([TOOL, "echo", address])
        server.kill()
