# SPDX-License-Identifier: MIT
"""The architecture as its #include lines tell it: dependencies point one way, and systems stay in platform/."""

import re
import shutil
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
    ("platform/*", {"platform/*.h"}),
    ("common/*", {"common/*.h", "platform/*.h"}),
    ("commands/mux/dialect.h", {"transport/handshake.h"}),      # the core's
    ("*", {"commands/commands.h", "common/*.h", "platform/*.h"}),
]
FLOORS = ("platform", "common", "commands", "main")
COMPILED_FOR = {"posix": ("", {"windows"}), "windows": ("x86_64-w64-mingw32-", {"posix", "epoll", "poll"})}

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


def symbols_used(tmp_path, files, named, *flags, tools=""):
    """Which symbols of another file each uses, as the compiler has them: {name: {name: {symbol}}}."""
    defined, undefined = {}, {}
    for file in files:
        undefined.setdefault(named(file), set())
        run(f"{tools}gcc" if tools else "cc", "-c", "-std=c11", *flags, f"-I{CORE}", f"-I{HEADER.parent}", file, "-o", tmp_path / "one.o")
        for *_, kind, symbol in map(str.split, run(f"{tools}nm", tmp_path / "one.o").splitlines()):
            if kind == "U":
                undefined[named(file)].add(symbol)
            elif kind in "TDRB":
                defined[symbol] = named(file)
    uses = {name: {} for name in undefined}
    for name, symbols in undefined.items():
        for symbol in symbols & set(defined):
            if defined[symbol] != name:
                uses[name].setdefault(defined[symbol], set()).add(symbol)
    return uses


def circles(uses):
    """Files that lead back to themselves, by what each uses."""
    def reach(file):
        seen, next_ones = set(), [file]
        while next_ones:
            news = set(uses[next_ones.pop()]) - seen
            seen |= news
            next_ones += news
        return seen

    return {file for file in uses if file in reach(file)}


def test_no_circle_is_left(tmp_path):
    """Whose function calls whose, file by file; the platform is one. What nothing of the core uses leads nowhere."""
    uses = symbols_used(tmp_path, LINUX, lambda file: "platform" if file.parent.name == "platform" else str(file.relative_to(CORE)))
    assert set(uses["connect.c"]) >= {"connecting.c", "stream_end.c"} and not uses["error.c"]
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


@pytest.fixture(scope="module", params=COMPILED_FOR)
def house(request, tmp_path_factory):
    """symbols_used of the command for a system; of two files for the same, both."""
    tools, strangers = COMPILED_FOR[request.param]
    if shutil.which(f"{tools}gcc") is None:
        pytest.skip(f"{tools}gcc is not installed")
    files = [file for file in sorted(TOOLS.rglob("*.c")) if file.stem.split("_")[-1] not in strangers]
    return symbols_used(tmp_path_factory.mktemp("house"), files, lambda file: file.relative_to(TOOLS).as_posix(), f"-I{TOOLS}",
                        "-DVIRTSOCK_STATIC", tools=tools)


def upward(uses):
    """(user, file, symbols) where a file uses what is defined above it, or a command what another is made of."""
    def place(file):
        floor, *room = file.removesuffix(".c").split("/")
        return FLOORS.index(floor.partition("_")[0]), room[0] if floor == "commands" else ""

    return [(user, file, symbols) for user, used in uses.items() for file, symbols in used.items()
            if place(file)[0] > place(user)[0] or (place(file)[0] == place(user)[0] and place(file)[1] != place(user)[1])]


def test_nobody_in_the_house_calls_up(house):
    assert house["main.c"]["commands/cat.c"] and house["commands/mux/mux.c"]["commands/mux/fault.c"]
    assert upward(house) == []


def test_no_circle_in_the_house(house):
    assert circles(house) == set()


def test_a_call_up_would_show():
    """Up, or to the neighbours; down, and in one's own room, is in order."""
    told = {"main.c": {"commands/cat.c": {"a"}}, "commands/relay/open.c": {"commands/relay/rules.c": {"b"}, "platform/posix.c": {"c"}},
            "commands/cat.c": {"commands/service.c": {"d"}}, "platform/list_posix.c": {"commands/list/diag.c": {"e"}},
            "common/udp.c": {"common/report.c": {"f"}}, "platform/windows.c": {"main.c": {"g"}}}
    assert [symbols for _, _, symbols in upward(told)] == [{"d"}, {"e"}, {"g"}]


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
