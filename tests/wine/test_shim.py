# SPDX-License-Identifier: MIT
"""The shim judges: what no Hyper-V socket does is refused with the error that Windows has for it, and said in its log."""

import pytest

from builds import BUILD

from .rig import windows

PROGRAMS = BUILD / "mingw64" / "tests" / "wine"
EFAULT, EINVAL, ENOPROTOOPT, EPROTONOSUPPORT, ESOCKTNOSUPPORT = 10014, 10022, 10042, 10043, 10044
EMSGSIZE, EOPNOTSUPP, EAFNOSUPPORT, EADDRINUSE, ENOTCONN, ENOTSOCK, ECONNREFUSED = 10040, 10045, 10047, 10048, 10057, 10038, 10061
NO_JUDGEMENT = {"ConnectEx to nobody", "its address again"}

REFUSED = {
    "a datagram socket": ESOCKTNOSUPPORT, "another protocol": EPROTONOSUPPORT, "an address that is short": EFAULT,
    "an address with more in it": EINVAL, "an address of TCP": EAFNOSUPPORT, "listen without bind": EINVAL, "ConnectEx without bind": EINVAL,
    "getsockname without bind": EINVAL, "bind twice": EINVAL, "ConnectEx to nobody": ECONNREFUSED, "its address again": EADDRINUSE,
    "shutdown before the context": ENOTCONN, "getpeername before the context": ENOTCONN, "GetAcceptExSockaddrs": EOPNOTSUPP,
    "AcceptEx without room": EINVAL, "AcceptEx into TCP's": EINVAL, "the context of no listener": ENOTSOCK,
    "a send of 65,537 bytes": EMSGSIZE, "a longer one": EINVAL, "a flag of 2": EINVAL, "an option of 99": ENOPROTOOPT,
    "an option of TCP": ENOPROTOOPT, "select": EOPNOTSUPP, "WSAPoll": EOPNOTSUPP,
}
DONE = ("bind", "a listener", "ConnectEx", "the context", "getpeername", "AcceptEx", "the listener's", "a send of one", "a connect timeout",
        "a flag", "shutdown")


@pytest.mark.proves("D8")
def test_what_it_refuses(wine, board, tmp_path):
    log = tmp_path / "log"
    *rows, library, _ = wine.run(PROGRAMS / "refusals.exe", board=board, HVSHIM_LOG=windows(log))
    assert {what: int(error) for what, error in (row.split(": ") for row in rows)} == REFUSED | dict.fromkeys(DONE, 0)
    judged = [int(line.rpartition(": ")[2]) for line in log.read_text().splitlines() if line.startswith("judge ")]
    asked = [row.partition(": ")[0] for row in rows]
    assert judged == [REFUSED[what] for what in asked if what in REFUSED and what not in NO_JUDGEMENT]
    assert library.partition(" ")[2].lower() == windows(BUILD / "mingw64" / "virtsock-1.dll").lower()
