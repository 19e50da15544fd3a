# SPDX-License-Identifier: MIT
"""Names and services with virtsock-1.dll as it ships: programs that stand in for powershell.exe and wsl.exe where the library looks for them, and
Wine's own registry."""

import json
import re
import shutil

import pytest

from builds import BUILD, ROOT

from .rig import PREFIX, windows

PROGRAMS = BUILD / "mingw64" / "tests" / "wine"
TOOL = BUILD / "mingw64" / "tools" / "virtsock.exe"
SYSTEM = PREFIX / "prefix" / "drive_c" / "windows" / "system32"
POWERSHELL = SYSTEM / "WindowsPowerShell" / "v1.0" / "powershell.exe"
WSL = SYSTEM / "wsl.exe"
ID, OTHER = "11111111-2222-3333-4444-555555555555", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
SERVICE = "00000050-facb-11e6-bd58-64006a7986d3"
KEY = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Virtualization\GuestCommunicationServices"
NAMES = [line.split("\t") for line in (ROOT / "tests/vectors/names.tsv").read_text("ascii").splitlines() if line[:1] not in ("", "#")]


def unescape(name):
    return re.sub(rb"\\(x..|\\)", lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x" else b"\\", name.encode("ascii"))


@pytest.fixture
def planted(wine):
    """The two, where Windows has them, with what Wine has there kept aside."""
    kept = {}
    for place in (POWERSHELL, WSL):
        place.parent.mkdir(parents=True, exist_ok=True)
        kept[place] = place.read_bytes() if place.exists() else None
        place.unlink(missing_ok=True)
        shutil.copy(PROGRAMS / "fakeshell.exe", place)
    yield
    for place, content in kept.items():
        place.unlink()
        if content is not None:
            place.write_bytes(content)


@pytest.fixture
def ask(wine, tmp_path):
    """(status, milliseconds, message or address, advice) of each address, and what the programs wrote down."""

    def ask(mode, *addresses, limit="-", **environment):
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        *rows, survivors, _ = wine.run(PROGRAMS / "names.exe", limit, *addresses, FAKESHELL_MODE=mode, FAKESHELL_LOG=windows(log), **environment)
        assert survivors == "survivors 0"
        written = [line.split(" ") for line in log.read_text().splitlines()] if log.exists() else []
        return [(status, int(ms), text, advice) for status, ms, text, advice in (row.split("|") for row in rows)], written

    return ask


def noted(written, what):
    """As text; what was never written in hexadecimal digits as it is."""
    return [bytes.fromhex(value).decode() if re.fullmatch(r"([0-9a-f]{2})+", value) and what in ("command", "program", "folder", "name") else value
            for key, value in written if key == what]


# --- Answers ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "status", "piece"), [
    ("answer", "ok", f"hvsock://{ID}/{SERVICE}"), ("bare", "ok", f"hvsock://{ID}/{SERVICE}"), ("slow", "ok", f"hvsock://{ID}/{SERVICE}"),
    ("none", "not found", "no VM has exactly that name"), ("two", "ambiguous", f"2 VMs have that name: {ID}, {OTHER}"),
    ("many", "ambiguous", f"150 VMs have that name: {ID}, {ID}, ..."), ("exit5", "denied", "this user may not use Get-VM"),
    ("exit126", "unsupported", "no Hyper-V module"), ("exit1", "system", "exit code is 1"), ("junk", "protocol", "no id in the answer"),
    ("half", "protocol", "no id in the answer"), ("flood", "protocol", "the answer does not end"),
])  # fmt: skip
@pytest.mark.proves("C17")
def test_answers(planted, ask, mode, status, piece):
    [(got, ms, text, advice)], written = ask(mode, "hvsock://My%20VM/80")
    assert (got, piece in text) == (status, True), text
    assert ms < 5000 and len(noted(written, "pid")) == 1
    assert advice or status not in ("denied", "not found", "timeout")


@pytest.mark.proves("C17")
def test_a_hang_ends_with_its_tree(planted, ask):
    """It had answered, and started another: all of it is gone (names.exe looks) when the time has passed."""
    [(status, ms, text, _)], written = ask("hang", "hvsock://web/80", limit="700")
    assert status == "timeout" and 700 <= ms < 1500
    assert "PowerShell did not answer in time" in text
    assert len(noted(written, "grandchild")) == 1


def test_what_it_left_behind_is_ended(planted, ask):
    [(status, ms, _, _)], written = ask("leave", "hvsock://web/80")
    assert status == "ok" and ms < 5000
    assert len(noted(written, "grandchild")) == 1


def test_no_program(wine, planted, ask):
    for place in (POWERSHELL, WSL):
        place.rename(place.with_suffix(".away"))
    try:
        rows, written = ask("answer", "hvsock://web/80", "hvsock://wsl/80")
    finally:
        for place in (POWERSHELL, WSL):
            place.with_suffix(".away").rename(place)
    assert [row[0] for row in rows] == ["unsupported"] * 2 and not written


def test_wsl(planted, ask):
    [found], written = ask("answer", "hvsock://wsl/80")
    assert (found[0], found[2]) == ("ok", f"hvsock://{ID}/{SERVICE}")
    assert noted(written, "command") == [r'"C:\windows\system32\wsl.exe" -- wslinfo --vm-id']
    assert noted(written, "name") == ["none"]
    [found], _ = ask("exit1", "hvsock://wsl/80")
    assert found[0] == "not found" and "wsl.exe" in found[2]


# --- Names are data -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("T13")
def test_hostile_names_arrive_byte_for_byte(planted, ask):
    rows = [(unescape(name), text) for name, verdict, text in NAMES if verdict == "ok"]
    answers, written = ask("answer", *(f"hvsock://{text}/80" for _, text in rows))
    assert len(rows) > 70
    assert [answer[0] for answer in answers] == ["ok"] * len(rows)
    assert [bytes.fromhex(value) for what, value in written if what == "name"] == [name for name, _ in rows]
    assert len(set(noted(written, "command"))) == 1  # the same words each time: the name is in none


def test_its_words(planted, ask):
    _, written = ask("answer", "hvsock://web/80")
    program, _, words = noted(written, "command")[0].partition(" ")
    assert program == r'"C:\windows\system32\WindowsPowerShell\v1.0\powershell.exe"'
    assert words.startswith("-NoLogo -NoProfile -NonInteractive ") and "$env:VIRTSOCK_NAME" in words
    assert noted(written, "folder") == [r"C:\windows\system32"]
    assert noted(written, "input") == ["0"]


@pytest.mark.proves("T5")
def test_nothing_is_inherited(planted, ask):
    """names.exe has an inheritable handle open; and a variable of that name in its own environment is not passed on."""
    _, written = ask("answer", "hvsock://web/80", VIRTSOCK_NAME="planted", virtsock_name="planted")
    assert noted(written, "handle") == ["none"]
    assert noted(written, "name") == ["web"]


@pytest.mark.proves("T14")
def test_no_other_powershell_is_run(planted, ask, tmp_path, monkeypatch):
    """Neither of the working directory, nor of PATH, nor beside the program."""
    for folder in (tmp_path, PROGRAMS):
        for name in ("powershell.exe", "wsl.exe"):
            shutil.copy(PROGRAMS / "fakeshell.exe", folder / name)
    monkeypatch.chdir(tmp_path)
    try:
        _, written = ask("answer", "hvsock://web/80", "hvsock://wsl/80", WINEPATH=f"{windows(tmp_path)};{windows(BUILD / 'mingw64')}")
    finally:
        for name in ("powershell.exe", "wsl.exe"):
            (PROGRAMS / name).unlink()
    assert noted(written, "program") == [r"C:\windows\system32\WindowsPowerShell\v1.0\powershell.exe", r"C:\windows\system32\wsl.exe"]


# --- Services -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def registry(wine):
    """Names of registered services by their GUIDs; none before and after."""

    def query():
        printed = wine.raw("reg.exe", "query", KEY, "/s").stdout
        return dict(re.findall(r"Services\\([0-9a-f-]{36})\s+(?:\(Default\)    REG_SZ\s+)?(?:ElementName    REG_SZ    (.*))?", printed))

    wine.raw("reg.exe", "delete", KEY, "/f")
    yield query
    wine.raw("reg.exe", "delete", KEY, "/f")


def names(wine, *words):
    return wine.run(PROGRAMS / "names.exe", *words)[0].split("|")


@pytest.mark.proves("L14")
def test_registry(wine, registry):
    assert names(wine, "register", "80", "it's")[0] == "ok"
    assert registry() == {SERVICE: "it's"}
    assert names(wine, "register", SERVICE.upper(), "another")[0] == "ok"  # done before is OK, and the name stays
    assert names(wine, "register", ID, "second")[0] == "ok"
    assert registry() == {SERVICE: "it's", ID: "second"}
    assert names(wine, "unregister", "80")[0] == "ok"
    assert registry() == {ID: "second"}
    assert names(wine, "unregister", "80")[0] == "ok"


def test_a_key_without_a_name_gets_one(wine, registry):
    wine.raw("reg.exe", "add", f"{KEY}\\{SERVICE}", "/f")
    assert registry() == {SERVICE: ""}
    assert names(wine, "register", "80", "named")[0] == "ok"
    assert registry() == {SERVICE: "named"}


def test_what_is_no_service(wine, registry):
    for words in (("register", "x", "n"), ("register", "2147483648", "n"), ("register", "80", ""), ("unregister", "x")):
        assert names(wine, *words)[0] == "invalid"
    assert registry() == {}


@pytest.fixture
def locked(wine, registry):
    """A service's key that this user may read alone; Wine's server forgets that when it ends, but here it stays."""
    names(wine, "lock", SERVICE)
    yield
    names(wine, "unlock", SERVICE)


def test_no_permission(wine, locked):
    """Wine asks for none to take a key away."""
    status, _, message, advice = names(wine, "register", "80", "n")
    assert (status, message) == ("denied", f"register hvsock:///{SERVICE}: only an administrator may (ERROR_ACCESS_DENIED)")
    assert "administrator" in advice and "--script" in advice


def test_done_before_needs_no_permission(wine, registry):
    assert names(wine, "register", "80", "n")[0] == "ok"
    names(wine, "lock", SERVICE)
    try:
        assert names(wine, "register", "80", "n")[0] == "ok"
    finally:
        names(wine, "unlock", SERVICE)


# --- The command --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tool(wine):
    def tool(*words, **environment):
        done = wine.raw(TOOL, *words, LC_ALL="C.UTF-8", **environment)
        return done.returncode, done.stdout.replace("\r", ""), done.stderr.replace("\r", "")

    return tool


def test_service_command(tool, registry):
    key = KEY + "\\" + SERVICE
    line = f"{SERVICE}  80          Größe’s\n"
    assert tool("service", "list") == (0, "", "")
    assert tool("service", "register", "--dry-run", "80", "n") == (0, f"would make {key}\nwould set ElementName to n\n", "")
    assert registry() == {}
    assert tool("service", "register", "80", "Größe’s") == (0, line, "")
    assert tool("service", "register", "80", "other") == (0, line, "")
    assert tool("service", "register", "--dry-run", "80") == (0, f"nothing to do: {SERVICE} is registered as Größe’s\n", "")
    assert tool("service", "unregister", "--dry-run", "80") == (0, f"would remove {key}, ElementName Größe’s\n", "")
    assert tool("service", "register", ID) == (0, f"{ID}  -           virtsock\n", "")
    assert sorted(tool("service", "list")[1].splitlines(True)) == [line, f"{ID}  -           virtsock\n"]
    assert sorted(json.loads(tool("service", "list", "--json")[1]), key=lambda row: row["service"]) == [
        {"service": SERVICE, "port": 80, "registered": True, "name": "Größe’s"},
        {"service": ID, "port": None, "registered": True, "name": "virtsock"},
    ]
    assert tool("service", "status", "80") == (0, line, "")
    assert tool("service", "unregister", "80") == tool("service", "unregister", "80") == (0, f"{SERVICE}  80          not registered\n", "")
    assert tool("service", "status", "80") == (1, f"{SERVICE}  80          not registered\n", "")
    assert json.loads(tool("service", "status", "--json", "80")[1]) == {"service": SERVICE, "port": 80, "registered": False, "name": None}
    assert set(registry()) == {ID}


def test_list_passes_over_what_is_no_service(wine, tool, registry):
    for name in ("x", "x" * 200, ID):
        wine.raw("reg.exe", "add", f"{KEY}\\{name}", "/f")
    assert tool("service", "list") == (0, f"{ID}  -           \n", "")


def test_command_without_permission_prints_the_lines(tool, locked):
    code, out, err = tool("service", "register", "80", "it's")
    assert (code, out) == (1, "")
    error, advice, lead, script = err.split("\n", 3)
    assert error == f"virtsock: register hvsock:///{SERVICE}: only an administrator may (ERROR_ACCESS_DENIED)"
    assert "administrator" in advice and lead == "virtsock: or run these lines in an administrator's PowerShell:"
    assert script == tool("service", "register", "--script", "80", "it's")[1] != ""
    code, _, err = tool("cat", "-l", "--register", "hvsock:///80")
    assert code == 1 and "only an administrator may" in err and err.endswith("\n}\n")


def test_cat_registers(tool, registry):
    code, _, err = tool("cat", "-l", "--register", "hvsock:///80")
    assert registry() == {SERVICE: "virtsock cat"}
    assert code == 1 and err.startswith(f"virtsock: listen hvsock:///{SERVICE}: ")  # Wine has no Hyper-V sockets


def test_resolve_command(planted, tool, tmp_path):
    log = {"FAKESHELL_LOG": windows(tmp_path / "log")}
    assert tool("resolve", "hvsock://My%20VM/80", FAKESHELL_MODE="answer", **log) == (0, f"hvsock://{ID}/{SERVICE}\n", "")
    code, out, err = tool("resolve", "--timeout", "0.5", "hvsock://My%20VM/80", FAKESHELL_MODE="hang", **log)
    assert (code, out) == (1, "") and "PowerShell did not answer in time" in err
    assert "2 VMs have that name" in tool("resolve", "hvsock://My%20VM/80", FAKESHELL_MODE="two", **log)[2]
