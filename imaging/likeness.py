"""What a picture looks like, in 256 bits: nearly the same ones for every copy of it.

    decoded picture ── luma, 32x32 ── turned upright, sRGB ── DCT ── the sign of each low frequency

A copy in another size, format or quality keeps the signs, because each stands for a pattern that is
laid over the whole picture. Signs of what is hardly there are noise: of a plain picture, which has
little but those, copies cannot be told, which the first bit says. A mirrored picture has the signs
of the patterns that are odd in that direction reversed, so that it is recognised as well.

The canvas decides to what size a JPEG is decoded, and nothing else here: the mean of an area is the
same at every size, but for rounding.

Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, 3.2.1.
"""

from __future__ import annotations

import io
import math
import re
from operator import mul
from typing import TYPE_CHECKING, Final

from PIL import Image

from imaging.colors import to_srgb
from imaging.resizing import glance, has_alpha, turned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imaging.geometry import Size

# Of LIKENESS_BITS: chosen by bench/likeness.py, whose table is in docs/abuse.md.
MAX_DISTANCE: Final = 24
LIKENESS = re.compile("[0-9a-f]{64}")
PLAIN = "0" * 64  # like no picture of which copies can be told

_SIDE = 32  # px of the copy that is looked at
_PATTERNS = 16  # in each direction; without the mean there are 255
_LEAST_SWING = 0.25  # of 255: a pattern below it may be noise
_LEAST_PATTERNS = 160  # with fewer, one copy in a hundred would be missed
_SIGNS = (1 << 255) - 1
_GLANCE_SIDE = 320  # px; three times as many are looked at
_LEAST_SIDE = 256  # px; of few pixels, means of areas between them are not exact
_AVERAGED = {"L", "RGB", "YCbCr", "CMYK"}  # the modes of which Pillow makes means without a copy
# (left, top, right, bottom), as shares of the sides: the whole, 2.5 % off all sides, 5 % off one.
_LIGHT_CROPS = (
    *((0, 0, 1, 1), (0.025, 0.025, 0.975, 0.975)),
    *((0.05, 0, 1, 1), (0, 0.05, 1, 1), (0, 0, 0.95, 1), (0, 0, 1, 0.95)),
)
_WAVES = [
    [math.cos(math.pi * wave * (2 * x + 1) / (2 * _SIDE)) for x in range(_SIDE)]
    for wave in range(_PATTERNS)
]


def likeness(picture: Image.Image, size: Size, orientation: int, profile: bytes | None) -> str:
    """Return what a decoded picture looks like, 64 hexadecimal digits.

    picture: of any mode, what is transparent counts as white; size: (width, height) in px that it
    had before it was decoded, perhaps to an 8th; orientation: as in EXIF; profile: an ICC profile,
    as embedded. Measured: 2 ms for 3 megapixels.
    """
    small = to_srgb(turned(_means(picture, size), orientation), profile)
    luma = small.getchannel(0) if small.mode == "YCbCr" else small.convert("L")
    swings = _swings(luma.tobytes())
    is_plain = sum(abs(swing) >= _LEAST_SWING for swing in swings) < _LEAST_PATTERNS
    bits = "".join("1" if swing > 0 else "0" for swing in swings)
    return f"{(not is_plain) << 255 | int(bits, 2):064x}"


def is_plain(likeness: str) -> bool:
    """Return whether a picture is too plain for copies of it to be told from others."""
    return int(likeness, 16) <= _SIGNS


def likenesses(jpeg: bytes) -> set[str]:
    """Return what a published picture, and what is left of it lightly cropped, look like.

    jpeg: one of our own renditions: it is decoded as it is.
    """
    with Image.open(io.BytesIO(jpeg)) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    boxes = (
        (left * width, top * height, right * width, bottom * height)
        for left, top, right, bottom in _LIGHT_CROPS
    )
    crops = (picture.crop(tuple(map(round, box))) for box in boxes)  # type: ignore[arg-type]
    return {likeness(crop, crop.size, 1, None) for crop in crops}


def distance(one: str, other: str) -> int:
    """Return by how many of 255 bits two likenesses differ, mirrored if that is less."""
    differing = (int(one, 16) ^ int(other, 16)) & _SIGNS
    return min((differing ^ mirror).bit_count() for mirror in _MIRRORS)


def _means(picture: Image.Image, size: Size) -> Image.Image:
    """Return a small copy, as stored, mode L, RGB, YCbCr or CMYK: each pixel the mean of an area.

    It is divided by a power of 2 first, which for a JPEG the decoder may have begun: the means are
    the same either way.
    """
    if picture.mode not in _AVERAGED or has_alpha(picture):
        picture = _on_white(glance(picture, _GLANCE_SIDE))  # which needs no copy of all of it
        size = picture.size
    decoded = max(1, round(size[0] / picture.width))
    divided = max(n for n in (1, 2, 4, 8) if n == 1 or min(size) >= n * _LEAST_SIDE)
    if divided > decoded:
        picture = picture.reduce(divided // decoded)
    whole = tuple(
        min(length / max(divided, decoded), least)
        for length, least in zip(size, picture.size, strict=True)
    )
    return picture.resize((_SIDE, _SIDE), Image.Resampling.BOX, box=(0, 0, whole[0], whole[1]))


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    ground = Image.new("RGB", picture.size, (255, 255, 255))
    ground.paste(picture, mask=picture)
    return ground


def _swings(pixels: Sequence[int]) -> list[float]:
    """Return how far each pattern swings, row by row, without the mean: a DCT-II, in levels."""
    rows = [pixels[start : start + _SIDE] for start in range(0, _SIDE * _SIDE, _SIDE)]
    columns = zip(*([sum(map(mul, wave, row)) for wave in _WAVES] for row in rows), strict=True)
    patterns = zip(
        *([sum(map(mul, wave, column)) for wave in _WAVES] for column in columns), strict=True
    )
    whole = _SIDE * _SIDE / 4
    return [swing / whole for pattern in patterns for swing in pattern][1:]


def _mirrors() -> list[int]:
    """Return which bits are reversed by no mirror, by each of two, and by both."""
    odd = [
        [wave % 2 for _ in range(_PATTERNS) for wave in range(_PATTERNS)],
        [wave % 2 for wave in range(_PATTERNS) for _ in range(_PATTERNS)],
    ]
    across, down = (int("".join(map(str, bits[1:])), 2) for bits in odd)
    return [0, across, down, across ^ down]


_MIRRORS = _mirrors()
