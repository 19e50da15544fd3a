# SPDX-License-Identifier: MIT
"""Every call of the library that may fail has failed once: the scenarios of tests/fault, with and without AddressSanitizer.

A program prints `ok NAME` for each scenario, how often it ran, and END. How the calls are failed stands in tests/fault/fault.h.
"""

import re
import subprocess

import pytest
from builds import BUILD, C_RUNS, PLAIN, ROOT, TOOL

RUNS = {
    "exchange": {"dev": ("unix", "unix-seqpacket", "tcp"), "asan": ("unix", "tcp")},
    "framed": {"dev": ("unix",), "asan": ("unix",)},                # has sockets of its own
    "listening": {"dev": ("unix", "tcp"), "asan": ("unix",)},
    "multiplexers": {"dev": ("unix",), "asan": ("unix",)},          # has transports of its own
}

# Imports that cannot fail, or whose failure is no different from an answer; and those that only look at memory (mem..., str...).
INFALLIBLE = {
    "__errno_location", "clock_gettime", "fcntl", "getenv", "geteuid", "getpid", "inet_ntop", "inet_pton", "madvise",
    "sched_yield", "snprintf", "sysconf", "vsnprintf",
}


def imports(library):
    listed = subprocess.run(["nm", "-D", "--undefined-only", library], text=True, capture_output=True, check=True).stdout
    return {line.split()[-1].partition("@")[0] for line in listed.splitlines() if line.split()[0] == "U"}


@pytest.mark.parametrize(("program", "build", "transport"),
                         [(program, build, one) for program, builds in RUNS.items() for build, some in builds.items() for one in some])
@pytest.mark.proves("D12", "T6", "T7")
def test_faults(program, build, transport, pytestconfig, ran):
    command = BUILD / build / "tests" / "fault" / program
    if not command.exists() and not pytestconfig.getoption("--demand-all"):
        pytest.skip(f"build/{build} is not there")
    environment = {**C_RUNS[build][0], "VIRTSOCK_TEST_TRANSPORT": transport}
    done = subprocess.run(["env", *(f"{name}={value}" for name, value in environment.items()), command],
                          text=True, capture_output=True, timeout=240)
    ran(f"fault/{program}.c", done.stdout.splitlines())
    assert done.returncode == 0 and done.stdout.endswith("END\n") and "FAIL" not in done.stdout, done.stdout + done.stderr
    names = re.findall(r"^(?:TEST|SCENARIO)\((\w+)\)", (ROOT / "tests" / "fault" / f"{program}.c").read_text(), re.MULTILINE)
    assert names == re.findall(r"^(?:ok|skip) (\w+)\b", done.stdout, re.MULTILINE)
    print("".join(line for line in done.stdout.splitlines(True) if " runs" in line))


@pytest.mark.proves("T7")
def test_no_call_is_left_out():
    """A system call that the library begins to make is one that fault.c can fail, or stands above."""
    calls = {line.split()[0] for line in (ROOT / "tests" / "fault" / "calls.txt").read_text().splitlines()}
    found = {name for name in imports(PLAIN / "libvirtsock.so") if not name.startswith(("mem", "str"))}
    assert found - INFALLIBLE == calls


@pytest.mark.proves("C16")
def test_a_container_that_forbids_vsock():
    """As a seccomp profile does it, by strace: no socket is made, and the message says where to look."""
    command = ["strace", "-f", "-o", "/dev/null", "-e", "inject=socket:error=EPERM", TOOL, "cat", "vsock://local:77"]
    done = subprocess.run(command, text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode != 0
    assert "AF_VSOCK is forbidden here (EPERM)" in done.stderr and "seccomp profile" in done.stderr
