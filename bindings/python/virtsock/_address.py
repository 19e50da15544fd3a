# SPDX-License-Identifier: MIT
"""Addresses as values, and what there is to ask about this machine. Only `resolve` may wait, and only on Windows."""

from __future__ import annotations

import os

from . import native
from ._errors import Error

# By number.
_SCHEMES = ("", "vsock", "hvsock", "hyperkit", "vsock-mux", "unix", "tcp", "fd")
_TYPES = ("", "stream", "seqpacket", "dgram")
_HALF_CLOSES = ("", "native", "framed")


class Address:
    """Where something listens: immutable, hashable, equal to what has the same canonical text, which is `str(address)`.

    `Address(text)` parses, asks no system and looks no name up; bad text raises `virtsock.Error`, which is also a `ValueError` and says
    what to write instead. A part that an address does not have is None.
    """

    __slots__ = ("__weakref__", "_handle", "_text")

    def __init__(self, text: str) -> None:
        self._handle = native.address_parse(text)
        self._text = native.address_format(self._handle)

    @classmethod
    def _of(cls, handle: native._Address) -> Address:
        self = cls.__new__(cls)
        self._handle = handle
        self._text = native.address_format(handle)
        return self

    @classmethod
    def vsock(cls, cid: int, port: int) -> Address:
        """`vsock://CID:PORT`; both 0..2**32-1."""
        return cls._of(native.address_vsock(cid, port))

    @classmethod
    def hyperv(cls, vm: str, service: str | int) -> Address:
        """`hvsock://VM/SERVICE`: a GUID, a well-known word, a name or "" for the wildcard; a GUID or a port."""
        return cls._of(native.address_hyperv(vm, service if isinstance(service, str) else service_from_port(service)))

    @classmethod
    def unix(cls, path: str | os.PathLike[str]) -> Address:
        """`unix:///PATH`, from a path as the system has it."""
        return cls._of(native.address_path(native.SCHEME_UNIX, os.fspath(path), 0))

    @classmethod
    def mux(cls, path: str | os.PathLike[str], port: int) -> Address:
        """`vsock-mux://:PORT/PATH`: the multiplexers of Firecracker and its kin."""
        return cls._of(native.address_path(native.SCHEME_MUX, os.fspath(path), port))

    @classmethod
    def hyperkit(cls, path: str | os.PathLike[str], port: int) -> Address:
        """`hyperkit://:PORT/DIRECTORY`."""
        return cls._of(native.address_path(native.SCHEME_HYPERKIT, os.fspath(path), port))

    @property
    def scheme(self) -> str:
        """`"vsock"`, `"hvsock"`, `"hyperkit"`, `"vsock-mux"`, `"unix"`, `"tcp"` or `"fd"`."""
        return _SCHEMES[native.address_scheme(self._handle)]

    @property
    def cid(self) -> int | None:
        return native.address_number(self._handle, native.PART_CID)

    @property
    def port(self) -> int | None:
        """`PORT_ANY` asks the system to choose, when listening."""
        return native.address_number(self._handle, native.PART_PORT)

    @property
    def vm(self) -> str | None:
        """A well-known word, a GUID or a name; "" is the wildcard."""
        return native.address_text(self._handle, native.PART_VM)

    @property
    def service(self) -> str | None:
        """A GUID."""
        return native.address_text(self._handle, native.PART_SERVICE)

    @property
    def path(self) -> str | None:
        """As the system has it, nothing encoded."""
        return native.address_text(self._handle, native.PART_PATH)

    @property
    def host(self) -> str | None:
        return native.address_text(self._handle, native.PART_HOST)

    @property
    def fd(self) -> int | None:
        return native.address_number(self._handle, native.PART_FD)

    @property
    def type(self) -> str:
        """`"stream"`, `"seqpacket"` or `"dgram"`."""
        return _TYPES[native.address_number(self._handle, native.PART_TYPE) or 0]

    @property
    def to_host(self) -> bool | None:
        """A sibling VM is reached through the host (vsock alone)."""
        number = native.address_number(self._handle, native.PART_TO_HOST)
        return None if number is None else bool(number)

    @property
    def half_close(self) -> str:
        """`"native"` or `"framed"`."""
        return _HALF_CLOSES[native.address_number(self._handle, native.PART_HALF_CLOSE) or 0]

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Address({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Address) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return type(self), (self._text,)


def handle_of(address: Address | str) -> native._Address:
    return (address if isinstance(address, Address) else Address(address))._handle


def resolve(address: Address | str) -> Address:
    """The address without a name: looks up a Hyper-V VM's, on Windows, which takes a while; others are given back as they are."""
    return Address._of(native.resolve(handle_of(address), None))


def supported(scheme: str) -> bool:
    """Whether this system and this version have sockets for a scheme (`Address.scheme`). Opens one, connects to nothing."""
    try:
        native.supported(_SCHEMES.index(scheme))
    except (Error, ValueError):
        return False
    return True


def local_cid() -> int:
    """This machine's CID. Ask again after a snapshot was restored: it may have changed."""
    return native.local_cid()


def service_from_port(port: int) -> str:
    """A vsock port as a Hyper-V service id, a GUID."""
    return native.service_from_port(port)


def port_from_service(service: str) -> int:
    """The port that a service id stands for; `ValueError`: no GUID, `LookupError`: a GUID that stands for none."""
    return native.port_from_service(service)
