# SPDX-License-Identifier: MIT
"""How long a call took, and how much of that the machine took from it: the same account as in tests/c/watch.h, whose head says why."""

from __future__ import annotations

import os
import time


def _count(path: str, field: int, unit: float) -> float | None:
    try:
        with open(path) as file:
            words = file.readline().split()
    except OSError:
        return None
    return int(words[field]) * unit if len(words) > field and words[0] != "0" else None


def _grown(before: float | None, after: float | None) -> float:
    return max(after - before, 0) if before is not None and after is not None else 0


class Watch:
    """Made and ended by the thread that calls, next to the call. What is early is judged by `took`, what is late by `used`."""

    def __init__(self) -> None:
        self._counts = self._read()
        self.begun = self.ended = time.monotonic()
        self.delay = self.steal = 0.0  # what this thread, and the whole machine, had to wait

    @staticmethod
    def _read() -> tuple[float | None, float | None]:
        return _count("/proc/thread-self/schedstat", 1, 1e-9), _count("/proc/stat", 8, 1 / os.sysconf("SC_CLK_TCK"))

    def end(self) -> Watch:
        self.ended = time.monotonic()
        self.delay, self.steal = map(_grown, self._counts, self._read())
        return self

    @property
    def took(self) -> float:
        return self.ended - self.begun

    @property
    def used(self) -> float:
        return self.took - self.delay - self.steal


def wake(cause: Watch, *calls: Watch) -> float:
    """How long after its cause the last of the calls ended, or after its own beginning, without what the machine took from any of the
    threads: who was held up may have held up the others."""
    worst = max(call.ended - max(call.begun, cause.begun) for call in calls)
    return worst - sum(watch.delay for watch in (cause, *calls)) - max(watch.steal for watch in (cause, *calls))
