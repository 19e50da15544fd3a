# SPDX-License-Identifier: MIT
"""The Python module for Windows, compiled and linked: its calls have the types that Python's headers have for Windows, and python3.dll has
all that it imports. No Python for Windows runs here, so nothing more is known."""

import re
import shutil

import pytest
from builds import BUILD, ROOT
from vm.cache import Missing, cached
from vm.packages import unpack_source

from .renamed import printed

TRIPLE = "x86_64-w64-mingw32"
SOURCE = "python3.11"                   # the oldest that the stable ABI of the wheel is for
FLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers",
         "-Wno-cast-function-type", "-DPy_LIMITED_API=0x030b0000", "-DVIRTSOCK_STATIC"]


def keep_headers(folder):
    """Of CPython's sources: Include, and the folder of what is Windows's."""
    whole = folder / "whole"
    whole.mkdir()
    unpack_source(SOURCE, whole)
    for name in "Include", "PC":
        (whole / name).rename(folder / name)
    shutil.rmtree(whole)


@pytest.fixture(scope="module")
def headers(request):
    say = pytest.fail if request.config.getoption("--demand-all") else pytest.skip
    if not (BUILD / "mingw64" / "libvirtsock.a").exists():
        say("mingw64 is not built")
    try:
        return cached(f"{SOURCE}-headers", keep_headers)
    except Missing as reason:
        say(str(reason))


@pytest.fixture(scope="module")
def wrapper(headers, tmp_path_factory):
    """SWIG's wrapper, with python_fast.c in it, as an object."""
    folder = tmp_path_factory.mktemp("pyd")
    printed(BUILD / "venv/bin/swig", "-python", "-noproxy", "-Wall", "-Werror", f"-I{ROOT}/swig", f"-I{ROOT}/core/include", "-outdir", folder,
        "-o", folder / "native_wrap.c", ROOT / "swig/virtsock.i")
    printed(f"{TRIPLE}-gcc", *FLAGS, f"-I{headers}/Include", f"-I{headers}/PC", f"-I{ROOT}/core/include", f"-I{ROOT}/swig", "-c",
        folder / "native_wrap.c", "-o", folder / "native_wrap.o")
    return folder / "native_wrap.o"


@pytest.fixture(scope="module")
def wanted(wrapper):
    """Names that Python must have."""
    names = re.findall(r"^ *U (?:__imp_)?(_?Py\w+)$", printed(f"{TRIPLE}-nm", wrapper), re.MULTILINE)
    assert len(names) > 40
    return set(names)


@pytest.fixture(scope="module")
def stable(headers):
    """What python3.dll has, and which of it is data: its own list."""
    rows = re.findall(r"^EXPORT_(FUNC|DATA)\((\w+)\)", (headers / "PC/python3dll.c").read_text(), re.MULTILINE)
    return {name: kind for kind, name in rows}


def test_the_stable_abi_has_all(wanted, stable):
    assert not wanted - set(stable)


def test_it_links(wrapper, wanted, stable):
    folder = wrapper.parent
    rows = [f"{name} DATA" if stable.get(name) == "DATA" else name for name in sorted(wanted)]
    (folder / "python3.def").write_text("LIBRARY python3.dll\nEXPORTS\n" + "".join(f"{row}\n" for row in rows))
    printed(f"{TRIPLE}-dlltool", "-d", folder / "python3.def", "-l", folder / "libpython3.a")
    printed(f"{TRIPLE}-gcc", "-shared", "-static-libgcc", wrapper, BUILD / "mingw64" / "libvirtsock.a", folder / "libpython3.a", "-lws2_32",
        "-o", folder / "native.pyd")
    told = printed(f"{TRIPLE}-objdump", "-p", folder / "native.pyd")
    libraries = {name.lower() for name in re.findall(r"DLL Name: (\S+)", told)}
    assert "python3.dll" in libraries and libraries <= {"python3.dll", "kernel32.dll", "msvcrt.dll", "ws2_32.dll", "advapi32.dll"}
    exports = told.partition("Ordinal/Name Pointer")[2]
    assert re.findall(r"\[ +\d+\] (?:\+base\[ +\d+\] +\w+ )?(\w+)$", exports, re.MULTILINE) == ["PyInit_native"]
