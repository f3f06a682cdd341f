"""The line of text on a picture: where it is, and whether it can be read."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pictures
import pytest
from jpeg_segments import assert_only_pixels
from keys import uuid7
from PIL import Image, ImageChops, ImageFont

from config import ImageSettings
from config.glyphs import BUNDLED_FONTS, lacking
from image_ops import read_header, render
from imaging.geometry import Canvas, Fit
from platforms import card_canvas, picture_canvas

if TYPE_CHECKING:
    from conftest import MakeClient

    from imaging.geometry import Size

PLAIN = ImageSettings()
MARKED = ImageSettings(watermark_text="Perkie Prints")
INSIDE = picture_canvas("email", None, max_side_px=1200)
LOSSLESS_ENOUGH = 9_000_000


def shown(data: bytes, settings: ImageSettings, target: Canvas = INSIDE) -> Image.Image:
    (rendition,) = render(data, read_header(data, settings), [target], settings)
    assert_only_pixels(rendition.data)
    return Image.open(io.BytesIO(rendition.data)).convert("RGB")


def change(data: bytes, target: Canvas = INSIDE, settings: ImageSettings = MARKED) -> Image.Image:
    """Return how much the watermark changes each pixel, as one band."""
    difference = ImageChops.difference(shown(data, settings, target), shown(data, PLAIN, target))
    return difference.convert("L")


def box_of(difference: Image.Image, threshold: int = 24) -> tuple[int, int, int, int]:
    found = difference.point([0] * threshold + [255] * (256 - threshold)).getbbox()
    assert found is not None
    return found


def png(picture: Image.Image) -> bytes:
    return pictures.encoded(picture, "PNG", compress_level=1)


def striped(size: Size, step: int) -> Image.Image:
    picture = Image.new("RGB", size, (0, 0, 0))
    for left in range(0, size[0], 2 * step):
        picture.paste((255, 255, 255), (left, 0, left + step, size[1]))
    return picture


GROUNDS = {
    **{f"grey {n}": Image.new("RGB", (1200, 800), (n, n, n)) for n in (0, 60, 128, 140, 200, 255)},
    **{str(c): Image.new("RGB", (1200, 800), c) for c in ((255, 0, 0), (0, 0, 255), (255, 255, 0))},
    "stripes 8": striped((1200, 800), 8),
    "stripes 60": striped((1200, 800), 60),
    "photo": pictures.scene((1200, 800)),
}


def luminance(color: tuple[int, ...]) -> float:
    red, green, blue = (pictures.linear(level / 255) for level in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def inks() -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Return where letters and outline are, found on grey: what is lighter, what darker."""
    grey = GROUNDS["grey 128"]
    marked = shown(png(grey), MARKED).convert("L")
    left, top, right, bottom = box_of(change(png(grey)))
    places = [(x, y) for x in range(left, right) for y in range(top, bottom)]
    levels = {at: level(marked, at) for at in places}
    lightest, darkest = max(levels.values()), min(levels.values())
    light = {at for at, grade in levels.items() if grade > 128 + 0.7 * (lightest - 128)}
    return light, {at for at, grade in levels.items() if grade < 128 - 0.7 * (128 - darkest)}


def level(picture: Image.Image, at: tuple[int, int]) -> float:
    found = picture.getpixel(at)
    assert isinstance(found, (int, float))
    return found


@pytest.mark.parametrize("name", GROUNDS)
def test_letters_stand_out_from_their_outline_at_3_to_1(name: str) -> None:
    """Wherever a letter is, an outline within 3 px differs by 3:1, whatever is underneath."""
    light, dark = inks()
    assert min(len(light), len(dark)) > 250
    marked = shown(png(GROUNDS[name]), MARKED)

    def light_of(at: tuple[int, int]) -> float:
        color = marked.getpixel(at)
        assert isinstance(color, tuple)
        return luminance(color)

    around = [(x, y) for x in range(-3, 4) for y in range(-3, 4)]
    ratios = []
    for x, y in light:
        beside = [light_of((x + dx, y + dy)) for dx, dy in around if (x + dx, y + dy) in dark]
        ratios += [max(contrast(light_of((x, y)), other) for other in beside)] if beside else []
    assert len(ratios) > 0.8 * len(light)
    assert sorted(ratios)[len(ratios) // 20] >= 3


@pytest.mark.parametrize(("width", "height"), [(1200, 800), (800, 1200), (600, 600)])
def test_letters_are_3_percent_of_the_width_high(width: int, height: int) -> None:
    data = png(Image.new("RGB", (width, height), (90, 90, 90)))
    _, top, _, bottom = box_of(change(data), 16)
    assert abs(bottom - top - 0.03 * width) <= 3


@pytest.mark.parametrize("fit", [Fit.INSIDE, Fit.PAD, Fit.COVER])
def test_letters_are_at_the_bottom_right_of_the_picture_never_in_the_padding(fit: Fit) -> None:
    target = Canvas(size=(1200, 1600), fit=fit, max_bytes=LOSSLESS_ENOUGH)
    data = png(Image.new("RGB", (1200, 800), (90, 90, 90)))
    left, top, right, bottom = box_of(change(data, target), 16)
    end = {Fit.INSIDE: 800, Fit.PAD: 1200, Fit.COVER: 1600}[fit]
    assert 600 < left < right <= 1200
    assert 1200 - right < 40
    assert end - 90 < top < bottom <= end


def test_letters_are_on_a_cutout_not_in_its_padding() -> None:
    picture = Image.new("RGBA", (1000, 1000))
    picture.paste((90, 120, 90, 255), (100, 100, 700, 800))
    left, top, right, bottom = box_of(change(png(picture), card_canvas(None)), 16)
    assert 600 - 260 < left < right < 600 + 260
    assert 500 < top < bottom < 610


def test_letters_are_at_least_40_percent_opaque() -> None:
    black = change(png(GROUNDS["grey 0"]))
    assert max(black.get_flattened_data()) >= 0.4 * 255 - 4  # type: ignore[operator]


@pytest.mark.parametrize("name", ["photo", "grey 255"])
def test_nothing_but_the_corner_changes(name: str) -> None:
    left, top, _, _ = box_of(change(png(GROUNDS[name])), 40)
    assert left > 900
    assert top > 720


def test_there_is_no_watermark_by_default() -> None:
    assert PLAIN.watermark_text == ""


@pytest.mark.parametrize("size", [(1, 1), (40, 30), (200, 150), (1200, 8)])
def test_where_letters_would_be_smudges_there_are_none(size: Size) -> None:
    data = png(Image.new("RGB", size, (90, 90, 90)))
    assert change(data).getextrema() == (0, 0)


def test_a_long_line_fits() -> None:
    settings = ImageSettings(
        watermark_text="Portraits of everybody's favourite companions, printed well"
    )
    data = png(Image.new("RGB", (1200, 800), (90, 90, 90)))
    left, _, right, _ = box_of(change(data, INSIDE, settings), 16)
    assert 0 < left < right < 1200


def test_another_font_can_be_set(tmp_path: Path) -> None:
    """Any TrueType or OpenType file will do: here the one that Pillow carries for itself."""
    font = tmp_path / "house.ttf"
    carried = ImageFont.load_default(10)
    assert isinstance(carried, ImageFont.FreeTypeFont)
    font.write_bytes(carried.font_bytes)
    data = pictures.photo_jpeg((800, 600))
    bundled, own = (
        shown(data, ImageSettings(watermark_text="Perkie Prints", watermark_font=path))
        for path in (BUNDLED_FONTS[0], font)
    )
    assert bundled == shown(data, MARKED)
    assert own not in (bundled, shown(data, PLAIN))


def test_the_picture_s_letters_are_not_on_the_card_as_well() -> None:
    data = pictures.photo_jpeg((1200, 900))
    card = card_canvas(None)
    _, beside = render(data, read_header(data, MARKED), [INSIDE, card], MARKED)
    (alone,) = render(data, read_header(data, MARKED), [card], MARKED)
    pair = [Image.open(io.BytesIO(card.data)).convert("L") for card in (beside, alone)]
    assert max(ImageChops.difference(*pair).get_flattened_data()) < 60  # type: ignore[operator]


def test_a_jpeg_keeps_its_colours_under_the_watermark() -> None:
    """JPEGs are marked in YCbCr: black and white ink must not tint what is around it."""
    data = pictures.encoded(Image.new("RGB", (1200, 800), (200, 60, 60)), "JPEG", quality=95)
    marked = shown(data, MARKED)
    left, top, right, bottom = box_of(change(data))
    for color in marked.crop((left, top, right, bottom)).get_flattened_data():
        assert isinstance(color, tuple)
        assert abs(color[1] - color[2]) < 40


@pytest.mark.parametrize("text", ["Лапы и хвосты", "Πατούσες", "Ґава ₴"])
def test_letters_that_the_first_font_lacks_are_drawn_with_the_second(text: str) -> None:
    settings = [
        ImageSettings(watermark_text=text, watermark_font=f) for f in (None, *BUNDLED_FONTS)
    ]
    data = png(GROUNDS["grey 128"])
    chosen, script, round_letters = (shown(data, one) for one in settings)
    assert chosen == round_letters != script


@pytest.mark.parametrize("font", [*BUNDLED_FONTS, "carried"])
def test_the_characters_of_a_font_are_those_that_freetype_draws(
    font: Path | str, tmp_path: Path
) -> None:
    """Everything else is drawn as the glyph of U+10FFFF, which no font has."""
    file = font if isinstance(font, Path) else tmp_path / "carried.ttf"
    if file != font:
        carried = ImageFont.load_default(10)
        assert isinstance(carried, ImageFont.FreeTypeFont)
        file.write_bytes(carried.font_bytes)
    face = ImageFont.truetype(file, 40, layout_engine=ImageFont.Layout.BASIC)
    nothing = bytes(face.getmask("\U0010ffff"))
    text = "".join(filter(str.isprintable, map(chr, [*range(33, 0x530), *range(0x1F300, 0x1F340)])))
    expected = [c for c in text if not c.isspace() and bytes(face.getmask(c)) == nothing]
    assert len(expected) > 60
    assert lacking(text, file) == "".join(expected)


def test_the_fonts_come_with_their_licence() -> None:
    licence = (BUNDLED_FONTS[0].parent / "OFL.txt").read_text()
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    assert all(f"{font.name}: Copyright" in licence for font in BUNDLED_FONTS)


def test_a_store_name_that_no_font_draws_is_a_warning_and_a_card_without_it(
    make_client: MakeClient, capfd: pytest.CaptureFixture[str]
) -> None:
    path = f"/s/{uuid7(age_s=90_000)}/card.jpg"
    cards = []
    for name in ("漢字", "", "Лапы"):
        cards.append(make_client(STORE_NAME=name).get(path).data)
        lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
        said = [line.get("characters") for line in lines if line["severity"] == "WARNING"]
        assert ("漢字" in said) == (name == "漢字")
    unnamed, without, named = cards
    assert unnamed == without != named
