# SPDX-License-Identifier: MIT
"""The architecture as its #include lines tell it: dependencies point one way, and systems stay in platform/."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from .tree import CORE, HEADER, LINUX, ROOT, core_files, listed_sources, run

TOOLS = ROOT / "tools"

# The first row that fits says which headers of the project a file may include; further down is nearer to the caller.
ARROWS = [
    ("include/virtsock.h", set()),
    ("internal.h", {"virtsock.h"}),
    ("platform/platform.h", {"internal.h"}),
    ("platform/*.h", {"platform/platform.h"}),
    ("platform/*", {"platform/platform.h", "platform/codes.h", "platform/windows.h", "platform/posix.h"}),
    ("handle.[ch]", {"platform/platform.h", "handle.h"}),
    ("transport/handshake.[ch]", {"internal.h", "transport/handshake.h"}),
    ("transport/*", {"platform/platform.h", "transport/*.h"}),
    ("stream.h", {"handle.h", "transport/transport.h"}),
    ("address.h", {"internal.h"}),
    ("address*.c", {"internal.h", "address.h"}),
    ("error.c", {"internal.h"}),
    ("failure.c", {"internal.h"}),
    ("guid.c", {"internal.h"}),
    ("options.c", {"internal.h"}),
    ("*.[ch]", {"stream.h", "connecting.h", "framed.h", "handle.h", "transport/*.h"}),
]
PURE = ("address*.c", "error.c", "failure.c", "guid.c", "options.c", "transport/handshake.c")

# The standard library without <errno.h>, which is the platform's, and without <threads.h>, since the core starts no thread.
STANDARD = {"inttypes", "limits", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string"}

# The command's, in the same way; a command that has a folder includes what is in there, too.
HOUSE = [
    ("platform/list.h", {"commands/list/diag.h"}),
    ("platform/udp*", {"common/udp.h"}),
    ("platform/*", {"platform/*.h"}),
    ("common/*", {"common/*.h", "platform/*.h"}),
    ("commands/mux/dialect.h", {"transport/handshake.h"}),      # the core's
    ("*", {"common/*.h", "platform/*.h"}),
]

SYSTEMS = r"_WIN(32|64)|__(linux|APPLE|FreeBSD|NetBSD|OpenBSD|unix|ANDROID|CYGWIN|MINGW32|sun)(__)?\b"
SYSTEM_WORDS = ("posix", "windows", "linux", "macos", "freebsd")
OF_ONE_SYSTEM = {"transport/vsock.c": ["posix"], "transport/hyperv.c": ["windows"], "lookup.c": ["windows"], "message.c": ["linux"]}
COMPILERS = {"gcc": (), "clang": ("-Werror=gnu",)}


def includes(file):
    """Of the project, and of the system."""
    lines = re.findall(r'^\s*#\s*include\s*(?:"(.+?)"|<(.+?)>)', file.read_text(), re.MULTILINE)
    return [own for own, _ in lines if own], [system for _, system in lines if system]


def rule(file, rules=ARROWS):
    return next(allowed for pattern, allowed in rules if fnmatch(str(file), pattern))


@pytest.mark.parametrize("file", core_files(), ids=str)
def test_arrows_of_the_core(file):
    for header in includes(CORE / file)[0]:
        assert any(fnmatch(header, allowed) for allowed in rule(file)), f"{file} must not include {header}"


@pytest.mark.parametrize("file", [file for file in core_files() if file.parts[0] != "platform"], ids=str)
def test_system_headers_stay_in_the_platform(file):
    strangers = {header for header in includes(CORE / file)[1] if header.removesuffix(".h") not in STANDARD}
    assert not strangers, f"{file} includes {strangers}"


def test_the_public_header_needs_two_standard_ones():
    assert includes(HEADER) == ([], ["stddef.h", "stdint.h"])


def test_what_has_no_io_calls_nothing_that_has(tmp_path):
    """Undefined symbols of the pure files: each other's, or the C library's that only look at memory."""
    harmless = {"malloc", "calloc", "realloc", "free", "snprintf", "vsnprintf"}
    files = [CORE / file for file in core_files() if any(fnmatch(str(file), pattern) for pattern in PURE)]
    run("cc", "-c", "-std=c11", f"-I{CORE}", f"-I{HEADER.parent}", *files, cwd=tmp_path)
    listed = [line.split() for line in run("nm", *tmp_path.glob("*.o")).splitlines() if " " in line]
    defined = {row[-1] for row in listed if row[-2] in "TDRB"}
    outside = {row[-1] for row in listed if row[-2] == "U"} - defined - harmless
    assert not {name for name in outside if not name.startswith(("str", "mem", "__stack_chk", "_GLOBAL_"))}


def circles(uses):
    """Files that lead back to themselves, by what each uses."""
    def reach(file):
        seen, next_ones = set(), [file]
        while next_ones:
            news = uses[next_ones.pop()] - seen
            seen |= news
            next_ones += news
        return seen

    return {file for file in uses if file in reach(file)}


def test_no_circle_is_left(tmp_path):
    """Whose function calls whose, file by file; the platform is one. What nothing of the core uses leads nowhere."""
    defined, undefined = {}, {}
    for file in LINUX:
        name = "platform" if file.parent.name == "platform" else str(file.relative_to(CORE))
        undefined.setdefault(name, set())
        run("cc", "-c", "-std=c11", f"-I{CORE}", f"-I{HEADER.parent}", file, "-o", tmp_path / "one.o")
        for *_, kind, symbol in map(str.split, run("nm", tmp_path / "one.o").splitlines()):
            if kind == "U":
                undefined[name].add(symbol)
            elif kind in "TDRB":
                defined[symbol] = name
    uses = {name: {defined[symbol] for symbol in symbols & set(defined)} - {name} for name, symbols in undefined.items()}
    assert uses["connect.c"] >= {"connecting.c", "stream_end.c"} and uses["error.c"] == set()
    assert circles(uses) == set()


def test_a_circle_would_show():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {"b", "c"}


@pytest.mark.parametrize("file", sorted(file.relative_to(TOOLS) for file in TOOLS.rglob("*.[ch]")), ids=str)
def test_arrows_of_the_command(file):
    own, system = includes(TOOLS / file)
    allowed = {"virtsock.h", *rule(file, HOUSE)}
    if len(file.parts) == 3:
        allowed |= {header.name for header in (TOOLS / file).parent.glob("*.h")}
    for header in own:
        assert any(fnmatch(header, one) for one in allowed), f"{file} must not include {header}"
    if file.parts[0] != "platform":
        assert {header.removesuffix(".h") for header in system} <= STANDARD | {"errno"}


def test_no_name_means_two_headers():
    """The core's and the command's are looked for in both."""
    assert not {str(file.relative_to(TOOLS)) for file in TOOLS.rglob("*.h")} & {str(file) for file in core_files("*.h")}


def test_systems_are_named_in_the_platform_alone():
    """Three places elsewhere at most; how the header exports is among them."""
    found = [f"{file}:{number}: {line}" for file in core_files() if file.parts[0] != "platform"
             for number, line in enumerate((CORE / file).read_text().splitlines(), 1)
             if re.match(r"\s*#\s*(el)?if", line) and re.search(SYSTEMS, line)]
    assert len(found) <= 3, "\n".join(found)


def test_every_source_is_listed():
    """For CMakeLists.txt, setup.py and the rock alike, each once, and with the system that it is for."""
    assert sorted(file for _, file in listed_sources()) == [str(file) for file in core_files("*.c")]
    for systems, file in listed_sources():
        named = [word for word in Path(file).stem.split("_") if word in SYSTEM_WORDS]
        assert systems == (named or OF_ONE_SYSTEM.get(file, ["all"])), file


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_extension_of_a_compiler(compiler):
    run(compiler, "-std=c11", "-pedantic-errors", *COMPILERS[compiler], "-fsyntax-only", f"-I{CORE}", f"-I{HEADER.parent}", *LINUX)
