"""What the first bytes of a picture say, read without a decoder: format, size, hostile patterns.

    sniff         the format, by its signature
    └── JPEG      segments up to the last scan      size, sampling, number of scans
        PNG       chunks                            size, depth, transparency
        GIF       blocks up to the first frame      size of screen and frame, transparency
        WEBP      the first RIFF chunk              size, alpha
        AVIF      boxes in `meta`                   size of the largest item, sampling, alpha
        HEIC      boxes in `meta`                   size of the largest item, sampling, alpha

Everything here happens before memory is taken for a single pixel, in time that is linear and, by
the limits below, short: 25 ms for any 20 MB. What AVIF and HEIC say is believed for a refusal
only, since their containers can lie about what the codec inside decodes.
"""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from errors import CorruptImage, DimensionsTooLarge, ImageTooComplex, UnsupportedFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from config import ImageSettings
    from imaging.geometry import Size

MAX_SCANS = 100  # encoders write about ten; each may cost a pass over all coefficients
MAX_SCAN_PIXELS = 1_500_000_000  # scans x pixels; 50 megapixels in 30 scans
MAX_SEGMENTS = 1000  # 20 MB of metadata are about 300, a hundred scans and their tables about 500
MAX_JUNK_BYTES = 65_536  # between the segments of a JPEG: Pillow steps over them one by one
MAX_CHUNKS = 40_000  # 20 MB of PNG in chunks of 512 bytes
MAX_BLOCKS = 50_000  # of a GIF's comments and applications, 255 bytes at most each
MAX_FRAMES = 10_000  # only the first is decoded, the others are skipped one by one
MAX_BOXES = 100  # of an AVIF or HEIC, in front of `meta`; it is the second or third
MAX_META_BYTES = 1_000_000  # a thousand tiles are described in 50 kB
MAX_PROPERTIES = 1000  # sizes and codec configurations; tiles share theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a picture says about itself before it is decoded.

    format: one of config.FORMATS; size: (width, height) in px as stored, before orientation;
    pixel_bytes: what each stored pixel takes in Pillow's memory once decoded; decoder_bytes: what
    its decoder takes for each beside that, at its peak, measured; has_alpha: whether pixels may be
    transparent; orientation: as in EXIF, 1 to 8, None where only the decoder can say it;
    scalable: whether it can be decoded straight to a smaller size; scans: passes over
    a JPEG; coefficients: how many numbers per pixel, of two bytes, a JPEG of several scans keeps
    until the last one, otherwise 0.
    """

    format: str
    size: Size
    pixel_bytes: int = 4
    decoder_bytes: float = 0.0
    has_alpha: bool = False
    orientation: int | None = None
    scalable: bool = False
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
    DimensionsTooLarge; ImageTooComplex, for far more parts, scans or frames than a picture needs;
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
    most = settings.max_pixels
    if most is not None and header.pixels > most:
        raise DimensionsTooLarge(limit=f"{most / 1_000_000:g}MP", reason=f"{width}x{height}")


_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_APP1, _EXIF = 0xE1, b"Exif\0\0"
_ORIENTATION_TAG = 0x0112
LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
# What is no marker with a segment behind it: 00 is escaped data, 01 and D0 to D8 stand alone, FF
# again is filling. The repeat is possessive, which keeps it linear, and short, so that it is cheap.
_NO_SEGMENT = frozenset((0x00, 0x01, *range(0xD0, 0xD9), 0xFF))
_UP_TO_SEGMENT = re.compile(
    rb"(?:[^\xff]*+\xff(?:[\x00\x01\xd0-\xd8]|(?=\xff))){0,500}+[^\xff]*+", re.DOTALL
)


def _read_jpeg(data: bytes) -> Header:
    """Source: ITU-T T.81, annex B."""
    kind, size, factors, scans, keeps_all = 0, (0, 0), [(0, 0)], 0, False
    for marker, start, _ in jpeg_segments(data):
        if marker in _START_OF_FRAME:
            if kind:
                raise CorruptImage("a second frame header")
            kind = marker
            size, factors = _frame(data, start)
        elif marker == START_OF_SCAN:
            scans += 1
            keeps_all = keeps_all or kind in _PROGRESSIVE or data[start] < len(factors)
            if not keeps_all:  # the first scan holds everything, what follows is not read
                break
            if scans > MAX_SCANS:
                raise ImageTooComplex(f"more than {MAX_SCANS} scans")
    if not (kind and scans):
        raise CorruptImage("a JPEG without a frame header or a scan")
    return Header(
        format="JPEG",
        size=size,
        pixel_bytes=1 if len(factors) == 1 else 4,
        orientation=_jpeg_orientation(data),
        scalable=kind not in LOSSLESS,
        scans=scans,
        coefficients=_numbers_per_pixel(size, factors) if keeps_all else 0.0,
    )


def _jpeg_orientation(data: bytes) -> int:
    for marker, start, end in jpeg_segments(data):
        if marker == START_OF_SCAN:
            break
        if marker == _APP1 and data.startswith(_EXIF, start):
            return exif_orientation(data[start:end])
    return 1


def exif_orientation(block: bytes) -> int:
    """Return the orientation, 1 to 8, that an EXIF block says; 1 where it says none.

    Source: Exif 3.0, section 4.6.2 (image file directory) and tag 0x0112.
    """
    block = block.removeprefix(_EXIF)
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


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, and start and end of the body, of each segment of the first picture.

    Raises: CorruptImage, for what is between them; ImageTooComplex; struct.error and IndexError,
    where the data ends.
    """
    position, room = 2, MAX_JUNK_BYTES
    for _ in range(MAX_SEGMENTS):
        found = _UP_TO_SEGMENT.match(data, position, position + room + 1)
        at = found.end() if found else position
        room -= at - position
        if room < 0:
            raise CorruptImage(f"more than {MAX_JUNK_BYTES} bytes between segments")
        marker = data[at + 1]
        if marker in _NO_SEGMENT:
            position = at
            continue
        if marker == _END_OF_IMAGE:
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        position = at + 2 + max(length, 2)
        yield marker, at + 4, position
        if marker == START_OF_SCAN:  # coded data follows, as long as it likes
            room = len(data)
    raise ImageTooComplex(f"more than {MAX_SEGMENTS} segments")


def _frame(data: bytes, start: int) -> tuple[Size, list[tuple[int, int]]]:
    """Return the size, and the sampling factors of each component: how many across, how many down.

    Source: ITU-T T.81, section B.2.2.
    """
    height, width, components = struct.unpack_from(">HHB", data, start + 1)
    if components not in {1, 3, 4}:
        raise CorruptImage(f"{components} components")
    packed = data[start + 7 : start + 6 + 3 * components : 3]
    factors = [(both >> 4, both & 15) for both in packed]
    if len(factors) < components or not all(1 <= n <= 4 for both in factors for n in both):  # noqa: PLR2004 - as the standard says
        raise CorruptImage(f"sampling {packed!r}")
    return (width, height), factors


def _numbers_per_pixel(size: Size, factors: Sequence[tuple[int, int]]) -> float:
    """Return how many coefficients are kept per pixel: 3 in 4:4:4, 1.5 in 4:2:0.

    Very flat pictures have more, since blocks of 8 x 8 are kept whole.
    """
    units = [
        -(-side // (8 * max(factor[way] for factor in factors))) for way, side in enumerate(size)
    ]
    blocks = sum(across * down for across, down in factors) * units[0] * units[1]
    return 64 * blocks / max(size[0] * size[1], 1)


# Of (depth, colour type), in the mode that Pillow gives it: 1, L and P; I;16; LA, RGB and RGBA.
_PNG_PIXEL_BYTES = {
    **{(depth, kind): 1 for kind in (0, 3) for depth in (1, 2, 4, 8)},
    (16, 0): 2,
    **{(depth, kind): 4 for kind in (2, 4, 6) for depth in (8, 16)},
}
_DEEP, _DEEP_KEYED_BYTES = 16, 9  # both halves of each number, and alpha made of them
_PALETTE = 3
_WITH_ALPHA = {4, 6}


def _read_png(data: bytes) -> Header:
    """Source: https://www.w3.org/TR/png-3/#11Chunks."""
    length, name, width, height, depth, color_type = struct.unpack_from(">I4sIIBB", data, 8)
    pixel_bytes = _PNG_PIXEL_BYTES.get((depth, color_type))
    if (name, length) != (b"IHDR", 13) or pixel_bytes is None:
        raise CorruptImage(f"{name!r} of {length} bytes, depth {depth}, colour type {color_type}")
    first: dict[bytes, int] = {}
    for name, start, _ in png_chunks(data):
        if name not in _PNG_FACTS:
            continue
        if first.setdefault(name, start) != start and name == b"IHDR":
            raise CorruptImage("a second IHDR")
    if b"IDAT" not in first:
        raise CorruptImage("a PNG without IDAT")
    if color_type == _PALETTE and first.get(b"PLTE", len(data)) > first[b"IDAT"]:
        raise CorruptImage("a palette PNG without PLTE")
    if depth == _DEEP and b"tRNS" in first:
        pixel_bytes = _DEEP_KEYED_BYTES
    return Header(
        format="PNG",
        size=(width, height),
        pixel_bytes=pixel_bytes,
        has_alpha=color_type in _WITH_ALPHA or b"tRNS" in first,
        orientation=_png_orientation(data, first.get(b"eXIf")),
    )


def _png_orientation(data: bytes, start: int | None) -> int:
    if start is None:
        return 1
    (length,) = struct.unpack_from(">I", data, start - 8)
    end = min(start + length, start + _EXIF_MAX_BYTES, len(data))
    return exif_orientation(data[start:end]) if is_intact(data, start, end) else 1


_PNG_FACTS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf"}
_EXIF_MAX_BYTES = 65_536  # as in a JPEG; a checksum takes time
_CHUNK = struct.Struct(">I4s")


def is_intact(data: bytes, start: int, end: int) -> bool:
    """Return whether a chunk's checksum is that of its name and content."""
    checksum = zlib.crc32(memoryview(data)[start - 4 : end])
    return checksum == int.from_bytes(data[end : end + 4], "big")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the content of each chunk of a PNG, as offsets, up to IEND.

    Raises: ImageTooComplex.
    """
    position, last = 8, len(data)
    for _ in range(MAX_CHUNKS):
        if position + 8 > last:
            return
        length, name = _CHUNK.unpack_from(data, position)
        start = position + 8
        position = start + length + 4
        yield name, start, min(start + length, last)
        if name == b"IEND":
            return
    raise ImageTooComplex(f"more than {MAX_CHUNKS} chunks")


_GIF_EXTENSION, _GIF_FRAME, _GIF_TABLE = 0x21, 0x2C, 0x80
_GIF_CONTROL, _GIF_TRANSPARENT, _GIF_DISPOSES = 0xF9, 0x01, 0x18


def _read_gif(data: bytes) -> Header:
    """Source: https://www.w3.org/Graphics/GIF/spec-gif89a.txt, sections 18 to 23."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position, control = _first_frame(data, 13 + _table_bytes(flags))
    left, top, across, down = struct.unpack_from("<4H", data, position)
    # A frame may reach beyond the screen, which then grows with it.
    size = (max(width, left + across), max(height, top + down))
    is_part = (across, down) != size
    disposes = bool(control & _GIF_DISPOSES)  # Pillow keeps what the frame leaves behind
    return Header(
        format="GIF",
        size=size,
        pixel_bytes=1 + disposes + 4 * is_part,  # a part is copied onto a transparent screen
        has_alpha=bool(control & _GIF_TRANSPARENT) or is_part,
    )


def _first_frame(data: bytes, position: int) -> tuple[int, int]:
    """Return where the first frame's fields begin, and the flags of its graphic controls."""
    control, in_extension = 0, False
    for _ in range(MAX_BLOCKS):
        length = data[position]
        if in_extension:  # sub-blocks, up to an empty one
            in_extension = length > 0
            position += 1 + length
        elif length == _GIF_FRAME:
            return position + 1, control
        elif length == _GIF_EXTENSION:
            if data[position + 1] == _GIF_CONTROL and data[position + 2]:
                control |= data[position + 3]
            in_extension = True
            position += 2
        else:
            raise CorruptImage("a GIF without a frame")
    raise ImageTooComplex(f"more than {MAX_BLOCKS} blocks in front of a frame")


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _GIF_TABLE else 0


_CANVASES = 14  # two of libwebp's and a copy, four bytes each, and what it keeps of the frame
_WEBP_ALPHA = 0x10


def _read_webp(data: bytes) -> Header:
    """Source: RFC 9649, sections 2.4 to 2.7."""
    kind, flags, has_alpha = data[12:16], data[20], False
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        has_alpha = bool(flags & _WEBP_ALPHA)
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        has_alpha = bool(bits >> 28 & 1)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise CorruptImage(f"WebP chunk {kind!r}")
    return Header(format="WEBP", size=(width, height), decoder_bytes=_CANVASES, has_alpha=has_alpha)


_EXTENT = re.compile(rb"ispe\0\0\0\0(.{8})", re.DOTALL)
_ALPHA = re.compile(rb"urn:mpeg:(?:mpegB:cicp:systems:auxiliary:alpha|hevc:2015:auxid:1)\0")
# The byte of av1C that says depth and sampling, and those of hvcC.
_AV1 = re.compile(rb"av1C\x81.(.)", re.DOTALL)
_HEVC = re.compile(rb"hvcC\x01.{15}(.)(.)", re.DOTALL)
_HEVC_SAMPLES = (1.0, 1.5, 2.0, 3.0)  # for each pixel: 4:0:0, 4:2:0, 4:2:2, 4:4:4
_WORST_SAMPLES = 6.0  # bytes of the planes for each pixel: 4:4:4, in two bytes
_ALPHA_SAMPLES = 2.0


def _read_avif(data: bytes) -> Header:
    """Source: https://aomediacodec.github.io/av1-isobmff/#av1codecconfigurationbox-section."""
    planes = [_av1_plane_bytes(found[0]) for found in _properties(_AV1, data)]
    return _coded(data, "AVIF", planes)


def _read_heic(data: bytes) -> Header:
    """Source: ISO/IEC 14496-15, section 8.3.3 (hvcC)."""
    planes = [
        _HEVC_SAMPLES[sampling[0] & 3] * (2 if depth[0] & 7 else 1)
        for sampling, depth in _properties(_HEVC, data)
    ]
    return _coded(data, "HEIC", planes)


def _av1_plane_bytes(packed: bytes) -> float:
    deep, _, grey, halved_across, halved_down = (packed[0] >> bit & 1 for bit in (6, 5, 4, 3, 2))
    colors = 0 if grey else 2 / (1 + halved_across) / (1 + halved_down)
    return (1 + colors) * (2 if deep else 1)


def _coded(data: bytes, format_: str, plane_bytes: Sequence[float]) -> Header:
    """Return the header of the largest item: tiles and thumbnails are smaller than the picture.

    The decoder keeps its planes twice, while it looks back at them, and the picture made of them.

    Source: ISO/IEC 23008-12, section 6.5.3 (ispe); it is mandatory for every picture item.
    """
    sizes: list[Size] = [struct.unpack(">II", extent) for (extent,) in _properties(_EXTENT, data)]
    if not sizes:
        raise CorruptImage("no item says its size")
    has_alpha = _ALPHA.search(data, *_meta(data)) is not None
    most = max(plane_bytes, default=_WORST_SAMPLES)
    is_grey = format_ == "AVIF" and most == 1 and not has_alpha  # which Pillow keeps in mode L
    pixel_bytes = 1 if is_grey else 4
    return Header(
        format=format_,
        size=max(sizes, key=lambda size: size[0] * size[1]),
        pixel_bytes=pixel_bytes,
        decoder_bytes=2 * (most + _ALPHA_SAMPLES * has_alpha) + pixel_bytes,
        has_alpha=has_alpha,
    )


def _properties(pattern: re.Pattern[bytes], data: bytes) -> list[tuple[bytes, ...]]:
    """Return what a pattern finds in `meta`, as its groups."""
    found = itertools.islice(pattern.finditer(data, *_meta(data)), MAX_PROPERTIES + 1)
    properties = [match.groups() for match in found]
    if len(properties) > MAX_PROPERTIES:
        raise ImageTooComplex(f"more than {MAX_PROPERTIES} properties")
    return properties


def _meta(data: bytes) -> tuple[int, int]:
    """Return where `meta`, the box that describes the items, begins and ends.

    Source: ISO/IEC 14496-12, sections 4.2 and 8.11.1.
    """
    position = 0
    for _ in range(MAX_BOXES):
        size, name = _CHUNK.unpack_from(data, position)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
        if name == b"meta":
            return position, position + min(size or len(data), MAX_META_BYTES)
        if not 8 <= size <= len(data):  # noqa: PLR2004 - the last box, or no box
            break
        position += size
    raise CorruptImage("no meta box")


def nclx(data: bytes) -> tuple[int, int] | None:
    """Return colour primaries and transfer function of an AVIF's or HEIC's primary item.

    They are numbered as in ITU-T H.273; None where the container does not say them.

    Source: ISO/IEC 14496-12, sections 8.11.4 (pitm) and 12.1.5 (colr).
    """
    try:
        meta, end = _meta(data)
        boxes = {name: (start, stop) for name, start, stop in _boxes(data, meta + 12, end)}
        inner = {name: (start, stop) for name, start, stop in _boxes(data, *boxes[b"iprp"])}
        properties = list(_boxes(data, *inner[b"ipco"]))
        item, _ = _item_number(data, boxes[b"pitm"][0] + 4, is_long=data[boxes[b"pitm"][0]] > 0)
        for number in _properties_of(item, data, *inner[b"ipma"]):
            name, start, _ = properties[number - 1]
            if name == b"colr" and data.startswith(b"nclx", start):
                primaries, transfer = struct.unpack_from(">HH", data, start + 4)
                return primaries, transfer
    except (struct.error, LookupError, CorruptImage):
        return None
    return None


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the content of each box between two offsets."""
    for _ in range(MAX_PROPERTIES):
        if start + 8 > end:
            return
        size, name = _CHUNK.unpack_from(data, start)
        yield name, start + 8, min(start + size, end)
        start += max(size, 8)


def _properties_of(item: int, data: bytes, start: int, end: int) -> list[int]:
    """Return the properties of an item, by their places in `ipco`, counted from 1.

    Source: ISO/IEC 23008-12, section 9.3.1 (ipma).
    """
    is_long, width = data[start] > 0, 1 + (data[start + 3] & 1)
    position = start + 8
    while position < end:
        found, position = _item_number(data, position, is_long=is_long)
        first = position + 1
        position = first + width * data[position]
        if found == item:
            numbers = (data[at : at + width] for at in range(first, position, width))
            is_essential = 1 << 8 * width - 1
            return [int.from_bytes(number, "big") & ~is_essential for number in numbers]
    return []


def _item_number(data: bytes, start: int, *, is_long: bool) -> tuple[int, int]:
    """Return an item's number, and where it ends."""
    end = start + (4 if is_long else 2)
    return int.from_bytes(data[start:end], "big"), end


_READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "GIF": _read_gif,
    "WEBP": _read_webp,
    "AVIF": _read_avif,
    "HEIC": _read_heic,
}
