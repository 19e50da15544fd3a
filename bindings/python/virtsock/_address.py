# SPDX-License-Identifier: MIT
"""Addresses as values, and what there is to ask and to tell this machine. Only `resolve` may wait, and only on Windows."""

from __future__ import annotations

import os

from . import native
from ._errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

# By number.
_SCHEMES = ("", "vsock", "hvsock", "hyperkit", "vsock-mux", "unix", "tcp", "fd")
_TYPES = ("", "stream", "seqpacket", "dgram")
_HALF_CLOSES = ("", "native", "framed", "none", "unknown")


class Address:
    """Where something listens: immutable, hashable, equal to what has the same canonical text, which is `str(address)` and gives the order.

    `Address(text)` parses, asks no system and looks no name up; bad text raises `virtsock.Error`, which is also a `ValueError` and says
    what to write instead. A part that an address does not have is None.
    """

    __slots__ = ("__weakref__", "_handle", "_text")

    _handle: native._Address
    _text: str

    def __new__(cls, text: str) -> Self:
        return cls._of(native.address_parse(text))

    @classmethod
    def _of(cls, handle: native._Address) -> Self:
        self = object.__new__(cls)
        self._handle = handle
        self._text = native.address_format(handle)
        return self

    @classmethod
    def vsock(cls, cid: int, port: int) -> Self:
        """`vsock://CID:PORT`; both 0..2**32-1, or `OverflowError`."""
        return cls._of(native.address_vsock(cid, port))

    @classmethod
    def hyperv(cls, vm: str, service: str | int) -> Self:
        """`hvsock://VM/SERVICE`: a GUID, a well-known word, a name or "" for the wildcard; a GUID or a port. `ValueError`: neither."""
        return cls._of(native.address_hyperv(vm, _service(service)))

    @classmethod
    def unix(cls, path: str | os.PathLike[str]) -> Self:
        """`unix:///PATH`, from a path as the system has it. `ValueError`: it is empty, or has a NUL."""
        return cls._of(native.address_path(native.SCHEME_UNIX, os.fspath(path), 0))

    @classmethod
    def mux(cls, path: str | os.PathLike[str], port: int) -> Self:
        """`vsock-mux://:PORT/PATH`: the multiplexers of Firecracker and its kin. `ValueError`: no path; `OverflowError`: no port."""
        return cls._of(native.address_path(native.SCHEME_MUX, os.fspath(path), port))

    @classmethod
    def hyperkit(cls, path: str | os.PathLike[str], port: int) -> Self:
        """`hyperkit://:PORT/DIRECTORY`. `ValueError`: no directory; `OverflowError`: no port."""
        return cls._of(native.address_path(native.SCHEME_HYPERKIT, os.fspath(path), port))

    @classmethod
    def tcp(cls, host: str, port: int) -> Self:
        """`tcp://HOST:PORT`, without a lookup. `ValueError`: no such address, or a port above 65535; `OverflowError`: no port."""
        return cls._of(native.address_with(native.address_with(None, native.PART_HOST, host), native.PART_PORT, port))

    def replace(self, **parts: Any) -> Self:
        """As this one, but for those parts, which have the names and the values of the properties.

        `ValueError`: this scheme has no such part, or it cannot be so. `TypeError`: no address has such a part.

        `Address.unix("/run/x").replace(type="seqpacket")`
        """
        handle = self._handle
        for name, value in parts.items():
            part = getattr(native, f"PART_{name.upper()}", None)
            if part is None:
                raise TypeError(f"an address has no part {name!r}")
            handle = native.address_with(handle, part, _TO_NATIVE[name](value) if name in _TO_NATIVE else value)
        return self._of(handle)

    @property
    def scheme(self) -> str:
        """`"vsock"`, `"hvsock"`, `"hyperkit"`, `"vsock-mux"`, `"unix"`, `"tcp"` or `"fd"`."""
        return _SCHEMES[native.address_scheme(self._handle)]

    @property
    def cid(self) -> int | None:
        """Of vsock and hyperkit. `CID_ANY` listens on every CID of this machine."""
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
        """A GUID, of hvsock and vsock-mux."""
        return native.address_text(self._handle, native.PART_SERVICE)

    @property
    def path(self) -> str | None:
        """As the system has it, nothing encoded."""
        return native.address_text(self._handle, native.PART_PATH)

    @property
    def host(self) -> str | None:
        """Of tcp, as digits; no name is looked up."""
        return native.address_text(self._handle, native.PART_HOST)

    @property
    def fd(self) -> int | None:
        """The descriptor of `fd://N`."""
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
        """How one direction ends: `"native"`, `"framed"`, `"none"`, or `"unknown"`, which is a multiplexer's unless the address says."""
        return _HALF_CLOSES[native.address_number(self._handle, native.PART_HALF_CLOSE) or 0]

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Address({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Address) else NotImplemented

    def __lt__(self, other: Address) -> bool:
        return self._text < other._text if isinstance(other, Address) else NotImplemented

    def __le__(self, other: Address) -> bool:
        return self._text <= other._text if isinstance(other, Address) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return type(self), (self._text,)


# What a property's value is below.
_TO_NATIVE: dict[str, Callable[[Any], int | str]] = {
    "type": _TYPES.index,
    "half_close": _HALF_CLOSES.index,
    "to_host": int,
    "path": os.fspath,
    "service": lambda service: _service(service),
}


def handle_of(address: Address | str) -> native._Address:
    return (address if isinstance(address, Address) else Address(address))._handle


def resolve(address: Address | str, *, connect_timeout: float | None = None) -> Address:
    """The address without a name: looks up a Hyper-V VM's, on Windows, which takes a while; others are given back as they are.

    `TimeoutError` after so many seconds, 10 unless told; `LookupError`: no VM has the name (or AMBIGUOUS: several); `PermissionError`.
    """
    options = native.options_new()
    if connect_timeout is not None:
        native.options_set(options, native.OPTION_CONNECT_TIMEOUT, native.milliseconds(connect_timeout))
    return Address._of(native.resolve(handle_of(address), options))


def supported(scheme: str) -> bool:
    """Whether this system and this version have sockets for a scheme (`Address.scheme`). Opens one and never waits."""
    try:
        native.supported(_SCHEMES.index(scheme))
    except (Error, ValueError):
        return False
    return True


def local_cid() -> int:
    """This machine's CID, at once; status UNSUPPORTED: it has none. Ask again after a snapshot was restored: it may have changed."""
    return native.local_cid()


def version() -> str:
    """Of the library in C that runs, as text."""
    return native.version()


def service_from_port(port: int) -> str:
    """A vsock port as a Hyper-V service id, a GUID. `OverflowError`: no port."""
    return native.service_from_port(port)


def port_from_service(service: str) -> int:
    """The port that a service id stands for; `ValueError`: no GUID, `LookupError`: a GUID that stands for none."""
    return native.port_from_service(service)


def _service(service: str | int) -> str:
    return service if isinstance(service, str) else service_from_port(service)


def service_register(service: str | int, name: str) -> None:
    """Registers a Hyper-V service (a GUID or a port) with this Windows host, so that guests reach it. Done before is fine; the name stays.

    `PermissionError`: it takes an administrator. Never waits. Other systems need no registration (status UNSUPPORTED).
    """
    native.service_register(_service(service), name)


def service_unregister(service: str | int) -> None:
    """Takes the registration away; fine if there is none. As `service_register` otherwise."""
    native.service_unregister(_service(service))
