"""A picture as it was sent to the pictures that are published.

    data ── read_header ── open_picture ── frame, once for each canvas
                                │
            load        decode, a JPEG straight to about the largest size that is shown
            turned      upright; only now where there is alpha to be trimmed, else when small
            shrunk      to the largest size that is shown
            to_srgb     the colours of any profile
            flattened   on the background colour
                                │
            cut ── on_color or on_blur ── watermark ── encode        for each canvas, side by side

Pure functions: nothing is read but the arguments (and a font), nothing is kept between calls but
which profiles are sRGB, and the threads. Many threads may call them at once.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from decoding import jpeg_scale, load, open_picture, orientation
from framing import Frame, frame
from grounds import on_blur, on_color
from icc import to_srgb
from image_headers import Header, read_header
from jpeg_writer import encode
from platforms import Fit
from shrinking import cut, has_alpha, shrunk, turned, upright, visible_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import ImageSettings
    from framing import Box
    from platforms import Canvas, Size

__all__ = ["Header", "Rendition", "decode_bytes", "read_header", "render"]

STRIP_BYTES = 32_000_000  # what is converted at a time, and what the allocator keeps
# Pillow lets threads run while it works. They stay: a thread's own heap is costly to begin with.
_SIDE_BY_SIDE = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="renditions")
CUTOUT_SHARE = 0.02  # transparent pixels that make a cut-out; rounded corners stay below


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A picture ready to be stored: an encoded JPEG and its size (width, height) in px."""

    data: bytes = field(repr=False)
    size: Size
    content_type: str = "image/jpeg"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """Pixels on their way: upright, sRGB, opaque, at the largest size that any frame shows."""

    pixels: Image.Image = field(repr=False)
    frames: tuple[Frame, ...]
    is_cutout: bool
    full_chroma: bool


def render(
    data: bytes, header: Header, canvases: Sequence[Canvas], settings: ImageSettings
) -> tuple[Rendition, ...]:
    """Return one rendition for each canvas, in their order; equal canvases share one.

    data: the encoded picture; header: what read_header says of it. It is decoded once.

    Raises: CorruptImage, also for a file that ends early; ImageTooComplex.
    """
    distinct = tuple(dict.fromkeys(canvases))
    picture = _prepared(data, header, distinct, settings)
    first, *others = zip(distinct, picture.frames, strict=True)

    def made(canvas: Canvas, place: Frame) -> Rendition:
        return _rendition(picture, place, canvas.max_bytes, settings)

    started = {canvas: _SIDE_BY_SIDE.submit(made, canvas, place) for canvas, place in others}
    renditions = {first[0]: made(*first)}
    renditions |= {canvas: rendition.result() for canvas, rendition in started.items()}
    return tuple(renditions[canvas] for canvas in canvases)


def decode_bytes(header: Header, canvases: Sequence[Canvas]) -> int:
    """Return how much memory render takes at its peak, in bytes beyond the encoded picture.

    An upper bound, measured for every format: admission is decided on it.
    """
    pixel_bytes = header.pixel_bytes + header.decoder_bytes + (8 if header.has_alpha else 0)
    decoded = header.pixels // _jpeg_scale(header, canvases) ** 2 * pixel_bytes
    coefficients = 2.1 * header.coefficients * header.pixels
    shown = max((canvas.size[0] * canvas.size[1] for canvas in canvases), default=0)
    planes = 2 if header.format == "JPEG" else 1.15
    return round(decoded * planes + coefficients + 16 * shown) + STRIP_BYTES


def _jpeg_scale(header: Header, canvases: Sequence[Canvas]) -> int:
    """Return by how much load will divide a JPEG's sides, whichever way it has to be turned."""
    if not header.scalable:
        return 1
    lying = [frame(header.size[::-1], canvas).scaled[::-1] for canvas in canvases]
    sizes = [frame(header.size, canvas).scaled for canvas in canvases] + lying
    return jpeg_scale(header.size, max(sizes, key=lambda size: size[0] * size[1]))


def _prepared(
    data: bytes, header: Header, canvases: Sequence[Canvas], settings: ImageSettings
) -> _Picture:
    """Decode and do, once, what all renditions have in common."""
    source = open_picture(data, header)
    turn, profile = orientation(source), source.info.get("icc_profile")
    frames = _frames(upright(source.size, turn), canvases)
    load(source, upright(_largest(frames), turn))

    pixels: Image.Image = source
    is_cutout = False
    if has_alpha(pixels) and any(canvas.fit is not Fit.INSIDE for canvas in canvases):
        pixels, turn = turned(pixels, turn), 1
        visible, unseen = visible_box(pixels)
        is_cutout = unseen >= CUTOUT_SHARE
        frames = _frames(pixels.size, canvases, visible if is_cutout else None)
    pixels = shrunk(pixels, upright(_largest(frames), turn))
    pixels = turned(pixels, turn)
    pixels = to_srgb(pixels, profile)
    pixels = _flattened(pixels, settings.background_color)
    full_chroma = header.format != "JPEG"
    return _Picture(pixels=pixels, frames=frames, is_cutout=is_cutout, full_chroma=full_chroma)


def _frames(
    size: Size, canvases: Sequence[Canvas], visible: Box | None = None
) -> tuple[Frame, ...]:
    return tuple(frame(size, canvas, visible=visible) for canvas in canvases)


def _largest(frames: Sequence[Frame]) -> Size:
    """Return the largest size at which the whole picture is shown."""
    return max((place.scaled for place in frames), key=lambda size: size[0] * size[1])


def _flattened(pixels: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    """Put a transparent picture on a colour; JPEG has no alpha, and would make it black."""
    if pixels.mode != "RGBA":
        return pixels
    flat = Image.new("RGB", pixels.size, color)
    flat.paste(pixels, mask=pixels)
    return flat


def _rendition(
    picture: _Picture, place: Frame, max_bytes: int, settings: ImageSettings
) -> Rendition:
    """Frame, mark and encode the picture for one canvas."""
    canvas = cut(picture.pixels, place)
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
