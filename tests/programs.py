# SPDX-License-Identifier: MIT
"""Test programs: run with names of tests they say `ok`, `skip NAME: why` or `FAIL NAME: ...` of each, and END when they came to the end."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

LIMIT_S = 120                   # of a program, and so much more for each of its tests
PATIENCE_S = 10


class ProgramFailure(Exception):
    """All that the program said, in place of a Python traceback."""


def run(command: list[str], environment: dict[str, str], limit: float) -> tuple[int | None, str, str]:
    """Its exit code, None after the limit, and what it printed."""
    try:
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, timeout=limit, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as ended:
        return None, (ended.stdout or b"").decode(errors="replace"), f"no end within {limit} s"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


class Together:
    """Tests of one program, in as few processes as can be: one for all, and another for the rest after each that failed."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.command, self.environment = command, environment
        self.names: list[str] = []                              # in the program's order, those that are to be run
        self.results: dict[str, str] = {}                       # a line of each; of a failure all that was said

    def judge(self, name: str) -> None:
        while name not in self.results:
            self._run([other for other in self.names if other not in self.results])
        line = self.results[name]
        if line.startswith(f"skip {name}: "):
            pytest.skip(line.partition(": ")[2])
        if line != f"ok {name}":
            raise ProgramFailure(line)

    def _run(self, names: list[str]) -> None:
        """At least one of the names has a result after it. Where none says that it failed, it is the one that was under way, or the last."""
        code, out, err = run([*self.command, *names], self.environment, LIMIT_S + PATIENCE_S * len(names))
        lines, whole = out.splitlines(), f"{' '.join([*self.command, *names])}\nexit code {code}\n{out}{err}"
        said = {match[2]: line for line in lines if (match := re.match(r"(ok|skip|FAIL) (\w+)(?=$|:)", line)) and match[2] in names}
        failed = [test for test in said if said[test].startswith("FAIL")]
        if not failed and (code != 0 or lines[-1:] != ["END"] or len(said) < len(names)):
            failed = [next((test for test in names if test not in said), names[-1])]
        self.results |= said | dict.fromkeys(failed, whole)


def run_test(command: list[str], test: str, environment: dict[str, str]) -> None:
    """Alone, in a process of its own."""
    alone = Together(command, environment)
    alone.names = [test]
    alone.judge(test)


def run_whole(command: list[str], environment: dict[str, str]) -> str:
    """All its tests in one process. What it printed."""
    code, out, err = run(command, environment, 300)
    lines = out.splitlines()
    if code != 0 or lines[-1:] != ["END"] or not any(line.startswith(("ok ", "skip ")) for line in lines):
        raise ProgramFailure(f"{' '.join(command)}\nexit code {code}\n{out}{err}")
    return out


def names_of(command: list[str], environment: dict[str, str]) -> list[str]:
    done = subprocess.run([*command, "--list"], env={**os.environ, **environment}, text=True, capture_output=True, timeout=60, check=True)
    return done.stdout.replace("\nEND\n", "\n").split()
