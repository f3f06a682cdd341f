"""How large a picture memory allows, by format, before anybody sends one."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

from image_ops import Header, decode_bytes
from platforms import card_canvas, picture_canvas

if TYPE_CHECKING:
    from config import ImageSettings

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


def memory_limits(settings: ImageSettings, budget_bytes: int) -> dict[str, int]:
    """Return how many megapixels memory allows of each format, where more are to be expected.

    More are where settings allow them, and up to PHONE_PIXELS where these set no limit.

    budget_bytes: for all pictures together.
    """
    most = (settings.max_pixels or PHONE_PIXELS) // 1_000_000
    limits = {
        name: _megapixels(name, most, budget_bytes, settings) for name in settings.input_formats
    }
    return {name: limit for name, limit in limits.items() if limit < most}


def _megapixels(format_: str, most: int, budget_bytes: int, settings: ImageSettings) -> int:
    # Upwards: a JPEG that is large enough is decoded to half its size, and takes less again.
    sizes = range(1, most + 1)
    return next((n - 1 for n in sizes if _bytes(format_, n, settings) > budget_bytes), most)


def _bytes(format_: str, megapixels: int, settings: ImageSettings) -> int:
    side = isqrt(megapixels * 1_000_000)
    header = Header(format=format_, size=(side, side), **_TYPICAL[format_])
    canvas = picture_canvas("", None, max_side_px=settings.max_side_px)
    return decode_bytes(header, (canvas, card_canvas(None)))
