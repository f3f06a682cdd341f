"""From upload to published JPEGs.

    data ── read_header ── open_picture ── frame, once for each canvas
                                │
            load        decode, a JPEG straight to about the largest size that is shown
            shrunk      what the frames show of it, to the largest size in which they show it
            turned      upright
            to_srgb     the colours of any profile
            flattened   on the background colour
                                │
            cut ── on_color or on_blur ── watermark ── encode        for each canvas, side by side

JPEG and PNG are rendered in this process, every other format by the same code in the sandbox's.

Pure functions: nothing is read but the arguments (and a font), nothing is kept between calls but
which profiles are sRGB, the threads and the sandbox. Many threads may call them at once.
"""

from __future__ import annotations

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from decoding import jpeg_scale, load, open_picture, orientation
from errors import CorruptImage, ImageTooComplex
from framing import Frame, area, frame, rescaled, together
from grounds import on_blur, on_color
from icc import to_srgb
from image_headers import Header, read_header
from jpeg_writer import encode, require_only_pixels
from platforms import Fit
from sandbox import Sandbox
from shrinking import (
    Part,
    cut,
    has_alpha,
    shrunk,
    stored_region,
    turned,
    upright,
    upright_region,
    visible_box,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config import ImageSettings
    from framing import Box, Region
    from platforms import Canvas, Size

__all__ = ["Header", "Rendition", "decode_bytes", "read_header", "render", "render_here"]

HERE = {"JPEG", "PNG"}  # libjpeg-turbo and zlib-ng; every other decoder works in the sandbox
SHARED_PART = 1.25  # frames share a part of at most so many times the pixels that they show
# What render takes, in bytes: for a coefficient of a JPEG of several scans, for a pixel of a canvas
# and the part that it shows (a JPEG's is hardly larger, once decoded), and for any picture at all.
COEFFICIENT_BYTES, JPEG_DRAWN_BYTES, DRAWN_BYTES, LEAST_BYTES = 2.1, 16, 24, 10_000_000
# Pillow lets threads run while it works. They stay: a thread's own heap is costly to begin with.
_SIDE_BY_SIDE = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="renditions")
_SANDBOX = Sandbox("contained:answer")
CUTOUT_SHARE = 0.02  # transparent pixels that make a cut-out; rounded corners stay below


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A picture ready to be stored: a JPEG of nothing but pixels, and its size (width, height).

    Raises: ShareImageError for a JPEG that holds anything else.
    """

    data: bytes = field(repr=False)
    size: Size
    content_type: str = "image/jpeg"

    def __post_init__(self) -> None:
        require_only_pixels(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """A picture on its way: upright, sRGB, opaque; for each frame the part that it shows."""

    frames: tuple[Frame, ...]
    parts: tuple[Part, ...]
    is_cutout: bool
    full_chroma: bool


def render(
    data: bytes, header: Header, canvases: Sequence[Canvas], settings: ImageSettings
) -> tuple[Rendition, ...]:
    """Return one rendition for each canvas, in their order; equal canvases share one.

    data: the encoded picture; header: what read_header says of it. It is decoded once.

    Raises: CorruptImage, also for a file that ends early; ImageTooComplex; Busy.
    """
    distinct = tuple(dict.fromkeys(canvases))
    how = render_here if header.format in HERE else _render_in_sandbox
    renditions = dict(zip(distinct, how(data, header, distinct, settings), strict=True))
    return tuple(renditions[canvas] for canvas in canvases)


def render_here(
    data: bytes, header: Header, canvases: Sequence[Canvas], settings: ImageSettings
) -> list[Rendition]:
    """Return one rendition for each canvas, rendered in this process (see render)."""
    picture = _prepared(data, header, canvases, settings)

    def made(number: int) -> Rendition:
        return _rendition(picture, number, canvases[number].max_bytes, settings)

    others = [_SIDE_BY_SIDE.submit(made, number) for number in range(1, len(canvases))]
    return [made(0), *(other.result() for other in others)]


def _render_in_sandbox(
    data: bytes, header: Header, canvases: Sequence[Canvas], settings: ImageSettings
) -> list[Rendition]:
    question = pickle.dumps((header, canvases, settings))
    answer = _SANDBOX.call(question, data, memory_bytes=decode_bytes(header, canvases))
    try:
        return _renditions(answer)
    except (ValueError, LookupError, TypeError) as error:
        raise CorruptImage(f"the sandbox answers {answer[:40]!r}") from error


def _renditions(answer: bytes) -> list[Rendition]:
    """Read what contained.answer returned, which may be anything once a decoder was taken over."""
    head, _, jpegs = answer.partition(b"\n")
    said = json.loads(head)
    if "code" in said:
        raise _REFUSALS[said["code"]](str(said["reason"]))
    renditions, start = [], 0
    for width, height, length in said["renditions"]:
        jpeg = jpegs[start : start + length]
        renditions.append(Rendition(data=jpeg, size=(int(width), int(height))))
        start += length
    return renditions


_REFUSALS = {refusal.code: refusal for refusal in (CorruptImage, ImageTooComplex)}


def decode_bytes(header: Header, canvases: Sequence[Canvas]) -> int:
    """Return how much memory render takes at its peak, in bytes beyond the encoded picture.

    An upper bound: admission is decided on it, and the sandbox enforces it. The numbers were
    measured, and tests/memory_search.py looks for pictures that need more.
    """
    turn = header.orientation
    sizes = [upright(header.size, turn)] if turn else [header.size, header.size[::-1]]
    ways = [[frame(size, canvas) for canvas in canvases] for size in sizes]
    drawn = max(sum(area(place.canvas) for place in frames) for frames in ways)
    stored, of_pixel = header.pixels, header.pixel_bytes + header.decoder_bytes
    if header.format != "JPEG":
        return round(stored * of_pixel) + DRAWN_BYTES * drawn + LEAST_BYTES
    if header.scalable:
        stored //= jpeg_scale(header.size, upright(_largest(ways[0]), turn or 1)) ** 2
    coefficients = COEFFICIENT_BYTES * header.coefficients * header.pixels
    # One plane is shrunk at a time.
    return round(stored * (of_pixel + 1) + coefficients) + JPEG_DRAWN_BYTES * drawn + LEAST_BYTES


def _prepared(
    data: bytes, header: Header, canvases: Sequence[Canvas], settings: ImageSettings
) -> _Picture:
    """Decode and do, once, what all renditions have in common."""
    source = open_picture(data, header)
    turn, profile = orientation(source, header), source.info.get("icc_profile")
    size = upright(source.size, turn)
    frames = [frame(size, canvas) for canvas in canvases]
    load(source, upright(_largest(frames), turn))
    is_cutout = False
    if has_alpha(source) and any(canvas.fit is not Fit.INSIDE for canvas in canvases):
        visible, unseen = visible_box(source)
        is_cutout = unseen >= CUTOUT_SHARE
        if is_cutout and visible is not None:
            seen = upright_region(visible, source.size, turn)
            frames = [frame(size, canvas, visible=seen) for canvas in canvases]

    def part(region: Region, shown: Size) -> Part:
        box = rescaled(stored_region(region, size, turn), upright(size, turn), source.size)
        pixels = turned(shrunk(source, box, upright(shown, turn)), turn)
        pixels = _flattened(to_srgb(pixels, profile), settings.background_color)
        return Part(pixels=pixels, region=region)

    return _Picture(
        frames=tuple(frames),
        parts=_parts(frames, part),
        is_cutout=is_cutout,
        full_chroma=header.format != "JPEG",
    )


def _parts(frames: Sequence[Frame], part: Callable[[Region, Size], Part]) -> tuple[Part, ...]:
    """Return for each frame the part that it shows: one for all, unless that would be wasteful.

    It would be where a frame shows a small part at a large scale, and another one all of it.
    """
    region, size = together(frames)
    if area(size) <= SHARED_PART * sum(area(place.shown) for place in frames):
        return (part(region, size),) * len(frames)
    return tuple(part(place.region, place.shown) for place in frames)


def _largest(frames: Sequence[Frame]) -> Size:
    """Return the largest size at which the whole picture is shown."""
    return max((place.scaled for place in frames), key=area)


def _flattened(pixels: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    """Put a transparent picture on a colour; JPEG has no alpha, and would make it black."""
    if pixels.mode != "RGBA":
        return pixels
    flat = Image.new("RGB", pixels.size, color)
    flat.paste(pixels, mask=pixels)
    return flat


def _rendition(
    picture: _Picture, number: int, max_bytes: int, settings: ImageSettings
) -> Rendition:
    """Frame, mark and encode the picture for one canvas."""
    place = picture.frames[number]
    canvas = cut(picture.parts[number], place)
    if not place.fills_canvas:
        if picture.is_cutout:
            canvas = on_color(canvas, place, settings.background_color)
        else:
            canvas = on_blur(canvas, place)
    if settings.watermark_text:
        from watermark import watermarked  # noqa: PLC0415 - only who wants it waits for fonts

        canvas = watermarked(
            canvas, settings.watermark_text, settings.watermark_font, _region(place)
        )
    data = encode(canvas, max_bytes=max_bytes, full_chroma=picture.full_chroma)
    return Rendition(data=data, size=canvas.size)


def _region(place: Frame) -> Box:
    """Return where on its canvas the picture is."""
    left, top = place.position
    return left, top, left + place.shown[0], top + place.shown[1]
