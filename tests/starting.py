"""Starts of the function that requests hit from the first moment, as a crawler or a retry does."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import psutil
from function_server import ROOT, START_TIMEOUT_S, free_port, start
from keys import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from subprocess import Popen

REQUESTS = 8
TIMEOUT_S = 60


def start_under_requests(
    folder: Path, env: Mapping[str, str], photo: bytes, *, cpu: int
) -> list[str]:
    """Start the function on one processor, send it REQUESTS at once when its port opens; stop it.

    Returns what was wrong, an empty list where nothing was: of the requests of the first moment, of
    a share that is made, read and taken back after them, and of what /health says then.
    """
    port = free_port()
    with running(port, folder, env, cpu) as process, ThreadPoolExecutor(REQUESTS) as pool:
        _wait_for_port(port, process)
        first = [pool.submit(_read_nothing, port, n) for n in range(REQUESTS - 1)]
        posted = pool.submit(_post, port, photo)
        problems = [problem for read in first for problem in read.result()]
        problems += _life_of(port, *posted.result())
        if process.poll() is not None:
            problems.append(f"the process ended with {process.returncode}")
    return problems


@contextlib.contextmanager
def running(port: int, folder: Path, env: Mapping[str, str], cpu: int) -> Iterator[Popen[bytes]]:
    """Run the function without waiting until it listens; kill all of it at the end."""
    with (folder / "function.log").open("wb") as stream:
        process = start(port, folder, env, ROOT, stream)
    os.sched_setaffinity(process.pid, {cpu})  # and of every thread and process that it starts
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            workers = psutil.Process(process.pid).children()
            process.kill()
            for worker in workers:
                worker.kill()
        process.wait()


def _wait_for_port(port: int, process: Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.005)
    raise RuntimeError("the function did not start")


def _read_nothing(port: int, n: int) -> list[str]:
    """Ask for the page, the picture or the card of a share that nobody made."""
    path = f"/s/{uuid7()}{('', '.jpg', '/card.jpg')[n % 3]}"
    status, body = _ask(port, "GET", path)
    return [] if status == 404 else [f"GET {path} {status}: {body[:200]!r}"]


def _post(port: int, photo: bytes) -> tuple[int, bytes]:
    form = httpx.Request("POST", "http://x", data={"platform": "email"}, files={"file": photo})
    headers = {"Content-Type": form.headers["Content-Type"]}
    return _ask(port, "POST", "/", form.read(), headers)


def _life_of(port: int, status: int, body: bytes) -> list[str]:
    """Read the share that was posted, take it back, and ask for the function's health."""
    if status != 200:
        return [f"POST {status}: {body[:200]!r}"]
    share = json.loads(body)
    token = {"Authorization": f"Bearer {share['delete_token']}"}
    answers = [
        _ask(port, "GET", f"/s/{share['share_id']}.jpg"),
        _ask(port, "DELETE", f"/api/v2/share-image/{share['share_id']}", b"", token),
        _ask(port, "GET", "/health"),
    ]
    statuses = [status for status, _ in answers]
    if statuses != [200, 204, 200]:
        return [f"GET, DELETE, GET /health: {statuses}"]
    return [] if json.loads(answers[-1][1])["storage"]["ready"] else ["storage is not ready"]


def _ask(
    port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Ask with nothing that a client would do first: it would take up the first moment."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        connection.request(method, path, body or None, {"Accept": "*/*", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
