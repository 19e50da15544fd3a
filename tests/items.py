# SPDX-License-Identifier: MIT
"""C and Lua tests as items of pytest: every TEST of tests/c in every build and over every transport, every test of tests/lua in every Lua.

A program lists its tests with --list and runs those that are named (programs.py). The chosen ones of a program run in one process, and each
item has its own line of that; one that a failure before it left out is run in the next.
"""

from __future__ import annotations

import shutil

import pytest

from builds import BUILD, C_RUNS, LUAS, lua_environment
from covering import FAST_BUILDS
from programs import ProgramFailure, Together, names_of, run_whole

LUA_RUNS = ("unix", "unix-seqpacket")
PRESSED = {"VIRTSOCK_TEST_GC": "1", "VIRTSOCK_TEST_SLOW": "3"}         # a collector that never rests


class ProgramItem(pytest.Item):
    """One test of one program; or all of them as one, where `together` is None. choices: what covering.py chooses from."""

    def __init__(self, *, command: list[str], together: Together | None, environment: dict[str, str], choices: dict[str, str], **rest) -> None:
        super().__init__(**rest)
        self.command, self.together, self.environment, self.choices = command, together, environment, choices
        self.originalname = self.name.partition("[")[0]

    def runtest(self) -> None:
        if self.together is None:
            run_whole(self.command, self.environment)
        else:
            self.together.judge(self.originalname)

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, ProgramFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, None, self.name


class ProgramFile(pytest.File):
    """A source file, and the programs that run it: (label, command or None where it is missing, environment, choices), test by test; a label
    that begins with "whole" is one item."""

    def runs(self):
        raise NotImplementedError

    def collect(self):
        fast = self.config.getoption("--covering") == "fast"
        names: list[str] = []
        for label, command, environment, choices in self.runs():
            if fast and choices.get("build", "dev") not in FAST_BUILDS:
                continue
            if command is None:
                if self.config.getoption("--demand-all"):
                    raise self.CollectError(f"{self.path.name} [{label}]: not built, or not installed")
                continue
            shared = {"command": command, "environment": environment, "choices": choices}
            if label.startswith("whole"):
                yield ProgramItem.from_parent(self, name=f"[{label}]", together=None, **shared)
                continue
            together = Together(command, environment)
            names = names or names_of(command, environment)             # the same in every build, and in every Lua
            for test in names:
                yield ProgramItem.from_parent(self, name=f"{test}[{label}]", together=together, **shared)


class CFile(ProgramFile):
    def runs(self):
        for build, (environment, transports) in C_RUNS.items():
            program = BUILD / build / "tests" / "c" / self.path.stem
            for transport in transports:
                command = [str(program)] if program.exists() else None
                yield f"{build}-{transport}", command, {**environment, "VIRTSOCK_TEST_TRANSPORT": transport}, {"build": build, "transport": transport}


class LuaFile(ProgramFile):
    """In every Lua; again as a whole with a collector that never rests; and over libvirtsock.so by LuaJIT's FFI."""

    def runs(self):
        for version, interpreter in LUAS.items():
            found = shutil.which(interpreter)
            built = (BUILD / "dev" / "lua" / version / "virtsock" / "core.so").exists()
            command = [found, str(self.path)] if found and built else None
            for transport in LUA_RUNS:
                environment = {**lua_environment(version), "VIRTSOCK_TEST_TRANSPORT": transport}
                yield f"{interpreter}-{transport}", command, environment, {"lua": version, "transport": transport}
                if version == "jit":
                    yield f"whole-ffi-{transport}", command, {**environment, "VIRTSOCK_TEST_FFI": "1"}, {"lua": "ffi", "transport": transport}
            yield f"whole-{interpreter}-collector", command, {**lua_environment(version), **PRESSED}, {"lua": version, "collector": "pressed"}
        yield "whole-ffi-collector", command, {**environment, **PRESSED, "VIRTSOCK_TEST_TRANSPORT": "unix", "VIRTSOCK_TEST_FFI": "1"}, {
            "lua": "ffi", "collector": "pressed"}
