"""The card that remains of a share: a name on a colour, nothing of the customer's."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from jpeg_writer import encode
from platforms import CARD_MAX_BYTES, CARD_SIZE
from watermark import BUNDLED_FONT

if TYPE_CHECKING:
    from pathlib import Path

MAX_WIDTH = 0.7  # of the card's
MAX_LETTERS_PX = 150
LIGHT_INK, DARK_INK = (255, 255, 255), (34, 29, 24)
MIDDLE = 140  # the grey level, 0-255, from which on letters are dark


@functools.lru_cache(maxsize=1)
def name_card(name: str, color: tuple[int, int, int], font: Path | None) -> bytes:
    """Return a JPEG of CARD_SIZE with a name in its middle.

    color: of the ground, (red, green, blue), 0-255; font: a TrueType or OpenType file, None for the
    bundled one. The same arguments give the same bytes.
    """
    card = Image.new("RGB", CARD_SIZE, color)
    draw = ImageDraw.Draw(card)
    ink = DARK_INK if _is_light(color) else LIGHT_INK
    face = _face(name, font or BUNDLED_FONT)
    draw.text((CARD_SIZE[0] / 2, CARD_SIZE[1] / 2), name, fill=ink, font=face, anchor="mm")
    return encode(card, max_bytes=CARD_MAX_BYTES, full_chroma=True)


def _face(name: str, font: Path) -> ImageFont.FreeTypeFont:
    """Return the font at the largest size at which the name fits."""
    probe = ImageFont.truetype(font, MAX_LETTERS_PX)
    width = probe.getlength(name)
    room = CARD_SIZE[0] * MAX_WIDTH
    return ImageFont.truetype(font, MAX_LETTERS_PX * min(1.0, room / max(width, 1.0)))


def _is_light(color: tuple[int, int, int]) -> bool:
    red, green, blue = color
    return 0.299 * red + 0.587 * green + 0.114 * blue >= MIDDLE  # ITU-R BT.601
