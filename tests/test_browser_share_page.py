"""The pages of a share in a real Chromium: narrow and wide, light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from browser import Watch, axe
from function_server import FunctionServer, serve
from keys import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

STORE = {
    "STORE_NAME": "Perkie Prints",
    "STORE_URL": "https://shop.example/",
    "CONTACT_URL": "mailto:report@shop.example",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    with serve(tmp_path_factory.mktemp("shop"), STORE) as running:
        yield running


@pytest.fixture(scope="module")
def addresses(shop: FunctionServer, photo: bytes) -> dict[str, str]:
    """The addresses of a page that lives, one that is over and one that never was."""
    answer = httpx.post(
        f"{shop.url}/api/v2/share-image", data={"platform": "pinterest"}, files={"file": photo}
    )
    return {
        "living": answer.json()["page_url"],
        "ended": f"{shop.url}/s/{uuid7(age_s=90_000)}",
        "missing": f"{shop.url}/s/{uuid7()}",
    }


@pytest.fixture(params=[360, 1280])
def width(request: pytest.FixtureRequest) -> int:
    chosen: int = request.param
    return chosen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["living", "ended", "missing"])
def test_a_page_is_accessible_and_complains_of_nothing(
    browser: Browser,
    addresses: dict[str, str],
    kind: str,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=True
    )
    watch = Watch.over(context)
    page = context.new_page()
    page.goto(addresses[kind])
    expected = [] if kind == "living" else [watch.complaints[0]]  # the status itself
    assert axe(page) == []
    assert watch.complaints == expected
    assert not scrolls_sideways(page)
    assert page.get_by_role("link", name="Visit Perkie Prints").is_visible()
    context.close()


def scrolls_sideways(page: Page) -> bool:
    overflow: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return overflow > 0


def test_the_page_shows_its_picture_in_its_proportions(
    browser: Browser, addresses: dict[str, str], width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(addresses["living"])
    natural: list[int] = page.evaluate(
        "(image => [image.naturalWidth, image.naturalHeight])(document.querySelector('img'))"
    )
    assert natural == [1000, 1500]
    box = page.get_by_role("img").bounding_box()
    assert box is not None
    assert box["width"] > 0.8 * min(width, 700)
    assert box["height"] > 300
    page.close()


def test_the_page_works_without_script(browser: Browser, addresses: dict[str, str]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(addresses["living"])
    link = page.get_by_role("link", name="Facebook").get_attribute("href") or ""
    assert link.startswith("https://www.facebook.com/sharer/")
    assert page.get_by_role("link", name="Report this picture").is_visible()
    context.close()


def test_every_link_can_be_reached_and_seen_from_the_keyboard(
    browser: Browser, addresses: dict[str, str]
) -> None:
    page = browser.new_page()
    page.goto(addresses["living"])
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        outline: str = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        reached.append(page.evaluate("document.activeElement.textContent"))
    assert reached[0] == "Visit Perkie Prints"
    assert {"Facebook", "Pinterest", "Email", "Report this picture"} <= set(reached)
    page.close()
