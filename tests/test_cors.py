"""Which pages of other sites may use the function, and what browsers are told."""

from __future__ import annotations

import pytest

from errors import OriginNotAllowed
from serving.cors import Origins

OWN = ("https://share.example",)
SHOP = Origins.of(("https://shop.example", "https://*.shopifypreview.com", "http://localhost:3000"))


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "https://a1b2-c3.shopifypreview.com",
        "http://localhost:3000",
        "https://share.example",
    ],
)
def test_listed_origins_and_the_functions_own_pass(origin: str) -> None:
    SHOP.check(origin, OWN)
    assert SHOP.headers(origin, OWN)["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evilshop.example",
        "https://shopXexample",
        "https://shopifypreview.com",
        "https://.shopifypreview.com",
        "https://a.b.shopifypreview.com",
        "https://evil.example/.shopifypreview.com",
        "https://evil.example#.shopifypreview.com",
        "https://shop.example\nhttps://evil.example",
        "null",
        "",
    ],
)
def test_every_other_origin_is_refused_and_gets_no_cors_header(origin: str) -> None:
    with pytest.raises(OriginNotAllowed):
        SHOP.check(origin, OWN)
    assert SHOP.headers(origin, OWN) == {"Vary": "Origin"}


def test_pages_of_named_origins_may_send_credentials_and_no_others() -> None:
    """As the replaced endpoint let them. Beside `*` browsers would refuse the answer."""
    named = ("https://shop.example", "https://a1b2-c3.shopifypreview.com")
    for origin in named:
        assert SHOP.headers(origin, OWN)["Access-Control-Allow-Credentials"] == "true"
    everyone = Origins.of(("*",))
    others: list[tuple[Origins, str | None]] = [
        (SHOP, OWN[0]),
        (SHOP, "https://evil.example"),
        (SHOP, None),
        (everyone, named[0]),
        (everyone, None),
    ]
    for origins, other in others:
        assert "Access-Control-Allow-Credentials" not in origins.headers(other, OWN)


def test_a_request_without_an_origin_passes() -> None:
    SHOP.check(None, OWN)
    assert SHOP.headers(None, OWN) == {"Vary": "Origin"}


def test_a_star_lets_every_origin_in_without_varying() -> None:
    everyone = Origins.of(("*",))
    everyone.check("https://anywhere.example", OWN)
    headers = everyone.headers("https://anywhere.example", OWN)
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in headers
