"""A loopback proxy before an S3 server, which fails as a script says: HTTP as it really breaks."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """A failure: an S3 error, or (status 0) a connection reset or stalled half-way in the body."""

    status: int = 0
    code: str = ""
    stall_s: float = 0.0


SLOW_DOWN = Answer(503, "SlowDown")
INTERNAL_ERROR = Answer(500, "InternalError")
DENIED = Answer(403, "AccessDenied")
EXPIRED = Answer(400, "ExpiredToken")
RESET = Answer()
Script = Callable[[str, str], Answer | None]


@dataclass
class Proxy:
    """What the proxy does and what it saw.

    Attributes:
        endpoint: where it listens.
        script: from method and path to how that request fails, or None.
        requests: (method, path, failure) of all requests, in order of arrival.
        released: set when stalled requests may end.
    """

    endpoint: str
    script: Script = lambda *_: None
    requests: list[tuple[str, str, Answer | None]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def seen(self, method: str, part: str) -> int:
        """Count requests of a method whose path holds a text."""
        return sum(m == method and part in path for m, path, _ in list(self.requests))

    def failures(self) -> int:
        """Count requests that failed as scripted."""
        return sum(answer is not None for _, _, answer in list(self.requests))


def first(n: int, answer: Answer, method: str, part: str) -> Script:
    """Fail the first so many requests of a method whose path holds a text."""
    left, lock = [n], threading.Lock()

    def script(asked: str, path: str) -> Answer | None:
        with lock:
            if asked != method or part not in path or not left[0]:
                return None
            left[0] -= 1
            return answer

    return script


def always(answer: Answer, method: str, part: str) -> Script:
    """Fail every request of a method whose path holds a text."""
    return lambda asked, path: answer if asked == method and part in path else None


@contextmanager
def s3_proxy(upstream: str):
    """Listen on the loopback and pass everything on to an S3 server, but for what is scripted."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    server.proxy, server.upstream = proxy, urlsplit(upstream).netloc
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self):
        proxy = self.server.proxy
        answer = proxy.script(self.command, self.path)
        proxy.requests.append((self.command, self.path, answer))
        length = int(self.headers.get("Content-Length") or 0)
        if self.command == "PUT" and answer is not None and not answer.status:
            self.rfile.read(length // 2)
            self._break(answer)
            return
        body = self.rfile.read(length)
        if answer is not None and answer.status:
            error = f"<Error><Code>{answer.code}</Code><Message>scripted</Message></Error>"
            self._reply(answer.status, {"Content-Type": "application/xml"}, error.encode())
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            upstream.request(self.command, self.path, body, dict(self.headers))
            found = upstream.getresponse()
            self._reply(found.status, dict(found.headers), found.read(), answer)
        finally:
            upstream.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve

    def _reply(self, status, headers, body, answer=None):
        head = self.command == "HEAD"
        dropped = {"connection", "transfer-encoding", "date", "server"}
        length = headers.get("Content-Length", "0") if head else str(len(body))
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in dropped | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if not head:
            self.wfile.write(body if answer is None else body[: len(body) // 2])
        if answer is not None:
            self.wfile.flush()
            self._break(answer)

    def _break(self, answer):
        """Reset the connection, after a while in which nothing comes."""
        deadline_s = time.monotonic() + answer.stall_s
        self.server.proxy.released.wait(max(0.0, deadline_s - time.monotonic()))
        # Closing with this option sends a reset and no orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def handle(self):
        try:
            super().handle()
        except OSError:
            return  # what was reset, by us or by a client whose patience ended, has no more to say

    def finish(self):
        try:
            super().finish()
        except OSError:
            return

    def log_message(self, *_):
        """The requests are kept in the proxy."""
