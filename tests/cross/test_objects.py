# SPDX-License-Identifier: MIT
"""The library and the command for macOS and FreeBSD: of the right kind, with the names of symbols.txt and nothing that is not the system's.
Nothing here runs them."""

from __future__ import annotations

import re
import subprocess

import pytest

from builds import BUILD, ROOT

pytestmark = pytest.mark.proves("macos", "freebsd")

# Preset: format, what the library is called by those who need it, what it needs.
LINKER_S_OWN = {"__mh_dylib_header", "___dso_handle"}     # zig's linker gives them to everybody
MACOS = ("@rpath/libvirtsock.1.dylib", {"/usr/lib/libSystem.B.dylib"})
FREEBSD = ("libvirtsock.so.1", {"libc.so.7", "libthr.so.3"})
KINDS = {
    "macos-aarch64": ("Mach-O arm64", *MACOS),
    "macos-x86_64": ("Mach-O 64-bit x86-64", *MACOS),
    "freebsd-aarch64": ("elf64-littleaarch64", *FREEBSD),
    "freebsd-x86_64": ("elf64-x86-64", *FREEBSD),
}
NODE, *NAMES = re.findall(r"^ *(\w+)$", (ROOT / "core" / "symbols.txt").read_text(), re.MULTILINE)


def read(program, *words):
    return subprocess.run([program, *words], text=True, capture_output=True, check=True, timeout=60).stdout


@pytest.fixture(params=KINDS)
def built(request, need):
    """(preset, library, command)"""
    folder = BUILD / request.param
    library = folder / ("libvirtsock.dylib" if "macos" in request.param else "libvirtsock.so")
    need(library.exists() and (folder / "tools" / "virtsock").exists(), f"{request.param} is not built")
    return request.param, library, folder / "tools" / "virtsock"


def test_kind(built):
    preset, *files = built
    for file in files:
        said = read("llvm-readobj", "--file-headers", file)
        assert re.search(r"^Format: (.*)", said, re.MULTILINE)[1].lower() == KINDS[preset][0].lower()


def test_what_they_need(built):
    preset, library, command = built
    _, name, needed = KINDS[preset]
    for file in library, command:
        listed = set(re.findall(r"^  (\S+)$", read("llvm-readobj", "--needed-libs", file), re.MULTILINE))
        assert listed - {name} == needed, file


def test_the_library_exports_what_it_should(built):
    preset, library, _ = built
    if "macos" in preset:
        names = set(re.findall(r"^0x\w+ +(\w+)$", read("llvm-objdump", "--macho", "--exports-trie", library), re.MULTILINE))
        assert names - LINKER_S_OWN == {f"_{name}" for name in NAMES}
    else:
        names = re.findall(r" [A-Z] (\w+)@@(\w+)$", read("llvm-nm", "--dynamic", "--defined-only", library), re.MULTILINE)
        assert {name for name, _ in names} - {NODE} == set(NAMES) and {node for _, node in names} == {NODE}


def test_the_archive_keeps_to_its_prefixes(built):
    _, library, _ = built
    listed = read("llvm-nm", "--extern-only", "--defined-only", "--just-symbol-name", library.parent / "libvirtsock.a")
    names = {name for name in re.findall(r"^_?(\w+)$", listed, re.MULTILINE)}
    assert set(NAMES) <= names
    assert not {name for name in names if not name.startswith(("virtsock_", "vs_"))}


def test_the_command_is_for_its_system(built):
    """Apple's own processors run nothing that is not signed; FreeBSD's programs name their dynamic linker."""
    preset, _, command = built
    if preset == "macos-aarch64":
        assert "LC_CODE_SIGNATURE" in read("llvm-objdump", "--macho", "--private-headers", command)
    elif "freebsd" in preset:
        assert b"/libexec/ld-elf.so.1\0" in command.read_bytes() and b"FreeBSD\0" in command.read_bytes()
