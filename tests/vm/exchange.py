# SPDX-License-Identifier: MIT
"""A conversation between two machines, in C, Python or Lua at either end: an echo, a half-close and a goodbye, as `virtsock echo` has them.

Owns how each language's two ends are started. Knows nothing of pytest, nor of what machines they are.
"""

import json
from pathlib import Path

from builds import BUILD, ROOT, TOOL, lua_environment

PYTHON = BUILD / "venv" / "bin" / "python"
LUA = "5.4"
EXAMPLES = ROOT / "examples"
LANGUAGES = ("C", "Python", "Lua")


def command(language, end, address):
    """(arguments, environment) of the server or the client."""
    if language == "C":
        return [TOOL, "echo", "-v", *(["-s"] if end == "server" else ["--json", "--wait", "20"]), address], {}
    if language == "Python":
        return [PYTHON, EXAMPLES / f"echo_{end}.py", address], {}
    return [f"lua{LUA}", EXAMPLES / f"echo_{end}.lua", address], lua_environment(LUA)


def serve(machine, language, address):
    """A server that listens by now, as a job: a context manager that ends it."""
    arguments, environment = command(language, "server", address)
    job = machine.start([str(a) for a in arguments], env=environment)
    job.expect("listening on")
    return job


def ask(machine, language, address, half_close=True):
    """Milliseconds that the client took to connect and converse, by its own clock; without a goodbye, where there is no half-close on the
    way. Raises RuntimeError with what it printed."""
    arguments, environment = command(language, "client", address)
    done = machine.run([*map(str, arguments), *([] if half_close else ["--no-bye"])], env=environment)
    lines = done.text.splitlines()
    try:
        if language == "C":
            told = json.loads(next(line for line in lines if line.startswith("{")))
            assert done.code == 0 and told["ok"] is True
            return told["connect_ms"] + told["echo_ms"] + told["bye_ms"]
        word, took, _ = lines[-1].split()
        assert done.code == 0 and word == "ok"
        return float(took)
    except (ValueError, LookupError, StopIteration, AssertionError) as error:
        raise RuntimeError(f"{Path(str(arguments[0])).name} ended with {done.code}: {done.text}") from error
