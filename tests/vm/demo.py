# SPDX-License-Identifier: MIT
"""What ./demo shows: an exchange between a host and its guest, both ways, in three languages; by itself, nothing of pytest.

The nearest way that works is taken: a guest of this machine over vhost-vsock; a guest of this machine over a multiplexer, where its program
is here or is had as a package file in seconds; an emulated machine with a guest of its own, over vhost-vsock.
"""

import sys
import tempfile

from . import lab, qemu
from .exchange import LANGUAGES, ask, serve
from .machine import Here, LabError

PORT = 7000
NEXT = """demo: what to try next:
  python3 -m tests.vm pair guest          a shell in the guest (type: build/release/tools/virtsock info)
  python3 -m tests.vm.image FOLDER        a guest image of your own, for any hypervisor: docs/guest-image.md
  build/release/tools/virtsock cat --help    send and receive from the command line
  build/release/tools/virtsock echo --help   a server and a client to try a peer out
  ./check                                 every behaviour; ./check all: every test"""


def exchange(ways, how):
    for way in ways:
        for language in LANGUAGES:
            with serve(way.listening, language, way.listens_at):
                took = ask(way.connecting, language, way.connects_to, way.half_close)
            print(f"demo: {way.label} {language} ok {took:.0f} ms via {how}", flush=True)


def setups():
    """(what to call it, how to make it, what to say before), the nearest first."""
    if qemu.vhost_here():
        yield "vhost-vsock", lab.on_this_machine, "a guest"
    yield "multiplexer", lambda logs: lab.family(logs, lab.SIBLINGS[:1], build=False), "a guest behind a multiplexer"
    yield "nested vhost-vsock", lab.nested, "a host and its guest; half a minute, where both are emulated"


def between_machines(logs):
    """Over the nearest set-up that comes up."""
    failed = None
    for how, make, what in setups():
        print(f"demo: booting {what}", flush=True)
        try:
            machines = make(logs)
        except LabError as error:
            print(f"demo: not via {how}: {error}", file=sys.stderr, flush=True)
            failed = error
            continue
        with machines:
            return exchange(machines.ways(PORT), how)
    raise failed


def stand_in(folder):
    """No guest: both ends are here, over a UNIX socket."""
    address = f"unix://{folder}/stand-in.sock"
    exchange([lab.Way(label, Here(), address, Here(), address) for label in ("host->guest", "guest->host")], "stand-in")


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
