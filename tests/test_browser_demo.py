"""The demo page in a real Chromium: what a newcomer sees after scripts/serve."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import httpx
import pictures
import pytest
from browser import Watch, axe
from function_server import FunctionServer, serve
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Literal

    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.slow

LINKED = [
    "facebook",
    "x",
    "linkedin",
    "whatsapp",
    "telegram",
    "threads",
    "bluesky",
    "reddit",
    "email",
]
PICTURED = {
    "pinterest": [1000, 1500],
    "instagram": [1080, 1350],
    "instagram_story": [1080, 1920],
}


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    with serve(tmp_path_factory.mktemp("function"), {"STORE_NAME": "Fur & Co"}) as running:
        yield running


@pytest.fixture
def demo(context: BrowserContext, watch: Watch, function: FunctionServer) -> Page:
    page = context.new_page()
    page.goto(function.url)
    return page


def try_it(page: Page, sample: str = "Try a photo") -> None:
    """Share a sample, and wait until every network has its picture."""
    page.get_by_role("button", name=sample).click()
    page.locator(".instagram_story .go").wait_for()


def answer_of(page: Page) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(page.locator("#json").inner_text())
    return shown


def extra_urls(page: Page) -> list[str]:
    urls: list[str] = page.locator("#picture-cards img").evaluate_all(
        "all => all.map((i) => i.src)"
    )
    return urls


def test_every_network_shows_the_real_card_with_its_real_words(demo: Page, watch: Watch) -> None:
    try_it(demo)
    share = answer_of(demo)
    html = httpx.get(share["page_url"]).text
    title = re.findall(r'og:title" content="([^"]+)"', html)[0].replace("&amp;", "&")
    assert title == "A pet portrait from Fur & Co"
    for network in LINKED:
        card = demo.locator(f".card.{network}")
        assert card.locator(".title").text_content() == title
        assert card.locator(".go").get_attribute("href") == share["links"][network]
        assert card.locator("img").get_attribute("src") == share["card_url"]
    loaded = "image => image.complete && [image.naturalWidth, image.naturalHeight]"
    assert demo.locator(".card.facebook img").evaluate(loaded) == [1200, 630]
    opened = demo.locator("#picture-link").get_attribute("href")
    assert opened == f"{share['url']}?raw"  # else a browser is led to the page
    for network, size in PICTURED.items():
        image = demo.locator(f".card.{network} img")
        image.evaluate("image => image.decode()")
        assert image.evaluate(loaded) == size
    assert watch.complaints == []


def test_nothing_is_loaded_from_elsewhere(demo: Page, function: FunctionServer) -> None:
    seen: list[str] = []
    demo.on("request", lambda request: seen.append(request.url))
    demo.reload()
    try_it(demo)
    away = [url for url in seen if not url.startswith((function.url, "data:", "blob:"))]
    assert len(seen) > 10
    assert away == []


def test_the_answer_is_shown_as_it_came(demo: Page) -> None:
    answers: list[Any] = []
    demo.on("response", lambda r: answers.append(r.json()) if r.request.method == "POST" else None)
    try_it(demo)
    assert answer_of(demo) == answers[0]


def test_a_chosen_file_takes_the_same_way(demo: Page, tmp_path: Path) -> None:
    path = tmp_path / "luna.png"
    path.write_bytes(pictures.cutout_png((300, 500)))
    demo.locator("share-image-button input").set_input_files(path)
    demo.locator(".instagram_story .go").wait_for()
    assert answer_of(demo)["content_type"] == "image/jpeg"


def test_the_time_left_is_counted_down_by_the_servers_clock(
    context: BrowserContext, function: FunctionServer
) -> None:
    context.add_init_script("const real = Date.now; Date.now = () => real() - 7200e3;")
    page = context.new_page()
    page.goto(function.url)
    try_it(page)
    left = page.locator("#left").inner_text()
    assert left.startswith(("23:59:", "24:00:00"))
    expect(page.locator("#left")).not_to_have_text(left, timeout=3000)


def test_what_has_ended_is_put_away(context: BrowserContext, tmp_path: Path) -> None:
    with serve(tmp_path, {"SHARE_TTL_HOURS": "0.002"}) as brief:  # 7 s
        page = context.new_page()
        page.goto(brief.url)
        page.get_by_role("button", name="Try a photo").click()
        page.locator("#result").wait_for()
        expect(page.locator("#result")).to_be_hidden(timeout=10_000)
        expect(page.locator(".countdown")).to_be_hidden()


def test_deleting_takes_every_picture_back(demo: Page) -> None:
    try_it(demo)
    urls = [answer_of(demo)["url"], *extra_urls(demo)]
    assert len(set(urls)) == 4
    assert [httpx.get(url).status_code for url in urls] == [200] * 4
    demo.get_by_role("button", name="Delete now").click()
    expect(demo.get_by_role("status")).to_have_text("The picture is deleted.")
    expect(demo.locator("#result")).to_be_hidden()
    deadline = time.monotonic() + 5
    while any(httpx.get(url).status_code != 410 for url in urls):
        assert time.monotonic() < deadline
        demo.wait_for_timeout(50)


def test_the_other_fit_makes_the_pictures_anew(demo: Page) -> None:
    try_it(demo)
    before = extra_urls(demo)
    demo.get_by_label("Fill the frame").check()
    demo.locator("share-image-button[state=busy]").wait_for()
    demo.locator(".instagram_story .go").wait_for()
    after = extra_urls(demo)
    assert set(before).isdisjoint(after)
    pictures_ = [httpx.get(url).content for url in (before[0], after[0])]
    assert pictures_[0] != pictures_[1]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_narrow_and_wide_light_and_dark(
    browser: Browser, function: FunctionServer, width: int, scheme: Literal["light", "dark"]
) -> None:
    size = {"width": width, "height": 800}
    with browser.new_context(viewport=size, color_scheme=scheme) as context:  # type: ignore[arg-type]
        watch = Watch.over(context)
        page = context.new_page()
        page.goto(function.url)
        assert axe(page) == []
        try_it(page, "Try a cut-out")
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert watch.complaints == []
