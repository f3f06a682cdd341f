"""Where a picture goes on its canvas: geometry alone, no pixels.

    picture (upright) -- scale --> scaled -- crop --> part -- paste at --> canvas

Sizes are (width, height), positions (left, top), boxes (left, top, right, bottom), all in px.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Size = tuple[int, int]
Box = tuple[int, int, int, int]
Region = tuple[float, float, float, float]  # a box whose edges may lie between pixels

MAX_ENLARGEMENT = 2.0  # of a picture that need not fill its canvas: beyond it, it gets blurred
EXACT_PX = 0.01  # a rounding error, in px
_FIRST_QUARTER_TURN = 5  # of the orientations that EXIF numbers
_BACK = {6: 8, 8: 6}  # every other turn undoes itself
FOCUS = 0.3  # of a window's length: how far from its middle things count
WINDOW_STEPS = 32
CUTOUT_MARGIN = 0.04  # of the canvas's shorter side, around a pet without surroundings


class Fit(StrEnum):
    """How a picture meets its canvas.

    pad: all of it, on the full canvas; cover: cropped to the full canvas, however small it is;
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
    box goes; seen: the box of the canvas in which there is more than a shadow of it.
    """

    picture: Size
    canvas: Size
    scaled: Size
    crop: Box
    position: tuple[int, int]
    seen: Box

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """Where a picture without surroundings is not transparent, in px of the picture.

    visible: the box of what can be seen; faint: the box of that and of shadows that fade around it;
    touches: whether it is cut off by the left, top, right and bottom side of the picture.
    """

    visible: Region
    faint: Region
    touches: tuple[bool, bool, bool, bool] = (False, False, False, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """How much there is to see in each column and each row of a picture, in any unit."""

    columns: tuple[float, ...]
    rows: tuple[float, ...]


def frame(
    size: Size, canvas: Canvas, *, cutout: Cutout | None = None, interest: Interest | None = None
) -> Frame:
    """Return where a picture goes.

    size: the upright picture's; cutout: what a padded canvas shows alone, None for a photo;
    interest: what a covered canvas shows most of, None for the middle.
    """
    if canvas.fit is Fit.INSIDE:
        scaled = _scaled(size, min(1.0, _contain(size, canvas.size)))
        return _placed(size, scaled, scaled, (0, 0, *scaled), (0, 0))
    if canvas.fit is Fit.COVER:
        scaled = _scaled(size, max(canvas.size[0] / size[0], canvas.size[1] / size[1]))
        return _placed(size, canvas.size, scaled, _window(scaled, canvas.size, interest), (0, 0))
    if cutout is None:
        scaled = _scaled(size, min(MAX_ENLARGEMENT, _contain(size, canvas.size)))
        middle = ((canvas.size[0] - scaled[0]) // 2, (canvas.size[1] - scaled[1]) // 2)
        return _placed(size, canvas.size, scaled, (0, 0, *scaled), middle)
    return _frame_cutout(size, canvas.size, cutout)


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


def _frame_cutout(size: Size, canvas: Size, cutout: Cutout) -> Frame:
    """Lay what can be seen on the canvas with a margin, but for the sides that cut it off.

    A side that cuts it off lies on the canvas's. With two opposite ones, of which only one could:
    in the middle, since a pet beside an empty half looks misplaced.
    """
    margin, visible = round(min(canvas) * CUTOUT_MARGIN), cutout.visible
    margins = [0 if touched else margin for touched in cutout.touches]
    room = (canvas[0] - margins[0] - margins[2], canvas[1] - margins[1] - margins[3])
    seen = (visible[2] - visible[0], visible[3] - visible[1])
    scale = min(MAX_ENLARGEMENT, _contain(seen, room))
    scaled = _scaled(size, scale)
    left, top = int(visible[0] * scale), int(visible[1] * scale)
    right = min(scaled[0], max(left + 1, round(visible[2] * scale)))
    bottom = min(scaled[1], max(top + 1, round(visible[3] * scale)))
    box = (min(left, right - 1), min(top, bottom - 1), right, bottom)
    x, y = (
        _anchored(canvas[n] - box[n + 2] + box[n], cutout.touches[n], cutout.touches[n + 2])
        for n in (0, 1)
    )
    faint = within(rescaled(cutout.faint, size, scaled), scaled)
    crop = _with_shadow(box, faint, (x, y), canvas)
    whole = _placed(size, canvas, scaled, crop, (x + crop[0] - box[0], y + crop[1] - box[1]))
    return replace(whole, seen=(x, y, x + box[2] - box[0], y + box[3] - box[1]))


def _anchored(free: int, touches_low: bool, touches_high: bool) -> int:  # noqa: FBT001 - of one axis
    if touches_low == touches_high:
        return free // 2
    return 0 if touches_low else free


def _with_shadow(box: Box, faint: Region, place: tuple[int, int], canvas: Size) -> Box:
    """Return a box with the faint parts around it that the canvas has room for."""
    left, top = (max(box[n] - place[n], math.floor(faint[n])) for n in (0, 1))
    right, bottom = (min(box[n] - place[n] + canvas[n], math.ceil(faint[n + 2])) for n in (0, 1))
    return min(left, box[0]), min(top, box[1]), max(right, box[2]), max(bottom, box[3])


def _contain(size: tuple[float, float], room: Size) -> float:
    """Return the scale at which a size just fits into the room."""
    return min(room[0] / size[0], room[1] / size[1])


def _scaled(size: Size, scale: float) -> Size:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _window(scaled: Size, canvas: Size, interest: Interest | None) -> Box:
    """Return the part of a scaled picture, as large as the canvas, that is worth most to see."""
    width, height = min(scaled[0], canvas[0]), min(scaled[1], canvas[1])
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    if interest is not None:
        left = round((scaled[0] - width) * _best_start(interest.columns, width / scaled[0]))
        top = round((scaled[1] - height) * _best_start(interest.rows, height / scaled[1]))
    return left, top, left + width, top + height


def _best_start(interest: Sequence[float], length: float) -> float:
    """Return where a window starts, 0.0 for the first and 1.0 for the last place.

    length: of the window, as a share of the whole.
    """
    count = len(interest)

    def seen(start: float) -> float:
        middle = start * (1 - length) + length / 2
        away = (((at + 0.5) / count - middle) / (FOCUS * length) for at in range(count))
        return sum(n * math.exp(-far * far / 2) for n, far in zip(interest, away, strict=True))

    return max((step / WINDOW_STEPS for step in range(WINDOW_STEPS + 1)), key=seen)


def _placed(
    picture: Size, canvas: Size, scaled: Size, crop: Box, position: tuple[int, int]
) -> Frame:
    left, top = position
    seen = (left, top, left + crop[2] - crop[0], top + crop[3] - crop[1])
    return Frame(
        picture=picture, canvas=canvas, scaled=scaled, crop=crop, position=position, seen=seen
    )
