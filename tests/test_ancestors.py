# SPDX-License-Identifier: MIT
"""The usage lines of sock_stress, hvstress, hvbench, hvecho, vsudd (linuxkit/virtsock) and hvcat (mirage/ocaml-hvsock), each through the
parser of the command that took its place: every word that is printed there, and the forms in which Go's flags and cmdliner take them. What
was understood is told by the address that is tried; no socket of AF_VSOCK is made."""

import subprocess
import sys
from pathlib import Path

import pytest
from test_tools import TOOL
from test_tools import run as run_tool

FORBID = [sys.executable, str(Path(__file__).parent / "forbid.py")]
GUID = "e0e16197-dd56-4a10-9195-5ee7a155a838"          # loopback's
TEMPLATE = "00000050-facb-11e6-bd58-64006a7986d3"       # of port 80
VM = "12345678-9abc-def0-1234-56789abcdef0"


def tried(*words):
    """Exit code, and all that was said, of a system that has no AF_VSOCK."""
    done = subprocess.run([*FORBID, "socket:40", "EAFNOSUPPORT", TOOL, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return done.returncode, done.stderr.decode() + done.stdout.decode()


# (command, the ancestor's words, the address that is tried)
LINES = [
    # sock_stress: flag's PrintDefaults, and its README
    ("stress", "-s vsock", "listen vsock://:22099"),
    ("stress", "-s vsock://:1235 -v 1", "listen vsock://:1235"),
    ("stress", "-s hvsock", "listen hvsock:///3049197c-facb-11e6-bd58-64006a7986d3"),
    ("stress", f"-s hvsock:///{TEMPLATE}", f"listen hvsock:///{TEMPLATE}"),
    ("stress", "-c vsock -L 0 -l 65536 -B 16384 -b 16384 -i 2 -p 1 -w 0 -e -v 2", "connect vsock://1:22099"),
    ("stress", "-c=vsock://3 -i=2 -p=2 -e=true -v=1", "connect vsock://3:22099"),
    ("stress", "-c vsock://3:80 -i 1 -e=false", "connect vsock://3:80"),
    ("stress", f"-c hvsock://{VM} -i 1", f"connect hvsock://{VM}/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("stress", "-c hvsock://parent -i 1", "connect hvsock://parent/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("stress", "-c vsock://3: -i 1", "connect vsock://3:22099"),
    ("stress", "-c vsock://3:1235 -m hyperkit:/nowhere/ -i 1", "connect hyperkit://3:1235/nowhere/"),
    ("stress", "-s vsock -m hyperkit:/nowhere/", "listen hyperkit://:22099/nowhere/"),
    ("stress", "-c vsock://3:80 -m docker -i 1", "connect hyperkit://3:80/"),
    ("stress", "-s unix:///nowhere/x", "listen unix:///nowhere/x"),
    ("stress", "-c unix:///nowhere/x -i 1", "connect unix:///nowhere/x"),
    ("stress", "-s tcp4://192.0.2.1", "listen tcp://192.0.2.1:5303"),
    ("stress", "-s tcp6://[2001:db8::1]:80", "listen tcp://[2001:db8::1]:80"),
    ("stress", "-s udp4://192.0.2.1", "udp://192.0.2.1:5303"),
    # sock_stress of mirage/ocaml-hvsock, whose -v is a flag
    ("stress", f"-c hvsock://{VM} -p 1 -i 1 -l 65536 --verbose", f"connect hvsock://{VM}/3049197c-facb-11e6-bd58-64006a7986d3"),
    # hvstress: its usage()
    ("stress", "-s -vsock", "listen vsock://:810097020"),
    ("stress", "-s -1 -vsock -i 10 -a -v -v", "listen vsock://:810097020"),
    ("stress", "-c loopback -i 1", "connect hvsock://loopback/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("stress", "-c parent -p 2 -m 10000 -r -i 1 -a -v", "connect hvsock://parent/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("stress", f"-c {VM} -i 1", f"connect hvsock://{VM}/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("stress", f"-c {GUID.upper()} -i 1", "connect hvsock://loopback/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("stress", "-c loopback -vsock -i 1", "connect vsock://1:810097020"),
    ("stress", "-c parent -vsock -i 1", "connect vsock://2:810097020"),
    ("stress", "-c 1 -vsock -i 1", "connect vsock://1:810097020"),
    ("stress", "-vsock -c 0x3 -i 1", "connect vsock://3:810097020"),
    # hvbench
    ("bench", "-s", "listen vsock://:810097020"),
    ("bench", "-s -vsock -B -m 4096 -p -v", "listen vsock://:810097020"),
    ("bench", "-s -vsock -C", "listen vsock://:810097020"),
    ("bench", "-c loopback -B -m 8", "connect hvsock://loopback/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("bench", "-c parent -C -p", "connect hvsock://parent/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("bench", f"-c {VM} -B", f"connect hvsock://{VM}/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("bench", "-c 3 -vsock -B -m 1024 -v", "connect vsock://3:810097020"),
    # hvecho
    ("echo", "-s", "listen vsock://:810097020"),
    ("echo", "-s -vsock", "listen vsock://:810097020"),
    ("echo", "-c", "connect vsock://1:810097020"),
    ("echo", "-c loopback", "connect hvsock://loopback/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("echo", "-c parent", "connect hvsock://parent/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("echo", f"-c {VM}", f"connect hvsock://{VM}/3049197c-facb-11e6-bd58-64006a7986d3"),
    ("echo", "-c 3 -vsock", "connect vsock://3:810097020"),
    ("echo", "-c parent -vsock", "connect vsock://2:810097020"),
    # hvcat
    ("cat", "", "connect vsock://1:80"),
    ("cat", "-l", "listen vsock://:80"),
    ("cat", "--listen --echo", "listen vsock://:80"),
    ("cat", f"-l --echo hvsock:///{TEMPLATE}", f"listen hvsock:///{TEMPLATE}"),
    ("cat", f"hvsock://{VM}/{TEMPLATE}", f"connect hvsock://{VM}/{TEMPLATE}"),
    ("cat", "vsock://2:80/", "connect vsock://2:80"),
    ("cat", "hyperkit://:80/./nowhere", "connect hyperkit://:80/./nowhere"),
    # vsudd
    ("relay", "-inport 2376:unix:/run/docker.sock", "listen vsock://:2376"),
    ("relay", f"-inport {TEMPLATE}:unix:/run/docker.sock -pidfile /nowhere/pid", "listen vsock://:80"),
    ("relay", "-inport=2376:unix:/a -inport=2377:unix:/b -detach=false -pidfile=/nowhere/pid", "listen vsock://:2376"),
    ("relay", "-detach -inport 2376:unix:/a", "listen vsock://:2376"),
    ("relay", "--detach=true --inport 2376:unix:/a --pidfile /nowhere/pid", "listen vsock://:2376"),
    ("relay", "-inport 2376:unix:@docker", "listen vsock://:2376"),
]


@pytest.mark.parametrize("command, words, address", LINES, ids=lambda value: value if isinstance(value, str) else "")
def test_usage_line(command, words, address):
    code, said = tried(command, *words.split())
    assert code == 1 and address in said, said


def test_a_socket_s_name_of_vsudd_s_syslog(tmp_path):
    """It takes its datagrams first, and finds its collector when there is one to be sent."""
    (tmp_path / "log").write_text("a file")
    code, said = tried("relay", "-syslog", f"514:{tmp_path}/log")
    assert code == 1 and "in use" in said.lower(), said


def test_a_service_of_vsudd_s_syslog(tmp_path):
    """A GUID is as good as its port."""
    (tmp_path / "log").write_text("a file")
    code, said = tried("relay", "-syslog", f"{TEMPLATE}:{tmp_path}/log")
    assert code == 1 and "in use" in said.lower(), said


@pytest.mark.parametrize("word", ["--register-guid", "--register"])
def test_registering_as_hvcat(word):
    """cmdliner takes what a word begins with, and its README says so."""
    code, said = tried("cat", "-l", word, f"hvsock:///{TEMPLATE}")
    assert code == 1 and "registers" in said


@pytest.mark.parametrize(
    "words, said",
    [
        ("stress -s loopback", "no address to listen on"),
        ("stress -s -vsock 3", "no address to listen on"),
        ("stress -c web -vsock", '-vsock "web": wanted is loopback, parent or a CID'),
        ("stress -c 4294967296 -vsock", '-vsock "4294967296": wanted'),
        ("stress -c vsock://3 -vsock", "an address says its scheme"),
        ("stress -c 3 -vsock -m docker", "-m docker is for vsock://CID:PORT"),
        ("echo -s parent", "no address to listen on"),
        ("echo -c unix:///x -vsock", "an address says its scheme"),
        ("bench -c abc -vsock -C", '-vsock "abc": wanted is loopback, parent or a CID'),
        ("bench -c loopback -L", "a plain server sends nothing back: --latency needs virtsock bench -s"),
        ("bench -s -c loopback -B", "-s"),
        ("relay -inport 80:unix:/x -detach=no", "--detach takes no value but true and false"),
        ("relay -inport 80:tcp:/x", "wanted is PORT:unix:PATH"),
        ("cat -v=1", "--verbose takes no value"),
        ("stress -c unix:///a -i=", '--connections ""'),
    ],
)
def test_what_meant_something_else_or_nothing(words, said):
    """What they took for CID 0, for loopback or for no mistake."""
    done = run_tool(*words.split())
    assert (done.returncode, done.stdout) == (2, b"") and said in done.stderr.decode()


@pytest.mark.parametrize("words, is_json", [("--json=false", False), ("--json --json=f", False), ("--json=0", False), ("--json=TRUE", True),
                                            ("--json=False --json=1", True), ("-json=true", True)])
def test_a_flag_that_is_told(words, is_json):
    """The last word counts, as in Go."""
    done = run_tool("info", *words.split(), "vsock://3:80")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"{") is is_json
