"""Text on pictures: the watermark, and the card of an expired share.

watermarked   a line in a cursive hand, bottom right, that reads on any ground:
              text -> glyphs and their outline, as two masks -> ink by the luminance underneath
                   -> opacity by the contrast that is left -> onto a copy of the picture
name_card     a name on a colour, nothing of the customer's
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFont

from config.glyphs import font_for
from imaging.jpeg_writer import encode

if TYPE_CHECKING:
    from pathlib import Path

    from imaging.geometry import Box, Canvas

HEIGHT = 0.03  # of the picture's width
MARGIN = 0.6  # of the text's height, to the picture's edges
OUTLINE = 0.07  # of the text's height
MIN_HEIGHT_PX = 9  # smaller letters are smudges
MIN_OPACITY, MAX_OPACITY = 0.4, 0.95
CONTRAST = 3.6  # promised is 3:1; the rest is what JPEG takes away
MIDDLE = 140  # the grey level, 0-255, from which on letters are dark
MAX_WIDTH = 0.9  # of the region's width
CARD_MAX_WIDTH = 0.7  # of the card's
CARD_LETTERS_PX = 150
CARD_LIGHT_INK, CARD_DARK_INK = (255, 255, 255), (34, 29, 24)
_PROBE_SIZE = 100


def watermarked(picture: Image.Image, text: str, font: Path | None, region: Box) -> Image.Image:
    """Return a picture with a line of text in the bottom right corner of a region.

    picture: mode RGB or YCbCr; font: a TrueType or OpenType file, None for a bundled one;
    region: where the picture is on its canvas. Letters are HEIGHT of the region's width high; a
    text wider than the region gets smaller, one that would become a smudge is left out.
    """
    glyphs = _glyphs(text, font_for(text, font), region[2] - region[0])
    if glyphs is None:
        return picture
    fill, outline = glyphs
    margin = round(fill.height * MARGIN)
    left, top = region[2] - fill.width - margin, region[3] - fill.height - margin
    if left < region[0] or top < region[1]:
        return picture
    picture = picture.copy()
    ground = picture.crop((left, top, left + fill.width, top + fill.height)).convert("L")
    light = _mean(ground) < MIDDLE
    opacity = _opacity(ground)
    for mask, is_light in ((outline, not light), (fill, light)):
        picture.paste(_ink(picture.mode, light=is_light), (left, top), _weakened(mask, opacity))
    return picture


@functools.lru_cache(maxsize=1)
def name_card(canvas: Canvas, name: str, color: tuple[int, int, int], font: Path | None) -> bytes:
    """Return a JPEG of a canvas's size with a name in its middle.

    color: of the ground, (red, green, blue), 0-255; font: as for watermarked. The same arguments
    give the same bytes.
    """
    width, height = canvas.size
    card = Image.new("RGB", canvas.size, color)
    ink = CARD_LIGHT_INK if _mean(card.convert("L")) < MIDDLE else CARD_DARK_INK
    file = font_for(name, font)
    natural = ImageFont.truetype(file, CARD_LETTERS_PX).getlength(name)
    scale = min(1.0, width * CARD_MAX_WIDTH / max(natural, 1.0))
    face = ImageFont.truetype(file, CARD_LETTERS_PX * scale)
    ImageDraw.Draw(card).text((width / 2, height / 2), name, fill=ink, font=face, anchor="mm")
    return encode(card, max_bytes=canvas.max_bytes, full_chroma=True)


def _glyphs(text: str, font: Path, width: int) -> tuple[Image.Image, Image.Image] | None:
    """Return the letters and the outline around them as masks of one size, None for a smudge."""
    height = round(width * HEIGHT)
    probe = ImageFont.truetype(font, _PROBE_SIZE)
    left, top, right, bottom = probe.getbbox(text, stroke_width=_stroke(_PROBE_SIZE))
    size = _PROBE_SIZE * min(height / (bottom - top), width * MAX_WIDTH / (right - left))
    if size * (bottom - top) < MIN_HEIGHT_PX * _PROBE_SIZE:
        return None
    face = ImageFont.truetype(font, size)
    left, top, right, bottom = face.getbbox(text, stroke_width=_stroke(size))
    masks = [Image.new("L", (round(right - left), round(bottom - top))) for _ in range(2)]
    for mask, stroke in zip(masks, (0, _stroke(size)), strict=True):
        draw = ImageDraw.Draw(mask)
        draw.text((-left, -top), text, fill=255, font=face, stroke_width=stroke)
    fill, thick = masks
    return fill, ImageChops.subtract(thick, fill)


def _stroke(size: float) -> float:
    return max(1.0, size * OUTLINE)


def _mean(ground: Image.Image) -> float:
    counts = ground.histogram()
    return sum(level * count for level, count in enumerate(counts)) / sum(counts)


def _opacity(ground: Image.Image) -> float:
    """Return the least opacity at which letters and outline differ enough wherever they are.

    Between the darkest and the lightest ground the contrast is only better.
    """
    darkest, lightest = ground.getextrema()
    levels = (float(darkest), float(lightest))  # type: ignore[arg-type]  # two numbers in mode L
    opacity = MIN_OPACITY
    while opacity < MAX_OPACITY and min(_contrast(level, opacity) for level in levels) < CONTRAST:
        opacity += 0.02
    return opacity


def _contrast(level: float, opacity: float) -> float:
    """Return the contrast ratio of white to black ink, both of an opacity, on a grey level, 0-255.

    Source: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio.
    """
    dark = level * (1 - opacity)
    return (_luminance(dark + 255 * opacity) + 0.05) / (_luminance(dark) + 0.05)


def _luminance(level: float) -> float:
    share = level / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4  # noqa: PLR2004


def _ink(mode: str, *, light: bool) -> tuple[int, int, int]:
    level = 255 if light else 0
    return (level, 128, 128) if mode == "YCbCr" else (level, level, level)


def _weakened(mask: Image.Image, opacity: float) -> Image.Image:
    return mask.point([round(level * opacity) for level in range(256)])
