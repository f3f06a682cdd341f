"""How long a client may take to read; tests/test_resilience.py tries it with gunicorn."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest
from flask import Response

from serving.unread import bound_reading

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    server, client = socket.socketpair()
    with server, client:
        yield server, client


@pytest.mark.parametrize(
    ("size_bytes", "timeout_s"), [(0, 10), (50_000, 11), (1_000_000, 30), (9_000_000, 90)]
)
def test_a_larger_answer_may_take_longer_up_to_a_limit(
    ends: tuple[socket.socket, socket.socket], size_bytes: int, timeout_s: float
) -> None:
    server, _ = ends
    bound_reading(Response(bytes(size_bytes)), {"gunicorn.socket": server}, print)
    assert server.gettimeout() == timeout_s


def test_a_write_that_times_out_is_a_broken_pipe_and_leaves_nothing_to_wait_for(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    server, _ = ends
    cuts: list[float] = []
    response = Response()
    bound_reading(response, {"gunicorn.socket": server}, cuts.append)
    server.settimeout(0.01)
    with pytest.raises(BrokenPipeError):
        _write_as_gunicorn(server, response)
    assert cuts == [10.0]
    assert server.recv(1) == b"", "nothing is read any more, though the client is still there"
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 0)


def test_a_client_that_went_away_is_not_cut_off(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    server, client = ends
    cuts: list[float] = []
    response = Response()
    bound_reading(response, {"gunicorn.socket": server}, cuts.append)
    client.close()
    with pytest.raises(BrokenPipeError):
        _write_as_gunicorn(server, response)
    assert cuts == []


def _write_as_gunicorn(server: socket.socket, response: Response) -> None:
    try:
        server.sendall(bytes(10_000_000))
    finally:
        response.close()
