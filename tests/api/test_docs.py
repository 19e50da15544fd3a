# SPDX-License-Identifier: MIT
"""What is public in Python says what it does: units, errors, whether it waits. And the page that Sphinx makes of that has all of it."""

import ast
import importlib
import inspect
import pkgutil
import re
import shutil
import sys
import types

import pytest
import virtsock

from .tree import LUA, PYTHON, ROOT, run

PAGES = ROOT / "docs" / "python"
INNER = {"native", "__main__"}      # for the modules beside it; the command
MODULES = ["virtsock", *(f"virtsock.{module.name}" for module in pkgutil.iter_modules(virtsock.__path__)
                         if module.name not in INNER and not module.name.startswith("_"))]

# Words that stand for a unit, by the parameters that have it.
UNITS = {
    "second": {"timeout", "seconds", "wait", "connect_timeout", "backoff_first", "backoff_max", "linger", "delay"},
    "byte": {"size", "nbytes", "buffer_min", "buffer_size", "buffer_max", "message_max"},
}
ERRORS = r"\w+Error\b|[Ss]tatus(es:)? [A-Z_]{3,}|\b[Rr]aises?\b"
WAITING = r"\b([Ww]aits?|at once|a while)\b"

# What only looks at memory or makes a value.
INSTANT = {
    "Address", "Address.hyperkit", "Address.hyperv", "Address.mux", "Address.replace", "Address.tcp", "Address.unix", "Address.vsock",
    "port_from_service",
    "service_from_port", "version", "gettimeout", "settimeout", "setblocking", "fileno", "Stream.detach", "Stream.to_socket",
    "Stream.makefile", "Stream.from_socket", "FakeHypervisor.address", "FakeHypervisor.guest_address", "FakeHypervisor.host_address",
    "FakeHypervisor.inject", "FakeHypervisor.serve", "FakeHypervisor.pause", "FakeHypervisor.resume",
}
# What cannot fail, but for arguments of a wrong type.
SAFE = {"version", "gettimeout", "fileno", "setblocking", "supported", "Stream.abort", "Stream.close", "Listener.close",
        "FakeHypervisor.pause", "FakeHypervisor.resume"}


def public(module):
    """(name, object) of what a module is for."""
    return [(name, getattr(module, name)) for name in module.__all__]


def is_ours(module):
    return str(module or "").split(".")[0] == "virtsock"


def members(kind):
    """(name, object) of methods and properties that are public: its own, and from bases of this project that are not."""
    for base in kind.__mro__:
        if is_ours(base.__module__) and (base is kind or base.__name__ not in virtsock.__all__):
            yield from ((name, what) for name, what in vars(base).items() if name[0] != "_" and
                        (inspect.isroutine(what) or isinstance(what, property)))


def things():
    """(module, dotted name, object) of everything public, but constants and types of others."""
    for module in map(importlib.import_module, MODULES):
        yield module.__name__, "", module
        for name, what in public(module):
            if is_ours(getattr(what, "__module__", "")) and not isinstance(what, int):
                yield module.__name__, name, what
                if isinstance(what, type):
                    yield from ((module.__name__, f"{name}.{member}", it) for member, it in members(what))


THINGS = list(things())


def is_fixture(what):
    return type(what).__name__ == "FixtureFunctionDefinition"


def function_of(what):
    return what.__func__ if isinstance(what, (classmethod, staticmethod)) else what


def text_of(what):
    """Its own words, not those of a base."""
    return inspect.cleandoc(function_of(what).__doc__ or "")


def parameters(what):
    try:
        return [name for name in inspect.signature(function_of(what)).parameters if name not in ("self", "cls", "type")]
    except (TypeError, ValueError):
        return []


def is_in(names, name):
    return name in names or name.rpartition(".")[2] in names


def lacks(name, what, text):
    """What the docstring of a callable does not say."""
    found = []
    if isinstance(what, type) and (issubclass(what, Exception) or issubclass(what, int) or name in ("Stream", "Listener", "Server")):
        return found        # not called by users
    given = parameters(what)
    for word, named in UNITS.items():
        if named & set(given) and word not in text:
            found.append(f"{word}s, the unit of {', '.join(sorted(named & set(given)))}")
    if len(given) > 2 and "and the others: as for `" not in text:
        found += [f"a word on {one}" for one in given if not re.search(rf"\b({one}|{one.partition('_')[0]}_[*])", text)]
    if re.search(r"(^|[.;] )[Aa]s (`[\w.]+`|asyncio)", text):
        return found        # the rest is said there
    if not is_in(SAFE, name) and not re.search(ERRORS, text):
        found.append("errors")
    if not is_in(INSTANT, name) and not re.search(WAITING, text):
        found.append("whether it waits")
    return found


@pytest.mark.parametrize(("module", "name"), [row[:2] for row in THINGS], ids=lambda word: word or "-")
def test_docstring(module, name):
    what = next(row[2] for row in THINGS if row[:2] == (module, name))
    text = text_of(what)
    assert len(text) > 10, "no docstring"
    if not is_fixture(what) and not isinstance(what, (property, types.ModuleType)):
        assert not lacks(name, what, text), text


def test_the_walk_finds_what_there_is():
    """Functions, classes, methods of Python and of C, properties, fixtures."""
    found = {".".join(filter(None, row[:2])) for row in THINGS}
    assert found >= {"virtsock", "virtsock.connect", "virtsock.Stream.recv", "virtsock.Stream.settimeout", "virtsock.Address.port",
                     "virtsock.Status", "virtsock.Error.status", "virtsock.testing.FakeHypervisor.inject",
                     "virtsock.pytest_plugin.fake_hypervisor"}
    names = {name for _, name, *_ in THINGS} | {name.rpartition(".")[2] for _, name, *_ in THINGS}
    assert not (INSTANT | SAFE) - names, "exempt, and not there"


def attributes(file):
    """Public attributes that a file's public classes declare, and whether a text follows."""
    listed = {name for _, name, *_ in THINGS}
    for kind in (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef) and node.name in listed):
        for node, after in zip(kind.body, [*kind.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and not node.target.id.startswith("_"):
                yield f"{kind.name}.{node.target.id}", isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)


def test_attributes_are_explained():
    found = {name: said for file in PYTHON.glob("*.py") for name, said in attributes(file)}
    assert found.keys() >= {"Error.code", "Error.partial", "FakeHypervisor.path"}
    assert [name for name, said in found.items() if not said] == []


def test_page(tmp_path):
    """Warnings are errors; everything public is on it, and everything that is on it has a text."""
    folder = ROOT / "build" / "docs" / "python"
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", tmp_path, PAGES, folder)
    page = (folder / "index.html").read_text()
    listed = set(re.findall(r'<dt [^>]*id="(virtsock\.[\w.]+)"', page))
    wanted = {f"{module}.{name}" for module, name, *_ in THINGS if name}
    wanted |= {f"virtsock.{name}" for name in virtsock.__all__ if not name.startswith("_")}
    missing = sorted(wanted - listed)
    assert not missing, "not on the page: see docs/python/index.rst"
    assert "<dd></dd>" not in page


def test_the_reference_of_lua(tmp_path, need):
    """ldoc takes every warning for an error, and what it makes has every name of meta.lua, whose names are those that there are (010_load)."""
    need(shutil.which("ldoc") and shutil.which("lua5.4"), "no ldoc, or no Lua 5.4")
    run("lua5.4", ROOT / "docs/lua/reference.lua", tmp_path)
    page = (tmp_path / "index.html").read_text()
    meta = (LUA / "meta.lua").read_text()
    functions = re.findall(r"^function (?:virtsock\.)?([\w:]+)\(", meta, re.MULTILINE)
    fields = re.findall(r"^---@field (\w+)", meta, re.MULTILINE)
    assert len(functions) > 40 and len(fields) > 30
    assert not [name for name in functions if f'name = "{name}"' not in page and f'name="{name}"' not in page]
    assert not [name for name in fields if name not in page]
