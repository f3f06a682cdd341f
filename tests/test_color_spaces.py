"""Colours that a picture says in numbers, transparency of deep PNGs, and what is around a GIF."""

from __future__ import annotations

import base64
import io
import itertools
import random
import struct
import zlib
from typing import TYPE_CHECKING

import pictures
import pytest
from PIL import Image, ImageCms, ImageStat

from config import ImageSettings
from image_ops import read_header, render
from imaging.color_spaces import profile_of_cicp, profile_of_gamma
from imaging.headers import nclx
from platforms import picture_canvas

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PLAIN = picture_canvas("email", None, max_side_px=1200)
GROUND = (0, 0, 250)
SETTINGS = ImageSettings(background_color=GROUND)
PATCH = 8  # px

_LEVELS = (0, 40, 110, 190, 255)
COLORS = [(r, g, b) for r in _LEVELS for g in _LEVELS for b in _LEVELS]


def shown(data: bytes) -> Image.Image:
    (rendition,) = render(data, read_header(data, SETTINGS), [PLAIN], SETTINGS)
    return Image.open(io.BytesIO(rendition.data)).convert("RGB")


def middle(picture: Image.Image) -> tuple[int, ...]:
    """Return the mean colour of a picture's inner half."""
    width, height = picture.size
    inner = picture.crop((width // 4, height // 4, width - width // 4, height - height // 4))
    return tuple(round(mean) for mean in ImageStat.Stat(inner).mean)


def png(chunks: dict[str, bytes], color: tuple[int, int, int] = (180, 110, 80)) -> bytes:
    """Return a PNG of one colour with further chunks."""
    data = pictures.encoded(Image.new("RGB", (64, 64), color), "PNG")
    for name, content in chunks.items():
        data = pictures.with_png_chunk(data, name.encode(), content)
    return data


def with_nclx(avif: bytes, primaries: int, transfer: int) -> bytes:
    """Return an AVIF that says other numbers of its colours than it was written with."""
    at = avif.index(b"colrnclx") + 8
    return avif[:at] + struct.pack(">HH", primaries, transfer) + avif[at + 4 :]


def avif(color: tuple[int, int, int], primaries: int, transfer: int) -> bytes:
    picture = Image.new("RGB", (64, 64), color)
    data = pictures.encoded(picture, "AVIF", quality=100, subsampling="4:4:4", speed=10)
    return with_nclx(data, primaries, transfer)


def near(found: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 4) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(found, expected, strict=True))


# As Chromium 156 shows (180, 110, 80).
P3_SHOWN, BT2020_SHOWN, ADOBE_SHOWN = (191, 106, 73), (212, 97, 73), (201, 110, 77)
_ADOBE_POINTS = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
ADOBE_CHRM, SRGB_GAMMA, LINEAR = (
    struct.pack(">8I", *_ADOBE_POINTS),
    struct.pack(">I", 45455),
    struct.pack(">I", 100_000),
)


@pytest.mark.parametrize(("primaries", "expected"), [(12, P3_SHOWN), (9, BT2020_SHOWN)])
def test_a_png_says_its_colours_by_cicp(primaries: int, expected: tuple[int, ...]) -> None:
    assert near(middle(shown(png({"cICP": bytes((primaries, 13, 0, 1))}))), expected)


@pytest.mark.parametrize(("primaries", "expected"), [(12, P3_SHOWN), (9, BT2020_SHOWN)])
@pytest.mark.parametrize("transfer", [1, 2, 13])
def test_an_avif_says_its_colours_by_nclx(
    primaries: int, expected: tuple[int, ...], transfer: int
) -> None:
    assert near(middle(shown(avif((180, 110, 80), primaries, transfer))), expected)


def test_a_heic_says_its_colours_by_nclx() -> None:
    """Display P3 and the same numbers in sRGB differ as they do through an ICC profile."""
    plain = shown(pictures.heic((128, 128)))
    wide = shown(pictures.heic((128, 128), nclx=(12, 13)))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(pictures.rgb_profile("p3")))
    expected = ImageCms.profileToProfile(plain, profile, ImageCms.createProfile("sRGB"))
    assert expected is not None
    assert middle(wide) != middle(plain)
    assert near(middle(wide), middle(expected), 2)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ({"gAMA": SRGB_GAMMA, "cHRM": ADOBE_CHRM}, ADOBE_SHOWN),
        ({"gAMA": LINEAR}, (219, 176, 152)),
        ({"gAMA": SRGB_GAMMA}, (180, 110, 80)),
        ({"gAMA": struct.pack(">I", 46_000)}, (180, 110, 80)),
        ({"cHRM": ADOBE_CHRM}, (180, 110, 80)),
        ({"sRGB": b"\0", "gAMA": LINEAR}, (180, 110, 80)),
    ],
    ids=["both", "gamma alone", "sRGB's gamma", "nearly sRGB's", "points alone", "sRGB wins"],
)
def test_a_png_says_its_colours_by_gamma_and_chromaticities(
    chunks: dict[str, bytes], expected: tuple[int, ...]
) -> None:
    assert near(middle(shown(png(chunks))), expected)


def test_grey_has_a_gamma_too() -> None:
    grey = pictures.encoded(Image.new("L", (64, 64), 128), "PNG")
    assert near(middle(shown(pictures.with_png_chunk(grey, b"gAMA", LINEAR))), (188, 188, 188))


def test_cicp_comes_before_icc_and_icc_before_gamma() -> None:
    icc = b"p\0\0" + zlib.compress(pictures.rgb_profile("adobe"))
    both = png({"gAMA": LINEAR, "iCCP": icc})
    assert near(middle(shown(both)), ADOBE_SHOWN)
    all_of_them = pictures.with_png_chunk(both, b"cICP", bytes((9, 13, 0, 1)))
    assert near(middle(shown(all_of_them)), BT2020_SHOWN)


@pytest.mark.parametrize(
    "chunks",
    [
        {"cICP": bytes((3, 13, 0, 1))},
        {"cICP": bytes((12, 200, 0, 1))},
        {"cICP": bytes((2, 2, 0, 1))},
        {"cICP": bytes((12, 13, 1, 1))},
        {"cICP": b"\x0c\x0d"},
        {"gAMA": bytes(4), "cHRM": ADOBE_CHRM},
        {"gAMA": b"\xff" * 4, "cHRM": ADOBE_CHRM},
        {"gAMA": LINEAR[:3]},
        {"gAMA": SRGB_GAMMA, "cHRM": bytes(32)},
        {"gAMA": SRGB_GAMMA, "cHRM": b"\xff" * 32},
        {"gAMA": SRGB_GAMMA, "cHRM": struct.pack(">8I", *(31270, 32900) * 4)},
        {"gAMA": SRGB_GAMMA, "cHRM": struct.pack(">8I", 31270, 1, *_ADOBE_POINTS[2:])},
    ],
)
def test_numbers_that_say_nothing_are_left_out(chunks: dict[str, bytes]) -> None:
    assert near(middle(shown(png(chunks))), (180, 110, 80))


@pytest.mark.parametrize("seed", range(4))
def test_no_chromaticities_fail(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(300):
        points = tuple((draw.uniform(0, 2), draw.choice((0, draw.uniform(0, 1)))) for _ in range(4))
        profile = profile_of_gamma(draw.uniform(0, 9), points)
        assert profile is None or profile[36:40] == b"acsp"


# --- HDR

PQ, HLG = 16, 18
# Levels of 8 bits: the light of 203 nits, which paper has; PQ of 1000 nits; the brightest of HLG.
PAPER = {PQ: 148, HLG: 191}
BRIGHTEST = {PQ: 192, HLG: 255}


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("make", ["png", "avif"])
def test_paper_is_bright_and_highlights_are_not_clipped(transfer: int, make: str) -> None:
    """White paper becomes nearly white, a lamp white, and the steps between can be told apart."""

    def level(value: int) -> int:
        numbers = bytes((9, transfer, 0, 1))
        color = (value, value, value)
        data = png({"cICP": numbers}, color) if make == "png" else avif(color, 9, transfer)
        found = middle(shown(data))
        assert max(found) - min(found) <= 2
        return found[0]

    paper, brightest = PAPER[transfer], BRIGHTEST[transfer]
    between = [level(paper + (brightest - paper) * n // 4) for n in range(5)]
    assert 224 <= between[0] <= 238
    assert between[-1] >= 253
    assert all(b - a >= 2 for a, b in itertools.pairwise(between[:4]))
    assert level(0) <= 1


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_what_is_darker_than_half_of_paper_keeps_its_light(transfer: int) -> None:
    """60 nits are 0.3 of paper: sRGB's level for that is 148. Source: BT.2100."""
    value = {PQ: 117, HLG: 136}[transfer]
    assert near(
        middle(shown(png({"cICP": bytes((9, transfer, 0, 1))}, (value, value, value)))),
        (148,) * 3,
        4,
    )


def test_a_curve_is_fixed() -> None:
    assert profile_of_cicp(9, PQ, of_video=True) == profile_of_cicp(9, PQ, of_video=False)


# --- which item's numbers count


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def container(*, long_numbers: bool, wide: bool) -> bytes:
    """Return an AVIF's `meta` of two items: a gain map in PQ, and the primary one in Display P3."""
    version, number = (1, ">I") if long_numbers else (0, ">H")
    index, essential = (">H", 1 << 15) if wide else (">B", 1 << 7)
    properties = b"".join(
        (
            box(b"ispe", bytes(4) + struct.pack(">II", 64, 64)),
            box(b"colr", b"nclx" + struct.pack(">HHHB", 9, 16, 9, 0x80)),
            box(b"colr", b"nclx" + struct.pack(">HHHB", 12, 13, 6, 0x80)),
        )
    )
    entries = b"".join(
        struct.pack(number, item)
        + b"\2"
        + struct.pack(index, essential | 1)
        + struct.pack(index, essential | colors)
        for item, colors in ((1, 2), (7, 3))
    )
    full = bytes((version, 0, 0, 1 if wide else 0))
    inner = box(b"ipco", properties) + box(b"ipma", full + struct.pack(">I", 2) + entries)
    primary = bytes((version, 0, 0, 0)) + struct.pack(number, 7)
    return box(b"ftyp", b"avif") + box(
        b"meta", bytes(4) + box(b"pitm", primary) + box(b"iprp", inner)
    )


@pytest.mark.parametrize("long_numbers", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_the_primary_item_says_the_colours(long_numbers: bool, wide: bool) -> None:
    assert nclx(container(long_numbers=long_numbers, wide=wide)) == (12, 13)


def test_a_damaged_container_says_nothing() -> None:
    whole = container(long_numbers=False, wide=False)
    assert {nclx(whole[:length]) for length in range(len(whole))} <= {None, (12, 13)}
    draw = random.Random(5)
    for _ in range(2000):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        found = nclx(bytes(damaged))
        assert found is None or len(found) == 2


# --- beside a browser

_PIXELS = """async ([type, encoded]) => {
  const picture = new Image();
  picture.src = `data:${type};base64,${encoded}`;
  await picture.decode();
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let at = 0; at < data.length; at += 8192)
    text += String.fromCharCode(...data.subarray(at, at + 8192));
  return btoa(text);
}"""
WIDE = [(primaries, transfer) for primaries in (1, 5, 6, 9, 11, 12) for transfer in (1, 4, 8, 13)]


def chart() -> Image.Image:
    picture = Image.new("RGB", (25 * PATCH, 5 * PATCH))
    for n, color in enumerate(COLORS):
        x, y = n % 25 * PATCH, n // 25 * PATCH
        picture.paste(color, (x, y, x + PATCH, y + PATCH))
    return picture


def lab(picture: Image.Image) -> list[tuple[float, float, float]]:
    """Return the Lab colour in the middle of each patch."""
    srgb, d50 = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(srgb, d50, "RGB", "LAB")
    size = (picture.width // PATCH, picture.height // PATCH)
    small = picture.convert("RGB").resize(
        size, Image.Resampling.BOX, box=(2, 2, picture.width - 2, picture.height - 2)
    )
    found = ImageCms.applyTransform(small, transform)
    assert found is not None
    numbers = found.tobytes()
    return [
        (numbers[at] / 2.55, (numbers[at + 1] ^ 128) - 128, (numbers[at + 2] ^ 128) - 128)
        for at in range(0, len(numbers), 3)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["PNG", "AVIF"])
def test_colours_are_a_browser_s(browser: Browser, format_: str) -> None:
    """Each of 125 colours in each of 24 spaces, within 2 Delta E on average and 5 for each.

    What is published is a JPEG, and saturated colours beside each other lose some of theirs.
    """
    options = {"quality": 100, "subsampling": "4:4:4", "speed": 10} if format_ == "AVIF" else {}
    page, data = browser.new_page(), pictures.encoded(chart(), format_, **options)
    for primaries, transfer in WIDE:
        one = (
            with_nclx(data, primaries, transfer)
            if format_ == "AVIF"
            else pictures.with_png_chunk(data, b"cICP", bytes((primaries, transfer, 0, 1)))
        )
        encoded = base64.b64encode(one).decode()
        raw = page.evaluate(_PIXELS, [f"image/{format_.lower()}", encoded])
        theirs = Image.frombytes("RGBA", chart().size, base64.b64decode(raw))
        pairs = zip(lab(shown(one)), lab(theirs), strict=True)
        apart = [sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in pairs]
        assert sum(apart) / len(apart) < 2, (primaries, transfer)
        assert max(apart) < 5, (primaries, transfer)
    page.close()


# --- one colour is transparent


def keyed_png(bits: int, color_type: int, key: tuple[int, ...], row: bytes) -> bytes:
    """Return a PNG of two pixels across, of which the first has the transparent colour."""
    data = pictures.raw_png((2 * 32, 64), row, bits=bits, color_type=color_type)
    return pictures.with_png_chunk(data, b"tRNS", struct.pack(f">{len(key)}H", *key))


def halves(data: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    picture = shown(data)
    return middle(picture.crop((0, 0, 32, 64))), middle(picture.crop((32, 0, 64, 64)))


@pytest.mark.parametrize(
    ("bits", "key", "row", "beside"),
    [
        (1, 0, b"\0\0\0\0\xff\xff\xff\xff", 255),
        (2, 1, b"\x55" * 8 + b"\xaa" * 8, 170),
        (4, 3, b"\x33" * 16 + b"\xcc" * 16, 204),
        (4, 0xF3, b"\x33" * 16 + b"\xcc" * 16, 204),  # only the lowest bits count
        (8, 77, b"\x4d" * 32 + b"\xc8" * 32, 200),
        (16, 0x4D01, b"\x4d\x01" * 32 + b"\xc8\0" * 32, 200),
        (16, 0x4D01, b"\x4d\x01" * 32 + b"\x4d\x02" * 32, 77),
    ],
)
def test_a_transparent_level_of_grey(bits: int, key: int, row: bytes, beside: int) -> None:
    """In 16 bits the lower byte counts, too."""
    hidden, seen = halves(keyed_png(bits, 0, (key,), row))
    assert near(hidden, GROUND)
    assert near(seen, (beside,) * 3)


@pytest.mark.parametrize(
    ("beside", "expected"),
    [((0xC8, 0, 0x64, 0, 0x32, 0), (200, 100, 50)), ((0x10, 1, 0x20, 2, 0x30, 4), (16, 32, 48))],
)
def test_a_transparent_colour_of_16_bits(
    beside: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    row = bytes((0x10, 1, 0x20, 2, 0x30, 3)) * 32 + bytes(beside) * 32
    hidden, seen = halves(keyed_png(16, 2, (0x1001, 0x2002, 0x3003), row))
    assert near(hidden, GROUND)
    assert near(seen, expected)


# --- around a GIF


@pytest.mark.parametrize("transparent", [None, 7])
@pytest.mark.parametrize("disposal", [0, 2])
def test_around_a_small_first_frame_a_gif_is_transparent(
    transparent: int | None, disposal: int
) -> None:
    picture = Image.new("P", (40, 30), 1)
    picture.putpalette([255, 0, 255, 200, 100, 50] + [255, 255, 0] * 254)
    options = {} if transparent is None else {"transparency": transparent}
    data = bytearray(pictures.encoded(picture, "GIF", background=0, disposal=disposal, **options))
    data[6:10] = struct.pack("<HH", 120, 90)  # the screen
    frame = data.index(b",\0\0\0\0")
    data[frame + 1 : frame + 5] = struct.pack("<HH", 40, 30)
    found = shown(bytes(data))
    assert found.size == (120, 90)
    assert near(middle(found.crop((44, 34, 76, 56))), (200, 100, 50))
    for part in ((0, 0, 32, 90), (88, 0, 120, 90), (0, 0, 120, 22), (0, 68, 120, 90)):
        assert near(middle(found.crop(part)), GROUND)


def test_a_gif_of_one_frame_on_all_of_its_screen_stays_a_palette() -> None:
    data = pictures.gif((64, 48))
    assert not read_header(data, SETTINGS).has_alpha
    assert read_header(data, SETTINGS).pixel_bytes == 1
