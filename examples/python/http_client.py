# SPDX-License-Identifier: MIT
"""httpx over virtsock: python3 http_client.py vsock://3:8080 /file..., on a host for its guest

The transport connects to its address whatever host the URL names. TLS is what it is elsewhere: https:// in the URL.
"""

import contextlib
import select
import sys

import httpcore
import httpx
import virtsock


@contextlib.contextmanager
def known_as(timeout, other):
    """Failures as httpx knows them."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except OSError as error:
        raise other(str(error)) from error


class Stream(httpcore.NetworkStream):
    def __init__(self, sock):
        self.sock = sock

    def read(self, max_bytes, timeout=None):
        with known_as(httpcore.ReadTimeout, httpcore.ReadError):
            self.sock.settimeout(timeout)
            return self.sock.recv(max_bytes)

    def write(self, buffer, timeout=None):
        with known_as(httpcore.WriteTimeout, httpcore.WriteError):
            self.sock.settimeout(timeout)
            self.sock.sendall(buffer)

    def start_tls(self, ssl_context, server_hostname=None, timeout=None):
        with known_as(httpcore.ConnectTimeout, httpcore.ConnectError):
            self.sock.settimeout(timeout)
            return Stream(ssl_context.wrap_socket(self.sock.to_socket(), server_hostname=server_hostname))

    def get_extra_info(self, info):
        if info == "is_readable":       # an idle connection that the server has ended is not used again
            poll = select.poll()
            poll.register(self.sock.fileno(), select.POLLIN)
            return bool(poll.poll(0))
        return None

    def close(self):
        self.sock.close()


class Backend(httpcore.NetworkBackend):
    def __init__(self, address):
        self.address = address

    def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        with known_as(httpcore.ConnectTimeout, httpcore.ConnectError):
            return Stream(virtsock.connect(self.address, timeout=timeout))


class Transport(httpx.HTTPTransport):
    """With the options of httpx.HTTPTransport."""

    def __init__(self, address, **options):
        super().__init__(**options)
        self._pool._network_backend = Backend(address)      # httpcore takes one, and httpx does not hand one on


with httpx.Client(transport=Transport(sys.argv[1]), timeout=20) as client:
    for path in sys.argv[2:]:
        response = client.get(f"http://guest{path}")
        print(response.status_code, response.text)
