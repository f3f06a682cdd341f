"""Encoded bytes to pixels, through the one decoder that the signature names.

    Header.format ── JPEG, PNG, GIF, WEBP, AVIF     Pillow
                  └─ HEIC                           pi_heif

A decoder is imported when the first picture of its format arrives: a cold start pays for none.
Here, and nowhere else, what decoders raise becomes our errors.
"""

# ruff: noqa: PLC0415 - decoders are imported late on purpose, see above
from __future__ import annotations

import io
import re
import zlib
from typing import TYPE_CHECKING

from PIL import Image

from errors import CorruptImage, ImageTooComplex
from imaging.headers import (
    LOSSLESS,
    MAX_FRAMES,
    START_OF_SCAN,
    exif_orientation,
    is_intact,
    jpeg_segments,
    png_chunks,
)

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from imaging.geometry import Size
    from imaging.headers import Header

MARGIN = 1.5  # how many times the shown size a JPEG keeps for the resize that follows
# What a decoder gets at a time. Between blocks it takes the interpreter lock, and waits for it.
_BLOCK_BYTES = 1 << 20
MAX_PROFILE_BYTES = 4_000_000  # an ICC profile after decompression; CMYK ones reach 3 MB
_CRITICAL_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_USED_CHUNKS = {b"tRNS"}
_TRNS_BYTES = {0: 2, 2: 6, 4: 0, 6: 0}  # by colour type; a palette's has one byte for each colour
_NAMED_SEGMENTS = {0xE0: b"JFIF", 0xEE: b"Adobe"}
_NAMED_SEGMENT_BYTES = 7  # up to the version, which Pillow reads
_EXIF_ITEM = re.compile(rb"(infe\x02\0\0.{5})Exif", re.DOTALL)


def open_picture(data: bytes, header: Header) -> ImageFile:
    """Return a picture whose header is parsed and whose pixels are not decoded yet.

    Raises: CorruptImage; ImageTooComplex.
    """
    try:
        picture = _OPENERS[header.format](data)
    except Exception as error:  # hostile bytes make a decoder raise anything
        raise _translated(error) from error
    if picture.size[0] * picture.size[1] > header.pixels:
        raise CorruptImage(f"the decoder finds {picture.size}, the header says {header.size}")
    if header.format == "AVIF" and getattr(picture, "n_frames", 1) > MAX_FRAMES:
        raise ImageTooComplex(f"more than {MAX_FRAMES} frames")
    return picture


def load(picture: ImageFile, least: Size) -> None:
    """Decode the pixels in place, a JPEG straight to a smaller size.

    least: the size (width, height) in px, as stored, that is going to be shown.

    Raises: CorruptImage, also for a file that ends early; ImageTooComplex.
    """
    try:
        scale = jpeg_scale(picture.size, least)
        picture.draft(_jpeg_mode(picture), (picture.width // scale, picture.height // scale))
        picture.decodermaxblock = _BLOCK_BYTES
        picture.load()
    except Exception as error:  # hostile bytes make a decoder raise anything
        raise _translated(error) from error


def jpeg_scale(size: Size, least: Size) -> int:
    """Return by how much a JPEG's sides are divided while it is decoded: 8, 4, 2 or 1.

    size: the JPEG's; least: the size that is going to be shown, with MARGIN for the resize after.
    """
    room = min(size[0] / least[0], size[1] / least[1]) / MARGIN
    return max(scale for scale in (1, 2, 4, 8) if scale <= max(room, 1))


def orientation(picture: ImageFile, header: Header) -> int:
    """Return the EXIF orientation, 1 to 8; only some decoders know it before they decode."""
    if header.orientation is not None:
        return header.orientation
    return exif_orientation(picture.info.get("exif") or b"")  # pi_heif says None


def _translated(error: Exception) -> CorruptImage | ImageTooComplex:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, (MemoryError, Image.DecompressionBombError)):
        return ImageTooComplex(reason)
    return CorruptImage(reason)


def _jpeg_mode(picture: ImageFile) -> str | None:
    """Ask a JPEG for YCbCr, as it is stored: it is shrunk and encoded like that, see shrinking."""
    layers = [layer[0] for layer in getattr(picture, "layer", ())]
    stored_as_rgb = "jfif" not in picture.info and (
        picture.info.get("adobe_transform") == 0 or bytes(layers) == b"RGB"
    )
    return None if stored_as_rgb else "YCbCr"


def _open_jpeg(data: bytes) -> ImageFile:
    from PIL.JpegImagePlugin import JpegImageFile

    data, is_lossless = _readable_jpeg(data)

    class FirstPicture(JpegImageFile):
        """The first picture of a file, and of that the pixels: no EXIF is read for its density."""

        def _read_dpi_from_exif(self) -> None:
            pass

        def draft(
            self, mode: str | None, size: Size | None
        ) -> tuple[str, tuple[int, int, float, float]] | None:
            return None if is_lossless else super().draft(mode, size)

    return FirstPicture(io.BytesIO(data))


def _readable_jpeg(data: bytes) -> tuple[bytes, bool]:
    """Return a JPEG without segments shorter than their name says, and whether it is lossless.

    libjpeg passes over those segments, Pillow raises. What is lossless cannot be scaled.
    """
    is_lossless, kept, position = False, io.BytesIO(), 0
    for marker, start, end in jpeg_segments(data):
        if marker == START_OF_SCAN:
            break
        is_lossless = is_lossless or marker in LOSSLESS
        name = _NAMED_SEGMENTS.get(marker)
        if name and end - start < _NAMED_SEGMENT_BYTES and data.startswith(name, start):
            kept.write(data[position : start - 4])
            position = end
    return (kept.getvalue() + data[position:] if position else data), is_lossless


def _open_png(data: bytes) -> ImageFile:
    from PIL.PngImagePlugin import PngImageFile

    picture = PngImageFile(_pixels_of(data))
    picture.info["icc_profile"] = _profile_of(data)
    return picture


def _pixels_of(data: bytes) -> io.BytesIO:
    """Return a PNG of the chunks alone that make pixels.

    Pillow raises where viewers pass over a damaged chunk, and reads what we have no use for: texts,
    some of them bombs, and the frames of an animation.
    """
    file, whole, colors = io.BytesIO(), memoryview(data), 0
    file.write(whole[:8])
    for name, start, end in png_chunks(data):
        if name == b"PLTE":
            colors = (end - start) // 3
        if name == b"tRNS" and not _fits(end - start, color_type=data[25], colors=colors):
            continue
        if name in _CRITICAL_CHUNKS or (name in _USED_CHUNKS and is_intact(data, start, end)):
            file.write(whole[start - 8 : end + 4])
    file.seek(0)
    return file


def _fits(length: int, *, color_type: int, colors: int) -> bool:
    """Return whether a tRNS is as long as the pixels need it. Source: PNG, section 11.3.1.1."""
    return length == _TRNS_BYTES[color_type] if color_type in _TRNS_BYTES else 0 < length <= colors


def _profile_of(data: bytes) -> bytes | None:
    """Return the first ICC profile that can be read; Pillow takes none above 1 MiB."""
    for name, start, end in png_chunks(data):
        if name == b"iCCP" and is_intact(data, start, end):
            _, _, zipped = data[start:end].partition(b"\0")
            try:
                profile = zlib.decompressobj().decompress(zipped[1:], MAX_PROFILE_BYTES)
            except zlib.error:
                return None
            return profile if len(profile) < MAX_PROFILE_BYTES else None
    return None


def _open_gif(data: bytes) -> ImageFile:
    from PIL.GifImagePlugin import GifImageFile

    return GifImageFile(io.BytesIO(data))


def _open_webp(data: bytes) -> ImageFile:
    from PIL.WebPImagePlugin import WebPImageFile

    return WebPImageFile(io.BytesIO(data))


def _open_avif(data: bytes) -> ImageFile:
    from PIL.AvifImagePlugin import AvifImageFile

    try:
        return AvifImageFile(io.BytesIO(data))
    except (SyntaxError, ValueError):  # also for an Exif item that is damaged
        return AvifImageFile(io.BytesIO(_EXIF_ITEM.sub(rb"\g<1>none", data, count=1)))


def _open_heic(data: bytes) -> ImageFile:
    from pi_heif import HeifImageFile

    picture: ImageFile = HeifImageFile(io.BytesIO(data))
    return picture


_OPENERS = {
    "JPEG": _open_jpeg,
    "PNG": _open_png,
    "GIF": _open_gif,
    "WEBP": _open_webp,
    "AVIF": _open_avif,
    "HEIC": _open_heic,
}
