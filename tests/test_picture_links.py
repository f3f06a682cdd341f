"""A picture's link leads a browser that opens it to the page, and gives all others the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
from keys import uuid7
from test_pages import STORE, share

if TYPE_CHECKING:
    from conftest import MakeClient
    from flask.testing import FlaskClient

OPENED = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture
def shop(make_client: MakeClient) -> FlaskClient:
    return make_client(**STORE)


def picture_path(client: FlaskClient, photo: bytes, **fields: str) -> str:
    return f"/s/{share(client, photo, **fields)['share_id']}.jpg"


@pytest.mark.parametrize("platform", ["email", "facebook", "pinterest"])
def test_a_browser_that_opens_a_picture_is_led_to_its_page(
    shop: FlaskClient, photo: bytes, platform: str
) -> None:
    path = picture_path(shop, photo, platform=platform)
    answer = shop.get(path, headers=OPENED)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (303, "no-store")
    # Beside the picture, under any prefix and any host.
    page_url = urljoin(f"https://any.example/prefix{path}", answer.headers["Location"])
    assert page_url == f"https://any.example/prefix{path}".removesuffix(".jpg")
    assert shop.get(path.removesuffix(".jpg")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},  # curl, crawlers, older browsers
        {"Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "no-cors"},
        {"Accept": "text/html", "User-Agent": "Mozilla/5.0"},
    ],
    ids=["none", "img", "fetch", "frame", "dest alone", "mode alone", "download", "no fetch"],
)
def test_all_others_get_the_picture(
    shop: FlaskClient, photo: bytes, headers: dict[str, str]
) -> None:
    answer = shop.get(picture_path(shop, photo), headers=headers)
    assert (answer.status_code, answer.content_type) == (200, "image/jpeg")
    assert "Sec-Fetch-Dest" in answer.vary


def test_caches_keep_apart_what_is_opened_and_what_is_shown(
    shop: FlaskClient, photo: bytes
) -> None:
    path = picture_path(shop, photo)
    etag = shop.get(path).headers["ETag"]
    for headers in ({"Range": "bytes=0-9"}, {"If-None-Match": etag}):
        assert "Sec-Fetch-Dest" in shop.get(path, headers=headers).vary
    assert "Sec-Fetch-Dest" in shop.head(path).vary


def test_raw_gives_the_file(shop: FlaskClient, photo: bytes) -> None:
    path = picture_path(shop, photo)
    answer = shop.get(f"{path}?raw", headers=OPENED)
    assert (answer.status_code, answer.data) == (200, shop.get(path).data)


@pytest.mark.parametrize("platform", ["download", "Download"])
def test_a_picture_that_is_to_be_saved_opens_as_the_file(
    shop: FlaskClient, photo: bytes, platform: str
) -> None:
    answer = shop.get(picture_path(shop, photo, platform=platform), headers=OPENED)
    assert (answer.status_code, answer.content_type) == (200, "image/jpeg")
    assert "Sec-Fetch-Dest" in answer.vary


def test_a_shop_may_let_pictures_open_as_files(make_client: MakeClient, photo: bytes) -> None:
    client = make_client(**STORE, PICTURE_LINKS="picture")
    answer = client.get(picture_path(client, photo), headers=OPENED)
    assert answer.status_code == 200
    assert "Sec-Fetch-Dest" not in answer.vary


def test_a_card_never_leads_elsewhere(shop: FlaskClient, photo: bytes) -> None:
    path = picture_path(shop, photo).replace(".jpg", "/card.jpg")
    answer = shop.get(path, headers=OPENED)
    assert answer.status_code == 200
    assert "Sec-Fetch-Dest" not in answer.vary


@pytest.mark.parametrize(
    ("share_id", "status"),
    [(uuid7(), 404), (uuid7(age_s=90_000), 410)],
    ids=["never was", "expired"],
)
def test_who_opens_a_picture_that_is_not_there_is_told_so(
    shop: FlaskClient, share_id: str, status: int
) -> None:
    answer = shop.get(f"/s/{share_id}.jpg", headers=OPENED | {"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
