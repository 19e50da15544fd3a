# SPDX-License-Identifier: MIT
"""Names of VMs: hostile ones are values like any other, and what this system says to them. Services: what is refused everywhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import virtsock
from virtsock import Address, Status

NAMES = Path(__file__).parents[1] / "vectors/names.tsv"
SERVICE = "00000050-facb-11e6-bd58-64006a7986d3"


def unescape(name: str) -> bytes:
    return re.sub(rb"\\(x..|\\)", lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x" else b"\\", name.encode("ascii"))


def rows(verdict: str) -> list[tuple[bytes, str]]:
    columns = [line.split("\t") for line in NAMES.read_text("ascii").splitlines() if line[:1] not in ("", "#")]
    return [(unescape(name), text) for name, what, text in columns if what == verdict]


def test_there_are_enough_names() -> None:
    assert len(rows("ok")) > 70 and len(rows("invalid")) > 10


@pytest.mark.parametrize(("name", "text"), rows("ok"), ids=lambda value: value[:20])
def test_hostile_name(name: bytes, text: str) -> None:
    address = Address.hyperv(name.decode(), 80)
    assert str(address) == f"hvsock://{text}/{SERVICE}"
    assert address.vm == name.decode()
    assert Address(str(address)) == address


@pytest.mark.parametrize(("name", "text"), rows("invalid"), ids=lambda value: value[:20])
def test_no_name(name: bytes, text: str) -> None:
    with pytest.raises(ValueError):
        Address(f"hvsock://{text}/80")
    with pytest.raises(ValueError):
        Address.hyperv(name.decode("utf-8", "surrogateescape"), 80)


@pytest.mark.skipif(os.name == "nt", reason="Windows looks names up")
@pytest.mark.parametrize("text", ["hvsock://My%20VM/80", "hvsock://wsl/80"])
def test_names_are_looked_up_on_windows(text: str) -> None:
    with pytest.raises(virtsock.Error, match="virtsock resolve") as caught:
        virtsock.resolve(text, connect_timeout=1)
    assert caught.value.status == Status.UNSUPPORTED
    with pytest.raises(virtsock.Error) as caught:
        virtsock.connect(text)
    assert caught.value.status == Status.UNSUPPORTED


@pytest.mark.parametrize("service", ["", "x", "5000x", "-1", "2147483648", "any", SERVICE[:-1], " 80", "80/x"])
def test_a_service_is_a_guid_or_a_port(service: str) -> None:
    for call in (lambda: virtsock.service_register(service, "name"), lambda: virtsock.service_unregister(service)):
        with pytest.raises(virtsock.Error) as caught:
            call()
        assert caught.value.status == Status.INVALID


@pytest.mark.parametrize("name", ["", "a\nb", "\x7f", "x" * 256, "ö" * 128])
def test_the_name_of_a_service_is_text(name: str) -> None:
    with pytest.raises(virtsock.Error) as caught:
        virtsock.service_register(80, name)
    assert caught.value.status == Status.INVALID


@pytest.mark.skipif(os.name == "nt", reason="Windows registers services")
def test_services_are_registered_on_windows() -> None:
    for name in ("x", "x" * 255, "ö" * 127):
        with pytest.raises(virtsock.Error) as caught:
            virtsock.service_register(80, name)
        assert caught.value.status == Status.UNSUPPORTED
    with pytest.raises(OverflowError):
        virtsock.service_register(2**32, "name")
