# SPDX-License-Identifier: MIT
"""Test programs: run with the name of a test they say `ok`, `skip NAME: why` or `FAIL NAME: ...`, and END when they came to the end."""

from __future__ import annotations

import os
import subprocess

import pytest


class ProgramFailure(Exception):
    """All that the program said, in place of a Python traceback."""


def run_test(command: list[str], test: str, environment: dict[str, str]) -> None:
    """Alone, in a process of its own."""
    try:
        done = subprocess.run([*command, test], env={**os.environ, **environment}, text=True, errors="replace",
                              capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as failure:
        raise ProgramFailure(f"{' '.join(command)} {test}\n{failure}") from None
    lines = done.stdout.splitlines()
    skipped = [line for line in lines if line.startswith(f"skip {test}: ")]
    if done.returncode == 0 and lines[-1:] == ["END"] and skipped:
        pytest.skip(skipped[0].partition(": ")[2])
    if done.returncode != 0 or lines[-1:] != ["END"] or f"ok {test}" not in lines:
        raise ProgramFailure(f"{' '.join(command)} {test}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")


def run_whole(command: list[str], environment: dict[str, str]) -> str:
    """All its tests in one process. What it printed."""
    done = subprocess.run(command, env={**os.environ, **environment}, text=True, errors="replace", capture_output=True, timeout=300,
                          stdin=subprocess.DEVNULL)
    lines = done.stdout.splitlines()
    if done.returncode != 0 or lines[-1:] != ["END"] or not any(line.startswith(("ok ", "skip ")) for line in lines):
        raise ProgramFailure(f"{' '.join(command)}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def names_of(command: list[str], environment: dict[str, str]) -> list[str]:
    done = subprocess.run([*command, "--list"], env={**os.environ, **environment}, text=True, capture_output=True, timeout=60, check=True)
    return done.stdout.replace("\nEND\n", "\n").split()
