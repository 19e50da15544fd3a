# SPDX-License-Identifier: MIT
"""Which items `./check` runs of those that are one behaviour made with several choices: of a build, a transport, a Lua, a multiplexer's
protocol. This is the one place that chooses, and it says what it leaves out; `./check all`, and pytest by hand, run every item.
`./check fast` has fewer builds to choose from, and leaves whole subjects out: NOT_FAST.

Kept is so much that
- every behaviour runs, in every language (its files are another language's);
- every behaviour in C runs plain, and under each sanitizer;
- in every file each choice runs that any item of it has;
- each pair of two choices runs that any item has, in one file at least.
What is left out beside that is in LEFT, each with the reason. Among equals the choices that a file has used least come first, so that they are spread over its behaviours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

# Parameters of tests that are choices; all others belong to the behaviour. A CMake preset, what carries the bytes, a version of Lua, a
# collector that never rests; which machines are at the ends.
FACTORS = ("build", "transport", "lua", "version", "collector", "protocol", "way", "ends", "place")
# What the same behaviour shows at less cost: names of items; one that ends within its brackets is all that begin so.
LEFT = {
    "tests/build/test_old_systems.py::test_an_old_glibc[2.28]": "the oldest shows what those between miss; ten seconds of zig's each",
    "tests/build/test_old_systems.py::test_an_old_glibc[2.31]": "the same of a later one; ten seconds, too",
    "tests/build/test_old_systems.py::test_an_old_glibc[2.41]": "the same of the newest that zig knows well",
    "tests/vm/test_dask.py::test_two_workers_in_a_guest": "Dask takes minutes to start in a machine emulated twice; behind a multiplexer it does all of that",
    "tests/vm/test_grpc.py::test_host_and_guest": "gRPC does so, too; the relays at the ends of vhost are in test_relay.py and test_others.py",
    "tests/vm/test_faults.py::test_before_the_guest_listens[vhost]": "half a minute to boot a machine in an emulated one; the one that is killed is enough",
    "tests/vm/test_faults.py::test_stopped_past_a_deadline_and_continued[vhost]": "as the one before; behind a multiplexer it is stopped",
    "tests/vm/test_lab.py::test_a_host_with_vhost_needs_no_nesting": "of the tests' own machines, and a third boot in an emulated one",
    "tests/vm/test_others.py::test_http[guest->host]": "a minute of imports in the inner machine; the host asks the guest",
    "tests/vm/test_relay.py::test_idle_connections": "a machine of 1.5 GB; what idle connections cost is measured over UNIX sockets, by tests/test_relay.py",
    "tests/vm/test_suites.py::test_python[core-vsock-seqpacket]": "a minute of an emulated machine; C and Lua send messages there, Python over UNIX sockets",
    "tests/vm/test_suites.py::test_python[layers-": "asyncio and endurance take three minutes of an emulated machine; they run over UNIX sockets",
}
FAST_BUILDS = ("dev", "asan", "tsan")
# Virtual machines, Windows; builds of packages and of programs; each failing call once; what measures, and what goes on for long.
NOT_FAST = ("tests/vm/", "tests/wine/",
            "tests/build/", "tests/api/test_coverage.py", "tests/api/test_install.py", "tests/api/test_packages.py", "tests/api/test_proofs.py",
            "tests/api/test_types.py", "tests/test_embedding.py", "tests/test_python_asan.py", "tests/test_rock.py",
            "tests/test_fault.py", "tests/test_bench.py", "tests/test_virtsock_bench.py", "tests/test_transports.py",
            "tests/python/test_750_endurance.py")
KINDS = {"dev": "plain", "clang": "plain"}              # of a build; any other is one of its own


class Variant(NamedTuple):
    file: str
    behaviour: Hashable
    choices: tuple[tuple[str, str], ...]                # (factor, value), sorted


def variant_of(item) -> Variant:
    """Of an item of pytest: its own `choices` (items.py), or those of its parameters that are FACTORS."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    choices = getattr(item, "choices", None) or {name: str(value) for name, value in params.items() if name in FACTORS}
    rest = tuple((name, repr(value)) for name, value in sorted(params.items()) if name not in choices)
    name = getattr(item, "originalname", None) or item.name
    return Variant(item.nodeid.partition("::")[0], (item.nodeid.rpartition("::")[0], name, rest), tuple(sorted(choices.items())))


def goals(variant: Variant) -> Iterator[Hashable]:
    """What a variant is kept for, if no other was."""
    yield variant.behaviour
    yield from ((variant.file, choice) for choice in variant.choices)
    yield from combinations(variant.choices, 2)
    yield from ((variant.behaviour, KINDS.get(value, value)) for factor, value in variant.choices if factor == "build")


def choose(variants: Sequence[Variant]) -> set[int]:
    """Numbers of those that are kept."""
    of_behaviour: dict[Hashable, list[int]] = {}
    for number, variant in enumerate(variants):
        of_behaviour.setdefault(variant.behaviour, []).append(number)
    kept: set[int] = set()
    met: set[Hashable] = set()
    used: Counter[Hashable] = Counter()

    def keep_best(numbers: Iterable[int]) -> bool:
        """One that meets most of what is left to meet; False: none meets any."""
        def worth(number: int) -> tuple[int, int]:
            variant = variants[number]
            return len(set(goals(variant)) - met), -used[variant.file, variant.choices]

        best = max((number for number in numbers if number not in kept), key=worth, default=None)
        if best is None or worth(best)[0] == 0:
            return False
        kept.add(best)
        met.update(goals(variants[best]))
        used[variants[best].file, variants[best].choices] += 1
        return True

    for numbers in of_behaviour.values():
        while keep_best(numbers):
            pass
    return kept


def is_left(nodeid: str) -> bool:
    return nodeid in LEFT or nodeid.startswith(tuple(name for name in LEFT if "[" in name and not name.endswith("]")))


def is_fast(variant: Variant) -> bool:
    """Whether `./check fast` has it to choose from."""
    return not variant.file.startswith(NOT_FAST) and dict(variant.choices).get("build", "dev") in FAST_BUILDS


def told(variants: Sequence[Variant], kept: set[int]) -> list[str]:
    """What is left out, a line a file, the most first."""
    of_file = Counter(variant.file for variant in variants)
    left = Counter(variant.file for number, variant in enumerate(variants) if number not in kept)
    return [f"{file}: {count} of {of_file[file]}" for file, count in left.most_common()]
