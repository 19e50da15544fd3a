# SPDX-License-Identifier: MIT
"""Where what is tested was built, and over what each build is tested. C_RUNS: build, environment, transports."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
PLAIN = BUILD / os.environ.get("VIRTSOCK_BUILD", "dev")         # the build that is used, where it matters not which
TOOL = PLAIN / "tools" / "virtsock"

# Of what is done again and again; ./check asks for fewer.
ROUNDS = int(os.environ.get("VIRTSOCK_TEST_ROUNDS", "1000"))

# Sanitizers are slow. 210 takes its 1,000 rounds natively and under ThreadSanitizer, which looks for what they may show.
C_RUNS = {
    "dev": ({}, ("unix", "unix-seqpacket")),
    "clang": ({}, ("unix",)),
    "asan": ({"VIRTSOCK_TEST_SLOW": "3", "VIRTSOCK_TEST_ROUNDS": str(min(ROUNDS, 200))}, ("unix", "unix-seqpacket")),
    "tsan": ({"VIRTSOCK_TEST_SLOW": "3"}, ("unix",)),
}
LUAS = {"5.1": "lua5.1", "5.2": "lua5.2", "5.3": "lua5.3", "5.4": "lua5.4", "jit": "luajit"}


def lua_environment(version: str) -> dict[str, str]:
    folder = PLAIN / "lua" / version
    return {"LUA_PATH": f"{folder}/?.lua;{ROOT}/tests/lua/?.lua;;", "LUA_CPATH": f"{folder}/?.so;;",
            "VIRTSOCK_LIBRARY": str(PLAIN / "libvirtsock.so")}
