"""A small HTTP server in front of the storage emulator that fails on demand, over real sockets.

    client ── FaultyGcs.endpoint ── Fault.strike(exchange) ── exchange.forward() ── emulator

    Answer      answer without asking the emulator     Stall   keep the request, answer nothing
    ResetBeforeBody, ResetDuringBody, ResetAfterBody   cut before the emulator hears of it
    LoseAnswer, ResetDuringAnswer                      cut after the emulator has carried it out
    Slow        answer late                            Trickle answer byte by byte
    Corrupt     alter one byte of the answer's body
    Act         do anything before, after or instead of carrying the request out

Each request takes the next fault that is meant for it, in the order in which they were added; a
request without one passes through untouched. Requests are counted before anything goes wrong.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEEK_BYTES = 4096  # of a body: where a multipart upload names its object
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date"})


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: the method, the path with its query, and how the body begins."""

    method: str
    path: str
    body_start: bytes = b""

    def mentions(self, text: str) -> bool:
        """Return whether the path or the start of the body holds the text (an object's name)."""
        return text in self.path or text.encode() in self.body_start


@dataclass(frozen=True, slots=True)
class Reply:
    """What the emulator answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Fault(ABC):
    """One way to fail."""

    @abstractmethod
    def strike(self, exchange: Exchange) -> None:
        """Treat one request."""


@dataclass(frozen=True, slots=True)
class Answer(Fault):
    """Answer with a status, without asking the emulator."""

    status: int
    body: bytes = b"fault"
    headers: tuple[tuple[str, str], ...] = ()

    def strike(self, exchange: Exchange) -> None:
        exchange.read_body()
        exchange.answer(Reply(self.status, list(self.headers), self.body))


class ResetBeforeBody(Fault):
    """Cut the connection after the header and at most PEEK_BYTES of the body."""

    def strike(self, exchange: Exchange) -> None:
        exchange.reset()


class ResetDuringBody(Fault):
    """Cut the connection after half of the body."""

    def strike(self, exchange: Exchange) -> None:
        exchange.read_body(part=0.5)
        exchange.reset()


class ResetAfterBody(Fault):
    """Cut the connection after the whole body; the emulator never hears of it."""

    def strike(self, exchange: Exchange) -> None:
        exchange.read_body()
        exchange.reset()


class LoseAnswer(Fault):
    """Let the emulator carry the request out, then cut the connection instead of answering."""

    def strike(self, exchange: Exchange) -> None:
        exchange.forward()
        exchange.reset()


class ResetDuringAnswer(Fault):
    """Let the emulator carry the request out, then cut the connection in the answer's middle."""

    def strike(self, exchange: Exchange) -> None:
        reply = exchange.forward()
        exchange.begin(reply)
        exchange.send(reply.body[: len(reply.body) // 2])
        exchange.reset()


class Stall(Fault):
    """Take the request and never answer."""

    def strike(self, exchange: Exchange) -> None:
        exchange.read_body()
        exchange.stopped.wait()
        exchange.reset()


@dataclass(frozen=True, slots=True)
class Slow(Fault):
    """Let the emulator carry the request out and answer delay_s later."""

    delay_s: float

    def strike(self, exchange: Exchange) -> None:
        reply = exchange.forward()
        exchange.stopped.wait(self.delay_s)
        exchange.answer(reply)


@dataclass(frozen=True, slots=True)
class Trickle(Fault):
    """Let the emulator carry the request out and send the answer's body byte by byte."""

    interval_s: float

    def strike(self, exchange: Exchange) -> None:
        reply = exchange.forward()
        exchange.begin(reply)
        for byte in reply.body:
            exchange.send(bytes([byte]))
            if exchange.stopped.wait(self.interval_s):
                return


class Corrupt(Fault):
    """Alter the last byte of the answer's body."""

    def strike(self, exchange: Exchange) -> None:
        reply = exchange.forward()
        body = reply.body[:-1] + bytes([reply.body[-1] ^ 1])
        exchange.answer(Reply(reply.status, reply.headers, body))


class NoAnswerError(Exception):
    """The client gets no answer."""


@dataclass(frozen=True, slots=True)
class Act(Fault):
    """Call act with a function that has the emulator carry the request out, now or later.

    Then answer what the emulator answered; cut the connection where act raises NoAnswerError.
    """

    act: Callable[[Callable[[], None]], None]

    def strike(self, exchange: Exchange) -> None:
        replies: list[Reply] = []
        exchange.read_body()
        try:
            self.act(lambda: replies.append(exchange.forward()))
        except NoAnswerError:
            exchange.reset()
        else:
            exchange.answer(replies[0])


class Exchange(BaseHTTPRequestHandler):
    """One connection to the faulty server; a fault works with its small set of moves."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        """Treat one request: count it, choose what goes wrong, let it."""
        self._body_bytes = int(self.headers.get("Content-Length") or 0)
        self._body = b""
        self.read_body(part=min(1.0, PEEK_BYTES / max(self._body_bytes, 1)))
        fault = self.server.choose(Request(self.command, self.path, self._body))
        if fault is None:
            self.answer(self.forward())
        else:
            fault.strike(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815 - their names
    do_OPTIONS = serve  # noqa: N815 - asked of the function alone

    def log_message(self, *_: object) -> None:
        """Write nothing: the requests are in FaultyGcs.requests."""

    @property
    def stopped(self) -> threading.Event:
        """The event that the server's end sets."""
        return self.server.stopped

    def read_body(self, part: float = 1.0) -> bytes:
        """Return the body up to a part of its length; what was read before is remembered."""
        wanted = int(self._body_bytes * part) - len(self._body)
        if wanted > 0:
            self._body += self.rfile.read(wanted)
        return self._body

    def forward(self) -> Reply:
        """Have the emulator carry the request out."""
        connection = HTTPConnection(self.server.upstream, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        try:
            connection.request(self.command, self.path, self.read_body() or None, headers)
            answer: HTTPResponse = connection.getresponse()
            kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP]
            return Reply(answer.status, kept, answer.read())
        finally:
            connection.close()

    def answer(self, reply: Reply) -> None:
        """Send a whole answer."""
        self.begin(reply)
        self.send(reply.body)

    def begin(self, reply: Reply) -> None:
        """Send the header of an answer."""
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()

    def send(self, data: bytes) -> None:
        """Send bytes of a body."""
        self.wfile.write(data)
        self.wfile.flush()

    def reset(self) -> None:
        """Cut the connection: the client sees a reset, not an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, choose: Callable[[Request], Fault | None]) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.upstream = upstream
        self.choose = choose
        self.stopped = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Report mistakes of this module; a client that went away is what tests provoke."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@dataclass(slots=True, eq=False)
class _Planned:
    fault: Fault
    when: Callable[[Request], bool]
    times: float


@dataclass(slots=True)
class FaultyGcs:
    """A running faulty server.

    endpoint: for STORAGE_EMULATOR_HOST; requests: all that came in since the last clear().
    """

    endpoint: str = ""
    requests: list[Request] = field(default_factory=list)
    _planned: list[_Planned] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        *faults: Fault,
        when: Callable[[Request], bool] = lambda _: True,
        times: float = 1,
    ) -> None:
        """Plan faults; each strikes the next requests for which `when` holds, `times` times.

        times may be math.inf. `when` is asked once a request, so it may roll dice.
        """
        with self._lock:
            self._planned += [_Planned(fault, when, times) for fault in faults]

    def clear(self) -> None:
        """Forget the planned faults and the requests counted so far."""
        with self._lock:
            self._planned.clear()
            self.requests.clear()

    def methods(self) -> list[str]:
        """Return the methods of the requests so far, in their order."""
        with self._lock:
            return [request.method for request in self.requests]

    def choose(self, request: Request) -> Fault | None:
        """Count a request and return its fault."""
        with self._lock:
            self.requests.append(request)
            for planned in self._planned:
                if planned.when(request):
                    planned.times -= 1
                    if planned.times <= 0:
                        self._planned.remove(planned)
                    return planned.fault
            return None


@contextmanager
def running_faulty_gcs(upstream: str) -> Iterator[FaultyGcs]:
    """Start a faulty server on a free port of the loopback interface, in front of an emulator.

    upstream: the emulator's endpoint. Stalled requests are cut at the end.
    """
    faulty = FaultyGcs()
    server = _Server(urlsplit(upstream).netloc, faulty.choose)
    faulty.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield faulty
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
