# SPDX-License-Identifier: MIT
"""The budgets of the design, a row each: elegance that slips fails a test instead of waiting for a reader."""

import re
import statistics

import pytest

from .tree import CORE, DEV, FREEBSD, HEADER, LINUX, LUA, MACOS, PYTHON, ROOT, WINDOWS, core_files, functions, run

# Modules of the Python layer that have budgets of their own.
APART = {"__main__.py", "_aio_threads.py", "_muxes.py", "aio.py", "dask.py", "perf.py", "plot.py", "pytest_plugin.py", "testing.py"}


def lines(*files):
    return sum(len(file.read_text().splitlines()) for file in files)


def code(*files):
    """Lines with C on them: neither blank nor comment alone."""
    text = "".join(re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.DOTALL) + "\n" for file in files)
    return sum(bool(line.strip()) for line in text.splitlines())


def functions_in(file):
    """(name, lines) of each function that is defined: its head stands at column 0, its braces alone there."""
    found, head, begin = [], 0, None
    text = file.read_text().splitlines()
    for number, line in enumerate(text):
        if re.match(r"[A-Za-z_]", line) and not line.endswith(":"):
            head = number
        elif line == "{":
            begin, name = head, re.search(r"(\w+)\(", " ".join(text[head:number]))[1]
        elif line == "}" and begin is not None:
            found.append((name, number - begin + 1))
            begin = None
    return found


def lengths():
    """Of every function of the core: longest first."""
    return sorted(((size, name, str(file)) for file in core_files("*.c") for name, size in functions_in(CORE / file)), reverse=True)


def wide_lines():
    return sum(len(line) > 120 for file in core_files() for line in (CORE / file).read_text().splitlines())


STREAM = """
#include <stdio.h>
#include <string.h>
#include "stream.h"

int main(void)
{
    char path[108];
    virtsock_address *longest;

    memset(path, '/', sizeof path);
    path[vs_path_max] = 0;
    if (virtsock_address_path(&longest, VIRTSOCK_SCHEME_UNIX, path, 0, NULL) != VIRTSOCK_OK)
        return 1;
    printf("%zu\\n", sizeof(virtsock_stream) + longest->size);
    return 0;
}
"""


def stream_size(tmp_path):
    """With the copy of the longest UNIX address."""
    (tmp_path / "size.c").write_text(STREAM)
    run("cc", "-std=c11", f"-I{CORE}", f"-I{HEADER.parent}", "size.c", DEV / "libvirtsock.a", "-o", "size", cwd=tmp_path)
    return int(run(tmp_path / "size"))


def stripped(program, tmp_path):
    run("strip", "-o", tmp_path / "stripped", program)
    return (tmp_path / "stripped").stat().st_size


def command_size(tmp_path):
    program = ROOT / "build" / "musl" / "tools" / "virtsock"
    if not program.exists():
        return None
    assert "INTERP" not in run("readelf", "-lW", program), "the musl command is not static"
    return stripped(program, tmp_path)


BUDGETS = {
    "lines of the public header": (450, lambda _: lines(HEADER)),
    "functions of the public header": (60, lambda _: len(functions())),
    "lines of C of the core for Linux": (4700, lambda _: code(*LINUX)),
    "lines of C of the core for Windows": (4700, lambda _: code(*WINDOWS)),
    "lines of C of the core for macOS": (4700, lambda _: code(*MACOS)),
    "lines of C of the core for FreeBSD": (4700, lambda _: code(*FREEBSD)),
    "lines of the longest file of the core": (450, lambda _: max((lines(CORE / file), str(file)) for file in core_files())),
    "lines of a function of the core, median": (12, lambda _: statistics.median(size for size, *_ in lengths())),
    "lines of the longest function of the core": (60, lambda _: lengths()[0]),
    "lines of the core of more than 120 columns": (125, lambda _: wide_lines()),       # none is the aim: never more than today
    "lines of Python's typemaps": (250, lambda _: lines(ROOT / "swig/python.i")),
    "lines of Lua's typemaps": (250, lambda _: lines(ROOT / "swig/lua.i")),
    "lines of the Python layer": (1000, lambda _: lines(*(file for file in PYTHON.glob("*.py") if file.name not in APART))),
    "lines of the Lua layer": (450, lambda _: lines(LUA / "virtsock.lua")),
    "bytes of libvirtsock.so, stripped": (104 * 1024, lambda path: stripped(DEV / "libvirtsock.so", path)),
    "bytes of the static command (musl), stripped": (320 * 1024, command_size),
    "bytes of a stream with its address": (512, stream_size),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_budget(name, tmp_path, need, record_property):
    limit, measure = BUDGETS[name]
    found = measure(tmp_path)
    need(found is not None, "build/musl is not built")
    actual, *where = found if isinstance(found, tuple) else (found,)
    record_property(name, actual)
    print(f"{name}: {actual}/{limit}", *where)
    assert actual <= limit, f"{name}: {actual} of {limit} {' '.join(where)}"


@pytest.mark.parametrize("file", sorted((ROOT / "tools").rglob("*.c")) + sorted((ROOT / "swig").glob("*.[ch]")),
                         ids=lambda file: str(file.relative_to(ROOT)))
def test_functions_elsewhere_are_as_short(file):
    assert max(functions_in(file), key=lambda row: row[1], default=("", 0))[1] <= 60


C_TEXT = """
struct s {
    int a;
};
static int f(int a,
             int b)
{
again:
    goto again;
}
int x[] = {
    1
};
void g(void)
{
}
"""


def test_the_measure_itself(tmp_path):
    """Heads of several lines, and braces that belong to no function."""
    (tmp_path / "some.c").write_text(C_TEXT)
    assert functions_in(tmp_path / "some.c") == [("f", 6), ("g", 3)]


def test_every_function_is_measured():
    """As many as the compiler finds."""
    for file in LINUX:
        listed = run("cc", "-std=c11", "-S", "-o", "-", f"-I{CORE}", f"-I{HEADER.parent}", file)
        compiled = set(re.findall(r"^\s*\.type\s+(\w+), [@%]function", listed, re.MULTILINE))
        inline = {name for header in core_files("*.h") for name, _ in functions_in(CORE / header)}
        assert compiled - inline == {name for name, _ in functions_in(file)}, file
