# SPDX-License-Identifier: MIT
"""How ways to do the same are compared: in turn, in one run, by the medians. What a machine or its neighbours do to one they do to all."""

from __future__ import annotations

import gc
import statistics
import time
import types
from collections.abc import Callable

Way = Callable[[int], object]
"""Does it that many times."""

units = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))


def fresh(way: Callable[..., object]) -> Callable[..., object]:
    """A copy whose bytecode learns about the types of one way alone."""
    return types.FunctionType(way.__code__.replace(), way.__globals__, way.__name__, way.__defaults__, way.__closure__)


def seconds(way: Way, calls: int) -> float:
    """A call."""
    begun = time.perf_counter()
    way(calls)
    return (time.perf_counter() - begun) / calls


def medians(ways: list[Way], calls: int, rounds: int) -> list[float]:
    """Seconds a call of each way; in every other round they change places."""
    times: list[list[float]] = [[] for _ in ways]
    for way in ways:
        way(max(1, calls // 10))
    gc.collect()
    for number in range(rounds):
        for at in range(len(ways))[:: -1 if number % 2 else 1]:
            times[at].append(seconds(ways[at], calls))
    return [statistics.median(one) for one in times]


def in_words(value: float) -> str:
    name, factor = next((unit for unit in units if value * unit[1] >= 1), units[-1])
    return f"{value * factor:.3g} {name}"
