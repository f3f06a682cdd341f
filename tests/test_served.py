"""The function under gunicorn, over a real socket: what only the wire shows."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pictures
import psutil
import pytest
from faulty_gcs import FaultyGcs, running_faulty_gcs
from function_server import (
    ROOT,
    SCRIPTS_SERVE,
    FunctionServer,
    free_port,
    serve,
    start,
)
from gcs_server import running_gcs_server
from keys import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SHARE = "/api/v2/share-image"
HEAD = f"POST {SHARE} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://shop.example\r\n"
MULTIPART = "Content-Type: multipart/form-data; boundary=b\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'


def answer_on(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer off a raw connection: status, header fields in lower case, body."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, stream.read(int(headers.get("content-length", 0)))


@pytest.fixture
def connection(server: FunctionServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
        yield opened


def assert_too_large(status: int, headers: dict[str, str], body: bytes) -> None:
    assert status == 400
    assert headers["content-type"] == "application/json"
    assert headers["access-control-allow-origin"] == "*"
    assert json.loads(body) == {
        "detail": "File too large for sharing (max 2MB)",
        "code": "file_too_large",
    }


def test_a_body_that_announces_too_much_is_refused_unread(connection: socket.socket) -> None:
    connection.sendall(f"{HEAD}{MULTIPART}Content-Length: 1000000000\r\n\r\n".encode() + PART)
    started = time.monotonic()
    assert_too_large(*answer_on(connection))
    assert time.monotonic() - started < 1.5


def test_a_chunked_body_is_refused_where_it_passes_the_limit(connection: socket.socket) -> None:
    connection.sendall(f"{HEAD}{MULTIPART}Transfer-Encoding: chunked\r\n\r\n".encode())
    connection.sendall(b"%x\r\n%s\r\n" % (len(PART), PART))
    piece = b"%x\r\n%s\r\n" % (100_000, bytes(100_000))
    for _ in range(21):  # past 2 MB and the form's own 64 kB, and never ended
        connection.sendall(piece)
    assert_too_large(*answer_on(connection))


def test_a_client_that_sends_it_all_before_it_reads_still_gets_the_answer(
    http: httpx.Client,
) -> None:
    files = {"file": ("a.jpg", bytes(12_000_000), "image/jpeg")}
    answer = http.post(SHARE, data={"platform": "x"}, files=files)
    assert (answer.status_code, answer.json()["code"]) == (400, "file_too_large")


def test_a_chunked_form_is_read_like_any_other(http: httpx.Client, photo: bytes) -> None:
    body = (
        PART + photo + b'\r\n--b\r\nContent-Disposition: form-data; name="platform"\r\n\r\nemail'
        b"\r\n--b--\r\n"
    )
    pieces = (body[n : n + 1000] for n in range(0, len(body), 1000))
    answer = http.post(
        SHARE, content=pieces, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/health", "/nothing", "/robots.txt", "//x"])
def test_a_body_that_nobody_wants_takes_no_memory(
    server: FunctionServer, connection: socket.socket, path: str
) -> None:
    before = memory_of(server)
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    piece = b"%x\r\n%s\r\n" % (1_000_000, bytes(1_000_000))
    try:
        for _ in range(100):
            connection.sendall(piece)
    except OSError:
        pass  # it hung up on us, as it may
    assert memory_of(server) - before < 50_000_000


@pytest.mark.parametrize(
    "path",
    [
        "//",
        f"/{SHARE}",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/health",
        "/s/%2e%2e/%2e%2e/x.jpg",
        "/%00",
        "/%ff%fe",
        "/static/x",
        "/" + "a" * 7000,
    ],
)
def test_tricks_with_the_path_are_not_found_in_json(connection: socket.socket, path: str) -> None:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    status, headers, body = answer_on(connection)
    assert (status, json.loads(body)["code"]) == (404, "not_found")
    assert headers["access-control-allow-origin"] == "*"


def test_scripts_serve_limits_the_request_line_where_the_framework_does_not(
    tmp_path: Path,
) -> None:
    assert " ".join(SCRIPTS_SERVE[:2]) in (ROOT / "scripts/serve").read_text()
    with serve(tmp_path, program=SCRIPTS_SERVE) as running:
        lengths = (8190, 8191, 30_000)
        assert [status_of_request_line(running, length) for length in lengths] == [404, 414, 414]


def status_of_request_line(running: FunctionServer, length: int) -> int:
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        line = b"GET /%s HTTP/1.1" % (b"a" * (length - len("GET / HTTP/1.1")))
        with contextlib.suppress(OSError):  # it hung up on us, as it may
            connection.sendall(line + b"\r\nHost: localhost\r\n\r\n")
        return int(connection.recv(12).split()[1])


def memory_of(server: FunctionServer) -> int:
    root = psutil.Process(server.process.pid)
    return sum(p.memory_info().rss for p in (root, *root.children(recursive=True)))


def test_a_client_that_vanishes_half_way_leaves_the_function_serving(
    server: FunctionServer, http: httpx.Client
) -> None:
    for head in ("Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nfff\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(f"{HEAD}{MULTIPART}{head}".encode() + PART)
    assert http.get("/health").status_code == 200


@pytest.mark.parametrize("chunk", ["zz\r\nabc\r\n", "3\r\nabcdef\r\n", "-1\r\n"])
def test_a_broken_chunk_is_a_broken_form(connection: socket.socket, chunk: str) -> None:
    connection.sendall(f"{HEAD}{MULTIPART}Transfer-Encoding: chunked\r\n\r\n{chunk}".encode())
    status, headers, body = answer_on(connection)
    assert (status, json.loads(body)["code"]) == (400, "malformed_form")
    assert headers["access-control-allow-origin"] == "*"


def test_a_foreign_origin_is_refused_before_its_body_arrives(tmp_path: Path) -> None:
    with (
        serve(tmp_path, {"ALLOWED_ORIGINS": "https://other.example"}) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection,
    ):
        connection.sendall(f"{HEAD}{MULTIPART}Content-Length: 1000\r\n\r\n".encode())
        status, _, body = answer_on(connection)
        assert (status, json.loads(body)["code"]) == (403, "origin_not_allowed")


def test_two_posts_with_one_key_at_once_are_one_share(http: httpx.Client, photo: bytes) -> None:
    key = uuid7()

    def post(_: int) -> dict[str, object]:
        answer = http.post(
            SHARE,
            data={"platform": "email"},
            files={"file": photo},
            headers={"Idempotency-Key": key},
        )
        assert answer.status_code == 200
        share: dict[str, object] = answer.json()
        share.pop("processing_time")
        return share

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(post, range(4)))
    assert shares == [shares[0]] * 4


def test_the_function_refuses_to_start_and_names_what_is_wrong(tmp_path: Path) -> None:
    log = tmp_path / "log"
    env = {"K_SERVICE": "share-image", "SHARE_TTL_HOURS": "soon"}
    with log.open("wb") as stream:
        process = start(free_port(), tmp_path, env, ROOT, stream)
        assert process.wait(timeout=30) != 0
    text = log.read_text()
    assert "GCS_BUCKET_NAME: found ''" in text
    assert "SHARE_TTL_HOURS: found 'soon'" in text


@pytest.fixture(scope="module")
def faulty() -> Iterator[FaultyGcs]:
    with running_gcs_server() as gcs:
        gcs.make_bucket("shares-test")
        with running_faulty_gcs(gcs.endpoint) as proxy:
            yield proxy


@pytest.fixture(scope="module")
def bucket_server(
    faulty: FaultyGcs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FunctionServer]:
    env = {"GCS_BUCKET_NAME": "shares-test", "STORAGE_EMULATOR_HOST": faulty.endpoint}
    with serve(tmp_path_factory.mktemp("bucket"), env) as running:
        yield running


def share_through(server: FunctionServer, photo: bytes, platform: str) -> dict[str, str]:
    answer = httpx.post(
        server.url + SHARE, data={"platform": platform}, files={"file": photo}, timeout=30
    )
    assert answer.status_code == 200
    shared: dict[str, str] = answer.json()
    return shared


@pytest.mark.parametrize(("platform", "puts"), [("facebook", 1), ("email", 2)])
def test_a_share_is_one_storage_call_an_object_and_so_are_all_its_views(
    bucket_server: FunctionServer,
    faulty: FaultyGcs,
    photo: bytes,
    platform: str,
    puts: int,
) -> None:
    share_through(bucket_server, photo, platform)
    faulty.clear()
    share = share_through(bucket_server, photo, platform)
    assert faulty.methods() == ["POST"] * puts
    objects = {share["url"]: "picture", share["card_url"]: "picture" if puts == 1 else "card"}
    read = set()
    for url, name in objects.items():
        for method in ("GET", "HEAD") * 2:
            faulty.clear()
            assert httpx.request(method, url).status_code == 200
            assert faulty.methods() == ([] if (method, name) in read else ["GET"])
            read.add((method, name))


def test_a_bucket_that_is_missing_is_the_contracts_503(
    faulty: FaultyGcs, photo: bytes, tmp_path: Path
) -> None:
    env = {"GCS_BUCKET_NAME": "not-there", "STORAGE_EMULATOR_HOST": faulty.endpoint}
    with serve(tmp_path, env) as server:
        answer = httpx.post(
            server.url + SHARE, data={"platform": "x"}, files={"file": photo}, timeout=30
        )
        assert httpx.get(server.url + "/health").status_code == 200
        assert "not-there" in server.log_text()
    assert answer.status_code == 503
    assert "not-there" not in answer.text


def test_a_picture_that_ends_its_decoder_is_a_400_and_nobody_else_notices(tmp_path: Path) -> None:
    killer = pictures.heic_with_exif(item_type=b"\xaaxif")
    files = [
        killer,
        pictures.heic((64, 64)),
        pictures.photo_jpeg((64, 64)),
        pictures.webp((64, 64)),
    ]
    with serve(tmp_path) as server, ThreadPoolExecutor(8) as pool:
        children = psutil.Process(server.process.pid).children()

        def post(number: int) -> tuple[int, str | None]:
            answer = httpx.post(
                f"{server.url}{SHARE}",
                files={"file": ("a", files[number % 4])},
                data={"platform": "email"},
                timeout=60,
            )
            return answer.status_code, answer.json().get("code")

        answers = list(pool.map(post, range(40)))
        assert psutil.Process(server.process.pid).children() == children
        log = server.log_text()
    assert [answers[n] for n in range(0, 40, 4)] == [(400, "corrupt_image")] * 10
    assert {answers[n] for n in range(40) if n % 4} == {(200, None)}
    assert log.count("the decoder crashed: SIGSEGV") == 10


OLD_LIMIT = (2000, 2000)
OLD_LIMIT_FILES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: pictures.photo_jpeg(OLD_LIMIT),
    "progressive JPEG": lambda: pictures.photo_jpeg(OLD_LIMIT, progressive=True, subsampling=0),
    "CMYK JPEG": lambda: pictures.cmyk_jpeg(OLD_LIMIT),
    "PNG": lambda: pictures.photo_png(OLD_LIMIT),
    "16-bit PNG": lambda: pictures.deep_png(OLD_LIMIT),
    "cut-out": lambda: pictures.cutout_png(OLD_LIMIT),
    "GIF": lambda: pictures.gif(OLD_LIMIT, 3),
    "WEBP": lambda: pictures.webp(OLD_LIMIT, alpha=True),
    "animated WEBP": lambda: pictures.animated_webp(OLD_LIMIT),
    "AVIF": lambda: pictures.avif(OLD_LIMIT, alpha=True),
    "HEIC": lambda: pictures.heic((1600, 1200)),  # the largest that the tests can make
}


def test_what_the_replaced_endpoint_took_is_never_refused_at_512_megabytes(tmp_path: Path) -> None:
    """5 MB and 2000 x 2000 px, in every format, on the largest canvas there is."""
    with serve(tmp_path, {"MEMORY_BUDGET_MB": "512"}) as server:
        answers = {
            name: httpx.post(
                f"{server.url}{SHARE}",
                files={"file": ("a", make())},
                data={"platform": "tiktok", "fit": "cover"},
                timeout=60,
            ).status_code
            for name, make in OLD_LIMIT_FILES.items()
        }
    assert answers == dict.fromkeys(OLD_LIMIT_FILES, 200)
