"""The best JPEG that fits into a number of bytes, and holds nothing but pixels.

best affordable = 4:4:4 at the highest quality      where half the chroma would be missed
                  4:2:0 at the highest quality      where nearly every photo ends: one encoding
                  4:2:0 at the quality found by search, down to 1
"""

from __future__ import annotations

import math
import os
import re
import struct
import tempfile
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageChops

from errors import ShareImageError
from imaging.resampling import resampled

if TYPE_CHECKING:
    from collections.abc import Iterator

# One table for luma and chroma, in natural order. At equal bytes it scores 0.7 points (SSIMULACRA2)
# above the tables of T.81, annex K. Source: N. Robidoux; mozjpeg uses it by default.
_TABLE = (
    *(16, 16, 16, 18, 25, 37, 56, 85),
    *(16, 17, 20, 27, 34, 40, 53, 75),
    *(16, 20, 24, 31, 43, 62, 91, 135),
    *(18, 27, 31, 40, 53, 74, 106, 156),
    *(25, 34, 43, 53, 69, 94, 131, 189),
    *(37, 40, 62, 74, 94, 124, 169, 238),
    *(56, 53, 91, 106, 131, 169, 226, 311),
    *(85, 75, 135, 156, 189, 238, 311, 418),
)
SEEN_CHANGE = 28  # of 255 levels of chroma
SEEN_SHARE = 0.0015  # of the pixels: photos have at most 0.0011, one with a red word has 0.0024
_BAND_ROWS = 16
MAX_QUALITY = 85  # above it bytes grow faster than anything that can be seen
GOOD_USE = 0.94  # of the byte budget: a search that has come this close is over
MAX_ENCODINGS = 8  # bisection alone would need no more

_FULL_CHROMA, _HALF_CHROMA = 0, 2  # Pillow's names for 4:4:4 and 4:2:0

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_APP0, _DQT, _SOF2, _DHT, _SOS = 0xE0, 0xDB, 0xC2, 0xC4, 0xDA
_JFIF = re.compile(
    rb"JFIF\x00\x01\x01.{5}\x00\x00", re.DOTALL
)  # version 1.01, densities, no thumbnail
_MARKER = re.compile(rb"\xff[^\0]")


def encode(picture: Image.Image, *, max_bytes: int, full_chroma: bool) -> bytes:
    """Return a progressive JPEG of at most max_bytes, without any metadata.

    picture: mode RGB or YCbCr; full_chroma: whether it may show colours in every pixel; then 4:4:4
    is tried first, where hard edges of saturated colours would be missed. The quality is the best
    that fits, at most MAX_QUALITY; only when quality 1 is still too large, more than max_bytes are
    returned.
    """
    picture = _bare(picture)
    if full_chroma and _shows_full_chroma(picture):
        data = _encoded(picture, MAX_QUALITY, _FULL_CHROMA)
        if len(data) <= max_bytes:
            return data
    data = _encoded(picture, MAX_QUALITY, _HALF_CHROMA)
    return data if len(data) <= max_bytes else _searched(picture, max_bytes, len(data))


def require_only_pixels(jpeg: bytes, mark: bytes = b"") -> None:
    """Hold a JPEG to the segments that encode writes, in an order in which JPEGs have them.

    mark: the one segment beside them, behind the first (see imaging.provenance); empty for none.

    Source: ITU-T T.81, annex B; T.871 (JFIF).

    Raises: ShareImageError.
    """
    markers = []
    if mark:
        jpeg = _without(jpeg, mark)
    for marker, body in _segments(jpeg):
        markers.append(marker)
        if marker == _APP0 and not _JFIF.fullmatch(body):
            raise ShareImageError(f"an APP0 segment of {len(body)} bytes that is not ours")
    if markers[:1] != [_APP0] or not {*markers[1:]} <= {_DQT, _SOF2, _DHT, _SOS}:
        raise ShareImageError(f"segments that we do not write: {bytes(markers)[:40].hex(' ')}")


def _without(jpeg: bytes, mark: bytes) -> bytes:
    end = 4 + struct.unpack_from(">H", jpeg, 4)[0]
    if jpeg[end : end + len(mark)] != mark:
        raise ShareImageError("a JPEG without its mark")
    return jpeg[:end] + jpeg[end + len(mark) :]


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and body of each segment between SOI and EOI, which ends the file."""
    position = 2 if jpeg.startswith(_SOI) else -1
    while 0 <= position < len(jpeg) - 2:
        mark, marker, length = struct.unpack_from(">BBH", jpeg, position)
        if mark != 0xFF:  # noqa: PLR2004 - the first byte of every marker
            break
        yield marker, jpeg[position + 4 : position + 2 + length]
        position += 2 + length
        if marker == _SOS:
            found = _MARKER.search(jpeg, position)
            position = found.start() if found else len(jpeg)
    if position != len(jpeg) - 2 or not jpeg.endswith(_EOI):
        raise ShareImageError(f"a JPEG of {len(jpeg)} bytes whose segments end at {position}")


def _shows_full_chroma(picture: Image.Image) -> bool:
    """Return whether 4:2:0 would change the colours of a picture where it can be seen.

    Coloured lettering has a hundred times as many of such pixels as most photos have, and as
    cut-outs have at their edges. A quarter of the rows tells.
    """
    sample = _every_fourth_row(picture).convert("YCbCr")
    for band in (1, 2):
        chroma = sample.getchannel(band)
        halved = chroma.reduce(2)
        doubled = resampled(
            halved, chroma.size, resample=Image.Resampling.BILINEAR
        )  # as decoders do
        changes = ImageChops.difference(chroma, doubled).histogram()
        if sum(changes[SEEN_CHANGE:]) > SEEN_SHARE * chroma.width * chroma.height:
            return True
    return False


def _every_fourth_row(picture: Image.Image) -> Image.Image:
    """Return bands of rows, side by side; their height, like the width, is even where it can be."""
    width, height = picture.size
    if min(width, height) < 2:  # noqa: PLR2004 - nothing to halve
        return picture
    width, tops = width // 2 * 2, range(0, height // 2 * 2, 4 * _BAND_ROWS)
    sample = Image.new(
        picture.mode, (width, sum(min(_BAND_ROWS, height - top) // 2 * 2 for top in tops))
    )
    for number, top in enumerate(tops):
        rows = picture.crop((0, top, width, min(top + _BAND_ROWS, height)))
        sample.paste(rows, (0, number * _BAND_ROWS))
    return sample


def _bare(picture: Image.Image) -> Image.Image:
    """Return the pixels alone: Pillow's encoder also writes what it finds in `info`."""
    if not picture.info:
        return picture
    bare = Image.new(picture.mode, picture.size)
    bare.paste(picture)
    return bare


def _searched(picture: Image.Image, max_bytes: int, bytes_at_most: int) -> bytes:
    """Find the best quality below MAX_QUALITY whose file fits.

    Bytes are, nearly, a power of the quantisation step: a line in logarithms. Two encodings give
    its slope, each further one a better line, and the bounds close in like a bisection's.
    """
    low, high = 0, MAX_QUALITY  # what is known to fit, what is known not to
    points = [(_step(MAX_QUALITY), bytes_at_most)]
    best = b""
    for _ in range(MAX_ENCODINGS):
        quality = min(max(_guess(points, max_bytes), low + 1), high - 1)
        data = _encoded(picture, quality, _HALF_CHROMA)
        points.append((_step(quality), len(data)))
        if len(data) <= max_bytes:
            low, best = quality, data
        else:
            high = quality
        if high - low <= 1 or (best and len(best) >= GOOD_USE * max_bytes):
            break
    return best or _encoded(picture, 1, _HALF_CHROMA)


def _guess(points: list[tuple[float, int]], max_bytes: int) -> int:
    """Return the quality at which the line through the nearest points meets the budget."""
    nearest = sorted(points, key=lambda point: abs(math.log(point[1] / max_bytes)))[:2]
    slope: float = -0.6  # typical; measured as soon as there are two points
    if len(nearest) > 1 and nearest[0][0] != nearest[1][0]:
        (step, size), (other_step, other_size) = nearest
        slope = min(math.log(size / other_size) / math.log(step / other_step), -0.1)
    step, size = nearest[0]
    wanted: float = step * (0.98 * max_bytes / size) ** (1 / slope)
    return round(100 - wanted / 2 if wanted <= 100 else 5000 / wanted)  # noqa: PLR2004 - see _step


def _step(quality: int) -> float:
    """Return the quantisation step of a quality, in percent of the table.

    Source: libjpeg, jpeg_quality_scaling.
    """
    return 5000 / quality if quality < 50 else max(200 - 2 * quality, 1)  # noqa: PLR2004


def _encoded(picture: Image.Image, quality: int, subsampling: int) -> bytes:
    """Encode once. Pillow sizes its buffer by `quality`: with -1 it is never too small.

    Into a file in memory: only then does Pillow release the interpreter lock while it encodes, for
    20 ms and more (Pillow's encode.c, _encode_to_file and _encode).
    """
    step = _step(quality)
    table = [min(max(round(number * step / 100), 1), 255) for number in _TABLE]
    with _memory_file() as file:
        picture.save(
            file,
            "JPEG",
            quality=-1,
            qtables=[table, table],
            subsampling=subsampling,
            progressive=True,
        )
        file.seek(0)
        return file.read()


def _memory_file() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("jpeg"), "w+b")
    return tempfile.TemporaryFile()
