# SPDX-License-Identifier: MIT
"""The Python tests once more, over the other transport that needs no VM: they take theirs from the environment, once a process."""

import os
import subprocess
import sys

from builds import ROOT, ROUNDS


def test_python_over_unix_seqpacket():
    environment = {**os.environ, "VIRTSOCK_TEST_TRANSPORT": "unix-seqpacket", "VIRTSOCK_TEST_ROUNDS": str(ROUNDS // 5)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "60", ROOT / "tests" / "python"]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
