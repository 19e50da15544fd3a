# SPDX-License-Identifier: MIT
"""asyncio's streams made by virtsock.aio beside asyncio's own, both over AF_UNIX in one loop: the row `asyncio`.

A round is each way once, in turn; what is told is the ratio of the medians. Connecting has no goal: it is told so that it is known.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from virtsock import Address, aio

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Way = Callable[[int], Awaitable[None]]

GOAL = 1.02


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 20):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def echoes(streams: Streams, size: int) -> Way:
    reader, writer = streams
    data = bytes(size)

    async def way(calls: int) -> None:
        for _ in range(calls):
            writer.write(data)
            await writer.drain()
            await reader.readexactly(size)

    return way


def connections(connect: Callable[[], Awaitable[Streams]]) -> Way:
    async def way(calls: int) -> None:
        for _ in range(calls):
            reader, writer = await connect()
            writer.write_eof()
            await reader.read()
            writer.close()
            await writer.wait_closed()

    return way


async def compare(what: str, calls: int, rounds: int, goal: float | None, *ways: Way) -> None:
    for way in ways:
        await way(calls)
    times: list[list[float]] = [[] for _ in ways]
    for turn in range(rounds):
        for index in (range(len(ways)), reversed(range(len(ways))))[turn % 2]:
            begun = time.perf_counter()
            await ways[index](calls)
            times[index].append((time.perf_counter() - begun) / calls * 1e6)
    standard, ours = map(statistics.median, times)
    ratio = ours / standard
    verdict = "no goal" if goal is None else f"at most {goal}" + " OVER" * (ratio > goal)
    print(f"{what}: {ours:.1f} us, asyncio's own {standard:.1f} us, ratio {ratio:.3f} ({verdict})", flush=True)


async def main(rounds: int, folder: Path) -> None:
    path, address = folder / "standard", Address.unix(folder / "ours")

    def standard() -> Awaitable[Streams]:
        return asyncio.open_unix_connection(path)

    def ours() -> Awaitable[Streams]:
        return aio.open_connection(address)

    async with await asyncio.start_unix_server(serve, path), await aio.start_server(serve, address):
        streams = await standard(), await ours()
        await compare("1 B to and fro", 1000, rounds, GOAL, *(echoes(each, 1) for each in streams))
        await compare("64 KiB to and fro", 300, rounds, GOAL, *(echoes(each, 65536) for each in streams))
        await compare("connect, end, close", 100, rounds, None, connections(standard), connections(ours))
        for _, writer in streams:
            writer.close()
            await writer.wait_closed()
