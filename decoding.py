"""Encoded bytes to pixels, through the one decoder that the signature names.

    Header.format ── JPEG, PNG, GIF, WEBP, AVIF     Pillow
                  └─ HEIC                           pi_heif

A decoder is imported when the first picture of its format arrives: a cold start pays for none.
Here, and nowhere else, what decoders raise becomes our errors.
"""

# ruff: noqa: PLC0415 - decoders are imported late on purpose, see above
from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from errors import CorruptImage, ImageTooComplex
from image_headers import MAX_FRAMES, png_chunks

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from image_headers import Header
    from platforms import Size

MARGIN = 1.5  # how many times the shown size a JPEG keeps for the resize that follows
_ORIENTATION_TAG = 0x0112
# What a decoder gets at a time. Between blocks it takes the interpreter lock, and waits for it.
_BLOCK_BYTES = 1 << 20
_KEPT_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"iCCP", b"sRGB", b"eXIf", b"IEND"}


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


def orientation(picture: ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8, without parsing anything else; 1 where there is none.

    Source: Exif 3.0, section 4.6.2 (image file directory) and tag 0x0112.
    """
    block: bytes = picture.info.get("exif") or b""  # pi_heif says None
    block = block.removeprefix(b"Exif\0\0")
    if block[:4] not in {b"II*\0", b"MM\0*"}:
        return 1

    def number(at: int, length: int) -> int:
        return int.from_bytes(block[at : at + length], "little" if block[:1] == b"I" else "big")

    directory = number(4, 4)
    for entry in range(min(number(directory, 2), 512)):
        at = directory + 2 + 12 * entry
        if number(at, 2) == _ORIENTATION_TAG:
            value = number(at + 8, 2)
            return value if value in range(1, 9) else 1
    return 1


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

    class FirstPicture(JpegImageFile):
        """The first picture of a file, and of that the pixels: no EXIF is read for its density."""

        def _read_dpi_from_exif(self) -> None:
            pass

    return FirstPicture(io.BytesIO(data))


def _open_png(data: bytes) -> ImageFile:
    from PIL.PngImagePlugin import PngImageFile

    return PngImageFile(io.BytesIO(_without_text(data)))


def _without_text(data: bytes) -> bytes:
    """Return a PNG without the chunks that hold no pixels: texts (some are bombs) and frames."""
    chunks = list(png_chunks(data))
    if all(name in _KEPT_CHUNKS for name, _, _ in chunks):
        return data
    kept = [data[start - 8 : end + 4] for name, start, end in chunks if name in _KEPT_CHUNKS]
    return b"".join((data[:8], *kept))


def _open_gif(data: bytes) -> ImageFile:
    from PIL.GifImagePlugin import GifImageFile

    return GifImageFile(io.BytesIO(data))


def _open_webp(data: bytes) -> ImageFile:
    from PIL.WebPImagePlugin import WebPImageFile

    return WebPImageFile(io.BytesIO(data))


def _open_avif(data: bytes) -> ImageFile:
    from PIL.AvifImagePlugin import AvifImageFile

    return AvifImageFile(io.BytesIO(data))


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
