"""A check on a socket that answers as a test tells it to, and remembers what it was shown."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Shown:
    """One request; headers: by their names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Checker:
    """answer: the bytes on the wire, all at once; until: what they wait for."""

    answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n"
    until: threading.Event = field(default_factory=threading.Event)
    pieces: Callable[[bytes], Iterator[bytes]] = lambda data: iter((data,))
    shown: list[Shown] = field(default_factory=list)
    url: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """The settings that ask it."""
        return {"CHECK_URL": self.url, "CHECK_ALLOW_PRIVATE": "on"}

    def says(self, status: str, body: bytes = b"", *fields: str) -> None:
        """Answer with a status such as "403 Forbidden" and a body from now on."""
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", "")
        self.answer = "\r\n".join(lines).encode() + body


@contextmanager
def checking(tls: ssl.SSLContext | None = None) -> Iterator[Checker]:
    """Run a check at 127.0.0.1 that lets everything pass until it is told otherwise."""
    checker = Checker()
    checker.until.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            checker.shown.append(Shown(path=self.path, headers=headers, body=body))
            checker.until.wait()
            self.close_connection = True
            for piece in checker.pieces(checker.answer):
                self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            """Leave stderr to the function."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Let callers hang up."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        checker.url = f"http{'s' if tls else ''}://localhost:{server.server_port}/look?at=it"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield checker
        finally:
            checker.until.set()
            server.shutdown()
            thread.join()
