"""docs/uploaders.md with the real uploaders: each snippet shares a picture from another origin."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import httpx
import pictures
import pytest
from function_server import ROOT, FunctionServer, serve
from npm import bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser
    from storefront import Storefront

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "uploaders.md").read_text("utf-8")
SNIPPETS = dict(re.findall(r"^## (\w+).*?^```js\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL))

# What a customer does, by uploader.
USES = {
    "fetch": "upload(file)",
    "axios": "upload(file)",
    "Dropzone": "dropzone.addFile(file)",
    "Uppy": "uppy.addFile({name: file.name, type: file.type, data: file}), uppy.upload()",
    "FilePond": "pond.addFile(file)",
}


@pytest.fixture(scope="module")
def function(
    tmp_path_factory: pytest.TempPathFactory, storefront_server: Storefront
) -> Iterator[FunctionServer]:
    allowed = {"ALLOWED_ORIGINS": storefront_server.url}
    with serve(tmp_path_factory.mktemp("function"), allowed) as running:
        yield running


def test_every_snippet_is_tried() -> None:
    assert set(SNIPPETS) == set(USES)


@pytest.mark.parametrize("uploader", USES)
def test_an_uploader_shares_as_documented(
    browser: Browser, storefront: Storefront, function: FunctionServer, uploader: str
) -> None:
    code = bundle(SNIPPETS[uploader].replace("FUNCTION", function.url) + FILE + USES[uploader])
    with browser.new_context(bypass_csp=True) as context:  # what an uploader's styles ask for
        page = context.new_page()
        page.goto(storefront.page(function.url))
        page.evaluate(PLACES)
        page.evaluate("(picture) => { window.picture = picture }", PICTURE)
        page.add_script_tag(content=code, type="module")
        page.wait_for_function("window.share")
        share = page.evaluate("share")
    assert share["platform"] == "pinterest"
    assert httpx.get(share["url"]).status_code == 200


PICTURE = base64.b64encode(pictures.photo_jpeg((320, 240))).decode()
PLACES = """() => {
  window.show = (share) => { window.share = share };
  const form = Object.assign(document.createElement("form"), {id: "dropzone"});
  const input = Object.assign(document.createElement("input"), {id: "filepond", type: "file"});
  document.body.append(form, input);
}"""
FILE = """
const bytes = Uint8Array.from(atob(window.picture), (letter) => letter.charCodeAt(0));
const file = new File([bytes], "luna.jpg", {type: "image/jpeg"});
"""


def test_a_page_written_for_the_replaced_endpoint_shares(
    browser: Browser, storefront: Storefront, function: FunctionServer
) -> None:
    """It sends header fields of its own, and credentials."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(storefront.page(function.url))
        status = page.evaluate(
            """async ([url, picture]) => {
              const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
              const body = new FormData();
              body.append("file", new Blob([bytes]), "luna.jpg");
              body.append("platform", "pinterest");
              const headers = {"X-Session-ID": "1", "X-Requested-With": "XMLHttpRequest",
                               "Cache-Control": "no-cache"};
              const credentials = "include";
              return (await fetch(url, {method: "POST", body, headers, credentials})).status;
            }""",
            [f"{function.url}/api/v2/share-image", PICTURE],
        )
    assert status == 200
