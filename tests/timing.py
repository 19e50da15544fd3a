# SPDX-License-Identifier: MIT
"""Where the time of a run went: its ten slowest files, each boot of a machine, and what each build of `./check` took."""

from __future__ import annotations

from collections import defaultdict

import pytest

from builds import BUILD

BUILDS = BUILD / "times"            # "NAME SECONDS", a line a build: written by ./check
BOOT = "boot"                       # the property of a report that tells (machine, seconds)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slowest", type=int, default=10, metavar="N", help="how many of the slowest files are told at the end (default: 10)")


class Timing:
    """On the side that reports; the workers' reports come there, too."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.files: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.items: dict[str, int] = defaultdict(int)
        self.boots: list[tuple[str, float]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.partition("::")[0]
        self.files[file][report.when or ""] += report.duration
        if report.when == "call":
            self.items[file] += 1
        if report.when == "teardown":
            self.boots += [told for name, told in report.user_properties if name == BOOT]

    def pytest_terminal_summary(self, terminalreporter) -> None:
        slowest = sorted(self.files, key=lambda file: -sum(self.files[file].values()))[:self.count]
        if not slowest:
            return
        terminalreporter.section("where the time went")
        for file in slowest:
            phases = self.files[file]
            terminalreporter.write_line(f"{sum(phases.values()):7.1f} s {file}: {self.items[file]} calls {phases['call']:.1f} s, "
                                        f"setup {phases['setup']:.1f} s, teardown {phases['teardown']:.1f} s")
        if self.boots:
            terminalreporter.write_line("boots: " + ", ".join(f"{machine} {seconds:.1f} s" for machine, seconds in self.boots))
        if BUILDS.exists():
            terminalreporter.write_line("builds: " + ", ".join(f"{line} s" for line in BUILDS.read_text().splitlines()))
