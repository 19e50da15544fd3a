# SPDX-License-Identifier: MIT
"""What ./demo shows: an exchange between a host and its guest, both ways, in three languages; by itself, nothing of pytest."""

import sys
import tempfile

from . import lab
from .exchange import LANGUAGES, ask, serve
from .machine import Here, LabError

PORT = 7000
NEXT = """demo: what to try next:
  python3 -m tests.vm pair guest          a shell in the guest (type: build/release/tools/virtsock info)
  build/release/tools/virtsock cat --help    send and receive from the command line
  build/release/tools/virtsock echo --help   a server and a client to try a peer out
  ./check                                 every test"""


def exchange(ways, how):
    """ways: (what to print, the machine that listens, its address, the one that connects, the address it connects to)"""
    for label, listening, listens_at, connecting, connects_to in ways:
        for language in LANGUAGES:
            with serve(listening, language, listens_at):
                took = ask(connecting, language, connects_to)
            print(f"demo: {label} {language} ok {took:.0f} ms via {how}", flush=True)


def between_machines(logs):
    print("demo: booting a host and its guest; half a minute, where both are emulated", flush=True)
    with lab.pair(logs) as vms:
        print(f"demo: both are up ({vms.how})", flush=True)
        there, here = f"vsock://:{PORT}", f"vsock://:{PORT + 1}"
        exchange([("host->guest", vms.guest, there, vms.host, f"vsock://{vms.cid}:{PORT}"),
                  ("guest->host", vms.host, here, vms.guest, f"vsock://2:{PORT + 1}")], "vhost-vsock")


def stand_in(folder):
    """No guest: both ends are here, over a UNIX socket."""
    address = f"unix://{folder}/stand-in.sock"
    exchange([(way, Here(), address, Here(), address) for way in ("host->guest", "guest->host")], "stand-in")


def main():
    with tempfile.TemporaryDirectory(prefix="virtsock-demo-") as folder:
        try:
            between_machines(folder)
            code = 0
        except LabError as error:
            print(f"demo: no virtual machine can be booted here, so a UNIX socket stands in: {error}", file=sys.stderr)
            stand_in(folder)
            code = 3
    print(NEXT)
    return code


if __name__ == "__main__":
    sys.exit(main())
