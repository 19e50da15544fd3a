# SPDX-License-Identifier: MIT
"""The standard library's socketserver, a thread for each client: python3 line_server.py vsock://:1024 RULE...

It answers each line in capitals. Clients come through the listener, so that its rules (host, local, 3-9, uid=1000, ...) say who may.
"""

import socketserver
import sys

import virtsock


class StreamServer(socketserver.ThreadingTCPServer):
    """Its socket is a virtsock.Listener, its requests are virtsock.Streams."""

    daemon_threads = True

    def __init__(self, listener, handler):
        socketserver.BaseServer.__init__(self, listener.address, handler)
        self.socket = listener

    def get_request(self):
        stream = self.socket.accept()
        return stream, stream.peer


class Capitals(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


with virtsock.listen(sys.argv[1], allow=sys.argv[2:], timeout=0) as listener, StreamServer(listener, Capitals) as server:
    print("listening on", listener.address, flush=True)
    server.serve_forever()
