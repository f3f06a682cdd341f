from __future__ import annotations

import pytest

from imaging.geometry import Canvas, Fit
from platforms import CANVAS_SIZES, CARD_MAX_BYTES, PICTURE_MAX_BYTES, card_canvas, picture_canvas

CARD = Canvas(size=(1200, 630), fit=Fit.PAD, max_bytes=CARD_MAX_BYTES)


def test_the_networks_of_link_previews_have_the_cards_canvas() -> None:
    networks = "facebook x twitter linkedin whatsapp telegram reddit threads bluesky"
    assert set(networks.split()) == {n for n, size in CANVAS_SIZES.items() if size == CARD.size}


@pytest.mark.parametrize(
    "platform",
    ["facebook", "x", "bluesky"],
)
def test_networks_that_show_a_card_get_the_card_as_their_picture(platform: str) -> None:
    assert picture_canvas(platform, None, max_side_px=1200) == card_canvas(None) == CARD


@pytest.mark.parametrize(
    ("platform", "size"),
    [
        ("pinterest", (1000, 1500)),
        ("instagram", (1080, 1350)),
        ("instagram_story", (1080, 1920)),
        ("tiktok", (1080, 1920)),
        ("snapchat", (1080, 1920)),
        (" Pinterest ", (1000, 1500)),
    ],
)
def test_networks_with_a_canvas_are_padded_to_it(platform: str, size: tuple[int, int]) -> None:
    expected = Canvas(size=size, fit=Fit.PAD, max_bytes=PICTURE_MAX_BYTES)
    assert picture_canvas(platform, None, max_side_px=1200) == expected


@pytest.mark.parametrize("platform", ["email", "copy", "download", "myspace", "../../etc"])
def test_every_other_name_is_neither_padded_nor_enlarged(platform: str) -> None:
    canvas = picture_canvas(platform, None, max_side_px=900)
    assert (canvas.size, canvas.fit) == ((900, 900), Fit.INSIDE)


@pytest.mark.parametrize("fit", list(Fit))
def test_a_chosen_fit_overrules_the_platforms(fit: Fit) -> None:
    assert picture_canvas("pinterest", fit, max_side_px=1200).fit is fit
    assert picture_canvas("email", fit, max_side_px=1200).fit is fit
    assert picture_canvas("facebook", fit, max_side_px=1200).fit is fit


def test_a_card_is_always_full() -> None:
    assert card_canvas(Fit.INSIDE) == CARD
    assert card_canvas(Fit.COVER).fit is Fit.COVER


def test_cards_have_what_whatsapp_shows_and_pictures_what_bluesky_takes() -> None:
    for fit in (None, *Fit):
        assert card_canvas(fit).max_bytes == 300_000
        assert picture_canvas("email", fit, max_side_px=1200).max_bytes == 1_000_000
