# SPDX-License-Identifier: MIT
"""The Python modules for Windows, compiled and linked: their calls have the types that Python's headers have for Windows, and python3.dll
has all that they import. No Python for Windows runs here, so nothing more is known."""

import re
import shutil

import pytest
from builds import BUILD, ROOT
from vm.cache import Missing, cached
from vm.packages import unpack_source

from .renamed import printed

pytestmark = pytest.mark.proves("windows-python")

TRIPLE = "x86_64-w64-mingw32"
SOURCE = "python3.11"                   # the oldest that the stable ABI of the wheel is for
FLAGS = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers",
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
def compiled(headers, tmp_path_factory):
    """compiled(source, ...): their objects."""
    folder = tmp_path_factory.mktemp("pyd")
    places = [f"-I{place}" for place in (headers / "Include", headers / "PC", ROOT / "core/include", ROOT / "core", ROOT / "swig")]

    def compile_all(*files, flags=()):
        objects = []
        for source in sorted({file.parent for file in files}):         # names repeat themselves from folder to folder
            here = [file for file in files if file.parent == source]
            made = folder / source.name
            made.mkdir()
            printed(f"{TRIPLE}-gcc", *FLAGS, *flags, *places, "-c", *here, cwd=made)
            objects += [made / f"{file.stem}.o" for file in here]
        return objects

    return compile_all


def native(compiled, folder):
    """SWIG's wrapper, with python_support.c and python_stream.c in it."""
    source = folder / "native_wrap.c"
    printed(BUILD / "venv/bin/swig", "-python", "-noproxy", "-Wall", "-Werror", f"-I{ROOT}/swig", f"-I{ROOT}/core/include",
        "-outdir", folder, "-o", source, ROOT / "swig/virtsock.i")
    return compiled(source)


def command(compiled, folder):
    """The command, as setup.py compiles it on Windows."""
    tools = [file for file in sorted((ROOT / "tools").rglob("*.c")) if file.stem.split("_")[-1] not in ("posix", "epoll", "poll")]
    return compiled(ROOT / "bindings/python/command.c", *tools,
                    flags=["-Dmain=virtsock_main", f"-I{ROOT}/tools"])


MODULES = {"native": (native, 40), "_command": (command, 2)}


@pytest.fixture(scope="module", params=MODULES)
def module(request, compiled, tmp_path_factory):
    """Its name, its objects, and the names that Python must have."""
    make, least = MODULES[request.param]
    objects = make(compiled, tmp_path_factory.mktemp(request.param))
    names = re.findall(r"^ *U (?:__imp_)?(_?Py\w+)$", printed(f"{TRIPLE}-nm", *objects), re.MULTILINE)
    assert len(names) > least
    return request.param, objects, set(names)


@pytest.fixture(scope="module")
def stable(headers):
    """What python3.dll has, and which of it is data: its own list."""
    rows = re.findall(r"^EXPORT_(FUNC|DATA)\((\w+)\)", (headers / "PC/python3dll.c").read_text(), re.MULTILINE)
    return {name: kind for kind, name in rows}


def test_the_stable_abi_has_all(module, stable):
    assert not module[2] - set(stable)


def test_it_links(module, stable, tmp_path):
    name, objects, wanted = module
    folder = tmp_path
    rows = [f"{name} DATA" if stable.get(name) == "DATA" else name for name in sorted(wanted)]
    (folder / "python3.def").write_text("LIBRARY python3.dll\nEXPORTS\n" + "".join(f"{row}\n" for row in rows))
    printed(f"{TRIPLE}-dlltool", "-d", folder / "python3.def", "-l", folder / "libpython3.a")
    printed(f"{TRIPLE}-gcc", "-shared", "-static-libgcc", *objects, BUILD / "mingw64" / "libvirtsock.a", folder / "libpython3.a",
        "-lws2_32", "-ladvapi32", "-o", folder / f"{name}.pyd")
    told = printed(f"{TRIPLE}-objdump", "-p", folder / f"{name}.pyd")
    libraries = {name.lower() for name in re.findall(r"DLL Name: (\S+)", told)}
    assert "python3.dll" in libraries and libraries <= {"python3.dll", "kernel32.dll", "msvcrt.dll", "ws2_32.dll", "advapi32.dll"}
    exports = told.partition("Ordinal/Name Pointer")[2]
    assert re.findall(r"\[ +\d+\] (?:\+base\[ +\d+\] +\w+ )?(\w+)$", exports, re.MULTILINE) == [f"PyInit_{name}"]
