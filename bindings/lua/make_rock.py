# SPDX-License-Identifier: MIT
"""Lays out the rock: a folder with all that LuaRocks builds the Lua module of. What SWIG generates is in it, so that a user needs neither
SWIG nor CMake. OUTDIR gets virtsock-VERSION/, the same as virtsock-VERSION.tar.gz, and the rockspec beside them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LUA = ROOT / "bindings" / "lua"
HEADER = ROOT / "core" / "include" / "virtsock.h"


def header_version() -> str:
    found = re.search(r'define VIRTSOCK_VERSION "(.+)"', HEADER.read_text())
    assert found is not None
    return found[1]


def core_sources(system: str) -> list[str]:
    ours = {"all", system} | ({"posix"} if system != "windows" else set())
    rows = (line.split() for line in (ROOT / "core" / "sources.txt").read_text().splitlines() if line and line[0] != "#")
    return [f"core/{file}" for systems, file in rows if ours & set(systems.split(","))]


def rockspec(version: str, archive: str) -> str:
    def listed(mark: re.Match[str]) -> str:
        quoted = ", ".join(f'"{file}"' for file in ["virtsock_core.c", *core_sources(mark[1])])
        return "\n" + textwrap.fill(quoted, 140, initial_indent=" " * 6, subsequent_indent=" " * 6) + "\n    "

    text = (LUA / "virtsock-scm-1.rockspec").read_text()
    text = text.replace("virtsock-scm.tar.gz", archive).replace("scm-1", f"{version}-1")
    return re.sub(' "@([a-z]+)@" ', listed, text)


def swig_command(swig: str) -> list[str]:
    """With the flags of CMakeLists.txt; ends the program where SWIG is none of those that will do."""
    try:
        said = subprocess.check_output([swig, "-version"], text=True, stderr=subprocess.STDOUT)
    except (OSError, subprocess.CalledProcessError) as failure:
        sys.exit(f"make_rock: SWIG does not run: {failure}")
    found = re.search(r"Version (\d+)\.(\d+)\.(\d+)", said)
    version = tuple(map(int, found.groups())) if found else ()
    if not (4, 4, 1) <= version < (4, 6):
        sys.exit(f"make_rock: {swig} is not SWIG from 4.4.1 to before 4.6 (pip install 'swig>=4.4.1,<4.6')")
    return [swig, "-lua", "-Wall", "-Werror", "-nomoduleglobal", *([] if version >= (4, 5) else ["-no-old-metatable-bindings"])]


def lay_out(rock: Path, swig: list[str]) -> None:
    files = {file: file.relative_to(ROOT) for file in [ROOT / "LICENSE", *(ROOT / "core").rglob("*.[ch]")]}
    files |= {file: file.relative_to(LUA) for file in [LUA / "README.md", *LUA.rglob("*.lua")]}
    for file, place in files.items():
        (rock / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, rock / place)
    (rock / "virtsock" / "header.lua").write_text(f"return [==[\n{HEADER.read_text()}]==]\n")
    command = [*swig, f"-I{ROOT / 'swig'}", f"-I{HEADER.parent}", "-o", str(rock / "virtsock_core.c"), str(ROOT / "swig" / "virtsock.i")]
    if subprocess.call(command) != 0:
        sys.exit("make_rock: SWIG failed")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make_rock.py", description=__doc__)
    parser.add_argument("outdir", metavar="OUTDIR", type=Path, help="made if it is not there")
    parser.add_argument("--swig", metavar="PATH", default="swig", help="SWIG from 4.4.1 to before 4.6; without this, the one of PATH")
    parser.add_argument("--url", metavar="URL", default="", help="the folder where the archive will be; without this, the rockspec's")
    given = parser.parse_args()
    swig = swig_command(given.swig)
    version = header_version()
    rock = given.outdir / f"virtsock-{version}"
    if rock.exists():
        sys.exit(f"make_rock: {rock} is there already")
    lay_out(rock, swig)
    spec = given.outdir / f"virtsock-{version}-1.rockspec"
    spec.write_text(rockspec(version, "/".join(filter(None, [given.url.rstrip("/"), f"{rock.name}.tar.gz"]))))
    shutil.copy(spec, rock)
    print(shutil.make_archive(str(rock), "gztar", given.outdir, rock.name))


if __name__ == "__main__":
    main()
