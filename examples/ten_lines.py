# SPDX-License-Identifier: MIT
import sys

import virtsock

with virtsock.connect(sys.argv[1], timeout=5, wait=30) as stream:
    stream.sendall(b"hello")
    stream.shutdown(virtsock.SHUT_SEND)
    while piece := stream.recv(65536):
        print(piece.decode(), end="")
