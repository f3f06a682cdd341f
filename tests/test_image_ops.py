"""What becomes of a picture that can be used: where it sits, its colours, its bytes."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pictures
import pytest
from jpeg_segments import assert_only_pixels
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps, ImageStat

from config import ImageSettings
from config.values import FORMATS
from image_ops import Rendition, read_header, render
from imaging.colors import to_srgb
from imaging.geometry import Canvas, Fit, frame
from imaging.resizing import shrunk
from platforms import CANVAS_SIZES, card_canvas, picture_canvas

if TYPE_CHECKING:
    from collections.abc import Callable

    from imaging.geometry import Size

FONT = Path(__file__).parents[1] / "fonts" / "DancingScript-Bold.ttf"
SETTINGS = ImageSettings()
PLAIN = picture_canvas("email", None, max_side_px=1200)
CARD = card_canvas(None)
STORY = picture_canvas("tiktok", None, max_side_px=1200)


def rendered(data: bytes, canvas: Canvas = PLAIN, settings: ImageSettings = SETTINGS) -> Rendition:
    (rendition,) = render(data, read_header(data, settings), [canvas], settings)
    return rendition


def pixels(rendition: Rendition) -> Image.Image:
    assert_only_pixels(rendition.data)
    picture = Image.open(io.BytesIO(rendition.data), formats=["JPEG"])
    picture.load()
    assert picture.size == rendition.size
    return picture.convert("RGB")


def shown(data: bytes, canvas: Canvas = PLAIN, settings: ImageSettings = SETTINGS) -> Image.Image:
    return pixels(rendered(data, canvas, settings))


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two pictures of one size, 0-255."""
    mean = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(mean) / len(mean)


def canvas(size: Size, fit: Fit = Fit.PAD, max_bytes: int = 1_000_000) -> Canvas:
    return Canvas(size=size, fit=fit, max_bytes=max_bytes)


def plain(size: Size, color: tuple[int, int, int]) -> bytes:
    return pictures.encoded(Image.new("RGB", size, color), "PNG")


def near(found: object, expected: tuple[int, ...], tolerance: int = 3) -> bool:
    assert isinstance(found, tuple)
    return all(abs(a - b) <= tolerance for a, b in zip(found, expected, strict=True))


# --- framing


@pytest.mark.parametrize("fit", [None, Fit.PAD, Fit.COVER])
@pytest.mark.parametrize("size", [(450, 300), (300, 450)])
@pytest.mark.parametrize("platform", sorted(CANVAS_SIZES))
def test_a_network_gets_its_exact_canvas(platform: str, size: Size, fit: Fit | None) -> None:
    target = picture_canvas(platform, fit, max_side_px=1200)
    assert rendered(pictures.photo_jpeg(size), target).size == CANVAS_SIZES[platform]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((4000, 3000), (1200, 900)),
        ((3000, 4000), (900, 1200)),
        ((1201, 1201), (1200, 1200)),
        ((1200, 1200), (1200, 1200)),
        ((1199, 7), (1199, 7)),
        ((1, 1), (1, 1)),
        ((20000, 1), (1200, 1)),
        ((1, 20000), (1, 1200)),
    ],
)
def test_without_a_canvas_a_picture_is_shrunk_at_most(size: Size, expected: Size) -> None:
    assert rendered(plain(size, (9, 99, 199))).size == expected


@pytest.mark.parametrize("target", [CARD, STORY, canvas((1200, 630), Fit.COVER)])
@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1), (2, 3)])
def test_no_shape_is_too_extreme_for_a_canvas(size: Size, target: Canvas) -> None:
    assert rendered(plain(size, (9, 99, 199)), target).size == target.size


def test_a_padded_picture_shows_all_of_itself() -> None:
    """The four corners are coloured: none may be cut off."""
    picture = Image.new("RGB", (400, 600), (128, 128, 128))
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    for color, corner in zip(colors, [(0, 0), (360, 0), (0, 560), (360, 560)], strict=True):
        picture.paste(color, (*corner, corner[0] + 40, corner[1] + 40))
    card = shown(pictures.encoded(picture, "PNG"), CARD)
    left, right = 600 - 210, 600 + 210
    corners = [(left + 15, 15), (right - 15, 15), (left + 15, 615), (right - 15, 615)]
    assert all(near(card.getpixel(at), color, 6) for at, color in zip(corners, colors, strict=True))


def test_a_covered_canvas_shows_what_differs() -> None:
    picture = Image.new("RGB", (600, 1200), (200, 0, 0))
    picture.paste((0, 0, 200), (0, 500, 600, 700))
    card = shown(pictures.encoded(picture, "PNG"), canvas((1200, 600), Fit.COVER))
    blue = card.getchannel("B").point([0] * 100 + [255] * 156)
    assert blue.histogram()[255] >= 1200 * 380


def test_a_small_picture_is_at_most_doubled() -> None:
    """Its left half is red: on the canvas, red is 100 px wide in the rows of the picture."""
    picture = Image.new("RGB", (100, 100), (0, 0, 0))
    picture.paste((255, 0, 0), (0, 0, 50, 100))
    card = shown(pictures.encoded(picture, "PNG"), canvas((1200, 630)))
    assert near(card.getpixel((505, 315)), (255, 0, 0), 8)
    assert near(card.getpixel((595, 315)), (255, 0, 0), 8)
    assert near(card.getpixel((605, 315)), (0, 0, 0), 8)
    assert frame((100, 100), canvas((1200, 630))).shown == (200, 200)


def test_a_picture_of_half_the_canvas_fills_it() -> None:
    assert frame((600, 315), canvas((1200, 630))).fills_canvas
    assert not frame((599, 314), canvas((1200, 630))).fills_canvas


def test_inside_never_enlarges() -> None:
    assert rendered(pictures.photo_png((90, 50)), canvas((1200, 1200), Fit.INSIDE)).size == (90, 50)


def test_a_photo_lies_on_its_own_blurred_extension() -> None:
    """The ground is no plain colour, is blurred, and meets the photo without an edge."""
    card = shown(pictures.photo_jpeg((800, 800)), CARD)
    side = card.crop((0, 0, 285, 630))
    assert max(ImageStat.Stat(side).stddev) > 8
    sharpness = [
        sum(ImageStat.Stat(step(part)).mean) for part in (side, card.crop((300, 0, 585, 630)))
    ]
    assert sharpness[0] < sharpness[1] / 5
    beside = [
        card.crop((x, 0, x + 4, 630)).resize((1, 12), Image.Resampling.BOX) for x in (280, 286)
    ]
    assert difference(*beside) < 16


def step(picture: Image.Image) -> Image.Image:
    """Return how much each pixel differs from its neighbour to the right."""
    return ImageChops.difference(picture, ImageChops.offset(picture, 1, 0))


def drawn(card: Image.Image, ground: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the box of what differs clearly from the ground."""
    change = ImageChops.difference(card, Image.new("RGB", card.size, ground)).convert("L")
    box = change.point([0] * 40 + [255] * 216).getbbox()
    assert box is not None
    return box


@pytest.mark.parametrize("target", [CARD, STORY])
@pytest.mark.parametrize("size", [(1400, 1800), (2600, 2000)])
def test_a_cutout_is_trimmed_large_and_centred(size: Size, target: Canvas) -> None:
    """It sits in the upper left of a mostly empty picture, and in the middle of the canvas."""
    picture = Image.new("RGBA", size)
    picture.paste((20, 60, 120, 255), (50, 40, 50 + size[0] // 2, 40 + size[1] // 2))
    left, top, right, bottom = drawn(
        shown(pictures.encoded(picture, "PNG"), target), SETTINGS.background_color
    )
    margins = (left, top, target.size[0] - right, target.size[1] - bottom)
    assert abs(margins[0] - margins[2]) <= 2
    assert abs(margins[1] - margins[3]) <= 2
    assert 10 <= min(margins) <= 50


def test_a_cutout_stands_on_the_background_color() -> None:
    settings = ImageSettings(background_color=(200, 30, 90))
    card = shown(pictures.cutout_png((500, 500)), CARD, settings)
    assert near(card.getpixel((5, 5)), (200, 30, 90))
    assert near(card.getpixel((1195, 625)), (200, 30, 90))


@pytest.mark.parametrize(("alpha", "seen"), [(8, False), (9, True)])
def test_what_nobody_sees_is_trimmed(alpha: int, *, seen: bool) -> None:
    picture = Image.new("RGBA", (400, 400))
    picture.paste((0, 0, 0, alpha), (0, 0, 400, 400))
    picture.paste((0, 0, 0, 255), (150, 150, 250, 250))
    picture.paste((0, 0, 0, 0), (0, 0, 400, 20))
    left, _, right, _ = drawn(shown(pictures.encoded(picture, "PNG"), CARD), (255, 255, 255))
    assert (right - left < 180) == seen


def test_a_covered_cutout_stays_in_view() -> None:
    picture = Image.new("RGBA", (600, 1800))
    picture.paste((0, 80, 0, 255), (200, 100, 400, 300))
    card = shown(pictures.encoded(picture, "PNG"), canvas((600, 300), Fit.COVER))
    _, top, _, bottom = drawn(card, (255, 255, 255))
    assert bottom - top >= 199


def test_the_card_beside_a_plain_cutout_shows_it_on_the_background() -> None:
    """As a share for email makes it: one canvas that is never filled, and one that is."""
    data = pictures.cutout_png((500, 400))
    renditions = render(data, read_header(data, SETTINGS), [PLAIN, CARD], SETTINGS)
    card = pixels(renditions[1])
    assert difference(card, shown(data, CARD)) < 3
    assert card.crop((0, 0, 150, 630)).getextrema() == ((255, 255),) * 3


def test_an_opaque_picture_with_alpha_is_a_photo() -> None:
    picture = pictures.scene((400, 400)).convert("RGBA")
    picture.putpixel((0, 0), (0, 0, 0, 0))
    card = shown(pictures.encoded(picture, "PNG"), CARD)
    assert max(ImageStat.Stat(card.crop((0, 0, 200, 630))).stddev) > 8


def test_a_wholly_transparent_picture_is_the_background() -> None:
    card = shown(pictures.encoded(Image.new("RGBA", (300, 200)), "PNG"), CARD)
    assert card.getextrema() == ((255, 255),) * 3


def test_picture_and_card_come_in_order_and_the_same_canvas_once() -> None:
    data = pictures.photo_jpeg((1600, 1200))
    renditions = render(data, read_header(data, SETTINGS), [CARD, PLAIN, CARD], SETTINGS)
    assert [r.size for r in renditions] == [(1200, 630), (1200, 900), (1200, 630)]
    assert renditions[0] is renditions[2]


def test_the_card_beside_a_picture_is_as_good_as_the_card_alone() -> None:
    data = pictures.photo_jpeg((3000, 2000))
    beside = render(data, read_header(data, SETTINGS), [PLAIN, CARD], SETTINGS)[1]
    assert difference(pixels(beside), shown(data, CARD)) < 3


# --- geometry


@pytest.mark.parametrize("target", [PLAIN, CARD])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_shown_upright(orientation: int, target: Canvas) -> None:
    data = pictures.photo_jpeg((1300, 900), 90, orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    expected = shown(pictures.encoded(upright, "JPEG", quality=90), target)
    found = shown(data, target)
    assert found.size == expected.size
    assert difference(found, expected) < 4


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "AVIF"])
def test_orientation_counts_in_every_format(format_: str) -> None:
    picture = pictures.cutout((300, 200))
    data = pictures.encoded(picture, format_, exif=pictures.exif(orientation=6))
    expected = shown(pictures.encoded(picture.transpose(Image.Transpose.ROTATE_270), "PNG"), CARD)
    assert difference(shown(data, CARD), expected) < 8


@pytest.mark.parametrize("fit", [Fit.PAD, Fit.COVER])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_cutout_is_found_whichever_way_it_is_stored(orientation: int, fit: Fit) -> None:
    """It sits in the upper left: its region is turned before its pixels are."""
    stored = pictures.cutout((300, 200))
    data = pictures.encoded(stored, "PNG", exif=pictures.exif(orientation=orientation))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert upright is not None
    target = canvas((600, 300), fit)
    assert difference(shown(data, target), shown(pictures.encoded(upright, "PNG"), target)) < 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_read_in_both_byte_orders(order: str) -> None:
    block = Image.Exif()
    block.endian = order
    block[0x0112] = 6
    data = pictures.encoded(pictures.scene((300, 200)), "JPEG", exif=block.tobytes())
    assert rendered(data).size == (200, 300)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_a_heic_is_turned_once(quarter_turns: int) -> None:
    size = rendered(pictures.heic((300, 200), quarter_turns=quarter_turns)).size
    assert size == ((300, 200) if quarter_turns % 2 == 0 else (200, 300))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_is_ignored(orientation: int) -> None:
    data = pictures.photo_jpeg((300, 200), orientation=orientation)
    assert rendered(data).size == (300, 200)


# --- colour


def expected_srgb(space: str, color: tuple[int, int, int]) -> tuple[int, ...]:
    """Return a colour in sRGB by the definition of its space."""
    primaries, gamma = pictures.PROFILES[space]
    light = [(v / 255) ** gamma if gamma else pictures.linear(v / 255) for v in color]
    xyz = [sum(primaries[n][i] * light[n] for n in range(3)) for i in range(3)]
    rows = ((3.1342, -1.6172, -0.4907), (-0.9788, 1.9162, 0.0335), (0.0719, -0.2290, 1.4051))
    flat = [min(max(sum(r * v for r, v in zip(row, xyz, strict=True)), 0), 1) for row in rows]
    gray = [12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055 for v in flat]
    return tuple(round(255 * v) for v in gray)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("space", sorted(pictures.PROFILES))
def test_every_profile_is_shown_as_srgb(space: str, format_: str) -> None:
    color = (180, 110, 80)
    data = pictures.encoded(
        Image.new("RGB", (64, 64), color),
        format_,
        quality=98,
        icc_profile=pictures.rgb_profile(space),
    )
    assert near(shown(data).getpixel((30, 30)), expected_srgb(space, color), 4)


def test_a_profile_leaves_transparency_alone() -> None:
    picture = Image.new("RGBA", (60, 60))
    picture.paste((180, 110, 80, 255), (0, 0, 30, 60))
    data = pictures.encoded(picture, "PNG", icc_profile=pictures.rgb_profile("adobe"))
    assert near(shown(data).getpixel((45, 30)), (255, 255, 255))
    assert near(shown(data).getpixel((10, 30)), expected_srgb("adobe", (180, 110, 80)), 4)


@pytest.mark.parametrize(
    "profile",
    [
        b"not a profile at all",
        pictures.rgb_profile("adobe")[:200],
        pictures.cmyk_profile(),  # of another colour space than the picture
        pictures.rgb_profile("adobe").replace(b"RGB ", b"GRAY", 1),
        pictures.rgb_profile("adobe").replace(b"mntr", b"link", 1),
        b"\0" * 5_000_000,
    ],
    ids=["noise", "cut off", "CMYK", "GRAY", "link", "huge"],
)
def test_a_profile_that_cannot_be_applied_is_left_out(profile: bytes) -> None:
    color = Image.new("RGB", (32, 32), (180, 110, 80))
    data = pictures.encoded(color, "JPEG", quality=98, icc_profile=profile)
    assert near(shown(data).getpixel((9, 9)), (180, 110, 80))


@pytest.mark.parametrize(
    ("inks", "expected"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 153, 228)),
        ((0, 255, 0, 0), (234, 0, 130)),
        ((0, 0, 255, 0), (255, 240, 0)),
        ((0, 0, 0, 128), (134, 133, 134)),
        ((60, 120, 140, 20), (176, 123, 102)),
    ],
)
def test_cmyk_without_a_profile_is_shown_as_a_press_prints_it(
    inks: tuple[int, int, int, int], expected: tuple[int, int, int]
) -> None:
    """As libvips 8.18 shows it: printed cyan is no neon light."""
    data = pictures.encoded(Image.new("CMYK", (64, 64), inks), "JPEG", quality=98)
    assert near(shown(data).getpixel((30, 30)), expected, 5)


def test_cmyk_goes_through_its_profile() -> None:
    """The test's press has no black ink: what its numbers say is black is paper white."""
    black = Image.new("CMYK", (64, 64), (0, 0, 0, 255))
    data = pictures.encoded(black, "JPEG", quality=95, icc_profile=pictures.cmyk_profile())
    assert near(shown(data).getpixel((9, 9)), (255, 255, 255))
    plain_data = pictures.encoded(black, "JPEG", quality=95)
    assert near(shown(plain_data).getpixel((9, 9)), (0, 0, 0), 24)


def test_ycck_is_read_as_the_decoder_reads_it() -> None:
    data = pictures.ycck_jpeg((400, 300))
    expected = to_srgb(Image.open(io.BytesIO(data)), None)
    assert difference(shown(data), expected) < 12


def test_a_jpeg_stored_as_rgb_keeps_its_colours() -> None:
    data = pictures.encoded(pictures.scene((400, 300)), "JPEG", quality=95, keep_rgb=True)
    assert difference(shown(data), pictures.scene((400, 300))) < 9


@pytest.mark.parametrize("width", [512, 3000])
def test_16_bit_greyscale_is_not_clipped(width: int) -> None:
    found = shown(pictures.grey_png((width, 64))).convert("L").resize((3, 1), Image.Resampling.BOX)
    levels = [found.getpixel((x, 0)) for x in range(3)]
    assert all(abs(a - b) < 4 for a, b in zip(levels, (42, 127, 212), strict=True))  # type: ignore[operator]


@pytest.mark.parametrize("bits", [8, 16])
def test_greyscale_is_the_same_in_8_and_16_bits(bits: int) -> None:
    found = shown(pictures.grey_png((256, 16), bits=bits))
    assert near(found.getpixel((128, 8)), (128, 128, 128))


def test_16_bit_colour_is_not_clipped() -> None:
    found = shown(pictures.deep_png((512, 64)))
    assert near(found.getpixel((256, 30)), (128, 128, 0), 4)


def test_a_transparent_palette_shows_the_background() -> None:
    found = shown(pictures.palette_png((300, 300)))
    assert near(found.getpixel((295, 295)), (255, 255, 255))
    assert difference(found, shown(pictures.cutout_png((300, 300)))) < 12


def test_grey_with_a_transparent_level_shows_the_background() -> None:
    picture = Image.new("L", (100, 100), 10)
    picture.paste(200, (0, 0, 50, 100))
    data = pictures.encoded(picture, "PNG", transparency=10)
    settings = ImageSettings(background_color=(0, 0, 250))
    assert near(shown(data, PLAIN, settings).getpixel((80, 50)), (0, 0, 250))
    assert near(shown(data, PLAIN, settings).getpixel((20, 50)), (200, 200, 200))


@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 255, 255), (0, 255, 0)])
def test_what_is_hidden_by_transparency_bleeds_nowhere(hidden: tuple[int, int, int]) -> None:
    """The colour under transparent pixels must not become a fringe when they are resized."""
    picture = Image.new("RGBA", (1000, 1000), (*hidden, 0))
    picture.paste((200, 100, 50, 255), (201, 201, 803, 803))
    settings = ImageSettings(background_color=(200, 100, 50))
    target = canvas((480, 480), Fit.INSIDE)
    found = shown(pictures.encoded(picture, "PNG", compress_level=1), target, settings)
    assert difference(found, Image.new("RGB", found.size, (200, 100, 50))) < 1
    seam = found.crop((92, 92, 100, 100))
    assert difference(seam, Image.new("RGB", seam.size, (200, 100, 50))) < 2


@pytest.mark.parametrize("factory", [pictures.gif, pictures.animated_webp])
def test_an_animation_is_shown_by_its_first_frame(factory: Callable[[Size, int], bytes]) -> None:
    assert difference(shown(factory((200, 150), 4)), shown(factory((200, 150), 1))) < 8


def test_a_phone_s_second_picture_is_left_out() -> None:
    data = pictures.mpo((300, 200))
    assert difference(shown(data), pictures.scene((300, 200))) < 12


FACTORIES: dict[str, Callable[[Size], bytes]] = {
    "JPEG": pictures.photo_jpeg,
    "PNG": pictures.photo_png,
    "WEBP": pictures.webp,
    "GIF": pictures.gif,
    "AVIF": pictures.avif,
}


@pytest.mark.parametrize("format_", sorted(FACTORIES))
@pytest.mark.parametrize("size", [(64, 48), pytest.param((1600, 1200), marks=pytest.mark.slow)])
def test_a_picture_of_any_format_looks_like_itself(format_: str, size: Size) -> None:
    data = FACTORIES[format_](size)
    assert read_header(data, SETTINGS).format == format_
    found = shown(data)
    expected = (
        Image.open(io.BytesIO(data)).convert("RGB").resize(found.size, Image.Resampling.LANCZOS)
    )
    assert difference(found, expected) < 11


def test_a_heic_looks_like_itself() -> None:
    """The tile repeats: a picture of two tiles is one tile twice."""
    one, two = shown(pictures.heic((64, 64))), shown(pictures.heic((128, 64)))
    assert difference(one, two.crop((64, 0, 128, 64))) < 6
    assert max(ImageStat.Stat(one).stddev) > 20


def test_there_is_a_picture_of_every_format() -> None:
    assert {*FACTORIES, "HEIC"} == set(FORMATS)


# --- what is published, and how large


@pytest.mark.parametrize("target", [PLAIN, CARD])
def test_no_byte_of_metadata_survives(target: Canvas) -> None:
    data = pictures.with_metadata(pictures.photo_jpeg((640, 480)))
    assert data.count(pictures.MARKER) >= 9
    found = rendered(data, target).data
    for planted in (pictures.MARKER, pictures.MARKER[:8], b"Exif", b"ICC_PROFILE", b"http", b"GPS"):
        assert planted not in found


def test_no_text_of_a_png_survives() -> None:
    data = pictures.photo_png((64, 64))
    for name in (b"tEXt", b"eXIf"):
        data = pictures.with_png_chunk(data, name, b"Comment\0" + pictures.MARKER)
    assert pictures.MARKER not in rendered(data).data


def test_what_is_published_is_a_progressive_jpeg() -> None:
    rendition = rendered(pictures.photo_png((640, 480)))
    assert rendition.content_type == "image/jpeg"
    assert Image.open(io.BytesIO(rendition.data)).info.get("progressive") == 1


def quality(data: bytes) -> int:
    """Return the first number of the luma table: the larger, the worse."""
    return int(Image.open(io.BytesIO(data)).quantization[0][0])  # type: ignore[attr-defined]


def noise(size: Size) -> bytes:
    """Return the worst that can be sent: no pixel has to do with the next."""
    picture = Image.effect_noise(size, 120)
    return pictures.encoded(Image.merge("RGB", [picture, picture.rotate(180), picture]), "PNG")


@pytest.mark.parametrize("max_bytes", [300_000, 150_000, 60_000])
def test_bytes_stay_within_the_budget_and_use_it(max_bytes: int) -> None:
    target = canvas((1200, 630), Fit.PAD, max_bytes)
    data = rendered(noise((1200, 630)), target).data
    assert len(data) <= max_bytes
    assert len(data) >= 0.8 * max_bytes or quality(data) >= 160


def test_a_full_size_picture_of_noise_stays_within_a_megabyte() -> None:
    assert len(rendered(noise((1200, 1200))).data) <= PLAIN.max_bytes


def test_a_photo_gets_the_highest_quality_however_large_the_budget() -> None:
    data = pictures.photo_jpeg((1600, 1200))
    common, large = (
        rendered(data, canvas((1200, 1200), Fit.INSIDE, budget)).data
        for budget in (1_000_000, 9_000_000)
    )
    assert common == large


def test_a_smaller_budget_never_gives_a_better_picture() -> None:
    data = noise((600, 400))
    budgets = (20_000, 40_000, 80_000, 160_000)
    found = [quality(rendered(data, canvas((600, 400), Fit.INSIDE, b)).data) for b in budgets]
    assert found == sorted(found, reverse=True)


def lettering(size: Size) -> Image.Image:
    """Return a photo with a line of red letters."""
    picture = pictures.scene(size, grain=0).resize((size[0], size[1] // 2))
    whole = Image.new("RGB", size, (255, 255, 255))
    whole.paste(picture.filter(ImageFilter.GaussianBlur(4)))
    font = ImageFont.truetype(str(FONT), size[0] // 20)
    place = (20, size[1] * 3 // 4)
    ImageDraw.Draw(whole).text(place, "SALE Perkie Prints 24.90", fill=(220, 0, 0), font=font)
    return whole


def soft(size: Size) -> Image.Image:
    return pictures.scene(size, grain=0).filter(ImageFilter.GaussianBlur(4))


def soft_cutout(size: Size) -> Image.Image:
    picture = soft(size).convert("RGBA")
    picture.putalpha(pictures.cutout(size).getchannel("A").filter(ImageFilter.GaussianBlur(2)))
    return picture


@pytest.mark.parametrize(
    ("data", "is_full"),
    [
        (pictures.encoded(lettering((800, 600)), "PNG"), True),
        (pictures.encoded(lettering((800, 600)), "JPEG", quality=95, subsampling=0), True),
        (pictures.encoded(lettering((2000, 1500)), "JPEG", quality=95, subsampling=0), True),
        (pictures.encoded(lettering((2600, 600)), "JPEG", quality=95, subsampling=0), False),
        (pictures.encoded(lettering((800, 600)), "JPEG", quality=95, subsampling=2), False),
        (pictures.encoded(soft((800, 600)), "PNG"), False),
        (pictures.encoded(soft_cutout((800, 600)), "PNG"), False),
        (pictures.encoded(soft((800, 600)), "JPEG", quality=95, subsampling=0), False),
        (pictures.encoded(Image.new("RGB", (1, 90), (255, 0, 0)), "PNG"), False),
    ],
    ids=[
        "PNG",
        "4:4:4",
        "4:4:4, shrunk a little",
        "4:4:4, shrunk to less than half",
        "4:2:0",
        "PNG of a photo",
        "cut-out of a photo",
        "4:4:4 of a photo",
        "a line",
    ],
)
def test_full_chroma_is_for_what_shows_it(data: bytes, is_full: bool) -> None:
    """Coloured lettering would smear; a photo only grows by a quarter."""
    layers = Image.open(io.BytesIO(rendered(data).data)).layer  # type: ignore[attr-defined]
    assert layers[0][1:3] == ((1, 1) if is_full else (2, 2))


def test_lettering_of_a_full_jpeg_keeps_its_colours() -> None:
    picture = lettering((800, 600))
    found = shown(pictures.encoded(picture, "JPEG", quality=95, subsampling=0))
    apart = ImageChops.difference(found.convert("YCbCr"), picture.convert("YCbCr"))
    assert sum(ImageStat.Stat(apart.crop((0, 440, 800, 520))).mean[1:]) < 2.5


def test_a_photo_is_shrunk_as_well_as_can_be() -> None:
    """Luma and chroma alike: by Lanczos, and not by boxes."""
    photo = pictures.scene((2000, 1500), 40).convert("YCbCr")
    small = shrunk(photo, (0, 0, 2000, 1500), (1200, 900))
    ideal = photo.resize((1200, 900), Image.Resampling.LANCZOS)
    assert max(ImageStat.Stat(ImageChops.difference(small, ideal)).mean) < 0.5


def test_many_threads_get_what_one_gets() -> None:
    inputs = [
        pictures.photo_jpeg((900, 700)),
        pictures.cutout_png((500, 400)),
        pictures.webp((600, 600)),
    ]
    expected = [rendered(data, CARD).data for data in inputs]
    found: list[bool] = []

    def work(number: int) -> None:
        found.append(rendered(inputs[number % 3], CARD).data == expected[number % 3])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 12
