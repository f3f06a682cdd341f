"""What a picture costs in memory, said before it is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imaging.decoding import jpeg_scale
from imaging.geometry import area, frame, largest_scaled, upright

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imaging.geometry import Canvas
    from imaging.headers import Header

COEFFICIENT_BYTES = 2.1  # of a JPEG of several scans
DRAWN_BYTES = 24  # for a pixel of a canvas, with the part that it shows on its way there
JPEG_DRAWN_BYTES = 16  # a JPEG is decoded to hardly more than what is shown
PLANES_BYTES = 3  # luma and chroma of a JPEG are shrunk by themselves
LEAST_BYTES = 10_000_000


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
        stored //= jpeg_scale(header.size, upright(largest_scaled(ways[0]), turn or 1)) ** 2
    coefficients = COEFFICIENT_BYTES * header.coefficients * header.pixels
    return (
        round(stored * (of_pixel + PLANES_BYTES) + coefficients)
        + JPEG_DRAWN_BYTES * drawn
        + LEAST_BYTES
    )
