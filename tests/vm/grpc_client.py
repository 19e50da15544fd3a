# SPDX-License-Identifier: MIT
"""A client of examples/python/grpc_echo.py: grpc_client.py TARGET SECONDS reading|waiting...

It makes large, many and streaming calls, and says `ok` after them. Then for each word: `streaming N`, while it reads what comes, or
leaves it and waits for the end; `broken N: CODE` when that has failed; `back N` once the same channel has an answer again. Who runs it
breaks and mends the way.
"""

import contextlib
import os
import sys
import time

import grpc

MANY = 20
LARGE = os.urandom(3_000_000)
ENDLESS = b"1000000000"
SOON = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 1000), ("grpc.max_reconnect_backoff_ms", 1000)]

target, seconds, modes = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
channel = grpc.insecure_channel(target, options=SOON)
capitals = channel.unary_unary("/example.Echo/Capitals")
count = channel.unary_stream("/example.Echo/Count")


def back(patience):
    """A call that is begun as the connection ends may end with it, whether it waits or not: it is made again."""
    end = time.monotonic() + patience
    while True:
        try:
            assert capitals(b"back", timeout=patience, wait_for_ready=True) == b"BACK"
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                raise
        else:
            return


assert capitals(LARGE, timeout=seconds, wait_for_ready=True) == LARGE.upper()
print("large", flush=True)

asked = [os.urandom(10_000) for _ in range(MANY)]
calls = [capitals.future(data, timeout=seconds) for data in asked]
assert [call.result() for call in calls] == [data.upper() for data in asked]
print("many", flush=True)

assert list(map(int, count(b"1000", timeout=seconds))) == list(range(1000))
print("ok", flush=True)

for number, mode in enumerate(modes):
    stream = count(ENDLESS, timeout=seconds)
    assert int(next(stream)) == 0
    print("streaming", number, flush=True)
    if mode == "reading":
        with contextlib.suppress(grpc.RpcError):
            for _ in stream:
                pass
    print(f"broken {number}: {stream.code().name}", flush=True)     # waits for the end
    back(seconds)
    print("back", number, flush=True)
