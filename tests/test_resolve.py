# SPDX-License-Identifier: MIT
"""virtsock resolve: libvirt's domains, asked of virsh. Of the real one with libvirt's own test driver, which needs no daemon; and of one that
answers what the test wants, so that what cannot be had of the real one is seen too."""

import re
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from test_tools import TOOL, eventually, run, running

from builds import ROOT

UUID = "5b6b4a4e-2f1b-4c7e-9a7e-{:012x}"
TEST_NAMESPACE = "http://libvirt.org/schemas/domain/test/1.0"
SHUT_OFF = f'<test:runstate xmlns:test="{TEST_NAMESPACE}">5</test:runstate>'
NAMES = [line.split("\t") for line in (ROOT / "tests/vectors/names.tsv").read_text("ascii").splitlines() if line[:1] not in ("", "#")]


def unescape(name):
    return re.sub(rb"\\(x..|\\)", lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x" else b"\\", name.encode("ascii"))


# A shell would take any of them apart; those that are for virsh to take for something else have a test of their own.
HOSTILE = [unescape(name).decode() for name, verdict, _ in NAMES if verdict == "ok"]


def escaped(text):
    return quoteattr(text)[1:-1]


def domain(name, number=1, vsock='<vsock model="virtio"><cid auto="no" address="42"/></vsock>', more=""):
    return f"""<domain type="test"><name>{escaped(name)}</name><uuid>{UUID.format(number)}</uuid><memory>65536</memory>
        <os><type>hvm</type></os><devices>{vsock}</devices>{more}</domain>"""


planted = []  # words that name a virsh of this test


def resolve(*words, **more):
    done = run("resolve", *planted, *words, text=True, **more)
    return done.returncode, done.stdout, done.stderr


# --- The real virsh -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def libvirt(tmp_path, request):
    """A node of libvirt's test driver with those domains: its URI."""
    if shutil.which("virsh") is None:
        (pytest.fail if request.config.getoption("--demand-all") else pytest.skip)("virsh is not installed")

    def node(*domains):
        (tmp_path / "node.xml").write_text(f"<node>{''.join(domains)}</node>")
        return f"test://{tmp_path}/node.xml"

    return node


def test_domain(libvirt):
    uri = libvirt(domain("web"), domain("db", 2, '<vsock><cid auto="no" address="4294967294"/></vsock>'))
    assert resolve("libvirt:web", "1024", "-c", uri) == (0, "vsock://42:1024\n", "")
    assert resolve("--connect", uri, "libvirt:db", "0xff") == (0, "vsock://4294967294:255\n", "")
    assert resolve(f"libvirt:{UUID.format(2)}", "80", "-c", uri) == (0, "vsock://4294967294:80\n", "")


def test_the_library_s_choice_of_libvirt(libvirt, monkeypatch):
    """Without --connect virsh decides, as for its other users."""
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", libvirt(domain("web")))
    assert resolve("libvirt:web", "1024") == (0, "vsock://42:1024\n", "")


def test_no_such_domain(libvirt):
    code, out, err = resolve("libvirt:nosuch", "80", "-c", libvirt(domain("web")))
    assert (code, out) == (1, "")
    assert "failed to get domain 'nosuch'" in err  # virsh's own words
    assert err.endswith("virtsock: virsh knows no domain nosuch, or does not tell: its exit code is 1\n")


def test_no_vsock_device(libvirt):
    code, out, err = resolve("libvirt:web", "80", "-c", libvirt(domain("web", vsock="")))
    assert (code, out) == (1, "")
    assert err.startswith("virtsock: web has no vsock device: virsh edit, and add <vsock")


def test_not_running(libvirt):
    uri = libvirt(domain("web", vsock='<vsock><cid auto="yes"/></vsock>', more=SHUT_OFF), domain("fixed", 2, more=SHUT_OFF))
    assert resolve("libvirt:web", "80", "-c", uri) == (
        1, "", "virtsock: web has no CID before it runs: virsh start, or give it one (auto='no' address='N')\n")
    assert resolve("libvirt:fixed", "80", "-c", uri) == (0, "vsock://42:80\n", "")  # known, if of no use yet


def test_a_number_is_no_name(libvirt):
    """virsh takes 1 for an id before it takes it for a name."""
    uri = libvirt(domain("web"), domain("1", 2, '<vsock><cid auto="no" address="43"/></vsock>'))
    code, out, err = resolve("libvirt:1", "80", "-c", uri)
    assert (code, out) == (1, "")
    assert "virsh takes 1 for the id of another domain" in err
    assert resolve(f"libvirt:{UUID.format(2)}", "80", "-c", uri)[:2] == (0, "vsock://43:80\n")
    assert resolve("libvirt:7", "80", "-c", libvirt(domain("7")))[:2] == (0, "vsock://42:80\n")


def test_hostile_names(libvirt):
    names = [name for name in HOSTILE if "\uffff" not in name]  # XML has no such character
    uri = libvirt(*(domain(name, number) for number, name in enumerate(names, 1)))
    assert len(names) > 70
    for name in names:
        assert resolve("-c", uri, f"libvirt:{name}", "80") == (0, "vsock://42:80\n", ""), name


# --- One that answers what is wanted ------------------------------------------------------------------------------------------


@pytest.fixture
def virsh(tmp_path, monkeypatch):
    """Writes its words down, a line each, and runs that shell text."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setitem(globals(), "planted", ["--virsh", str(folder / "virsh")])

    def plant(text, answer=""):
        (tmp_path / "answer").write_text(answer)
        (folder / "virsh").write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > '{tmp_path}/words'\n{text}\n")
        (folder / "virsh").chmod(0o755)

    plant.words = lambda: (tmp_path / "words").read_text().rstrip("\n").split("\n")
    plant.folder = tmp_path
    return plant


def answers(virsh, xml):
    virsh(f"cat '{virsh.folder}/answer'", xml)


@pytest.mark.proves("T13")
def test_names_are_single_words(virsh):
    answers(virsh, domain("x"))
    for name in HOSTILE:
        if not re.fullmatch(r"[ \t+0-9a-fA-F-]*", name):
            assert resolve(f"libvirt:{name}", "80", "-c", "test:///x") == (0, "vsock://42:80\n", ""), name
            assert virsh.words() == ["--connect", "test:///x", "dumpxml", "--", name]


def test_no_virsh(tmp_path):
    said = f"virtsock: there is no program {tmp_path}/virsh\n"
    assert resolve("--virsh", str(tmp_path / "virsh"), "libvirt:web", "80") == (1, "", said)


def test_path_is_not_asked(monkeypatch, tmp_path):
    """Whoever can put a program there, as `.` or a folder of downloads can have it, is not run."""
    (tmp_path / "virsh").write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    (tmp_path / "virsh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    code, out, err = resolve("-c", "test:///default", "libvirt:nosuch", "80")
    assert (code, out) == (1, "") and "virsh" in err
    assert not (tmp_path / "ran").exists()
    if not any(Path(folder, "virsh").exists() for folder in ("/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin")):
        assert err.startswith("virtsock: there is no virsh in /usr/bin") and "libvirt-clients" in err


def gone(pid):
    left = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return left.stdout.strip()[:1] in ("", "Z")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_virsh_is_ended_with_the_command(virsh, number):
    """And what it had started; the command has that signal's end itself."""
    virsh(f"sleep 60 & echo $$ $! > '{virsh.folder}/new'; mv '{virsh.folder}/new' '{virsh.folder}/pids'\nwait")
    usual = partial(signal.signal, number, signal.SIG_DFL)  # whatever these tests were started by
    with running("resolve", *planted, "libvirt:web", "80", stderr=subprocess.DEVNULL, preexec_fn=usual) as process:
        eventually((virsh.folder / "pids").exists)
        process.send_signal(number)
        assert process.wait(10) == -number
        for pid in (virsh.folder / "pids").read_text().split():
            eventually(lambda pid=pid: gone(pid))


def test_what_is_ignored_ends_nothing(virsh):
    """nohup stays nohup."""
    virsh(f"touch '{virsh.folder}/runs'\nsleep 1; cat '{virsh.folder}/answer'", domain("x"))
    command = ["nohup", TOOL, "resolve", *planted, "libvirt:x", "80"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        eventually((virsh.folder / "runs").exists)
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=30)[0] == b"vsock://42:80\n"


def test_virsh_that_hangs(virsh):
    virsh(f"sleep 60 & echo $! > '{virsh.folder}/pid'\nwait")
    begin = time.monotonic()
    code, out, err = resolve("--timeout", "0.5", "libvirt:web", "80")
    assert 0.5 <= time.monotonic() - begin < 1.5
    assert (code, out, err) == (1, "", "virtsock: virsh did not answer within 0.5 s; see whether it asks for a password\n")
    assert gone((virsh.folder / "pid").read_text().strip())  # what it had started was ended too


def test_virsh_that_says_no_more_and_stays(virsh):
    virsh("exec >&- 2>&-; sleep 60")
    assert resolve("--timeout", "0.3", "libvirt:web", "80")[0] == 1


def test_virsh_that_floods(virsh):
    virsh("exec yes")
    code, out, err = resolve("libvirt:web", "80")
    assert (code, out) == (1, "")
    assert err == "virtsock: virsh says more than 1048575 bytes about web\n"


def test_virsh_that_a_signal_ends(virsh):
    virsh("kill -9 $$")
    assert "its exit code is -1" in resolve("libvirt:web", "80")[2]


def test_virsh_that_cannot_be_run(virsh):
    virsh("")
    (virsh.folder / "bin" / "virsh").chmod(0o644)
    code, out, err = resolve("libvirt:web", "80")
    assert (code, out) == (1, "") and "virsh" in err


WEB = "<name>web</name>"
CID = "<devices><vsock><cid auto='no' address='9'/></vsock></devices>"
UNREADABLE = "virtsock: what virsh says about web is no domain in XML\n"


@pytest.mark.parametrize("xml", [
    f"<domain>{WEB}{CID}</domain>",
    f"<?xml version='1.0'?>\n<domain id = '3'\n type=\"kvm\" >{WEB}<devices><vsock\tmodel='virtio'><cid  address = \"9\" auto='yes' /></vsock></devices></domain >",
    f"<domain id='3'>{WEB}<description>&lt;vsock>&lt;cid address='3'/></description>{CID}</domain>",
    f"<domain>{WEB}<!-- <devices><vsock><cid address='3'/></vsock></devices> -->{CID}</domain>",
    f"<domain>{WEB}<metadata><x><![CDATA[</x></metadata><devices><vsock><cid address='3'/>]]></x></metadata>{CID}</domain>",
    f"<domain>{WEB}<metadata><vsock xmlns='urn:x'><cid address='3'/></vsock><a:devices><vsock><cid address='4'/></vsock></a:devices></metadata>{CID}</domain>",
    f"<domain>{WEB}<devices><disk note='/><vsock><cid address=\"3\"/></vsock>'/><vsock><cid address='9'/><alias address='5'/></vsock></devices></domain>",
    f"<domain>{WEB}<{'x' * 140}><devices><vsock><cid address='3'/></vsock></devices></{'x' * 140}>{CID}</domain>",
    f"<domain>{WEB}{'<a>' * 500}{'<vsock>' * 9}{'</vsock>' * 9}{'</a>' * 500}{CID}</domain>",
])  # fmt: skip
def test_xml_that_is_read(virsh, xml):
    answers(virsh, xml)
    assert resolve("libvirt:web", "80") == (0, "vsock://9:80\n", "")


@pytest.mark.parametrize("xml", [
    "", "web\n", "<domain>", f"<domain>{WEB}{CID}", f"<domain>{WEB}{CID}</domaim>", f"{WEB}{CID}</domain>", "<", "<domain", "<domain id", "<domain id=",
    "<domain id='3", "<domain id=3/>", "<!-- ", "<![CDATA[", "<?xml", "</", "</domain>", "< domain/>", "<domain/", "<!DOCTYPE x><domain/>", "<=''>", "\0",
])  # fmt: skip
def test_xml_that_is_none(virsh, xml):
    answers(virsh, xml)
    assert resolve("libvirt:web", "80") == (1, "", UNREADABLE)


@pytest.mark.parametrize("cid", ["", "0", "2", "4294967295", "4294967296", "99999999999999999999", "-3", "0x9", " 9", "9 ", "any"])
def test_no_cid_of_a_guest(virsh, cid):
    answers(virsh, f"<domain id='1'>{WEB}<devices><vsock><cid auto='yes' address='{cid}'/></vsock></devices></domain>")
    code, out, err = resolve("libvirt:web", "80")
    assert (code, out) == (1, "") and "no CID" in err


def test_a_cid_that_was_chosen_once(virsh):
    """What libvirt chooses anew with every start is worth nothing before that."""
    answers(virsh, f"<domain>{WEB}<devices><vsock><cid auto='yes' address='9'/></vsock></devices></domain>")
    code, out, err = resolve("libvirt:web", "80")
    assert (code, out) == (1, "") and "no CID before it runs" in err


# --- Words --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [
    (), ("libvirt:web",), ("libvirt:", "80"), ("libvirt:web", ""), ("libvirt:web", "x"), ("libvirt:web", "4294967296"), ("libvirt:web", "-1"),
    ("libvirt:web", "any"), ("libvirt:web", "80?type=seqpacket"), ("libvirt:web", "80/"), ("libvirt:web", "80", "81"), ("vsock://3:80", "80"),
    ("vsock://web:80",), ("-c", "x", "vsock://3:80"), ("nonsense",),
    ("--virsh", "virsh", "libvirt:web", "80"), ("--virsh", "/usr/bin/virsh", "vsock://3:80"),
])  # fmt: skip
def test_usage(words, virsh):
    answers(virsh, domain("web"))
    done = run("resolve", *words, text=True)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("virtsock: ")
    assert not (virsh.folder / "words").exists()


def test_other_addresses_are_printed_as_they_are():
    assert resolve("VSOCK:host:0x400") == (0, "vsock://2:1024\n", "")
    assert resolve("hvsock://parent:80") == (0, "hvsock://parent/00000050-facb-11e6-bd58-64006a7986d3\n", "")


def test_names_of_hyperv_are_for_windows():
    code, out, err = resolve("hvsock://My%20VM/80")
    assert (code, out) == (1, "")
    assert "names are looked up on Windows hosts alone; for a libvirt domain there is `virtsock resolve`" in err


def test_help_tells_of_libvirt():
    text = subprocess.run([TOOL, "resolve", "--help"], text=True, capture_output=True, check=True).stdout
    assert "libvirt:NAME PORT" in text and "--connect URI" in text
