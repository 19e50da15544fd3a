# SPDX-License-Identifier: MIT
# ruff: noqa: F811
"""Listening sockets that are removed while `virtsock relay` serves: a VMM that starts again clears its folder. They are
noticed, told, and made again; what others have made there is left alone."""

import os
import shutil
import signal
import socket
import time

import pytest
from test_relay import accept, activated, connect, listener, place, relay  # noqa: F401
from test_relay_ends import take
from test_relay_service import talk, traced
from test_relay_words import other_group
from test_tools import TOOL, eventually

AGAIN = ": the socket was removed, and was made again"
NOT_YET = ": the socket was removed, and cannot be made again yet: "


@pytest.fixture
def folder(place):
    (place / "vm").mkdir()
    return place / "vm"


FROMS = {"unix": ("unix://{}/s", "s"), "mux": ("vsock-mux://:52{}/s", "s_52"), "hyperkit": ("hyperkit://:52{}", "00000002.00000034")}


@pytest.mark.parametrize("kind", FROMS)
def test_a_file(place, folder, kind):
    from_, name = FROMS[kind]
    rule = "--mode", "660", from_.format(folder), f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *rule) as r:
        for times in (1, 2):
            talk(folder / name, server)
            (folder / name).unlink()
            eventually(lambda times=times: r.log().count(AGAIN) == times)
        talk(folder / name, server)
        assert (folder / name).stat().st_mode & 0o777 == 0o660
        r.terminate()
        assert r.wait(10) == 0
        assert not (folder / name).exists()


@pytest.mark.skipif(other_group() is None, reason="this user is in one group alone")
@pytest.mark.parametrize("allow", [[], ["--allow", "self"]])
def test_its_group_comes_back_with_it(place, folder, allow):
    rule = *allow, "--group", str(other_group()), f"unix://{folder}/s", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *rule) as r:
        made = (folder / "s").stat()
        assert (made.st_gid, made.st_mode & 0o777) == (other_group(), 0o660)
        (folder / "s").unlink()
        eventually(lambda: AGAIN in r.log())
        made = (folder / "s").stat()
        assert (made.st_gid, made.st_mode & 0o777) == (other_group(), 0o660)
        talk(folder / "s", server)


def test_a_conversation_goes_on(place, folder):
    rule = f"unix://{folder}/s", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *rule) as r, connect(folder / "s") as client, accept(server) as s:
        (folder / "s").unlink()
        eventually(lambda: AGAIN in r.log())
        client.sendall(b"x")
        assert take(s, 1) == b"x"


def test_folders_can_be_cleared(place, folder):
    """Who removes one, and makes another at once, is not disturbed by a socket that comes back too soon."""
    with listener(place / "to") as server, relay(place, f"unix://{folder}/s", f"unix://{place}/to"):
        for _ in range(5):
            shutil.rmtree(folder)
            folder.mkdir()
            eventually((folder / "s").exists)
        talk(folder / "s", server)


@pytest.mark.parametrize("how", ["removed", "moved", "moved from above"])
def test_a_folder_that_is_away_is_waited_for(place, folder, how):
    at = folder / "run"
    at.mkdir()
    with listener(place / "to") as server, relay(place, f"unix://{at}/s", f"unix://{place}/to") as r:
        if how == "removed":
            shutil.rmtree(folder)
        else:
            os.rename(at if how == "moved" else folder, place / "elsewhere")
        eventually(lambda: NOT_YET in r.log())
        time.sleep(1.5)
        assert r.log().count(NOT_YET) == 1
        at.mkdir(parents=True, exist_ok=True)
        eventually((at / "s").exists)
        talk(at / "s", server)


def test_what_comes_back_is_the_same(place, folder):
    """Within half a second, as an editor or a backup may do it."""
    with listener(place / "to") as server, relay(place, f"unix://{folder}/s", f"unix://{place}/to") as r:
        inode = (folder / "s").stat().st_ino
        for _ in range(3):
            os.rename(folder / "s", folder / "t")
            os.rename(folder / "t", folder / "s")
        time.sleep(1)
        assert "removed" not in r.log()
        assert (folder / "s").stat().st_ino == inode
        talk(folder / "s", server)
        (folder / "s").unlink()
        eventually(lambda: AGAIN in r.log())


@pytest.mark.parametrize("sees", ["it go", "it there again"])
def test_what_comes_back_in_another_folder_is_watched_there(place, folder, sees):
    """The folder was made anew, under the same name, and moves away later."""
    with listener(place / "to") as server, relay(place, f"unix://{folder}/s", f"unix://{place}/to") as r:
        if sees != "it go":
            r.send_signal(signal.SIGSTOP)
        os.rename(folder / "s", place / "s")
        folder.rmdir()
        folder.mkdir()
        os.rename(place / "s", folder / "s")
        r.send_signal(signal.SIGCONT)
        time.sleep(1)
        assert "removed" not in r.log()
        talk(folder / "s", server)
        os.rename(folder, place / "elsewhere")
        eventually(lambda: NOT_YET in r.log())


def test_another_s_socket_is_left_alone(place, folder):
    with listener(place / "to") as server, relay(place, f"unix://{folder}/s", f"unix://{place}/to") as r:
        with listener(place / "other") as other:
            os.rename(place / "other", folder / "s")
            eventually(lambda: NOT_YET in r.log())
            assert "somebody listens on that socket" in r.log()
            with connect(folder / "s"), accept(other):
                pass
        eventually(lambda: AGAIN in r.log())  # he has left: what is stale makes room
        talk(folder / "s", server)
        with listener(place / "other"):
            os.rename(place / "other", folder / "s")
            r.terminate()
            assert r.wait(10) == 0
            assert (folder / "s").exists()


def test_who_waits_is_served_first(place, folder):
    """At the socket that was removed, since its rule has all the clients that it may have."""
    rule = "--max", "1", f"unix://{folder}/s", f"unix://{place}/to"
    with listener(place / "to") as server, relay(place, *rule) as r:
        with connect(folder / "s"), accept(server), connect(folder / "s") as waits:
            waits.sendall(b"x")
            (folder / "s").unlink()
            time.sleep(1)
            assert AGAIN not in r.log()
        with accept(server) as s:
            assert take(s, 1) == b"x"
        waits.close()
        eventually(lambda: AGAIN in r.log())
        talk(folder / "s", server)


def test_one_that_was_passed_on_is_its_manager_s(place):
    with (
        listener(place / "to") as server,
        listener(place / "door") as door,
        activated(place, [door], "x", "activated", f"unix://{place}/to") as r,
    ):
        talk(place / "door", server)
        (place / "door").unlink()
        eventually(lambda: "is for those to make again who passed it on" in r.log())
        r.terminate()
        assert r.wait(10) == 0
    assert not (place / "door").exists()


def test_none_is_made_in_the_end(place, folder):
    """Who is asked to end while the socket is away, or while conversations end, makes none."""
    with listener(place / "to") as server, relay(place, f"unix://{folder}/s", f"unix://{place}/to") as r:
        with connect(folder / "s"), accept(server):
            (folder / "s").unlink()
            r.terminate()
            time.sleep(1.5)
            assert not (folder / "s").exists()
        assert r.wait(10) == 0


QUIET = pytest.mark.skipif("tsan" in TOOL, reason="ThreadSanitizer has a thread of its own, which sleeps again and again")


@QUIET
def test_it_costs_nothing(place, need):
    """That it is looked for: nothing is asked while nothing happens, whatever others do in its folder."""
    need(shutil.which("strace"), "strace is not installed")
    with traced(place, [], f"unix://{place}/from", f"unix://{place}/to"):
        time.sleep(0.5)
        before = (place / "trace").read_text().count("\n")
        for number in range(5):
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(str(place / f"other{number}"))
            os.unlink(place / f"other{number}")
            time.sleep(0.3)
        assert (place / "trace").read_text().count("\n") - before == 0


@QUIET
def test_it_costs_nothing_once_it_was_made_again(place, folder, need):
    need(shutil.which("strace"), "strace is not installed")
    with traced(place, [], f"unix://{folder}/s", f"unix://{place}/to"):
        (folder / "s").unlink()
        eventually(lambda: AGAIN in (place / "log").read_text())
        time.sleep(0.5)
        before = (place / "trace").read_text().count("\n")
        time.sleep(0.5)
        assert (place / "trace").read_text().count("\n") - before == 0


def test_one_that_cannot_be_watched_is_made_again_later(place, folder, need):
    """By strace: the system has no room for one more in the loop, once."""
    need(shutil.which("strace"), "strace is not installed")
    words = "--threads", "1", f"unix://{folder}/s", f"unix://{place}/to"
    with traced(place, ["-e", "trace=epoll_ctl"], *words):
        pass
    calls = sum("EPOLL_CTL_ADD" in line for line in (place / "trace").read_text().splitlines())
    (place / "pid").unlink(missing_ok=True)
    options = "-e", "trace=epoll_ctl", "-e", f"inject=epoll_ctl:error=ENOSPC:when={calls + 2}"  # the one before forgets
    with listener(place / "to") as server, traced(place, options, *words):
        (folder / "s").unlink()
        eventually(lambda: "INJECTED" in (place / "trace").read_text())
        injected = next(line for line in (place / "trace").read_text().splitlines() if "INJECTED" in line)
        assert "EPOLL_CTL_ADD" in injected
        eventually(lambda: AGAIN in (place / "log").read_text())
        time.sleep(1.5)
        for _ in range(2):
            talk(folder / "s", server)
        assert NOT_YET in (place / "log").read_text()


def test_it_is_noticed_by_one_that_was_stopped(place, folder):
    with listener(place / "to") as server, relay(place, f"unix://{folder}/s", f"unix://{place}/to") as r:
        r.send_signal(signal.SIGSTOP)
        shutil.rmtree(folder)
        folder.mkdir()
        r.send_signal(signal.SIGCONT)
        eventually(lambda: AGAIN in r.log())
        talk(folder / "s", server)
