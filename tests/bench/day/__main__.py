# SPDX-License-Identifier: MIT
"""A day of the relay in ten minutes: `python tests/bench/day [CONVERSATIONS] [--rests N]`; README.md has it.

Conversations of every kind and end (kinds.py), many at a time, through `virtsock relay`. Now and then all but a few
end, and what the relay is then is compared: processor time while nothing moves (to the nanosecond: none), memory,
descriptors, and its counters with what was done. Exit code 1: something was not as it should be, and was said.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kinds
from kinds import LOOKS, MORTAL, PATIENCE, REST, Kind
from mortals import Mortals

TOOL = os.environ.get("VIRTSOCK_TOOL", "build/dev/tools/virtsock")
AT_ONCE = 3  # rounds
LOOKED_NS = 5_000_000  # that looks at slow readers may take in so long
GROWTH = 256  # KiB, by which memory may differ between the first and the last third of a day

# What is in a round: the kind, how many, the scheme of its ends, and what its rule says besides.
ROUND: dict[str, tuple[Kind, int, str, str]] = {
    "ask": (kinds.ask, 40, "unix", ""),
    "ask-tcp": (kinds.ask, 10, "tcp", ""),
    "half-closed": (kinds.half_closed, 40, "unix", ""),
    "half-closed-tcp": (kinds.half_closed, 10, "tcp", ""),
    "served-first": (kinds.served_first, 20, "unix", ""),
    "messages": (kinds.messages, 20, "unix?type=seqpacket", ""),
    "slow": (kinds.slow, 10, "unix", ""),
    "reset-by-client": (kinds.reset_by_client, 10, "tcp", ""),
    "reset-by-server": (kinds.reset_by_server, 6, "tcp", ""),
    "killed": (kinds.killed, 10, "unix", ""),
    "refused": (kinds.refused, 12, "unix", f"allow=uid={os.getuid() + 1}"),
    "unreached": (kinds.unreached, 6, "unix", ""),
    "idle": (kinds.idle, 6, "unix", "idle=1"),
}
# In a relay of its own: while a rule has idle=, those of all its rules are looked at so often.
ALONE = "idle"


class Relay:
    """One process, and what the system says of it."""

    def __init__(self, folder: Path, name: str, rules: list[str]) -> None:
        (folder / name).write_text("\n".join(rules) + "\n")
        words = [TOOL, "relay", "--stats", "--json", "--rules", str(folder / name)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.place = Path(f"/proc/{self.process.pid}")

    def counters(self) -> list[dict[str, Any]]:
        assert self.process.stdout
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def ran_ns(self) -> int:
        """What its threads have had of processors."""
        return sum(int(task.read_text().split()[0]) for task in self.place.glob("task/*/schedstat"))

    def cpu(self) -> float:
        words = (self.place / "stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, int]:
        """KiB. Pss has a share of what others have mapped, too, so it is told and not judged."""
        told = (self.place / "smaps_rollup").read_text()
        return {name: int(kib) for name, kib in re.findall(r"^(Rss|Pss|Anonymous):\s+(\d+) kB", told, re.MULTILINE)}

    def descriptors(self) -> Counter[str]:
        """How many of each kind. Of pipes it keeps as many as it needed at once."""
        return Counter(re.sub(r"\W.*", "", os.readlink(fd)) or "file" for fd in self.place.glob("fd/*"))

    def end(self) -> list[dict[str, Any]]:
        self.process.send_signal(signal.SIGTERM)
        told, _ = self.process.communicate(timeout=60)
        kinds.must(self.process.returncode == 0, f"the relay ended with {self.process.returncode}")
        return json.loads(told.splitlines()[-1])


class House:
    """The relays, the servers behind them, and what they are to have counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expected = {name: Counter[str]() for name in ROUND}
        self.ways: dict[str, tuple[int, int, Any]] = {}  # family, type, FROM
        self.listeners: dict[str, socket.socket] = {}
        rules = {name: self.open(name, scheme, more) for name, (_, _, scheme, more) in ROUND.items()}
        self.mortals = MortalsAt(folder)
        alone = [rules.pop(ALONE)]
        self.relays = {
            "relay": Relay(folder, "rules", list(rules.values())),
            ALONE: Relay(folder, "rules-alone", alone),
        }
        self.names = {"relay": list(rules), ALONE: [ALONE]}
        for family, kind, where in self.ways.values():
            wait_for(family, kind, where)

    def open(self, name: str, scheme: str, more: str) -> str:
        """Listens for a kind; its rule."""
        if scheme == "tcp":
            listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
            with socket.create_server(("127.0.0.1", 0)) as free:
                where = free.getsockname()
            self.ways[name] = (socket.AF_INET, socket.SOCK_STREAM, where)
            from_, to = (f"tcp://127.0.0.1:{port}" for port in (where[1], listener.getsockname()[1]))
        else:
            kind = socket.SOCK_SEQPACKET if "seqpacket" in scheme else socket.SOCK_STREAM
            listener = socket.socket(socket.AF_UNIX, kind)
            if name != "unreached":
                listener.bind(f"{self.folder}/{name}.to")
                listener.listen(4096)
            self.ways[name] = (socket.AF_UNIX, kind, f"{self.folder}/{name}")
            from_, to = (f"unix://{self.folder}/{name}{part}{scheme[4:]}" for part in ("", ".to"))
        listener.settimeout(PATIENCE)
        self.listeners[name] = listener
        return f"{from_} {to} {more}"

    def client(self, name: str, said: bytes) -> socket.socket:
        family, kind, where = self.ways[name]
        end = socket.socket(family, kind)
        end.settimeout(PATIENCE)
        end.connect(where)
        if said:
            end.sendall(said)
        return end

    def servers(self, name: str, count: int) -> list[socket.socket]:
        ends = [self.listeners[name].accept()[0] for _ in range(count)]
        for end in ends:
            end.settimeout(PATIENCE)
        return ends

    def count(self, name: str, **more: int) -> None:
        self.expected[name].update(more)

    def counted(self) -> bool:
        """Whether the relays have counted what was done, no more and no less, and have no conversation."""
        return all(
            is_what_was_done(told, self.expected[name])
            for key, relay in self.relays.items()
            for name, told in zip(self.names[key], relay.counters(), strict=True)
        )

    def differences(self) -> list[str]:
        return [
            f"{name}: {told} is told of {dict(self.expected[name])}"
            for key, relay in self.relays.items()
            for name, told in zip(self.names[key], relay.counters(), strict=True)
            if not is_what_was_done(told, self.expected[name])
        ]


class MortalsAt(Mortals):
    """Of a house: a kind's name in place of a path."""

    def __init__(self, folder: Path) -> None:
        super().__init__(MORTAL)
        self.folder = folder

    def begin(self, path: str, count: int) -> None:
        super().begin(f"{self.folder}/{path}", count)


def is_what_was_done(told: dict[str, Any], expected: Counter[str]) -> bool:
    return {key: value for key, value in told.items() if value and key not in ("from", "to")} == {
        key: n for key, n in expected.items() if n
    }


def wait_for(family: int, kind: int, where: Any) -> None:
    """Until a relay listens there: a path is bound before that, so it is no sign; a client would be counted."""
    deadline = time.monotonic() + 30
    while not listens(family, kind, where):
        kinds.must(time.monotonic() < deadline, f"nobody listens at {where}")
        time.sleep(0.02)


def listens(family: int, kind: int, where: Any) -> bool:
    if family == socket.AF_UNIX:
        rows = map(str.split, Path("/proc/net/unix").read_text().splitlines()[1:])
        return any(row[3] == "00010000" and row[-1] == where for row in rows)
    rows = map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(row[3] == "0A" and row[1].endswith(f":{where[1]:04X}") for row in rows)


# --- A day -----------------------------------------------------------------------------------------------------------


class Day:
    def __init__(self, house: House, quiet: float) -> None:
        self.house, self.quiet = house, quiet
        self.wrong: list[str] = []
        self.rests: list[dict[str, dict[str, Any]]] = []
        self.begun = time.monotonic()
        self.quiet_ns = 0
        self.quiet_s = 0.0

    def round(self, share: float = 1) -> list[Iterator[str]]:
        return [
            kind(self.house, name, max(2, round(count * share) & ~1)) for name, (kind, count, _, _) in ROUND.items()
        ]

    def rest(self, done: int) -> None:
        """All have ended; a few conversations are brought to where nothing moves, and are left there for a while."""
        slow = kinds.slow(self.house, "slow", 4)
        few = [kind(self.house, name, 4) for name, (kind, _, _, _) in ROUND.items() if name not in (ALONE, "slow")]
        for one in few:
            step_to(REST, one)
        self.look("while nothing moves", 0)
        step_to(LOOKS, slow)
        self.look("with slow readers", LOOKED_NS)
        finish([*few, slow])
        deadline = time.monotonic() + 30
        while not self.house.counted() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.wrong += self.house.differences()
        self.look("with no conversation", 0)
        self.rests.append(
            {
                key: {"memory": relay.memory(), "descriptors": relay.descriptors()}
                for key, relay in self.house.relays.items()
            }
        )
        self.tell(done)

    def ran_ns(self, seconds: float) -> dict[str, int]:
        before = {key: relay.ran_ns() for key, relay in self.house.relays.items()}
        time.sleep(seconds)
        return {key: relay.ran_ns() - before[key] for key, relay in self.house.relays.items()}

    def look(self, when: str, may_ns: int) -> None:
        deadline = time.monotonic() + 10
        while max(self.ran_ns(0.3).values()) > may_ns and time.monotonic() < deadline:
            pass  # what was under way comes to rest
        for key, ran in self.ran_ns(self.quiet).items():
            if may_ns == 0:
                self.quiet_ns += ran
                self.quiet_s += self.quiet
            if ran > may_ns:
                self.wrong.append(f"{key}: {ran} ns of processors {when}")

    def tell(self, done: int) -> None:
        relay, now = self.house.relays["relay"], self.rests[-1]["relay"]
        memory = ", ".join(f"{name} {kib} KiB" for name, kib in now["memory"].items())
        fds = sum(now["descriptors"].values()) - now["descriptors"]["pipe"]
        print(
            f"{time.monotonic() - self.begun:6.0f} s: {done} conversations; the relay: {relay.cpu():.2f} s of "
            f"processors, {memory}, {fds} descriptors and {now['descriptors']['pipe']} of pipes",
            flush=True,
        )

    def judge(self) -> None:
        """Flat: the last third of the rests beside the first, whose first one warms up."""
        for key in self.house.relays:
            rests = [rest[key] for rest in self.rests[1:]]
            third = max(1, len(rests) // 3)
            for name in ("Rss", "Anonymous"):
                first, last = (max(rest["memory"][name] for rest in some) for some in (rests[:third], rests[-third:]))
                if last - first > GROWTH:
                    self.wrong.append(f"{key}: {name} was {first} KiB and is {last}")
            kept = {
                tuple(sorted((kind, n) for kind, n in rest["descriptors"].items() if kind != "pipe")) for rest in rests
            }
            if len(kept) > 1:
                self.wrong.append(f"{key}: its descriptors are not the same: {kept}")
            if (pipes := max(rest["descriptors"]["pipe"] for rest in rests)) > 2 * 16 * 4 + 2:
                self.wrong.append(f"{key}: keeps {pipes} descriptors of pipes")


def step_to(where: str, one: Iterator[str]) -> None:
    """Or to its end, if it has no such place."""
    for at in one:
        if at == where:
            return
        time.sleep(0.01)


def finish(some: list[Iterator[str]]) -> None:
    while some:
        some = [one for one in some if next(one, None) is not None]
        time.sleep(0.005)  # such as may be idle take their time


def have(day: Day, conversations: int, rests: int) -> None:
    size = sum(count for _, count, _, _ in ROUND.values())
    rounds = max(1, conversations // size)
    live: list[Iterator[str]] = []
    day.rest(0)
    for number in range(1, rounds + 1):
        live += day.round()
        while len(live) > AT_ONCE * len(ROUND) - len(ROUND) // 2:
            live = [one for one in live if next(one, None) is not None]
        if number * rests // rounds > (number - 1) * rests // rounds:
            finish(live)
            live = []
            day.rest(number * size)


def main() -> int:
    parser = argparse.ArgumentParser(description="A day of the relay in ten minutes.")
    parser.add_argument("conversations", nargs="?", type=int, default=200_000)
    parser.add_argument("--rests", type=int, default=20, help="how often all of them end, and the relay is looked at")
    parser.add_argument(
        "--quiet", type=float, default=1, metavar="SECONDS", help="for how long, in each of three states"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="day-") as folder:
        house = House(Path(folder))
        day = Day(house, args.quiet)
        try:
            have(day, args.conversations, args.rests)
            used = house.relays["relay"].cpu()
            day.judge()
            for key, relay in house.relays.items():
                told = relay.end()
                day.wrong += [
                    f"{name}: {one} is told at the end"
                    for name, one in zip(house.names[key], told, strict=True)
                    if not is_what_was_done(one, house.expected[name])
                ]
        finally:
            for relay in house.relays.values():
                relay.process.kill()
            house.mortals.end()
    total = sum(one["accepted"] + one["refused"] for one in house.expected.values())
    print(
        f"{total} conversations in {time.monotonic() - day.begun:.0f} s; "
        f"{used / total * 1000:.3f} s of processors for 1000; "
        f"{day.quiet_ns} ns of them in {day.quiet_s:.0f} s in which nothing moved"
    )
    for line in day.wrong:
        print(f"WRONG: {line}")
    return 1 if day.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
