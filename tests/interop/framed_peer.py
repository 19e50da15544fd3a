# SPDX-License-Identifier: MIT
"""A second reader and writer of half-close=framed, from its description alone, with the manners of its two ancestors: sockets and bytes,
nothing of the library.

OCaml closes by saying Close and reading frames until the other's, and takes ShutdownRead for one; Go by saying Close and reading four
bytes, whatever they are.
"""

import struct

SHUTDOWN_READ, SHUTDOWN_WRITE, CLOSE = b"\xef\xbe\xad\xde", b"\xad\xde\xef\xbe", b"\xad\xde\xad\xde"
LARGEST = 4096  # payload of one frame that is sent


class Closed(Exception):
    """Nothing can be sent any more."""


class Peer:
    def __init__(self, sock):
        self.sock = sock
        self.read_closed = self.write_closed = self.closed = False
        self.heard = []  # words, in their order
        self.broken = 0  # pipes: where the other hung up early

    def exactly(self, size):
        """None at the end, wherever it is, and however it came."""
        data = b""
        try:
            while len(data) < size:
                more = self.sock.recv(size - len(data))
                if not more:
                    return None
                data += more
        except (ConnectionResetError, BrokenPipeError):
            self.broken += 1
            return None
        return data

    def frame(self):
        """A word, the payload of a data frame as ("data", payload), or None at the end."""
        word = self.exactly(4)
        if word in (None, SHUTDOWN_READ, SHUTDOWN_WRITE, CLOSE):
            self.heard.append(word)
            return word
        (size,) = struct.unpack("<I", word)
        payload = self.exactly(size)
        return None if payload is None else ("data", payload)

    def read(self):
        """A payload; b"" at the end."""
        while not (self.closed or self.read_closed):
            frame = self.frame()
            if isinstance(frame, tuple):
                if frame[1]:
                    return frame[1]
            elif frame == SHUTDOWN_READ:
                self.write_closed = True
            else:
                self.read_closed = True
                if frame == CLOSE:
                    self.close()
        return b""

    def write(self, data):
        for at in range(0, len(data), LARGEST):
            if self.closed or self.write_closed:
                raise Closed
            piece = data[at : at + LARGEST]
            self.sock.sendall(struct.pack("<I", len(piece)) + piece)

    def shutdown_read(self):
        self.read_closed = True
        self.sock.sendall(SHUTDOWN_READ)

    def shutdown_write(self):
        if not self.write_closed:
            self.write_closed = True
            self.sock.sendall(SHUTDOWN_WRITE)

    def say_close(self):
        """Whether it could be said, and was not before."""
        if self.closed:
            return False
        self.closed = self.read_closed = self.write_closed = True
        try:
            self.sock.sendall(CLOSE)
        except (ConnectionResetError, BrokenPipeError):
            self.broken += 1
            return False
        return True


class OCaml(Peer):
    def close(self):
        if self.say_close():
            while self.frame() not in (CLOSE, SHUTDOWN_READ, None):
                pass
        self.sock.close()


class Go(Peer):
    def close(self):
        if self.say_close():
            self.exactly(4)
        self.sock.close()
