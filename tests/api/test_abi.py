# SPDX-License-Identifier: MIT
"""The report of changes to the binary interface: it is silent about the library as it is, and sees what must never happen."""

import shutil

import pytest

from .tree import CORE, DEV, HEADER, LINUX, run

ABI = CORE / "abi" / "abi"


@pytest.fixture
def abigail(need):
    need(shutil.which("abidw"), "abigail-tools is not installed")
    need(run("uname", "-m") == "x86_64\n", "the baseline is of x86_64")


def changed(tmp_path, *edits):
    """A library made from a copy of the core with other words in it."""
    copy = tmp_path / "core"
    shutil.copytree(CORE, copy)
    for file, old, new in edits:
        text = (copy / file).read_text()
        assert old in text
        (copy / file).write_text(text.replace(old, new))
    sources = [copy / file.relative_to(CORE) for file in LINUX]
    run("cc", "-g", "-shared", "-fPIC", "-fvisibility=hidden", "-std=c11", "-Wl,-soname,libvirtsock.so.0",
        f"-Wl,--version-script={DEV / 'virtsock.map'}", f"-I{copy}", f"-I{copy / 'include'}", *sources, "-o", tmp_path / "libvirtsock.so")
    return run(ABI, "report", tmp_path / "libvirtsock.so")


def test_the_report_is_about_the_library(abigail):
    assert run(ABI, "report").startswith("abi: ")


def test_the_baseline_names_no_machine():
    text = (CORE / "abi" / "libvirtsock-x86_64.abi").read_text()
    assert "path='core/error.c'" in text and "path='/" not in text
    assert len(text) < 50_000


def test_internals_are_no_interface(abigail, tmp_path):
    assert changed(tmp_path, ("stream.h", "linger_ms;", "linger_ms, more;")) == run(ABI, "report")


@pytest.mark.proves("T8")
def test_a_longer_error_record_shows(abigail, tmp_path):
    header = HEADER.relative_to(CORE)
    report = changed(tmp_path, (header, "message[224]", "message[240]"), ("error.c", "virtsock_error) == 256", "virtsock_error) == 272"))
    assert report.startswith("abi: changed") and "type size changed from 2048 to 2176 (in bits)" in report


def test_another_argument_shows(abigail, tmp_path):
    report = changed(tmp_path, (HEADER.relative_to(CORE), "virtsock_service_from_port(char out[37], uint32_t port)", "virtsock_service_from_port(char out[37], uint64_t port)"),
                     ("guid.c", "virtsock_service_from_port(char out[37], uint32_t port)", "virtsock_service_from_port(char out[37], uint64_t port)"))
    assert "virtsock_service_from_port" in report
