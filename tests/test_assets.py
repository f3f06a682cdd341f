"""How the files of web/ are served."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING

import pytest
from function_server import ROOT

from config import load_settings
from errors import ConfigurationError

if TYPE_CHECKING:
    from conftest import MakeClient
    from flask.testing import FlaskClient

WEB = ROOT / "web"
CLIENT_MAX_BYTES = 10_000

FILES = {
    "/": ("demo.html", "text/html; charset=utf-8"),
    "/demo.css": ("demo.css", "text/css; charset=utf-8"),
    "/demo.js": ("demo.js", "text/javascript; charset=utf-8"),
    "/share-image.js": ("share-image.js", "text/javascript; charset=utf-8"),
}
ZIPPED = {"Accept-Encoding": "br;q=1.0, gzip;q=0.8, *;q=0.1"}


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_served_as_it_is(client: FlaskClient, path: str) -> None:
    name, content_type = FILES[path]
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.data == (WEB / name).read_bytes()
    assert answer.headers["Content-Type"] == content_type
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_gzipped_for_who_accepts_that(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers=ZIPPED)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.data) == (WEB / FILES[path][0]).read_bytes()
    assert answer.headers["Content-Length"] == str(len(answer.data))


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "*"])
def test_nobody_gets_gzip_who_did_not_ask_for_it(client: FlaskClient, accepted: str) -> None:
    answer = client.get("/share-image.js", headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("headers", [{}, ZIPPED])
def test_caches_keep_both_forms_apart(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.get("/share-image.js", headers=headers)
    assert "Accept-Encoding" in answer.vary
    other = client.get("/share-image.js", headers=ZIPPED if not headers else {})
    assert answer.headers["ETag"] != other.headers["ETag"]
    assert not answer.headers["ETag"].startswith("W/")


def test_caches_keep_origins_apart_as_well(make_client: MakeClient) -> None:
    client = make_client(ALLOWED_ORIGINS="https://shop.example")
    answer = client.get("/share-image.js", headers={"Origin": "https://shop.example"})
    assert {"Origin", "Accept-Encoding"} <= set(answer.vary)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"


@pytest.mark.parametrize("headers", [{}, ZIPPED])
@pytest.mark.parametrize("path", FILES)
def test_who_has_the_file_is_told_that_it_has_not_changed(
    client: FlaskClient, path: str, headers: dict[str, str]
) -> None:
    etag = client.get(path, headers=headers).headers["ETag"]
    answer = client.get(path, headers={**headers, "If-None-Match": etag})
    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["ETag"] == etag
    assert client.get(path, headers={**headers, "If-Match": "*"}).status_code == 200
    assert client.get(path, headers={**headers, "If-Match": '"x"'}).status_code == 412
    assert "Accept-Encoding" in answer.vary


@pytest.mark.parametrize("path", FILES)
def test_head_answers_as_get_without_the_body(client: FlaskClient, path: str) -> None:
    got, head = client.get(path, headers=ZIPPED), client.head(path, headers=ZIPPED)
    assert head.data == b""
    names = ("Content-Type", "Content-Length", "Content-Encoding", "ETag", "Cache-Control")
    assert [head.headers[name] for name in names] == [got.headers[name] for name in names]


def test_the_client_is_used_at_once_and_renewed_for_the_next_time(client: FlaskClient) -> None:
    control = client.get("/share-image.js").cache_control
    assert control.public
    assert control.max_age == 300
    assert "stale-while-revalidate" in control


@pytest.mark.parametrize("path", ["/", "/demo.css", "/demo.js"])
def test_the_demo_page_is_asked_for_every_time(client: FlaskClient, path: str) -> None:
    assert client.get(path).headers["Cache-Control"] == "no-cache"


def test_the_client_weighs_at_most_ten_kilobytes(client: FlaskClient) -> None:
    assert len(client.get("/share-image.js", headers=ZIPPED).data) <= CLIENT_MAX_BYTES


def test_the_same_file_has_the_same_bytes_in_every_instance(make_client: MakeClient) -> None:
    answers = [make_client().get("/share-image.js", headers=ZIPPED) for _ in range(2)]
    assert len({hashlib.sha256(answer.data).digest() for answer in answers}) == 1
    assert len({answer.headers["ETag"] for answer in answers}) == 1


def test_the_demo_page_may_load_nothing_from_elsewhere(client: FlaskClient) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["connect-src"] == "'self'"
    assert not {"unsafe-inline", "unsafe-eval", "http:", "https:", "*"} & set(policy.split())


def test_a_demo_page_that_is_off_is_not_there(make_client: MakeClient) -> None:
    client = make_client(DEMO_PAGE="off")
    assert [client.get(path).status_code for path in FILES] == [404, 404, 404, 200]
    assert client.post("/").status_code == 422


def test_who_looks_for_a_demo_page_that_is_off_gets_a_page(make_client: MakeClient) -> None:
    answer = make_client(DEMO_PAGE="off").get("/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


def test_the_demo_page_is_on_locally_and_off_in_the_cloud() -> None:
    cloud = {"K_SERVICE": "share-image", "GCS_BUCKET_NAME": "a-bucket"}
    assert load_settings({}).demo_page
    assert not load_settings(cloud).demo_page
    assert load_settings({**cloud, "DEMO_PAGE": "on"}).demo_page
    assert not load_settings({"DEMO_PAGE": "OFF"}).demo_page
    with pytest.raises(ConfigurationError, match="DEMO_PAGE: found 'maybe', expected on or off"):
        load_settings({"DEMO_PAGE": "maybe"})


def test_no_other_file_of_the_folder_is_reachable(client: FlaskClient) -> None:
    for path in ("/demo.html", "/web/share-image.js", "/..%2fmain.py", "/share-image.js/"):
        assert client.get(path).status_code == 404
