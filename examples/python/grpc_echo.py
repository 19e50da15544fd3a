# SPDX-License-Identifier: MIT
"""gRPC, whose Python package has UNIX sockets and no vsock, by a relay at each end. In a guest, each in a terminal:

    python3 grpc_echo.py serve unix:/tmp/echo
    virtsock relay --allow host vsock://:50051 unix:///tmp/echo

On its host, if the guest's CID is 3:

    virtsock relay unix:///tmp/guest vsock://3:50051
    python3 grpc_echo.py call unix:/tmp/guest hello

Messages are plain bytes, so that nothing is to be compiled; what protoc makes of a .proto file takes the same two targets.
"""

import sys
from concurrent import futures

import grpc

SERVICE = "example.Echo"


def capitals(request, context):
    return request.upper()


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


METHODS = {"Capitals": grpc.unary_unary_rpc_method_handler(capitals), "Count": grpc.unary_stream_rpc_method_handler(count)}


def serve(target):
    server = grpc.server(futures.ThreadPoolExecutor(50))        # so many calls at once
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, METHODS)])
    server.add_insecure_port(target)
    server.start()
    print("listening on", target, flush=True)
    server.wait_for_termination()


def call(target, *words):
    with grpc.insecure_channel(target) as channel:
        for word in words:                  # wait_for_ready: until the relays and the server are there
            print(channel.unary_unary(f"/{SERVICE}/Capitals")(word.encode(), timeout=60, wait_for_ready=True).decode())
        for number in channel.unary_stream(f"/{SERVICE}/Count")(b"3", timeout=60):
            print(number.decode())


{"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
