"""What is worth seeing in a picture, on a tiny copy of it: faces of pets before all else.

    tiny copy ─┬─ luma: blobs of several sizes ── two beside each other, one below ── faces
               └─ all bands: how unlike the picture's edges ───────────────────────── the pet
    both, more in the middle than at the edges ── sums of columns and rows ── Interest

Two eyes and a nose, lighter or darker than the fur around them, are what faces of pets have in
common. libvips' attention looks for skin, edges and saturated colours, and prefers toys.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageFilter, ImageStat

from imaging.geometry import Interest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imaging.geometry import Box, Size

SIDE = 160  # px of the tiny copy; an eye of a pet that fills a third of the height is 5 px
EYES_APART = (8, 12, 18, 27)  # px of the tiny copy: faces of four sizes
BLOB = 0.12  # of that distance, the radius of an eye
NOSE_BELOW = 0.8  # of that distance, from the eyes
TEXTURE = 0.3  # of the mean of all blobs around: fur, grass and weave are full of them
UNLIKE = 0.35  # what the pet counts beside its face
EDGE = 0.06  # of the shorter side, taken for the ground
EDGE_HEIGHT = 0.75  # of the height: below, a pet often ends at the edge
SPREAD, MIDDLE = 0.4, (0.5, 0.33)  # how far from where in the picture things still count
CELLS = 40  # in which columns and rows are summed up
LEAST = 3  # of 255, so that even of a plain picture the middle is shown

RING_BLUR, RING = 2, 245  # px of the tiny copy; the alpha that is left where an outline is near
ALIKE = 40  # of 255, in every band: a colour that cannot be told from the ground
ALIKE_SHARE = 0.25  # of an outline
OPAQUE = 128
CUT_DEPTH = 0.04  # of the side, how far from it an outline that is cut off stays as wide
CUT_WIDTH, CUT_NARROWING = 0.2, 0.75


def interest(tiny: Image.Image) -> Interest:
    """Return what a window onto a picture should show.

    tiny: upright, at most SIDE px; mode L, YCbCr, RGB, RGBA or CMYK. What is transparent is of no
    interest.
    """
    alpha = tiny.getchannel("A") if tiny.mode == "RGBA" else None
    bands = _flat(tiny).split()
    pet = alpha or _unlike_edges(bands)
    seen = ImageChops.add(_faces(bands[0]), _stretched(pet, UNLIKE))
    seen = ImageChops.multiply(seen.point(_STEEP), _prior(tiny.size))
    if alpha:
        seen = ImageChops.multiply(seen, alpha)
    size = (min(CELLS, tiny.width), min(CELLS, tiny.height))
    sums = seen.convert("F")
    columns, rows = (sums.resize(way, Image.Resampling.BOX) for way in ((size[0], 1), (1, size[1])))
    return Interest(columns=_values(columns), rows=_values(rows))


def _values(sums: Image.Image) -> tuple[float, ...]:
    return tuple(sums.get_flattened_data())  # type: ignore[arg-type]  # of one band


def _flat(tiny: Image.Image) -> Image.Image:
    if tiny.mode == "YCbCr":
        return tiny
    if tiny.mode == "RGBA":
        flat = Image.new("RGB", tiny.size, (128, 128, 128))
        flat.paste(tiny, mask=tiny)
        tiny = flat
    return tiny.convert("RGB").convert("YCbCr")


def _faces(luma: Image.Image) -> Image.Image:
    """Return where two blobs lie beside each other and one below them, as loud as the weakest."""
    found = Image.new("L", luma.size)
    for apart in EYES_APART:
        near, far = (luma.filter(ImageFilter.BoxBlur(BLOB * apart * n)) for n in (1, 2.2))
        blobs = ImageChops.difference(near, far)
        left, right, nose = (
            ImageChops.offset(blobs, round(across * apart), round(down * apart))
            for across, down in ((0.5, 0), (-0.5, 0), (0, -NOSE_BELOW))
        )
        face = ImageChops.darker(ImageChops.darker(left, right), nose)
        texture = blobs.filter(ImageFilter.BoxBlur(1.2 * apart)).point(_TEXTURE)
        found = ImageChops.lighter(found, ImageChops.subtract(face, texture))
    return _stretched(found.filter(ImageFilter.GaussianBlur(2)), 1)


def _unlike_edges(bands: tuple[Image.Image, ...]) -> Image.Image:
    """Return how much each pixel differs from what is at the left, right and top edge."""
    found = Image.new("L", bands[0].size)
    for band, weight in zip(bands, (1, 2, 2), strict=True):
        unlike = None
        for edge in _edges(band.size):
            mean = ImageStat.Stat(band.crop(edge)).mean[0]
            away = band.point([min(255, round(abs(level - mean) * weight)) for level in range(256)])
            unlike = away if unlike is None else ImageChops.darker(unlike, away)
        found = ImageChops.add(found, unlike or found)
    return found.filter(ImageFilter.GaussianBlur(2))


def _edges(size: Size) -> Iterator[Box]:
    width, height = size
    thick, high = max(1, round(min(size) * EDGE)), max(1, round(height * EDGE_HEIGHT))
    yield (0, 0, thick, high)
    yield (width - thick, 0, width, high)
    yield (0, 0, width, thick)


def _stretched(levels: Image.Image, share: float) -> Image.Image:
    """Return levels from 0 to a share of 255."""
    highest = float(levels.getextrema()[1])  # type: ignore[arg-type]  # two numbers in mode L
    return levels.point(
        [min(255, round(255 * share * level / max(highest, 1))) for level in range(256)]
    )


_TEXTURE = [round(TEXTURE * level) for level in range(256)]
_STEEP = [LEAST + round((255 - LEAST) * (level / 255) ** 1.5) for level in range(256)]


@lru_cache(maxsize=8)
def _prior(size: Size) -> Image.Image:
    """Return how likely something of interest is anywhere in a picture."""
    across, down = (
        bytes(
            round(255 * math.exp(-(((at + 0.5) / length - middle) ** 2) / (2 * SPREAD**2)))
            for at in range(length)
        )
        for length, middle in zip(size, MIDDLE, strict=True)
    )
    row = Image.frombytes("L", (size[0], 1), across).resize(size)
    return ImageChops.multiply(row, Image.frombytes("L", (1, size[1]), down).resize(size))


def touched_sides(tiny: Image.Image) -> tuple[bool, bool, bool, bool]:
    """Return by which sides, left, top, right and bottom, a cut-out is cut off.

    It is where its outline is wide, and hardly wider further in: tips of ears and round paws may
    touch a side as well.

    tiny: upright, mode RGBA.
    """
    alpha = tiny.getchannel("A").point([0] * OPAQUE + [255] * (256 - OPAQUE))
    width, height = alpha.size
    across, down = max(1, round(width * CUT_DEPTH)), max(1, round(height * CUT_DEPTH))
    lines = (
        ((0, 0, 1, height), (across, 0, across + 1, height)),
        ((0, 0, width, 1), (0, down, width, down + 1)),
        ((width - 1, 0, width, height), (width - 1 - across, 0, width - across, height)),
        ((0, height - 1, width, height), (0, height - 1 - down, width, height - down)),
    )

    def is_cut(outer: Box, inner: Box) -> bool:
        at_side, further_in = (alpha.crop(line).histogram()[255] for line in (outer, inner))
        length = max(outer[2] - outer[0], outer[3] - outer[1])
        return at_side >= CUT_WIDTH * length and at_side >= CUT_NARROWING * further_in

    left, top, right, bottom = (is_cut(*pair) for pair in lines)
    return left, top, right, bottom


def blends_in(tiny: Image.Image, color: tuple[int, int, int]) -> bool:
    """Return whether too much of a cut-out's outline cannot be told from a ground.

    tiny: mode RGBA; color: of the ground, (red, green, blue).
    """
    alpha = tiny.getchannel("A")
    opaque = alpha.point([0] * OPAQUE + [255] * (256 - OPAQUE))
    inner = opaque.filter(ImageFilter.BoxBlur(RING_BLUR)).point([255] * RING + [0] * (256 - RING))
    ring = ImageChops.darker(opaque, inner)
    away = ImageChops.difference(tiny.convert("RGB"), Image.new("RGB", tiny.size, color)).split()
    most = ImageChops.lighter(ImageChops.lighter(away[0], away[1]), away[2])
    outline = ring.histogram()[255]
    alike = most.histogram(ring)[:ALIKE]
    return outline > 0 and sum(alike) >= ALIKE_SHARE * outline
