"""What a share's page says: in its language, in the shop's words, of the picture it shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from flask import Request
from keys import uuid7
from posting import post
from test_pages import BROWSER, HOSTILE, STORE, Page, page_of, share
from werkzeug.test import create_environ

from config import load_settings
from platforms import NETWORKS
from serving.languages import languages
from serving.pages import Pages
from share_keys import ShareKey
from share_objects import Share

if TYPE_CHECKING:
    from conftest import MakeClient
    from flask.testing import FlaskClient


@pytest.fixture
def shop(make_client: MakeClient) -> FlaskClient:
    return make_client(**STORE)


@pytest.mark.parametrize("tag", sorted(languages()))
def test_a_page_its_card_and_its_links_speak_the_language_of_the_share(
    shop: FlaskClient, photo: bytes, tag: str
) -> None:
    texts = languages()[tag].page
    shared = share(shop, photo, lang=f"{tag}-XX")
    answer = shop.get(f"/s/{shared['share_id']}")
    page = Page(answer.text)
    title = texts["title-store"].format(store=STORE["STORE_NAME"])
    assert answer.headers["Content-Language"] == page.html_lang == tag
    assert page.metas["og:locale"] == texts["locale"]
    assert page.metas["og:title"] == page.metas["twitter:title"] == title
    for name in ("description", "cta", "share", "phone", "report"):
        assert texts[name] in page.words
    assert texts["ends-hours"].format(hours=24) in page.words
    links: object = shared["links"]
    assert isinstance(links, dict)
    assert parse_qs(urlsplit(links["telegram"]).query)["text"] == [title]


@pytest.mark.parametrize(
    "lang", ["nl", "", "../de", "de_DE", "x" * 500, "d\x00e", HOSTILE, "de-" + "a-" * 30]
)
def test_a_language_that_cannot_be_used_is_the_shops_and_no_error(
    make_client: MakeClient, photo: bytes, lang: str
) -> None:
    client = make_client(**STORE, PAGE_LANGUAGE="fr")
    assert page_of(client, share(client, photo, lang=lang)).html_lang == "fr"


def test_a_language_that_comes_as_a_file_is_no_error(client: FlaskClient, photo: bytes) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="platform"\r\n\r\nx\r\n'
        b'--b\r\nContent-Disposition: form-data; name="lang"; filename="a"\r\n\r\nde\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        + photo
        + b"\r\n--b--\r\n"
    )
    answer = client.post("/", data=body, content_type="multipart/form-data; boundary=b")
    assert answer.status_code == 200


def test_pages_without_a_share_speak_the_shops_language(make_client: MakeClient) -> None:
    client = make_client(PAGE_LANGUAGE="es")
    texts = languages()["es"].page
    ended = Page(client.get(f"/s/{uuid7(age_s=90_000)}").text)
    missing = Page(client.get("/nothing", headers=BROWSER).text)
    assert ended.html_lang == missing.html_lang == "es"
    assert ended.metas["og:title"] == texts["ended-title"]
    assert texts["ended-footer"] in ended.words
    assert texts["missing-title"] in missing.words


def test_the_shops_own_words_stand_in_every_language(make_client: MakeClient, photo: bytes) -> None:
    own = {"CTA_TEXT": "Go <b>", "PAGE_TITLE": "Fur & {store}", "PAGE_DESCRIPTION": "Say “pet”"}
    client = make_client(**STORE, **own)
    for lang in ("en", "de"):
        page = page_of(client, share(client, photo, lang=lang))
        assert page.metas["og:title"] == "Fur & {store}"
        assert page.metas["og:description"] == page.metas["description"] == "Say “pet”"
        assert {"Go <b>", "Fur & {store}", "Say “pet”"} <= page.words
    ended = Page(client.get(f"/s/{uuid7(age_s=90_000)}").text)
    assert "Go <b>" in ended.words
    assert ended.metas["og:title"] == languages()["en"].page["ended-title"]


def test_alt_describes_the_picture_wherever_it_is_shown(shop: FlaskClient, photo: bytes) -> None:
    page = page_of(shop, share(shop, photo, alt="\r\n A cat,\n asleep\u2028here "))
    (picture,) = page.images
    described = {picture["alt"], page.metas["og:image:alt"], page.metas["twitter:image:alt"]}
    assert described == {"A cat, asleep here"}


def test_alt_stays_text(shop: FlaskClient, photo: bytes) -> None:
    page = page_of(shop, share(shop, photo, alt=HOSTILE))
    assert page.metas["og:image:alt"] == page.images[0]["alt"] == HOSTILE
    assert not {"script", "b"} & set(page.tags)


def test_alt_may_have_300_characters_and_no_more(shop: FlaskClient, photo: bytes) -> None:
    assert page_of(shop, share(shop, photo, alt="ü" * 300)).images[0]["alt"] == "ü" * 300
    answer = post(shop, photo, platform="email", alt="ü" * 301)
    (problem,) = answer.get_json()["detail"]
    assert (answer.status_code, problem["loc"]) == (422, ["body", "alt"])
    assert problem["msg"] == "Value error, expected at most 300 characters"
    assert post(shop, photo, platform="email", alt="a\x00b").status_code == 422


@pytest.mark.parametrize("field", [{"lang": "de"}, {"alt": "A cat"}])
def test_a_key_comes_with_the_same_fields_again(
    shop: FlaskClient, photo: bytes, field: dict[str, str]
) -> None:
    headers = {"Idempotency-Key": uuid7()}
    statuses = [
        post(shop, photo, headers=headers, platform="email", **fields).status_code
        for fields in (field, field, {}, {"alt": "de"}, {"lang": "fr"})
    ]
    assert statuses == [200, 200, 422, 422, 422]


class TestVia:
    """Visits are counted for the network that brought them."""

    def utm_source(self, client: FlaskClient, path: str) -> str:
        page = Page(client.get(path).text)
        (to_shop,) = [href for href in page.hrefs if urlsplit(href).netloc == "shop.example"]
        return dict(parse_qsl(urlsplit(to_shop).query))["utm_source"]

    def test_each_link_names_its_network_and_the_shop_hears_of_it(
        self, shop: FlaskClient, photo: bytes
    ) -> None:
        shared = share(shop, photo, platform="pinterest")
        links: object = shared["links"]
        assert isinstance(links, dict)
        for network, link in links.items():
            query = parse_qs(urlsplit(link).query)
            found = [value for values in query.values() for value in values if "/s/" in value]
            address = found[0].split()[-1]
            assert address == f"{shared['page_url']}?via={network}"
            assert self.utm_source(shop, address.removeprefix(STORE["PUBLIC_BASE_URL"])) == network

    def test_without_it_visits_are_counted_for_the_upload(
        self, shop: FlaskClient, photo: bytes
    ) -> None:
        path = f"/s/{share(shop, photo, platform='pinterest')['share_id']}"
        for query in ("", "?via=", "?via=evil", "?via=Facebook", "?via=%22%3E", "?VIA=x"):
            assert self.utm_source(shop, path + query) == "pinterest"
        assert self.utm_source(shop, f"/s/{uuid7(age_s=90_000)}?via=x") == "x"
        assert self.utm_source(shop, f"/s/{uuid7(age_s=90_000)}?via=evil") == "share"

    def test_the_address_of_the_page_does_not_change(self, shop: FlaskClient, photo: bytes) -> None:
        shared = share(shop, photo)
        for network in NETWORKS:
            page = Page(shop.get(f"/s/{shared['share_id']}?via={network.name}").text)
            assert page.links["canonical"] == page.metas["og:url"] == shared["page_url"]
            assert "?" not in page.metas["og:image"]


@pytest.mark.parametrize(
    ("left_s", "text"),
    [
        (1, "within the hour"),
        (3600, "within the hour"),
        (3700, "within the next 2 hours"),
        (86_390, "within the next 24 hours"),
        (48 * 3600, "within the next 48 hours"),
        (48 * 3600 + 100, "within the next 3 days"),
        (8760 * 3600, "within the next 365 days"),
    ],
)
def test_the_time_of_deletion_needs_no_time_zone(left_s: int, text: str) -> None:
    """And is true for as long as a cache keeps the page: what is left only becomes less."""
    expires_at = int(time.time()) + left_s
    made = Share(
        share_id=ShareKey.mint().share_id,
        platform="email",
        effect_type="ink",
        width=640,
        height=480,
        size_bytes=9,
        content_type="image/jpeg",
        expires_at=expires_at,
    )
    request = Request(create_environ("/s/x"))
    html = Pages(load_settings({})).share(request, "https://share.example", made).get_data(True)
    assert f"This picture is deleted automatically {text}." in Page(html).words
