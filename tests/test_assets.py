"""How the files of web/ are served."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
from function_server import ROOT
from npm import run_node

from config import load_settings
from errors import ConfigurationError
from serving.languages import languages

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeClient
    from flask.testing import FlaskClient

WEB = ROOT / "web"
CLIENT_MAX_BYTES = 8_700  # six packets carry 8,760 bytes

DEMO_FILES = {
    "/": ("demo.html", "text/html; charset=utf-8"),
    "/demo.css": ("demo.css", "text/css; charset=utf-8"),
    "/demo.js": ("demo.js", "text/javascript; charset=utf-8"),
}
CLIENT_FILES = {
    "/share-image.js": ("share-image.min.js", "text/javascript; charset=utf-8"),
    "/share-image.js.map": ("share-image.min.js.map", "application/json"),
    "/share-image.d.ts": ("share-image.d.ts", "text/plain; charset=utf-8"),
}
FILES = DEMO_FILES | CLIENT_FILES
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


@pytest.mark.parametrize("path", [*FILES, "/texts/de.json"])
@pytest.mark.parametrize("origin", ["https://shop.example", "https://other.example", "null"])
def test_pages_of_every_origin_may_read_a_file(
    make_client: MakeClient, path: str, origin: str
) -> None:
    """A page that may not share has to be able to say so. Nothing in them depends on who asks."""
    client = make_client(ALLOWED_ORIGINS="https://shop.example")
    answer = client.get(path, headers={"Origin": origin})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert set(answer.vary) == {"Accept-Encoding"}


def test_all_but_files_is_for_allowed_origins_alone(make_client: MakeClient) -> None:
    """By this difference the client tells a wrong origin from a lost connection."""
    client = make_client(ALLOWED_ORIGINS="https://shop.example")
    for path in ("/health", "/openapi.json", "/s/nothing", "/texts"):
        answer = client.get(path, headers={"Origin": "https://other.example"})
        assert "Access-Control-Allow-Origin" not in answer.headers


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


@pytest.mark.parametrize("path", [*CLIENT_FILES, "/texts/de.json"])
def test_the_client_is_used_at_once_and_renewed_for_the_next_time(
    client: FlaskClient, path: str
) -> None:
    control = client.get(path).cache_control
    assert control.public
    assert control.max_age == 300
    assert "stale-while-revalidate" in control


@pytest.mark.parametrize("path", ["/", "/demo.css", "/demo.js"])
def test_the_demo_page_is_asked_for_every_time(client: FlaskClient, path: str) -> None:
    assert client.get(path).headers["Cache-Control"] == "no-cache"


def test_the_client_is_small(client: FlaskClient) -> None:
    """With English and the marks of the networks."""
    assert len(client.get("/share-image.js", headers=ZIPPED).data) <= CLIENT_MAX_BYTES


def test_the_client_is_made_of_the_source_that_its_map_shows(client: FlaskClient) -> None:
    """Else it is stale: run scripts/minify."""
    answer = client.get("/share-image.js")
    address = urljoin("/share-image.js", answer.headers["SourceMap"])
    source_map = client.get(address).get_json()
    assert source_map["sources"] == ["share-image.js"]
    assert source_map["sourcesContent"] == [(WEB / "share-image.js").read_text("utf-8")]


@pytest.mark.slow
def test_minifying_makes_the_same_bytes_again(tmp_path: Path) -> None:
    run_node("minify.mjs", str(tmp_path))
    for name in ("share-image.min.js", "share-image.min.js.map"):
        assert (tmp_path / name).read_bytes() == (WEB / name).read_bytes(), "run scripts/minify"


@pytest.mark.parametrize(
    ("tag", "found"),
    [("de", "de"), ("DE-ch", "de"), ("fr-CA", "fr"), ("en-GB", "en"), ("nl", "en"), ("_", "en")],
)
def test_texts_are_answered_in_the_nearest_language(
    client: FlaskClient, tag: str, found: str
) -> None:
    answer = client.get(f"/texts/{tag}.json")
    assert (answer.status_code, answer.headers["Content-Language"]) == (200, found)
    assert answer.get_json() == languages()[found].client
    again = client.get(f"/texts/{tag}.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


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
    assert {client.get(path).status_code for path in DEMO_FILES} == {404}
    assert {client.get(path).status_code for path in CLIENT_FILES} == {200}
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
    paths = ("/demo.html", "/web/share-image.js", "/..%2fmain.py", "/share-image.js/")
    for path in (*paths, "/package.json", "/share-image.min.js", "/texts/..%2f..%2fmain.json"):
        assert client.get(path).status_code == 404
