"""The shop's color and logo on its pages."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin

import pytest
from function_server import ROOT
from keys import uuid7
from test_pages import BROWSER, Page, page_of, share

from config import load_settings
from errors import ConfigurationError
from serving.looks import DEFAULT_ACCENT, Looks, contrast, ink_on

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeClient

SVG = b'<?xml version="1.0"?>\n<!-- ours -->\n<svg xmlns="http://www.w3.org/2000/svg"/>'
PNG = b"\x89PNG\r\n\x1a\n"


def test_contrast_is_that_of_wcag() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((0x77, 0x77, 0x77), (255, 255, 255)) == pytest.approx(4.478, abs=0.001)
    assert contrast((9, 9, 9), (9, 9, 9)) == 1


def test_a_button_can_be_read_in_any_color() -> None:
    colors = [(red, green, blue) for red, green, blue in product(range(0, 256, 15), repeat=3)]
    assert min(contrast(color, ink_on(color)) for color in colors) >= 4.5


@pytest.mark.parametrize(
    ("accent", "ink"), [("#FF8800", "#000000"), ("#102030", "#ffffff"), ("#ffffff", "#000000")]
)
def test_the_color_is_that_of_button_favicon_and_browser(
    make_client: MakeClient, photo: bytes, accent: str, ink: str
) -> None:
    client = make_client(ACCENT_COLOR=accent)
    page = page_of(client, share(client, photo))
    (css,) = [text for text in page.words if text.startswith(":root")]
    rules = f":root {{ --accent: {accent.lower()}; --on-accent: {ink}; }}"
    assert css.endswith(rules)  # behind those for dark ground
    assert page.metas["theme-color"] == accent.lower()
    assert f'fill="{accent.lower()}"' in unquote(page.links["icon"])
    assert page.links["icon"].startswith("data:image/svg+xml,")


def test_without_a_color_pages_have_one() -> None:
    looks = Looks(load_settings({}))
    assert f"--accent: {looks.theme_color};" in looks.css
    assert bytes(DEFAULT_ACCENT).hex() in looks.favicon


@pytest.mark.parametrize("value", ["red", "#fff", "#12345g"])
def test_a_color_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ACCENT_COLOR: found .*, expected #rrggbb"):
        load_settings({"ACCENT_COLOR": value})


@pytest.mark.parametrize(
    ("name", "data", "content_type"),
    [
        ("logo.svg", SVG, "image/svg+xml"),
        ("logo.png", PNG, "image/png"),
        ("logo.jpg", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("logo.webp", b"RIFF\n\0\0\0WEBP", "image/webp"),
    ],
)
def test_the_logo_stands_at_the_head_of_every_page(
    make_client: MakeClient, photo: bytes, tmp_path: Path, name: str, data: bytes, content_type: str
) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    client = make_client(LOGO_FILE=str(file), STORE_NAME='Fur "&" Co')
    paths = [f"/s/{share(client, photo)['share_id']}", f"/s/{uuid7(age_s=90_000)}"]
    for path in (*paths, "/nothing", f"/s/{uuid7()}/card.jpg"):
        html = client.get(path, headers=BROWSER).text
        logo = Page(html).images[0]
        assert logo["alt"] == 'Fur "&" Co'
        url = urljoin(f"https://any.example/prefix{path}", logo["src"])
        assert url == "https://any.example/prefix/logo"
    answer = client.get("/logo")
    assert (answer.status_code, answer.content_type, answer.data) == (200, content_type, data)
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_without_a_logo_there_is_the_shops_name(make_client: MakeClient, photo: bytes) -> None:
    client = make_client(STORE_NAME="Fur & Co")
    page = page_of(client, share(client, photo))
    assert len(page.images) == 1
    assert "Fur & Co" in page.words
    assert client.get("/logo").status_code == 404


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("logo.gif", b"GIF89a"),
        ("logo.png", SVG),
        ("logo.svg", b"<html>"),
        ("logo.svg", PNG),
        ("logo.png", PNG + bytes(100_000)),
        ("logo.PNG", PNG),
        ("logo", PNG),
    ],
)
def test_a_file_that_is_no_logo_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(ConfigurationError, match=re.escape("LOGO_FILE: found ")):
        load_settings({"LOGO_FILE": str(file)})
    with pytest.raises(ConfigurationError):
        load_settings({"LOGO_FILE": str(tmp_path)})


def test_a_logo_may_have_100_kb(tmp_path: Path) -> None:
    file = tmp_path / "logo.png"
    file.write_bytes(PNG.ljust(100_000, b"\0"))
    assert load_settings({"LOGO_FILE": str(file)}).logo_file == file


def test_the_style_sheet_of_the_pages_is_one_file() -> None:
    assert (ROOT / "serving/templates/page.css").read_text() == Looks(load_settings({})).css
