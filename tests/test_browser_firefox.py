"""The main way in Firefox: choose a picture, see it, share it, take it back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import httpx
import pictures
import pytest
from firefox import firefox
from function_server import serve
from PIL import Image

from serving.languages import pick

if TYPE_CHECKING:
    from pathlib import Path

    from storefront import Storefront

pytestmark = pytest.mark.slow

STATE = "document.querySelector('share-image-button').getAttribute('state')"
TEXT = (
    "return document.querySelector('share-image-button').shadowRoot.querySelector(%r).textContent"
)
NAMED = """
  const {shadowRoot} = document.querySelector("share-image-button");
  return [...shadowRoot.querySelectorAll("a, button, label")]
    .filter((one) => one.getClientRects().length).map((one) => one.textContent);"""


def test_the_main_way_works_in_firefox(storefront: Storefront, tmp_path: Path) -> None:
    picture = tmp_path / "luna.jpg"
    picture.write_bytes(pictures.photo_jpeg((2600, 1900), orientation=6))
    assert picture.stat().st_size > 1_000_000
    profile = tmp_path / "profile"
    profile.mkdir()
    texts = pick("de").client
    allowed = {"ALLOWED_ORIGINS": storefront.url}
    with serve(tmp_path, allowed) as function, firefox(profile) as browser:
        browser.do("WebDriver:Navigate", url=storefront.page(function.url, lang="de"))
        browser.until(f"{STATE} === 'idle'")
        file = browser.find_in("share-image-button", "input[type=file]")
        browser.do("WebDriver:ElementSendKeys", id=file, text=str(picture))
        browser.until(f"{STATE} === 'ready'")
        assert browser.run(TEXT % "[role=status]") == texts["ready"]
        names = browser.run(NAMED)
        assert names[:3] == ["Facebook", "X", "Threads"]
        assert names[-5:] == [texts[n] for n in ("link", "image", "download", "delete", "other")]
        href = browser.run(
            "return document.querySelector('share-image-button').shadowRoot.querySelector('a').href"
        )
        page_url = httpx.URL(href).params["u"]
        share = httpx.get(f"{page_url}.jpg")
        assert share.status_code == 200
        width, height = Image.open(io.BytesIO(share.content)).size
        assert (width, height) == (877, 1200)  # scaled down in the browser, upright
        delete = browser.find_in("share-image-button", "#delete")
        browser.do("WebDriver:ElementClick", id=delete)
        browser.until(f"{STATE} === 'idle'")
        assert browser.run(TEXT % "[role=status]") == texts["deleted"]
        assert httpx.get(page_url).status_code == 410
