"""How long a client may take to read; tests/test_resilience.py tries it with gunicorn."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from flask import Response

from serving.unread import Readers, timeout_s

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORT_S = 0.05


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    server, client = socket.socketpair()
    with server, client:
        yield server, client


@pytest.mark.parametrize(
    ("size_bytes", "expected_s"), [(0, 10), (50_000, 11), (1_000_000, 30), (9_000_000, 90)]
)
def test_a_larger_answer_may_take_longer_up_to_a_limit(size_bytes: int, expected_s: float) -> None:
    assert timeout_s(size_bytes) == expected_s


def test_a_client_that_does_not_read_is_cut_off_and_leaves_nothing_to_wait_for(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    server, _ = ends
    cuts: list[float] = []
    response = Response()
    Readers(min_timeout_s=SHORT_S).bound(response, {"gunicorn.socket": server}, cuts.append)
    with pytest.raises(BrokenPipeError):
        _write_as_gunicorn(server, response)
    assert cuts == [SHORT_S]
    assert server.recv(1) == b"", "nothing is read any more, though the client is still there"
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 0)


def test_a_client_that_trickles_is_cut_off_as_well(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    server, client = ends
    response = Response()
    Readers(min_timeout_s=SHORT_S).bound(response, {"gunicorn.socket": server}, lambda _s: None)
    is_over = threading.Event()

    def trickle() -> None:
        while not is_over.wait(0.001) and client.recv(100):
            pass

    reader = threading.Thread(target=trickle)
    reader.start()
    try:
        with pytest.raises(BrokenPipeError):
            _write_as_gunicorn(server, response)
    finally:
        is_over.set()
        reader.join()


def test_once_an_answer_is_read_its_connection_serves_the_next(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """One that is cut off later shows that the time of the first one is over."""
    server, client = ends
    cuts: list[str] = []
    readers = Readers(min_timeout_s=SHORT_S)
    response = Response()
    readers.bound(response, {"gunicorn.socket": server}, lambda _s: cuts.append("first"))
    response.close()
    other_server, other_client = socket.socketpair()
    with other_server, other_client:
        other = Response()
        readers.bound(other, {"gunicorn.socket": other_server}, lambda _s: cuts.append("other"))
        with pytest.raises(BrokenPipeError):
            _write_as_gunicorn(other_server, other)
    assert cuts == ["other"]
    server.sendall(b"next")
    assert client.recv(4) == b"next"


def test_a_client_that_went_away_is_not_cut_off(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    server, client = ends
    cuts: list[float] = []
    response = Response()
    Readers().bound(response, {"gunicorn.socket": server}, cuts.append)
    client.close()
    with pytest.raises(BrokenPipeError):
        _write_as_gunicorn(server, response)
    assert cuts == []


def _write_as_gunicorn(server: socket.socket, response: Response) -> None:
    try:
        server.sendall(bytes(10_000_000))
    finally:
        response.close()
