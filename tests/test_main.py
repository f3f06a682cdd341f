"""The contract of the endpoint, through functions-framework's own application."""

from __future__ import annotations

import io
import json
import shutil
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pictures
import pytest
from flask import Request
from keys import uuid7
from PIL import Image
from posting import SHARE, SHOP, post
from werkzeug.test import create_environ

import process
from config import load_settings
from main import Service

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeClient
    from flask.testing import FlaskClient


def missing(*fields: str) -> list[dict[str, Any]]:
    return [
        {"type": "missing", "loc": ["body", f], "msg": "Field required", "input": None}
        for f in fields
    ]


FRESH_MB = 60  # of a process that has imported the function, and nothing else


@pytest.mark.slow
def test_a_jpeg_of_200_megapixels_is_shared_at_one_gigabyte(make_client: MakeClient) -> None:
    """It is decoded at an eighth of its sides: memory decides, and there is enough of it.

    A function has its process to itself. What the tests before this one hold is not counted.
    """
    held_mb = process.resident_bytes() / 1e6 - FRESH_MB
    client = make_client(MEMORY_BUDGET_MB=f"{1073 + max(0, held_mb):.0f}")
    answer = post(client, pictures.plain_jpeg((16_320, 12_240)), platform="email")
    assert answer.status_code == 200, answer.get_json()
    assert (answer.get_json()["width"], answer.get_json()["height"]) == (1200, 900)


@pytest.mark.parametrize("size", [(30_000, 30_000), (1_500_000_000, 1)])
def test_a_picture_that_memory_cannot_hold_is_refused_at_once(
    make_client: MakeClient, size: tuple[int, int]
) -> None:
    client = make_client(MEMORY_BUDGET_MB="1073")
    answer = post(
        client, pictures.with_png_size(pictures.photo_png((9, 9)), size), platform="email"
    )
    assert answer.status_code == 400
    assert answer.get_json()["code"] == "image_too_complex"
    assert answer.get_json()["detail"].startswith("The picture needs ")


@pytest.mark.parametrize("path", [SHARE, "/"])
def test_a_picture_becomes_a_link_that_opens(client: FlaskClient, photo: bytes, path: str) -> None:
    answer = post(client, photo, path=path, platform="email")
    assert answer.status_code == 200
    share = answer.get_json()
    assert uuid.UUID(share["share_id"]).version == 7
    assert abs(share["expires_at"] - time.time() - 86400) < 5
    assert 0 < share["processing_time"] < 30
    assert share["url"] == f"http://localhost/s/{share['share_id']}.jpg"
    assert (share["platform"], share["content_type"]) == ("email", "image/jpeg")
    picture = client.get(f"/s/{share['share_id']}.jpg")
    assert picture.status_code == 200
    assert picture.content_type == "image/jpeg"
    assert picture.content_length == len(picture.data) == share["bytes"]
    with Image.open(io.BytesIO(picture.data)) as opened:
        assert opened.size == (share["width"], share["height"]) == (640, 480)


def test_every_share_has_a_card_of_1200_by_630(client: FlaskClient, photo: bytes) -> None:
    for platform in ("email", "facebook"):
        share = post(client, photo, platform=platform).get_json()
        assert share["card_url"] == f"http://localhost/s/{share['share_id']}/card.jpg"
        card = client.get(f"/s/{share['share_id']}/card.jpg")
        with Image.open(io.BytesIO(card.data)) as opened:
            assert opened.size == (1200, 630)


@pytest.mark.parametrize("rendition", [".jpg", "/card.jpg", ""])
def test_what_was_seen_is_served_from_memory_unless_that_is_off(
    make_client: MakeClient, photo: bytes, tmp_path: Path, rendition: str
) -> None:
    for cache_mb, after in (("1", 200), ("0", 404)):
        client = make_client(CACHE_MB=cache_mb)
        share = post(client, photo, platform="email").get_json()
        path = f"/s/{share['share_id']}{rendition}"
        seen = client.get(path)
        shutil.rmtree(tmp_path / "shares")
        again = client.get(path)
        assert (seen.status_code, again.status_code) == (200, after)
        assert after == 404 or again.data == seen.data


def test_a_share_that_was_seen_is_gone_at_once_when_it_is_taken_back(
    client: FlaskClient, photo: bytes
) -> None:
    share = post(client, photo, platform="email").get_json()
    paths = [f"/s/{share['share_id']}{rendition}" for rendition in (".jpg", "/card.jpg", "")]
    assert {client.get(path).status_code for path in paths} == {200}
    token = {"Authorization": f"Bearer {share['delete_token']}"}
    assert client.delete(f"{SHARE}/{share['share_id']}", headers=token).status_code == 204
    assert {client.get(path).status_code for path in paths} == {410}


@pytest.mark.parametrize("name", ["heic", "avif", "webp", "cutout_png", "gif", "mpo"])
def test_every_format_comes_in_whatever_its_name_says(client: FlaskClient, name: str) -> None:
    data = getattr(pictures, name)((320, 240))
    assert post(client, data, filename="x.jpg", platform="email").status_code == 200


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({}, missing("file", "platform")),
        ({"platform": "x"}, missing("file")),
        ({"platform": " "}, missing("file", "platform")),
        ({"platform": "", "file": ""}, missing("file", "platform")),
    ],
)
def test_missing_fields_are_named_file_before_platform(
    client: FlaskClient, fields: dict[str, str], detail: list[dict[str, Any]]
) -> None:
    multipart = httpx.Request("POST", "/", files=[(n, (None, v)) for n, v in fields.items()])
    for form in (multipart, httpx.Request("POST", "/", data=fields)):
        answer = client.post(SHARE, data=form.read(), headers=[*form.headers.items()])
        assert answer.status_code == 422
        assert answer.get_json() == {"detail": detail, "code": "invalid_fields"}


def test_a_body_that_is_no_form_lacks_both_fields(client: FlaskClient) -> None:
    for answer in (client.post(SHARE), client.post(SHARE, json={"platform": "x"})):
        assert answer.status_code == 422
        assert answer.get_json()["detail"] == missing("file", "platform")


@pytest.mark.parametrize("content_type", ["multipart/form-data", None])
def test_a_file_sent_as_text_is_told_apart_from_a_missing_one(
    client: FlaskClient, content_type: str | None
) -> None:
    answer = client.post(SHARE, data={"file": "x", "platform": "y"}, content_type=content_type)
    assert answer.status_code == 422
    (entry,) = answer.get_json()["detail"]
    assert (entry["type"], entry["loc"]) == ("value_error", ["body", "file"])


def test_text_sent_as_a_file_is_named(client: FlaskClient, photo: bytes) -> None:
    answer = client.post(
        SHARE, data={"file": (io.BytesIO(photo), "a.jpg"), "platform": (io.BytesIO(b"x"), "b")}
    )
    assert answer.status_code == 422
    (entry,) = answer.get_json()["detail"]
    assert (entry["type"], entry["loc"]) == ("string_type", ["body", "platform"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("platform", "x" * 101),
        ("platform", "a\nb"),
        ("platform", "a\x00b"),
        ("platform", "a\u2028b"),
        ("effect_type", "x" * 101),
        ("effect_type", "a\x7fb"),
        ("fit", "stretch"),
        ("fit", "COVER"),
        ("fit", "pad\x00"),
    ],
)
def test_an_unusable_field_is_named_and_not_echoed(
    client: FlaskClient, photo: bytes, field: str, value: str
) -> None:
    answer = post(client, photo, headers=None, **({"platform": "email"} | {field: value}))
    assert answer.status_code == 422
    (entry,) = answer.get_json()["detail"]
    assert (entry["type"], entry["loc"]) == ("value_error", ["body", field])
    assert value not in answer.text


def test_fields_at_their_limit_pass(client: FlaskClient, photo: bytes) -> None:
    answer = post(client, photo, platform="\u00fc" * 100, effect_type="x" * 100, fit="cover")
    assert answer.status_code == 200
    assert answer.get_json()["platform"] == "\u00fc" * 100


def test_of_a_field_that_comes_twice_the_last_one_counts(client: FlaskClient, photo: bytes) -> None:
    answer = client.post(
        SHARE, data={"file": (io.BytesIO(photo), "a"), "platform": ["facebook", "email"]}
    )
    assert answer.get_json()["platform"] == "email"


@pytest.mark.parametrize(
    ("content_type", "body", "code", "detail"),
    [
        (
            "multipart/form-data",
            b"--a--",
            "missing_boundary",
            "Missing boundary in multipart.",
        ),
        (
            "multipart/form-data; boundary=a",
            b"this is no multipart",
            "malformed_form",
            "There was an error parsing the body",
        ),
        (
            "multipart/form-data; boundary=a",
            b'--a\r\nContent-Disposition: form-data; name="platform"\r\n\r\nx',
            "malformed_form",
            "There was an error parsing the body",
        ),
        (
            "multipart/form-data; boundary=a",
            b"--a\r\nX: y\r\n\r\nx\r\n--a--\r\n",
            "malformed_form",
            "There was an error parsing the body",
        ),
        (
            "application/x-www-form-urlencoded",
            b"platform=\xff",
            "malformed_form",
            "There was an error parsing the body",
        ),
    ],
)
def test_a_broken_form_is_told_apart_from_a_missing_field(
    client: FlaskClient, content_type: str, body: bytes, code: str, detail: str
) -> None:
    answer = client.post(SHARE, data=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert answer.get_json() == {"detail": detail, "code": code}


def test_a_form_may_have_fifty_parts_and_no_more(client: FlaskClient, photo: bytes) -> None:
    parts: dict[str, Any] = {f"extra{n}": "x" for n in range(48)}
    assert post(client, photo, platform="email", **parts).status_code == 200
    answer = post(client, photo, platform="email", **parts, one_more="x")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "malformed_form")


def test_a_file_may_have_exactly_the_limit(make_client: MakeClient, photo: bytes) -> None:
    limit = len(photo) + 1000
    client = make_client(MAX_UPLOAD_MB=str(limit / 1_000_000))
    assert post(client, photo + bytes(1000), platform="email").status_code == 200
    answer = post(client, photo + bytes(1001), platform="email")
    assert answer.status_code == 400
    assert answer.get_json()["code"] == "file_too_large"


def test_the_texts_of_the_limits_follow_the_settings(make_client: MakeClient) -> None:
    client = make_client(MAX_UPLOAD_MB="5", MAX_INPUT_SIDE_PX="2000", INPUT_FORMATS="JPEG,PNG")
    told = {
        data: post(client, data, platform="x").get_json()["detail"]
        for data in (
            bytes(5_000_001),
            b"GIF89a" + bytes(100),
            pictures.photo_jpeg((2001, 16)),
        )
    }
    assert list(told.values()) == [
        "File too large for sharing (max 5MB)",
        "Invalid file type. Only JPEG/PNG supported",
        "Image dimensions too large (max 2000px)",
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "unsupported_format"),
        (b"<html>", "unsupported_format"),
        (b"\xff\xd8\xff\xe0", "corrupt_image"),
    ],
)
def test_a_file_that_is_no_picture_is_the_clients_error_and_stores_nothing(
    client: FlaskClient, tmp_path: Path, data: bytes, code: str
) -> None:
    answer = post(client, data, platform="x")
    assert (answer.status_code, answer.get_json()["code"]) == (400, code)
    assert list(tmp_path.rglob("*.jpg")) == []


def test_a_truncated_picture_is_refused(client: FlaskClient, photo: bytes) -> None:
    answer = post(client, photo[: len(photo) // 2], platform="x")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "corrupt_image")


def test_the_replaced_endpoints_trailing_slash_still_works(
    client: FlaskClient, photo: bytes
) -> None:
    assert post(client, photo, path=f"{SHARE}/", platform="email").status_code == 200


def test_the_key_a_client_chose_makes_its_retry_the_same_share(
    client: FlaskClient, photo: bytes
) -> None:
    key = uuid7()
    answers = [
        post(client, photo, platform="email", headers={"Idempotency-Key": key}).get_json()
        for _ in range(2)
    ]
    for answer in answers:
        answer.pop("processing_time")
    assert answers[0] == answers[1]
    assert answers[0]["delete_token"] == key
    other = post(client, photo, platform="x", headers={"Idempotency-Key": key})
    assert other.status_code == 422
    assert other.get_json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]


def test_a_stale_key_is_refused_before_the_body_is_read(client: FlaskClient, photo: bytes) -> None:
    headers = {"Idempotency-Key": uuid7(age_s=400)}
    answer = post(client, photo, platform="email", headers=headers)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", SHARE, "POST, OPTIONS"),
        ("PUT", SHARE, "POST, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("DELETE", "/openapi.json", "GET, HEAD, OPTIONS"),
        ("TRACE", "/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    client: FlaskClient, method: str, path: str, allow: str
) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allow
    assert answer.get_json() == {"detail": "Method Not Allowed", "code": "method_not_allowed"}


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api/v2/share-image/x/y",
        "/s//x.jpg",
        "/s/..%2f..%2fetc.jpg",
        "/" + "a" * 5000,
        "/robots.txt",
        "/favicon.ico",
        "/health/../x",
        "/\u202e",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_unknown_path_is_not_found_in_json_with_cors(
    client: FlaskClient, path: str, method: str
) -> None:
    answer = client.open(path, method=method, headers={"Origin": SHOP})
    assert answer.status_code in {404, 405}
    assert answer.content_type == "application/json"
    assert answer.get_json()["code"] in {"not_found", "method_not_allowed"}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_host_that_is_none_is_refused(client: FlaskClient) -> None:
    answer = client.get("/health", headers={"Host": 'x"><script>'})
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")


def test_links_follow_the_public_base_url_and_not_what_the_request_says(
    make_client: MakeClient, photo: bytes
) -> None:
    client = make_client(PUBLIC_BASE_URL="https://region.example.net/share-image")
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    share = post(client, photo, platform="email", headers=headers).get_json()
    assert share["url"].startswith("https://region.example.net/share-image/s/")


def test_in_the_cloud_links_are_https(
    make_client: MakeClient, photo: bytes, tmp_path: Path
) -> None:
    client = make_client(K_SERVICE="share-image", GCS_BUCKET_NAME="shares-test")
    answer = client.get("/health", headers={"Host": "x.run.app"})
    assert answer.get_json()["storage"]["backend"] == "gcs"
    preflight = client.options("/", headers={"Origin": "https://x.run.app"})
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"


def test_health_says_what_runs_and_how(client: FlaskClient) -> None:
    health = client.get("/health").get_json()
    assert health["status"] == "ok"
    assert (health["storage"]["backend"], health["storage"]["ready"]) == ("local", True)
    assert health["rate_limit"] == "memory"
    assert len(health["source"]) == 64
    assert health["storage_state"] == {
        "last_success_at": None,
        "last_failure_at": None,
        "last_failure_code": None,
        "circuit": "closed",
    }
    assert {"main.py", "openapi.json", "requirements.txt"} <= set(health["source_files"])
    assert not [n for n in health["source_files"] if n.startswith(("tests", "scripts", "."))]


def test_health_shows_every_setting_and_of_secrets_whether_they_are_set(
    make_client: MakeClient, client: FlaskClient
) -> None:
    told = make_client(STORE_NAME="Paws", RATE_LIMIT_STORAGE_URI="redis://:hunter2@127.0.0.1:1")
    answer = told.get("/health")
    settings = answer.get_json()["settings"]
    assert {"GCS_BUCKET_NAME", "WATERMARK_TEXT", "THREADS", "DEMO_PAGE"} <= set(settings)
    assert settings["STORE_NAME"] == "Paws"
    assert settings["SHARE_TTL_HOURS"] == "24"
    assert settings["RATE_LIMIT_STORAGE_URI"] is True
    assert b"hunter2" not in answer.data
    assert answer.get_json()["rate_limit"] == "unknown"
    assert told.post(SHARE).status_code == 422  # counted
    assert told.get("/health").get_json()["rate_limit"] == "unreachable"
    assert client.get("/health").get_json()["rate_limit"] == "memory"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", "/health", 200), ("HEAD", "/health", 200), ("GET", "/nothing", 404)),
        *(("POST", SHARE, 422), ("OPTIONS", SHARE, 204), ("PUT", SHARE, 405)),
        *(("GET", "/robots.txt", 404), ("GET", "//x", 404)),
    ],
)
def test_every_answer_carries_the_source_and_the_revision(
    make_client: MakeClient, method: str, path: str, status: int
) -> None:
    client = make_client(
        K_SERVICE="share-image", K_REVISION="share-image-00042-abc", GCS_BUCKET_NAME="shares-test"
    )
    health = client.get("/health").get_json()
    assert health["revision"] == "share-image-00042-abc"
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert answer.headers["Deployment"] == f"{health['source'][:12]} share-image-00042-abc"


def test_the_contract_is_served_as_it_is(client: FlaskClient) -> None:
    answer = client.get("/openapi.json")
    assert SHARE in answer.get_json()["paths"]
    again = client.get("/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


class TestPictures:
    @pytest.fixture
    def path(self, client: FlaskClient, photo: bytes) -> str:
        share = post(client, photo, platform="email").get_json()
        return f"/s/{share['share_id']}.jpg"

    def test_head_tells_what_get_sends(self, client: FlaskClient, path: str) -> None:
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.data) == (200, b"")
        for name in ("Content-Length", "Content-Type", "ETag", "Cache-Control", "Accept-Ranges"):
            assert head.headers[name] == got.headers[name]
        assert got.headers["ETag"].startswith('"')
        assert got.headers["Cache-Control"] == "public, max-age=300"
        assert got.headers["X-Content-Type-Options"] == "nosniff"

    def test_a_known_etag_is_not_sent_again(self, client: FlaskClient, path: str) -> None:
        etag = client.get(path).headers["ETag"]
        for method in ("GET", "HEAD"):
            for sent in (etag, f'"x", {etag}', f"W/{etag}", "*"):
                answer = client.open(path, method=method, headers={"If-None-Match": sent})
                assert (answer.status_code, answer.data) == (304, b"")
        assert client.get(path, headers={"If-None-Match": '"x"'}).status_code == 200

    @pytest.mark.parametrize(
        ("asked", "piece"),
        [
            ("bytes=0-99", slice(0, 100)),
            ("bytes=100-", slice(100, None)),
            ("bytes=-50", slice(-50, None)),
            ("bytes=-99999999", slice(0, None)),
            ("bytes=0-99999999", slice(0, None)),
        ],
    )
    def test_a_range_is_honoured_in_full(
        self, client: FlaskClient, path: str, asked: str, piece: slice
    ) -> None:
        whole = client.get(path).data
        answer = client.get(path, headers={"Range": asked})
        assert answer.status_code == 206
        assert answer.data == whole[piece]
        assert answer.content_length == len(whole[piece])
        first, last, _ = piece.indices(len(whole))
        assert answer.headers["Content-Range"] == f"bytes {first}-{last - 1}/{len(whole)}"

    @pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=x", "lines=1-2", "bytes=5-1"])
    def test_a_range_that_cannot_be_honoured_is_ignored(
        self, client: FlaskClient, path: str, asked: str
    ) -> None:
        answer = client.get(path, headers={"Range": asked})
        assert answer.status_code == 200
        assert answer.content_length == len(answer.data) == len(client.get(path).data)

    def test_head_knows_no_ranges(self, client: FlaskClient, path: str) -> None:
        whole = client.head(path)
        answer = client.head(path, headers={"Range": "bytes=0-9"})
        assert (answer.status_code, answer.headers["Content-Length"]) == (
            200,
            whole.headers["Content-Length"],
        )

    def test_a_range_behind_the_end_is_told_the_size(self, client: FlaskClient, path: str) -> None:
        size = client.get(path).content_length
        answer = client.get(path, headers={"Range": "bytes=99999999-"})
        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == f"bytes */{size}"
        assert answer.get_json()["code"] == "range_not_satisfiable"

    def test_only_the_strong_etag_of_now_lets_if_range_have_its_part(
        self, client: FlaskClient, path: str
    ) -> None:
        etag = client.get(path).headers["ETag"]
        for sent, status in ((etag, 206), ('"x"', 200), (f"W/{etag}", 200)):
            headers = {"Range": "bytes=0-9", "If-Range": sent}
            assert client.get(path, headers=headers).status_code == status

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_if_match_holds_for_the_etag_of_now_and_for_a_star(
        self, client: FlaskClient, path: str, method: str
    ) -> None:
        etag = client.get(path).headers["ETag"]
        for sent in (etag, f'"x", {etag}', "*"):
            answer = client.open(path, method=method, headers={"If-Match": sent})
            assert answer.status_code == 200
        for sent in ('"x"', f"W/{etag}", ""):
            answer = client.open(path, method=method, headers={"If-Match": sent})
            assert answer.status_code == 412
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.content_type == "application/json"

    def test_a_known_etag_wins_over_a_range(self, client: FlaskClient, path: str) -> None:
        etag = client.get(path).headers["ETag"]
        for asked in ("bytes=0-9", "bytes=99999999-"):
            answer = client.get(path, headers={"If-None-Match": etag, "Range": asked})
            assert (answer.status_code, answer.data) == (304, b"")
            assert answer.headers["ETag"] == etag
            assert "Content-Range" not in answer.headers

    def test_a_failed_if_match_wins_over_all(self, client: FlaskClient, path: str) -> None:
        etag = client.get(path).headers["ETag"]
        headers = {"If-Match": '"x"', "If-None-Match": etag, "Range": "bytes=0-9"}
        assert client.get(path, headers=headers).get_json()["code"] == "precondition_failed"

    def test_an_id_that_never_was_is_not_found(self, client: FlaskClient) -> None:
        for path in (
            f"/s/{uuid7()}.jpg",
            "/s/%00.jpg",
            "/s/%ff.jpg",
            f"/s/{uuid7()}/card.jpg",
            "/s/nonsense.jpg",
        ):
            answer = client.get(path)
            assert answer.status_code == 404
            assert answer.get_json() == {"detail": "Not Found", "code": "not_found"}

    def test_past_its_day_every_id_is_gone(self, client: FlaskClient) -> None:
        answer = client.get(f"/s/{uuid7(age_s=86401)}.jpg")
        assert (answer.status_code, answer.get_json()["code"]) == (410, "gone")

    def test_no_cache_keeps_a_picture_longer_than_it_lives(
        self, make_client: MakeClient, photo: bytes
    ) -> None:
        client = make_client(SHARE_TTL_HOURS=str(60 / 3600))
        share = post(client, photo, platform="email").get_json()
        answer = client.get(f"/s/{share['share_id']}.jpg")
        max_age = int(answer.headers["Cache-Control"].removeprefix("public, max-age="))
        assert 50 <= max_age <= 60


class TestCors:
    @pytest.fixture
    def shop(self, make_client: MakeClient) -> FlaskClient:
        return make_client(ALLOWED_ORIGINS=f"{SHOP}, https://*.shopifypreview.com")

    @pytest.mark.parametrize("origin", [SHOP, "https://x1.shopifypreview.com", "http://localhost"])
    def test_a_preflight_from_an_allowed_origin_says_what_is_allowed(
        self, shop: FlaskClient, origin: str
    ) -> None:
        answer = shop.options(
            SHARE, headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
        )
        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert answer.headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"
        allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert set(allowed) == {
            *("authorization", "content-type", "idempotency-key"),
            *("cache-control", "x-requested-with", "x-session-id"),
        }
        assert answer.headers["Access-Control-Max-Age"] == "3600"
        assert answer.headers["Vary"] == "Origin"

    def test_a_foreign_origin_is_refused_before_its_body_is_read(
        self, shop: FlaskClient, photo: bytes, tmp_path: Path
    ) -> None:
        headers = {"Origin": "https://evil.example"}
        for answer in (
            shop.options(SHARE, headers=headers),
            post(shop, photo, platform="x", headers=headers),
        ):
            assert answer.status_code == 403
            assert answer.get_json() == {
                "detail": "Origin not allowed",
                "code": "origin_not_allowed",
            }
            assert "Access-Control-Allow-Origin" not in answer.headers
        assert list(tmp_path.rglob("*.jpg")) == []

    def test_a_request_without_an_origin_passes(self, shop: FlaskClient, photo: bytes) -> None:
        assert post(shop, photo, platform="email").status_code == 200

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", SHARE, 422),
            ("GET", SHARE, 405),
            ("GET", "/nothing", 404),
            ("OPTIONS", "/nothing", 404),
            ("GET", "/robots.txt", 404),
            ("GET", "/s/018bcfe5-6800-7000-8000-000000000000.jpg", 410),
            ("GET", "/health", 200),
        ],
    )
    def test_every_status_carries_the_cors_headers(
        self, shop: FlaskClient, method: str, path: str, status: int
    ) -> None:
        answer = shop.open(path, method=method, headers={"Origin": SHOP})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]


def test_a_storage_that_refuses_is_the_contracts_503(
    make_client: MakeClient, photo: bytes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    client = make_client(LOCAL_STORAGE_DIR=str(tmp_path / "file" / "shares"))
    answer = post(client, photo, platform="email", headers={"Origin": SHOP})
    assert answer.status_code == 503
    assert answer.get_json() == {
        "detail": "Image sharing service temporarily unavailable",
        "code": "storage_unavailable",
    }
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    state = client.get("/health").get_json()["storage_state"]
    assert (state["last_success_at"], state["last_failure_code"]) == (None, "NotADirectoryError")


def test_our_own_mistakes_are_logged_and_leak_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken(Request):
        @property
        def mimetype(self) -> str:
            raise RuntimeError("secret /path")

    environ = create_environ(SHARE, method="POST", headers={"Origin": SHOP})
    answer = Service(load_settings()).answer(Broken(environ))
    assert answer.status_code == 500
    assert json.loads(answer.get_data()) == {
        "detail": "Internal Server Error",
        "code": "internal_error",
    }
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert line["severity"] == "ERROR"
    assert "secret /path" in line["exception"]


def test_a_request_is_one_line_of_the_log(
    capsys: pytest.CaptureFixture[str], make_client: MakeClient, photo: bytes
) -> None:
    client = make_client()
    share = post(client, photo, platform="email", filename="private-name.jpg").get_json()
    (_, text) = capsys.readouterr().err.splitlines()  # the first one says that it started
    line = json.loads(text)
    assert line["severity"] == "INFO"
    assert line["platform"] == "email"
    assert line["share_id"] == share["share_id"]
    assert line["bytes_in"] == len(photo)
    assert line["bytes_out"] == share["bytes"]
    assert line["pixels"] == 640 * 480
    assert set(line["stages_ms"]) == {"receive", "render", "check", "store"}
    assert line["httpRequest"]["status"] == 200
    assert "private-name" not in text
    assert share["delete_token"] not in text
