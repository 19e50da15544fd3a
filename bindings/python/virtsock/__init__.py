# SPDX-License-Identifier: MIT
"""Sockets between hosts and virtual machines: vsock, Hyper-V sockets and their kin, by one address text.

    with virtsock.connect("vsock://3:1024", timeout=5) as stream:
        stream.sendall(b"hello")
        stream.shutdown(virtsock.SHUT_SEND)
        print(stream.recv(100))

Times are seconds; failures are `virtsock.Error`s, which are `OSError`s and also the builtin that fits.
"""

from __future__ import annotations

# ruff: isort: off
# fmt: off
from ._address import (
    Address, local_cid, port_from_service, resolve, service_from_port, service_register, service_unregister, supported, version,
)
from ._errors import (
    BrokenOffError, DeniedError, EndOfStreamError, Error, InvalidError, NotFoundError, RefusedError, ResetError,
    TimedOutError, WouldBlockError,
)
from ._stream import Listener, Stream, connect, listen, wait
from .native import (
    CID_ANY, CID_HOST, CID_HYPERVISOR, CID_LOCAL, PEER_DEAF, PEER_ENDED, PEER_GONE, PORT_ANY, SHUT_BOTH, SHUT_RECV, SHUT_SEND,
    SHUT_SEND_UNCHECKED, VERSION as __version__, VM_BROADCAST, VM_CHILDREN, VM_LOOPBACK, VM_PARENT, VM_SILOHOST, VM_WILDCARD,
)

__all__ = [
    "CID_ANY", "CID_HOST", "CID_HYPERVISOR", "CID_LOCAL", "PEER_DEAF", "PEER_ENDED", "PEER_GONE", "PORT_ANY", "SHUT_BOTH", "SHUT_RECV", "SHUT_SEND",
    "SHUT_SEND_UNCHECKED", "VM_BROADCAST", "VM_CHILDREN", "VM_LOOPBACK", "VM_PARENT", "VM_SILOHOST", "VM_WILDCARD",
    "Address", "BrokenOffError", "DeniedError", "EndOfStreamError", "Error", "InvalidError", "Listener", "NotFoundError", "RefusedError",
    "ResetError", "Status", "Stream", "TimedOutError", "WouldBlockError", "__version__", "connect", "listen", "local_cid",
    "port_from_service", "resolve", "service_from_port", "service_register", "service_unregister", "supported", "version", "wait",
]
# fmt: on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._status import Status
else:

    def __getattr__(name: str) -> type:
        if name != "Status":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ._status import Status

        return Status
