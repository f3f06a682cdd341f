"""Nothing but pixels is published: every byte of every JPEG is held to a list of segments."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import pictures
import pytest
from jpeg_segments import assert_only_pixels
from pictures import MARKER
from PIL import Image

from config import ImageSettings
from config.values import FORMATS
from errors import ShareImageError
from image_ops import Rendition, read_header, render
from imaging.geometry import Fit
from imaging.jpeg_writer import encode
from imaging.lettering import name_card
from platforms import CANVAS_SIZES, card_canvas, picture_canvas

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = ImageSettings()
SIZE = (320, 240)
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + MARKER + b"</x:xmpmeta>"
COMMENT = b"\xff\xfe" + struct.pack(">H", 2 + 65533) + (MARKER * 4000)[:65533]


def jpeg(*, profile: bytes | None = None, comment: bytes = COMMENT, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    """Return a JPEG that begins with a comment, has EXIF, XMP and density, and goes on."""
    data = pictures.encoded(
        options.pop("picture", pictures.scene(SIZE)),
        "JPEG",
        exif=pictures.exif(gps=True),
        icc_profile=profile,
        xmp=XMP,
        dpi=(300, 300),
        **options,
    )
    return data[:2] + comment + data[2:] + MARKER


def png(picture: Image.Image, *, profile: bytes | None = None) -> bytes:
    """Return a PNG with texts, EXIF, density and bytes behind its end."""
    data = pictures.encoded(
        picture, "PNG", icc_profile=profile, exif=pictures.exif(gps=True), dpi=(300, 300)
    )
    for name in (b"tEXt", b"iTXt", b"prVt"):
        data = pictures.with_png_chunk(data, name, b"Comment\0\0\0\0\0" + MARKER)
    return data + MARKER


def gif(mode: str, comment: bytes = MARKER) -> bytes:
    """Return a GIF of a mode with a comment in front of its frame."""
    picture = pictures.scene(SIZE).convert(mode)
    data = pictures.encoded(picture, "GIF")
    return _with_gif_comment(data, comment)


def _with_gif_comment(data: bytes, comment: bytes) -> bytes:
    """Put a comment extension in front of the first frame (GIF89a, section 24)."""
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    blocks = [comment[start : start + 255] for start in range(0, len(comment), 255)]
    extension = b"!\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    return data[:at] + extension + data[at:]


def other(format_: str, *, alpha: bool, profile: bytes | None) -> bytes:
    """Return a WebP or an AVIF with EXIF, XMP and bytes behind its end."""
    picture = pictures.cutout(SIZE) if alpha else pictures.scene(SIZE)
    options: dict[str, Any] = {"icc_profile": profile} if profile else {}
    block = pictures.exif(gps=True)
    return pictures.encoded(picture, format_, exif=block, xmp=XMP, **options) + MARKER


P3, SRGB = pictures.rgb_profile("p3", name=MARKER), pictures.rgb_profile("srgb", name=MARKER)
PLANTED: dict[str, Callable[[], bytes]] = {
    "JPEG": jpeg,
    "JPEG, P3": lambda: jpeg(profile=P3),
    "JPEG, sRGB": lambda: jpeg(profile=SRGB),
    "JPEG, unusable profile": lambda: jpeg(profile=MARKER),
    "JPEG, progressive": lambda: jpeg(progressive=True),
    "JPEG, grey": lambda: jpeg(picture=pictures.scene(SIZE).convert("L")),
    "JPEG, CMYK": lambda: jpeg(picture=pictures.scene(SIZE).convert("CMYK")),
    "JPEG, RGB": lambda: jpeg(keep_rgb=True),
    "JPEG, everything": lambda: pictures.with_metadata(pictures.photo_jpeg(SIZE)),
    "JPEG, two pictures": lambda: pictures.mpo(SIZE) + MARKER,
    "JPEG, of the card's size": lambda: jpeg(picture=pictures.scene((1200, 630))),
    "PNG": lambda: png(pictures.scene(SIZE)),
    "PNG, profile": lambda: png(pictures.scene(SIZE), profile=P3),
    "PNG, cut-out": lambda: png(pictures.cutout(SIZE)),
    "PNG, palette": lambda: png(pictures.scene(SIZE).quantize(16)),
    "PNG, grey": lambda: png(pictures.scene(SIZE).convert("L")),
    "GIF": lambda: gif("P"),
    "GIF, grey": lambda: gif("L"),
    "GIF, grey, with a long comment": lambda: gif("L", (MARKER * 9000)[:150_000]),
    "WEBP": lambda: other("WEBP", alpha=False, profile=None),
    "WEBP, cut-out": lambda: other("WEBP", alpha=True, profile=P3),
    "AVIF": lambda: other("AVIF", alpha=False, profile=None),
    "AVIF, cut-out": lambda: other("AVIF", alpha=True, profile=P3),
    "HEIC": lambda: pictures.heic(SIZE) + b"\0\0\0\x1dfree" + MARKER,
}
CANVASES = list(
    dict.fromkeys(
        canvas
        for fit in (None, *Fit)
        for platform in (*CANVAS_SIZES, "email")
        for canvas in (picture_canvas(platform, fit, max_side_px=1200), card_canvas(fit))
    )
)


def test_there_is_a_planted_picture_of_every_format() -> None:
    assert {name.partition(",")[0] for name in PLANTED} == {*FORMATS}
    assert all(MARKER in make() for make in PLANTED.values())


# One of each format, without a comma in its name, is fast.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if ", " in name else []) for name in PLANTED],
)
def test_every_byte_of_every_canvas_is_a_pixel_s(name: str) -> None:
    """All formats, with and without a profile, on every canvas that any platform and fit give."""
    data = PLANTED[name]()
    header = read_header(data, SETTINGS)
    for rendition in render(data, header, CANVASES, SETTINGS):
        assert_only_pixels(rendition.data)
        assert MARKER not in rendition.data


def test_a_watermarked_picture_is_pixels_too() -> None:
    settings = ImageSettings(watermark_text="Perkie Prints")
    data = PLANTED["JPEG"]()
    for rendition in render(data, read_header(data, settings), CANVASES[:2], settings):
        assert_only_pixels(rendition.data)


def test_the_card_of_an_expired_share_is_pixels_too() -> None:
    assert_only_pixels(name_card(card_canvas(None), "Perkie Prints", (200, 30, 90), None))


def test_what_a_picture_carries_does_not_reach_the_encoder() -> None:
    """Whoever frames pictures may forget: what Pillow would write of `info` is left behind here."""
    picture = pictures.scene(SIZE).copy()
    picture.info = {"comment": MARKER, "exif": MARKER, "icc_profile": MARKER, "xmp": MARKER}
    picture.info |= {"dpi": (300, 300), "progressive": 1, "jfif_density": (300, 300)}
    data = encode(picture, max_bytes=1_000_000, full_chroma=False)
    assert_only_pixels(data)
    assert Image.open(io.BytesIO(data)).size == SIZE


OURS = encode(pictures.scene(SIZE), max_bytes=1_000_000, full_chroma=False)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("a comment", OURS[:20] + b"\xff\xfe\0\5abc" + OURS[20:]),
        ("EXIF", OURS[:20] + b"\xff\xe1\0\x08Exif\0\0" + OURS[20:]),
        ("a second APP0", OURS[:20] + OURS[2:20] + OURS[20:]),
        ("a JFIF thumbnail", OURS[:18] + b"\1\1" + OURS[20:]),
        ("APP0 with a tail", OURS[:2] + b"\xff\xe0\0\x13" + OURS[6:20] + b"abc" + OURS[20:]),
        ("bytes behind the end", OURS + b"abc"),
        ("no end", OURS[:-2]),
        ("another mark at the end", OURS[:-2] + b"\xff\xd8"),
        ("a second picture behind the end", OURS + OURS),
        ("a comment behind the first scan", OURS[:-2] + b"\xff\xfe\0\5abc\xff\xd9"),
        ("a baseline frame", OURS.replace(b"\xff\xc2", b"\xff\xc0", 1)),
        ("no JPEG", b"GIF89a"),
        ("nothing", b""),
    ],
)
def test_a_jpeg_with_anything_else_is_not_let_out(name: str, changed: bytes) -> None:
    Rendition(data=OURS, size=SIZE)
    with pytest.raises(ShareImageError):
        Rendition(data=changed, size=SIZE)


def test_a_picture_that_fits_to_the_byte_is_not_encoded_again() -> None:
    assert encode(pictures.scene(SIZE), max_bytes=len(OURS), full_chroma=False) == OURS
    full = encode(pictures.scene(SIZE), max_bytes=1_000_000, full_chroma=True)
    assert encode(pictures.scene(SIZE), max_bytes=len(full), full_chroma=True) == full
