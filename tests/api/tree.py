# SPDX-License-Identifier: MIT
"""What the checks share: where things are, what the public header says, and how a program is run."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core"
DEV = ROOT / "build" / "dev"
HEADER = CORE / "include" / "virtsock.h"
SYMBOLS = CORE / "symbols.txt"
PYTHON = ROOT / "bindings" / "python" / "virtsock"
LUA = ROOT / "bindings" / "lua"
VERSION = re.search(r'define VIRTSOCK_VERSION "(.+)"', HEADER.read_text())[1]


def run(*command, **more):
    """What it prints; a failure tells everything."""
    more = {"stdin": subprocess.DEVNULL, "timeout": 300, **more}
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, **more)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def script(path, text):
    """A program of the shell."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def programs_but(folder, *names):
    """A folder for PATH with every program but those whose names begin so."""
    folder.mkdir()
    for place in os.get_exec_path():
        for program in Path(place).glob("*"):
            link = folder / program.name
            if not program.name.startswith(names) and not link.is_symlink():
                link.symlink_to(program.resolve())
    return folder


def core_files(*patterns):
    """Files of the core by name, relative to it."""
    return sorted(file.relative_to(CORE) for pattern in patterns or ("*.c", "*.h") for file in CORE.rglob(pattern))


def listed_sources():
    """(systems, file) of each row of core/sources.txt."""
    rows = [line.split() for line in (CORE / "sources.txt").read_text().splitlines() if line and line[0] != "#"]
    return [(systems.split(","), file) for systems, file in rows]


def sources(*systems):
    """Files of the core that a library for such systems is made of."""
    return [CORE / file for words, file in listed_sources() if set(words) & set(systems)]


LINUX = sources("all", "posix", "linux")
WINDOWS = sources("all", "windows")
MACOS = sources("all", "posix", "macos")
FREEBSD = sources("all", "posix", "freebsd")


def project_files():
    """What git has, or would have at the next commit."""
    listed = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return sorted(ROOT / name for name in set(listed) - {""} if (ROOT / name).is_file())


def functions():
    """Names that the public header declares."""
    return re.findall(r"^VIRTSOCK_API [^;(]*?(\w+)\(", HEADER.read_text(), re.MULTILINE)


def constants():
    """Names and values of the public header's enumerators and macros."""
    pattern = r'(?:^#define|\{|,|^)\s*\b(VIRTSOCK_\w+)\s*=?\s*("[^"]*"|-?\b(?:0x)?[0-9a-f]+(?=u?\b))'
    found = re.findall(pattern, HEADER.read_text(), re.MULTILINE)
    return {name: value.strip('"') if value[0] == '"' else int(value, 0) for name, value in found}


def exported(library):
    """(name, version node) of every symbol that a library gives."""
    rows = [line.split() for line in run("nm", "-D", "--defined-only", "--with-symbol-versions", library).splitlines()]
    return sorted(tuple(re.split("@+", f"{name}@@")[:2]) for _, kind, name in rows if kind != "A")
