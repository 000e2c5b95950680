"""Bad connections: a proxy before a tracking server that is slow, silent or gone when told so."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

DROPPED = ("connection", "transfer-encoding", "content-length", "keep-alive", "date", "server")


class Proxy(ThreadingHTTPServer):
    """Passes requests on, each ``seconds`` later.

    ``silent``: it accepts and never answers. ``down``: it hangs up. ``silent_for``: texts; it is
    silent for requests whose path holds one of them.
    """

    daemon_threads = True

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(server).netloc
        self.uri = f"http://127.0.0.1:{self.server_port}"
        self.seconds, self.silent, self.down = 0.0, False, False
        self.silent_for: tuple[str, ...] = ()
        self.released = threading.Event()  # those that wait for an answer may go
        self.requests: list[str] = []

    def handle_error(self, *_: Any) -> None:
        """A client that is gone is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def pass_on(self) -> None:
        proxy = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy.requests.append(f"{self.command} {self.path}")
        if proxy.silent or any(text in self.path for text in proxy.silent_for):
            proxy.released.wait()
            self.close_connection = True
            return
        if proxy.down:
            self.close_connection = True
            return
        proxy.released.wait(proxy.seconds)
        connection = http.client.HTTPConnection(proxy.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in DROPPED:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(content)
        connection.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815


@contextmanager
def proxy_of(server: str) -> Iterator[Proxy]:
    with Proxy(server) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.released.set()
            proxy.shutdown()
