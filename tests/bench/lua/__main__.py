# SPDX-License-Identifier: MIT
"""What the Lua module costs beside C by hand and LuaSocket: `python tests/bench/lua [--lua VERSION]... [--rounds N] [ROW]...` (README.md)."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))
from builds import LUAS, PLAIN, ROOT, lua_environment  # noqa: E402

ROWS = ("method", "exchange", "receive", "lines", "pingpong")
INCLUDES = {"5.1": "lua5.1", "5.2": "lua5.2", "5.3": "lua5.3", "5.4": "lua5.4", "jit": "luajit"}


def compile_hand(version: str, folder: str) -> None:
    flags = subprocess.run(["pkg-config", "--cflags", INCLUDES[version]], check=True, capture_output=True, text=True).stdout.split()
    subprocess.run(["cc", "-O2", "-std=c11", "-D_GNU_SOURCE", "-shared", "-fPIC", *flags, f"-I{ROOT}/core/include", HERE / "hand.c",
                    f"-L{PLAIN}", f"-Wl,-rpath,{PLAIN}", "-lvirtsock", "-o", f"{folder}/hand.so"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python tests/bench/lua", description=__doc__)
    parser.add_argument("--lua", action="append", choices=LUAS, metavar="VERSION", help=f"of {', '.join(LUAS)}; all unless told")
    parser.add_argument("--rounds", type=int, default=21, help="that take turns; 21 unless told")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all unless told")
    chosen = parser.parse_args()
    if unknown := set(chosen.rows) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})         # of ping-pong both ends, and nothing moves in between
    for version in chosen.lua or LUAS:
        with tempfile.TemporaryDirectory() as folder:
            compile_hand(version, folder)
            paths = lua_environment(version)
            paths["LUA_CPATH"] = f"{folder}/?.so;{paths['LUA_CPATH']}"
            print(LUAS[version], flush=True)
            subprocess.run([shutil.which(LUAS[version]), HERE / "bench.lua", folder, str(chosen.rounds), *chosen.rows],
                           env={**os.environ, **paths}, check=True, timeout=600)


main()
