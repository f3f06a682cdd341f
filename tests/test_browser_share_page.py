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
    way = "Visit Perkie Prints" if kind == "missing" else "Make one of your pet"
    assert page.get_by_role("link", name=way).is_visible()
    context.close()


def scrolls_sideways(page: Page) -> bool:
    overflow: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return overflow > 0


@pytest.fixture(scope="module")
def shapes(shop: FunctionServer, photo: bytes) -> dict[str, str]:
    """The addresses of pages with pictures of each shape, in the longest language."""
    platforms = {"landscape": "facebook", "portrait": "instagram", "story": "tiktok"}
    url = f"{shop.url}/api/v2/share-image"
    return {
        shape: httpx.post(
            url, data={"platform": platform, "lang": "fr"}, files={"file": photo}
        ).json()["page_url"]
        for shape, platform in platforms.items()
    }


@pytest.mark.parametrize(
    ("width", "height", "columns"), [(1366, 650, 2), (844, 390, 2), (390, 664, 1), (360, 600, 1)]
)
@pytest.mark.parametrize("shape", ["landscape", "portrait", "story"])
def test_the_whole_picture_and_the_way_to_the_shop_are_on_the_first_screen(
    browser: Browser, shapes: dict[str, str], shape: str, width: int, height: int, columns: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(shapes[shape])
    natural: list[int] = page.evaluate(
        "(image => [image.naturalWidth, image.naturalHeight])(document.querySelector('img'))"
    )
    picture = page.locator(".picture").bounding_box()
    shop = page.get_by_role("link", name="Créez celui de votre animal").bounding_box()
    page.close()
    assert picture is not None
    assert shop is not None
    assert picture["width"] / picture["height"] == pytest.approx(natural[0] / natural[1], rel=0.01)
    # As large as the room that there is: most of the height, or all of the column's width.
    is_wide = picture["width"] > (width - 36 if columns == 1 else 0.45 * width)
    assert is_wide or picture["height"] > 0.75 * height
    for box in (picture, shop):
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width
        assert 0 <= box["y"] <= box["y"] + box["height"] <= height
    is_beside = shop["x"] >= picture["x"] + picture["width"]
    assert is_beside == (columns == 2)


def test_nothing_moves_while_the_page_loads(browser: Browser, shapes: dict[str, str]) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 664})
    page.goto(shapes["portrait"])
    shift = """new Promise((resolve) => {
      let moved = 0;
      const add = (list) => list.getEntries().forEach(({ value }) => { moved += value; });
      new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(moved)));
    })"""
    assert page.evaluate(shift) == 0
    page.close()


@pytest.mark.parametrize(("is_phone", "is_shown"), [(False, True), (True, False)])
def test_the_way_to_the_phone_is_shown_at_a_desk(
    browser: Browser, shapes: dict[str, str], *, is_phone: bool, is_shown: bool
) -> None:
    context = browser.new_context(is_mobile=is_phone, has_touch=is_phone)
    page = context.new_page()
    page.goto(shapes["story"])
    code = page.get_by_role("img", name="Ouvrir sur votre téléphone")
    assert code.is_visible() == is_shown
    context.close()


def test_a_browser_opens_a_picture_as_its_page_and_saves_it_as_a_file(
    browser: Browser, shapes: dict[str, str]
) -> None:
    page = browser.new_page()
    answer = page.goto(shapes["story"] + ".jpg")
    assert answer is not None
    assert page.url == shapes["story"]
    picture = page.locator(".picture")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1080
    with page.expect_download() as saving:
        page.evaluate(
            "href => Object.assign(document.createElement('a'), { href, download: '' }).click()",
            shapes["story"] + ".jpg",
        )
    assert saving.value.path().read_bytes().startswith(b"\xff\xd8\xff")
    answer = page.goto(shapes["story"] + ".jpg?raw")
    assert answer is not None
    assert answer.headers["content-type"] == "image/jpeg"
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
    assert reached[0] == "Make one of your pet"
    assert {"Facebook", "Pinterest", "Email", "Report this picture"} <= set(reached)
    page.close()
