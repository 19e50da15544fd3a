# SPDX-License-Identifier: MIT
"""Python objects by multiprocessing.connection: KEY=secret python3 connection.py serve vsock://:1024, then ... ask vsock://3:1024 NUMBER...

Objects come as pickles, which can run anything: both ends prove that they have the key before the first one is read.
"""

import os
import sys
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge

import virtsock

KEY = os.environ["KEY"].encode()


def serve(address):
    with virtsock.listen(address) as listener:
        print("listening on", listener.address, flush=True)
        for stream in listener:
            try:
                with stream, Connection(stream.detach()) as connection:
                    deliver_challenge(connection, KEY)
                    answer_challenge(connection, KEY)
                    while True:
                        connection.send(sum(connection.recv()))
            except EOFError:                                # the client has ended
                pass
            except (AuthenticationError, OSError) as error:
                print(error, file=sys.stderr, flush=True)


def ask(address, *numbers):
    with virtsock.connect(address, wait=20) as stream, Connection(stream.detach()) as connection:
        answer_challenge(connection, KEY)
        deliver_challenge(connection, KEY)
        connection.send([int(number) for number in numbers])
        print(connection.recv())


{"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
