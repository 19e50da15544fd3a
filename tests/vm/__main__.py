# SPDX-License-Identifier: MIT
"""python3 -m tests.vm: boot a set-up by hand, run a command in it or read commands from the terminal."""

import argparse
import os
import shutil
import sys
import tempfile

from . import cache, lab


def main():
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm", description="Real virtual machines, by hand.")
    parser.add_argument("--logs", help="folder that keeps the serial logs")
    setups = parser.add_subparsers(dest="setup", required=True)
    one = setups.add_parser("loopback", help="a guest with AF_VSOCK over CID 1")
    two = setups.add_parser("pair", aliases=["nested"], help="a host and its guest")
    two.add_argument("where", nargs="?", choices=["host", "guest"], default="guest", help="which of them runs the command")
    three = setups.add_parser("mux", help="two guests behind a multiplexer; this machine is their host")
    three.add_argument("where", nargs="?", choices=["guest", "sibling"], default="guest", help="which of them runs the command")
    for setup in one, two, three:
        setup.add_argument("command", nargs="?", help="shell text; without it, lines are read and run one after another")
    setups.add_parser("clear", help="remove what is cached: kernel, ramdisks, multiplexer")
    chosen = parser.parse_args()
    if chosen.setup == "clear":
        return shutil.rmtree(cache.cache_root(), ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        return serve(chosen, chosen.logs or folder)


def serve(chosen, logs):
    make = {"loopback": lab.loopback, "mux": lab.family}.get(chosen.setup, lab.pair)
    try:
        with make(logs) as made:
            machine = pick(chosen, made)
            if chosen.command:
                return show(machine.run(chosen.command, timeout=3600))
            return converse(machine)
    except lab.LabError as error:
        print(f"tests.vm: {error}", file=sys.stderr)
        return 1


def pick(chosen, made):
    """The machine that was asked for; and how to reach it."""
    if chosen.setup == "loopback":
        return made
    if chosen.setup == "mux":
        number = ["guest", "sibling"].index(chosen.where)
        print(f"guest's CID {made.cids[number]}, socket {made.mux.path(made.cids[number])}", flush=True)
        return made.guests[number]
    print(f"{made.how}, guest's CID {made.cid}", flush=True)
    return getattr(made, chosen.where)


def converse(machine):
    """Run lines until the input ends; each is a shell of its own."""
    code = 0
    while True:
        try:
            code = show(machine.run(input(f"{machine.name}$ "), timeout=3600))
        except EOFError:
            return code


def show(result):
    os.write(1, result.output)
    return result.code


if __name__ == "__main__":
    sys.exit(main())
