# SPDX-License-Identifier: MIT
"""The scenarios of tests/fault in a guest: the calls of a real AF_VSOCK conversation, each failed once.

Not over seqpacket: there a send that fails is the last one (see virtsock.h), and the scenarios try again.
"""

import pytest
from builds import BUILD

from .test_suites import run


@pytest.mark.parametrize("program", ["exchange", "listening"])
def test_every_call_failed_once(loopback_vm, program):
    lines = run(loopback_vm, [BUILD / "dev" / "tests" / "fault" / program], "vsock")
    assert lines[-1] == "END" and not [line for line in lines if line.startswith("FAIL")]
