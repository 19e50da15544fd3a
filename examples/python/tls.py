# SPDX-License-Identifier: MIT
"""TLS over a stream: python3 tls.py serve vsock://:1024 CERTIFICATE KEY, then python3 tls.py ask vsock://3:1024 CERTIFICATE

An address has no name to be certified, so both sides agree on one: the certificate is for "virtsock.example".
"""

import ssl
import sys

import virtsock

NAME = "virtsock.example"


def serve(address, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with virtsock.listen(address) as listener:
        print("listening on", listener.address, flush=True)
        for stream in listener:
            try:
                with stream:
                    stream.settimeout(20)       # a client that says nothing
                    with context.wrap_socket(stream.to_socket(), server_side=True) as sock:
                        while data := sock.recv(4096):
                            sock.sendall(data.upper())
            except OSError as error:            # of TLS as well
                print(error, file=sys.stderr)


def ask(address, certificate):
    context = ssl.create_default_context(cafile=certificate)
    stream = virtsock.connect(address, timeout=20, wait=20)
    with stream, context.wrap_socket(stream.to_socket(), server_hostname=NAME) as sock:
        sock.sendall(b"hello")
        print(sock.version(), sock.recv(100).decode())


{"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
