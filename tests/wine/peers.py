# SPDX-License-Identifier: MIT
"""Peers of the shim that are no Windows programs: each is a service of the VM `PEERS`, and plays one fault. They publish themselves in the
switchboard, a folder with a file for each service in which its TCP port stands."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from pathlib import Path

PEERS = "11111111-2222-3333-0102-030405060708"
TEMPLATE = "-facb-11e6-bd58-64006a7986d3"
RESET, LOST, DRIP, HALF, REFUSE, STALL, SLOW, LATE_ACCEPT, LATE = range(0x7001, 0x700A)
LATE_ACCEPT_S = 0.8


def service(port: int, vm: str = PEERS) -> str:
    """The name of its file."""
    return f"{vm}.{port:08x}{TEMPLATE}"


def reset_connection(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Peers:
    """Serves until it is closed. What SLOW has seen is in `seen`: a line each, bytes and how it ended."""

    def __init__(self, board: Path) -> None:
        self.board, self.sockets, self.seen = board, [], board / "slow"
        for port, play in ((RESET, self.reset), (LOST, self.lost), (DRIP, self.drip), (HALF, self.half), (STALL, self.stall),
                           (SLOW, self.slow), (LATE, self.greet)):
            self.serve(self.listener(), play, service(port))
        refuses = socket.socket()
        refuses.bind(("127.0.0.1", 0))
        self.publish(refuses, service(REFUSE))
        self.serve_late()
        self.dig()

    def close(self) -> None:
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def listener(self, backlog: int = 16) -> socket.socket:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(backlog)
        return listener

    def publish(self, listener: socket.socket, name: str) -> None:
        self.sockets.append(listener)
        (self.board / name).write_text(f"{listener.getsockname()[1]}\n")

    def serve(self, listener: socket.socket, play, name: str) -> None:
        self.publish(listener, name)
        threading.Thread(target=self.accept, args=(listener, play), daemon=True).start()

    def accept(self, listener: socket.socket, play) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self.play, args=(client, play), daemon=True).start()

    @staticmethod
    def play(client: socket.socket, play) -> None:
        with contextlib.suppress(OSError), client:
            play(client)

    def fill(self, listener: socket.socket) -> list[socket.socket]:
        """Its queue: what connects after that gets no answer, as Linux drops it. Those in it, or waiting for it."""
        clients = [socket.socket() for _ in range(3)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        self.sockets += clients
        return clients

    def dig(self) -> None:
        """Where connections go that never come to an end."""
        hole = self.listener(0)
        self.fill(hole)
        self.publish(hole, "nolisten")

    def serve_late(self) -> None:
        """Takes 800 ms to let a connection in. Its queue is full until one has waited so long, in Linux's table of connections; then that
        one comes in with its next try, a second after its first."""
        listener = self.listener(0)
        ours = self.fill(listener)
        self.publish(listener, service(LATE_ACCEPT))
        threading.Thread(target=self.accept_late, args=(listener, ours), daemon=True).start()

    def accept_late(self, listener: socket.socket, ours: list[socket.socket]) -> None:
        """Ours leave first: who meets them in the queue may be forgotten (a SYN cookie), and wait for ever for a word."""
        ports = {client.getsockname()[1] for client in ours}
        syn_sent = re.compile(rf"^ *\d+: 0100007F:(\w+) 0100007F:{listener.getsockname()[1]:04X} 02 ", re.MULTILINE)
        asked = {}
        while listener.fileno() >= 0:
            now = time.monotonic()
            waiting = {int(port, 16) for port in syn_sent.findall(Path("/proc/net/tcp").read_text())} - ports
            asked = {port: asked.get(port, now) for port in waiting}
            if any(now - since >= LATE_ACCEPT_S for since in asked.values()):
                break
            time.sleep(0.02)
        for client in ours:
            client.close()
        self.accept(listener, self.greet)

    # --- The faults ----------------------------------------------------------------------------------------------------------

    @staticmethod
    def reset(client: socket.socket) -> None:
        """Is asked, and breaks the connection while the answer is awaited: before that, Wine 8 forgets it in one of ten runs."""
        client.recv(2)
        time.sleep(0.05)
        reset_connection(client)

    @staticmethod
    def lost(client: socket.socket) -> None:
        """60,000 of 100,000 bytes, and then the end."""
        client.sendall(b"x" * 60_000)
        time.sleep(0.1)
        client.shutdown(socket.SHUT_WR)
        client.recv(1)

    @staticmethod
    def drip(client: socket.socket) -> None:
        """50 bytes, one at a time."""
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(50):
            client.send(b"y")
            time.sleep(0.002)

    @staticmethod
    def half(client: socket.socket) -> None:
        """Ends its direction at once, and sends nothing; says in the end how much it got."""
        client.shutdown(socket.SHUT_WR)
        client.recv(100)

    @staticmethod
    def stall(client: socket.socket) -> None:
        """Neither sends nor receives."""
        time.sleep(60)

    def slow(self, client: socket.socket) -> None:
        """Receives 64 KiB each 4 ms, into a small buffer."""
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        total, end = 0, "eof"
        try:
            while data := client.recv(65536):
                total += len(data)
                time.sleep(0.004)
        except OSError as error:
            end = type(error).__name__
        with self.seen.open("a") as file:
            file.write(f"{total} {end}\n")

    @staticmethod
    def greet(client: socket.socket) -> None:
        """A word, then whatever comes, until the end."""
        client.sendall(b"late")
        while client.recv(100):
            pass
