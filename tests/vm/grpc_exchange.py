# SPDX-License-Identifier: MIT
"""gRPC between two machines: the four commands at the top of examples/python/grpc_echo.py, and a client that asks more than they do.

Owns what is run, broken and mended. Knows nothing of pytest, nor of what machines they are.
"""

import contextlib
import re

from builds import BUILD, ROOT, TOOL

FOLDER = ROOT / "examples" / "python"
CLIENT = ROOT / "tests" / "vm" / "grpc_client.py"
PATH = {"PATH": f"{TOOL.parent}:{BUILD / 'venv' / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"}
PATIENCE = 300                  # an emulated machine on a busy one takes minutes to import grpc and to make many calls
SERVER, THERE, HERE = range(3)
BREAKS = [("waiting", SERVER, "KILL", 137), ("reading", THERE, "KILL", 137), ("reading", HERE, "TERM", 0)]


def commands(changes):
    """The four of the text: server, relay there, relay here, client; each of the changes must be of some text that is in them."""
    text = "\n".join(re.findall(r"^    ((?:python3|virtsock) .*)", (FOLDER / "grpc_echo.py").read_text().split('"""')[1], re.MULTILINE))
    for old, new in changes.items():
        assert old in text, f"{old} is not in the example's commands"
        text = text.replace(old, str(new))
    server, there, here, client = text.splitlines()
    return server, there.replace("relay", "relay -v --drain 1"), here.replace("relay", "relay -v --drain 1"), client


class Line:
    """SERVER, and the relays THERE and HERE, all up."""

    def __init__(self, undo, guest, host, changes):
        self.undo, self.host = undo, host
        *served, self.client = commands(changes)
        self.rows = list(zip((guest, guest, host), served, strict=True))
        self.jobs = [self.start(number) for number in range(3)]

    def start(self, number):
        machine, command = self.rows[number]
        job = self.undo.enter_context(machine.start(f"exec {command}", env=PATH, cwd=FOLDER))
        job.expect("listening on", PATIENCE)
        return job

    def end(self, number, signal):
        self.jobs[number].signal(signal)
        return self.jobs[number].wait(PATIENCE)

    def again(self, number):
        self.jobs[number] = self.start(number)


@contextlib.contextmanager
def line(guest, host, changes):
    with contextlib.ExitStack() as undo:
        yield Line(undo, guest, host, changes)


def converse(guest, host, changes, *more):
    """The example's client; then the larger one, for whom BREAKS and more are made: what its stream does, what is ended, how, and the exit
    code of that."""
    with line(guest, host, changes) as ends:
        done = host.run(ends.client, PATIENCE, PATH, FOLDER)
        assert done == (0, b"HELLO\n0\n1\n2\n"), done.text
        target = ends.client.split()[3]
        breaks = [*BREAKS, *more]
        with host.start(["python3", CLIENT, target, PATIENCE, *(mode for mode, *_ in breaks)], env=PATH) as client:
            client.expect("ok\n", PATIENCE)
            for number, (_, what, signal, code) in enumerate(breaks):
                client.expect(f"streaming {number}\n", PATIENCE)
                assert ends.end(what, signal).code == code
                client.expect(f"broken {number}: UNAVAILABLE\n", PATIENCE)
                ends.again(what)
                client.expect(f"back {number}\n", PATIENCE)
            assert client.wait(PATIENCE).code == 0
