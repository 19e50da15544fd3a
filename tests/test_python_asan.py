# SPDX-License-Identifier: MIT
"""The Python module with AddressSanitizer in it: bytes, lifetimes, threads and the endurance tests once more."""

import os
import subprocess
import sys

import pytest
from builds import ROOT

FLAGS = "-fsanitize=address -fno-omit-frame-pointer -g -O1"
TESTS = ("300_io", "500_lifetimes", "750_endurance", "900_threads")


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """The environment of a Python that has it; pymalloc would hide what it looks for."""
    folder = tmp_path_factory.mktemp("asan")
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], text=True, capture_output=True, check=True).stdout.strip()
    flags = {"CC": "gcc", "CFLAGS": FLAGS, "LDFLAGS": FLAGS}
    subprocess.run([sys.executable, "setup.py", "-q", "build", "--build-base", folder, "--build-lib", folder / "lib"], cwd=ROOT, check=True,
                   env={**os.environ, **flags})
    return {**os.environ, "LD_PRELOAD": os.path.realpath(runtime), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc",
            "PYTHONPATH": str(folder / "lib"), "VIRTSOCK_TEST_ROUNDS": "200", "VIRTSOCK_TEST_CONNECTIONS": "2000"}


def test_it_is_the_module_that_is_tested(sanitized):
    """And what it finds ends the process: a write beyond what was asked for."""
    spoil = "import ctypes, virtsock.native as n; print(n.__file__); ctypes.memset(ctypes.create_string_buffer(8), 0, 4096)"
    done = subprocess.run([sys.executable, "-c", spoil], text=True, capture_output=True, env=sanitized)
    assert done.stdout.startswith(sanitized["PYTHONPATH"]) and "AddressSanitizer" in done.stderr and done.returncode != 0


@pytest.mark.proves("T11")
def test_under_asan(sanitized):
    files = [f"tests/python/test_{name}.py" for name in TESTS]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files], cwd=ROOT, text=True,
                          capture_output=True, env=sanitized, timeout=500)
    assert done.returncode == 0 and "AddressSanitizer" not in done.stdout + done.stderr, done.stdout + done.stderr
