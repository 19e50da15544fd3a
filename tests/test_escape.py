# SPDX-License-Identifier: MIT
# ruff: noqa: F811
"""What others chose, as the command shows it: control characters, ends of lines and what turns the direction of text
never reach a terminal as they are, and are escaped in JSON, which stays JSON."""

import ctypes
import json
import os
import random
import re
import subprocess
import unicodedata

import pytest
from builds import ROOT
from test_doctor import GUEST, folder, system  # noqa: F401
from test_tools import run

TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ENDING = "\u2028\u2029"
OBEYED = {chr(c) for c in (*range(1, 32), *range(127, 160))} | set(TURNING + ENDING)
CALM = "plain, äöü, 漢字, \U0001f600, \\ \" %s %n \u00a0\u00ad"


def obeyed(text):
    """What a terminal would, but for the ends of lines that are the program's own."""
    return [c for c in text if c in OBEYED - {"\n"} or (unicodedata.category(c) == "Cc" and c != "\n")]


@pytest.fixture(scope="module")
def escape(tmp_path_factory):
    """tools/common/escape.c: bytes of a text, as they are shown in room for `cap` bytes."""
    made = tmp_path_factory.mktemp("escape") / "escape.so"
    source = ROOT / "tools/common/escape.c"
    command = ["cc", "-std=c11", "-Wall", "-Werror", "-shared", "-fPIC", f"-I{ROOT}/tools", "-o", made, source]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(made))

    def call(text, cap=4096):
        out = ctypes.create_string_buffer(b"#" * (cap + 8))
        library.escape_text(out, ctypes.c_size_t(cap), ctypes.c_char_p(text))
        assert out.raw[cap : cap + 8] == b"#" * 8
        return out.value

    return call


def test_every_character(escape):
    for number in (*range(1, 0x3000), *range(0xD7F0, 0xD800), *range(0xE000, 0xE010), 0xFEFF, 0xFFFD, 0xFFFF, 0x10000, 0x10FFFF):
        c = chr(number)
        shown = escape(c.encode()).decode()
        if c not in OBEYED:
            assert shown == c
        elif number < 128:
            assert shown == f"\\x{number:02x}"
        else:
            assert shown == f"\\u{number:04x}"


@pytest.mark.parametrize("text", [b"\x9b31m", b"a\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80", b"\xc2"])
def test_bytes_that_are_no_text(escape, text):
    said = escape(text).decode("ascii")
    assert re.sub(r"\\x(..)", lambda m: chr(int(m[1], 16)), said).encode("latin-1") == text


def test_what_does_not_fit_is_cut_between_characters(escape):
    text = "ä\x1b\u202e漢".encode()
    whole = escape(text)
    for cap in range(1, len(whole) + 2):
        said = escape(text, cap)
        assert len(said) < cap and whole.startswith(said)
        said.decode()
        assert said in (b"", b"\xc3\xa4", b"\xc3\xa4\\x1b", b"\xc3\xa4\\x1b\\u202e", whole)


def test_any_bytes(escape):
    chance = random.Random(20)
    for _ in range(3000):
        text = bytes(chance.choice((chance.randrange(1, 256), 0xC2, 0xE2, 0x80, 0x9B)) for _ in range(chance.randrange(40)))
        assert obeyed(escape(text).decode()) == []


HOSTILE = "QEMU\x1b]0;pwned\x07 \x9b31m \u202eabc\u2066 " + CALM + "\nproblem  forged  all is lost"


@pytest.mark.parametrize("as_json", [False, True])
def test_strings_of_the_firmware_and_labels(system, as_json):
    """As the host of a VM, or a policy of this one, chooses them."""
    root = system({
        **GUEST,
        "sys/class/dmi/id/sys_vendor": HOSTILE + "\n",
        "sys/class/dmi/id/product_name": HOSTILE,
        "proc/sys/kernel/osrelease": HOSTILE,
        "sys/module/apparmor/parameters/enabled": "Y\n",
        "proc/self/attr/current": HOSTILE + " (enforce)\n",
    })
    done = run("doctor", *["--json"] * as_json, root, text=True, encoding="utf-8")
    assert obeyed(done.stdout) == [] and "漢字" in done.stdout
    if as_json:
        told = {finding["id"]: finding["text"] for finding in json.loads(done.stdout)["findings"]}
        assert told["machine"].count(HOSTILE) == 3
        assert told["apparmor"].endswith(HOSTILE + " (enforce)")
    else:
        assert not [line for line in done.stdout.splitlines() if line.startswith("problem  forged")]
        assert "\\x1b]0;pwned\\x07 \\u009b31m \\u202eabc\\u2066 " in done.stdout


def test_bytes_of_the_firmware_that_are_no_text(system, folder):
    root = system(GUEST)
    (folder / "root/sys/class/dmi/id").mkdir(parents=True)
    (folder / "root/sys/class/dmi/id/sys_vendor").write_bytes(b"QEMU\x9b31m\xff\n")
    assert b"QEMU\\x9b31m\\xff" in run("doctor", root).stdout
    [machine, *_] = json.loads(run("doctor", "--json", root).stdout)["findings"]
    assert machine["text"].endswith("QEMU\ufffd31m\ufffd")


def test_parts_of_an_address():
    """Which may have come from anywhere."""
    path = "".join(sorted(OBEYED)) + CALM[:12]
    address = "unix:///" + "".join(f"%{byte:02X}" for byte in path.encode())
    assert obeyed(run("info", address, text=True, encoding="utf-8").stdout) == []
    said = run("info", "--json", address, text=True, encoding="utf-8").stdout
    assert obeyed(said) == [] and json.loads(said)["path"] == f"/{path}"


@pytest.mark.parametrize("words", [("cat",), ("relay", "unix:///a"), ("cat", "--wait"), ("info",), ("relay", "-inport"), ("resolve",)])
def test_messages(words):
    """The command's own word of what was said to it, or of what it was told: one line each."""
    text = f"{HOSTILE}{''.join(sorted(OBEYED))}"
    done = run(*words, text, text=True, encoding="utf-8")
    assert done.returncode == 2
    assert obeyed(done.stderr) == []
    assert all(line.startswith("virtsock: ") for line in done.stderr.splitlines())


def test_lines_of_a_relay(tmp_path):
    """To its log: rules have addresses as their authors wrote them."""
    (tmp_path / "rules").write_bytes(b"unix:///a\x1b[31m\xff unix:///b nonsense\x9b=1\n")
    said = run("relay", "--rules", os.fspath(tmp_path / "rules")).stderr
    assert said.startswith(b"virtsock: ") and obeyed(said.decode()) == []
