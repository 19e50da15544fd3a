# SPDX-License-Identifier: MIT
"""A plug-in of pytest: tells the run of mutants which test begins, ends and fails, while it goes on; and sorts the tests."""

import json
import os

FD = int(os.environ["MUTANTS_WITNESS"])
with open(os.environ["MUTANTS_ORDER"]) as order:
    ORDER = json.load(order)            # of an item or a file: the smaller, the earlier; what is not there comes last


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


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: ORDER.get(item.nodeid, ORDER.get(item.nodeid.partition("::")[0], float("inf"))))
