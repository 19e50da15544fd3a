# SPDX-License-Identifier: MIT
"""The behaviour suite in a guest, over a real kernel's AF_VSOCK: CID 1, stream and seqpacket."""

import pytest

from builds import PLAIN, ROUNDS

PROGRAM = PLAIN / "tests" / "contract" / "virtsock-selftest"
SCALE = ["--slow", "10", "--rounds", str(ROUNDS // 5), "--connections", "50", "--size", "1"]


@pytest.mark.parametrize("options", ["", "?type=seqpacket"], ids=["stream", "seqpacket"])
def test_contract(loopback_vm, options):
    done = loopback_vm.run([PROGRAM, *SCALE, f"vsock://local:20000{options}"], timeout=300)
    print(done.text)
    lines = done.text.splitlines()
    assert done.code == 0 and lines[-1] == "END", done.text
    assert not any(line.startswith("FAIL") for line in lines)
    assert sum(line.startswith("ok ") for line in lines) > 40
