"""Mixed load on the function as production runs it, for figures: bench/README.md shows some.

    good pictures of every format, each from an address of its own      200
    pictures that are none                                              400
    a flood from one address                                            429 after RATE_LIMIT
    uploads that are given up half way                                  nobody to answer
    pages, pictures and cards of shares that were made                  200
    shares that are taken back                                          204
    one storage request in twenty fails                                 tried again, or 503
    every answer to the puts of some shares gets lost                   taken back, and 503
    some of those cannot be taken back                                  503, and named in the log

At the end every answer must have its objects, and this sentence hold:

    objects stored = objects answered for, or named in the log
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import math
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import httpx  # noqa: E402 - the tests' servers and pictures are found by the path above
import pictures  # noqa: E402
from faulty_gcs import (  # noqa: E402
    Answer,
    LoseAnswer,
    Request,
    ResetAfterBody,
    ResetDuringBody,
    Slow,
    running_faulty_gcs,
)
from function_server import FunctionServer, serve, watched_memory  # noqa: E402
from gcs_server import running_gcs_server  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from faulty_gcs import FaultyGcs

BUCKET = "shares-load"
FAULTS = 0.05
# Of the 256 prefixes of shares.
LOST_ANSWERS = ("shares/00/", "shares/01/", "shares/02/", "shares/03/")
NOT_TAKEN_BACK = LOST_ANSWERS[:2]
SHARE = "/api/v2/share-image"
PLATFORMS = ("email", "facebook", "pinterest", "instagram", "instagram_story")


@dataclass
class Tally:
    """What came of the requests so far."""

    statuses: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: list[float] = field(default_factory=list)
    living: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, status: object, seconds: float) -> None:
        """Count one request."""
        with self.lock:
            self.statuses[f"{kind} {status}"] += 1
            self.seconds.append(seconds)

    def some_share(self) -> dict[str, Any] | None:
        """Return a share that lives, None where there is none."""
        with self.lock:
            return random.choice([*self.living.values()]) if self.living else None


class Client:
    """One client with its connection; every method makes one request and tallies it."""

    def __init__(self, server: FunctionServer, tally: Tally) -> None:
        self._server = server
        self._tally = tally
        self._http = httpx.Client(base_url=server.url, timeout=60)
        self._good = _good_pictures()
        self._hostile = _hostile_pictures()

    def share(self) -> None:
        """Share a picture of any format, from an address of its own."""
        answer = self._post("share", random.choice(self._good), _address())
        if answer is not None and answer.status_code == httpx.codes.OK:
            with self._tally.lock:
                self._tally.living[answer.json()["share_id"]] = answer.json()

    def hostile(self) -> None:
        """Send what is no picture, or half of one."""
        self._post("hostile", random.choice(self._hostile), _address())

    def flood(self) -> None:
        """Share a picture, always from the same address."""
        answer = self._post("flood", self._good[0], "203.0.113.9")
        if answer is not None and answer.status_code == httpx.codes.OK:
            with self._tally.lock:
                self._tally.living[answer.json()["share_id"]] = answer.json()

    def give_up(self) -> None:
        """Hang up in the middle of an upload."""
        started = time.perf_counter()
        head = (
            f"POST {SHARE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n"
            f"X-Forwarded-For: {_address()}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        )
        with socket.create_connection(("127.0.0.1", self._server.port), timeout=30) as connection:
            connection.sendall(head.encode() + random.randbytes(random.randrange(200_000)))
        self._tally.add("given up", "-", time.perf_counter() - started)

    def read(self) -> None:
        """Fetch the page, the picture or the card of a share."""
        share = self._tally.some_share()
        if share is not None:
            path = f"/s/{share['share_id']}{random.choice(('', '.jpg', '/card.jpg'))}"
            self._timed("read", lambda: self._http.get(path))

    def take_back(self) -> None:
        """Delete a share."""
        with self._tally.lock:
            if not self._tally.living:
                return
            share_id, share = self._tally.living.popitem()
        headers = {"Authorization": f"Bearer {share['delete_token']}"}
        for _ in range(5):  # until storage has deleted both, as a client would
            answer = self._timed(
                "take back", lambda: self._http.delete(f"{SHARE}/{share_id}", headers=headers)
            )
            if answer is not None and answer.status_code == httpx.codes.NO_CONTENT:
                return

    def _post(self, kind: str, picture: bytes, address: str) -> httpx.Response | None:
        return self._timed(
            kind,
            lambda: self._http.post(
                SHARE,
                data={"platform": random.choice(PLATFORMS)},
                files={"file": picture},
                headers={"X-Forwarded-For": address},
            ),
        )

    def _timed(self, kind: str, request: Callable[[], httpx.Response]) -> httpx.Response | None:
        started = time.perf_counter()
        try:
            answer = request()
        except httpx.TransportError as error:
            self._tally.add(kind, type(error).__name__, time.perf_counter() - started)
            return None
        self._tally.add(kind, _outcome(answer), time.perf_counter() - started)
        return answer


MIX: dict[Callable[[Client], None], int] = {
    Client.share: 50,
    Client.read: 25,
    Client.hostile: 8,
    Client.flood: 8,
    Client.give_up: 5,
    Client.take_back: 4,
}


def _outcome(answer: httpx.Response) -> str:
    """Return the status, and of an error its code."""
    code = "" if answer.is_success else answer.json()["code"]
    return f"{answer.status_code} {code}".strip()


def _address() -> str:
    return f"198.18.{random.randrange(256)}.{random.randrange(256)}"


def _good_pictures() -> list[bytes]:
    size = (1200, 900)
    makers: tuple[Callable[[tuple[int, int]], bytes], ...] = (
        pictures.photo_jpeg,
        pictures.cutout_png,
        pictures.webp,
        pictures.gif,
        pictures.avif,
        pictures.heic,
        pictures.mpo,
    )
    return [*(make(size) for make in makers), pictures.photo_jpeg((4000, 3000))]


def _hostile_pictures() -> list[bytes]:
    photo = pictures.photo_jpeg((640, 480))
    return [b"", b"<html>", photo[: len(photo) // 2], photo[:200] + random.randbytes(5000)]


def main() -> int:
    """Run the load, print the figures, and return 1 where objects and answers differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--memory-budget-mb", type=int, default=512)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        gcs = stack.enter_context(running_gcs_server())
        gcs.make_bucket(BUCKET)
        faulty = stack.enter_context(running_faulty_gcs(gcs.endpoint))
        _plan_faults(faulty)
        env = {
            "GCS_BUCKET_NAME": BUCKET,
            "STORAGE_EMULATOR_HOST": faulty.endpoint,
            "MEMORY_BUDGET_MB": str(options.memory_budget_mb),
        }
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(serve(folder, env))
        tally, peak_bytes = Tally(), stack.enter_context(watched_memory(server))
        started = time.perf_counter()
        _run(server, tally, options.requests, options.clients)
        elapsed_s = time.perf_counter() - started
        _report(tally, elapsed_s, max(peak_bytes), server)
        return _differences(tally, set(gcs.object_names(BUCKET)), server)


def _plan_faults(faulty: FaultyGcs) -> None:
    dice = random.Random(1)
    faulty.add(LoseAnswer(), when=_is_put, times=math.inf)
    faulty.add(ResetAfterBody(), when=_is_tombstone, times=math.inf)
    for fault in (Answer(503), ResetDuringBody(), LoseAnswer(), Slow(0.3)):
        faulty.add(fault, when=lambda _: dice.random() < FAULTS / 4, times=math.inf)


def _is_put(request: Request) -> bool:
    return "ifGenerationMatch=0" in request.path and any(map(request.mentions, LOST_ANSWERS))


def _is_tombstone(request: Request) -> bool:
    return request.method == "POST" and any(map(request.mentions, NOT_TAKEN_BACK))


def _run(server: FunctionServer, tally: Tally, requests: int, clients: int) -> None:
    local = threading.local()

    def one(kind: Callable[[Client], None]) -> None:
        if not hasattr(local, "client"):
            local.client = Client(server, tally)
        kind(local.client)

    kinds = random.choices([*MIX], [*MIX.values()], k=requests)
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, kinds))


def _report(tally: Tally, elapsed_s: float, peak_bytes: int, server: FunctionServer) -> None:
    cuts = statistics.quantiles(tally.seconds, n=100)
    count = len(tally.seconds)
    print(f"{count} requests in {elapsed_s:.0f} s: {count / elapsed_s:.1f} a second")
    print(
        "latency in ms: "
        + ", ".join(f"p{n} {cuts[n - 1] * 1000:.0f}" for n in (50, 90, 99))
        + f", most {max(tally.seconds) * 1000:.0f}"
    )
    print(f"peak memory: {peak_bytes / 1_000_000:.0f} MB; running: {server.process.poll() is None}")
    for name, number in sorted(tally.statuses.items()):
        print(f"  {name:32} {number}")


def _differences(tally: Tally, stored: set[str], server: FunctionServer) -> int:
    """Print whether every answer has its objects, and every object an answer or a line."""
    answered = {name for share in tally.living.values() for name in _object_names(share)}
    lines = map(json.loads, server.log_text().splitlines())
    named = {name for line in lines for name in line.get("left_behind", ())}
    lacking, unknown = answered - stored, stored - answered - named
    print(
        f"{len(tally.living)} shares live; objects stored ({len(stored)}) = objects answered for "
        f"({len(answered & stored)}), or named in the log ({len(stored & named - answered)}): "
        f"{not unknown}; answered without an object: {len(lacking)}"
    )
    return int(bool(lacking or unknown))


def _object_names(share: dict[str, Any]) -> set[str]:
    share_id = share["share_id"]
    renditions = ("picture",) if share["platform"] == "facebook" else ("picture", "card")
    return {f"shares/{share_id[-2:]}/{share_id}/{name}.jpg" for name in renditions}


if __name__ == "__main__":
    sys.exit(main())
