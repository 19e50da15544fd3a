# SPDX-License-Identifier: MIT
"""The shim for programs that are not ours: a copy of what is tested asks VS2_32.dll for Winsock, one byte differs, and that is the shim for
some functions and hands all others on to the system's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from builds import ROOT

from .rig import rename_winsock

COMPILER = "x86_64-w64-mingw32-gcc"
SHIM = ROOT / "tests" / "wine"


def printed(*words: str | Path, **more) -> str:
    """Output of a program of this machine, which must succeed."""
    done = subprocess.run([str(word) for word in words], text=True, capture_output=True, timeout=300, check=False, **more)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}"
    return done.stdout


def winsock_names() -> list[str]:
    """All that can be imported from Winsock by name."""
    library = printed(COMPILER, "-print-file-name=libws2_32.a").strip()
    return sorted(set(re.findall(r"^\w+ T (\w+)$", printed("x86_64-w64-mingw32-nm", "-g", library), re.MULTILINE)))


def make_shim(folder: Path) -> Path:
    """vs2_32.dll."""
    ours = set(re.findall(r"(?<!define )ROW\((\w+)\)", (SHIM / "hvshim.c").read_text()))
    names = winsock_names()
    assert len(ours) > 10 and ours < set(names)
    exports = folder / "vs2_32.def"
    exports.write_text("EXPORTS\n" + "".join(f"{name} = {'hv_' if name in ours else 'WS2_32.'}{name}\n" for name in names))
    dll = folder / "vs2_32.dll"
    flags = ["-shared", "-O2", "-static-libgcc", "-D_WIN32_WINNT=0x0A00", "-D__USE_MINGW_ANSI_STDIO=1"]
    printed(COMPILER, *flags, *sorted(SHIM.glob("hvshim*.c")), SHIM / "switchboard.c", exports, "-lws2_32", "-o", dll)
    return dll


def place(file: Path, folder: Path) -> Path:
    """The copy, in a folder where the shim is as well."""
    if not (folder / "vs2_32.dll").exists():
        make_shim(folder)
    copy = folder / file.name
    copy.write_bytes(rename_winsock(file.read_bytes()))
    copy.chmod(0o755)
    return copy
