# SPDX-License-Identifier: MIT
"""The C, Python and Lua tests in a guest, over a real kernel's AF_VSOCK: CID 1, stream and seqpacket. An emulated machine is slow, so
waits may be later there; they may not be early."""

from builds import BUILD, LUAS, ROOT, ROUNDS, lua_environment

import pytest

pytestmark = pytest.mark.proves("vsock", "linux")

TRANSPORTS = ("vsock", "vsock-seqpacket")
ELSEWHERE = {"150_names", "220_transports"}         # have no transport, or their own
C_TESTS = sorted({file.stem for file in (ROOT / "tests" / "c").glob("[0-9]*.c")} - ELSEWHERE)
LUA_TESTS = sorted({file.stem for file in (ROOT / "tests" / "lua").glob("[0-9]*.lua")} - ELSEWHERE)
OTHERWISE = {"test_710_testing", "test_720_others", "test_730_dask", "test_740_command"}       # have no transport, or tests of their own here
PYTHON_TESTS = sorted(file for file in (ROOT / "tests" / "python").glob("test_[2-9]*.py") if file.stem not in OTHERWISE)
PYTHON_PARTS = {"core": [file for file in PYTHON_TESTS if file.stem < "test_7"], "layers": [file for file in PYTHON_TESTS if file.stem > "test_7"]}
SLOW = {"VIRTSOCK_TEST_SLOW": "10"}


def run(vm, command, transport, timeout=300, **environment):
    done = vm.run(command, timeout=timeout, env={**SLOW, "VIRTSOCK_TEST_TRANSPORT": transport, **environment}, cwd=ROOT)
    print(done.text)
    assert done.code == 0, done.text
    return done.text.splitlines()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("test", C_TESTS)
def test_c(loopback_vm, test, transport, ran):
    if test == "230_framed" and transport == "vsock-seqpacket":
        pytest.skip("frames are for streams")
    rounds = str(ROUNDS if transport == "vsock" else ROUNDS // 5)
    lines = run(loopback_vm, [BUILD / "dev" / "tests" / "c" / test], transport, VIRTSOCK_TEST_ROUNDS=rounds)
    ran(f"c/{test}.c", lines)
    assert lines[-1] == "END" and any(line.startswith("ok ") for line in lines)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("test", LUA_TESTS)
def test_lua(loopback_vm, test, transport):
    lines = run(loopback_vm, [LUAS["5.4"], ROOT / "tests" / "lua" / f"{test}.lua"], transport, **lua_environment("5.4"))
    assert lines[-1] == "END" and any(line.startswith(("ok ", "skip ")) for line in lines)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("part", PYTHON_PARTS)
def test_python(loopback_vm, part, transport):
    pytest_there = [BUILD / "venv" / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ROOT, "--confcutdir",
                    ROOT / "tests" / "python", "--basetemp", "/tmp/pytest", *PYTHON_PARTS[part]]
    without = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if part == "core" else {}         # plug-ins of others take ten seconds there
    lines = run(loopback_vm, pytest_there, transport, timeout=600, VIRTSOCK_TEST_ROUNDS=str(ROUNDS // 5), **without)
    assert " passed" in lines[-1] and "failed" not in lines[-1]
