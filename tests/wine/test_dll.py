# SPDX-License-Identifier: MIT
"""The DLLs as they ship: what they export and import, and that no other is tested. Nothing here runs them."""

import re
import subprocess

import pytest

from builds import BUILD, ROOT

from .renamed import printed

pytestmark = pytest.mark.proves("windows-i686")

KINDS = {"mingw64": "x86_64-w64-mingw32", "mingw32": "i686-w64-mingw32"}
SYSTEM = {"ADVAPI32.dll", "KERNEL32.dll", "WS2_32.dll"}
RUNTIME = re.compile(r"msvcrt\.dll|ucrtbase\.dll|api-ms-win-crt-[\w-]+\.dll")
NEVER = {"select", "WSAPoll", "getaddrinfo", "GetAddrInfoW", "gethostbyname"}
WINSOCK = {"WSAStartup", "WSASocketW", "WSAIoctl", "WSASend", "WSARecv", "WSAGetOverlappedResult", "bind", "listen", "closesocket"}


class Dll:
    """What objdump tells of virtsock-1.dll of one build."""

    def __init__(self, build):
        self.path, self.tools = BUILD / build / "virtsock-1.dll", KINDS[build]
        text = printed(f"{self.tools}-objdump", "-p", self.path)
        self.head, _, rest = text.partition("The Import Tables")
        imports, _, exports = rest.partition("The Export Tables")
        self.imports = {}
        for library, rows in re.findall(r"DLL Name: (\S+)\n(.*?)(?=\n\n)", imports, re.DOTALL):
            self.imports[library] = re.findall(r"^\t\w+\t +(\d+) +(\S+)?", rows, re.MULTILINE)
        self.exports = re.findall(r"^\t\[ *\d+\] (?:\+base\[ *\d+\]  *\w+ )?(\w+)$", exports.partition("Name Pointer")[2], re.MULTILINE)


@pytest.fixture(params=KINDS)
def dll(request):
    if not (BUILD / request.param / "virtsock-1.dll").exists():
        (pytest.fail if request.config.getoption("--demand-all") else pytest.skip)(f"{request.param} is not built")
    return Dll(request.param)


def test_it_exports_what_symbols_txt_names(dll):
    assert dll.exports == re.findall(r"^ +(\w+)$", (ROOT / "core" / "symbols.txt").read_text(), re.MULTILINE)


def test_it_imports_from_the_system_and_the_runtime(dll):
    """And nothing of what opens sockets from anywhere but WS2_32."""
    others = set(dll.imports) - SYSTEM
    assert set(dll.imports) - others == SYSTEM
    assert others and all(RUNTIME.fullmatch(library) for library in others), others


def test_it_imports_by_name(dll):
    counted = [line for line in printed(f"{dll.tools}-objdump", "-p", dll.path).splitlines() if re.match(r"\t\w+\t +\d+ ", line)]
    assert len(counted) == sum(len(rows) for rows in dll.imports.values()) > 50
    assert all(re.fullmatch(r"\w+", name) for rows in dll.imports.values() for _, name in rows), "an ordinal"


def test_what_it_imports_of_winsock(dll):
    names = {library: {name for _, name in rows} for library, rows in dll.imports.items()}
    assert names["WS2_32.dll"] >= WINSOCK
    assert not set().union(*names.values()) & NEVER


def test_it_asks_for_no_function_as_it_runs(dll):
    """The compiler's own code in the DLL does for i686, so this looks at ours."""
    asked = re.findall(r"^ +U (\S+)$", printed(f"{dll.tools}-nm", "-u", dll.path.parent / "libvirtsock.a"), re.MULTILINE)
    assert len(asked) > 100 and not [name for name in asked if "GetProcAddress" in name or "LoadLibrary" in name]


def test_its_flags(dll):
    """Addresses by chance, no code in data."""
    flags = {"DYNAMIC_BASE", "NX_COMPAT"} | ({"HIGH_ENTROPY_VA"} if "x86_64" in dll.tools else set())
    assert flags <= set(re.findall(r"^\t{5}(\w+)$", dll.head, re.MULTILINE))
    assert "Time/Date\t\tThu Jan  1 00:00:00 1970" in dll.head, "the same sources make the same file"


def test_it_is_what_is_installed(dll, tmp_path):
    """test_shim.py says that the tests' programs have this file."""
    subprocess.run(["cmake", "--install", dll.path.parent, "--prefix", tmp_path], check=True, capture_output=True)
    assert (tmp_path / "bin" / "virtsock-1.dll").read_bytes() == dll.path.read_bytes()
    assert sorted(file.name for file in (tmp_path / "lib").iterdir() if file.is_file()) == ["libvirtsock.a", "libvirtsock.dll.a"]
