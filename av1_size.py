"""The size that the codec inside an AVIF will decode, which the container may lie about.

    iloc (items), stco and co64 (tracks) -- where coded pictures begin
    └── OBUs -- the sequence headers among them -- max_frame_width, max_frame_height

libavif asks the container alone before it decodes, and scales afterwards: two kilobytes that call
themselves 100 x 100 px could take gigabytes.
"""

from __future__ import annotations

import itertools
import re
import struct
from typing import TYPE_CHECKING

from errors import ImageTooComplex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from platforms import Size

MAX_UNITS = 4096  # OBUs; a still picture has about five
MAX_REPEATS = 8  # bytes of all items in file lengths; honest items do not overlap
CHUNK_BYTES = 65_536  # of a track's chunk, whose sequence header comes first
_SEQUENCE_HEADER = 1


def av1_sizes(data: bytes) -> Iterator[Size]:
    """Yield the size (width, height) in px of each AV1 sequence that an AVIF holds.

    Raises: ImageTooComplex, for more OBUs than a picture needs; struct.error or IndexError, where
    the file ends too early.
    """
    units = total = 0
    for coded in itertools.chain(_items(data), _track_chunks(data)):
        total += len(coded)
        for kind, body in _units(coded):
            units += 1
            if units > MAX_UNITS or total > MAX_REPEATS * len(data):
                raise ImageTooComplex(f"{units} OBUs in {total} bytes of items")
            if kind == _SEQUENCE_HEADER:
                yield _sequence_size(_Bits(body))


def _items(data: bytes) -> Iterator[memoryview]:
    """Yield the content of each item. Boxes are found by name, wherever they are.

    Source: ISO/IEC 14496-12, section 8.11.3 (iloc).
    """
    whole, idat = memoryview(data), data.find(b"idat") + 4
    for found in re.finditer(rb"iloc([\0-\2])\0\0\0", data):
        version, reader = found[1][0], _Fields(data, found.end())
        widths = reader.take(2)
        long = 4 if version == 2 else 2  # noqa: PLR2004 - as the standard says
        for _ in range(reader.take(long)):
            reader.take(long)
            in_idat = version > 0 and reader.take(2) & 15 == 1
            reader.take(2)
            base = reader.take(widths >> 4 & 15) + (idat if in_idat else 0)
            extents = []
            for _ in range(reader.take(2)):
                reader.take(widths & 15 if version else 0)
                start = base + reader.take(widths >> 12)
                length = reader.take(widths >> 8 & 15)
                extents.append(whole[start : start + length if length else None])
            yield extents[0] if len(extents) == 1 else memoryview(b"".join(extents))


def _track_chunks(data: bytes) -> Iterator[memoryview]:
    """Source: ISO/IEC 14496-12, section 8.7.5 (stco, co64); only where a chunk starts is told."""
    for found in re.finditer(rb"(stco|co64)\0\0\0\0", data):
        reader = _Fields(data, found.end())
        for _ in range(reader.take(4)):
            start = reader.take(8 if found[1] == b"co64" else 4)
            yield memoryview(data)[start : start + CHUNK_BYTES]


class _Fields:
    """Big-endian numbers, one after the other."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position

    def take(self, width: int) -> int:
        """Return the next number of so many bytes."""
        end = self._position + width
        if end > len(self._data):
            raise struct.error("a box ends early")
        number = int.from_bytes(self._data[self._position : end], "big")
        self._position = end
        return number


def _units(coded: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the type and the content of each OBU. Source: AV1, sections 5.3.1 to 5.3.3."""
    position = 0
    while position < len(coded) and not coded[position] & 0x80:
        head = coded[position]
        position += 2 if head & 4 else 1
        length, shift = 0, 0
        while head & 2:
            byte = coded[position]
            length |= (byte & 0x7F) << shift
            position, shift = position + 1, shift + 7
            if not byte & 0x80 or shift > 56:  # noqa: PLR2004 - leb128 of eight bytes at most
                break
        end = position + length if head & 2 else len(coded)
        yield head >> 3 & 15, coded[position:end]
        position = end


class _Bits:
    """Numbers of so many bits, the highest bit first."""

    def __init__(self, data: memoryview) -> None:
        self._number, self._left = int.from_bytes(data[:256], "big"), 8 * min(len(data), 256)

    def take(self, count: int) -> int:
        """Return the next number of so many bits."""
        self._left -= count
        if self._left < 0:
            raise struct.error("a sequence header ends early")
        return self._number >> self._left & ((1 << count) - 1)


def _sequence_size(bits: _Bits) -> Size:
    """Source: AV1, section 5.5.1 (general sequence header OBU)."""
    bits.take(4)
    if bits.take(1):
        bits.take(5)
    else:
        _skip_operating_points(bits)
    across, down = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(across) + 1, bits.take(down) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = _skip_timing(bits) if bits.take(1) else 0
    has_display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:  # noqa: PLR2004 - levels above 3.3 have a tier
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.take(1):
            bits.take(4)


def _skip_timing(bits: _Bits) -> int:
    """Return how long a decoder's delay is, in bits, 0 where none is told."""
    bits.take(64)
    if bits.take(1):
        zeros = 0
        while not bits.take(1):
            zeros += 1
        bits.take(zeros)
    if not bits.take(1):
        return 0
    delay_bits = bits.take(5) + 1
    bits.take(42)
    return delay_bits
