"""Answers that a client does not read: the connection is cut off, and its thread works on.

gunicorn's sockets wait for ever. Their own timeout bounds writing: Python counts it over all that
one sendall sends, and gunicorn takes it back when it reads the next request.
Source: https://docs.python.org/3/library/socket.html#socket.socket.sendall
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIEnvironment
    from flask import Response

# As long as a body of that size may take to arrive (see uploads).
MIN_TIMEOUT_S = 10.0
MIN_BYTES_PER_S = 50_000
MAX_TIMEOUT_S = 90.0


def bound_reading(
    response: Response, environ: WSGIEnvironment, on_cut: Callable[[float], None]
) -> None:
    """Cut the client off if it does not read the answer in time; only gunicorn's sockets can.

    on_cut: called then, with the seconds that the client had.
    """
    connection: socket.socket | None = environ.get("gunicorn.socket")
    if connection is not None:
        expected_s = (response.content_length or 0) / MIN_BYTES_PER_S
        timeout_s = min(MIN_TIMEOUT_S + expected_s, MAX_TIMEOUT_S)
        connection.settimeout(timeout_s)
        response.call_on_close(partial(_cut_off, connection, partial(on_cut, timeout_s)))


def _cut_off(connection: socket.socket, on_cut: Callable[[], None]) -> None:
    """Reset the connection if writing to it timed out; called however an answer ends."""
    if not isinstance(sys.exception(), TimeoutError):
        return
    on_cut()
    # Else gunicorn waits two seconds for the client to close, in the thread that accepts clients,
    # and the kernel keeps what is unsent. Source: close_graceful in gunicorn/util.py; socket(7).
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RD)
    # Of a timeout, gunicorn logs a traceback as a fault of the program; of a broken pipe nothing.
    raise BrokenPipeError(errno.EPIPE, "the client does not read its answer") from None
