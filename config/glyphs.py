"""Which characters a font file can draw, and which font draws a text.

Standard library only: settings are checked with it before anything that draws is imported.

Source: https://learn.microsoft.com/en-us/typography/opentype/spec/cmap (formats 4 and 12).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "fonts"
# In the order of preference: Latin in a cursive hand; Cyrillic and Greek, too, in round letters.
BUNDLED_FONTS = (_FOLDER / "DancingScript-Bold.ttf", _FOLDER / "Comfortaa-Bold.ttf")

_UNICODE_PLATFORM, _WINDOWS_PLATFORM = 0, 3
_WINDOWS_UNICODE = {1, 10}  # encodings of that platform
_SEGMENTS, _GROUPS = 4, 12  # formats


def font_for(text: str, chosen: Path | None) -> Path:
    """Return the font file to draw a text with: the chosen one, or the bundled one that fits best.

    Raises: ValueError for a file that is no font.
    """
    fonts = (chosen,) if chosen else BUNDLED_FONTS
    return min(fonts, key=lambda font: len(lacking(text, font)))


@lru_cache(maxsize=8)
def lacking(text: str, font: Path) -> str:
    """Return the characters of a text that a font has no glyph for, each once, in their order.

    font: a TrueType or OpenType file.

    Raises: ValueError for a file that is no font.
    """
    try:
        tables = _character_tables(font.read_bytes())
        missing = (c for c in dict.fromkeys(text) if not c.isspace() and not _has(tables, ord(c)))
        return "".join(missing)
    except (OSError, struct.error, IndexError) as error:
        raise ValueError(f"no font: {font}") from error


def _character_tables(font: bytes) -> list[bytes]:
    """Return the subtables of `cmap` that map Unicode, each with what follows it."""
    start = struct.unpack_from(">I", font, 12)[0] if font.startswith(b"ttcf") else 0
    count = struct.unpack_from(">H", font, start + 4)[0]
    tables = (struct.unpack_from(">4sIII", font, start + 12 + 16 * n) for n in range(count))
    cmap = font[next((offset for name, _, offset, _ in tables if name == b"cmap"), len(font)) :]
    count = struct.unpack_from(">H", cmap, 2)[0]
    records = (struct.unpack_from(">HHI", cmap, 4 + 8 * n) for n in range(count))
    return [
        cmap[offset:]
        for platform, encoding, offset in records
        if platform == _UNICODE_PLATFORM
        or (platform == _WINDOWS_PLATFORM and encoding in _WINDOWS_UNICODE)
    ]


def _has(tables: list[bytes], code: int) -> bool:
    readers = {_SEGMENTS: _in_segments, _GROUPS: _in_groups}
    formats = (struct.unpack_from(">H", table)[0] for table in tables)
    return any(
        readers[number](table, code)
        for number, table in zip(formats, tables, strict=True)
        if number in readers
    )


def _in_segments(table: bytes, code: int) -> bool:
    twice = struct.unpack_from(">H", table, 6)[0]  # the length of each of four arrays
    ends = struct.unpack_from(f">{twice // 2}H", table, 14)
    number = next((n for n, end in enumerate(ends) if end >= code), None)
    if number is None:
        return False
    at = 16 + twice + 2 * number
    first, delta, offset = (struct.unpack_from(">H", table, at + n * twice)[0] for n in range(3))
    if first > code:
        return False
    if offset == 0:
        return bool((code + delta) % 65536)
    return bool(struct.unpack_from(">H", table, at + 2 * twice + offset + 2 * (code - first))[0])


def _in_groups(table: bytes, code: int) -> bool:
    count = struct.unpack_from(">I", table, 12)[0]
    groups = (struct.unpack_from(">III", table, 16 + 12 * n) for n in range(count))
    return any(first <= code <= last and glyph + code - first for first, last, glyph in groups)
