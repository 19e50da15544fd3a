# SPDX-License-Identifier: MIT
"""Dask distributed over virtsock: addresses and frames as pure functions, a comm's manners, a cluster that computes. Its machines are
apart in tests/vm/test_dask.py."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import dask
import distributed
import pytest
import virtsock
from conftest import IS_UNIX, SLOW, TRANSPORT, stream_only, unix_only
from distributed.comm import CommClosedError, connect, get_address_host, get_address_host_port, listen, resolve_address
from distributed.comm.core import Comm, FatalCommClosedError
from distributed.protocol import to_serialize
from virtsock import Address
from virtsock import dask as backend
from virtsock.dask import Place, address_of, contact, reach, to_listen

ANY = f"{TRANSPORT}://"
LIMIT = 60 * SLOW


@pytest.fixture(autouse=True)
def settings(tmp_path: Path) -> Iterator[None]:
    """A cluster may be slow, and leaves its files in the test's folder."""
    with dask.config.set({
        "temporary-directory": str(tmp_path),
        "distributed.comm.timeouts.connect": f"{30 * SLOW}s", "distributed.logging": {"distributed": "warning"},
        "distributed.scheduler.worker-ttl": None, "distributed.admin.tick.limit": f"{LIMIT}s",
    }):
        yield


def run(main: Coroutine[Any, Any, object]) -> None:
    asyncio.run(asyncio.wait_for(main, LIMIT))


# --- Addresses ----------------------------------------------------------------------------------------------------------

HOST, GUEST, LONE, NOWHERE = Place(2), Place(42), Place(1), Place(None)
BEHIND = Place(2, "/run/vms/{cid}.sock")


@pytest.mark.parametrize(("place", "to", "found"), [
    (HOST, "vsock://2:5", "vsock://1:5"),               # itself
    (HOST, "vsock://1:5", "vsock://1:5"),
    (HOST, "vsock://42:5", "vsock://42:5"),             # its guest
    (GUEST, "vsock://42:5", "vsock://1:5"),             # itself
    (GUEST, "vsock://1:5", "vsock://1:5"),
    (GUEST, "vsock://2:5", "vsock://2:5"),              # its host
    (GUEST, "vsock://0:5", "vsock://0:5"),
    (GUEST, "vsock://43:5", "vsock://43:5?to-host=1"),  # a sibling
    (GUEST, "vsock://43:5?to-host=1", "vsock://43:5?to-host=1"),
    (BEHIND, "vsock://42:5", "vsock-mux://:5/run/vms/42.sock"),
    (BEHIND, "vsock://2:5", "vsock://1:5"),
    (LONE, "vsock://1:5", "vsock://1:5"),
    (LONE, "vsock://42:5", "vsock://42:5"),
    (NOWHERE, "vsock://42:5", "vsock://42:5"),
    (GUEST, "unix:///x", "unix:///x"),
    (GUEST, "hvsock://parent/5", "hvsock://parent/5"),
    (HOST, "vsock-mux://:5/x", "vsock-mux://:5/x"),
])
def test_who_reaches_whom(place: Place, to: str, found: str) -> None:
    assert reach(Address(to), place) == Address(found)


@pytest.mark.parametrize(("place", "listening", "found"), [
    (HOST, "vsock://:5", "vsock://2:5"),
    (GUEST, "vsock://:5", "vsock://42:5"),
    (GUEST, "vsock://1:5", "vsock://1:5"),
    (NOWHERE, "vsock://:5", "vsock://1:5"),
    (BEHIND, "vsock-mux://:5/run/vms/42.sock", "vsock://2:5"),
    (HOST, "unix:///x", "unix:///x"),
])
def test_what_a_listener_is_advertised_as(place: Place, listening: str, found: str) -> None:
    assert contact(Address(listening), place) == Address(found)


def test_the_place_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "local_cid", lambda: 42)
    assert backend.here() == GUEST
    with dask.config.set({"distributed.comm.virtsock.guests": BEHIND.guests}):
        assert backend.here() == BEHIND
    with dask.config.set({"distributed.comm.virtsock.cid": 2}):
        assert backend.here() == HOST

    def none() -> int:
        raise virtsock.Error

    monkeypatch.setattr(backend, "local_cid", none)
    assert backend.here() == NOWHERE


@pytest.mark.parametrize(("scheme", "loc", "found"), [
    ("vsock", "", "vsock://:any"),
    ("vsock", ":0", "vsock://:any"),
    ("vsock", "127.0.0.1:0", "vsock://:any"),           # LocalCluster and Nanny, told no host
    ("vsock", ":8786", "vsock://:8786"),
    ("vsock", "3:0", "vsock://3:any"),
    ("vsock-mux", "/run/vm:0", "vsock-mux://:77/run/vm"),
    ("vsock-mux", "/run/vm:8786", "vsock-mux://:8786/run/vm"),
    ("vsock-mux", ":8786/run/vm", "vsock-mux://:8786/run/vm"),
    ("hvsock", "", "hvsock://:77"),
    ("hvsock", ":0", "hvsock://:77"),
    ("hvsock", "parent/80", "hvsock://parent:80"),
    ("unix", "", "unix:///own/comm"),
    ("unix", "127.0.0.1:0", "unix:///own/comm"),
    ("unix", "/x:0", "unix:///x:77"),
    ("unix", "/x:5", "unix:///x:5"),
    ("unix", "/x", "unix:///x"),
])
def test_what_is_listened_at(scheme: str, loc: str, found: str) -> None:
    assert to_listen(scheme, loc, 77, lambda: "/own") == Address(found)


@pytest.mark.parametrize("loc", ["3", "", "web:80", "3:80?type=seqpacket", "3:80?half-close=framed"])
def test_what_is_refused(loc: str) -> None:
    """By a ValueError alone: Dask tries again after an OSError."""
    with pytest.raises(ValueError) as caught:
        address_of("vsock", loc)
    assert not isinstance(caught.value, OSError)


@pytest.mark.parametrize(("address", "host", "port"), [
    ("vsock://3:80", "3", 80), ("vsock://1:80", "42", 80), ("vsock://:80", "127.0.0.1", 80),
    ("vsock-mux:///run/vm:80", "/run/vm", 80), ("vsock-mux://:80/run/vm", "/run/vm", 80),
    ("vsock://", "127.0.0.1", None), ("unix://", "127.0.0.1", None), ("unix:///x:80", "127.0.0.1", None),
    ("vsock://127.0.0.1:0", "127.0.0.1", None), ("hvsock://parent/80", "parent", None),
])
def test_hosts(address: str, host: str, port: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom Dask takes for one machine, and where its HTTP servers listen: nowhere but on this machine."""
    monkeypatch.setattr(backend, "local_cid", lambda: 42)
    assert get_address_host(address) == host
    if port is None:
        with pytest.raises(ValueError):
            get_address_host_port(address)
    else:
        assert get_address_host_port(address) == (host, port)


def test_canonical() -> None:
    assert resolve_address("vsock://local:0x50") == "vsock://1:80"
    assert resolve_address("vsock-mux:///run/vm:80") == "vsock-mux://:80/run/vm"
    assert resolve_address("unix:///x") == "unix:///x"


# --- A comm ---------------------------------------------------------------------------------------------------------------

pytestmark = [stream_only, pytest.mark.proves("dask")]


@contextlib.asynccontextmanager
async def echo(address: str = ANY, **options: Any) -> AsyncIterator[Any]:
    """A listener that sends back every message, and in `.ended` what ended a conversation."""
    ended: asyncio.Queue[BaseException] = asyncio.Queue()

    async def serve(comm: Comm) -> None:
        try:
            while True:
                await comm.write(await comm.read())
        except Exception as error:
            await ended.put(error if comm.closed() else AssertionError("open after a failure"))

    async with listen(address, serve, **options) as listener:
        listener.ended = ended
        yield listener


def conversation(work: Callable[[Comm, Any], Coroutine[Any, Any, None]]) -> None:
    """A comm with an echo at its other end."""

    async def main() -> None:
        async with echo() as listener:
            comm = await connect(listener.contact_address)
            try:
                await work(comm, listener)
            finally:
                comm.abort()

    run(main())


@pytest.mark.parametrize("message", [
    1, "text", b"", {"op": "x", "data": (None, 1.5, {"a": (1, 2)})}, bytes(range(256)) * 100,
], ids=["number", "text", "nothing", "nested", "bytes"])
def test_messages(message: Any) -> None:
    async def work(comm: Comm, _: Any) -> None:
        for _ in range(3):
            assert await comm.write(message) > 0
            assert await comm.read() == message

    conversation(work)


def test_large() -> None:
    """More than any buffer on the way holds, in frames that are written by pieces; what arrives may be written to."""
    data = bytearray(os.urandom(1 << 20) * (4 if SLOW > 1 else 40))

    async def work(comm: Comm, _: Any) -> None:
        back = None
        async with asyncio.TaskGroup() as group:
            group.create_task(comm.write({"x": to_serialize(data), "y": to_serialize(b"small")}))
            back = group.create_task(comm.read())
        assert back.result() == {"x": data, "y": b"small"}

    conversation(work)


def test_ends_have_addresses() -> None:
    async def work(comm: Comm, listener: Any) -> None:
        assert comm.peer_address == listener.contact_address == comm.remote_info["address"]
        assert comm.local_address.startswith(ANY) and comm.local_info["address"] == comm.local_address
        assert listener.listen_address.startswith(ANY) and listener.prefix == ANY
        assert comm.same_host
        if not IS_UNIX:
            assert Address(listener.listen_address).cid == virtsock.CID_ANY
            assert Address(listener.contact_address).cid == (backend.here().cid or 1)
            assert Address(listener.contact_address).port not in (0, virtsock.PORT_ANY)

    conversation(work)


def test_close() -> None:
    """The other end hears of it, and a comm that is closed says so, to its reader as well."""
    async def work(comm: Comm, listener: Any) -> None:
        assert not comm.closed()
        await comm.close()
        await comm.close()
        assert comm.closed() and "closed" in repr(comm)
        assert isinstance(await listener.ended.get(), CommClosedError)
        for call in comm.read(), comm.write(1):
            with pytest.raises(CommClosedError):
                await call

    conversation(work)


def test_close_sends_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What still waits in this process, for a peer that is late."""
    monkeypatch.setattr(backend, "_PIECE", 1 << 16)

    async def main() -> None:
        got: asyncio.Queue[int] = asyncio.Queue()
        closing = asyncio.Event()

        async def late(comm: Comm) -> None:
            await closing.wait()
            count = 0
            with contextlib.suppress(CommClosedError):
                while await comm.read():
                    count += 1
            await got.put(count)

        async with listen(ANY, late) as listener:
            comm = await connect(listener.contact_address)
            sent = 0
            while not comm._writer.transport.get_write_buffer_size():
                await comm.write(bytes(30_000))
                sent += 1
            asyncio.get_running_loop().call_later(0.1, closing.set)
            await comm.close()
            assert await got.get() == sent

    run(main())


def test_a_close_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it leave the rest to be sent, for a peer that takes nothing; and abort ends it at once."""
    monkeypatch.setattr(backend, "_PIECE", 1 << 16)

    async def main() -> None:
        heard: asyncio.Queue[BaseException] = asyncio.Queue()
        closing = asyncio.Event()

        async def late(comm: Comm) -> None:
            await closing.wait()
            try:
                while True:
                    await comm.read()
            except CommClosedError as error:
                await heard.put(error)

        async with listen(ANY, late) as listener:
            for patience, aborts in (0.1, False), (LIMIT, True):
                monkeypatch.setattr(backend, "_FLUSH", patience)
                comm = await connect(listener.contact_address)
                while not comm._writer.transport.get_write_buffer_size():
                    await comm.write(bytes(30_000))
                    await asyncio.sleep(0.02)
                closed = asyncio.create_task(comm.close())
                if aborts:
                    await asyncio.sleep(0.1)
                    assert not closed.done()
                    comm.abort()
                await closed
            closing.set()
            for _ in range(2):
                await heard.get()

    run(main())


def test_abort_ends_a_reader_and_a_writer() -> None:
    async def main() -> None:
        stuck = asyncio.Event()

        async def deaf(comm: Comm) -> None:
            await stuck.wait()
            comm.abort()

        async with listen(ANY, deaf) as listener:
            comm = await connect(listener.contact_address)
            reader = asyncio.create_task(comm.read())
            writer = asyncio.create_task(comm.write(to_serialize(bytes(50_000_000))))
            await asyncio.sleep(0.2)
            assert not reader.done() and not writer.done()
            comm.abort()
            for task in reader, writer:
                with pytest.raises(CommClosedError):
                    await task
            assert comm.closed()
            stuck.set()

    run(main())


def test_a_call_that_is_cancelled_closes() -> None:
    async def work(comm: Comm, _: Any) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await comm.read()
        assert comm.closed()

    conversation(work)


def test_the_other_end_is_gone() -> None:
    """An idle comm knows, so that a pool does not use it again."""
    async def main() -> None:
        gone = asyncio.Event()

        async def leave(comm: Comm) -> None:
            comm._writer.write_eof()
            await gone.wait()
            comm.abort()

        async with listen(ANY, leave) as listener:
            comm = await connect(listener.contact_address)
            while not comm.closed():
                await asyncio.sleep(0.01)
            for call in comm.write(1), comm.read():
                with pytest.raises(CommClosedError):
                    await call
            gone.set()

    run(main())


def test_a_comm_that_is_forgotten_is_closed() -> None:
    async def work(comm: Comm, listener: Any) -> None:
        other = await connect(listener.contact_address)
        await other.write(1)
        await other.read()
        del other
        gc.collect()
        assert isinstance(await listener.ended.get(), CommClosedError)

    conversation(work)


def test_nobody_listens() -> None:
    async def main() -> None:
        async with echo() as listener:
            gone = listener.contact_address
        with pytest.raises(OSError, match="Timed out trying to connect"):
            await connect(gone, timeout=0.3)
        for wrong in f"{gone}?type=seqpacket", f"{gone}?half-close=framed":
            with pytest.raises(ValueError, match="leave the options of"):
                await connect(wrong, timeout=20)
        with pytest.raises((FatalCommClosedError, ValueError)):     # and no word of a time
            await connect("hvsock://somebody%20else/80", timeout=20)

    run(main())


def test_encryption_is_not_pretended() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="encryption"):
            listen(ANY, print, require_encryption=True)
        async with echo() as listener:
            with pytest.raises(RuntimeError, match="encryption"):
                await connect(listener.contact_address, require_encryption=True)

    run(main())


def test_peer_rules() -> None:
    async def main() -> None:
        with dask.config.set({"distributed.comm.virtsock.allow": [f"uid={os.getuid() + 1}" if IS_UNIX else "7"]}):
            async with echo() as listener:
                with pytest.raises(CommClosedError):
                    await connect(listener.contact_address)

    run(main())


GARBAGE = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "too many frames": b"vsd1" + struct.pack("<I", 2**32 - 1),
    "too long": b"vsd1" + struct.pack("<IQQ", 2, 1, 1 << 16),
    "sizes that overflow": b"vsd1" + struct.pack("<IQQ", 2, 2**64 - 1, 2),
    "no frame": b"vsd1" + struct.pack("<I", 0),
    "no message": b"vsd1" + struct.pack("<IQ", 1, 3) + b"\xc1\xc1\xc1",
    "half a message": b"vsd1" + struct.pack("<IQ", 1, 30) + b"half",
}


@pytest.mark.parametrize(("sizes", "most", "cause"), [
    ([], 100, "no messages of Dask"), ([1] * 13, 100, "13 frames"), ([50, 51], 100, "101 bytes"), ([2**64 - 1, 2], 100, "bytes"),
])
def test_lengths_are_capped(sizes: list[int], most: int, cause: str) -> None:
    head = backend.head_of(sizes)
    with pytest.raises(ValueError, match=cause):
        assert backend.count_in(head[:8], most) == len(sizes)
        backend.sizes_in(head[8:], most)
    with pytest.raises(ValueError, match="no messages of Dask"):
        backend.count_in(b"vsd2" + head[4:8], most)
    if sizes == [50, 51]:
        assert backend.sizes_in(head[8:], 101) == (50, 51)


def test_a_handshake_is_short() -> None:
    async def main() -> None:
        async with echo() as listener:
            comm = await connect(listener.contact_address, handshake_overrides={"more": "x" * (1 << 16)})
            with pytest.raises(CommClosedError):
                await comm.read()

    run(main())


def test_a_message_that_is_cut_short() -> None:
    async def work(comm: Comm, listener: Any) -> None:
        comm._writer.write(backend.head_of([30]) + b"half")
        await comm.close()
        ended = await listener.ended.get()
        assert isinstance(ended, CommClosedError) and "middle of a message" in str(ended)

    conversation(work)


def spoken_to(address: str, words: bytes) -> bytes:
    """What a peer hears that says the words, up to the other's end."""
    with virtsock.connect(address, timeout=20) as stream:
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            stream.sendall(words)
            stream.shutdown(virtsock.SHUT_SEND)
            while data := stream.recv(65536):
                heard += data
        return heard


@pytest.mark.parametrize("words", GARBAGE.values(), ids=GARBAGE)
def test_a_client_that_talks_garbage(words: bytes) -> None:
    """Is hung up on, and the next one is served."""
    async def work(comm: Comm, listener: Any) -> None:
        heard = await asyncio.to_thread(spoken_to, listener.contact_address, words)
        assert heard.startswith(b"vsd1") or not heard
        await comm.write(1)
        assert await comm.read() == 1
        assert listener.ended.empty()

    conversation(work)


@pytest.mark.parametrize("words", GARBAGE.values(), ids=GARBAGE)
def test_a_server_that_talks_garbage(words: bytes, listener: virtsock.Listener) -> None:
    def serve() -> None:
        with listener.accept() as stream, contextlib.suppress(ConnectionResetError):
            stream.settimeout(20 * SLOW)
            stream.sendall(words)
            stream.shutdown(virtsock.SHUT_SEND)
            while stream.recv(65536):
                pass

    async def main() -> None:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            with pytest.raises(CommClosedError):
                await connect(str(listener.address), timeout=20 * SLOW)
        finally:
            await asyncio.to_thread(thread.join)

    run(main())


def test_a_client_that_says_nothing() -> None:
    async def main() -> None:
        async with echo() as listener:
            with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}), virtsock.connect(listener.contact_address) as stream:
                stream.settimeout(20 * SLOW)

                def rest() -> None:
                    while stream.recv(65536):
                        pass

                await asyncio.to_thread(rest)

    run(main())


def test_a_message_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "MEMORY_LIMIT", 100_000)

    async def work(comm: Comm, listener: Any) -> None:
        await comm.write(to_serialize(bytes(90_000)))
        assert await comm.read() == bytes(90_000)
        with contextlib.suppress(CommClosedError):
            await comm.write(to_serialize(bytes(101_000)))
        assert "too long" in str(await listener.ended.get())

    conversation(work)


@unix_only
def test_a_listener_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.tempfile, "tempdir", str(tmp_path))

    async def main() -> None:
        async with echo() as listener:
            assert Path(Address(listener.contact_address).path or "").is_socket()
        async with echo(f"unix://{tmp_path}/x:0") as listener:
            assert (Address(listener.contact_address).path or "").startswith(f"{tmp_path}/x:")
        assert not list(tmp_path.iterdir())
        with pytest.raises(ValueError):
            print(listener.contact_address)

    run(main())


# --- A cluster ------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def cluster() -> AsyncIterator[Any]:
    async with (
        distributed.Scheduler(protocol=TRANSPORT, dashboard_address="127.0.0.1:0") as scheduler,
        distributed.Client(scheduler.address, asynchronous=True) as client,
    ):
        client.scheduler_here = scheduler
        yield client


def test_a_cluster_computes() -> None:
    """Data goes from one worker to the other by itself."""
    async def main() -> None:
        async with (
            cluster() as client,
            distributed.Worker(client.scheduler_here.address, nthreads=1) as one,
            distributed.Worker(client.scheduler_here.address, nthreads=1) as two,
        ):
            assert one.address.startswith(ANY) and one.address != two.address
            for sock in one.http_server._sockets.values():
                assert sock.getsockname()[0] == "127.0.0.1"
            data = os.urandom(1 << 20) * (2 if SLOW > 1 else 20)
            kept = await client.scatter(data, workers=[one.address])
            assert await client.submit(len, kept, workers=[two.address]) == len(data)
            assert two.address in (await client.who_has(kept))[kept.key]
            assert await client.submit(bytes, kept, workers=[two.address]) == data
            assert await client.submit(sum, client.map(pow, range(100), [2] * 100)) == sum(number**2 for number in range(100))
            who = await client.run(lambda dask_worker: dask_worker.address)
            assert set(who) == set(who.values()) == {one.address, two.address}

    run(main())


@contextlib.contextmanager
def worker_process(scheduler: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "dask", "worker", scheduler, "--nthreads", "1", "--dashboard-address", "127.0.0.1:0", *arguments]
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,      # its socket is there, too, for which a test's is too long
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": folder}) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def test_workers_of_their_own_and_one_that_dies() -> None:
    """What the dead one had is computed again by the other."""
    async def main() -> None:
        async with cluster() as client:
            address = client.scheduler_here.address
            with worker_process(address, "--no-nanny", "--name", "one") as one, worker_process(address, "--no-nanny", "--name", "two"):
                await client.wait_for_workers(2)
                kept = client.map(pow, range(50), [2] * 50, workers=["one"], allow_other_workers=True)
                await distributed.wait(kept)
                assert set((await client.who_has(kept)).values()) != {()}
                one.send_signal(signal.SIGKILL)
                assert await client.submit(sum, kept) == sum(number * number for number in range(50))
                assert len(client.scheduler_here.workers) == 1

    run(main())


@unix_only
def test_a_local_cluster() -> None:
    """With nannies: Dask names 127.0.0.1 for a host, which is none to UNIX sockets."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, protocol="unix", dashboard_address="127.0.0.1:0") as local:
        assert local.scheduler_address.startswith("unix:///")
        with local.get_client() as client:
            assert client.submit(sum, client.map(pow, range(10), [2] * 10)).result(timeout=LIMIT) == 285
