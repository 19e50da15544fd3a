# SPDX-License-Identifier: MIT
"""A second reader and writer of the multiplexers' protocols, from their descriptions alone: sockets and bytes, nothing of the library.

Client: ask_mux, ask_hyperkit. Server: Hypervisor, which takes a guest's part with a function that talks.
"""

import contextlib
import re
import select
import socket
import threading
import time

FIRECRACKER, CLOUD_HYPERVISOR, VHOST_DEVICE_VSOCK, OPENVMM = DIALECTS = ("firecracker", "cloud-hypervisor", "vhost-device-vsock", "openvmm")
GUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def connected(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(20)
    s.connect(str(path))
    return s


def read_line(s):
    """A byte a time: what follows belongs to others. What came before an end that came first, without newline."""
    line = b""
    with contextlib.suppress(ConnectionResetError):
        while not line.endswith(b"\n") and (byte := s.recv(1)):
            line += byte
    return line


def ask_mux(path, request):
    """The socket, and the line that was answered."""
    s = connected(path)
    s.sendall(request)
    return s, read_line(s)


def ask_hyperkit(path, cid, port):
    s = connected(path)
    s.sendall(b"%08x.%08x\n" % (cid, port))
    return s


def at_once(s, size):
    """What is there now."""
    try:
        return s.recv(size, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def read_firecracker(s):
    """The shortest request that there can be, which must be there, then byte by byte, each of which must be, too."""
    line = at_once(s, 10)
    if len(line) < 10:
        return None
    while not line.endswith(b"\n"):
        byte = at_once(s, 1)
        if not byte or len(line) == 32:
            return None
        line += byte
    return line


def read_patiently(s, longest, seconds):
    """In any pieces."""
    line, end = b"", time.monotonic() + seconds
    while not line.endswith(b"\n"):
        s.settimeout(max(end - time.monotonic(), 0.001))
        try:
            byte = s.recv(1)
        except TimeoutError:
            return None
        if not byte or len(line) == longest:
            return None
        line += byte
    s.settimeout(20)
    return line


def read_buffered(s):
    """What comes after the line is lost."""
    data = at_once(s, 8192)
    line, newline, _ = data.partition(b"\n")
    return line + newline if newline else None


READERS = {
    FIRECRACKER: read_firecracker,
    CLOUD_HYPERVISOR: lambda s: read_patiently(s, 32, 20),
    VHOST_DEVICE_VSOCK: read_buffered,
    OPENVMM: lambda s: read_patiently(s, 45, 2),
}


def wanted(line, services, loose):
    """The port, or the GUID, as bytes; None: that is no request. loose: `CONNECT +52 x`, seen with Firecracker 1.16.1, November 2026."""
    words = line.split()
    if loose and len(words) > 2:
        words = words[:2]
    if len(words) != 2 or words[0].lower() != b"connect":
        return None
    if loose:
        words[1] = words[1].removeprefix(b"+")
    if words[1].isdigit() and int(words[1]) < 1 << 32:
        return words[1]
    return words[1] if services and GUID.fullmatch(words[1]) else None


# The host's end of sending is the end of both directions, and the guest's is not told: seen with Firecracker 1.16.1 and vhost-device-vsock
# 0.3.0, November 2026. Cloud Hypervisor 53.0 carries both; how OpenVMM and HyperKit end was never seen.
WITHOUT_HALF_CLOSE = (FIRECRACKER, VHOST_DEVICE_VSOCK)


def carry(host, guest, dialect):
    """Both ways, in one thread, a piece at a time; until all has ended that the dialect lets end."""
    half_closes = dialect not in WITHOUT_HALF_CLOSE
    sinks = {host: guest, guest: host}
    with contextlib.suppress(OSError):
        while sinks:
            for source in select.select(list(sinks), [], [], 20)[0]:
                data = source.recv(65536)
                if data:
                    sinks[source].sendall(data)
                elif source is host and not half_closes:
                    guest.shutdown(socket.SHUT_RDWR)
                    while guest.recv(65536):
                        pass
                    host.shutdown(socket.SHUT_RDWR)
                    return
                elif half_closes:
                    sinks.pop(source).shutdown(socket.SHUT_WR)
                else:
                    hung_up = select.poll()
                    hung_up.register(guest, 0)
                    if hung_up.poll(0):
                        host.shutdown(socket.SHUT_RDWR)
                        return
                    time.sleep(0.01)
    for end in (host, guest):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Hypervisor(threading.Thread):
    """Serves a path in a dialect, or as HyperKit, one connection after another: talk(connection) is the guest, and says what .results get.

    answer: what is said in place of the dialect's OK line. Ports that are not in `ports` are hung up on, if there are any.
    """

    def __init__(self, path, dialect, talk, answer=None, ports=None):
        super().__init__(daemon=True)
        self.dialect, self.talk, self.answer, self.ports = dialect, talk, answer, ports
        self.requests, self.results = [], []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen()
        self.own_port = 1 << 30

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.join(30)
        self.listener.close()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    connection.settimeout(20)
                    self.attend(connection)

    def attend(self, connection):
        select.select([connection], [], [], 20)
        if self.dialect == "hyperkit":
            line = connection.recv(18)
            self.requests.append(line)
            if not re.fullmatch(rb"[0-9a-f]{8}\.[0-9a-f]{8}\n", line):
                return
        else:
            line = READERS[self.dialect](connection)
            self.requests.append(line)
            port = wanted(line, self.dialect == OPENVMM, self.dialect == FIRECRACKER) if line else None
            if port is None or (self.ports and int(port) not in self.ports):
                return
            connection.sendall(self.answer or b"OK %s\n" % self.reply(port))
        self.results.append(self.converse(connection))

    def converse(self, connection):
        """As the guest has it: the ends that its hypervisor does not tell are not told, and what it loses is lost."""
        ours, guest = socket.socketpair()
        with ours, guest:
            guest.settimeout(20)
            carrier = threading.Thread(target=carry, args=(connection, ours, self.dialect), daemon=True)
            carrier.start()
            try:
                return self.talk(guest)
            except BrokenPipeError:
                return None
            finally:
                guest.close()
                carrier.join(30)

    def reply(self, port):
        if self.dialect not in (FIRECRACKER, CLOUD_HYPERVISOR):
            return port
        self.own_port += 1
        return b"%d" % self.own_port
