"""What the first bytes of a picture say, read without a decoder: its format, its size, its traps.

    sniff         the format, by its signature
    └── JPEG      segments up to the last scan      size, sampling, number of scans
        PNG       chunks                            size, depth, frames, zipped profile
        GIF       blocks                            screen and first frame, number of frames
        WEBP      RIFF chunks                       size, alpha, number of frames
        AVIF      ISO boxes and AV1                 size of the largest item or sequence
        HEIC      ISO boxes                         size of the largest item

Everything here happens before memory is taken for a single pixel.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from av1_size import av1_sizes
from errors import CorruptImage, DimensionsTooLarge, ImageTooComplex, UnsupportedFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from config import ImageSettings
    from platforms import Size

MAX_SCANS = 100  # encoders write about ten; each may cost a pass over all coefficients
MAX_SCAN_PIXELS = 1_500_000_000  # scans x pixels; 50 megapixels in 30 scans
MAX_FRAMES = 10_000  # only the first is decoded, the others are skipped one by one
MAX_PROFILE_BYTES = 4_000_000  # an ICC profile after decompression; CMYK ones reach 3 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a picture says about itself before it is decoded.

    format: one of config.FORMATS; size: (width, height) in px as stored, before orientation;
    pixel_bytes: what each stored pixel takes at the peak of decoding, measured; scans: passes over
    a JPEG; coefficients: how many numbers per pixel, of two bytes, a JPEG of several scans keeps
    until the last one, otherwise 0.
    """

    format: str
    size: Size
    pixel_bytes: int = 4
    scans: int = 1
    coefficients: float = 0.0

    @property
    def pixels(self) -> int:
        """How many pixels are stored: width x height."""
        return self.size[0] * self.size[1]


def read_header(data: bytes, settings: ImageSettings) -> Header:
    """Return what an encoded picture says about itself; nothing is decoded.

    data: the whole file, at least one byte.

    Raises: UnsupportedFormat, when the first bytes are not those of settings.input_formats;
    DimensionsTooLarge; ImageTooComplex, for far more scans or frames than a picture needs;
    CorruptImage, when the header itself is damaged.
    """
    format_ = sniff(data)
    if format_ is None or format_ not in settings.input_formats:
        raise UnsupportedFormat(
            supported=settings.input_formats, reason=f"{format_ or 'unknown'}: {data[:16]!r}"
        )
    try:
        header = _READERS[format_](data)
    except (struct.error, IndexError) as error:
        raise CorruptImage(f"{format_} header ends early: {error}") from error
    _check_size(header, settings)
    if header.scans * header.pixels > MAX_SCAN_PIXELS:
        raise ImageTooComplex(f"{header.scans} scans of {header.size}")
    return header


def sniff(data: bytes) -> str | None:
    """Return the name of the format whose signature the data starts with, or None."""
    for name, signature in _SIGNATURES.items():
        if signature.match(data):
            return name
    return None


_SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "GIF": re.compile(rb"GIF8[79]a"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    # The brand in front decides; a picture of the generic brand `mif1` names its codec further on.
    "AVIF": re.compile(rb"....ftyp(?:avi[fs]|(?:mif1|msf1)(?:....){0,8}?avi[fs])", re.DOTALL),
    "HEIC": re.compile(
        rb"....ftyp(?:he[iv][csmx]|(?:mif1|msf1)(?:....){0,8}?he[iv][csmx])", re.DOTALL
    ),
}


def _check_size(header: Header, settings: ImageSettings) -> None:
    width, height = header.size
    if min(header.size) < 1:
        raise CorruptImage(f"size {header.size}")
    longest = settings.max_input_side_px
    if longest is not None and max(header.size) > longest:
        raise DimensionsTooLarge(limit=f"{longest}px", reason=f"{width}x{height}")
    if header.pixels > settings.max_pixels:
        limit = f"{settings.max_pixels / 1_000_000:g}MP"
        raise DimensionsTooLarge(limit=limit, reason=f"{width}x{height}")


# 00 is escaped data, 01 and D0 to D7 stand alone; FF again is filling.
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])")
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def _read_jpeg(data: bytes) -> Header:
    """Source: ITU-T T.81, annex B."""
    size, components, keeps_all, scans = (0, 0), 0, False, 0
    sampling = 0.0
    for marker, body in _jpeg_segments(data):
        if marker in _START_OF_FRAME and not components:
            height, width, components = struct.unpack_from(">HHB", body, 1)
            size, sampling = (width, height), _numbers_per_pixel(body[6:], components)
            keeps_all = marker in _PROGRESSIVE
        elif marker == _START_OF_SCAN:
            scans += 1
            keeps_all = keeps_all or body[0] < components
            if not keeps_all:  # the first scan holds everything, what follows is not read
                break
            if scans > MAX_SCANS:
                raise ImageTooComplex(f"more than {MAX_SCANS} scans")
    if not scans:
        raise CorruptImage("a JPEG without a scan")
    return Header(
        format="JPEG",
        size=size,
        pixel_bytes=1 if components == 1 else 4,
        scans=scans,
        coefficients=sampling if keeps_all else 0.0,
    )


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the body of each segment, up to the end of the first picture."""
    position = 2
    while found := _MARKER.search(data, position):
        marker = found[1][0]
        if marker == _END_OF_IMAGE:
            return
        (length,) = struct.unpack_from(">H", data, found.end())
        yield marker, data[found.end() + 2 : found.end() + length]
        position = found.end() + length


def _numbers_per_pixel(components: bytes, count: int) -> float:
    """Return how many samples a pixel has on average: 3 in 4:4:4, 1.5 in 4:2:0."""
    factors = [(components[3 * n + 1] >> 4, components[3 * n + 1] & 15) for n in range(count)]
    cells = max(across for across, _ in factors) * max(down for _, down in factors)
    return sum(across * down for across, down in factors) / max(cells, 1)


_PNG_CHANNELS = {0: 1, 2: 4, 3: 1, 4: 4, 6: 4}  # Pillow keeps three bands, and two, in four bytes


def _read_png(data: bytes) -> Header:
    """Source: https://www.w3.org/TR/png-3/#11Chunks."""
    width, height, depth, color_type = struct.unpack_from(">IIBB", data, 16)
    names = set()
    for name, start, end in png_chunks(data):
        names.add(name)
        if name == b"acTL" and struct.unpack_from(">I", data, start)[0] > MAX_FRAMES:
            raise ImageTooComplex(f"more than {MAX_FRAMES} frames")
        if name == b"iCCP":
            _check_profile(data[start:end])
    wide = 2 if depth > 8 and color_type == 0 else 1  # noqa: PLR2004 - greyscale of 16 bits
    pixel_bytes = _PNG_CHANNELS.get(color_type, 4) * wide
    if color_type in {4, 6} or b"tRNS" in names:
        pixel_bytes += 4  # a premultiplied copy
    if b"eXIf" in names:  # what may be transparent is turned before it is small
        pixel_bytes *= 2
    return Header(format="PNG", size=(width, height), pixel_bytes=pixel_bytes)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the content of each chunk of a PNG, as offsets."""
    position = 8
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        yield name, position + 8, min(position + 8 + length, len(data))
        position += 12 + length


def _check_profile(chunk: bytes) -> None:
    """Refuse a profile that a few bytes inflate to far more than profiles are."""
    _, _, zipped = chunk.partition(b"\0")
    try:
        profile = zlib.decompressobj().decompress(zipped[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return  # the decoder leaves it out, and so do we
    if len(profile) >= MAX_PROFILE_BYTES:
        raise ImageTooComplex(f"a profile of more than {MAX_PROFILE_BYTES} bytes")


_GIF_EXTENSION, _GIF_FRAME, _GIF_TABLE = 0x21, 0x2C, 0x80


def _read_gif(data: bytes) -> Header:
    """Source: https://www.w3.org/Graphics/GIF/spec-gif89a.txt, sections 18 to 22."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    frames = 0
    for left, top, across, down in _gif_frames(data, 13 + _table_bytes(flags)):
        if not frames:  # a frame may reach beyond the screen, which then grows with it
            width, height = max(width, left + across), max(height, top + down)
        frames += 1
        if frames > MAX_FRAMES:
            raise ImageTooComplex(f"more than {MAX_FRAMES} frames")
    if not frames:
        raise CorruptImage("a GIF without a frame")
    return Header(format="GIF", size=(width, height), pixel_bytes=6)


def _gif_frames(data: bytes, position: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield left, top, width and height of each frame."""
    while position < len(data) and data[position] in {_GIF_EXTENSION, _GIF_FRAME}:
        if data[position] == _GIF_EXTENSION:
            position += 2
        else:
            left, top, width, height, flags = struct.unpack_from("<4HB", data, position + 1)
            yield left, top, width, height
            position += 11 + _table_bytes(flags)
        while position < len(data) and data[position]:  # sub-blocks, up to an empty one
            position += 1 + data[position]
        position += 1


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _GIF_TABLE else 0


_CANVASES = 24  # two canvases and four copies, four bytes each
_PLANES = 18  # planes, of up to 16 bits, the picture made of them, and two copies


def _read_webp(data: bytes) -> Header:
    """Source: RFC 9649, sections 2.4 to 2.7."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise CorruptImage(f"WebP chunk {kind!r}")
    if data.count(b"ANMF") > MAX_FRAMES:
        raise ImageTooComplex(f"more than {MAX_FRAMES} frames")
    return Header(format="WEBP", size=(width, height), pixel_bytes=_CANVASES)


_EXTENT = re.compile(rb"\x00\x00\x00\x14ispe\x00\x00\x00\x00(.{8})", re.DOTALL)


def _read_avif(data: bytes) -> Header:
    size = max([_largest_item(data), *av1_sizes(data)], key=_area)
    return Header(format="AVIF", size=size, pixel_bytes=_PLANES)


def _read_heic(data: bytes) -> Header:
    return Header(format="HEIC", size=_largest_item(data), pixel_bytes=_PLANES)


def _largest_item(data: bytes) -> Size:
    """Return the size of the largest item: tiles and thumbnails are smaller than the picture.

    Source: ISO/IEC 23008-12, section 6.5.3 (ispe); it is mandatory for every picture item.
    """
    sizes: list[Size] = [struct.unpack(">II", extent) for extent in _EXTENT.findall(data)]
    if not sizes:
        raise CorruptImage("no item says its size")
    return max(sizes, key=_area)


def _area(size: Size) -> int:
    return size[0] * size[1]


_READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "GIF": _read_gif,
    "WEBP": _read_webp,
    "AVIF": _read_avif,
    "HEIC": _read_heic,
}
