"""The function under faults and load, over real sockets: storage that fails, clients that flood."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pictures
import pytest
from faulty_gcs import (
    Answer,
    FaultyGcs,
    LoseAnswer,
    Request,
    ResetAfterBody,
    ResetBeforeBody,
    ResetDuringBody,
    Slow,
    Stall,
    running_faulty_gcs,
)
from function_server import FunctionServer, free_port, serve, watched_memory
from gcs_server import GcsServer, running_gcs_server
from keys import uuid7
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faulty_gcs import Fault

pytestmark = pytest.mark.slow

SHARE = "/api/v2/share-image"
BUCKET = "shares-test"
UNAVAILABLE = {
    "detail": "Image sharing service temporarily unavailable",
    "code": "storage_unavailable",
}


def share(url: str, photo: bytes, **headers: str) -> httpx.Response:
    return httpx.post(
        url + SHARE,
        data={"platform": "email"},
        files={"file": photo},
        headers=headers,
        timeout=60,
    )


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsServer]:
    with running_gcs_server() as running:
        running.make_bucket(BUCKET)
        yield running


@pytest.fixture(scope="module")
def faulty(gcs: GcsServer) -> Iterator[FaultyGcs]:
    with running_faulty_gcs(gcs.endpoint) as running:
        yield running


@pytest.fixture(scope="module")
def function(
    faulty: FaultyGcs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FunctionServer]:
    env = {
        "GCS_BUCKET_NAME": BUCKET,
        "STORAGE_EMULATOR_HOST": faulty.endpoint,
        "RATE_LIMIT": "100000/hour",
    }
    with serve(tmp_path_factory.mktemp("function"), env) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_fault_is_left_over(faulty: FaultyGcs) -> Iterator[None]:
    yield
    faulty.clear()


def is_card(request: Request) -> bool:
    return request.mentions("card.jpg")


def is_put(request: Request) -> bool:
    return "ifGenerationMatch=0" in request.path  # a tombstone replaces whatever there is


def named(fault: Fault) -> str:
    return f"{type(fault).__name__}{getattr(fault, 'status', '')}"


class TestStorageFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            Answer(500),
            Answer(502),
            Answer(503),
            Answer(429),
            Answer(408),
            ResetBeforeBody(),
            ResetDuringBody(),
            ResetAfterBody(),
            LoseAnswer(),
            Slow(1.0),
        ],
        ids=named,
    )
    def test_a_fault_that_passes_is_not_noticed(
        self, function: FunctionServer, faulty: FaultyGcs, photo: bytes, fault: Fault
    ) -> None:
        faulty.add(fault)
        answer = share(function.url, photo)
        assert answer.status_code == 200
        for name in ("url", "card_url", "page_url"):
            assert httpx.get(answer.json()[name]).status_code == 200

    @pytest.mark.parametrize(
        "fault",
        [Answer(500), Answer(401), Answer(403), Answer(404), Stall()],
        ids=named,
    )
    def test_a_fault_that_stays_is_the_contracts_503_and_leaves_nothing(
        self,
        function: FunctionServer,
        faulty: FaultyGcs,
        gcs: GcsServer,
        photo: bytes,
        fault: Fault,
    ) -> None:
        before = gcs.object_names(BUCKET)
        faulty.add(
            fault, when=lambda r: is_put(r) and is_card(r), times=math.inf
        )  # the picture is stored, its card is not
        started = time.monotonic()
        answer = share(function.url, photo, Origin="https://shop.example")
        assert time.monotonic() - started < 20
        assert (answer.status_code, answer.json()) == (503, UNAVAILABLE)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert gcs.object_names(BUCKET) == before
        line = json.loads(function.log_text().splitlines()[-1])
        assert line["code"] == "storage_unavailable"
        assert line["reason"]

    def test_what_could_not_be_taken_back_is_named_in_the_log(
        self, function: FunctionServer, faulty: FaultyGcs, gcs: GcsServer, photo: bytes
    ) -> None:
        before = set(gcs.object_names(BUCKET))
        faulty.add(Answer(403), when=lambda r: is_card(r) or not is_put(r), times=math.inf)
        assert share(function.url, photo).status_code == 503
        (left,) = set(gcs.object_names(BUCKET)) - before
        line = json.loads(function.log_text().splitlines()[-1])
        assert left in line["left_behind"]
        assert "403" in line["left_behind_reason"]

    def test_a_retry_with_its_key_completes_what_failed(
        self, function: FunctionServer, faulty: FaultyGcs, photo: bytes
    ) -> None:
        key = uuid7()
        faulty.add(Answer(403), when=is_card, times=math.inf)
        assert share(function.url, photo, **{"Idempotency-Key": key}).status_code == 503
        line = json.loads(function.log_text().splitlines()[-1])
        assert [name.rpartition("/")[2] for name in line["left_for_retry"]] == [
            "picture.jpg",
            "card.jpg",
        ]
        faulty.clear()
        answer = share(function.url, photo, **{"Idempotency-Key": key})
        assert answer.status_code == 200
        assert httpx.get(answer.json()["card_url"]).status_code == 200

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_reading_through_a_storage_that_refuses_is_a_503(
        self, function: FunctionServer, faulty: FaultyGcs, method: str
    ) -> None:
        faulty.add(Answer(403), times=math.inf)
        answer = httpx.request(method, f"{function.url}/s/{uuid7()}.jpg")
        assert answer.status_code == 503
        assert answer.headers["Cache-Control"] == "no-store"

    def test_a_storage_that_has_no_address_is_a_503_while_health_is_green(
        self, photo: bytes, tmp_path: Path
    ) -> None:
        env = {"GCS_BUCKET_NAME": BUCKET, "STORAGE_EMULATOR_HOST": "http://storage.invalid"}
        with serve(tmp_path, env) as running:
            started = time.monotonic()
            assert share(running.url, photo).json() == UNAVAILABLE
            assert time.monotonic() - started < 20
            assert httpx.get(f"{running.url}/health").status_code == 200

    def test_missing_credentials_are_a_503_and_named_in_the_log(
        self, photo: bytes, tmp_path: Path
    ) -> None:
        env = {
            "GCS_BUCKET_NAME": BUCKET,
            "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json"),
        }
        with serve(tmp_path, env) as running:
            started = time.monotonic()
            assert share(running.url, photo).json() == UNAVAILABLE
            assert time.monotonic() - started < 20
            assert "none.json" in running.log_text()


class TestRateLimit:
    def test_a_flood_from_one_address_is_told_when_to_come_back(
        self, photo: bytes, tmp_path: Path
    ) -> None:
        with serve(tmp_path, {"RATE_LIMIT": "2/day"}) as running:
            statuses = []
            for n in range(4):
                answer = share(
                    running.url,
                    photo,
                    Origin="https://shop.example",
                    **{"X-Forwarded-For": f"6.6.6.{n}, 1.2.3.4"},
                )
                statuses.append(answer.status_code)
            assert statuses == [200, 200, 429, 429]
            assert answer.json()["code"] == "too_many_requests"
            assert 0 < int(answer.headers["Retry-After"]) <= 86_400
            assert answer.headers["RateLimit-Policy"] == '"share";q=2;w=86400'
            exposed = answer.headers["Access-Control-Expose-Headers"]
            assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(exposed.split(", "))
            other = share(running.url, photo, **{"X-Forwarded-For": "1.2.3.4, 1.2.3.5"})
            assert other.status_code == 200
            assert other.headers["RateLimit"].startswith('"share";r=1;')

    def test_it_is_counted_before_the_body_is_read(self, tmp_path: Path) -> None:
        with serve(tmp_path, {"RATE_LIMIT": "1/hour"}) as running:
            share(running.url, b"x")
            with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
                connection.sendall(
                    f"POST {SHARE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
                    "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
                )
                assert connection.recv(12) == b"HTTP/1.1 429"

    def test_instances_count_together_in_redis_and_go_on_without_it(
        self, photo: bytes, tmp_path: Path
    ) -> None:
        port = free_port()
        env = {"RATE_LIMIT": "3/hour", "RATE_LIMIT_STORAGE_URI": f"redis://127.0.0.1:{port}/0"}
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        with contextlib.ExitStack() as stack:
            redis = stack.enter_context(running_redis(port, tmp_path))
            first = stack.enter_context(serve(tmp_path / "a", env))
            second = stack.enter_context(serve(tmp_path / "b", env))
            urls = (first.url, second.url, first.url, second.url)
            assert [share(url, photo).status_code for url in urls] == [200, 200, 200, 429]
            assert health(first)["rate_limit"] == "shared"
            redis.kill()
            redis.wait()
            assert [share(first.url, photo).status_code for _ in range(4)] == [200, 200, 200, 429]
            assert first.log_text().count("counting in memory") == 1
            assert health(first)["rate_limit"] == "unreachable"


def health(function: FunctionServer) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{function.url}/health").json()
    return answer


@contextlib.contextmanager
def running_redis(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start Debian's redis-server on a port of the loopback interface."""
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


class TestMemory:
    def test_a_flood_of_huge_photos_stays_within_the_budget_and_small_ones_flow(
        self, photo: bytes, tmp_path: Path
    ) -> None:
        huge = pictures.photo_jpeg((8660, 5770))  # 50 megapixels
        budget_mb = 512
        env = {"MEMORY_BUDGET_MB": str(budget_mb), "RATE_LIMIT": "100000/hour", "THREADS": "8"}
        with serve(tmp_path, env) as running, ThreadPoolExecutor(32) as pool:
            with watched_memory(running) as peak_bytes:
                floods = [pool.submit(share, running.url, huge) for _ in range(16)]
                small = []
                while not all(flood.done() for flood in floods):
                    small.append(share(running.url, photo).status_code)
                    time.sleep(0.1)  # a client that tries again, not one that hammers
                statuses = [flood.result().status_code for flood in floods]
            assert running.process.poll() is None
            assert set(statuses) <= {200, 429, 503}
            assert statuses.count(200) >= 1
            assert set(small) <= {200, 503}
            assert small.count(200) >= 2
            assert max(peak_bytes) < budget_mb * 1_000_000

    def test_a_picture_that_can_never_fit_is_refused_and_says_so(self, tmp_path: Path) -> None:
        with serve(tmp_path, {"MEMORY_BUDGET_MB": "190"}) as running:
            answer = share(running.url, pictures.encoded(Image.new("RGB", (7000, 7000)), "PNG"))
            assert (answer.status_code, answer.json()["code"]) == (400, "image_too_complex")


def test_clients_that_trickle_do_not_keep_the_function_from_serving(
    photo: bytes, tmp_path: Path
) -> None:
    head = (
        f"POST {SHARE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    with serve(tmp_path, {"THREADS": "4"}) as running, contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=30))
            for _ in range(4)
        ]
        started = time.monotonic()
        for connection in slow:
            connection.sendall(head.encode() + b"-")
        trickle = threading.Thread(target=_trickle, args=(slow,), daemon=True)
        trickle.start()
        assert share(running.url, photo).status_code == 200
        waited_s = time.monotonic() - started
        assert waited_s < 15
        statuses = {connection.recv(12) for connection in slow}
        assert statuses == {b"HTTP/1.1 408"}


class TestSlowReaders:
    def test_clients_that_do_not_read_are_cut_off_and_leave_no_trace(self, tmp_path: Path) -> None:
        threads = 4  # all there are
        with serve(tmp_path, {"THREADS": str(threads)}) as running, contextlib.ExitStack() as stack:
            for _ in range(threads):
                stack.enter_context(asking_without_reading(running, times=3000))
            deadline = time.monotonic() + 60
            while len(cut := cut_off(running)) < threads and time.monotonic() < deadline:
                time.sleep(0.1)
            started = time.monotonic()
            assert httpx.get(f"{running.url}/health", timeout=60).status_code == 200
            assert time.monotonic() - started < 4, "closing them holds nobody up"
            assert [line["severity"] for line in cut] == ["WARNING"] * threads
            assert "Traceback" not in running.log_text()

    def test_a_client_that_reads_little_at_a_time_gets_all_of_it(self, tmp_path: Path) -> None:
        with serve(tmp_path) as running, asking_without_reading(running, times=50) as connection:
            received = b"".join(iter(lambda: connection.recv(4096), b""))
            assert received.count(b"HTTP/1.1 200 OK") == 50
            assert cut_off(running) == []


@contextlib.contextmanager
def asking_without_reading(running: FunctionServer, times: int) -> Iterator[socket.socket]:
    """Ask many times on one connection, so that the answers fill all buffers on the way."""
    request = b"GET /share-image.js HTTP/1.1\r\nHost: x\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall((request + b"\r\n") * (times - 1) + request)
        connection.sendall(b"Connection: close\r\n\r\n")
        yield connection


def cut_off(running: FunctionServer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in running.log_text().splitlines() if " cut off" in line]


def _trickle(connections: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):
        for _ in range(200):
            time.sleep(0.1)
            for connection in connections:
                connection.sendall(b"-")


def test_what_is_in_flight_when_the_instance_is_stopped_is_answered(
    faulty: FaultyGcs, photo: bytes, tmp_path: Path
) -> None:
    env = {"GCS_BUCKET_NAME": BUCKET, "STORAGE_EMULATOR_HOST": faulty.endpoint}
    with serve(tmp_path, env) as running, ThreadPoolExecutor(1) as pool:
        share(running.url, photo)
        faulty.add(Slow(3.0), times=2)
        answer = pool.submit(share, running.url, photo)
        time.sleep(1.0)
        stopped = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert answer.result().status_code == 200
        running.process.wait(timeout=10)
        assert time.monotonic() - stopped < 10
