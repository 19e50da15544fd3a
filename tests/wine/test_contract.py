# SPDX-License-Identifier: MIT
"""Every row of the behaviour suite under Wine, over Hyper-V sockets and TCP, with virtsock-1.dll as it ships; and what the program says itself."""

import re

import pytest

from builds import BUILD, ROOT

from .renamed import place
from .rig import windows
from .test_suite import PROGRAMS

ROWS = re.findall(r"^ +ROW\((\w+),", (ROOT / "tests" / "contract" / "rows.h").read_text(), re.MULTILINE)
SELFTEST = PROGRAMS / "virtsock-selftest.exe"
SCALE = ["--slow", "3", "--rounds", "50", "--connections", "4", "--size", "2"]
ADDRESSES = {"hvsock": [], "tcp": ["tcp://127.0.0.1:any"]}      # none is hvsock://loopback with a service of its choice
EXPECTED_SKIPS = {
    "hvsock": {"attempt_deadline", "full_backlog", "data_then_close"},
    "tcp": set(),
}
ALWAYS_SKIPPED = {
    "messages", "messages_of_threads", "part_of_a_message", "signal_storm", "interruptible", "fork_with_handles", "out_of_descriptors",
    "more_than_2_gib",
}


def selftest(wine, board, *words, program=SELFTEST, **environment):
    done = wine.raw(program, *words, limit=300, WINEPATH=windows(BUILD / "mingw64"), HVSHIM_DIR=windows(board), **environment)
    print(done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module")
def runs(request, wine, tmp_path_factory):
    """The rows that this run has, of a transport in one process."""
    done = {}
    asked = [item.callspec.params for item in request.session.items if item.path == request.path and item.originalname == "test_row"]

    def run(transport):
        if transport not in done:
            rows = [one["row"] for one in asked if one["transport"] == transport]
            done[transport] = selftest(wine, tmp_path_factory.mktemp("board"), *SCALE, *ADDRESSES[transport], *rows)
        return done[transport]
    return run


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("transport", ADDRESSES)
def test_row(runs, transport, row):
    done = runs(transport)
    lines = done.stdout.splitlines()
    result = [line for line in lines if re.match(rf"(ok|skip|FAIL) {row}\b", line)]
    assert lines[-1:] == ["END"] and len(result) == 1, done.stdout + done.stderr
    if row in ALWAYS_SKIPPED | EXPECTED_SKIPS[transport]:
        assert result[0].startswith(f"skip {row}: ")
        pytest.skip(result[0].partition(": ")[2])
    assert re.fullmatch(rf"ok {row} \d+ ms", result[0]), result[0]
    assert (done.returncode == 0) == (not any(line.startswith("FAIL") for line in lines))


# --- The program -----------------------------------------------------------------------------------------------------------

SHIPPED = BUILD / "mingw64" / "tests" / "contract" / "virtsock-selftest.exe"


def test_help_tells_of_windows(wine, board):
    done = selftest(wine, board, "--help", program=SHIPPED)
    assert done.returncode == 0 and not done.stderr
    assert "on Windows: hvsock://loopback, with a service that nobody has" in done.stdout and "hvsock://loopback/PORT" in done.stdout


def test_without_an_address_it_chooses_a_service(runs, wine, board, tmp_path):
    """The very program that ships, but for the name of one library. Services are of the port template; none is left behind."""
    program = place(SHIPPED, tmp_path)
    chosen = set()
    for done in (runs("hvsock"), selftest(wine, board, "--slow", "3", "--rounds", "100", "echo", "close_wakes_recv", program=program)):
        first, *lines, count, end = done.stdout.splitlines()
        chosen.add(int(re.fullmatch(r"# hvsock://loopback/(\d+)", first)[1]))
        assert done.returncode == 0 and end == "END" and not any(line.startswith("FAIL") for line in lines)
        assert re.fullmatch(r"(\d+) passed, 0 failed, (\d+) skipped", count)
    assert len(chosen) == 2 and all(0x40000000 <= port <= 0x7fffffff - 10_000 for port in chosen)
    assert list(board.iterdir()) == []


def test_names_without_an_address(wine, board):
    done = selftest(wine, board, "--slow", "3", "echo", "zero_lengths")
    assert done.returncode == 0
    assert re.fullmatch(r"# hvsock://loopback/\d+\nok echo \d+ ms\nok zero_lengths \d+ ms\n2 passed, 0 failed, 0 skipped\nEND\n", done.stdout)


def test_without_hyperv_it_says_so(wine, board):
    """As Wine is, without the shim."""
    done = selftest(wine, board, program=SHIPPED)
    assert done.returncode == 1 and not done.stdout
    assert "this Windows has no Hyper-V sockets (WSAEAFNOSUPPORT)" in done.stderr


@pytest.mark.parametrize(("words", "says"), [
    (["hvsock://parent/1024"], "both ends are one machine: write hvsock://loopback/PORT"),
    (["hvsock://loopback"], "a port is missing, from which to count"),
    (["hvsock://loopback/12345678-9abc-def0-1234-56789abcdef0"], "a port is missing, from which to count"),
    (["hvsock://loopback/2147480000"], "the 10,000 ports above it are used, too: choose a lower one"),
    (["socketpair"], "socketpair: this system has none"),
    (["vsock://local:1024"], "AF_VSOCK is for Linux"),
    (["tcp://127.0.0.1:any", "ecko"], "no such behaviour: ecko"),
])
def test_usage(wine, board, words, says):
    done = selftest(wine, board, *words)
    assert done.returncode == 2 and not done.stdout
    assert says in done.stderr


def test_what_does_not_end_fails(wine, board):
    done = selftest(wine, board, "--limit", "1", "tcp://127.0.0.1:any", "more_than_2_gib", "echo")
    assert done.returncode == 1
    assert re.match(r"FAIL more_than_2_gib: no end within 1 s; last seen at \w+\.c:\d+\nok echo ", done.stdout)
