# SPDX-License-Identifier: MIT
# ruff: noqa: F811
"""`virtsock relay`: what its words mean to it (limits of a rules line and of the command line, vsudd's words), standard
input and output that fail, exit codes, counters, and what it tells to whom."""

import contextlib
import grp
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_relay import accept, activated, connect, frames, listener, place, relay  # noqa: F401
from test_relay_ends import conversation, port_of, take, takes_no_more
from test_relay_service import talk, watched
from test_tools import TOOL, eventually, run, running

FORBID = [sys.executable, str(Path(__file__).parent / "forbid.py")]
GUID = "12345678-9abc-def0-1234-56789abcdef0"


# --- Limits -----------------------------------------------------------------------------------------------------------


def is_admitted(path, server):
    """Connected to TO; or else hung up on."""
    with connect(path) as client:
        first, _, _ = select.select([client, server], [], [], 30)
        if server not in first:
            return False
        accept(server).close()
        return True


def test_a_line_s_allow_takes_the_place_of_the_option(place):
    """It adds nothing to it: who is admitted by the command line alone is not by that line. Its own add up."""
    nobody = os.getuid() + 1
    (place / "rules").write_text(
        f"unix://{place}/a unix://{place}/to\n"
        f"unix://{place}/b unix://{place}/to allow=uid={nobody}\n"
        f"unix://{place}/c unix://{place}/to allow=uid={nobody} allow=self\n"
    )
    for allowed, admitted in (("self", "ac"), (f"uid={nobody}", "c")):
        with (
            listener(place / "to") as server,
            relay(place, "--allow", allowed, "--rules", str(place / "rules")) as r,
        ):
            eventually(lambda r=r: r.log().count("listening on") == 3)
            assert "".join(name for name in "abc" if is_admitted(place / name, server)) == admitted
        (place / "to").unlink()


@pytest.mark.parametrize("told, threads", [("0", 1), ("3", 3), ("1000", 64)])
def test_threads(place, told, threads):
    with (
        listener(place / "to") as server,
        relay(place, "--threads", told, f"unix://{place}/from", f"unix://{place}/to") as r,
    ):
        talk(place / "from", server)
        eventually(lambda: len(watched(r)) == threads)


def test_conversations_have_ten_seconds_unless_told(place):
    with listener(place / "to") as server, relay(place, f"unix://{place}/from", f"unix://{place}/to") as r:
        with conversation(place / "from", server) as (client, s):
            r.terminate()
            eventually(lambda: not (place / "from").exists())
            time.sleep(1.5)
            client.sendall(b"still here")
            assert take(s, 10) == b"still here"
        assert r.wait(10) == 0


def test_no_more_than_sixteen_sockets_for_datagrams(place):
    lines = [f"syslog:{place}/{number} unix://{place}/to\n" for number in range(17)]
    (place / "rules").write_text("".join(lines))
    done = run("relay", "--rules", str(place / "rules"))
    assert (done.returncode, done.stderr.decode()) == (2, f"virtsock: syslog:{place}/16: there are 16 already\n")


# --- vsudd's words ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "which, to",
    [
        ("514", "vsock://host:514"),
        ("00000202-FACB-11E6-BD58-64006A7986D3", "vsock://host:514"),
        (GUID, f"hvsock://parent/{GUID}"),
    ],
)
def test_vsudd_s_syslog(place, which, to):
    """It connects to nobody before there is a message."""
    with relay(place, "-syslog", f"{which}:{place}/log.sock", ready="datagrams at") as r:
        assert f"datagrams at {place}/log.sock for {to}\n" in r.log()


@pytest.mark.parametrize(
    "which, from_",
    [
        ("2376", "vsock://:2376"),
        ("00000948-FACB-11E6-BD58-64006A7986D3", "vsock://:2376"),
        (GUID, f"hvsock:///{GUID}"),
    ],
)
def test_vsudd_s_inport(place, which, from_):
    """Where it would listen, on a system that forbids it."""
    command = [*FORBID, "socket:40", "EAFNOSUPPORT", TOOL, "relay", "-inport", f"{which}:unix:{place}/to"]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"virtsock: listen {from_}: ")


def test_a_path_of_vsudd_s_that_is_too_long():
    done = run("relay", "-syslog", "514:/" + "a" * 4200)
    assert done.returncode == 2 and b"wanted is PORT:PATH" in done.stderr


# --- Standard input and output ----------------------------------------------------------------------------------------


def test_standard_input_that_cannot_be_read(place):
    with listener(place / "to") as server, open_directory(place) as folder:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with running("relay", "-", f"unix://{place}/to", stdin=folder, **pipes) as r:
            with accept(server) as s, contextlib.suppress(ConnectionResetError):
                assert s.recv(1) == b""         # and not before it
            assert r.wait(30) == 1
            assert r.stderr.read() == b"virtsock: standard input: Is a directory\n"


@contextlib.contextmanager
def open_directory(path):
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_standard_output_that_takes_no_more(place):
    """The peer learns that nobody takes what it sends."""
    with listener(place / "to") as server, open("/dev/full", "wb") as full:
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
        with running("relay", "-", f"unix://{place}/to", stdout=full, **pipes) as r:
            with accept(server) as s:
                eventually(lambda: takes_no_more(s), 30)
            assert r.wait(10) == 1
            assert r.stderr.read() == b"virtsock: standard output: No space left on device\n"


def test_a_connection_that_breaks_is_a_failure():
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = "tcp://127.0.0.1:%d" % server.getsockname()[1]
        with running("relay", "-", where, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as r:
            with accept(server) as s:
                r.stdin.write(b"x")
                r.stdin.flush()
                assert s.recv(1) == b"x"
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert r.wait(10) == 1


def test_one_connection_alone_is_handed_over(place):
    (place / "rules").write_text(f"- unix://{place}/to\nunix://{place}/from unix://{place}/to\n")
    done = run("relay", "--pass-fd", "--rules", str(place / "rules"))
    assert done.returncode == 2 and b"--pass-fd hands one connection over" in done.stderr


# --- Sockets that were passed on --------------------------------------------------------------------------------------


def test_a_listener_that_was_passed_on_stays_for_the_next(place):
    """Who waits there when it is asked to end is the next one's."""
    with listener(place / "from") as door, listener(place / "to") as server:
        words = "--max", "1", f"fd://{door.fileno()}", f"unix://{place}/to"
        with relay(place, *words, pass_fds=[door.fileno()]) as r:
            with conversation(place / "from", server), connect(place / "from") as second:
                second.sendall(b"next")
                r.terminate()
                time.sleep(0.2)
            assert r.wait(10) == 0
            with accept(door) as s:
                assert take(s, 4) == b"next"
        assert (place / "from").exists()


# --- What it tells ----------------------------------------------------------------------------------------------------


def test_where_the_system_chose_is_told_without_being_asked(place):
    with listener(place / "to"), open(place / "said", "wb") as err:
        with running("relay", "tcp://127.0.0.1:any", f"unix://{place}/to", stderr=err) as r:
            r.log = (place / "said").read_text
            eventually(lambda: "listening on" in r.log())
            socket.create_connection(("127.0.0.1", port_of(r)), timeout=30).close()
    with listener(place / "other"), open(place / "said", "wb") as err:
        with running("relay", f"unix://{place}/from", f"unix://{place}/other", stderr=err):
            eventually((place / "from").exists)
            connect(place / "from").close()
    assert (place / "said").read_text() == ""


def counted(process):
    process.terminate()
    [counts] = json.loads(process.stdout.readline())
    assert process.wait(10) == 0
    return counts


def test_breaks_and_idleness_are_counted(place):
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = "tcp://127.0.0.1:%d" % server.getsockname()[1]
        words = "--json", "--stats", "--idle", "1", f"unix://{place}/from", target
        with relay(place, *words, stdout=subprocess.PIPE) as r:
            with conversation(place / "from", server) as (client, s):
                client.sendall(b"x")
                assert s.recv(1) == b"x"        # so that the relay's connection is there before it breaks
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""
            with conversation(place / "from", server) as (client, _):
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""
            eventually(lambda: r.log().count(" bytes, ") == 2)
            counts = counted(r)
    assert (counts["accepted"], counts["active"], counts["broken"], counts["idle"]) == (2, 0, 1, 1)


def test_datagrams_are_counted(place):
    words = "--json", "--stats", f"syslog:{place}/log.sock", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *words, ready="datagrams at", stdout=subprocess.PIPE) as r:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as program:
            program.connect(str(place / "log.sock"))
            program.send(b"one")
            program.send(b"three")
            with accept(server) as s:
                assert list(frames(take(s, 12))) == [b"one", b"three"]
                counts = counted(r)
    assert (counts["accepted"], counts["bytes"], counts["unreached"]) == (2, 12, 0)


def test_no_service_manager_is_no_complaint(place):
    with relay(place, f"unix://{place}/from", f"unix://{place}/to", env={**os.environ, "NOTIFY_SOCKET": ""}) as r:
        r.terminate()
        assert r.wait(10) == 0
        assert "NOTIFY_SOCKET" not in r.log()


def test_the_system_s_log(place, need):
    """Where that is, in a namespace of its own; a line has its facility, severity and process."""
    house = ["unshare", "-rm", "sh", "-c", f'mount --bind "{place}" /run && exec "$0" "$@"']
    need(shutil.which("unshare"), "unshare is not installed")
    need(subprocess.run([*house, "true"], capture_output=True).returncode == 0, "no namespace of mounts can be had")
    need(Path("/var/run").resolve() == Path("/run") and not os.path.exists("/dev/log"), "the log is elsewhere")
    words = "relay", "-v", "--detach", "--pidfile", str(place / "pid"), f"unix://{place}/from", f"unix://{place}/to"
    with (
        listener(place / "to") as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log,
        subprocess.Popen([*house, TOOL, *words], stderr=subprocess.PIPE) as process,
    ):
        log.bind(str(place / "log"))
        log.settimeout(30)
        try:
            eventually(lambda: (place / "pid").exists() and (place / "pid").read_text() != "", 30)
            with conversation(place / "from", server):
                said = log.recv(1000).decode()
        finally:
            process.kill()
    assert said == f"<30>virtsock[{process.pid}]: client 1 of unix://{place}/from: to unix://{place}/to"


# --- Abstract names --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's alone")
def test_abstract_names_at_either_end(place):
    """As vsudd's `unix:@name` had it; the file of that name is another."""
    name = f"virtsock-{os.getpid()}-to"
    with socket.socket(socket.AF_UNIX) as server, relay(place, f"unix://@{name}2", f"unix://@{name}", cwd=place) as r:
        server.bind(f"\0{name}")
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"\0{name}2")
            with accept(server) as s:
                client.sendall(b"by name")
                assert take(s, 7) == b"by name"
        r.terminate()
        assert r.wait(10) == 0
    assert not list(place.glob("@*"))


@pytest.mark.parametrize("words", [["relay", "--mode", "660", "unix://@a", "unix:///b"], ["cat", "-l", "--echo", "--mode", "660", "unix://@a"]], ids=" ".join)
def test_an_abstract_name_has_no_mode(words):
    done = run(*words, timeout=10)
    assert done.returncode in (1, 2) and b"says who may connect" in done.stderr


# --- A service manager beyond the VM ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where, tried", [
    ("vsock:2:1234", "connect vsock://2:1234: "), ("vsock-stream:2:1234", "connect vsock://2:1234: "),
    ("vsock-seqpacket:2:1234", "connect vsock://2:1234?type=seqpacket: "), ("vsock-stream:2", "parse vsock-stream:2: the port is missing"),
    ("vsock-dgram:2:1234", "connect vsock://2:1234?type=dgram: "),
])
def test_where_a_manager_beyond_the_vm_is_told(place, where, tried):
    """systemd's forms; no socket of AF_VSOCK is made."""
    log = place / "log"
    with (
        open(log, "wb") as err,
        subprocess.Popen([*FORBID, "socket:40", "EAFNOSUPPORT", TOOL, "relay", f"unix://{place}/a", f"unix://{place}/b"],
                         stderr=err, env={**os.environ, "NOTIFY_SOCKET": where}) as r,
    ):
        eventually(lambda: f"NOTIFY_SOCKET: {tried}" in log.read_text())
        r.terminate()
        assert r.wait(10) == 0
    assert log.read_text().count("NOTIFY_SOCKET") == 2          # READY=1 and STOPPING=1


# --- TO by a name -----------------------------------------------------------------------------------------------------------


def tcp_listener(host):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, 0))
    s.listen()
    return s, s.getsockname()[1]


def has_ipv6():
    with contextlib.suppress(OSError), tcp_listener("::1")[0]:
        return True
    return False


@pytest.mark.parametrize("name", ["localhost", "LocalHost"])
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here"))])
def test_localhost_is_both(place, host, name):
    """One address after the other is tried; several clients share what was looked up."""
    server, port = tcp_listener(host)
    with server, relay(place, f"unix://{place}/from", f"tcp://{name}:{port}") as r:
        for number in range(5):
            with connect(place / "from") as client, accept(server) as s:
                client.sendall(b"by name")
                assert take(s, 7) == b"by name"
                s.sendall(str(number).encode())
                s.close()
                assert take(client, 9) == str(number).encode()
        r.terminate()
        assert r.wait(10) == 0


def test_a_name_is_waited_for(place):
    """The client's bytes wait with it, for an address that is not served yet."""
    server, port = tcp_listener("127.0.0.1")
    server.close()
    with relay(place, "--wait", "30", f"unix://{place}/from", f"tcp://localhost:{port}"), connect(place / "from") as client:
        client.sendall(b"early")
        time.sleep(0.5)
        with socket.create_server(("127.0.0.1", port)) as server, accept(server) as s:
            assert take(s, 5) == b"early"


def test_a_name_that_nobody_knows(place):
    """Its client is hung up on, others are served, and one that leaves meanwhile costs nothing."""
    with (
        listener(place / "to") as server,
        relay(place, f"unix://{place}/a", f"unix://{place}/to"),
        relay(place, "--wait", "30", f"unix://{place}/c", "tcp://nowhere.invalid:80") as waits,
        relay(place, f"unix://{place}/b", "tcp://nowhere.invalid:80") as r,
    ):
        with connect(place / "b") as client, contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        eventually(lambda: "connect tcp://nowhere.invalid:80: " in r.log())
        connect(place / "c").close()
        eventually(lambda: "it left before it was connected" in waits.log())
        talk(place / "a", server)


def test_a_name_for_ssh(place):
    """--pass-fd, and standard input, go the whole way."""
    server, port = tcp_listener("127.0.0.1")
    with server, running("relay", "-", f"tcp://localhost:{port}", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as r, accept(server) as s:
        r.stdin.write(b"in")
        r.stdin.close()
        assert take(s, 2) == b"in"
        s.sendall(b"out")
        s.close()
        assert r.stdout.read() == b"out" and r.wait(10) == 0


@pytest.mark.parametrize("to, said", [
    ("tcp://web:99999", "tcp://web:99999: a TCP port ends at 65535"),
    ("tcp://web", "tcp://web: the port is missing"),
    ("tcp://web:any", "tcp://web:any: TO needs a port"),
    ("tcp://web:80?type=seqpacket", "tcp:// has streams alone"),
    ("tcp://web:80?wait=5", "the options after ? are"),
    ("tcp://127.1:80", "no name is looked up"),
    ("tcp://0x7f.1:80", "no name is looked up"),
    ("tcp://we b:80", "no name is looked up"),
    (f"tcp://{'x' * 254}:80", "no name is looked up"),
    ("tcp://web:80/x", "there is a part too many"),
])
def test_names_that_are_none(place, to, said):
    done = run("relay", f"unix://{place}/a", to, timeout=10)
    assert done.returncode == 2 and said in done.stderr.decode()


def test_names_are_for_to(place):
    done = run("relay", "tcp://localhost.localdomain:80", f"unix://{place}/a", timeout=10)
    assert done.returncode == 2 and b"no name is looked up" in done.stderr
    done = run("relay", f"unix://{place}/a?type=seqpacket", "tcp://web:80", timeout=10)
    assert done.returncode == 2 and b"streams alone" in done.stderr


# --- A command for each client ------------------------------------------------------------------------------------------------

SHOW = "import os, sys, time; print(sys.argv[1:], os.environ.get('VIRTSOCK_PEER'), os.environ.get('NOTIFY_SOCKET'), flush=True); "


def ask(path, data=b""):
    """What comes back for it, to the end."""
    with connect(path) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return take(client, 1 << 20)


def children(process):
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def test_what_was_passed_on_and_is_no_socket(place):
    with open(place / "file", "w") as file, activated(place, [file], "x", "activated", f"unix://{place}/to") as r:
        assert r.wait(10) == 1
        assert "activated: descriptor 3, which was passed on:" in r.log() and "no socket" in r.log()


def test_a_command_for_each_client(place):
    """Its words are its own, whatever they look like; no shell reads them. Its output is the client's, and so is its input."""
    words = ["-i", "--max", "a b", "$HOME;", "*", "--", "", "exec:x"]
    code = SHOW + "print(sys.stdin.read())"
    with relay(place, "--stats", f"unix://{place}/from", f"exec:{sys.executable}", "-c", code, *words, env={**os.environ, "NOTIFY_SOCKET": "@none"}) as r:
        for number in range(5):
            assert ask(place / "from", b"%d" % number).decode() == f"{words}  None\n{number}\n"
        eventually(lambda: r.log().count("ended with exit code 0") == 5)
        r.terminate()
        assert r.wait(10) == 0
        assert "accepted 5 active 0" in r.log()


def test_a_command_has_its_signals_as_usual(place):
    """The relay blocks those that end it, and ignores SIGPIPE: programs that are written for a shell's pipes wait for that one."""
    with relay(place, f"unix://{place}/from", "exec:/bin/cat", "/proc/self/status"):
        said = dict(line.split(":\t") for line in ask(place / "from").decode().splitlines() if line.startswith("Sig"))
    assert int(said["SigBlk"], 16) == 0
    assert int(said["SigIgn"], 16) >> signal.SIGPIPE - 1 & 1 == 0


def test_whoever_starts_it_ignores_ends_of_children(place):
    """Such a process, and what it starts, would hear of none: no exit code, and a number that is another's by then."""
    ignore = lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # noqa: E731
    code = "import signal, sys; print(signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL, flush=True); sys.exit(7)"
    with relay(place, f"unix://{place}/from", f"exec:{sys.executable}", "-c", code, preexec_fn=ignore) as r:
        assert ask(place / "from") == b"True\n"
        eventually(lambda: "ended with exit code" in r.log())
        assert "ended with exit code 7" in r.log()


def test_commands_at_once_and_their_ends(place):
    """Each end is awaited: none is left as a zombie; one that is killed, or fails, is told, and the next client served."""
    code = "import sys, os, signal; os.write(1, b'+'); word = sys.stdin.readline(); sys.exit(int(word)) if word.strip() != 'k' else os.kill(os.getpid(), 9)"
    with relay(place, "--max", "20", f"unix://{place}/from", f"exec:{sys.executable}", "-c", code) as r:
        clients = [connect(place / "from") for _ in range(10)]
        assert all(take(client, 1) == b"+" for client in clients)
        for number, client in enumerate(clients):
            client.sendall(b"k\n" if number == 3 else b"%d\n" % number)
        assert all(take(client, 1) == b"" for client in clients)
        for client in clients:
            client.close()
        eventually(lambda: r.log().count("ended with exit code") == 9 and "ended by signal 9" in r.log())
        eventually(lambda: not children(r))


def test_a_command_that_stays_is_cut(place):
    """With what it has started, once patience has ended."""
    code = "import subprocess, sys; subprocess.Popen(['sleep', '1000'], pass_fds=[1]); print('up', flush=True); sys.stdin.read()"
    with relay(place, "--drain", "0.5", f"unix://{place}/from", f"exec:{sys.executable}", "-c", code) as r, connect(place / "from") as client:
        assert take(client, 3) == b"up\n"
        r.terminate()
        assert r.wait(10) == 0
        assert client.recv(1) == b""            # nobody has the socket any more


def test_a_command_by_a_file_of_rules(place):
    (place / "rules").write_text(f"unix://{place}/from exec:/bin/echo -n one idle=1   two  # three\nunix://{place}/b unix://{place}/to idle=5\n")
    with relay(place, "--rules", str(place / "rules")):
        assert ask(place / "from") == b"one idle=1 two"


def test_a_command_on_standard_input_and_for_inetd(place):
    done = run("relay", "-", "exec:/bin/cat", input=b"through", timeout=30)
    assert (done.returncode, done.stdout) == (0, b"through")


def test_bytes_of_commands_are_unknown(place):
    """They have their clients' sockets: nobody has counted anything, and 0 would be a lie. Another rule's are told."""
    (place / "rules").write_text(f"unix://{place}/from exec:/bin/cat\nunix://{place}/other unix://{place}/to\n")
    words = ["--stats", "--json", "--rules", str(place / "rules")]
    with listener(place / "to") as server, relay(place, *words, ready="other", stdout=subprocess.PIPE) as r:
        assert ask(place / "from", b"through") == b"through"
        with connect(place / "other") as client, accept(server) as s:
            s.sendall(b"12345")
            s.close()
            assert take(client, 9) == b"12345"
        r.terminate()
        command, other = json.loads(r.communicate(timeout=20)[0])
    assert (command["accepted"], command["bytes"], command["bytes_back"]) == (1, None, None)
    assert (other["accepted"], other["bytes"], other["bytes_back"]) == (1, 0, 5)
    with relay(place, "--stats", f"unix://{place}/from", "exec:/bin/cat") as r:
        r.terminate()
        assert r.wait(10) == 0 and "bytes unknown bytes_back unknown" in r.log()


def test_a_command_is_not_looked_at_for_idleness(place):
    said = "--idle cannot be kept: a command has its client's own socket"
    done = run("relay", "--idle", "1", f"unix://{place}/from", "exec:/bin/cat", timeout=10)
    assert done.returncode == 2 and said in done.stderr.decode() and not (place / "from").exists()
    (place / "rules").write_text(f"unix://{place}/a unix://{place}/b\nunix://{place}/from exec:/bin/cat\n")
    done = run("relay", "--idle", "1", "--rules", str(place / "rules"), timeout=10)
    assert done.returncode == 2 and f"{place}/rules:2: exec:/bin/cat: {said}" in done.stderr.decode()
    with relay(place, "--idle", "forever", f"unix://{place}/from", "exec:/bin/cat"):
        assert ask(place / "from", b"x") == b"x"


@pytest.mark.parametrize("words, said", [
    (["exec:sshd"], "wanted is a program's path"),
    (["exec:/no/such/program"], "No such file or directory"),
    (["exec:/etc/passwd"], "Permission denied"),
    (["exec:/bin"], "Is a directory"),
    (["exec:"], "wanted is a program's path"),
])
def test_commands_that_cannot_run(place, words, said):
    done = run("relay", f"unix://{place}/a", *words, timeout=10)
    assert done.returncode == 2 and said in done.stderr.decode()
    done = run("relay", f"unix://{place}/a?half-close=framed", "exec:/bin/cat", timeout=10)
    assert done.returncode == 2 and b"none to give" in done.stderr
    done = run("relay", f"syslog:{place}/log", "exec:/bin/cat", timeout=10)
    assert done.returncode == 2 and b"datagrams go to an address" in done.stderr
    assert run("relay", "exec:/bin/cat", f"unix://{place}/a", timeout=10).returncode == 2


def test_the_peer_of_a_command(place):
    server, port = tcp_listener("127.0.0.1")
    server.close()
    with relay(place, f"tcp://127.0.0.1:{port}", "exec:/usr/bin/env"), socket.create_connection(("127.0.0.1", port)) as client:
        own = client.getsockname()[1]
        assert f"VIRTSOCK_PEER=tcp://127.0.0.1:{own}\n" in take(client, 1 << 20).decode()


# --- Groups ------------------------------------------------------------------------------------------------------------------


def other_group():
    """One that this user may give; root has any."""
    return 1 if os.geteuid() == 0 else next((g for g in os.getgroups() if g != os.getegid()), None)


@pytest.mark.skipif(other_group() is None, reason="this user is in one group alone")
@pytest.mark.parametrize("mode, bits", [([], 0o660), (["--mode", "620"], 0o620)])
def test_a_socket_s_group(place, mode, bits):
    group = other_group()
    with relay(place, "--group", str(group), *mode, f"unix://{place}/a", f"unix://{place}/to"):
        made = (place / "a").stat()
        assert (made.st_gid, made.st_mode & 0o777) == (group, bits)
    with running("cat", "-l", "--echo", "--group", grp.getgrgid(group).gr_name, *mode, f"unix://{place}/b") as cat:
        eventually(lambda: (place / "b").exists() and (place / "b").stat().st_mode & 0o777 == bits)
        assert (place / "b").stat().st_gid == group and cat.poll() is None
    (place / "rules").write_text(f"unix://{place}/c unix://{place}/to group={group} mode=666\nunix://{place}/d unix://{place}/to\n")
    with relay(place, "--rules", str(place / "rules"), ready=f"listening on unix://{place}/d"):
        assert [((place / name).stat().st_gid, (place / name).stat().st_mode & 0o777) for name in "cd"] == [(group, 0o666), (os.getegid(), 0o600)]


@pytest.mark.skipif(other_group() is None, reason="this user is in one group alone")
@pytest.mark.parametrize("bits, given", [(0o700, True), (0o1777, True), (0o777, False)])
def test_a_group_without_proc(place, need, bits, given):
    """As in a chroot, by strace: where nobody else moves what this user has in that folder, it is given all the same."""
    need(shutil.which("strace"), "strace is not installed")
    at = place / "in"
    at.mkdir()
    at.chmod(bits)
    words = "cat", "-l", "--echo", "--group", str(other_group()), f"unix://{at}/s"
    trace = ["strace", "-f", "-o", str(place / "trace"), "-e", "inject=chmod,fchmodat2:error=ENOENT"]
    if subprocess.run([*trace, "true"], capture_output=True).returncode != 0:
        trace[-1] = "inject=chmod:error=ENOENT"  # a strace that does not know the other
    with open(place / "log", "wb") as err, subprocess.Popen([*trace, TOOL, *words], stderr=err) as process:
        try:
            eventually(lambda: process.poll() is not None or ((at / "s").exists() and (at / "s").stat().st_mode & 0o777 == 0o660))
            assert (process.poll() is None) == given, (place / "log").read_text()
            if given:
                assert (at / "s").stat().st_gid == other_group()
            else:
                assert process.returncode == 1 and "not supported" in (place / "log").read_text()
            assert "INJECTED" in (place / "trace").read_text()
        finally:
            if process.poll() is None:
                os.kill(int((place / "trace").read_text().split()[0]), signal.SIGTERM)  # strace ends with it


@pytest.mark.parametrize("words, code, said", [
    ("relay --group nobody-has-that unix:///a unix:///b", 2, "knows no such group"),
    ("relay --group 99999999999 unix:///a unix:///b", 2, "knows no such group"),
    ("relay --group 0 tcp://127.0.0.1:1 unix:///b", 2, "--group is for unix:///PATH"),
    ("relay --group 0 unix://@a unix:///b", 2, "--group is for unix:///PATH"),
    ("cat -l --group 0 vsock-mux://:52/a", 2, "--group is for unix:///PATH"),
    ("cat -l --echo --group 0 unix://@a", 2, "--group is for unix:///PATH"),
    ("cat -l --echo --mode 600 unix://@a", 2, "--mode is for a file"),
    ("echo -s --group nobody-has-that unix:///a", 2, "knows no such group"),
    ("stress -s --group nobody-has-that unix:///a", 2, "knows no such group"),
    ("bench -s --group nobody-has-that unix:///a", 2, "knows no such group"),
    ("stress -s unix:///no/such/folder/a", 1, "no such directory"),
    ("cat --group 0 unix:///a", 2, "--group is for listening"),
])
def test_groups_that_cannot_be(words, code, said):
    done = run(*words.split(), timeout=10)
    assert done.returncode == code and said in done.stderr.decode()
