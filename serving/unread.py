"""Answers that a client does not read: the connection is cut off, and its thread works on.

gunicorn's sockets wait for ever. A timeout of their own would cost two system calls more for each
write, and with them the interpreter's lock; so one thread watches all answers under way.
"""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIEnvironment
    from flask import Response

# As long as a body of that size may take to arrive (see forms).
MIN_TIMEOUT_S = 10.0
MIN_BYTES_PER_S = 50_000
MAX_TIMEOUT_S = 90.0


def timeout_s(size_bytes: int, *, min_timeout_s: float = MIN_TIMEOUT_S) -> float:
    """Return how long a client may take to read an answer of so many bytes."""
    return min(min_timeout_s + size_bytes / MIN_BYTES_PER_S, MAX_TIMEOUT_S)


@dataclass(frozen=True, slots=True, eq=False)  # each answer is itself, whatever another one is
class _Answer:
    connection: socket.socket
    timeout_s: float
    ends_s: float
    on_cut: Callable[[float], None]


class Readers:
    """Clients that read their answers, and the thread that cuts off those who take too long.

    min_timeout_s: for the smallest answer.
    """

    def __init__(self, *, min_timeout_s: float = MIN_TIMEOUT_S) -> None:
        self._min_timeout_s = min_timeout_s
        self._lock = threading.Lock()
        self._under_way: set[_Answer] = set()
        self._is_watched = False

    def bound(
        self, response: Response, environ: WSGIEnvironment, on_cut: Callable[[float], None]
    ) -> None:
        """Cut the client off if it does not read the answer in time; only gunicorn's sockets can.

        on_cut: called then, with the seconds that the client had.
        """
        connection: socket.socket | None = environ.get("gunicorn.socket")
        if connection is None:
            return
        reading_s = timeout_s(response.content_length or 0, min_timeout_s=self._min_timeout_s)
        answer = _Answer(connection, reading_s, time.monotonic() + reading_s, on_cut)
        with self._lock:
            self._under_way.add(answer)
            if not self._is_watched:  # in the process that serves: a fork takes no thread along
                self._is_watched = True
                threading.Thread(target=self._watch, name="readers", daemon=True).start()
        response.call_on_close(partial(self._end, answer))

    def _end(self, answer: _Answer) -> None:
        with self._lock:
            self._under_way.discard(answer)

    def _watch(self) -> None:
        while True:
            with self._lock:
                now_s = time.monotonic()
                for answer in [late for late in self._under_way if late.ends_s <= now_s]:
                    self._under_way.discard(answer)
                    _cut_off(answer)
                ends_s = min((answer.ends_s for answer in self._under_way), default=math.inf)
            # None that begins meanwhile ends sooner.
            time.sleep(max(0.0, min(ends_s - now_s, self._min_timeout_s)))


def _cut_off(answer: _Answer) -> None:
    """Reset the connection: the write that waits ends as a broken pipe.

    Else gunicorn waits two seconds for the client to close, in the thread that accepts clients, and
    the kernel keeps what is unsent. Source: close_graceful in gunicorn/util.py; socket(7).
    """
    answer.on_cut(answer.timeout_s)
    with contextlib.suppress(OSError):  # it has gone already
        linger = struct.pack("ii", 1, 0)
        answer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        answer.connection.shutdown(socket.SHUT_RDWR)
