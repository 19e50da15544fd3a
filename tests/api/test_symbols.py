# SPDX-License-Identifier: MIT
"""One list of names: what the library exports, symbols.txt, the header, Python, Lua and the documentation agree.

Where one of them differs on purpose, the reason stands here.
"""

import importlib.util
import json
import re
import shutil

import pytest

from .tree import DEV, HEADER, SYMBOLS, constants, exported, functions, run

# In the header, and not bound by that name.
COLLECTED = "the collector frees a handle through SWIG's destructor"
FAILURES = "asked where a failure is raised or returned: it comes with the error"
UNBOUND = {
    "python": {
        "address_free": COLLECTED, "options_free": COLLECTED, "stream_free": COLLECTED, "listener_free": COLLECTED,
        "advice": FAILURES,
    },
    "lua": {
        "address_free": COLLECTED, "options_free": COLLECTED, "stream_free": COLLECTED, "listener_free": COLLECTED,
        "advice": FAILURES,
        "stream_sendv": "a list of strings is table.concat",
    },
}

# Bound, and not in the header.
ADDED = {
    "python": {
        "set_error_maker": "the one place where a failure becomes an exception",
        "milliseconds": "seconds as the core wants them, rounded up",
        **dict.fromkeys(("Timed", "StreamBase", "ListenerBase"), "what Stream and Listener inherit: methods with no Python frame"),
    },
    "lua": {
        "now_ms": "Lua has no monotonic clock",
        **dict.fromkeys(("address", "options"), "the class of a handle, as SWIG makes it"),
        **dict.fromkeys(("stream", "listener"), "methods with no Lua between, to which the layer adds"),
    },
}

# Declared without a contract of its own.
SAID_ELSEWHERE = {
    "virtsock_address_free": "the head of the header: Status, and Ownership",
}

LUAS = {"5.1": "lua5.1", "5.2": "lua5.2", "5.3": "lua5.3", "5.4": "lua5.4", "jit": "luajit"}
LUA_SAYS = """
for name, value in pairs(require "virtsock.core") do
  print(name, type(value), type(value) == "number" and string.format("%.0f", value) or tostring(value))
end"""


def named():
    """symbols.txt: a name, and the version node that it is in."""
    node, names = None, []
    for line in SYMBOLS.read_text().splitlines():
        if re.match(r"[A-Z]\w*$", line):
            node = line
        elif line.startswith(" "):
            names.append((line.strip(), node))
    return names


def from_python(need):
    need(importlib.util.find_spec("virtsock"), "the Python module is not installed here")
    native = importlib.import_module("virtsock.native")
    return {name: value for name, value in vars(native).items() if not name.startswith("__")}


def from_lua(version, need):
    folder, interpreter = DEV / "lua" / version, shutil.which(LUAS[version])
    need(interpreter and (folder / "virtsock" / "core.so").exists(), f"no module for Lua {version}")
    rows = [line.split("\t") for line in run(interpreter, "-e", LUA_SAYS, env={"LUA_CPATH": f"{folder}/?.so"}).splitlines()]
    return {name: int(value) if kind == "number" else value for name, kind, value in rows}


def short(name):
    return name.partition("_")[2]


def agree(language, bound):
    """Every name of the header is there with its value, and nothing else is."""
    values = {short(name): value for name, value in constants().items()}
    wanted = {short(name) for name in functions()} | set(values)
    assert wanted - set(bound) == set(UNBOUND[language]), "not bound and no reason given, or the other way round"
    assert set(bound) - wanted == set(ADDED[language]), "added and no reason given, or the other way round"
    assert {name: bound[name] for name in values} == values


def test_the_header_is_read_right():
    """The names that this file compares: as many as a compiler's preprocessor shows."""
    text = run("cc", "-E", "-P", "-dD", HEADER)
    assert set(functions()) == set(re.findall(r"\b(virtsock_\w+)\(", text))
    macros = set(re.findall(r"^#define (VIRTSOCK_\w+) +[\"0-9]", text, re.MULTILINE))
    assert set(constants()) == macros | set(re.findall(r"\b(VIRTSOCK_\w+) = ", text))


def test_symbols_are_what_the_header_declares():
    names = [name for name, _ in named()]
    assert names == sorted(functions())


def test_the_library_exports_them_in_their_node():
    assert exported(DEV / "libvirtsock.so") == sorted(named())


def unsaid(nodes, header):
    """Of what came after the first node: what has no VIRTSOCK_HAVE_ in the header, and what has one and is not there."""
    new = {short(name).upper() for name, node in nodes if node != nodes[0][1]}
    said = set(re.findall(r"^#define VIRTSOCK_HAVE_(\w+) 1$", header, re.MULTILINE))
    there = {short(name).upper() for name in [*dict(nodes), *constants()]}
    return (new - said) | (said - there)


def test_what_came_later_can_be_asked_for():
    nodes = named()
    assert nodes[0][1] == "VIRTSOCK_1" and unsaid(nodes, HEADER.read_text()) == set()
    nodes.append(("virtsock_zz_new", "VIRTSOCK_1_1"))
    assert unsaid(nodes, "") == {"ZZ_NEW"} and unsaid(nodes, "#define VIRTSOCK_HAVE_ZZ_NEW 1") == set()
    assert unsaid(nodes, "#define VIRTSOCK_HAVE_ZZ_NEW 1\n#define VIRTSOCK_HAVE_ZZ_OLD 1") == {"ZZ_OLD"}


def test_the_archive_keeps_to_its_prefixes():
    rows = [line.split() for line in run("nm", "-g", "--defined-only", DEV / "libvirtsock.a").splitlines()]
    names = {row[2] for row in rows if len(row) == 3}
    assert set(functions()) <= names
    assert not [name for name in names if not name.startswith(("virtsock_", "vs_"))]


def test_python_binds_them(need):
    agree("python", from_python(need))


@pytest.mark.parametrize("version", LUAS)
def test_lua_binds_them(version, need):
    agree("lua", from_lua(version, need))
    assert exported(DEV / "lua" / version / "virtsock" / "core.so") == [("luaopen_virtsock_core", "")]


def test_every_name_has_a_contract():
    """A comment at it, or in the same paragraph; headings are none."""
    silent = set()
    for paragraph in re.sub(r"^/\* --- .*", "", HEADER.read_text(), flags=re.MULTILINE).split("\n\n"):
        if "/*" not in paragraph:
            silent |= {name for name in [*functions(), *constants()] if re.search(rf"\b{name}\b", paragraph)}
    assert silent == set(SAID_ELSEWHERE)


@pytest.mark.parametrize("reasons", [*UNBOUND.values(), *ADDED.values(), SAID_ELSEWHERE], ids=json.dumps)
def test_exceptions_stay_few(reasons):
    assert len(reasons) <= 6
    assert all(reasons.values())
