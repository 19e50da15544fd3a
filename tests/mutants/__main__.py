# SPDX-License-Identifier: MIT
"""Builds each mutant, and runs the tests that claim its code, several at a time: ./check mutants [OPTION]... [PATTERN...]

A mutant is killed by a test that is red with it twice, the second time alone, and green without it: first of all the tests run on
the unchanged tree, one that judges times does so again, twice, after it was red, and one that hangs does so once. Tests that have killed a
change of the same file come first, and then those that are done soon. Exits with 1 when a mutant survives that is not
listed as equal, or does not build.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import shlex
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from itertools import chain

from . import ROOT, Change, all_changes
from .claims import TIMED, steps_for
from .tree import BuildError, Tree, adopt, sweep

WORKERS = 2 * (os.cpu_count() or 1)     # tests wait more than they work, and longest for a mutant that hangs
LAST = ROOT / "build" / "mutants" / "last.json"         # verdicts by change: whose killer runs first the next time


def main() -> int:
    parser = argparse.ArgumentParser(prog="./check mutants", description="Changes of one line: do the tests notice them?")
    parser.add_argument("--survivors", action="store_true", help="those that were not killed the last time")
    parser.add_argument("--equal", action="store_true", help="those that are listed as equal as well")
    parser.add_argument("--part", type=a_part, default=(1, 1), metavar="I/N", help="the Ith of N parts, each with some of every file")
    parser.add_argument("--workers", type=int, default=WORKERS, metavar="N", help="mutants at a time; %(default)s unless told")
    parser.add_argument("--patience", type=float, default=1, metavar="FACTOR", help="for a machine that does other things as well: what hangs, and "
                        "not what takes its time, is a hang after that many times as long")
    parser.add_argument("pattern", nargs="*", help="a part of `FILE PLACE [KIND]`, or a shell's pattern for all of it")
    chosen = parser.parse_args()
    last = json.loads(LAST.read_text()) if LAST.exists() else {}
    changes = [change for change in all_changes() if fits(change, chosen.pattern)]
    changes = changes[chosen.part[0] - 1::chosen.part[1]]
    if chosen.survivors:
        changes = [change for change in changes if not last.get(key(change), "").startswith("killed")]
    names = {change: name_of(change) for change in changes}
    equal = [] if chosen.equal else [change for change in changes if change.equal]
    tried = [change for change in changes if change not in equal]
    for change in equal:
        print(f"{names[change]}: equal: {change.equal}")
    return Run(tried, names, last, chosen.workers, chosen.patience).all(len(equal)) if tried else 0


def a_part(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text}: not I/N, as 1/4")
    return int(number), int(count)


def fits(change: Change, patterns: list[str]) -> bool:
    return not patterns or any(pattern in change.name or fnmatch(change.name, pattern) for pattern in patterns)


def key(change: Change) -> str:
    return f"{change.name} - {change.old} + {change.new}"


def name_of(change: Change) -> str:
    number = change.line_in((ROOT / change.file).read_text()) + 1
    return f"{change.file}:{number}{' ' * bool(change.place)}{change.place} [{change.kind}]"


def steps_of(change: Change) -> list[str]:
    """A sanitizer's are slow: what the change names is all of them."""
    return list(dict.fromkeys(change.tests if change.build != "dev" else (*change.tests, *steps_for(change.file))))


def controls(steps) -> list[tuple[str, str]]:
    """The same tests, each once: a file as a whole has its parts."""
    runs = {(build, run) for build, step in steps for run in ([step] if " -k " in step else shlex.split(step))}
    return sorted((build, run) for build, run in runs if " -k " not in run or (build, run.partition(" -k ")[0]) not in runs)


@dataclass
class Known:
    """Of the tests: what was seen while nothing was changed."""

    patience: float
    seconds: dict[str, float] = field(default_factory=dict)     # of an item, or of a file that is a program, whose first item has it all
    unfit: dict[str, list[str]] = field(default_factory=dict)   # by build, those that were red: they judge nothing

    def note(self, build: str, seconds: dict[str, float], unfit: list[str]) -> None:
        units: Counter[str] = Counter()
        for item, needed in seconds.items():
            units[unit_of(item)] += needed
        for unit, needed in units.items():
            self.seconds[unit] = max(needed, self.seconds.get(unit, 0))
        self.unfit.setdefault(build, []).extend(unfit)

    def soon(self, item: str) -> float:
        """Seconds until it seems to hang, and is asked again, alone."""
        return self.patience * (3 + 3 * self.seconds.get(unit_of(item), 10))

    def surely(self, item: str) -> float:
        return self.patience * (4 + 4 * self.seconds.get(unit_of(item), 10))

    def order(self, file: str) -> dict[str, float]:
        """What has killed another mutant of that file comes first, and then what is done soon."""
        last = json.loads(LAST.read_text()) if LAST.exists() else {}
        kills = Counter(unit_of(killer_of(verdict)) for change, verdict in last.items() if change.startswith(f"{file} "))
        return self.seconds | {unit: -float(count) for unit, count in kills.items() if unit}


def killer_of(verdict: str) -> str:
    return verdict.removeprefix("killed by ").removesuffix(" (a hang)") if verdict.startswith("killed by ") else ""


def unit_of(item: str) -> str:
    """What has a time, and a place in the order."""
    file = item.partition("::")[0]
    return item if file.endswith(".py") else file


# --- The run ---------------------------------------------------------------------------------------------------------------------


class Run:
    def __init__(self, changes: list[Change], names: dict[Change, str], last: dict[str, str], workers: int, patience: float) -> None:
        self.changes, self.names, self.last, self.workers, self.patience = changes, names, last, workers, patience
        self.begun = time.monotonic()

    def all(self, equal: int) -> int:
        signal.signal(signal.SIGINT, signal.default_int_handler)        # a shell's background ignores it
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self.tell(self.judge(self.control()), equal)

    def say(self, text: str) -> None:
        seconds = int(time.monotonic() - self.begun)
        print(f"{seconds // 60:3}:{seconds % 60:02} {text}", flush=True)

    def collect(self, do, tasks: list[tuple]):
        """What do(tree, *task) answers, as it comes, some at a time; the first of a task is a build, and builds but dev are one worker's each."""
        context = multiprocessing.get_context("fork")
        builds = sorted({task[0] for task in tasks} - {"dev"})
        todo, done = {build: context.Queue() for build in [*builds, "dev"]}, context.Queue()
        for task in [*tasks, *((build, None) for build in builds)]:
            todo[task[0]].put(task)
        workers = []
        for number in range(self.workers):
            queues = [todo[build] for build in builds[number::self.workers]]
            workers.append(context.Process(target=work, args=(number, do, [*queues, todo["dev"]], done)))
        for worker in workers:
            worker.start()
        try:
            for _ in tasks:
                while done.empty() and all(worker.is_alive() for worker in workers):
                    time.sleep(0.05)
                yield done.get(timeout=5)
        except queue.Empty:
            sys.exit("mutants: a worker has ended: see above")
        finally:
            for worker in workers:
                worker.terminate()
                worker.join(10)

    def control(self) -> Known:
        steps = controls((change.build, step) for change in self.changes for step in steps_of(change))
        self.say(f"{len(self.changes)} mutants; first {len(steps)} runs of tests on the unchanged tree")
        known = Known(self.patience)
        red = []
        for (build, step), seconds, now_and_then, always in self.collect(control, steps):
            self.say(f"{'red' if always else 'green'} unchanged: {step} [{build}], {len(seconds)} items, {sum(seconds.values()):.0f} s")
            known.note(build, seconds, now_and_then)
            red += always
        for item in red:
            print(f"red without any change: {item}")
        if red:
            sys.exit("mutants: nothing can be judged before these tests are green")
        for item in chain.from_iterable(known.unfit.values()):
            self.say(f"does not judge, since it was red without any change: {item}")
        return known

    def judge(self, known: Known) -> dict[Change, str]:
        verdicts: dict[Change, str] = {}
        tasks = [(change.build, change, self.last.get(key(change), "")) for change in self.changes]
        for change, verdict, seconds in self.collect(partial(judge, known), tasks):
            verdicts[change] = self.last[key(change)] = verdict
            self.say(f"{len(verdicts):3}/{len(tasks)} {self.names[change]} {verdict} ({seconds:.0f} s)")
            fresh = LAST.with_suffix(".new")
            fresh.write_text(json.dumps(self.last, indent=1))
            fresh.replace(LAST)         # workers read it
        return verdicts

    def tell(self, verdicts: dict[Change, str], equal: int) -> int:
        killed = [change for change, verdict in verdicts.items() if verdict.startswith("killed")]
        files = Counter(change.file for change in verdicts)
        kills = Counter(change.file for change in killed)
        print("\nkilled, of how many:")
        for file in sorted(files):
            print(f"{kills[file]:4} of {files[file]:3}  {file}")
        left = sorted((change for change in verdicts if change not in killed), key=lambda change: change.source)
        for change in left:
            print(f"\n{verdicts[change]}: {self.names[change]} ({change.source})\n  - {change.old}\n  + {change.new}")
            if change.equal:
                print(f"  = {change.equal}")
        minutes = (time.monotonic() - self.begun) / 60
        print(f"\n{len(killed)} of {len(verdicts)} killed, {len(left)} not, {equal} equal; {minutes:.0f} minutes")
        return int(any(bool(change.equal) == (change in killed) for change in verdicts))     # an equal one that is killed is none


# --- A worker: a copy of the project for each build, and one mutant after another ---------------------------------------------------


def work(number: int, do, queues: list, done) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt()
    trees: dict[str, Tree] = {}
    try:
        for todo in queues:             # the last never ends
            while (task := todo.get())[1] is not None:
                build, *rest = task
                if build not in trees:
                    trees[build] = Tree(number, build)
                    trees[build].follow()
                    trees[build].configure()
                done.put(do(trees[build], *rest))
    finally:
        sweep()


def control(tree: Tree, step: str):
    """(build, step), seconds by item, the items that were red, those of them that are red alone as well, and again."""
    tree.make(step)
    outcome = tree.test(shlex.split(step), None, stop=False)
    if outcome.code not in (0, 1) and not outcome.failed:
        return (tree.build, step), outcome.seconds, [], [f"{step}: pytest ends with {outcome.code}"]
    always = [item for item in outcome.failed if all(tree.test([item], None, stop=True).failed for _ in range(2))]
    return (tree.build, step), outcome.seconds, [item for item in outcome.failed if item not in always], always


def judge(known: Known, tree: Tree, change: Change, before: str):
    begun = time.monotonic()
    text = (tree.root / change.file).read_text()
    tree.write(change.file, change.applied(text).encode())
    try:
        verdict = verdict_on(tree, change, text, before, known)
    except BuildError as failure:
        print(str(failure)[-2000:], file=sys.stderr)
        verdict = "does not build"
    finally:
        tree.write(change.file, text.encode())
    return change, verdict, time.monotonic() - begun


def follows_the_machine(tree: Tree, change: Change, text: str, step: str, item: str, known: Known, hung: bool) -> bool:
    """Where it is busy, everything hangs, and judges of time are red whatever the code: so these are asked again, without the change and with it."""
    for changed in (False,) if hung else (False, True, False, True) if item.startswith(TIMED) else ():
        tree.write(change.file, (change.applied(text) if changed else text).encode())
        tree.make(step)
        if bool(tree.test([item], known.surely, stop=True).failed) != changed:
            return True
    return False


def verdict_on(tree: Tree, change: Change, text: str, before: str, known: Known) -> str:
    flaky: list[str] = []
    killer = killer_of(before)
    for step in [*([shlex.quote(killer)] if killer else []), *steps_of(change)]:
        tree.make(step)
        while True:
            without = [f"--deselect={item}" for item in [*known.unfit.get(tree.build, []), *flaky]]
            outcome = tree.test([*shlex.split(step), *without], known.soon, stop=True, order=known.order(change.file))
            if not outcome.failed and outcome.code not in (0, 5):       # 5: none is left of this step
                return f"pytest ended with {outcome.code}: {step}"
            if not outcome.failed:
                break
            item = outcome.failed[0]
            again = tree.test([item], known.surely, stop=True)
            if again.failed and not follows_the_machine(tree, change, text, step, item, known, again.hung):
                return f"killed by {item}{' (a hang)' if again.hung else ''}"
            flaky.append(item)
            tree.write(change.file, change.applied(text).encode())
            tree.make(step)
    return "SURVIVED" + "".join(f" ({item} was red)" for item in flaky)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
