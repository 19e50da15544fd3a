# SPDX-License-Identifier: MIT
"""virtsock.h alone: in every C and C++ that it promises, by every compiler that is here, without a warning."""

import shutil

import pytest

from .tree import HEADER, run

STRICT = ("-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-c", "-o", "/dev/null", f"-I{HEADER.parent}")
C = ("gcc", "clang", "musl-gcc", "x86_64-w64-mingw32-gcc")
CXX = ("g++", "clang++", "x86_64-w64-mingw32-g++")

TWICE = '#include "virtsock.h"\n#include "virtsock.h"\n'
SIZES = TWICE + """
_Static_assert(sizeof(virtsock_error) == 256, "");
_Static_assert(offsetof(virtsock_error, os_code) == 4 && offsetof(virtsock_error, scheme) == 8, "");
_Static_assert(offsetof(virtsock_error, attempts) == 12 && offsetof(virtsock_error, op) == 16, "");
_Static_assert(offsetof(virtsock_error, message) == 32, "");
_Static_assert(sizeof(virtsock_slice) == 2 * sizeof(void *) && offsetof(virtsock_slice, size) == sizeof(void *), "");
_Static_assert(sizeof(virtsock_fd) == 8 && sizeof(virtsock_status) == sizeof(int) && sizeof(virtsock_scheme) == sizeof(int), "");
_Static_assert(sizeof(virtsock_part) == sizeof(int) && sizeof(virtsock_option) == sizeof(int) && sizeof(virtsock_item) == sizeof(int), "");
"""


def compiled(compiler, standard, text, tmp_path, *flags):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    file = tmp_path / "alone"
    file.write_text(text)
    run(compiler, "-x", "c++" if "++" in standard else "c", f"-std={standard}", *STRICT, *flags, file)


@pytest.mark.parametrize("standard", ["c99", "c11"])
@pytest.mark.parametrize("compiler", C)
def test_c(compiler, standard, tmp_path):
    compiled(compiler, standard, TWICE, tmp_path, "-Wstrict-prototypes", "-Wconversion")


@pytest.mark.parametrize("standard", ["c++98", "c++11", "c++17"])
@pytest.mark.parametrize("compiler", CXX)
def test_cxx(compiler, standard, tmp_path):
    """long long is C99's, which <stdint.h> has from before C++11."""
    compiled(compiler, standard, TWICE, tmp_path, *(["-Wno-long-long"] if standard == "c++98" else []))


@pytest.mark.parametrize("compiler", C)
def test_records_have_their_sizes(compiler, tmp_path):
    compiled(compiler, "c11", SIZES, tmp_path)


def test_a_reader_has_two_windows_side_by_side():
    assert not [line for line in HEADER.read_text().splitlines() if len(line) > 120]


def test_a_dropped_status_is_warned_of(tmp_path):
    """Where dropping it leaves nothing; not of a close."""
    dropped = '#include "virtsock.h"\nvoid f(virtsock_stream *s, virtsock_address *a) { %s; }\n'
    connects, closes = "virtsock_connect(&s, a, 0, 0)", "virtsock_address_free(a); virtsock_stream_close(s, 0, 0)"
    for compiler in ("gcc", "clang"):
        compiled(compiler, "c11", dropped % closes, tmp_path, "-Wunused-result")
        compiled(compiler, "c11", dropped % connects, tmp_path, "-DVIRTSOCK_MAY_DROP")
        with pytest.raises(AssertionError, match="unused-result"):
            compiled(compiler, "c11", dropped % connects, tmp_path)


def test_a_record_has_its_size_with_small_enumerations(tmp_path):
    """A caller's flag does not change the ABI."""
    compiled("gcc", "c11", SIZES, tmp_path, "-fshort-enums", "-fpack-struct=8")
