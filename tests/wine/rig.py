# SPDX-License-Identifier: MIT
"""Windows programs under Wine: a prefix of our own, and what each program must print. A program that ends with 0 and without END has proven
nothing: Wine ends programs that it cannot run in that way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

from builds import BUILD

PREFIX = BUILD / "wine"                                         # of ours alone: HOME, and Wine's folder
WINE_NAMES = ("/usr/lib/wine/wine64", "wine64", "wine")
SERVER_NAMES = ("/usr/lib/wine/wineserver64", "wineserver64", "wineserver")
LIMIT_S = 60


def found(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


def windows(path: Path) -> str:
    """As Windows programs write it; Z: is the root."""
    return "Z:" + str(path).replace("/", "\\")


def begun(words: list[str], **how: Any) -> subprocess.CompletedProcess:
    """A program that came to its end, as `subprocess.run`. Once in some thousand times, on a busy machine, Wine 8 ends with 1 and without a word
    before it has begun the program, all of which say what they do: it is begun again, once."""
    done = subprocess.run(words, capture_output=True, check=False, **how)
    if done.returncode == 1 and not done.stdout and not done.stderr:
        warnings.warn("Wine began no program, and was asked again", stacklevel=2)
        done = subprocess.run(words, capture_output=True, check=False, **how)
    return done


class Wine:
    """A Wine that is ours: made once, kept, and stopped at the end."""

    def __init__(self) -> None:
        self.wine, self.server, self.stays = found(WINE_NAMES), found(SERVER_NAMES), None
        self.environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        self.environment |= {"HOME": str(PREFIX / "home"), "WINEPREFIX": str(PREFIX / "prefix"), "WINEDEBUG": "-all",
                             "WINEDLLOVERRIDES": "mscoree,mshtml=;winemenubuilder.exe=d"}

    def start(self) -> None:
        """Quietly: what is started here stays, and must hold no pipe that somebody reads to its end."""
        self.stop()
        version = subprocess.run([self.wine, "--version"], env=self.environment, capture_output=True, text=True, timeout=60, check=True).stdout
        made = PREFIX / "made"
        if not made.exists() or made.read_text() != version:
            shutil.rmtree(PREFIX, ignore_errors=True)
            (PREFIX / "home").mkdir(parents=True)
            self.quiet(self.wine, "wineboot", "-i")
            made.write_text(version)
        self.quiet(self.server, "-p")
        # A program that stays: without one Wine starts its services anew each time, which takes more than a second.
        self.stays = subprocess.Popen([self.wine, "cmd.exe", "/q", "/k", "echo ready"], env=self.environment, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.stays.stdout.readline().strip() == b"ready", "Wine does not run"

    def stop(self) -> None:
        self.quiet(self.server, "-k")
        self.quiet(self.server, "-w")
        if self.stays is not None:
            self.stays.wait(60)
            self.stays = None

    def quiet(self, *words: str) -> None:
        subprocess.run(words, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=120, check=False)

    def raw(self, *words: str | Path, limit: float = LIMIT_S, **environment: str) -> subprocess.CompletedProcess:
        return begun([self.wine, *map(str, words)], env=self.environment | environment, stdin=subprocess.DEVNULL, text=True,
                     errors="replace", timeout=limit)

    def run(self, *words: str | Path, board: Path | None = None, limit: float = LIMIT_S, **environment: str) -> list[str]:
        """The lines of a program that came to its end, with 0. board: the shim's switchboard."""
        more = {"WINEPATH": windows(BUILD / "mingw64")} | ({"HVSHIM_DIR": windows(board)} if board else {}) | environment
        done = self.raw(*words, limit=limit, **more)
        lines = done.stdout.splitlines()
        assert lines[-1:] == ["END"] and done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return lines


def c_tests(source: Path) -> list[str]:
    """Of a C test program, each once: what one system has and another has not stands there twice."""
    return list(dict.fromkeys(re.findall(r"^(?:TEST|NO_TEST)\((\w+)", source.read_text(), re.MULTILINE)))


def rename_winsock(library: bytes) -> bytes:
    """A library that imports VS2_32.dll, which is the shim with all other functions handed on, in place of WS2_32.dll: one byte differs."""
    renamed = re.sub(rb"(?i)ws2_32\.dll\0", lambda name: b"V" + name[0][1:], library)
    assert len(renamed) == len(library) and sum(a != b for a, b in zip(library, renamed, strict=True)) == 1
    return renamed
