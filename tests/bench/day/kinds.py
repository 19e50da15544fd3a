# SPDX-License-Identifier: MIT
"""The conversations of a day, kind by kind: how each ends, and what a relay is to have counted of it.

A kind is a generator that takes all its conversations of a round through a stage, and yields, so that the rounds and
kinds mix. It yields REST where nothing moves and the relay has nothing to do, LOOKS where a reader is slow: that, the
relay looks at once in a while. Both ends are in this process, and so is what they say: every byte is compared.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from __main__ import House

STAGE, REST, LOOKS = "stage", "rest", "looks"
Kind = Callable[["House", str, int], Iterator[str]]

SIZE = 64  # of a request
LONG = os.urandom(700_000)  # more than fits between a server and a client that reads nothing
ANSWER = b"answer to "
MORTAL = b"m" * SIZE  # what a client says that is killed
PATIENCE = 60  # seconds, of each end


def requests(count: int) -> list[bytes]:
    return [os.urandom(SIZE) for _ in range(count)]


def take(end: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (more := end.recv(size - len(got))):
        got += more
    return got


def take_all(end: socket.socket) -> bytes:
    got = []
    while more := end.recv(1 << 18):
        got.append(more)
    return b"".join(got)


def must(good: bool, what: str) -> None:
    if not good:
        raise AssertionError(what)


def hear(servers: list[socket.socket], asked: list[bytes], take_one: Callable[[socket.socket], bytes]) -> list[bytes]:
    """What each server is asked: all of it, in whatever order the clients came."""
    heard = [take_one(server) for server in servers]
    must(sorted(heard) == sorted(asked), "a request is not what its client has said")
    return heard


def request_of(server: socket.socket) -> bytes:
    return take(server, SIZE)


def finish(ends: list[socket.socket]) -> None:
    for end in ends:
        end.close()


def reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def ended(end: socket.socket) -> str:
    try:
        return "more" if end.recv(1) else "end"
    except ConnectionResetError:
        return "reset"


# --- Ends in order ----------------------------------------------------------------------------------------------------


def ask(house: House, name: str, count: int) -> Iterator[str]:
    """Client and server talk, then the client goes."""
    asked = requests(count)
    clients = [house.client(name, said) for said in asked]
    yield STAGE
    servers = house.servers(name, count)
    for server, heard in zip(servers, hear(servers, asked, request_of), strict=True):
        server.sendall(ANSWER + heard)
    yield STAGE
    for client, said in zip(clients, asked, strict=True):
        must(take(client, len(ANSWER) + SIZE) == ANSWER + said, "an answer is another's")
    yield REST
    finish(clients)
    yield STAGE
    must([ended(server) for server in servers] == ["end"] * count, "a server did not see its client go")
    finish(servers)
    house.count(name, accepted=count, bytes=count * SIZE, bytes_back=count * (len(ANSWER) + SIZE))


def half_closed(house: House, name: str, count: int) -> Iterator[str]:
    """A client has said all before it is served; the server takes its time."""
    asked = requests(count)
    clients = [house.client(name, said) for said in asked]
    for client in clients:
        client.shutdown(socket.SHUT_WR)
    yield STAGE
    servers = house.servers(name, count)
    heard = hear(servers, asked, take_all)
    yield REST
    for server, said in zip(servers, heard, strict=True):
        server.sendall(ANSWER + said)
    finish(servers)
    yield STAGE
    for client, said in zip(clients, asked, strict=True):
        must(take_all(client) == ANSWER + said, "an answer is another's")
    finish(clients)
    house.count(name, accepted=count, bytes=count * SIZE, bytes_back=count * (len(ANSWER) + SIZE))


def served_first(house: House, name: str, count: int) -> Iterator[str]:
    """The server has said all, and its client speaks on."""
    asked = requests(count)
    clients = [house.client(name, b"") for _ in asked]
    servers = house.servers(name, count)
    for server in servers:
        server.sendall(ANSWER)
        server.shutdown(socket.SHUT_WR)
    yield STAGE
    for client in clients:
        must(take_all(client) == ANSWER, "a greeting is not whole")
    yield REST
    for client, said in zip(clients, asked, strict=True):
        client.sendall(said)
    finish(clients)
    yield STAGE
    hear(servers, asked, take_all)
    finish(servers)
    house.count(name, accepted=count, bytes=count * SIZE, bytes_back=count * len(ANSWER))


def messages(house: House, name: str, count: int) -> Iterator[str]:
    """Two messages and the end of them, and one back."""
    asked = requests(count)
    clients = [house.client(name, said) for said in asked]
    for client in clients:
        client.send(b"more")
        client.shutdown(socket.SHUT_WR)
    yield STAGE
    servers = house.servers(name, count)
    heard = hear(servers, asked, lambda server: server.recv(1000))
    must(
        [server.recv(1000) + server.recv(1000) for server in servers] == [b"more"] * count,
        "messages were joined, or lost",
    )
    yield REST
    for server, said in zip(servers, heard, strict=True):
        server.send(ANSWER + said)
    finish(servers)
    yield STAGE
    for client, said in zip(clients, asked, strict=True):
        must((client.recv(1000), client.recv(1000)) == (ANSWER + said, b""), "an answer is another's")
    finish(clients)
    house.count(name, accepted=count, bytes=count * (SIZE + 4), bytes_back=count * (len(ANSWER) + SIZE))


# --- Slow ones --------------------------------------------------------------------------------------------------------


def fill(server: socket.socket, at: int) -> int:
    """How much of LONG has gone, once there is no room for more."""
    server.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while at < len(LONG):
            at += server.send(LONG[at : at + 65536])
    server.settimeout(PATIENCE)
    return at


def slow(house: House, name: str, count: int) -> Iterator[str]:
    """Each reads nothing until its server has filled all there is; of every other one the server is gone by then."""
    asked = requests(count)
    clients = dict(zip(asked, [house.client(name, said) for said in asked], strict=True))
    yield STAGE
    servers = house.servers(name, count)
    heard = hear(servers, asked, request_of)
    sent = [0] * count
    for _ in range(3):  # what the relay has taken meanwhile is room
        sent = [fill(server, at) for server, at in zip(servers, sent, strict=True)]
        yield STAGE
    finish(servers[::2])
    yield LOOKS
    for number, said in enumerate(heard):
        got = take(clients[said], sent[number]) if number % 2 else take_all(clients[said])
        must(got == LONG[: sent[number]], "what a slow reader got is not what was sent")
    finish(list(clients.values()))
    yield STAGE
    must(
        [ended(server) for server in servers[1::2]] == ["end"] * (count // 2), "a server did not see its slow client go"
    )
    finish(servers[1::2])
    house.count(name, accepted=count, bytes=count * SIZE, bytes_back=sum(sent))


# --- Broken ones ------------------------------------------------------------------------------------------------------


def under_way(house: House, name: str, count: int) -> tuple[list[socket.socket], list[socket.socket]]:
    """Clients and servers that have talked."""
    asked = requests(count)
    clients = [house.client(name, said) for said in asked]
    servers = house.servers(name, count)
    for server, heard in zip(servers, hear(servers, asked, request_of), strict=True):
        server.sendall(ANSWER + heard)
    for client, said in zip(clients, asked, strict=True):
        must(take(client, len(ANSWER) + SIZE) == ANSWER + said, "an answer is another's")
    return clients, servers


def reset_by_client(house: House, name: str, count: int) -> Iterator[str]:
    clients, servers = under_way(house, name, count)
    yield REST
    for client in clients:
        reset(client)
    yield STAGE
    must([ended(server) for server in servers] == ["reset"] * count, "a server did not see its client's reset")
    finish(servers)
    house.count(name, accepted=count, broken=count, bytes=count * SIZE, bytes_back=count * (len(ANSWER) + SIZE))


def reset_by_server(house: House, name: str, count: int) -> Iterator[str]:
    clients, servers = under_way(house, name, count)
    yield REST
    for server in servers:
        reset(server)
    yield STAGE
    must([ended(client) for client in clients] == ["reset"] * count, "a client did not see its server's reset")
    finish(clients)
    house.count(name, accepted=count, broken=count, bytes=count * SIZE, bytes_back=count * (len(ANSWER) + SIZE))


def killed(house: House, name: str, count: int) -> Iterator[str]:
    """Each client is a process: killed when it waits for an answer."""
    house.mortals.begin(name, count)
    yield STAGE
    servers = house.servers(name, count)
    must([request_of(server) for server in servers] == [MORTAL] * count, "a request is not what its client has said")
    yield REST
    house.mortals.kill(count)
    yield STAGE
    must([ended(server) for server in servers] == ["end"] * count, "a server did not see its client killed")
    finish(servers)
    house.count(name, accepted=count, bytes=count * SIZE)


# --- Such as come to nothing ------------------------------------------------------------------------------------------


def refused(house: House, name: str, count: int) -> Iterator[str]:
    clients = [house.client(name, b"") for _ in range(count)]
    yield STAGE
    must({ended(client) for client in clients} <= {"end", "reset"}, "a client was told something that no rule admits")
    finish(clients)
    house.count(name, refused=count)


def unreached(house: House, name: str, count: int) -> Iterator[str]:
    """Nobody listens at TO."""
    clients = [house.client(name, b"") for _ in range(count)]
    yield STAGE
    must([ended(client) for client in clients] == ["end"] * count, "a client was told something by nobody")
    finish(clients)
    house.count(name, accepted=count, unreached=count)


def idle(house: House, name: str, count: int) -> Iterator[str]:
    """Nobody says a word until the relay ends it; meanwhile the others go on."""
    clients = [house.client(name, b"") for _ in range(count)]
    servers = house.servers(name, count)
    poll = select.poll()
    for client in clients:
        poll.register(client, select.POLLIN)
    while len(poll.poll(0)) < count:
        yield STAGE
    must([ended(end) for end in clients + servers] == ["end"] * (2 * count), "an idle conversation had another end")
    finish(clients + servers)
    house.count(name, accepted=count, idle=count)
