# SPDX-License-Identifier: MIT
"""virtsock service, and `cat -l --register`: what they print on any system. tests/wine has the registry."""

import re

import pytest
from test_tools import run

ID = "00001388-facb-11e6-bd58-64006a7986d3"
OTHER = "8ba03980-174a-43e7-852a-e5ec79a671c7"
PLACE = r"HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Virtualization\GuestCommunicationServices"
ONLY_WINDOWS = "only a Windows host registers services; others need no registration\n"


def service(*words):
    done = run("service", *words, text=True)
    return done.returncode, done.stdout, done.stderr


def value_of(literal):
    """What PowerShell makes of strings in single quotes and [char]s with + between; fails for anything else."""
    pieces = re.fullmatch(r"\(((?:'(?:[^'\n]|'')*'|\[char\]0x[0-9a-f]+)(?: \+ (?:'(?:[^'\n]|'')*'|\[char\]0x[0-9a-f]+))*)\)", literal)
    assert pieces, literal
    units = b""
    for text, number in re.findall(r"'((?:[^']|'')*)'|0x([0-9a-f]+)", pieces[1]):
        units += int(number, 16).to_bytes(2, "little") if number else text.replace("''", "'").encode("utf-16-le")
    return units.decode("utf-16-le")


@pytest.mark.parametrize("text", ["5000", "0x1388", ID, ID.upper(), "00001388-FACB-11e6-bd58-64006a7986d3"])
def test_script_that_registers(text):
    assert service("register", "--script", text, "My service") == (0, f"""$key = '{PLACE}\\{ID}'
if (-not (Test-Path -LiteralPath $key)) {{ New-Item -Path $key -Force | Out-Null }}
if ($null -eq (Get-Item -LiteralPath $key).GetValue('ElementName')) {{
    New-ItemProperty -LiteralPath $key -Name ElementName -PropertyType String -Value ('My service') | Out-Null
}}
""", "")  # fmt: skip


def test_script_that_unregisters():
    assert service("unregister", "--script", OTHER) == (0, f"""$key = '{PLACE}\\{OTHER}'
if (Test-Path -LiteralPath $key) {{ Remove-Item -LiteralPath $key }}
""", "")


@pytest.mark.parametrize("name", [
    "a", "it's", "'", "''", "'; Remove-Item x; '", "$(calc)", "`'", "\\'", '"x"', "‘’‚‛", "it’s", "‘; calc; ’", "đ‘x", "Größe", "虚拟机", "🖥️",
    "\U0010ffff", "\uffff", "'+'", "' + [char]0x41 + '", "%s%n", "x" * 1000,
])  # fmt: skip
def test_names_in_a_script_are_data(name):
    """Whatever encoding the file is read in: it is ASCII."""
    code, out, err = service("register", "--script", "5000", name)
    assert (code, err) == (0, "") and out.isascii()
    assert value_of(out.partition(" -Value ")[2].partition(" | Out-Null\n}")[0]) == name
    assert out.count("\n") == 5


def test_the_name_unless_told():
    assert "-Value ('virtsock')" in service("register", "--script", "5000")[1]


def test_plan():
    plan = f"would make {PLACE.replace(':', '')}\\{ID}\nwould set ElementName to it’s\n"
    assert service("register", "--dry-run", "5000", "it’s") == (0, plan, "")
    assert service("unregister", "--dry-run", "5000") == (0, f"nothing to do: {ID} is not registered\n", "")


def test_elsewhere_nothing_is_registered():
    assert service("register", "5000") == (1, "", f"virtsock: register hvsock:///{ID}: {ONLY_WINDOWS}")
    assert service("unregister", OTHER) == (1, "", f"virtsock: unregister hvsock:///{OTHER}: {ONLY_WINDOWS}")
    assert service("status", "5000") == service("list") == service("list", "--json") == (1, "", f"virtsock: {ONLY_WINDOWS}")


@pytest.mark.parametrize("words", [
    (), ("register",), ("unregister",), ("status",), ("enlist", "5000"), ("list", "5000"), ("unregister", "5000", "name"), ("status", "5000", "x"),
    ("register", ""), ("register", "x"), ("register", "5000x"), ("register", "-1"), ("register", "2147483648"), ("register", ID[:-1]), ("register", "any"),
    ("register", "5000", ""), ("register", "5000", "a\nb"), ("register", "5000", "a\x1bb"), ("register", "5000", b"Gr\xf6\xdfe"),
    ("register", "5000", "x", "y"), ("list", "--script"), ("status", "--dry-run", "5000"), ("register", "--script", "--dry-run", "5000"),
    ("register", "--json", "--script", "5000"), ("register", "--script", "5000", "a\nb"), ("register", "--script", "x"),
])  # fmt: skip
def test_usage(words):
    code, out, err = service(*words)
    assert (code, out) == (2, "") and err.startswith("virtsock: ")


@pytest.mark.parametrize("address", ["hvsock:///5000", f"hvsock://parent/{ID}", "vsock://:5000"])
def test_cat_registers_before_it_listens(address):
    done = run("cat", "-l", "--register", address, text=True)
    assert (done.returncode, done.stderr) == (1, f"virtsock: register hvsock:///{ID}: {ONLY_WINDOWS}")


@pytest.mark.parametrize("words", [
    ("--register", "hvsock:///5000"), ("-l", "--register", "unix:///tmp/x"), ("-l", "--register", "vsock://:2147483648"), ("-l", "--register", "vsock://:any"),
    ("-l", "--register", "tcp://0.0.0.0:1"),
])  # fmt: skip
def test_cat_registers_what_is_a_service(words):
    done = run("cat", *words, text=True)
    assert done.returncode == 2 and "--register is for" in done.stderr
