# SPDX-License-Identifier: MIT
"""The standard library's HTTP server, for the files of a folder: python3 http_server.py vsock://:8080 FOLDER, in a guest for its host"""

import functools
import http.server
import socketserver
import sys

import virtsock


class Server(http.server.ThreadingHTTPServer):
    """Its socket is a virtsock.Listener, its requests are virtsock.Streams."""

    def __init__(self, listener, handler):
        socketserver.BaseServer.__init__(self, listener.address, handler)
        self.socket = listener

    def get_request(self):
        stream = self.socket.accept()
        return stream, (str(stream.peer), None)     # the handler's log shows the first


class Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"                   # one connection for many requests
    timeout = 60


with virtsock.listen(sys.argv[1], timeout=0) as listener, Server(listener, functools.partial(Files, directory=sys.argv[2])) as server:
    print("listening on", listener.address, flush=True)
    server.serve_forever()
