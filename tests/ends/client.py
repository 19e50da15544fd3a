# SPDX-License-Identifier: MIT
"""client.c in Python."""

import sys

import virtsock

kind, address, name = sys.argv[1:]
half_close = virtsock.Address(address).half_close
linger = 60 if half_close == "framed" else None
with virtsock.connect(address, timeout=60, linger=linger) as stream, open(name, "rb") as file:
    while piece := file.read(1 << 18):
        stream.sendall(piece)
    if kind == "answer":
        if half_close != "none":
            stream.shutdown(virtsock.SHUT_SEND)
        while piece := stream.recv(1 << 18):
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
