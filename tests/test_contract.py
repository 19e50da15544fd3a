# SPDX-License-Identifier: MIT
"""Every row of the behaviour suite (tests/contract, `virtsock-selftest`), in every build and over every transport that needs no VM, as an
item; and what the program itself says."""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builds import BUILD, PLAIN, ROOT, ROUNDS, TOOL

ROWS = re.findall(r"^ +ROW\((\w+),", (ROOT / "tests" / "contract" / "rows.h").read_text(), re.MULTILINE)
HERE = PLAIN / "tests" / "contract" / "virtsock-selftest"

# The address of each; a number keeps runs apart. Those of a multiplexer need `virtsock mux`, a directory for each dialect. Where that
# dialect's ends have half-closes the address says so; else it says that there are none, or nothing, or the streams are framed.
ADDRESSES = {
    "unix": "unix://{folder}/{number}",
    "unix-seqpacket": "unix://{folder}/{number}?type=seqpacket",
    "framed": "unix://{folder}/{number}?half-close=framed",
    "tcp-framed": "tcp://127.0.0.1:any?half-close=framed",
    "socketpair": "socketpair",
    "tcp": "tcp://127.0.0.1:any",
    "mux": "vsock-mux://:{number}{folder}/cloud-hypervisor/vsock.sock?half-close=native",
    "mux-openvmm": "vsock-mux://:{number}{folder}/openvmm/vsock.sock?half-close=native",
    "none": "unix://{folder}/{number}?half-close=none",
    "mux-firecracker": "vsock-mux://:{number}{folder}/firecracker/vsock.sock",
    "mux-firecracker-framed": "vsock-mux://:{number}{folder}/firecracker/vsock.sock?half-close=framed",
    "mux-vhost-device-vsock": "vsock-mux://:{number}{folder}/vhost-device-vsock/vsock.sock?half-close=none",
    "hyperkit": "hyperkit://:{number}{folder}/cloud-hypervisor",
}
DIALECTS = ("cloud-hypervisor", "openvmm", "firecracker", "vhost-device-vsock")
MUXED = ("hyperkit", *(transport for transport in ADDRESSES if transport.startswith("mux")))
ALL = tuple(ADDRESSES)

# The plain build takes everything, once in full. Under the sanitizers it is the kinds of waits and races that matter, not how often, and of
# hyperkit the multiplexer's row has all but the request.
FULL = ["--rounds", str(ROUNDS)]
LESS = ["--rounds", "200", "--connections", "20", "--size", "4"]
FEW = ["--rounds", "50", "--connections", "4", "--size", "1"]
RUNS = [("dev", "unix", FULL), *(("dev", transport, LESS) for transport in ALL[1:]), ("clang", "unix", FEW),
        *(("asan", transport, FEW) for transport in ("unix", "unix-seqpacket", "framed", "socketpair", "tcp", "mux")),
        *(("tsan", transport, FEW) for transport in ("unix", "framed", "tcp", "mux"))]


@pytest.fixture(scope="module")
def folder():
    """A short one: paths of sockets end at 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="virtsock-contract-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def multiplexer(folder):
    """`virtsock mux` serves the folder, in each dialect, for as long as the tests of this file last."""
    with contextlib.ExitStack() as stack:
        said = []
        for dialect in DIALECTS:
            command = [TOOL, "mux", "--dialect", dialect, folder / dialect]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
            stack.callback(process.terminate)
            said += [process.stdout.readline() for _ in ("vsock-mux", "hyperkit")]
        yield all("listening" in line for line in said)


def selftest(*words, program=HERE, **rest):
    done = subprocess.run([program, *words], capture_output=True, text=True, errors="replace", timeout=600, **rest)
    print(done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module")
def runs(request, folder):
    """Each (build, transport) with its rows, in one process, two at a time: they wait more than they work."""
    rows, done = {}, {}
    for item in request.session.items:
        if item.path == request.path and item.originalname == "test_row":
            asked = item.callspec.params
            rows.setdefault((asked["build"], asked["transport"]), (asked["scale"], []))[1].append(asked["row"])
    if any(transport in MUXED for _, transport in rows):
        assert request.getfixturevalue("multiplexer"), "virtsock mux does not serve"
    with ThreadPoolExecutor(2) as pool:
        for number, ((build, transport), (scale, names)) in enumerate(rows.items(), 1):
            address = ADDRESSES[transport].format(folder=folder, number=10_000 * number)
            if program_of(build).exists():
                done[build, transport] = pool.submit(selftest, *scale, address, *names, program=program_of(build))
        yield done


def program_of(build):
    return BUILD / build / "tests" / "contract" / "virtsock-selftest"


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(("build", "transport", "scale"), RUNS, ids=[f"{build}-{transport}" for build, transport, _ in RUNS])
@pytest.mark.proves("local")
def test_row(request, runs, build, transport, scale, row):
    if (build, transport) not in runs:
        (pytest.fail if request.config.getoption("--demand-all") else pytest.skip)(f"{build} is not built")
    done = runs[build, transport].result()
    lines = done.stdout.splitlines()
    result = [line for line in lines if re.match(rf"(ok|skip|FAIL) {row}\b", line)]
    assert lines[-1] == "END" and len(result) == 1, done.stdout + done.stderr
    if result[0].startswith(f"skip {row}: "):
        pytest.skip(result[0].partition(": ")[2])
    assert re.fullmatch(rf"ok {row} \d+ ms", result[0]), done.stderr
    assert (done.returncode == 0) == (not any(line.startswith("FAIL") for line in lines))


# --- The program -----------------------------------------------------------------------------------------------------------


def test_the_list_is_the_table():
    done = selftest("--list")
    *rows, end = done.stdout.splitlines()
    assert done.returncode == 0 and end == "END"
    assert [row.split()[0] for row in rows] == ROWS
    assert len(ROWS) > 40 and all(len(row.split()) > 3 for row in rows)


@pytest.mark.parametrize(("words", "says"), [
    ([], "an address is missing"),
    (["3:80"], "write vsock://CID:PORT"),
    (["unix:///tmp/x", "ecko"], "no such behaviour: ecko"),
    (["--fast", "socketpair"], "no such option: --fast"),
    (["--rounds", "0", "socketpair"], "a number from 1 to 1000000 belongs after --rounds"),
    (["socketpair", "--rounds"], "a number from 1 to 1000000 belongs after --rounds"),
    (["tcp://127.0.0.1:60000"], "10,000 ports above"),
    (["vsock://:7000"], "both ends are one machine: write vsock://local:PORT"),
    (["vsock://local:any"], "10,000 ports above"),
    (["fd://0"], "nothing is known of that transport"),
])
def test_usage(words, says):
    done = selftest(*words)
    assert done.returncode == 2 and not done.stdout
    assert says in done.stderr


def test_help():
    done = selftest("--help")
    assert done.returncode == 0 and not done.stderr
    assert all(option in done.stdout for option in ("--rounds", "--connections", "--size", "--slow", "--limit", "--seed", "--list"))


def test_a_failure_has_a_place_and_the_others_go_on(folder):
    """No multiplexer is there."""
    done = selftest(f"vsock-mux://:1024{folder}/nobody?half-close=native", "refused", "echo", "half_close", "huge_lengths")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert re.fullmatch(r"ok refused \d+ ms", lines[0])
    for line, row in zip(lines[1:4], ("echo", "half_close", "huge_lengths"), strict=True):
        assert re.match(rf"FAIL {row}: transport\.c:\d+: virtsock_connect\(.*\) is refused, not ok: connect vsock-mux://:\d+{folder}", line)
    assert lines[-2:] == ["1 passed, 3 failed, 0 skipped", "END"]


def test_what_does_not_end_fails():
    done = selftest("--limit", "1", "socketpair", "more_than_2_gib", "echo")
    assert done.returncode == 1
    assert re.match(r"FAIL more_than_2_gib: no end within 1 s; last seen at \w+\.c:\d+\nok echo ", done.stdout)


def test_what_crashes_fails():
    """Ended by a signal: of the processor's time, which each process has for itself."""
    done = selftest("socketpair", "more_than_2_gib", "echo", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (1, 20)))
    assert done.returncode == 1
    assert re.match(r"FAIL more_than_2_gib: ended by signal 24 after \w+\.c:\d+\nok echo ", done.stdout)
