# SPDX-License-Identifier: MIT
"""Clients that are processes of their own, to be killed.

They are made by one that has none of the house's sockets: a child's copy of a socket keeps a conversation open.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

LIFE = 900  # seconds, if nobody kills it: the house may have burnt down


class Mortals:
    def __init__(self, said: bytes) -> None:
        self.maker = subprocess.Popen(
            [sys.executable, __file__, said.decode()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.alive: list[int] = []

    def begin(self, path: str, count: int) -> None:
        """So many clients; each has said its words when this returns."""
        assert self.maker.stdin and self.maker.stdout
        self.maker.stdin.write(f"{count} {path}\n".encode())
        self.maker.stdin.flush()
        self.alive += [int(self.maker.stdout.readline()) for _ in range(count)]

    def kill(self, count: int) -> None:
        """The oldest."""
        for number in self.alive[:count]:
            os.kill(number, signal.SIGKILL)
        del self.alive[:count]

    def end(self) -> None:
        self.kill(len(self.alive))
        self.maker.communicate(timeout=60)


def live(path: str, said: bytes) -> None:
    signal.alarm(LIFE)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(said)
        os.write(1, b"%d\n" % os.getpid())
        while True:
            signal.pause()


def main(said: bytes) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # none is left as a zombie
    for line in sys.stdin:
        count, path = line.split()
        for _ in range(int(count)):
            if os.fork() == 0:
                live(path, said)


if __name__ == "__main__":
    main(sys.argv[1].encode())
