"""What is behind a picture that does not fill its canvas: a colour, or the picture itself, blurred.

    photo -> tiny -> mirrored outwards on a tiny canvas -> blurred -> enlarged, where it is seen

The mirror makes the ground meet the photo in the same colours, so that no edge is seen; the tiny
canvas makes a blur of any radius cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imaging.geometry import Box, Frame

COARSENESS = 20  # px of the canvas for one px of the tiny one
BLUR = 0.08  # of the picture's shorter side: what is mirrored must not be recognised
MIN_BLUR = 1.6  # px of the tiny canvas, below which its pixels would be seen


def on_color(part: Image.Image, frame: Frame, color: tuple[int, int, int]) -> Image.Image:
    """Return a picture's part on a canvas of one colour (red, green, blue)."""
    canvas = Image.new("RGB", frame.canvas, color)
    canvas.paste(part, frame.position)
    return canvas


def on_blur(part: Image.Image, frame: Frame) -> Image.Image:
    """Return a picture's part on a canvas that continues it, ever more blurred."""
    radius = max(MIN_BLUR, BLUR * min(part.size) / COARSENESS)
    tiny = _blurred(_mirrored(part, frame), radius)
    canvas = Image.new(part.mode, frame.canvas)
    across, down = (big / small for big, small in zip(frame.canvas, tiny.size, strict=True))
    for left, top, right, bottom in _around(frame):
        seen = (left / across, top / down, right / across, bottom / down)
        size = (right - left, bottom - top)
        canvas.paste(tiny.resize(size, Image.Resampling.BICUBIC, box=seen), (left, top))
    canvas.paste(part, frame.position)
    return canvas


def _blurred(tiny: Image.Image, radius: float) -> Image.Image:
    """Blur band by band: Pillow does not blur YCbCr as a whole."""
    bands = [band.filter(ImageFilter.GaussianBlur(radius)) for band in tiny.split()]
    return Image.merge(tiny.mode, bands)


def _mirrored(part: Image.Image, frame: Frame) -> Image.Image:
    """Return a tiny canvas, tiled with the tiny part and its mirror images."""
    size = tuple(max(2, round(side / COARSENESS)) for side in frame.canvas)
    across, down = (s / c for s, c in zip(size, frame.canvas, strict=True))
    width = max(1, round(part.width * across))
    height = max(1, round(part.height * down))
    tile = part.resize((width, height), Image.Resampling.BOX)
    canvas = Image.new(part.mode, (size[0], size[1]))
    start = (round(frame.position[0] * across), round(frame.position[1] * down))
    for row, top in _tiles(start[1], height, size[1]):
        for column, left in _tiles(start[0], width, size[0]):
            canvas.paste(_flipped(tile, across=column % 2 == 1, down=row % 2 == 1), (left, top))
    return canvas


def _tiles(start: int, length: int, total: int) -> Iterator[tuple[int, int]]:
    """Yield number and place of each tile that touches 0 to total; number 0 lies at start."""
    first = -(-start // length)
    for number in range(-first, -(-(total - start) // length)):
        yield number, start + number * length


def _flipped(tile: Image.Image, *, across: bool, down: bool) -> Image.Image:
    if across:
        tile = tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return tile.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if down else tile


def _around(frame: Frame) -> Iterator[Box]:
    """Yield the boxes of the canvas that the part leaves free."""
    width, height = frame.canvas
    left, top = frame.position
    right, bottom = left + frame.shown[0], top + frame.shown[1]
    above_and_below = [(0, 0, width, top), (0, bottom, width, height)]
    beside = [(0, top, left, bottom), (right, top, width, bottom)]
    boxes = above_and_below + beside
    yield from (box for box in boxes if box[0] < box[2] and box[1] < box[3])
