"""What every answer keeps to, on each way through the function: what no single feature guards."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from flask import Request
from keys import uuid7
from posting import SHARE, SHOP, post
from test_pages import BROWSER, HOSTILE, Page
from werkzeug.test import create_environ

from config import load_settings
from main import Service

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeClient
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

BASE_URL = "https://share.example"
CLOUD = {"K_SERVICE": "share-image", "GCS_BUCKET_NAME": "shares-test"}
CLIENT = {"REMOTE_ADDR": "192.0.2.1"}
FORM = "multipart/form-data; boundary=b"
URLENCODED = "application/x-www-form-urlencoded"


# --- what is refused, before its body is read


class Body(io.RawIOBase):
    """A request's body of 40 MB that tells how much of it was read."""

    def __init__(self) -> None:
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = min(size, 40_000_000 - self.bytes_read)
        self.bytes_read += size
        return b"x" * size


def posted(body: Body, length: int, content_type: str, headers: dict[str, str]) -> Request:
    environ = create_environ(SHARE, method="POST", headers=headers)
    stream = {"wsgi.input": body, "CONTENT_LENGTH": str(length), "CONTENT_TYPE": content_type}
    return Request(environ | stream | CLIENT)


@pytest.mark.parametrize(
    ("code", "settings", "headers", "length", "content_type"),
    [
        ("origin_not_allowed", {"ALLOWED_ORIGINS": SHOP}, {"Origin": "https://x.y"}, 99, FORM),
        ("too_many_requests", {"RATE_LIMIT": "1/hour"}, {}, 99, FORM),
        ("invalid_fields", {}, {"Idempotency-Key": uuid7(age_s=400)}, 99, FORM),
        ("invalid_fields", {}, {"Idempotency-Key": uuid7(age_s=-4000)}, 99, FORM),
        ("image_too_complex", {"MEMORY_BUDGET_MB": "1"}, {}, 99, FORM),
        ("file_too_large", {"MAX_UPLOAD_MB": "1"}, {}, 1_064_001, FORM),
        ("file_too_large", {}, {}, 64_001, URLENCODED),
        ("missing_boundary", {}, {}, 99, "multipart/form-data"),
    ],
    ids=["origin", "rate", "stale key", "key ahead", "memory", "size", "urlencoded", "boundary"],
)
def test_what_can_be_refused_by_its_header_is_refused_before_its_body_is_read(
    tmp_path: Path,
    code: str,
    settings: dict[str, str],
    headers: dict[str, str],
    length: int,
    content_type: str,
) -> None:
    service = Service(load_settings({"LOCAL_STORAGE_DIR": str(tmp_path), **settings}))
    if code == "too_many_requests":
        service.answer(Request(create_environ(SHARE, method="POST") | CLIENT)).close()
    body = Body()
    answer = service.answer(posted(body, length, content_type, headers))
    assert body.bytes_read == 0
    assert code in answer.get_data(as_text=True)


def test_what_the_client_still_sends_is_read_behind_the_answer_up_to_a_limit(
    tmp_path: Path,
) -> None:
    service = Service(load_settings({"LOCAL_STORAGE_DIR": str(tmp_path)}))
    body = Body()
    answer = service.answer(posted(body, 10**9, FORM, {}))
    parts = iter(answer.response)
    next(parts)
    assert body.bytes_read == 0
    assert list(parts) == []
    assert body.bytes_read == 32_000_000


# --- what is counted, and whose


def test_the_limit_counts_each_request_that_is_let_in(make_client: MakeClient) -> None:
    client = make_client(RATE_LIMIT="2/hour")
    answers = [client.post(path) for path in (SHARE + "/", "/", SHARE)]
    assert [answer.status_code for answer in answers] == [422, 422, 429]
    assert answers[2].headers["RateLimit-Policy"] == '"share";q=2;w=3600'
    assert int(answers[2].headers["Retry-After"]) > 0


def test_a_share_tells_what_is_left_of_the_limit(make_client: MakeClient, photo: bytes) -> None:
    answer = post(make_client(RATE_LIMIT="2/hour"), photo, platform="email")
    assert answer.headers["RateLimit"].startswith('"share";r=1;t=')


@pytest.mark.parametrize(("hops", "statuses"), [("0", [422, 429]), ("1", [422, 422])])
def test_clients_are_told_apart_by_what_trusted_proxies_say_alone(
    make_client: MakeClient, hops: str, statuses: list[int]
) -> None:
    client = make_client(RATE_LIMIT="1/hour", TRUSTED_PROXY_HOPS=hops)
    found = [
        client.post(SHARE, headers={"X-Forwarded-For": address}).status_code
        for address in ("192.0.2.1", "192.0.2.2")
    ]
    assert found == statuses


def test_a_page_of_a_foreign_origin_takes_nothing_back(
    make_client: MakeClient, photo: bytes
) -> None:
    client = make_client(ALLOWED_ORIGINS=SHOP)
    share = post(client, photo, platform="email").get_json()
    way = f"{SHARE}/{share['share_id']}"
    token = {"Authorization": f"Bearer {share['delete_token']}"}
    foreign = client.delete(way, headers={**token, "Origin": "https://evil.example"})
    assert (foreign.status_code, foreign.get_json()["code"]) == (403, "origin_not_allowed")
    assert client.get(f"/s/{share['share_id']}.jpg").status_code == 200
    assert client.delete(way, headers={**token, "Origin": SHOP}).status_code == 204


# --- what caches may keep


@pytest.fixture
def kept(make_client: MakeClient) -> FlaskClient:
    return make_client(PUBLIC_BASE_URL=BASE_URL, STORE_NAME="<b>Paws</b>")


def ways(share_id: str) -> dict[tuple[str, str], str]:
    """Return all that caches may keep, and how; everything else is no-store."""
    client = "public, max-age=300, stale-while-revalidate=86400"
    return {
        ("GET", f"/s/{share_id}"): "public, max-age=300",
        ("GET", f"/s/{share_id}.jpg"): "public, max-age=300",
        ("GET", f"/s/{share_id}/card.jpg"): "public, max-age=300",
        ("GET", f"/s/{uuid7(age_s=90_000)}/card.jpg"): "public, max-age=300",
        ("GET", "/share-image.js"): client,
        ("GET", "/share-image.js.map"): client,
        ("GET", "/share-image.d.ts"): client,
        ("GET", "/texts/de.json"): client,
        ("GET", "/"): "no-cache",
        ("GET", "/demo.js"): "no-cache",
        ("GET", "/demo.css"): "no-cache",
        ("GET", "/openapi.json"): "no-cache",
        ("GET", "/health"): "no-store",
        ("GET", "/nothing"): "no-store",
        ("GET", f"/s/{uuid7()}"): "no-store",
        ("GET", f"/s/{uuid7()}.jpg"): "no-store",
        ("GET", f"/s/{uuid7(age_s=90_000)}"): "no-store",
        ("GET", f"/s/{uuid7(age_s=90_000)}.jpg"): "no-store",
        ("POST", SHARE): "no-store",
        ("PUT", SHARE): "no-store",
        ("OPTIONS", SHARE): "no-store",
        ("DELETE", f"{SHARE}/{share_id}"): "no-store",
    }


def test_caches_keep_what_is_listed_and_nothing_else(kept: FlaskClient, photo: bytes) -> None:
    made = post(kept, photo, platform="email")
    share = made.get_json()
    assert made.headers["Cache-Control"] == "no-store", "it holds the delete_token"
    for (method, path), expected in ways(share["share_id"]).items():
        for verb in {method, "HEAD" if method == "GET" else method}:
            answer = kept.open(path, method=verb)
            assert answer.headers["Cache-Control"] == expected, (verb, path)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_no_cache_keeps_a_page_longer_than_it_lives(make_client: MakeClient, photo: bytes) -> None:
    client = make_client(SHARE_TTL_HOURS=str(60 / 3600), PUBLIC_BASE_URL=BASE_URL)
    share = post(client, photo, platform="email").get_json()
    for way in ("", ".jpg", "/card.jpg"):
        kept = client.get(f"/s/{share['share_id']}{way}").headers["Cache-Control"]
        assert 0 <= int(kept.removeprefix("public, max-age=")) <= 60


def test_without_a_public_base_url_a_page_is_its_visitor_s_alone(
    client: FlaskClient, photo: bytes
) -> None:
    share = post(client, photo, platform="email").get_json()
    page = client.get(f"/s/{share['share_id']}")
    assert page.headers["Cache-Control"] == "private, max-age=300"


# --- what pages say, and what they may do


def pages(client: FlaskClient, photo: bytes) -> dict[int, list[TestResponse]]:
    """Return a page of each kind, by status."""
    live = post(client, photo, platform="email").get_json()
    gone = post(client, photo, platform="email").get_json()
    token = {"Authorization": f"Bearer {gone['delete_token']}"}
    client.delete(f"{SHARE}/{gone['share_id']}", headers=token)
    ids = (live["share_id"], gone["share_id"], uuid7(age_s=90_000), uuid7(), "nonsense")
    found: dict[int, list[TestResponse]] = {}
    for share_id in ids:
        answer = client.get(f"/s/{share_id}", headers=BROWSER)
        found.setdefault(answer.status_code, []).append(answer)
    assert {status: len(answers) for status, answers in found.items()} == {200: 1, 410: 2, 404: 2}
    return found


def test_every_page_may_do_as_little(kept: FlaskClient, photo: bytes) -> None:
    for page in chain(*pages(kept, photo).values()):
        assert page.mimetype == "text/html"
        policy = dict(
            directive.strip().split(" ", 1)
            for directive in page.headers["Content-Security-Policy"].split(";")
        )
        style = policy.pop("style-src")
        assert style.startswith("'sha256-")
        assert " " not in style
        assert policy == {
            "default-src": "'none'",
            "img-src": "'self' data:",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert page.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
        assert page.headers["X-Robots-Tag"] == "noindex"


def test_no_text_of_a_setting_becomes_markup(make_client: MakeClient, photo: bytes) -> None:
    client = make_client(
        STORE_NAME=HOSTILE.replace("\u202e", ""),
        STORE_URL="https://shop.example/?a='",
        CONTACT_URL="mailto:a@shop.example?subject='&lt;b",
        PUBLIC_BASE_URL=BASE_URL,
    )
    for page in chain(*pages(client, photo).values()):
        assert not {"b", "script"} & {*Page(page.text).tags}
        assert "<b>" not in page.text


def test_a_page_says_when_its_share_ends(kept: FlaskClient, photo: bytes) -> None:
    share = post(kept, photo, platform="email").get_json()
    ends_at = datetime.fromtimestamp(share["expires_at"], UTC)
    text = kept.get(f"/s/{share['share_id']}").text
    assert f'datetime="{ends_at.isoformat()}"' in text


# --- https


def test_in_the_cloud_every_address_is_https_and_browsers_are_told_to_stay_there(
    make_client: MakeClient,
) -> None:
    client = make_client(ALLOWED_ORIGINS=SHOP, **CLOUD)
    host = {"Host": "x.run.app"}
    late = client.get(f"/s/{uuid7(age_s=90_000)}", headers={**host, **BROWSER})
    assert urlsplit(Page(late.text).metas["og:image"])[:2] == ("https", "x.run.app")
    assert late.headers["Strict-Transport-Security"] == "max-age=31536000"
    for origin, allowed in (("https://x.run.app", True), ("http://x.run.app", False)):
        answer = client.options(SHARE, headers={**host, "Origin": origin})
        assert ("Access-Control-Allow-Origin" in answer.headers) == allowed


def test_browsers_are_not_told_to_stay_with_https_where_there_is_none(client: FlaskClient) -> None:
    assert "Strict-Transport-Security" not in client.get("/health").headers


# --- what the framework would answer by itself


@pytest.mark.parametrize("path", ["//health", "/s//x.jpg", "/health/", "/health//"])
def test_a_path_is_never_tidied_by_a_redirect(client: FlaskClient, path: str) -> None:
    answer = client.get("/", environ_overrides={"PATH_INFO": path, "REQUEST_URI": path})
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


# --- settings, as they take effect


def test_health_tells_a_part_of_an_hour(make_client: MakeClient) -> None:
    health = make_client(SHARE_TTL_HOURS="0.5").get("/health").get_json()
    assert health["share_ttl_hours"] == 0.5


@pytest.mark.parametrize(("threads", "waiting"), [("1", 1), ("3", 1), ("8", 4)])
def test_half_of_the_threads_may_wait_for_memory(
    tmp_path: Path, threads: str, waiting: int
) -> None:
    env = {"THREADS": threads, "LOCAL_STORAGE_DIR": str(tmp_path)}
    assert Service(load_settings(env))._memory._max_waiting == waiting  # noqa: SLF001


# --- a body of unknown length


def chunked(client: FlaskClient, form: httpx.Request, **environ: Any) -> TestResponse:  # noqa: ANN401
    return client.post(
        SHARE,
        input_stream=io.BytesIO(form.read()),
        content_type=form.headers["Content-Type"],
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True, **environ},
    )


def test_a_chunked_body_is_read_to_the_limit_and_not_beyond(make_client: MakeClient) -> None:
    client = make_client(MAX_UPLOAD_MB="1")
    body = httpx.Request("POST", "/", data={"platform": "x"}, files={"file": b"x" * 2_000_000})
    answer = chunked(client, body)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "file_too_large")


def test_a_chunked_body_takes_the_memory_of_the_largest_one(make_client: MakeClient) -> None:
    client = make_client(MEMORY_BUDGET_MB="1")
    answer = chunked(client, httpx.Request("POST", "/", files={"file": b"x"}))
    assert answer.get_json()["code"] == "image_too_complex"
