# SPDX-License-Identifier: MIT
"""The other end of `virtsock echo`, for one client after another: python3 examples/echo_server.py vsock://:1024"""

import sys

import virtsock

with virtsock.listen(sys.argv[1]) as listener:
    print("listening on", listener.address, flush=True)
    for stream in listener:
        try:
            with stream:
                while data := stream.recv(4096):
                    stream.sendall(data)
                stream.sendall(b"Bye!")
        except virtsock.Error as error:         # a client that left is no reason to stop
            print(error, file=sys.stderr)
