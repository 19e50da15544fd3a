# SPDX-License-Identifier: MIT
"""Addresses: the vectors that all languages read, and what Python adds."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest
import virtsock
from virtsock import Address, native

VECTORS = Path(__file__).parents[1] / "vectors/addresses.tsv"
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[tn\\])")


def unescape(field: str) -> str:
    def one(match: re.Match[bytes]) -> bytes:
        what = match[1]
        return bytes([int(what[1:], 16)]) if what[:1] == b"x" else {b"t": b"\t", b"n": b"\n", b"\\": b"\\"}[what]

    return ESCAPE.sub(one, field.encode("ascii")).decode("utf-8", "surrogateescape")


def rows() -> list[list[str]]:
    lines = VECTORS.read_text("ascii").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def as_text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def test_there_are_enough_vectors() -> None:
    assert len(rows()) >= 200


@pytest.mark.parametrize(("text", "use", "verdict", "canonical", "parts"), rows(), ids=lambda field: field[:40])
def test_vector(text: str, use: str, verdict: str, canonical: str, parts: str) -> None:
    assert use == "parse"
    if verdict == "invalid":
        with pytest.raises(ValueError) as caught:
            Address(unescape(text))
        assert isinstance(caught.value, virtsock.Error)
        assert caught.value.status == virtsock.Status.INVALID
        assert caught.value.operation == "parse"
        assert unescape(canonical) in str(caught.value)
        return
    assert verdict == "ok"
    address = Address(unescape(text))
    assert str(address) == unescape(canonical)
    assert Address(str(address)) == address
    assert native.address_equal(address._handle, Address(str(address))._handle) == 1
    for part in parts.split("|") if parts != "-" else []:
        name, _, value = part.partition("=")
        found = getattr(address, name)
        if value == "-":
            assert found is None
        else:
            assert as_text(found) == unescape(value), name


def test_value_semantics() -> None:
    a, b, c = Address("vsock://3:80"), Address("VSOCK://0x3:80"), Address("vsock://3:81")
    assert a == b and hash(a) == hash(b) and a != c and a != "vsock://3:80"
    assert len({a, b, c}) == 2
    assert sorted([c, a]) == [a, c] and a < c and a <= b and c > a and c >= a and not a < b
    for compare in (lambda: a < "vsock://4:80", lambda: a <= "vsock://4:80"):
        with pytest.raises(TypeError):
            compare()
    assert repr(a) == "Address('vsock://3:80')"
    assert pickle.loads(pickle.dumps(a)) == copy.deepcopy(a) == a
    a.__init__("vsock://9:9")  # type: ignore[misc]
    assert str(a) == "vsock://3:80" and a.cid == 3
    with pytest.raises(AttributeError):
        a.port = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        a.colour = "red"  # type: ignore[attr-defined]


def test_from_parts() -> None:
    big = Address.vsock(2**32 - 2, 2**32 - 2)
    assert (big.cid, big.port, str(big)) == (2**32 - 2, 2**32 - 2, "vsock://4294967294:4294967294")
    assert Address.vsock(virtsock.CID_ANY, virtsock.PORT_ANY).cid == 2**32 - 1
    assert Address.hyperv("parent", 80) == Address("hvsock://parent:80")
    assert Address.hyperv("", virtsock.service_from_port(80)).vm == ""
    assert Address.unix(Path("/tmp/a b")).path == "/tmp/a b"
    assert str(Address.unix("/tmp/a b")) == "unix:///tmp/a%20b"
    assert Address.unix("x").path == "./x"
    assert Address.mux("/run/vm.sock", 52) == Address("vsock-mux://:52/run/vm.sock")
    assert Address.mux("/v", 5).half_close == "unknown" and Address.mux("/v", 5).replace(half_close="unknown") == Address.mux("/v", 5)
    assert str(Address.mux("/v", 5).replace(half_close="native")) == "vsock-mux://:5/v?half-close=native"
    assert Address.hyperkit("/run/vm", 52).half_close == "native" and str(Address.unix("/v").replace(half_close="unknown")).endswith("unknown")
    assert Address.hyperkit("/run/vm", 52) == Address("hyperkit://:52/run/vm")
    assert Address.unix("/tmp/\udcff") == Address("unix:///tmp/%FF") and Address("unix:///%FF").path == "/\udcff"
    long = "/" + "ä" * 600
    assert Address.unix(long).path == long


def test_replace() -> None:
    """One part after the other, and again; the first stays as it is."""
    a = Address("vsock://3:80")
    for parts, want in (
        ({"cid": 4, "port": 0}, "vsock://4:0"),
        ({"cid": virtsock.CID_ANY, "port": virtsock.PORT_ANY}, "vsock://:any"),
        ({"type": "seqpacket", "to_host": True, "half_close": "none"}, "vsock://3:80?type=seqpacket&to-host=1&half-close=none"),
    ):
        b = a.replace(**parts)
        assert str(b) == want and {name: getattr(b, name) for name in parts} == parts and str(a) == "vsock://3:80"
    assert b.replace(type="stream", to_host=False, half_close="native") == a == a.replace()
    assert Address.unix("/a").replace(path=Path("b c?"), type="seqpacket") == Address("unix:///./b%20c%3F?type=seqpacket")
    assert Address.mux("/v", 52).replace(service=virtsock.service_from_port(7)).port is None
    assert Address.hyperv("parent", 80).replace(vm="a/b".replace("/", ":"), service=81).vm == "a:b"
    assert str(Address.tcp("127.0.0.1", 80)) == "tcp://127.0.0.1:80" and str(Address.tcp("::1", 80)) == "tcp://[::1]:80"
    assert str(Address("fd://3").replace(fd=4, type="seqpacket")) == "fd://4?type=seqpacket"
    for bad in ({"path": "/x"}, {"host": "::1"}, {"type": "smoke"}, {"half_close": ""}, {"cid": "3"}, {"fd": 3}):
        with pytest.raises(ValueError):
            a.replace(**bad)
    for bad in ({"host": "example.org"}, {"host": "127.0.0.1:80?type=dgram#"}, {"port": 65536}, {"to_host": True}, {"host": 5}):
        with pytest.raises(ValueError):
            Address.tcp("localhost", 80).replace(**bad)
    for bad, error in (({"port": -1}, OverflowError), ({"port": 2**32}, OverflowError), ({"colour": 1}, TypeError), ({"port": 1.5}, TypeError)):
        with pytest.raises(error):
            a.replace(**bad)


def test_service_ids() -> None:
    assert virtsock.service_from_port(0x50) == "00000050-facb-11e6-bd58-64006a7986d3"
    for port in (0, 1, 2**31 - 1, 2**31, 2**32 - 1):
        assert virtsock.port_from_service(virtsock.service_from_port(port)) == port
    with pytest.raises(LookupError) as caught:
        virtsock.port_from_service(virtsock.VM_PARENT)
    assert caught.value.status == virtsock.Status.NOT_FOUND
    with pytest.raises(ValueError, match="no GUID"):
        virtsock.port_from_service("80")


@pytest.mark.parametrize("bad", ["vsock://3:80\0", "\0", "a\0b", "\ud800", "vsock://\ud800:1"])
def test_text_that_no_address_can_hold(bad: str) -> None:
    for call in (Address, Address.unix, virtsock.port_from_service, lambda text: Address.hyperv(text, "1")):
        with pytest.raises(ValueError) as caught:
            call(bad)
        assert isinstance(caught.value, virtsock.Error) and caught.value.status == virtsock.Status.INVALID


@pytest.mark.parametrize("bad", [None, 5, b"vsock://3:80", bytearray(b"x"), 1.5, object()])
def test_what_is_no_text(bad: object) -> None:
    for call in (Address, Address.unix, virtsock.port_from_service, virtsock.resolve, virtsock.connect, virtsock.listen):
        with pytest.raises(TypeError):
            call(bad)


@pytest.mark.parametrize("bad", [2**32, -1, 2**64, -(2**64)])
def test_numbers_out_of_range(bad: int) -> None:
    for call in (lambda n: Address.vsock(n, 1), lambda n: Address.vsock(1, n), virtsock.service_from_port):
        with pytest.raises(OverflowError):
            call(bad)


@pytest.mark.parametrize("bad", [None, True, "80", 80.0, b"80", float("nan")])
def test_what_is_no_integer(bad: object) -> None:
    for call in (lambda n: Address.vsock(n, 1), lambda n: Address.vsock(1, n), virtsock.service_from_port):
        with pytest.raises(TypeError):
            call(bad)


def test_index_is_an_integer() -> None:
    class Seven:
        def __index__(self) -> int:
            return 7

    assert Address.vsock(Seven(), Seven()) == Address("vsock://7:7")  # type: ignore[arg-type]


def test_resolve_gives_others_back() -> None:
    assert virtsock.resolve("vsock://3:80") == Address("vsock://3:80")
