# SPDX-License-Identifier: MIT
"""Builds two modules of the stable ABI, each with the core in it: virtsock.native, the wrapper that SWIG makes, and virtsock._command, the
command of tools/, which programs that import virtsock never load.

In a checkout SWIG runs, into build/. An sdist carries the wrapper and builds without SWIG.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

IN_SDIST = Path("PKG-INFO").is_file()
WRAPPER = Path("swig/generated/native_wrap.c" if IN_SDIST else "build/swig/native_wrap.c")
SWIG = "swig>=4.4.1,<4.6"
FAST = [] if "CFLAGS" in os.environ else ["-O3"]  # who says how to compile has the last word
LIMITED = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")


def version() -> str:
    found = re.search(r'define VIRTSOCK_VERSION "(.+)"', Path("core/include/virtsock.h").read_text())
    assert found is not None
    return found[1]


def core_sources() -> list[str]:
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform.rstrip("0123456789."))
    ours = {"all", system} | ({"posix"} if os.name == "posix" else set())
    rows = (line.split() for line in Path("core/sources.txt").read_text().splitlines() if line and line[0] != "#")
    return [f"core/{file}" for where, file in rows if ours & set(where.split(","))]


def command_sources() -> list[str]:
    strangers = {"posix", "epoll", "poll"} if os.name == "nt" else {"windows", "poll" if sys.platform == "linux" else "epoll"}
    tools = [str(file) for file in sorted(Path("tools").rglob("*.c")) if file.stem.split("_")[-1] not in strangers]
    return ["bindings/python/command.c", *tools]


def extension(name: str, sources: list[str], depends: Iterable[Path], macros: Sequence[tuple[str, str | None]] = ()) -> Extension:
    return Extension(
        name,
        sources=[*sources, *core_sources()],
        depends=["core/sources.txt", *map(str, [*Path("core").rglob("*.h"), *depends])],
        include_dirs=["core/include", "core", "tools"],
        define_macros=[("VIRTSOCK_STATIC", None), *([("Py_LIMITED_API", "0x030b0000")] if LIMITED else []), *macros],
        extra_compile_args=[] if os.name == "nt" else [*FAST, "-fno-plt", "-fvisibility=hidden"],
        libraries=["ws2_32", "advapi32"] if os.name == "nt" else ["pthread"],
        py_limited_api=LIMITED,
    )


def find_swig() -> str:
    places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    swig = os.environ.get("VIRTSOCK_SWIG") or shutil.which("swig", path=places)
    if swig is None:
        sys.exit(f"SWIG 4.4.1 or later is needed to build from a checkout: pip install '{SWIG}'")
    found = re.search(r"Version (\d+)\.(\d+)\.(\d+)", subprocess.check_output([swig, "-version"], text=True))
    if found is None or tuple(map(int, found.groups())) < (4, 4, 1):
        sys.exit(f"{swig} is older than 4.4.1, the first whose code is right for the stable ABI of all Pythons")
    return swig


def run_swig(wrapper: Path) -> None:
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    command = [find_swig(), "-python", "-noproxy", "-Wall", "-Werror", "-Iswig", "-Icore/include"]
    subprocess.check_call([*command, "-outdir", str(wrapper.parent), "-o", str(wrapper), "swig/virtsock.i"])


class BuildExt(build_ext):
    def run(self) -> None:
        if not IN_SDIST:
            run_swig(WRAPPER)
        super().run()

    def build_extensions(self) -> None:
        if os.name != "nt" and "Free Software" in subprocess.check_output([*self.compiler.compiler_so, "--version"], text=True):
            for one in self.extensions:
                one.extra_compile_args += FAST and ["-flto"]  # GCC has with it all that this takes
        super().build_extensions()


class Sdist(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        if not IN_SDIST:
            run_swig(Path(base_dir, "swig/generated/native_wrap.c"))


setup(
    version=version(),
    setup_requires=[] if IN_SDIST or "VIRTSOCK_SWIG" in os.environ else [SWIG],
    cmdclass={"build_ext": BuildExt, "sdist": Sdist},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED else {},
    ext_modules=[
        extension("virtsock.native", [str(WRAPPER)], Path("swig").glob("python*")),
        extension("virtsock._command", command_sources(), Path("tools").rglob("*.h"), [("main", "virtsock_main")]),
    ],
)
