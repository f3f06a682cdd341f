"""Encoded bytes to published JPEGs, in this process.

    data ── open_picture ── frame, once for each canvas
                  │
            load        decode, a JPEG straight to about the largest size that is shown
            likeness    what copies of it are recognised by
            look        where faces are, what is transparent; frame again
            shrunk      what the frames show of it, to the largest size in which they show it
            turned      upright
            to_srgb     the colours of any profile
            flattened   on the background colour, unless another ground is seen through it
                  │
            cut ── on_color or on_blur ── watermark ── encode        for each canvas, side by side

Nothing is read but the arguments (and a font), nothing is kept between calls but which profiles are
sRGB, and the threads. Many threads may call it at once.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from PIL import Image

from imaging import provenance
from imaging.backgrounds import on_blur, on_color
from imaging.colors import to_srgb
from imaging.decoding import has_full_chroma, load, open_picture, orientation
from imaging.geometry import (
    Cutout,
    Fit,
    Frame,
    area,
    frame,
    largest_scaled,
    rescaled,
    stored_region,
    together,
    upright,
    upright_region,
)
from imaging.jpeg_writer import encode, require_only_pixels
from imaging.likeness import PLAIN, likeness
from imaging.resizing import Part, cut, glance, has_alpha, shrunk, turned, visible_boxes
from imaging.saliency import SIDE, blends_in, interest, touched_sides

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config import ImageSettings
    from imaging.geometry import Canvas, Interest, Region, Size
    from imaging.headers import Header

SHARED_PART = 1.25  # frames share a part of at most so many times the pixels that they show
CUTOUT_SHARE = 0.02  # transparent pixels that make a cut-out; rounded corners stay below
# Pillow lets threads run while it works. They stay: a thread's own heap is costly to begin with.
_SIDE_BY_SIDE = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="renditions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A picture ready to be stored: a JPEG of nothing but pixels, and its size (width, height).

    likeness: of the upload, the same whatever the canvas is (see imaging.likeness); source_type:
    the term of imaging.provenance.MACHINE that it is marked with, empty for no mark.

    Raises: ShareImageError for a JPEG that holds anything else.
    """

    data: bytes = field(repr=False)
    size: Size
    content_type: str = "image/jpeg"
    likeness: str = PLAIN
    source_type: str = ""

    def __post_init__(self) -> None:
        require_only_pixels(self.data, provenance.segment(self.source_type))

    def marked(self, source_type: str) -> Rendition:
        """Return it with a mark; source_type: "" for none."""
        if not source_type:
            return self
        data = provenance.marked(self.data, source_type)
        return replace(self, data=data, source_type=source_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was seen in the pixels, and decides where and on what a picture is laid.

    keeps_alpha: whether the ground is going to be seen through parts of it; needs_shadow: whether
    it could not be told from the ground.
    """

    is_cutout: bool = False
    cutout: Cutout | None = None
    interest: Interest | None = None
    needs_shadow: bool = False
    keeps_alpha: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """A picture on its way: upright, sRGB; for each frame the part that it shows."""

    frames: tuple[Frame, ...]
    parts: tuple[Part, ...]
    look: _Look
    full_chroma: bool
    likeness: str


def rendered(
    data: bytes,
    header: Header,
    canvases: Sequence[Canvas],
    settings: ImageSettings,
    first: Callable[[Rendition], object] | None = None,
) -> list[Rendition]:
    """Return one rendition for each canvas, in their order; none of them equal.

    first: takes the first one before the others are begun, and so as early as can be: what is made
    side by side is ready at about the same time.
    """
    picture = _prepared(data, header, canvases, settings)

    def made(number: int) -> Rendition:
        return _rendition(picture, number, canvases[number], settings)

    if first is not None:
        leading = made(0)
        first(leading)
        return [leading, *map(made, range(1, len(canvases)))]
    others = [_SIDE_BY_SIDE.submit(made, number) for number in range(1, len(canvases))]
    return [made(0), *(other.result() for other in others)]


def _prepared(
    data: bytes, header: Header, canvases: Sequence[Canvas], settings: ImageSettings
) -> _Picture:
    """Decode and do, once, what all renditions have in common."""
    source = open_picture(data, header)
    turn, profile = orientation(source, header), source.info.get("icc_profile")
    stored = source.size
    size = upright(stored, turn)
    frames = [frame(size, canvas) for canvas in canvases]
    largest = upright(largest_scaled(frames), turn)
    load(source, largest)
    seen_as = likeness(source, stored, turn, profile)
    full_chroma = has_full_chroma(source, largest)
    look = _look(source, turn, canvases, settings)
    frames = [
        frame(size, canvas, cutout=look.cutout, interest=look.interest) for canvas in canvases
    ]

    def part(region: Region, shown: Size) -> Part:
        box = rescaled(stored_region(region, size, turn), upright(size, turn), source.size)
        small = shrunk(source, box, upright(shown, turn))
        pixels = to_srgb(turned(small, turn), profile)
        if not look.keeps_alpha:
            pixels = _flattened(pixels, settings.background_color)
        return Part(pixels=pixels, region=region)

    return _Picture(
        frames=tuple(frames),
        parts=_parts(frames, part),
        look=look,
        full_chroma=full_chroma,
        likeness=seen_as,
    )


def _look(
    source: Image.Image, turn: int, canvases: Sequence[Canvas], settings: ImageSettings
) -> _Look:
    """Decide by what can be seen, where any canvas wants to know."""
    fits = {canvas.fit for canvas in canvases}
    alpha = has_alpha(source) and fits != {Fit.INSIDE}
    visible, faint, unseen = visible_boxes(source) if alpha else (None, None, 0.0)
    is_cutout = unseen >= CUTOUT_SHARE
    if Fit.COVER not in fits and not is_cutout:
        return _Look(keeps_alpha=unseen > 0)
    tiny = turned(glance(source, SIDE), turn)
    needs_shadow = is_cutout and blends_in(tiny, settings.background_color)
    cutout = None
    if is_cutout and visible is not None and faint is not None:
        cutout = Cutout(
            visible=upright_region(visible, source.size, turn),
            faint=upright_region(faint, source.size, turn),
            touches=touched_sides(tiny),
        )
    return _Look(
        is_cutout=is_cutout,
        cutout=cutout,
        interest=interest(tiny) if Fit.COVER in fits else None,
        needs_shadow=needs_shadow,
        keeps_alpha=unseen > 0 and (needs_shadow or not is_cutout),
    )


def _parts(frames: Sequence[Frame], part: Callable[[Region, Size], Part]) -> tuple[Part, ...]:
    """Return for each frame the part that it shows: one for all, unless that would be wasteful.

    It would be where a frame shows a small part at a large scale, and another one all of it.
    """
    region, size = together(frames)
    if area(size) <= SHARED_PART * sum(area(place.shown) for place in frames):
        return (part(region, size),) * len(frames)
    return tuple(part(place.region, place.shown) for place in frames)


def _flattened(pixels: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    """Put a transparent picture on a colour; JPEG has no alpha, and would make it black."""
    if pixels.mode != "RGBA":
        return pixels
    flat = Image.new("RGB", pixels.size, color)
    flat.paste(pixels, mask=pixels)
    return flat


def _rendition(
    picture: _Picture, number: int, canvas: Canvas, settings: ImageSettings
) -> Rendition:
    """Frame, mark and encode the picture for one canvas."""
    place = picture.frames[number]
    pixels = _laid(cut(picture.parts[number], place), place, canvas.fit, picture.look, settings)
    if settings.watermark_text:
        from imaging.lettering import watermarked  # noqa: PLC0415 - only who wants it waits for fonts

        pixels = watermarked(pixels, settings.watermark_text, settings.watermark_font, place.seen)
    data = encode(pixels, max_bytes=canvas.max_bytes, full_chroma=picture.full_chroma)
    return Rendition(data=data, size=pixels.size, likeness=picture.likeness)


def _laid(
    part: Image.Image, place: Frame, fit: Fit, look: _Look, settings: ImageSettings
) -> Image.Image:
    """Return what a frame shows on its canvas, with the ground around it and seen through it."""
    if place.fills_canvas and part.mode != "RGBA":
        return part
    if fit is Fit.INSIDE or look.is_cutout:
        shadow = look.needs_shadow and fit is Fit.PAD
        return on_color(part, place, settings.background_color, shadow=shadow)
    return on_blur(part, place)
