# SPDX-License-Identifier: MIT
"""What `virtsock echo` does, in Python: python3 examples/echo_client.py vsock://3:1024"""

import sys
import time

import virtsock

text = b"this is a test"
start = time.monotonic()
with virtsock.connect(sys.argv[1], timeout=10, wait=20) as stream:
    stream.sendall(text)
    if stream.recv_exact(len(text)) != text:
        sys.exit("the echo is another text")
    if "--no-bye" not in sys.argv:      # for a way that knows no half-close
        stream.shutdown(virtsock.SHUT_SEND)
        if stream.recv_exact(4) != b"Bye!":
            sys.exit("no goodbye")
print(f"ok {(time.monotonic() - start) * 1000:.1f} ms")
