"""What a customer sees of a picture on its canvas: whole faces, calm grounds, pets that stand."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

import pets
import pictures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jpeg_segments import assert_only_pixels
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

from config import ImageSettings
from image_ops import read_header, render
from imaging.geometry import Canvas, Fit, frame
from imaging.resizing import visible_boxes
from platforms import card_canvas, picture_canvas

if TYPE_CHECKING:
    from imaging.geometry import Size

WHITE = (255, 255, 255)
SETTINGS = ImageSettings()
CARD = card_canvas(None)
PLAIN = picture_canvas("email", None, max_side_px=1200)
STORY = picture_canvas("tiktok", None, max_side_px=1200)


def canvas(size: Size, fit: Fit) -> Canvas:
    return Canvas(size=size, fit=fit, max_bytes=9_000_000)


def shown(picture: Image.Image, target: Canvas, settings: ImageSettings = SETTINGS) -> Image.Image:
    data = pictures.encoded(picture, "PNG", compress_level=1)
    (rendition,) = render(data, read_header(data, settings), [target], settings)
    assert_only_pixels(rendition.data)
    return Image.open(io.BytesIO(rendition.data)).convert("RGB")


def luma(picture: Image.Image) -> list[float]:
    """Return the luma of each pixel of a picture, row by row."""
    return list(picture.convert("L").get_flattened_data())  # type: ignore[arg-type]  # of one band


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    return ImageStat.Stat(ImageChops.difference(one.convert("L"), other.convert("L"))).mean[0]


# --- cover


def window(picture: Image.Image, size: Size) -> tuple[float, float]:
    """Return the left and the top of what a covered canvas shows, in px of the picture.

    Found by the rendition alone: where in the scaled picture it differs least.
    """
    found = shown(picture, canvas(size, Fit.COVER)).convert("L")
    scale = max(size[0] / picture.width, size[1] / picture.height)
    scaled = picture.convert("L").resize(
        (round(picture.width * scale), round(picture.height * scale))
    )
    free = (scaled.width - size[0], scaled.height - size[1])
    starts = (
        [(n, 0) for n in range(free[0] + 1)] if free[0] else [(0, n) for n in range(free[1] + 1)]
    )

    def away(start: tuple[int, int]) -> float:
        left, top = start
        return mean_difference(scaled.crop((left, top, left + size[0], top + size[1])), found)

    left, top = min(starts, key=away)
    return left / scale, top / scale


def is_whole(pet: pets.Pet, size: Size) -> bool:
    """Return whether a window of the canvas's shape holds a pet's face, but for 3 % of it."""
    left, top = window(pets.drawn(pet), size)
    scale = max(size[0] / pet.size[0], size[1] / pet.size[1])
    face, slack = pet.face, 0.03 * 2 * pet.radius
    return (
        face[0] + slack >= left
        and face[1] + slack >= top
        and face[2] - slack <= left + size[0] / scale
        and face[3] - slack <= top + size[1] / scale
    )


def test_a_covered_card_shows_whole_faces() -> None:
    """On as many of 30 photos that are upright as promised; the middle shows 7, attention 21."""
    upright = [pet for pet in pets.PETS if pet.size[0] < pet.size[1]]
    assert sum(is_whole(pet, (150, 79)) for pet in upright) >= 25


def test_a_covered_portrait_shows_whole_faces() -> None:
    """Of 14 photos that are wide; the middle shows 4."""
    wide = [pet for pet in pets.PETS if pet.size[0] > pet.size[1]]
    assert sum(is_whole(pet, (108, 135)) for pet in wide) >= 13


def test_a_covered_cutout_shows_its_face() -> None:
    pet = pets.PETS[20]
    picture = Image.new("RGBA", (pet.size[0], 2 * pet.size[1]))
    picture.paste(pets.alone(pet), (0, pet.size[1] - 100))
    card = shown(picture, canvas((600, 315), Fit.COVER))
    assert ImageStat.Stat(card.convert("L")).mean[0] < 215


@pytest.mark.parametrize("size", [(100, 100), (480, 640), (640, 480), (30, 200)])
def test_cover_covers_however_small_the_picture(size: Size) -> None:
    place = frame(size, canvas((1200, 630), Fit.COVER))
    assert place.fills_canvas
    ramp = Image.merge("RGB", [Image.linear_gradient("L").rotate(90)] * 3).resize(size)
    across = luma(shown(ramp, canvas((1200, 630), Fit.COVER)).resize((60, 1)))
    assert across == sorted(across, reverse=across[0] > across[-1])
    assert abs(across[0] - across[-1]) > 240


# --- the ground of a photo


def striped(step: int, size: Size = (600, 800)) -> Image.Image:
    picture = Image.new("RGB", size, (255, 255, 255))
    for top in range(0, size[1], 2 * step):
        picture.paste((0, 0, 0), (0, top, size[0], top + step))
    return picture


PHOTOS = {
    "stripes of 12 px": striped(12),
    "stripes of 40 px": striped(40),
    "a cat": pets.drawn(pets.PETS[6]),
    "a dog on a lawn": pets.drawn(pets.PETS[25]),
}


@pytest.mark.parametrize("name", PHOTOS)
def test_the_ground_begins_as_the_photo_ends(name: str) -> None:
    """The mean luma step from 3 px inside to 4 px outside; uniformly blurred, it is 36 to 127."""
    card = shown(PHOTOS[name], CARD)
    left = (1200 - round(630 * PHOTOS[name].width / PHOTOS[name].height)) // 2
    for inside, outside in ((left + 3, left - 4), (1199 - left - 3, 1199 - left + 4)):
        columns = [card.crop((x, 0, x + 1, 630)) for x in (inside, outside)]
        assert mean_difference(*columns) <= 25


@pytest.mark.parametrize("name", PHOTOS)
def test_the_ground_is_calm_a_little_further_out(name: str) -> None:
    """Nothing that is mirrored may be recognised: no edge is left 60 px from the photo."""
    card = shown(PHOTOS[name], CARD).convert("L")
    left = (1200 - round(630 * PHOTOS[name].width / PHOTOS[name].height)) // 2
    ground = card.crop((0, 0, left - 60, 630))
    steps = [
        ImageChops.difference(ground, ImageChops.offset(ground, across, down)).crop(
            (1, 1, ground.width, ground.height)
        )
        for across, down in ((1, 0), (0, 1))
    ]
    assert max(luma(ImageChops.lighter(*steps))) <= 8


def test_a_panorama_on_a_story_is_no_totem() -> None:
    """Above and below it each column goes from one colour to the next, and not to and fro."""
    faces = Image.new("RGB", (1600, 400))
    for n, pet in enumerate((pets.PETS[0], pets.PETS[5], pets.PETS[7], pets.PETS[25])):
        x, y = pet.eyes
        face = pets.drawn(pet).crop((x - 150, y - 150, x + 150, y + 150))
        faces.paste(face.resize((400, 400)), (400 * n, 0))
    ground = shown(faces, STORY).convert("L").crop((0, 0, 1080, 740)).resize((27, 37))
    levels = luma(ground)
    for column in range(27):
        down = levels[column::27]
        ways = [b - a for a, b in itertools.pairwise(down)]
        assert sum(map(abs, ways)) - abs(sum(ways)) <= 50


def test_the_ground_shines_through_rounded_corners() -> None:
    """A phone's screen in green: its corners are transparent, and were white wedges."""
    screen = Image.new("RGB", (1170, 2532), (40, 120, 60))
    alpha = Image.new("L", screen.size)
    ImageDraw.Draw(alpha).rounded_rectangle((0, 0, 1169, 2531), 260, fill=255)
    screen.putalpha(alpha)
    card = shown(screen, CARD)
    away = ImageChops.difference(card, Image.new("RGB", card.size, (40, 120, 60))).convert("L")
    assert max(luma(away)) <= 8


def test_rounded_corners_are_background_where_there_is_no_ground() -> None:
    picture = Image.new("RGB", (900, 900), (40, 120, 60))
    alpha = Image.new("L", picture.size)
    ImageDraw.Draw(alpha).rounded_rectangle((0, 0, 899, 899), 60, fill=255)
    picture.putalpha(alpha)
    settings = ImageSettings(background_color=(200, 30, 90))
    color = shown(picture, PLAIN, settings).getpixel((2, 2))
    assert isinstance(color, tuple)
    assert all(abs(a - b) <= 4 for a, b in zip(color, (200, 30, 90), strict=True))


# --- cut-outs


def box_of(card: Image.Image, ground: tuple[int, int, int] = WHITE) -> tuple[int, int, int, int]:
    """Return the box of what differs clearly from the ground."""
    away = ImageChops.difference(card, Image.new("RGB", card.size, ground)).convert("L")
    box = away.point([0] * 60 + [255] * 196).getbbox()
    assert box is not None
    return box


def half_disc(size: Size, center: tuple[float, float], radius: float) -> Image.Image:
    picture = Image.new("RGBA", size)
    (x, y), draw = center, ImageDraw.Draw(picture)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(120, 60, 20, 255))
    return picture


SIDES = {
    "left": half_disc((700, 800), (0, 400), 300),
    "top": half_disc((800, 700), (400, 0), 300),
    "right": half_disc((700, 800), (700, 400), 300),
    "bottom": half_disc((800, 700), (400, 700), 300),
}


@pytest.mark.parametrize("target", [CARD, STORY])
@pytest.mark.parametrize("side", SIDES)
def test_a_cutout_stands_on_the_side_that_cuts_it_off(side: str, target: Canvas) -> None:
    left, top, right, bottom = box_of(shown(SIDES[side], target))
    free = dict(
        zip(SIDES, (left, top, target.size[0] - right, target.size[1] - bottom), strict=True)
    )
    assert free.pop(side) == 0
    assert min(free.values()) > 10


def test_tips_and_paws_that_touch_a_side_are_not_cut_off() -> None:
    """As where a program cut the empty rest away: a disc touches all four sides, and floats."""
    disc = half_disc((600, 600), (300, 300), 299.5)
    left, top, right, bottom = box_of(shown(disc, CARD))
    assert min(left, top, 1200 - right, 630 - bottom) > 10


def test_a_cutout_that_two_opposite_sides_cut_off_spans_the_canvas_or_is_in_its_middle() -> None:
    band = Image.new("RGBA", (500, 900))
    ImageDraw.Draw(band).rectangle((0, 200, 499, 700), fill=(120, 60, 20, 255))
    assert box_of(shown(band, canvas((600, 1200), Fit.PAD)))[::2] == (0, 600)
    left, _, right, _ = box_of(shown(band, CARD))
    assert abs(left - (1200 - right)) <= 1


def test_a_soft_shadow_fades_to_nothing() -> None:
    """It ended in a straight line, from 247 to 255."""
    shadow = Image.new("L", (900, 900))
    ImageDraw.Draw(shadow).ellipse((300, 600, 600, 700), fill=140)
    picture = Image.new("RGBA", shadow.size)
    picture.putalpha(shadow.filter(ImageFilter.GaussianBlur(40)))
    ImageDraw.Draw(picture).ellipse((350, 250, 550, 650), fill=(120, 60, 20, 255))
    card = shown(picture, CARD).convert("L")
    rows = [luma(card.crop((0, y, 1200, y + 1))) for y in range(630)]
    pet_ends = max(y for y, row in enumerate(rows) if min(row) < 100)
    for row in rows[pet_ends + 12 :]:
        assert max(abs(a - b) for a, b in itertools.pairwise(row)) <= 3


def white_pet(level: int = 252) -> Image.Image:
    picture = Image.new("RGBA", (600, 600))
    ImageDraw.Draw(picture).ellipse((150, 100, 450, 500), fill=(level, level, level, 255))
    return picture


def around(card: Image.Image, ground: tuple[int, int, int] = WHITE) -> float:
    """Return how much the ground differs right beside a pet in the middle of a card."""
    away = ImageChops.difference(card, Image.new("RGB", card.size, ground)).convert("L")
    return max(luma(away.crop((380, 315, 430, 316)).resize((10, 1), Image.Resampling.BOX)))


def test_a_white_pet_on_white_has_a_shadow() -> None:
    assert around(shown(white_pet(), CARD)) >= 20


def test_a_black_pet_on_black_has_a_glow() -> None:
    ground = (16, 16, 16)
    card = shown(white_pet(20), CARD, ImageSettings(background_color=ground))
    assert around(card, ground) >= 20


@pytest.mark.parametrize(
    ("level", "color"), [(252, (90, 140, 190)), (252, (190, 190, 190)), (90, (255, 255, 255))]
)
def test_a_pet_that_differs_from_its_ground_has_none(
    level: int, color: tuple[int, int, int]
) -> None:
    card = shown(white_pet(level), CARD, ImageSettings(background_color=color))
    far, near = (card.crop((x, 315, x + 8, 323)).resize((1, 1)) for x in (300, 372))
    change = ImageStat.Stat(ImageChops.difference(far, near)).mean
    assert max(change) <= 1, "what coding does, and no shadow"


def test_inside_keeps_the_background_as_it_is() -> None:
    """Beside a card, for which the pet gets its shadow."""
    data = pictures.encoded(white_pet(), "PNG")
    picture, card = (
        Image.open(io.BytesIO(rendition.data)).convert("RGB")
        for rendition in render(data, read_header(data, SETTINGS), [PLAIN, CARD], SETTINGS)
    )
    assert around(card) >= 20
    assert min(luma(picture.crop((0, 0, 600, 90)))) >= 254
    assert min(luma(picture.crop((0, 0, 140, 600)))) >= 254


@settings(max_examples=30)
@given(
    places=st.lists(
        st.tuples(
            st.integers(0, 599), st.integers(0, 1199), st.integers(1, 300), st.integers(1, 300)
        ),
        max_size=4,
    ),
    levels=st.lists(st.sampled_from((1, 8, 9, 255)), min_size=4, max_size=4),
)
def test_what_is_visible_is_found_in_every_strip(
    places: list[tuple[int, int, int, int]], levels: list[int]
) -> None:
    """600x1200 px are looked at in three strips; 8 is the highest level that nobody sees."""
    picture = Image.new("RGBA", (600, 1200))
    for (left, top, width, height), level in zip(places, levels, strict=False):
        picture.paste((9, 9, 9, level), (left, top, left + width, top + height))
    alpha = picture.getchannel("A")
    seen = alpha.point([0] * 9 + [1] * 247)
    unseen = 1 - sum(seen.histogram()[1:]) / (600 * 1200)
    assert visible_boxes(picture) == (seen.getbbox(), alpha.getbbox(), unseen)
