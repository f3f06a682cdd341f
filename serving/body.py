"""The body of a request: how much of it is read, and for how long.

Limits, all of them refused before memory is taken:
    max_upload_bytes    the file                (MAX_UPLOAD_MB)
    FORM_MAX_BYTES      everything else in the body
    UPLOAD_TIMEOUT_S    the whole body, however slowly it trickles in; a small one gets less
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

from errors import FileTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed.wsgi import WSGIEnvironment
    from flask import Request

FORM_MAX_BYTES = 64_000
UPLOAD_TIMEOUT_S = 90.0
UPLOAD_MIN_TIMEOUT_S = 10.0  # and, up to UPLOAD_TIMEOUT_S, what the body takes at this rate:
UPLOAD_MIN_BYTES_PER_S = 50_000
DISCARD_MAX_BYTES = 32_000_000  # the most that Cloud Run lets through in one HTTP/1 request
DISCARD_TIMEOUT_S = 2.0
READ_BYTES = 1 << 20


class Body:
    """The request body up to a limit: one byte more is an error, and is not read on."""

    def __init__(self, stream: Any, max_body_bytes: int, max_upload_bytes: int) -> None:  # noqa: ANN401 - the WSGI server's own class
        self._stream = stream
        self._left = max_body_bytes
        self._max_upload_bytes = max_upload_bytes

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, none at the end.

        Raises: FileTooLarge, OSError, ValueError for chunks that are none.
        """
        try:
            data: bytes = self._stream.read(min(size, self._left + 1))
        except OSError:
            raise
        except Exception as error:  # the server's own complaint about chunks or trailers
            raise ValueError(f"{type(error).__name__}: {error}") from error
        self._left -= len(data)
        if self._left < 0:
            raise FileTooLarge(max_bytes=self._max_upload_bytes, reason="body above the limit")
        return data


@contextlib.contextmanager
def time_limit(environ: WSGIEnvironment, seconds: float) -> Iterator[threading.Event]:
    """Let reading the body take so many seconds in all; after that it reads as ended.

    gunicorn's sockets wait for ever. A timeout on the socket would start anew with every byte, so
    the reading side is shut instead.
    """
    time_is_up = threading.Event()
    connection: socket.socket | None = environ.get("gunicorn.socket")
    if connection is None:  # another server than gunicorn, as in tests without a socket
        yield time_is_up
        return

    def shut() -> None:
        time_is_up.set()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RD)

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield time_is_up
    finally:
        timer.cancel()


def body_bytes(request: Request, *, max_upload_bytes: int) -> int:
    """Return how much memory the body of a request may take, before it is read.

    Twice what is sent: as it arrived, and, for a moment, put together.
    """
    most = max_upload_bytes + FORM_MAX_BYTES
    if "Transfer-Encoding" in request.headers:
        return 2 * most
    return 2 * min(request.content_length or 0, most)


def discard_body(environ: WSGIEnvironment) -> None:
    """Read and forget what the client still sends, within limits, so that it sees the answer.

    A client that is refused early goes on sending; closing the connection on it would reset it, and
    the answer would be lost with it (RFC 9112, section 9.6).
    """
    if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
        return  # no body was announced: most requests are spared the timer below
    stream = environ["wsgi.input"]
    left = DISCARD_MAX_BYTES
    with contextlib.suppress(Exception), time_limit(environ, DISCARD_TIMEOUT_S):
        while left > 0 and (data := stream.read(min(left, READ_BYTES))):
            left -= len(data)


def timeout_s(request: Request) -> float:
    """Return how long the body may take: who announces little and trickles is cut off soon."""
    if request.content_length is None:
        return UPLOAD_TIMEOUT_S
    expected_s = request.content_length / UPLOAD_MIN_BYTES_PER_S
    return min(UPLOAD_MIN_TIMEOUT_S + expected_s, UPLOAD_TIMEOUT_S)
