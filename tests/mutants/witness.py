# SPDX-License-Identifier: MIT
"""A plug-in of pytest: tells the run of mutants which test begins, ends and fails, while it goes on."""

import os

FD = int(os.environ["MUTANTS_WITNESS"])


def say(what, nodeid):
    os.write(FD, f"{what} {nodeid}\n".encode())


def pytest_runtest_logstart(nodeid, location):
    say("begins", nodeid)


def pytest_runtest_logfinish(nodeid, location):
    say("ends", nodeid)


def pytest_runtest_logreport(report):
    if report.failed:
        say("fails", report.nodeid)


def pytest_collectreport(report):
    if report.failed:
        say("fails", report.nodeid)
