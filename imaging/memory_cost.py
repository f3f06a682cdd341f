"""What a picture costs in memory, said before it is decoded."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

from imaging.decoding import jpeg_scale
from imaging.geometry import area, frame, largest_scaled, upright
from imaging.headers import Header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import ImageSettings
    from imaging.geometry import Canvas

COEFFICIENT_BYTES = 2.1  # of a JPEG of several scans
DRAWN_BYTES = 24  # for a pixel of a canvas, with the part that it shows on its way there
JPEG_DRAWN_BYTES = 16  # a JPEG is decoded to hardly more than what is shown
RESAMPLED_BYTES = 3  # between rows and columns, of a JPEG of at least 1.5 times what is shown
LEAST_BYTES = 10_000_000
# Of a process of its own: its address space is limited, which the stacks of threads reserve, 8 MiB
# each. A container that lies may use it.
CHILD_BYTES = 40_000_000
CONTAINED = {"GIF", "WEBP", "AVIF", "HEIC"}


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
        child = CHILD_BYTES if header.format in CONTAINED else 0
        return round(stored * of_pixel) + DRAWN_BYTES * drawn + LEAST_BYTES + child
    if header.scalable:
        stored //= jpeg_scale(header.size, upright(largest_scaled(ways[0]), turn or 1)) ** 2
    coefficients = COEFFICIENT_BYTES * header.coefficients * header.pixels
    return (
        round(stored * (of_pixel + RESAMPLED_BYTES) + coefficients)
        + JPEG_DRAWN_BYTES * drawn
        + LEAST_BYTES
    )


PHONE_PIXELS = 50_000_000  # what phones' cameras take; larger pictures surprise nobody by failing

# What read_header says of a picture of each format; of JPEG a progressive one in 4:2:0, of PNG one
# of a byte a band.
_TYPICAL: dict[str, dict[str, Any]] = {
    "JPEG": {"coefficients": 1.5, "scalable": True, "orientation": 1},
    "PNG": {"orientation": 1},
    "WEBP": {"decoder_bytes": 14.0},
    "GIF": {"pixel_bytes": 1},
    "AVIF": {"decoder_bytes": 7.0},
    "HEIC": {"decoder_bytes": 7.0},
}


def megapixel_limits(
    settings: ImageSettings, canvases: Sequence[Canvas], budget_bytes: int
) -> dict[str, int]:
    """Return how many megapixels memory allows of each format, where more are to be expected.

    More are where settings allow them, and up to PHONE_PIXELS where these set no limit.
    budget_bytes: for all pictures together.
    """
    most = (settings.max_pixels or PHONE_PIXELS) // 1_000_000
    limits = {
        name: _megapixels(name, most, budget_bytes, canvases) for name in settings.input_formats
    }
    return {name: limit for name, limit in limits.items() if limit < most}


def _megapixels(format_: str, most: int, budget_bytes: int, canvases: Sequence[Canvas]) -> int:
    # Upwards: a JPEG that is large enough is decoded to half its size, and takes less again.
    sizes = range(1, most + 1)
    return next((n - 1 for n in sizes if _bytes(format_, n, canvases) > budget_bytes), most)


def _bytes(format_: str, megapixels: int, canvases: Sequence[Canvas]) -> int:
    side = isqrt(megapixels * 1_000_000)
    return decode_bytes(Header(format=format_, size=(side, side), **_TYPICAL[format_]), canvases)
