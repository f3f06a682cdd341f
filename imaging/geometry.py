"""Where a picture goes on its canvas: geometry alone, no pixels.

    picture (upright) -- scale --> scaled -- crop --> part -- paste at --> canvas

Sizes are (width, height), positions (left, top), boxes (left, top, right, bottom), all in px.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Size = tuple[int, int]
Box = tuple[int, int, int, int]
Region = tuple[float, float, float, float]  # a box whose edges may lie between pixels

MAX_ENLARGEMENT = 2.0  # beyond it a picture is no longer recognised as the same
EXACT_PX = 0.01  # a rounding error, in px
_FIRST_QUARTER_TURN = 5  # of the orientations that EXIF numbers
_BACK = {6: 8, 8: 6}  # every other turn undoes itself
CUTOUT_MARGIN = 0.04  # of the canvas's shorter side, around a pet without surroundings


class Fit(StrEnum):
    """How a picture meets its canvas.

    pad: all of it, centred on the full canvas; cover: cropped to the full canvas;
    inside: all of it, nothing around it, never enlarged.
    """

    PAD = "pad"
    COVER = "cover"
    INSIDE = "inside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """What a rendition must be: its size (width, height) in px, the fit, and its byte budget."""

    size: Size
    fit: Fit
    max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture's place on its canvas.

    picture: its size; canvas: the size of the whole; scaled: the size of the whole picture at the
    scale it is shown in; crop: the box of the scaled picture that is shown; position: where that
    box goes.
    """

    picture: Size
    canvas: Size
    scaled: Size
    crop: Box
    position: tuple[int, int]

    @property
    def shown(self) -> Size:
        """The size of the part that is shown."""
        left, top, right, bottom = self.crop
        return right - left, bottom - top

    @property
    def region(self) -> Region:
        """The region of the picture that is shown, in px of the picture."""
        return rescaled(self.crop, self.scaled, self.picture)

    @property
    def fills_canvas(self) -> bool:
        """Whether nothing of the ground is seen."""
        return self.shown == self.canvas


def frame(size: Size, canvas: Canvas, *, visible: Region | None = None) -> Frame:
    """Return where a picture goes.

    size: the upright picture's; visible: the box of a cut-out that is not transparent, None for a
    photo: a padded canvas shows that box alone, a covered one is centred on it. Nothing is
    enlarged beyond MAX_ENLARGEMENT, and nothing at all by `inside`.
    """
    if canvas.fit is Fit.INSIDE:
        scaled = _scaled(size, min(1.0, _contain(size, canvas.size)))
        return Frame(
            picture=size, canvas=scaled, scaled=scaled, crop=(0, 0, *scaled), position=(0, 0)
        )
    if canvas.fit is Fit.COVER:
        scale = max(canvas.size[0] / size[0], canvas.size[1] / size[1])
        scaled = _scaled(size, min(scale, MAX_ENLARGEMENT))
        return _centred(
            size, canvas.size, scaled, _window(scaled, canvas.size, _middle(size, scaled, visible))
        )
    if visible is None:
        scaled = _scaled(size, min(MAX_ENLARGEMENT, _contain(size, canvas.size)))
        return _centred(size, canvas.size, scaled, (0, 0, *scaled))
    return _frame_cutout(size, canvas.size, visible)


def rescaled(region: Region, size: Size, other: Size) -> Region:
    """Return a region of a picture of one size in px of the same picture in another size."""
    across, down = other[0] / size[0], other[1] / size[1]
    left, top, right, bottom = region
    return left * across, top * down, right * across, bottom * down


def upright(size: Size, orientation: int) -> Size:
    """Return a stored size as it is seen, or a size that is seen as it is stored."""
    return (size[1], size[0]) if orientation >= _FIRST_QUARTER_TURN else size


def upright_region(region: Region, size: Size, orientation: int) -> Region:
    """Return where a region of a stored picture lies once the picture is upright.

    size: of the stored picture.
    """
    width, height = size
    left, top, right, bottom = region
    if orientation in {2, 3, 7, 8}:
        left, right = width - right, width - left
    if orientation in {3, 4, 6, 7}:
        top, bottom = height - bottom, height - top
    return (
        (top, left, bottom, right)
        if orientation >= _FIRST_QUARTER_TURN
        else (left, top, right, bottom)
    )


def stored_region(region: Region, size: Size, orientation: int) -> Region:
    """Return where a region of the upright picture is stored; size: of the upright picture."""
    return upright_region(region, size, _BACK.get(orientation, orientation))


def largest_scaled(frames: Sequence[Frame]) -> Size:
    """Return the largest size at which frames show the whole picture."""
    return max((place.scaled for place in frames), key=area)


def whole_pixels(region: Region, size: Size) -> Box | None:
    """Return a region of a size as a box, None where it does not lie on whole pixels."""
    left, top = round(region[0]), round(region[1])
    box = (left, top, left + size[0], top + size[1])
    is_exact = all(abs(edge - near) < EXACT_PX for edge, near in zip(region, box, strict=True))
    return box if is_exact else None


def within(region: Region, size: Size) -> Region:
    """Return a region without what, by a rounding error or more, lies beyond a size."""
    left, top, right, bottom = region
    return max(0, left), max(0, top), min(size[0], right), min(size[1], bottom)


def union(region: Region, other: Region) -> Region:
    """Return the smallest region that holds both."""
    return (
        min(region[0], other[0]),
        min(region[1], other[1]),
        max(region[2], other[2]),
        max(region[3], other[3]),
    )


def together(frames: Sequence[Frame]) -> tuple[Region, Size]:
    """Return the region that frames of one picture show together, and the largest size of it."""
    region = functools.reduce(union, (place.region for place in frames))
    largest = max(frames, key=lambda place: area(place.scaled))
    left, top, right, bottom = rescaled(region, largest.picture, largest.scaled)
    return region, (max(1, round(right - left)), max(1, round(bottom - top)))


def area(size: Size) -> int:
    """Return the number of pixels of a size."""
    return size[0] * size[1]


def _frame_cutout(size: Size, canvas: Size, visible: Region) -> Frame:
    margin = round(min(canvas) * CUTOUT_MARGIN)
    room = (canvas[0] - 2 * margin, canvas[1] - 2 * margin)
    seen = (visible[2] - visible[0], visible[3] - visible[1])
    scale = min(MAX_ENLARGEMENT, _contain(seen, room))
    scaled = _scaled(size, scale)
    left, top = int(visible[0] * scale), int(visible[1] * scale)
    right = min(scaled[0], max(left + 1, round(visible[2] * scale)))
    bottom = min(scaled[1], max(top + 1, round(visible[3] * scale)))
    return _centred(
        size, canvas, scaled, (min(left, right - 1), min(top, bottom - 1), right, bottom)
    )


def _contain(size: tuple[float, float], room: Size) -> float:
    """Return the scale at which a size just fits into the room."""
    return min(room[0] / size[0], room[1] / size[1])


def _scaled(size: Size, scale: float) -> Size:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _middle(size: Size, scaled: Size, visible: Region | None) -> tuple[float, float]:
    """Return the point of the scaled picture that should stay in view."""
    left, top, right, bottom = visible or (0, 0, *size)
    return (left + right) / 2 * scaled[0] / size[0], (top + bottom) / 2 * scaled[1] / size[1]


def _window(scaled: Size, canvas: Size, middle: tuple[float, float]) -> Box:
    """Return as much of a scaled picture as the canvas holds, around a point, not beyond it."""
    width, height = min(scaled[0], canvas[0]), min(scaled[1], canvas[1])
    left = min(max(round(middle[0] - width / 2), 0), scaled[0] - width)
    top = min(max(round(middle[1] - height / 2), 0), scaled[1] - height)
    return left, top, left + width, top + height


def _centred(picture: Size, canvas: Size, scaled: Size, crop: Box) -> Frame:
    width, height = crop[2] - crop[0], crop[3] - crop[1]
    position = ((canvas[0] - width) // 2, (canvas[1] - height) // 2)
    return Frame(picture=picture, canvas=canvas, scaled=scaled, crop=crop, position=position)
