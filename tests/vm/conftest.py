# SPDX-License-Identifier: MIT
"""Fixtures: the virtual machines, each booted once a run when the first test asks, and their logs in a failure's report."""

import contextlib
import time
import warnings

import pytest

from machines import machine_of

from . import lab

MACHINES = {"loopback_vm": lambda vm: [vm], "nested_vms": lambda pair: pair.machines, "mux_vm": lambda family: family.machines,
            "place": lambda place: [place.guest], "bare_vm": lambda vm: [vm]}


@pytest.fixture(scope="session")
def vm_logs(request, tmp_path_factory):
    """The folder of the serial logs: every test that boots something asks for it."""
    if request.config.getoption("--no-vm"):
        pytest.skip("--no-vm: nothing is booted")
    return tmp_path_factory.mktemp("vm")


class Booted:
    """Machines, booted when they are first asked for; anew, with a warning, if they no longer answer: an emulated machine can stall, and
    that is no test's fault unless it happens within it."""

    all = []

    def __init__(self, name, make, logs):
        self.name, self.make, self.machines, self.logs, self.made = name, make, MACHINES[name], logs, None
        self.all.append(self)

    def get(self, record_property):
        if self.made is not None and not self.answers():
            warnings.warn(f"{self.machines(self.made)[0].name} no longer answers, and is booted anew", stacklevel=2)
            self.close()
        if self.made is None:
            began = time.monotonic()
            try:
                self.made = self.make(self.logs)
                record_property("boot", (self.make.__name__, time.monotonic() - began))      # told at the end: timing.py
            except lab.Missing as reason:
                pytest.skip(str(reason))
        return self.made

    def answers(self):
        try:
            return all(machine.run("true", timeout=20).code == 0 for machine in self.machines(self.made))
        except lab.LabError:
            return False

    def close(self):
        if self.made is not None:
            with contextlib.suppress(lab.LabError):
                self.made.close()
            self.made = None


def booted(name, make, logs):
    machines = Booted(name, make, logs)
    yield machines
    machines.close()


@pytest.fixture(scope="session")
def loopback_boot(vm_logs):
    yield from booted("loopback_vm", lab.loopback, vm_logs)


@pytest.fixture(scope="session")
def bare_boot(vm_logs):
    yield from booted("bare_vm", lab.bare, vm_logs)


@pytest.fixture(scope="session")
def nested_boot(vm_logs):
    yield from booted("nested_vms", lab.pair, vm_logs)


@pytest.fixture(scope="session")
def mux_boot(vm_logs):
    yield from booted("mux_vm", lab.family, vm_logs)


@pytest.fixture
def loopback_vm(loopback_boot, record_property):
    """A guest with AF_VSOCK over CID 1."""
    return loopback_boot.get(record_property)


@pytest.fixture
def bare_vm(bare_boot, record_property):
    """A guest whose modules for AF_VSOCK come and go: modules.py."""
    return bare_boot.get(record_property)


@pytest.fixture
def nested_vms(nested_boot, record_property):
    """A host and its guest: `host`, `guest`, and `cid`, which is the guest's."""
    return nested_boot.get(record_property)


@pytest.fixture
def mux_vm(mux_boot, record_property):
    """This machine and two guests of one multiplexer: `host`, `guests`, `cids`, `mux`."""
    return mux_boot.get(record_property)


def pytest_runtest_teardown(item, nextitem):
    """A machine that the next test has no use for is ended: a pair that rests takes a quarter of a processor."""
    if nextitem is not None and (last := machine_of(item)) and machine_of(nextitem) != last:
        for made in [made for made in Booted.all if made.name == last]:
            made.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        for fixture, machines in MACHINES.items():
            for machine in machines(item.funcargs[fixture]) if fixture in item.funcargs else ():
                report.sections.append((f"serial log of {machine.name}", machine.tail()))
