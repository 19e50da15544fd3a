# SPDX-License-Identifier: MIT
"""The command that pip installs does what the C program does: all of test_tools.py, run on it. With VIRTSOCK_TOOL other tests of the
command run on it as well."""

import importlib.util
import sysconfig
from pathlib import Path

import pytest

COMMAND = Path(sysconfig.get_path("scripts"), "virtsock")

# A copy of the module with another program in it.
spec = importlib.util.spec_from_file_location("pip_tools", Path(__file__).with_name("test_tools.py"))
tools = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tools)
tools.TOOL = str(COMMAND)
address = tools.address
PYTHON_REFUSES = ("test_input_that_cannot_be_read_ends_the_conversation", "test_input_that_cannot_be_read_is_a_break_for_tcp")      # to begin at all, with a folder as standard input
globals().update({name: thing for name, thing in vars(tools).items() if name.startswith("test_") and name not in PYTHON_REFUSES})


@pytest.fixture(autouse=True)
def installed(need):
    need(COMMAND.exists(), "the Python module is not installed here")


def test_it_is_python_that_runs():
    assert COMMAND.read_bytes().startswith(b"#!") and b"virtsock.__main__" in COMMAND.read_bytes()
