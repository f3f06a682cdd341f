"""The pages of a share, read with a parser as a crawler reads them."""

from __future__ import annotations

import gzip
import io
import re
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, urlsplit
from uuid import UUID

import pytest
from keys import uuid7
from PIL import Image
from posting import SHARE, post

from share_keys import share_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import MakeClient
    from flask.testing import FlaskClient

HOSTILE = "\"><script>alert(1)</script>'\u202e<b>"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
STORE = {
    "STORE_NAME": "Perkie & Sons",
    "STORE_URL": "https://shop.example/pets?ref=a%20b",
    "CONTACT_URL": "mailto:report@shop.example",
    "PUBLIC_BASE_URL": "https://share.example/fn",
}


@dataclass
class Page(HTMLParser):
    """A page as a crawler sees it: the metas, the links of the head, everything that opens.

    words: what stands between two tags, each by itself.
    """

    html: str
    metas: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    hrefs: list[str] = field(default_factory=list)
    images: list[dict[str, str | None]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    html_lang: str | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if tag == "meta" and (name := values.get("property") or values.get("name")):
            assert name not in self.metas, f"{name} stands twice"
            self.metas[name] = values.get("content") or ""
        elif tag == "link":
            self.links[values.get("rel") or ""] = values.get("href") or ""
        elif tag == "a":
            self.hrefs.append(values.get("href") or "")
        elif tag == "img":
            self.images.append(values)
        elif tag == "html":
            self.html_lang = values.get("lang")

    def handle_data(self, data: str) -> None:
        self.words.add(data.strip())


@pytest.fixture
def shop(make_client: MakeClient) -> FlaskClient:
    return make_client(**STORE)


def share(client: FlaskClient, photo: bytes, **fields: str) -> dict[str, str]:
    answer: dict[str, str] = post(
        client, photo, headers=None, **({"platform": "email"} | fields)
    ).get_json()
    return answer


def page_of(client: FlaskClient, shared: dict[str, str]) -> Page:
    answer = client.get(f"/s/{shared['share_id']}")
    assert answer.status_code == 200
    return Page(answer.text)


def test_a_crawler_finds_a_complete_card(shop: FlaskClient, photo: bytes) -> None:
    shared = share(shop, photo)
    page = page_of(shop, shared)
    url = f"https://share.example/fn/s/{shared['share_id']}"
    assert shared["page_url"] == url
    assert page.links["canonical"] == page.metas["og:url"] == url
    expected = {
        "og:title": "A pet portrait from Perkie & Sons",
        "og:type": "website",
        "og:site_name": "Perkie & Sons",
        "og:locale": "en_US",
        "og:image": f"{url}/card.jpg",
        "og:image:secure_url": f"{url}/card.jpg",
        "og:image:type": "image/jpeg",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": "A pet portrait from Perkie & Sons",
        "twitter:card": "summary_large_image",
        "twitter:title": "A pet portrait from Perkie & Sons",
        "twitter:image": f"{url}/card.jpg",
        "twitter:image:alt": "A pet portrait from Perkie & Sons",
        "robots": "noindex",
    }
    assert expected.items() <= page.metas.items()
    assert page.metas["og:description"] == page.metas["twitter:description"]
    assert 0 < len(page.metas["og:description"]) <= 80  # what WhatsApp shows


def test_the_card_is_what_the_page_says_of_it(shop: FlaskClient, photo: bytes) -> None:
    for platform in ("email", "facebook"):
        shared = share(shop, photo, platform=platform)
        metas = page_of(shop, shared).metas
        card = shop.get(urlsplit(metas["og:image"]).path.removeprefix("/fn"))
        assert card.status_code == 200
        assert card.content_type == metas["og:image:type"]
        assert len(card.data) <= 300_000
        with Image.open(io.BytesIO(card.data)) as opened:
            size = (int(metas["og:image:width"]), int(metas["og:image:height"]))
            assert opened.size == size


class TestCrawlerRules:
    """One test for each rule of a network's crawler."""

    @pytest.fixture
    def html(self, shop: FlaskClient, photo: bytes) -> str:
        text: str = shop.get(f"/s/{share(shop, photo)['share_id']}").text
        return text

    def test_messengers_read_16_kb_and_find_every_tag_there(self, html: str) -> None:
        assert html.encode().index(b"</head>") < 16_000
        assert html.index("twitter:image:alt") < html.index("<style>")

    def test_whatsapp_needs_quoted_attributes(self, html: str) -> None:
        head = re.sub(r"<style>.*</style>", "", html[: html.index("</head>")], flags=re.DOTALL)
        without_values = re.sub(r'="[^"<>]*"', "", head)
        assert "content" in without_values
        assert "=" not in without_values

    def test_whatsapp_needs_an_og_url_without_parameters(self, html: str) -> None:
        assert urlsplit(Page(html).metas["og:url"]).query == ""

    def test_an_image_address_needs_no_escaping(self, html: str) -> None:
        image = Page(html).metas["og:image"]
        assert image.startswith("https://")
        assert not set("?&%") & set(image)

    def test_twitter_tags_are_named_and_not_properties(self, html: str) -> None:
        assert not re.search(r'property="twitter:', html)

    def test_facebook_needs_the_size_for_the_first_share(self, html: str) -> None:
        metas = Page(html).metas
        assert 1.9 < int(metas["og:image:width"]) / int(metas["og:image:height"]) < 1.92

    def test_no_crawler_is_redirected(self, shop: FlaskClient, photo: bytes) -> None:
        shared = share(shop, photo)
        for path in ("", ".jpg", "/card.jpg"):
            for method in ("GET", "HEAD"):
                answer = shop.open(f"/s/{shared['share_id']}{path}", method=method)
                assert answer.status_code == 200
                assert "Location" not in answer.headers
                assert (answer.content_length or 0) > 0

    def test_facebook_needs_ranges_honoured_on_the_card(
        self, shop: FlaskClient, photo: bytes
    ) -> None:
        path = f"/s/{share(shop, photo)['share_id']}/card.jpg"
        answer = shop.get(path, headers={"Range": "bytes=0-524287"})
        assert answer.status_code == 206
        assert answer.data == shop.get(path).data

    @pytest.mark.parametrize(
        "agent", ["facebookexternalhit/1.1", "Twitterbot/1.0", "WhatsApp/2.23.20 A", ""]
    )
    def test_every_crawler_gets_the_same_page(
        self, shop: FlaskClient, photo: bytes, agent: str
    ) -> None:
        path = f"/s/{share(shop, photo)['share_id']}"
        headers = {"User-Agent": agent, "Accept": "*/*"}
        assert shop.get(path, headers=headers).text == shop.get(path).text


def test_a_visitor_is_led_to_the_shop_with_the_share_named(shop: FlaskClient, photo: bytes) -> None:
    shared = share(shop, photo, platform="pinterest", effect_type="ink")
    (to_shop,) = [h for h in page_of(shop, shared).hrefs if urlsplit(h).netloc == "shop.example"]
    assert to_shop.startswith("https://shop.example/pets?")
    assert dict(parse_qsl(urlsplit(to_shop).query)) == {
        "ref": "a b",
        "utm_source": "pinterest",
        "utm_medium": "social_share",
        "utm_campaign": "ink",
        "utm_content": shared["share_id"],
    }


def test_a_page_that_was_drawn_for_one_visitor_is_not_shown_to_another(
    shop: FlaskClient, photo: bytes
) -> None:
    first, second = share(shop, photo), share(shop, photo, platform="pinterest")
    seen = set()
    for _ in range(2):  # drawn, then kept
        for shared, own in ((first, "email"), (second, "pinterest")):
            for query, source in (("", own), ("?via=x", "x"), ("?via=facebook", "facebook")):
                html = shop.get(f"/s/{shared['share_id']}{query}").text
                to_shop = next(h for h in Page(html).hrefs if "//shop.example" in h)
                fields = dict(parse_qsl(urlsplit(to_shop).query))
                assert fields["utm_content"] == shared["share_id"]
                assert fields["utm_source"] == source
                seen.add(html)
    assert len(seen) == 6


def test_the_page_shows_the_picture_and_offers_every_network(
    shop: FlaskClient, photo: bytes
) -> None:
    shared = share(shop, photo)
    page = page_of(shop, shared)
    (image,) = page.images
    assert image["src"] == f"{shared['share_id']}.jpg"  # beside the page, under any prefix
    assert (image["width"], image["height"]) == ("640", "480")
    assert image["alt"]
    links: object = shared["links"]
    assert isinstance(links, dict)
    assert set(links.values()) < set(page.hrefs)
    assert "mailto:report@shop.example" in page.hrefs


def test_a_page_needs_no_script_and_may_run_none(shop: FlaskClient, photo: bytes) -> None:
    answer = shop.get(f"/s/{share(shop, photo)['share_id']}")
    assert "script" not in Page(answer.text).tags
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["X-Robots-Tag"] == "noindex"


@pytest.mark.parametrize("path", [".jpg", "/card.jpg"])
def test_search_engines_list_no_picture(shop: FlaskClient, photo: bytes, path: str) -> None:
    address = f"/s/{share(shop, photo)['share_id']}{path}"
    answers = [
        shop.get(address),
        shop.head(address),
        shop.get(address, headers={"Range": "bytes=0-9"}),
    ]
    answers.append(shop.get(f"/s/{uuid7(age_s=90_000)}/card.jpg"))
    assert {answer.headers["X-Robots-Tag"] for answer in answers} == {"noindex"}


class TestCompressed:
    PLAIN: Mapping[str, str] = MappingProxyType({})
    ZIPPED: Mapping[str, str] = MappingProxyType({"Accept-Encoding": "gzip, br"})

    def test_every_page_is_gzipped_for_who_accepts_that(
        self, shop: FlaskClient, photo: bytes
    ) -> None:
        living = f"/s/{share(shop, photo)['share_id']}"
        for path in (living, f"/s/{uuid7(age_s=90_000)}", f"/s/{uuid7()}"):
            plain, zipped = (
                shop.get(path, headers={**BROWSER, **e}) for e in (self.PLAIN, self.ZIPPED)
            )
            assert "Content-Encoding" not in plain.headers
            assert zipped.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(zipped.data) == plain.data
            assert zipped.content_length == len(zipped.data) < len(plain.data) / 2
            assert "Accept-Encoding" in plain.vary
            assert "Accept-Encoding" in zipped.vary

    def test_who_has_a_page_is_told_that_it_has_not_changed(
        self, shop: FlaskClient, photo: bytes
    ) -> None:
        path = f"/s/{share(shop, photo)['share_id']}"
        etags = set()
        for headers in (self.PLAIN, self.ZIPPED):
            etag = shop.get(path, headers=headers).headers["ETag"]
            again = shop.get(path, headers={**headers, "If-None-Match": etag})
            assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
            assert "Accept-Encoding" in again.vary
            etags.add(etag)
        assert len(etags) == 2
        assert shop.get(path + "?via=x").headers["ETag"] not in etags


@pytest.mark.parametrize("field_name", ["platform", "effect_type"])
def test_what_a_client_sends_stays_text_on_the_page(
    shop: FlaskClient, photo: bytes, field_name: str
) -> None:
    shared = share(shop, photo, **{field_name: HOSTILE})
    answer = shop.get(f"/s/{shared['share_id']}")
    page = Page(answer.text)
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "\u202e" not in answer.text
    (to_shop,) = [h for h in page.hrefs if urlsplit(h).netloc == "shop.example"]
    utm = {"platform": "utm_source", "effect_type": "utm_campaign"}[field_name]
    assert parse_qs(urlsplit(to_shop).query)[utm] == [HOSTILE]


def test_a_file_name_never_reaches_the_page(shop: FlaskClient, photo: bytes) -> None:
    shared = post(shop, photo, filename="<b>alert.jpg", platform="email").get_json()
    assert "alert" not in shop.get(f"/s/{shared['share_id']}").text


def test_no_parameter_chooses_a_destination(shop: FlaskClient, photo: bytes) -> None:
    path = f"/s/{share(shop, photo)['share_id']}"
    tricks = "?url=//evil.example&next=https://evil.example&utm_source=evil"
    assert shop.get(path + tricks).text == shop.get(path).text


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"])
def test_a_forged_host_ends_up_in_no_page_that_others_get(
    make_client: MakeClient, photo: bytes, header: str
) -> None:
    for settings in (STORE, {"STORE_NAME": "x"}):
        client = make_client(**settings)
        path = f"/s/{share(client, photo)['share_id']}"
        forged = client.get(path, headers={header: "evil.example"})
        is_shared = "public" in forged.headers["Cache-Control"]
        assert not ("evil.example" in forged.text and (is_shared or header != "Host"))


class TestEnded:
    def test_a_late_visitor_gets_a_full_page_with_the_way_to_the_shop(
        self, shop: FlaskClient
    ) -> None:
        share_id = uuid7(age_s=86_401)
        for accept in ({}, {"Accept": "*/*"}, BROWSER):
            answer = shop.get(f"/s/{share_id}", headers=accept)
            assert answer.status_code == 410
            page = Page(answer.text)
            assert page.metas["og:image"] == f"https://share.example/fn/s/{share_id}/card.jpg"
            assert page.metas["og:title"] == "This picture has been deleted"
            (to_shop,) = page.hrefs
            assert urlsplit(to_shop).netloc == "shop.example"
            assert [image["src"] for image in page.images] == [f"{share_id}/card.jpg"]

    def test_programs_get_json(self, shop: FlaskClient) -> None:
        answer = shop.get(f"/s/{uuid7(age_s=90_000)}", headers={"Accept": "application/json"})
        assert (answer.status_code, answer.get_json()["code"]) == (410, "gone")
        answer = shop.get(f"/s/{uuid7(age_s=90_000)}.jpg")
        assert (answer.status_code, answer.get_json()["code"]) == (410, "gone")

    def test_the_second_in_which_a_share_ends_is_the_first_without_it(
        self, make_client: MakeClient, photo: bytes
    ) -> None:
        client = make_client(SHARE_TTL_HOURS=str(2 / 3600))
        shared = post(client, photo, platform="email").get_json()
        page, picture = f"/s/{shared['share_id']}", f"/s/{shared['share_id']}.jpg"
        assert {client.get(page).status_code, client.get(picture).status_code} == {200}
        time.sleep(shared["expires_at"] - time.time())
        assert {client.get(page).status_code, client.get(picture).status_code} == {410}

    def test_old_posts_keep_a_card_without_the_customers_picture(self, shop: FlaskClient) -> None:
        late = f"/s/{uuid7(age_s=90_000)}/card.jpg"
        answer = shop.get(late)
        assert (answer.status_code, answer.content_type) == (200, "image/jpeg")
        with Image.open(io.BytesIO(answer.data)) as opened:
            assert opened.size == (1200, 630)
        assert len(answer.data) <= 300_000
        assert shop.get(f"/s/{uuid7(age_s=900_000)}/card.jpg").data == answer.data
        head = shop.head(late)
        assert head.content_length == len(answer.data)
        assert shop.get(late, headers={"If-None-Match": head.headers["ETag"]}).status_code == 304
        assert shop.get(late, headers={"Range": "bytes=0-9"}).data == answer.data[:10]


class TestMissing:
    @pytest.mark.parametrize(
        "share_id",
        [uuid7(), "nonsense", uuid7(age_s=-7200), "%22%3E%3Cb%3E"],
        ids=["never was", "nonsense", "ahead", "markup"],
    )
    def test_people_get_a_page_and_programs_json(self, shop: FlaskClient, share_id: str) -> None:
        for path in (f"/s/{share_id}", f"/s/{share_id}.jpg", f"/s/{share_id}/card.jpg"):
            page = shop.get(path, headers=BROWSER)
            assert (page.status_code, page.mimetype) == (404, "text/html")
            assert "b" not in Page(page.text).tags
            answer = shop.get(path, headers={"Accept": "application/json"})
            assert answer.get_json() == {"detail": "Not Found", "code": "not_found"}

    def test_a_browser_that_loads_an_image_gets_no_page(self, shop: FlaskClient) -> None:
        headers = {"Accept": "image/avif,image/webp,image/*,*/*;q=0.8"}
        assert shop.get(f"/s/{uuid7()}.jpg", headers=headers).mimetype == "application/json"


class TestDelete:
    def delete(self, client: FlaskClient, share_id: str, token: str | None) -> int:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = client.delete(f"{SHARE}/{share_id}", headers=headers)
        assert answer.status_code == 204 or answer.is_json
        return answer.status_code

    @pytest.mark.parametrize("platform", ["email", "facebook"])
    def test_the_token_takes_everything_back_again_and_again(
        self, shop: FlaskClient, photo: bytes, platform: str
    ) -> None:
        shared = share(shop, photo, platform=platform)
        for _ in range(2):
            assert self.delete(shop, shared["share_id"], shared["delete_token"]) == 204
        for path in ("", ".jpg", "/card.jpg"):
            for answer in (shop.get, shop.head):
                gone = answer(f"/s/{shared['share_id']}{path}")
                assert (gone.status_code, gone.headers["Cache-Control"]) == (410, "no-store")
        page = Page(shop.get(f"/s/{shared['share_id']}", headers=BROWSER).text)
        assert page.images == []  # the card is gone, too

    def test_a_share_that_was_taken_back_cannot_be_posted_again(
        self, shop: FlaskClient, photo: bytes
    ) -> None:
        headers = {"Idempotency-Key": uuid7()}
        shared = post(shop, photo, platform="email", headers=headers).get_json()
        assert self.delete(shop, shared["share_id"], shared["delete_token"]) == 204
        again = post(shop, photo, platform="email", headers=headers)
        assert (again.status_code, again.get_json()["code"]) == (410, "gone")

    def test_taking_back_what_is_not_there_yet_counts_as_a_share(
        self, make_client: MakeClient, photo: bytes
    ) -> None:
        client = make_client(RATE_LIMIT="2/hour")
        shared = share(client, photo)
        for _ in range(3):
            assert self.delete(client, shared["share_id"], shared["delete_token"]) == 204
        statuses = [
            self.delete(client, str(share_id_of(UUID(token))), token)
            for token in (uuid7(), uuid7(age_s=700), uuid7())
        ]
        assert statuses == [204, 204, 429]

    def test_without_a_token_nothing_is_taken_back(self, shop: FlaskClient, photo: bytes) -> None:
        shared = share(shop, photo)
        answer = shop.delete(f"{SHARE}/{shared['share_id']}")
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        basic = shop.delete(f"{SHARE}/{shared['share_id']}", headers={"Authorization": "Basic x"})
        assert basic.status_code == 401
        assert shop.get(f"/s/{shared['share_id']}").status_code == 200

    def test_a_wrong_token_is_refused_whether_the_share_exists_or_not(
        self, shop: FlaskClient, photo: bytes
    ) -> None:
        shared = share(shop, photo)
        for share_id in (shared["share_id"], uuid7(), uuid7(age_s=90_000)):
            for token in (uuid7(), "x", shared["share_id"], "\u00fc"):
                assert self.delete(shop, share_id, token) == 403
        assert shop.get(f"/s/{shared['share_id']}").status_code == 200

    def test_get_never_takes_back(self, shop: FlaskClient, photo: bytes) -> None:
        shared = share(shop, photo)
        headers = {"Authorization": f"Bearer {shared['delete_token']}"}
        assert shop.get(f"{SHARE}/{shared['share_id']}", headers=headers).status_code == 405
        assert shop.get(f"/s/{shared['share_id']}").status_code == 200


def test_links_encode_every_value(make_client: MakeClient, photo: bytes) -> None:
    client = make_client(STORE_NAME="A&B?c=d\u00fc #1", PUBLIC_BASE_URL="https://share.example")
    links: object = share(client, photo)["links"]
    assert isinstance(links, dict)
    for network, link in links.items():
        parts = urlsplit(link)
        values = " ".join(v for _, v in parse_qsl(parts.query))
        assert not parts.fragment
        assert "https://share.example/s/" in values
        assert ("A&B?c=d\u00fc #1" in values) == (network not in {"facebook", "linkedin"})
    assert set(links) == {
        *("facebook", "x", "threads", "bluesky", "pinterest"),
        *("linkedin", "whatsapp", "telegram", "reddit", "email"),
    }
    assert "%0D%0A" in links["email"]
