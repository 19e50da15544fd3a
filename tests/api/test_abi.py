# SPDX-License-Identifier: MIT
"""The binary interface against core/abi: the library as it is agrees, what is new is news, and what must never happen is a failure. And what the
soname and the version nodes say to programs of another release."""

import os
import re
import shutil
import subprocess

import pytest

from .tree import CORE, DEV, HEADER, LINUX, ROOT, constants, run

ABI = CORE / "abi" / "abi"


@pytest.fixture
def abigail(need):
    need(shutil.which("abidw"), "abigail-tools is not installed")
    need(run("uname", "-m") == "x86_64\n", "the baseline is of x86_64")


def refused(*words):
    """What it says as it fails."""
    done = subprocess.run([str(word) for word in (ABI, *words)], text=True, capture_output=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def library(tmp_path, *edits):
    """Made from a copy of the core with other words in it."""
    copy = tmp_path / "core"
    shutil.copytree(CORE, copy)
    for file, old, new in edits:
        text = (copy / file).read_text()
        assert old in text
        (copy / file).write_text(text.replace(old, new))
    sources = [copy / file.relative_to(CORE) for file in LINUX]
    run("cc", "-g", "-shared", "-fPIC", "-fvisibility=hidden", "-std=c11", "-Wl,-soname,libvirtsock.so.1",
        f"-Wl,--version-script={DEV / 'virtsock.map'}", f"-I{copy}", f"-I{copy / 'include'}", *sources, "-o", tmp_path / "libvirtsock.so")
    return tmp_path / "libvirtsock.so"


def header(tmp_path, change):
    """A folder with another header."""
    text = HEADER.read_text()
    changed = change(text)
    assert changed != text
    (tmp_path / "virtsock.h").write_text(changed)
    return tmp_path


def test_the_library_is_as_in_the_baseline():
    """What is new is in it as well: `core/abi/abi renew`, in the same commit."""
    report = run(ABI, "report")
    assert report.startswith("abi: ") and "new:" not in report


def test_the_baseline_names_no_machine():
    text = (CORE / "abi" / "libvirtsock-x86_64.abi").read_text()
    assert "path='core/error.c'" in text and "path='/" not in text
    assert len(text) < 50_000


# --- What callers compile in ---------------------------------------------------------------------------------------------

NUMBERS = {name: value for name, value in constants().items() if not name.startswith("VIRTSOCK_VERSION")}


def other_than(name):
    """The next one in the header that has another value, and of the same kind."""
    names = [*NUMBERS]
    after = [*names[names.index(name) + 1:], *names]
    return next(one for one in after if type(NUMBERS[one]) is type(NUMBERS[name]) and NUMBERS[one] != NUMBERS[name])


@pytest.mark.parametrize("name", NUMBERS)
def test_a_constant_that_changes_places_shows(name, tmp_path):
    other = other_than(name)
    places = {name: other, other: name}
    folder = header(tmp_path, lambda text: re.sub(rf"\b({name}|{other})\b", lambda found: places[found[0]], text))
    report = refused("constants", folder)
    assert report.startswith("abi: changed") and {name, other} <= set(report.split())


def test_a_constant_that_goes_shows(tmp_path):
    folder = header(tmp_path, lambda text: text.replace("VIRTSOCK_OPTION_STAYS            = 16", "VIRTSOCK_OPTION_LASTS            = 16"))
    assert "VIRTSOCK_OPTION_STAYS 16" in refused("constants", folder)


def test_a_new_constant_is_news(tmp_path):
    folder = header(tmp_path, lambda text: text.replace("VIRTSOCK_OPTION_STAYS            = 16", "VIRTSOCK_OPTION_NEW = 17, VIRTSOCK_OPTION_STAYS = 16"))
    assert run(ABI, "constants", folder) == "abi: new: VIRTSOCK_OPTION_NEW 17\n"


@pytest.mark.parametrize(("old", "new"), [
    ("message[224]", "message[240]"), ("op[16]", "op[24]"), ("int32_t os_code;", "int64_t os_code;"), ("size_t      size;", "uint16_t    size;"),
    ("typedef int64_t virtsock_fd;", "typedef int32_t virtsock_fd;"),
])
@pytest.mark.proves("T8")
def test_another_record_shows(tmp_path, old, new):
    refused("constants", header(tmp_path, lambda text: text.replace(old, new)))


@pytest.mark.parametrize(("one", "other"), [("status", "os_code"), ("scheme", "attempts"), ("op", "message"), ("data", "size")])
def test_members_that_change_places_show(tmp_path, one, other):
    def swapped(text):
        lines = {name: re.search(rf"^    (?:int32_t|char|const void|size_t) +[*]?{name}(?:\[\d+\])?;", text, re.MULTILINE)[0] for name in (one, other)}
        places = {lines[one]: lines[other], lines[other]: lines[one]}
        return re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], text)

    refused("constants", header(tmp_path, swapped))


# --- Functions -------------------------------------------------------------------------------------------------------------


def test_internals_are_no_interface(abigail, tmp_path):
    assert run(ABI, "report", library(tmp_path, ("stream.h", "linger_ms;", "linger_ms, more;"))) == run(ABI, "report")


def test_another_argument_shows(abigail, tmp_path):
    old, new = (f"virtsock_service_from_port(char out[37], {kind} port)" for kind in ("uint32_t", "uint64_t"))
    assert "virtsock_service_from_port" in refused("report", library(tmp_path, (HEADER.relative_to(CORE), old, new), ("guid.c", old, new)))


def test_a_function_that_goes_shows(abigail, tmp_path):
    edits = [(file, "virtsock_local_cid", "virtsock_cid_of_here") for file in (HEADER.relative_to(CORE), "system.c")]
    assert "virtsock_local_cid" in refused("report", library(tmp_path, *edits))


# --- Programs of another release ---------------------------------------------------------------------------------------------

NEW = """
#include <stdio.h>
#include "virtsock.h"
VIRTSOCK_API int virtsock_zz_new(void);

int main(void)
{
    puts("work begins");
    fflush(stdout);
    return virtsock_zz_new();
}
"""


def test_a_newer_program_does_not_start_on_an_older_library(tmp_path):
    """What a release adds is in a node of its own; what was there stays in its node."""
    tree, build, old = tmp_path / "tree", tmp_path / "tree" / "build", DEV / "libvirtsock.so"
    shutil.copytree(CORE, tree / "core")
    shutil.copy(ROOT / "CMakeLists.txt", tree)
    with (tree / "core/symbols.txt").open("a") as symbols:
        symbols.write("VIRTSOCK_1_1\n    virtsock_zz_new\n")
    with (tree / "core/guid.c").open("a") as source:
        source.write("VIRTSOCK_API int virtsock_zz_new(void);\nint virtsock_zz_new(void)\n{\n    return 7;\n}\n")
    run("cmake", "-S", tree, "-B", build, "-DVIRTSOCK_TOOLS=OFF", "-DVIRTSOCK_LUA=OFF")
    run("cmake", "--build", build)
    (tmp_path / "new.c").write_text(NEW)
    run("cc", tmp_path / "new.c", f"-I{CORE}/include", f"-L{build}", "-lvirtsock", "-o", tmp_path / "new")

    def start(program, folder):
        return subprocess.run([program], env={**os.environ, "LD_LIBRARY_PATH": str(folder)}, text=True, capture_output=True, timeout=60)

    assert (start(tmp_path / "new", build).returncode, start(tmp_path / "new", build).stdout) == (7, "work begins\n")
    refusal = start(tmp_path / "new", old.parent)
    assert refusal.stdout == "" and "VIRTSOCK_1_1" in refusal.stderr
    versions = run("readelf", "-VW", build / "libvirtsock.so")
    assert re.search(r"Name: VIRTSOCK_1_1\n.*Parent 1: VIRTSOCK_1\n", versions), versions
    run("cc", "-x", "c", "-", f"-I{CORE}/include", f"-L{old.parent}", "-lvirtsock", "-o", tmp_path / "old", stdin=None,
        input=NEW.replace("virtsock_zz_new", "virtsock_version").replace("int virtsock", "const char *virtsock").replace("return virtsock_version()", "return virtsock_version() == 0"))
    assert start(tmp_path / "old", build).returncode == 0
