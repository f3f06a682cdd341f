"""What is behind a picture that does not fill its canvas: a colour, or the picture itself, blurred.

    photo ─┬─ tiny ── what is near its edges, mirrored and stretched ── blurred ── enlarged
           └─ strips at its edges, mirrored and stretched ── in steps ever more blurred ── over it

The mirror gives the ground the colours that the photo has nearby; the tiny canvas makes a blur of
any radius cheap; the strips make the blur begin with nothing, so that no edge is seen.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageFilter, ImageStat

from imaging.resampling import resampled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imaging.geometry import Box, Frame, Size

    Color = tuple[int, int, int]

COARSENESS = 20  # px of the canvas for one px of the tiny one
BLUR = 0.08  # of the canvas's shorter side: what is mirrored must not be recognised
STRETCH = 3  # how much wider what is mirrored is outside: nobody recognises it, and less is shown
# The steps in which the blur grows: px that become one, and px from the edge up to where the step
# is all that is seen, and from where on nothing of it.
RAMP = ((9, 20, 64), (3, 8, 24), (1, 4, 12))

SHADOW_COARSENESS = 4
SHADOWS = ((0.008, 0.002, 0.22), (0.035, 0.012, 0.30))  # radius, drop (of the side), opacity
MIDDLE = 96  # the grey level of a ground, 0-255, below which a shadow could not be seen


def on_color(part: Image.Image, frame: Frame, color: Color, *, shadow: bool = False) -> Image.Image:
    """Return a picture's part on a canvas of one colour (red, green, blue).

    part: mode RGB, or RGBA; shadow: give what is opaque of it a soft one, on a dark ground a glow.
    """
    canvas = Image.new("RGB", frame.canvas, color)
    if part.mode != "RGBA":
        canvas.paste(part, frame.position)
        return canvas
    if shadow:
        light = sum(color) / 3 < MIDDLE
        for shade in _shadows(part, frame):
            canvas.paste((255, 255, 255) if light else (0, 0, 0), mask=shade)
    canvas.paste(part, frame.position, mask=part)
    return canvas


def on_blur(part: Image.Image, frame: Frame) -> Image.Image:
    """Return a picture's part on a canvas that continues it, ever more blurred.

    part: mode RGB or YCbCr; or RGBA, whose ground is seen through it as well.
    """
    is_opaque = part.mode != "RGBA"
    tiny = _blurred(_mirrored(part, frame), BLUR * min(frame.canvas) / COARSENESS)
    canvas = Image.new(tiny.mode, frame.canvas)
    across, down = (big / small for big, small in zip(frame.canvas, tiny.size, strict=True))
    for left, top, right, bottom in _around(frame) if is_opaque else [(0, 0, *frame.canvas)]:
        seen = (left / across, top / down, right / across, bottom / down)
        size = (right - left, bottom - top)
        canvas.paste(resampled(tiny, size, seen, Image.Resampling.BILINEAR), (left, top))
    canvas.paste(part, frame.position, mask=None if is_opaque else part)
    _grow(canvas, frame)
    return canvas


def _blurred(tiny: Image.Image, radius: float) -> Image.Image:
    """Blur band by band: Pillow does not blur YCbCr as a whole."""
    bands = [band.filter(ImageFilter.GaussianBlur(radius)) for band in tiny.split()]
    return Image.merge(tiny.mode, bands)


def _mirrored(part: Image.Image, frame: Frame) -> Image.Image:
    """Return a tiny canvas with the tiny part, and beside it mirror images of what is near."""
    size = tuple(max(2, round(side / COARSENESS)) for side in frame.canvas)
    across, down = (s / c for s, c in zip(size, frame.canvas, strict=True))
    width = max(1, round(part.width * across))
    height = max(1, round(part.height * down))
    tile = _opaque(part.resize((width, height), Image.Resampling.BOX, reducing_gap=1.0))
    row = Image.new(tile.mode, (size[0], height))
    left = min(round(frame.position[0] * across), size[0] - 1)
    _continue(row, tile, left, Image.Transpose.FLIP_LEFT_RIGHT)
    canvas = Image.new(tile.mode, (size[0], size[1]))
    top = min(round(frame.position[1] * down), size[1] - 1)
    _continue(canvas, row, top, Image.Transpose.FLIP_TOP_BOTTOM)
    return canvas


def _opaque(tile: Image.Image) -> Image.Image:
    """Fill what is transparent with the mean of what is not."""
    if tile.mode != "RGBA":
        return tile
    mean = ImageStat.Stat(tile.convert("RGB"), tile.getchannel("A")).mean
    flat = Image.new("RGB", tile.size, (round(mean[0]), round(mean[1]), round(mean[2])))
    flat.paste(tile, mask=tile)
    return flat


def _continue(canvas: Image.Image, tile: Image.Image, start: int, flip: Image.Transpose) -> None:
    """Paste a tile at a start, across or down by how it is flipped, and stretched images beside it.

    Images of all of it would be a totem of the same faces, however blurred.
    """
    axis = 0 if flip is Image.Transpose.FLIP_LEFT_RIGHT else 1
    mirror, length, total = tile.transpose(flip), tile.size[axis], canvas.size[axis]
    end = start + length

    def along(low: int, high: int) -> Box:
        return (low, 0, high, tile.height) if axis == 0 else (0, low, tile.width, high)

    for low, high in ((0, start), (end, total)):
        if low < high:
            near = min(length, -(-(high - low) // STRETCH))
            taken = along(length - near, length) if low < start else along(0, near)
            box = along(low, high)
            size = (box[2] - box[0], box[3] - box[1])
            canvas.paste(mirror.resize(size, Image.Resampling.BICUBIC, box=taken), box[:2])
    canvas.paste(tile, along(start, end)[:2])


def _grow(canvas: Image.Image, frame: Frame) -> None:
    """Let the blur begin with nothing at each edge of the part that does not end its canvas."""
    (width, height), (left, top) = frame.canvas, frame.position
    right, bottom = left + frame.shown[0], top + frame.shown[1]
    reach = RAMP[0][-1]
    rows, columns = (top, bottom), (max(0, left - reach), min(width, right + reach))
    for edge, room, outward, across, span in (
        (left, left, -1, True, rows),
        (right, width - right, 1, True, rows),
        (top, top, -1, False, columns),
        (bottom, height - bottom, 1, False, columns),
    ):
        if room:
            _soften(canvas, frame, edge=edge, depth=outward * room, across=across, span=span)


def _soften(  # noqa: PLR0913 - one edge, four ways
    canvas: Image.Image, frame: Frame, *, edge: int, depth: int, across: bool, span: tuple[int, int]
) -> None:
    """Lay the strip inside an edge, stretched, over what is outside, in steps of blur.

    depth: how much room there is outside, in px, below 0 to the left or above.
    """

    def strip(length: int) -> Box:
        low, high = min(edge, edge + length), max(edge, edge + length)
        return (low, span[0], high, span[1]) if across else (span[0], low, span[1], high)

    outward = 1 if depth > 0 else -1
    flip = Image.Transpose.FLIP_LEFT_RIGHT if across else Image.Transpose.FLIP_TOP_BOTTOM
    for coarseness, full, end in RAMP:
        length = min(end, abs(depth))
        inside = min(-(-length // STRETCH), frame.shown[0 if across else 1])
        outer = strip(outward * length)
        size = (outer[2] - outer[0], outer[3] - outer[1])
        level = canvas.crop(strip(-outward * inside)).transpose(flip)
        if coarseness > 1:
            few = (max(1, size[0] // coarseness), max(1, size[1] // coarseness))
            level = _blurred(resampled(level, few, resample=Image.Resampling.BOX), 1)
        ramp = _ramp(length, full, end, outward)
        mask = (ramp if across else ramp.transpose(Image.Transpose.TRANSPOSE)).resize(size)
        level = resampled(level, size, resample=Image.Resampling.BILINEAR)
        canvas.paste(level, outer[:2], mask)


@lru_cache(maxsize=32)
def _ramp(length: int, full: int, end: int, outward: int) -> Image.Image:
    """Return a row of a mask: all up to full px from the edge, nothing from end px on."""
    shares = (min(1.0, max(0.0, (end - at - 0.5) / (end - full))) for at in range(length))
    levels = bytes(round(255 * share * share * (3 - 2 * share)) for share in shares)
    return Image.frombytes("L", (length, 1), levels[::outward])


def _shadows(part: Image.Image, frame: Frame) -> Iterator[Image.Image]:
    """Yield masks of a canvas's size: what is opaque, blurred and dropped a little."""
    size: Size = tuple(-(-side // SHADOW_COARSENESS) for side in frame.canvas)  # type: ignore[assignment]
    alpha = part.getchannel("A").reduce(SHADOW_COARSENESS)
    left, top = (round(place / SHADOW_COARSENESS) for place in frame.position)
    for radius, drop, opacity in SHADOWS:
        side = min(size)
        mask = Image.new("L", size)
        mask.paste(alpha, (left, top + round(drop * side)))
        mask = mask.filter(ImageFilter.GaussianBlur(radius * side))
        mask = mask.point([round(level * opacity) for level in range(256)])
        yield mask.resize(frame.canvas, Image.Resampling.BICUBIC)


def _around(frame: Frame) -> Iterator[Box]:
    """Yield the boxes of the canvas that the part leaves free."""
    width, height = frame.canvas
    left, top = frame.position
    right, bottom = left + frame.shown[0], top + frame.shown[1]
    above_and_below = [(0, 0, width, top), (0, bottom, width, height)]
    beside = [(0, top, left, bottom), (right, top, width, bottom)]
    boxes = above_and_below + beside
    yield from (box for box in boxes if box[0] < box[2] and box[1] < box[3])
