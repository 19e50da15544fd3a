# SPDX-License-Identifier: MIT
"""Which tests claim which code: the first pattern that fits a file has its steps, arguments of pytest, likeliest first."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path


def c(*names: str) -> str:
    """Programs of tests/c, in one step."""
    return " ".join(f"tests/c/{name}.c" for name in names)


FAULTS = "tests/test_fault.py -k 'exchange-dev-unix and not seqpacket'"
FAULTS_LISTENING = "tests/test_fault.py -k listening-dev-unix"
FAULTS_FRAMED = "tests/test_fault.py -k framed-dev-unix"
FAULTS_MUX = "tests/test_fault.py -k multiplexers-dev-unix"
FAULTS_TCP = "tests/test_fault.py -k dev-tcp"
CONTRACT = "tests/test_contract.py -k 'test_row and dev-unix and not seqpacket'"
CONTRACT_FRAMED = "tests/test_contract.py -k 'test_row and dev-framed'"
CONTRACT_MUX = "tests/test_contract.py -k 'test_row and (dev-mux or dev-hyperkit)'"
CONTRACT_TCP = "tests/test_contract.py -k 'test_row and dev-tcp and not framed'"
RELAY = " ".join(f"tests/test_relay{part}.py" for part in ("", "_allow", "_ends", "_never", "_removed", "_service", "_sleep", "_syslog", "_words"))
ANCESTORS = "tests/test_ancestors.py"
TOOLS, MUX, WAIT = "tests/test_tools.py", "tests/test_mux.py", "tests/test_wait.py"
STRESS, BENCH, DOCTOR = "tests/test_stress.py", "tests/test_virtsock_bench.py", "tests/test_doctor.py"
LIST, SERVICE = "tests/test_list.py", "tests/test_service.py"
RESOLVE, RESOLVE_HOSTILE = (f"tests/test_resolve.py -k {which}" for which in ("'not hostile_names'", "hostile_names"))
VALUES = c("020_address", "030_options", "010_load", "100_errors", "110_causes")
LIVES = c("210_close", "500_lifetimes", "900_threads")
FUZZ = "tests/test_fuzz.py"

CLAIMS: list[tuple[str, list[str]]] = [
    ("core/handle.[ch]", [c("210_close"), c("200_connect", "400_timeouts", "500_lifetimes", "900_threads"), FAULTS, CONTRACT]),
    ("core/connect*.c", [c("200_connect", "220_transports"), c("400_timeouts", "500_lifetimes", "900_threads"), FAULTS,
                        FAULTS_LISTENING, WAIT, CONTRACT]),
    ("core/listen.c", [c("200_connect", "220_transports"), FAULTS_LISTENING, LIVES, FAULTS, CONTRACT]),
    ("core/framed.c", [c("050_frames", "230_framed"), FAULTS_FRAMED, "tests/test_framed.py", CONTRACT_FRAMED]),
    ("core/stream*.c", [c("300_io", "310_large", "400_timeouts"), c("200_connect"), LIVES, FAULTS, CONTRACT]),
    ("core/address*.c", [VALUES, FUZZ, c("220_transports")]),
    ("core/guid.c", [VALUES, FUZZ, c("220_transports"), SERVICE]),
    ("core/options.c", [VALUES, c("200_connect"), TOOLS]),
    ("core/error.c", [VALUES, c("200_connect"), FUZZ]),
    ("core/failure.c", [VALUES, c("200_connect"), FUZZ]),
    ("core/lookup.c", [c("150_names")]),
    ("core/resolve.c", [c("100_errors", "150_names", "220_transports", "200_connect"), RESOLVE]),
    ("core/service.c", [c("150_names", "010_load"), SERVICE]),
    ("core/system.c", [c("010_load", "100_errors", "110_causes"), DOCTOR]),
    ("core/transport/mux.c", [c("220_transports"), FAULTS_MUX, CONTRACT_MUX, MUX]),
    ("core/transport/hyperkit.c", [c("220_transports"), FAULTS_MUX, CONTRACT_MUX, MUX]),
    ("core/transport/handshake.c", [c("040_handshake", "220_transports"), FUZZ, MUX]),
    ("core/transport/tcp.c", [c("220_transports"), FAULTS_TCP, CONTRACT_TCP, RELAY]),
    ("core/transport/unix.c", [c("200_connect", "220_transports", "030_options"), FAULTS_LISTENING, c("210_close"), FAULTS,
                               CONTRACT]),
    ("core/transport/vsock.c", [c("200_connect", "030_options", "010_load"), FAULTS_LISTENING]),
    ("core/transport/*.c", [c("200_connect", "220_transports", "030_options", "100_errors", "010_load"), FAULTS_LISTENING]),
    ("core/platform/posix.c", [c("300_io", "310_large", "400_timeouts"), c("210_close", "230_framed", "900_threads"), FAULTS,
                               CONTRACT]),
    ("core/platform/posix_error.c", [c("110_causes", "200_connect", "220_transports"), FAULTS_LISTENING]),
    ("core/platform/codes.c", [c("110_causes", "100_errors", "200_connect")]),
    ("core/platform/*.c", [c("200_connect", "220_transports", "500_lifetimes"), c("300_io", "210_close", "030_options"),
                           FAULTS_LISTENING, FAULTS, CONTRACT]),
    ("tools/commands/relay/*.c", [RELAY, MUX]),
    ("tools/commands/stress/*.c", [STRESS]),
    ("tools/commands/bench/*.c", [BENCH]),
    ("tools/commands/doctor/*.c", [DOCTOR]),
    ("tools/platform/doctor_posix.c", [DOCTOR]),
    ("tools/platform/daemon_posix.c", [RELAY]),
    ("tools/platform/datagrams_posix.c", [RELAY]),
    ("tools/platform/place_posix.c", [RELAY]),
    ("tools/platform/loop_epoll.c", [RELAY]),
    ("tools/platform/list_posix.c", [LIST]),
    ("tools/platform/names_posix.c", [RELAY]),
    ("tools/platform/child_posix.c", [RELAY]),
    ("tools/platform/group_posix.c", [RELAY]),
    ("tools/platform/udp_posix.c", [f"{BENCH} -k datagram", f"{STRESS} -k datagram"]),
    ("tools/platform/host_posix.c", [RESOLVE]),
    ("tools/platform/posix.c", [TOOLS, MUX, RELAY, STRESS]),
    ("tools/common/udp.c", [f"{BENCH} -k 'datagram or usage'", f"{STRESS} -k 'datagram or usage or addresses'"]),
    ("tools/commands/cat.c", [TOOLS, MUX, SERVICE]),
    ("tools/common/way.c", [MUX]),
    ("tools/commands/echo.c", [TOOLS]),
    ("tools/commands/wait.c", [WAIT]),
    ("tools/commands/mux/*.c", [MUX]),
    ("tools/common/join.c", [MUX, RELAY]),
    ("tools/common/crew.c", [TOOLS, STRESS]),
    ("tools/common/serve.c", [TOOLS, MUX, f"{STRESS} -k threads"]),
    ("tools/common/peer.c", [TOOLS, WAIT, DOCTOR]),
    ("tools/common/args.c", [TOOLS, RELAY, STRESS, ANCESTORS]),
    ("tools/common/ancestor.c", [ANCESTORS]),
    ("tools/common/escape.c", ["tests/test_escape.py", SERVICE]),
    ("tools/common/json.c", [f"{TOOLS} -k info", LIST, DOCTOR, SERVICE]),
    ("tools/commands/list/list.c", [LIST]),
    ("tools/commands/list/diag.c", [LIST]),
    ("tools/commands/resolve/resolve.c", [RESOLVE, RESOLVE_HOSTILE]),
    ("tools/commands/resolve/libvirt.c", [RESOLVE, RESOLVE_HOSTILE]),
    ("tools/commands/service.c", [SERVICE]),
    ("tools/common/service.c", [SERVICE]),
    ("tools/commands/manual.c", ["tests/test_manual.py", "tests/test_generated.py"]),
    ("tools/commands/completion.c", ["tests/test_generated.py"]),
    ("tools/common/report.c", [TOOLS, f"{RELAY} -k detached", DOCTOR]),
    ("tools/common/reason.c", [f"{TOOLS} -k info", DOCTOR]),
    ("tools/*.c", [TOOLS, DOCTOR]),
]

# Tests that judge how long things take.
TIMED = ("tests/test_contract.py", "tests/test_wait.py", "tests/c/210_close.c", "tests/c/400_timeouts.c")

# Files of C with logic, of Linux or of every system, that have no mutant.
EXCEPTIONS = {
    "core/message.c": "of AF_VSOCK alone: the tests of that boot machines",
    "tools/commands/relay/settings.c": "has no logic: what is not told",
    "tools/platform/lowport_posix.c": "of AF_VSOCK alone: the tests of that boot machines",
    "tools/platform/loop_poll.c": "for systems without epoll: no build of Linux has it",
}

# What those tests run is built before.
TARGETS = [
    ("tests/test_contract.py", ["virtsock-selftest", "virtsock-tool"]),
    ("tests/test_fault.py", ["fault_exchange", "fault_framed", "fault_listening", "fault_multiplexers"]),
    ("tests/test_doctor.py", ["virtsock-tool", "virtsock_shared"]),
    ("tests/test_generated.py", ["virtsock-tool", "virtsock-printed"]),
    ("tests/*.py", ["virtsock-tool"]),
]


def steps_for(file: str) -> list[str]:
    return next(steps for pattern, steps in CLAIMS if fnmatch(file, pattern))


def targets_of(step: str, root: Path) -> list[str]:
    """Of the build, for a step's files."""
    found: list[str] = []
    for word in shlex.split(step):
        file = word.partition("::")[0]
        if program := re.fullmatch(r"tests/c/(\w+)\.c", file):
            found.append(f"test_{program[1]}")
        elif file == "tests/test_fuzz.py":
            targets = {path.stem for path in (root / "tests" / "fuzz").glob("*.c")} - {"replay"}
            found += [f"replay_{target}" for target in sorted(targets)]
        elif file.startswith("tests/"):
            found += next(targets for pattern, targets in TARGETS if fnmatch(file, pattern))
    return list(dict.fromkeys(found))
