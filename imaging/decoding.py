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
import struct
import zlib
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageChops

from errors import CorruptImage, ImageTooComplex
from imaging.color_spaces import profile_of_cicp, profile_of_gamma
from imaging.headers import (
    LOSSLESS,
    MAX_FRAMES,
    START_OF_SCAN,
    exif_orientation,
    is_intact,
    jpeg_segments,
    nclx,
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
_COLOR_CHUNKS = {b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"}
_CICP_BYTES, _GAMMA_BYTES, _CHROMATICITIES_BYTES = 4, 4, 32
_FULL_RANGE_RGB = (0, 1)  # matrix coefficients and range flag
_NAME_BYTES = 80  # of a profile, with the zero behind it
_SRGB_GAMMA, _NEAR_SRGB = 45_455, 0.05
_DEEP = 16  # bits
_HIGH_BYTES = {"L": "L;16B", "RGB": "RGB;16B"}
_LOW_BYTES = {"L": "L;16", "RGB": "RGB;16L"}  # of numbers whose upper byte comes first
_STRIP_PIXELS = 250_000
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


def has_full_chroma(picture: ImageFile, shown: Size) -> bool:
    """Return whether a loaded picture may show colours in every pixel.

    shown: the size at which it is going to be shown. A JPEG in 4:2:0 has none to show, one that is
    shrunk to less than half keeps hardly any.
    """
    factors = {layer[1:3] for layer in getattr(picture, "layer", ())}
    if not factors:
        return True  # what is no JPEG
    return len(factors) == 1 and 2 * shown[0] >= picture.width and 2 * shown[1] >= picture.height


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

    class DeepPicture(PngImageFile):
        """16 bits and a transparent colour: Pillow keeps the upper bytes, all of them decide."""

        def choose(self, raw_modes: dict[str, str]) -> None:
            self._mode = "RGB" if self.mode == "RGB" else "L"
            self.tile = [tile._replace(args=raw_modes[self.mode]) for tile in self.tile]

        def load(self) -> Any:  # noqa: ANN401 - Pillow's own
            access = super().load()
            key = self.info.pop("transparency", None)
            if key is None:
                return access
            low = DeepPicture(io.BytesIO(pixels))
            del low.info["transparency"]
            low.choose(_LOW_BYTES)
            low.load()
            self.putalpha(_opaque(self, low, key if isinstance(key, tuple) else (key,)))
            return super().load()

    pixels = _pixels_of(data)
    picture = PngImageFile(io.BytesIO(pixels))
    depth, key = data[24], picture.info.get("transparency")
    if depth == _DEEP and key is not None:
        picture = deep = DeepPicture(io.BytesIO(pixels))
        deep.choose(_HIGH_BYTES)
    elif picture.mode == "L" and key is not None:
        most = (1 << depth) - 1  # Pillow leaves the key as it is, and scales the pixels
        picture.info["transparency"] = (key & most) * 255 // most
    picture.info["icc_profile"] = _profile_of(data)
    return picture


def _opaque(high: Image.Image, low: Image.Image, key: tuple[int, ...]) -> Image.Image:
    """Return the alpha of pixels of 16 bits, in two halves, of which one colour is transparent."""
    alpha = Image.new("L", high.size)
    rows = max(1, _STRIP_PIXELS // high.width)
    for top in range(0, high.height, rows):
        box = (0, top, high.width, min(top + rows, high.height))
        differs = Image.new("L", (high.width, box[3] - top))
        for half, shift in ((high, 8), (low, 0)):
            for band, number in zip(half.crop(box).split(), key, strict=True):
                table = [255 * (value != number >> shift & 255) for value in range(256)]
                differs = ImageChops.lighter(differs, band.point(table))
        alpha.paste(differs, (0, top))
    return alpha


def _pixels_of(data: bytes) -> bytes:
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
    return file.getvalue()


def _fits(length: int, *, color_type: int, colors: int) -> bool:
    """Return whether a tRNS is as long as the pixels need it. Source: PNG, section 11.3.1.1."""
    return length == _TRNS_BYTES[color_type] if color_type in _TRNS_BYTES else 0 < length <= colors


def _profile_of(data: bytes) -> bytes | None:
    """Return the ICC profile of what a PNG says of its colours; None stands for sRGB.

    The first chunk that can be read decides, in this order.

    Source: PNG, sections 11.3.2 and 12.12 (cICP, iCCP, sRGB, then gAMA with cHRM).
    """
    found: dict[bytes, memoryview] = {}
    whole = memoryview(data)
    for name, start, end in png_chunks(data):
        if name == b"IDAT":
            break
        if name in _COLOR_CHUNKS and name not in found and is_intact(data, start, end):
            found[name] = whole[start:end]
    profile = _profile_of_cicp(found) or _profile_of_iccp(found)
    if profile or b"sRGB" in found:
        return profile
    return _profile_of_gamma(found)


def _profile_of_cicp(chunks: dict[bytes, memoryview]) -> bytes | None:
    numbers = chunks.get(b"cICP", b"")
    if len(numbers) != _CICP_BYTES or tuple(numbers[2:]) != _FULL_RANGE_RGB:
        return None
    return profile_of_cicp(numbers[0], numbers[1], of_video=False)


def _profile_of_iccp(chunks: dict[bytes, memoryview]) -> bytes | None:
    """Return the profile of an iCCP; Pillow takes none above 1 MiB."""
    chunk = chunks.get(b"iCCP", memoryview(b""))
    name, _, _ = bytes(chunk[:_NAME_BYTES]).partition(b"\0")
    try:
        profile = zlib.decompressobj().decompress(chunk[len(name) + 2 :], MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if len(profile) < MAX_PROFILE_BYTES else None


def _profile_of_gamma(chunks: dict[bytes, memoryview]) -> bytes | None:
    """Return the profile of gAMA and cHRM.

    An exponent near 1 / 2.2 alone stands for sRGB: nearly every file has it. Source: libpng,
    PNG_GAMMA_THRESHOLD; Chromium does the same.
    """
    gamma = chunks.get(b"gAMA", b"")
    if len(gamma) != _GAMMA_BYTES or bytes(gamma) == bytes(_GAMMA_BYTES):
        return None
    (exponent,) = struct.unpack(">I", gamma)
    points = chunks.get(b"cHRM", b"")
    if len(points) != _CHROMATICITIES_BYTES:
        is_srgb = abs(exponent / _SRGB_GAMMA - 1) < _NEAR_SRGB
        return None if is_srgb else profile_of_gamma(100_000 / exponent)
    values = [value / 100_000 for value in struct.unpack(">8I", points)]
    return profile_of_gamma(100_000 / exponent, tuple(zip(values[::2], values[1::2], strict=True)))


def _open_gif(data: bytes) -> ImageFile:
    from PIL.GifImagePlugin import GifImageFile

    class FirstFrame(GifImageFile):
        """The first frame on its screen, which is transparent around it, as browsers show it."""

        def load(self) -> Any:  # noqa: ANN401 - Pillow's own
            box = self.tile[0].extents if self.tile else None
            access = super().load()
            if box is None or box == (0, 0, *self.size):
                return access
            screen = Image.new("RGBA", self.size)
            rows = max(1, _STRIP_PIXELS // (box[2] - box[0]))
            for top in range(box[1], box[3], rows):
                strip = self.crop((box[0], top, box[2], min(top + rows, box[3])))
                screen.paste(strip.convert("RGBA"), (box[0], top))
            self.im, self._mode = screen.im, screen.mode
            self.info.pop("transparency", None)
            return super().load()

    return FirstFrame(io.BytesIO(data))


def _open_webp(data: bytes) -> ImageFile:
    from PIL.WebPImagePlugin import WebPImageFile

    return WebPImageFile(io.BytesIO(data))


def _open_avif(data: bytes) -> ImageFile:
    from PIL.AvifImagePlugin import AvifImageFile

    try:
        picture = AvifImageFile(io.BytesIO(data))
    except (SyntaxError, ValueError):  # also for an Exif item that is damaged
        picture = AvifImageFile(io.BytesIO(_EXIF_ITEM.sub(rb"\g<1>none", data, count=1)))
    return _with_profile(picture, nclx(data))


def _open_heic(data: bytes) -> ImageFile:
    from pi_heif import HeifImageFile

    picture: ImageFile = HeifImageFile(io.BytesIO(data))
    return _with_profile(picture, nclx(data))


def _with_profile(picture: ImageFile, numbers: tuple[int, int] | None) -> ImageFile:
    """Say colours that are said in numbers by a profile; one that is embedded comes first."""
    if numbers and not picture.info.get("icc_profile"):
        picture.info["icc_profile"] = profile_of_cicp(*numbers, of_video=True)
    return picture


_OPENERS = {
    "JPEG": _open_jpeg,
    "PNG": _open_png,
    "GIF": _open_gif,
    "WEBP": _open_webp,
    "AVIF": _open_avif,
    "HEIC": _open_heic,
}
