# SPDX-License-Identifier: MIT
"""The module loads, alone and quickly, and has the names that it should."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import virtsock
from virtsock import native

ROOT = Path(__file__).parents[2]


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True).stdout


def test_version_is_the_header_s() -> None:
    header = (ROOT / "core/include/virtsock.h").read_text()
    assert virtsock.__version__ == virtsock.version() == re.search(r'VIRTSOCK_VERSION "(.+)"', header)[1]
    assert ".".join(map(str, native.VERSION_NUMBER.to_bytes(3, "big"))) == virtsock.version()


def test_import_takes_nothing_that_is_slow() -> None:
    loaded = run("import sys; before = set(sys.modules); import virtsock; print(*sorted(set(sys.modules) - before))").split()
    assert "virtsock.native" in loaded
    assert not {"asyncio", "typing", "socket", "enum", "warnings"} & set(loaded)


def test_every_public_name_is_there() -> None:
    assert run("from virtsock import *; print(Status.REFUSED.name, connect.__name__, CID_ANY)") == "REFUSED connect 4294967295\n"
    for name in virtsock.__all__:
        assert getattr(virtsock, name) is not None
    assert not hasattr(virtsock, "nonesuch")


@pytest.mark.parametrize("name", ["Address", "Listener", "Stream"])
def test_every_method_is_told(name: str) -> None:
    """Those in C as well: what it does, and what it takes."""
    kind = getattr(virtsock, name)
    for method in (one for one in dir(kind) if not one.startswith("_") and callable(getattr(kind, one))):
        assert len(getattr(kind, method).__doc__) > 10, method
        assert "args" not in str(inspect.signature(getattr(kind, method)))


def test_no_proxy_and_no_destructor_is_reachable() -> None:
    assert native.__file__.endswith((".so", ".pyd"))
    assert [name for name in dir(native) if name.startswith(("delete_", "new_")) or "swig" in name] == []


def test_every_function_of_the_header_is_bound() -> None:
    header = (ROOT / "core/include/virtsock.h").read_text()
    functions = set(re.findall(r"^VIRTSOCK_API .*?virtsock_(\w+)\(", header, re.M))
    collected = {name for name in functions if name.endswith("_free")}
    assert len(functions) > 40 and len(collected) == 4
    # The advice is an attribute of the error, freeing is the collector's.
    assert {name for name in functions - collected - {"advice"} if not callable(getattr(native, name, None))} == set()


def test_constants() -> None:
    assert (virtsock.CID_HYPERVISOR, virtsock.CID_LOCAL, virtsock.CID_HOST) == (0, 1, 2)
    assert virtsock.CID_ANY == virtsock.PORT_ANY == 2**32 - 1
    assert virtsock.VM_PARENT == "a42e7cda-d03f-480c-9cc2-a4de20abb878"
    assert [int(status) for status in virtsock.Status] == list(range(0, -20, -1))
    for status in virtsock.Status:
        assert native.status_name(status) == status.name.lower().replace("_", " ")
