"""Decoded pixels to few, upright pixels in one of five modes, with little memory on the way.

    CMYK                          -> CMYK       colours are managed when the picture is small
    YCbCr (from a JPEG)           -> YCbCr      encoded as it is
    1, L, I;16                    -> L          without clipping 16 bits to white
    P, RGB, RGBX, ...             -> RGB
    LA, P and others with alpha   -> RGBA       premultiplied while it is resized: no fringes

Only the part that is shown is shrunk. What has to be converted before it can be resized is
converted in strips, each of which gets its final width at once: no copy is as large as the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from imaging.geometry import union, whole_pixels, within
from imaging.resampling import resampled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imaging.geometry import Box, Frame, Region, Size


VISIBLE_ALPHA = 8  # of 255; below it nobody sees a pixel
STRIP_PIXELS = 250_000
GLANCE_PIXELS = 3  # in each direction, for one of a glance
MARGIN = 1.5  # how many times the wanted size a picture keeps before Lanczos does the rest

_WIDE = {"I;16", "I;16L", "I;16B"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A shrunk part of a picture: its pixels, and the region of the upright picture they show."""

    pixels: Image.Image = field(repr=False)
    region: Region


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """Return a picture upright; orientation: as in EXIF, 1 to 8."""
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def has_alpha(picture: Image.Image) -> bool:
    """Return whether a picture may be transparent somewhere."""
    return picture.has_transparency_data and picture.mode not in _WIDE


def visible_boxes(picture: Image.Image) -> tuple[Region | None, Region | None, float]:
    """Return the box of what can be seen, of what is not wholly transparent, and the unseen share.

    Both boxes are None for nothing; the share is from 0.0 to 1.0. picture: of any mode, with alpha.
    """
    seen: Region | None = None
    faint: Region | None = None
    visible = 0
    for top, strip in _strips(picture, (0, 0, *picture.size), 1):
        alpha = _converted(strip, "RGBA").getchannel("A")
        box = alpha.getbbox()
        if box is None:
            continue
        mask = alpha.crop(box).point(_SEEN)
        visible += mask.tobytes().count(_SEEN[-1])  # a third of the time of a histogram
        faint = _extended(faint, box, (0, top))
        seen = _extended(seen, mask.getbbox(), (box[0], top + box[1]))
    return seen, faint, 1 - visible / (picture.width * picture.height)


_SEEN = [0] * (VISIBLE_ALPHA + 1) + [255] * (255 - VISIBLE_ALPHA)


def _extended(region: Region | None, found: Box | None, at: Size) -> Region | None:
    if found is None:
        return region
    box = (found[0] + at[0], found[1] + at[1], found[2] + at[0], found[3] + at[1])
    return union(region or box, box)


def glance(picture: Image.Image, side: int) -> Image.Image:
    """Return a tiny copy in mode L, YCbCr, RGB, RGBA or CMYK, at most side px wide and high.

    Only every few pixels one is looked at: good enough to decide what to do, not to be shown.
    """
    step = max(1.0, max(picture.size) / side)
    few = [max(1, round(length / step)) for length in picture.size]
    size = tuple(
        min(n * GLANCE_PIXELS, length) for n, length in zip(few, picture.size, strict=True)
    )
    coarse = picture.resize((size[0], size[1]), Image.Resampling.NEAREST)
    coarse = _converted(coarse, _wanted_mode(picture))
    return resampled(coarse, (few[0], few[1]), resample=Image.Resampling.BOX)


def shrunk(picture: Image.Image, region: Region, size: Size) -> Image.Image:
    """Return a region of a picture in mode L, YCbCr, RGB, RGBA or CMYK; alpha is straight.

    size: (width, height) in px; a side that the region does not have keeps the region's length.
    """
    region = within(region, picture.size)
    has = [max(1, round(region[n + 2] - region[n])) for n in (0, 1)]
    size = (min(size[0], has[0]), min(size[1], has[1]))
    mode = _wanted_mode(picture)
    exact = whole_pixels(region, size)
    if mode == picture.mode and exact is not None:
        return picture.crop(exact)
    factor = int(min(has[0] / size[0], has[1] / size[1]) / MARGIN) or 1
    if factor == 1 and mode == picture.mode != "RGBA":
        return resampled(picture, size, region)
    narrow, rows = _narrowed(picture, region, size, mode, factor)
    return resampled(narrow, size, (0, rows[0], size[0], rows[1]))


def cut(part: Part, place: Frame) -> Image.Image:
    """Return what a frame shows of a picture, in the size in which it shows it.

    part: holds all that the frame shows; its pixels are returned themselves where that
    is what the frame shows.
    """
    pixels, (left, top, right, bottom) = part.pixels, part.region
    across, down = pixels.width / (right - left), pixels.height / (bottom - top)
    shown = place.region
    shown_px = (
        (shown[0] - left) * across,
        (shown[1] - top) * down,
        (shown[2] - left) * across,
        (shown[3] - top) * down,
    )
    box = within(shown_px, pixels.size)
    exact = whole_pixels(box, place.shown)
    if exact is not None:
        return pixels if place.shown == pixels.size else pixels.crop(exact)
    return resampled(pixels, place.shown, box)


def _narrowed(
    picture: Image.Image, region: Region, size: Size, mode: str, factor: int
) -> tuple[Image.Image, tuple[float, float]]:
    """Convert, divide by a factor and resize to the final width, strip by strip.

    Return the picture and the top and bottom of the region in it. Rows and columns are resampled
    one after the other anyway, so that no strip leaves a seam.
    """
    left, top, right, bottom = region
    box = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    narrow = Image.new(mode, (size[0], -(-(box[3] - box[1]) // factor)))
    across = (left - box[0]) / factor, (right - box[0]) / factor
    for upper, strip in _strips(picture, box, factor):
        part = _converted(strip, mode)
        part = part if factor == 1 else part.reduce(factor)
        seen = (across[0], 0, min(across[1], part.width), part.height)
        narrow.paste(resampled(part, (size[0], part.height), seen), (0, upper // factor))
    rows = (top - box[1]) / factor, min((bottom - box[1]) / factor, narrow.height)
    return narrow, rows


def _strips(picture: Image.Image, box: Box, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield the strips of a box, with their tops in it; each is as high as a multiple of factor."""
    left, top, right, bottom = box
    height = max(1, STRIP_PIXELS // (right - left) // factor) * factor
    if height >= picture.height and box == (0, 0, *picture.size):
        yield 0, picture
        return
    for upper in range(top, bottom, height):
        yield upper - top, picture.crop((left, upper, right, min(upper + height, bottom)))


def _wanted_mode(picture: Image.Image) -> str:
    if has_alpha(picture):
        return "RGBA"
    if picture.mode in {"1", "I", *_WIDE}:
        return "L"
    return picture.mode if picture.mode in {"CMYK", "YCbCr", "L"} else "RGB"


def _converted(strip: Image.Image, mode: str) -> Image.Image:
    if strip.mode in _WIDE:
        return _high_bytes(strip)
    return strip if strip.mode == mode else strip.convert(mode)


def _high_bytes(strip: Image.Image) -> Image.Image:
    """Return 16-bit greyscale in 8 bits: the upper half of each number."""
    return Image.frombytes("L", strip.size, strip.tobytes("raw", "I;16B")[::2])
