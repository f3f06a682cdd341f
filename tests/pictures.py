"""Real pictures for the tests, made on the spot: the files that phones, shops and attackers send.

Every factory returns encoded bytes; sizes are (width, height) in px as stored in the file.

    scene ──┬── photo_jpeg, mpo, cmyk_jpeg, ...      opaque, like a photograph
            └── cutout ── cutout_png, ...            a pet without its surroundings
"""

from __future__ import annotations

import base64
import io
import random
import re
import struct
import zlib
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw

Size = tuple[int, int]

MARKER = b"PLANTED-MARKER-51N-0W"  # put where metadata lives; must never come out again


@lru_cache(maxsize=32)
def scene(size: Size, grain: int = 6) -> Image.Image:
    """Return an RGB picture with the spectrum of a photograph; do not change it, it is cached.

    grain: standard deviation of the sensor noise, 0-255.
    """
    width, height = size
    seeded = random.Random(size[0] * 7919 + size[1])
    picture = Image.new("RGB", size, (128, 128, 128))
    for octave in range(1, 7):
        cells = (min(width, 2 ** (octave + 1)), min(height, 2 ** (octave + 1)))
        noise = Image.frombytes("RGB", cells, seeded.randbytes(cells[0] * cells[1] * 3))
        picture = Image.blend(
            picture, noise.resize(size, Image.Resampling.BICUBIC), 1 / (octave + 1)
        )
    _draw_shapes(picture, seeded)
    if grain:
        tile = Image.frombytes("RGB", (256, 256), seeded.randbytes(256 * 256 * 3))
        speckle = Image.new("RGB", size)
        for top in range(0, height, 256):
            for left in range(0, width, 256):
                speckle.paste(tile, (left, top))
        picture = Image.blend(picture, speckle, grain / 74)  # uniform bytes deviate by 74
    return picture


def _draw_shapes(picture: Image.Image, seeded: random.Random) -> None:
    """Draw what a noise has not: hard edges, in every direction."""
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = seeded.randrange(width), seeded.randrange(height)
        radius = 1 + seeded.randrange(1 + min(width, height) // 5)
        color = tuple(seeded.randbytes(3))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
        draw.line(
            (x, y, seeded.randrange(width), seeded.randrange(height)), fill=color[::-1], width=3
        )


@lru_cache(maxsize=32)
def cutout(size: Size) -> Image.Image:
    """Return an RGBA picture: a soft-edged shape in the upper left, nothing around it."""
    width, height = size
    alpha = Image.new("L", size, 0)
    box = (
        width * 0.1,
        height * 0.1,
        max(width * 0.6, width * 0.1 + 1),
        max(height * 0.7, height * 0.1 + 1),
    )
    ImageDraw.Draw(alpha).ellipse(box, fill=255)
    picture = scene(size).convert("RGBA")
    picture.putalpha(alpha)
    return picture


def encoded(picture: Image.Image, format_: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    """Return a picture as a file of one of Pillow's formats."""
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def exif(*, orientation: int = 1, gps: bool = False) -> bytes:
    """Return an EXIF block; with gps, a place and the planted marker."""
    block = Image.Exif()
    block[0x0112] = orientation
    if gps:
        block[0x010E] = MARKER.decode()
        block[0x8825] = {1: "N", 2: (51.0, 30.0, 0.0), 3: "W", 4: (0.0, 7.0, 0.0)}
    return block.tobytes()


def photo_jpeg(
    size: Size,
    quality: int = 90,
    orientation: int = 1,
    *,
    gps: bool = False,
    **options: Any,  # noqa: ANN401 - Pillow's own
) -> bytes:
    """Return a baseline JPEG as a phone writes it; options are those of Pillow's encoder."""
    block = exif(orientation=orientation, gps=gps) if orientation != 1 or gps else b""
    return encoded(scene(size), "JPEG", quality=quality, exif=block, **options)


def photo_png(size: Size) -> bytes:
    """Return an opaque 8-bit RGB PNG."""
    return encoded(scene(size), "PNG", compress_level=1)


def cutout_png(size: Size) -> bytes:
    """Return an RGBA PNG of a pet without its surroundings."""
    return encoded(cutout(size), "PNG", compress_level=1)


def palette_png(size: Size, *, transparent: bool = True) -> bytes:
    """Return a palette PNG; with transparent, through a tRNS chunk."""
    picture = (cutout(size) if transparent else scene(size)).quantize(64, Image.Quantize.FASTOCTREE)
    return encoded(picture, "PNG")


def webp(size: Size, *, alpha: bool = False, lossless: bool = False) -> bytes:
    """Return a still WebP."""
    return encoded(cutout(size) if alpha else scene(size), "WEBP", lossless=lossless, method=0)


def gif(size: Size, frames: int = 1) -> bytes:
    """Return a GIF; the first frame is the scene, the others are plain."""
    return _animated(size, frames, "GIF")


def animated_webp(size: Size, frames: int = 3) -> bytes:
    """Return an animated WebP; the first frame is the scene, the others are plain."""
    return _animated(size, frames, "WEBP")


def _animated(size: Size, frames: int, format_: str) -> bytes:
    rest = [Image.new("RGB", size, (250, 20 + 9 * n % 200, 20)) for n in range(1, frames)]
    first = scene(size)
    if format_ == "GIF":  # the encoder's own way to a palette takes seconds
        first = first.quantize(256, Image.Quantize.FASTOCTREE)
    return encoded(first, format_, save_all=True, append_images=rest, duration=50)


def avif(size: Size, *, alpha: bool = False) -> bytes:
    """Return a still AVIF."""
    return encoded(cutout(size) if alpha else scene(size), "AVIF", quality=70, speed=10)


def mpo(size: Size) -> bytes:
    """Return a JPEG with a second picture behind it, as phones write depth and gain maps."""
    second = Image.new("RGB", size, (255, 0, 255))
    return encoded(scene(size), "MPO", save_all=True, append_images=[second])


def cmyk_jpeg(size: Size, *, profile: bytes | None = None) -> bytes:
    """Return a CMYK JPEG with an Adobe marker, its numbers inverted, as image editors write it."""
    return encoded(scene(size).convert("CMYK"), "JPEG", quality=95, icc_profile=profile)


def ycck_jpeg(size: Size) -> bytes:
    """Return a YCCK JPEG: CMYK whose first three components are kept as YCbCr.

    The colours are whatever the numbers of the CMYK file mean in YCCK.
    """
    data = cmyk_jpeg(size)
    at = data.index(b"Adobe\0") + 11  # the transform: 0 CMYK, 2 YCCK
    return data[:at] + b"\2" + data[at + 1 :]


def grey_png(size: Size, *, bits: int = 16) -> bytes:
    """Return a greyscale PNG, black on the left, white on the right, in 8 or 16 bits."""
    width = size[0]
    ramp = [round(x * 65535 / max(width - 1, 1)) for x in range(width)]
    deep = struct.pack(f">{width}H", *ramp)
    row = deep if bits == 16 else deep[::2]
    return raw_png(size, row, bits=bits, color_type=0)


def deep_png(size: Size) -> bytes:
    """Return an RGB PNG of 16 bits: red grows to the right, green is half, blue is none."""
    width = size[0]
    row = b"".join(
        struct.pack(">HHH", round(x * 65535 / max(width - 1, 1)), 0x8000, 0) for x in range(width)
    )
    return raw_png(size, row, bits=16, color_type=2)


def raw_png(size: Size, row: bytes, *, bits: int, color_type: int) -> bytes:
    """Return a PNG of equal rows, for the modes that Pillow does not write."""
    header = struct.pack(">IIBBBBB", *size, bits, color_type, 0, 0, 0)
    pixels = zlib.compress((b"\0" + row) * size[1], 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (png_chunk(b"IHDR", header), png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b""))
    )


def png_chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG with its checksum."""
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def with_png_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """Return a PNG with one more chunk behind its header."""
    return data[:33] + png_chunk(name, content) + data[33:]


def with_png_size(data: bytes, size: Size) -> bytes:
    """Return a PNG whose header lies about its size."""
    header = struct.pack(">II", *size) + data[24:29]
    return data[:8] + png_chunk(b"IHDR", header) + data[33:]


def scan_bomb(size: Size, scans: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated until there are so many."""
    data = photo_jpeg(size, 50, progressive=True)
    last = data.rindex(b"\xff\xda")
    missing = scans - data.count(b"\xff\xda")
    return data[:-2] + data[last:-2] * missing + b"\xff\xd9"


def lossless_jpeg(size: Size) -> bytes:
    """Return the scene as a lossless JPEG in RGB, which Pillow does not write.

    Source: ITU-T T.81, annex H; every difference is predicted from the left, in the first column
    from above.
    """
    picture = scene(size)
    width, planes = size[0], [band.tobytes() for band in picture.split()]
    bits = []
    for at in range(width * size[1]):
        before = at - 1 if at % width else at - width
        for plane in planes:
            difference = plane[at] - (plane[before] if before >= 0 else 128)
            count = abs(difference).bit_length()
            bits.append(f"{count:04b}")  # the code of each category is its number, in four bits
            if count:
                low = difference if difference > 0 else difference + (1 << count) - 1
                bits.append(f"{low:0{count}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    coded = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
    table = b"\0" + bytes(16)[:3] + b"\x09" + bytes(12) + bytes(range(9))
    ids = b"RGB"
    return b"".join(
        (
            b"\xff\xd8",
            jpeg_segment(
                0xC3,
                struct.pack(">BHHB", 8, *size[::-1], 3) + b"".join(b"%c\x11\0" % i for i in ids),
            ),
            jpeg_segment(0xC4, table),
            jpeg_segment(0xDA, b"\3" + b"".join(b"%c\0" % i for i in ids) + b"\1\0\0"),
            coded,
            b"\xff\xd9",
        )
    )


def plain_jpeg(size: Size) -> bytes:
    """Return a grey baseline JPEG in 4:2:0 of any size; its sides are multiples of 16.

    With the tables of ITU-T T.81, annex K, a unit of 16 x 16 px without any difference is coded in
    32 bits: four times 00 (nothing) and 1010 (the end) for luma, twice 00 and 00 for chroma.
    """
    data = with_jpeg_size(encoded(Image.new("RGB", (16, 16), (128, 128, 128)), "JPEG"), size)
    unit = int("001010" * 4 + "0000" * 2, 2).to_bytes(4, "big")
    return data[: data.index(b"\xff\xda") + 14] + unit * (size[0] * size[1] // 256) + b"\xff\xd9"


def jpeg_segment(marker: int, body: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_jpeg_size(data: bytes, size: Size) -> bytes:
    """Return a JPEG whose frame header lies about its size."""
    at = re.search(rb"\xff[\xc0-\xc2]\0\x11\x08", data)
    assert at is not None
    return data[: at.end()] + struct.pack(">HH", size[1], size[0]) + data[at.end() + 4 :]


def with_metadata(data: bytes) -> bytes:
    """Return a JPEG with the planted marker in every place that metadata lives in.

    EXIF with GPS and a thumbnail, XMP, IPTC, an ICC profile's name, two comments, unknown
    segments and what is appended: a gain map, a video.
    """
    thumbnail = photo_jpeg((16, 16)) + MARKER
    segments = (
        (0xE1, exif(gps=True) + thumbnail),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + MARKER),
        (0xE2, b"MPF\0" + MARKER),
        (0xE2, b"ICC_PROFILE\0\1\1" + rgb_profile("p3", name=MARKER)),
        (0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0" + MARKER),
        (0xEB, MARKER),
        (0xFE, MARKER),
    )
    head = b"".join(struct.pack(">BBH", 0xFF, m, len(body) + 2) + body for m, body in segments)
    return data[:2] + head + data[2:] + photo_jpeg((32, 32), gps=True) + MARKER


# Primaries as XYZ under D50, one row for each of red, green, blue; and the exponent of the curve.
PROFILES = {
    "srgb": (((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7142)), None),
    "p3": (((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)), None),
    "adobe": (((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)), 2.2),
    "prophoto": (((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)), 1.8),
    "gamma": (((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7142)), 2.0),
    "eci": (((0.6503, 0.3203, 0.0), (0.1780, 0.6020, 0.0678), (0.1359, 0.0777, 0.7573)), 1.8),
}


def rgb_profile(space: str, *, name: bytes = b"test") -> bytes:
    """Return an ICC profile of one of PROFILES: a matrix and a curve.

    Source: ICC.1:2001-04 (version 2), sections 6.1 to 6.5.
    """
    primaries, gamma = PROFILES[space]
    curve = b"curv\0\0\0\0" + (
        struct.pack(">IH", 1, round(gamma * 256))
        if gamma
        else struct.pack(">I1024H", 1024, *(round(65535 * linear(n / 1023)) for n in range(1024)))
    )
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + bytes(80),
        b"wtpt": _xyz((0.9642, 1.0, 0.8249)),
        **{k: _xyz(v) for k, v in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    return _profile(b"mntrRGB XYZ ", tags)


def cmyk_profile() -> bytes:
    """Return an ICC profile of a press without black ink: K changes nothing, so that it is noticed.

    A table of 2 x 2 x 2 x 2 colours in Lab (lut8Type); cyan, magenta and yellow each take a third
    of the lightness.
    """
    corners = [(c, m, y) for c in (0, 1) for m in (0, 1) for y in (0, 1) for _k in (0, 1)]
    table = b"".join(bytes((255 - 80 * (c + m + y), 128, 128)) for c, m, y in corners)
    identity = struct.pack(">9i", *(65536 if n % 4 == 0 else 0 for n in range(9)))
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + table + ramp * 3
    tags = {b"wtpt": _xyz((0.9642, 1.0, 0.8249)), b"A2B0": lut, b"A2B1": lut}
    return _profile(b"prtrCMYKLab ", tags)


def linear(level: float) -> float:
    """Return the linear light of an sRGB level, both 0.0 to 1.0."""
    return level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))


def _profile(kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    total = start + len(body)
    header = struct.pack(">I4xI", total, 0x02400000) + kind
    header += struct.pack(">6H", 2001, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", *(round(v * 65536) for v in (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + table + body


# One 64x64 px HEVC intra picture and its decoder configuration: heic() repeats it as a grid, the
# structure that iPhones write, because no encoder is at hand that may be shipped or installed.
_TILE_CONFIGURATION = base64.b85decode(
    "0RwOV00000000009`FGC{rLC*01pEo0096PKmiN^|NjGU00093kN^M!000939=ZZRApijYD?$MQ18@KU0|1Z!00R"
    "I30{|YNAb|yz>PacCZUh7j2mk;B00;m80{{p>A^-sZ2SfqEa<C#m"
)
_TILE = base64.b85decode(
    "0009uC;_i7gg^z%SdLrZyMAx4LqR1Kry1v8?pKP)Yl&FFrctTacZ6$+J33paLgu$tuk~vpue@uBhuxq(;aaW+qaq"
    "wj;`Vm}ZgeID$)4wXfw1f541+snn8jj@v~5wF<LCi3&#`wr&_QGGH64L(`$Lc*RAaLbg)R%5pofJDYGlnFFGOnph"
    "l3t1DT}S*lw-k-!*b0Q;85+Ogw$oPa?2*f2o1%lhC@3~))!%5dK|7VpIL3P%4(wzSG?Bk1(9nhK;GUU-"
    "#r}+btcAlWr=br7Z9$tpW&e=-"
    "*_{;xucEnxEWLN00madL)c>FeJ#f1b`6=(kk`8?_5SLBYhvhpL&dz{L*EDN#`lnvN*UMxjjmw45I@}7&E3N6+2iM"
    "8LKzj*N`=p2?d|N!ncR%Q8ZiCt)Og>$wc+2;?fo@#ISw<=Czev)>d@YMS%v*<rrMN#T5=Y;L$=zuF+67fcL@IjbS"
    "qJe2B`vNlzlaiFI<u&Mav_B)@ECxN_7q`k*eW1FGFaC^mkN%`dUPmk9v*%op<|cRL&VjHZVZan11%_NvAZkAXNus"
    "IQCfF&8YlP#wY^q>Vs^r^E{{(2C#*x{7u}9Obb*!6E&YLr}r5eCf+(SJ~t`DgVg)}vvu#K=Zcb0%3gzPJvp=)TDD"
    "GQkAc;MJBC`uEm_ji?<{L4-vGS>X*P7T@5MKNm-)ZS-jp<31efZ-"
    "N0d^{l|AIBt&TfU=R3znX{qwv4~z;<NkVuG`ai{=1n)qGcJ8*1mP^Au@?i{ue7m%|PnJBs^k(Oc073hzunM3FJ)e"
    "&K%N9k^89hkZ#c(r@A=vG2sw`q+0h$9xB(Z8nu|kwjU^1+OXljMI-"
    "`OKBjn;Q`P2CC`XTgds<`Z2{AMAR?i}u5Mr-MxHS<orKjXkD+rGW5#wk?Sit#A-"
    "3@>F4M%w>L!_kJH7?Dr^lt+o>q@GM&pj(@oCyIxSIU9f$GLjqL7=OLXzYx>7Hyl}1fEuEj9nz|5E#gI1;z8UQQso"
    "gx32#3>~Rp{rITMSg)?G-qlJ2K5#X*;#s>{J`voxVbmBc$()<!XR``~"
)
_TILE_SIDE = 64


def heic(size: Size, *, quarter_turns: int = 0, nclx: tuple[int, int] | None = None) -> bytes:
    """Return a HEIC: a grid of one repeated 64x64 px tile, cropped to size; up to 2 megapixels.

    quarter_turns: what the container asks to turn the picture by, anticlockwise (`irot`); nclx:
    colour primaries and transfer function, as numbered by ITU-T H.273.
    """
    columns, rows = (-(-side // _TILE_SIDE) for side in size)
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size)
    tiles = range(2, 2 + columns * rows)
    fixed = (
        _full_box("hdlr", struct.pack(">I4s12xx", 0, b"pict")),
        _full_box("pitm", struct.pack(">H", 1)),
        _full_box(
            "iinf",
            struct.pack(">H", 1 + len(tiles)),
            _item(1, b"grid"),
            *(_item(tile, b"hvc1") for tile in tiles),
        ),
        _full_box("iref", _box("dimg", struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *tiles))),
        _properties(size, quarter_turns, tiles, nclx),
        _box("idat", grid),
    )
    head = _box("ftyp", b"heic\0\0\0\0mif1heic")

    def meta(tile_offset: int) -> bytes:
        """Return the meta box; its length does not depend on the offset."""
        in_idat = struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(grid))
        in_file = [struct.pack(">HHHHII", n, 0, 0, 1, tile_offset, len(_TILE)) for n in tiles]
        count = struct.pack(">BBH", 0x44, 0, 1 + len(tiles))
        locations = _full_box("iloc", count, in_idat, *in_file, version=1)
        return _full_box("meta", *fixed, locations)

    return head + meta(len(head) + len(meta(0)) + 8) + _box("mdat", _TILE)


def heic_with_exif(*, item_type: bytes = b"Exif") -> bytes:
    """Return a HEIC of one tile with an EXIF item of a type.

    A type that is not UTF-8 ends the process of pi_heif 1.4.0 that reads it.
    """
    head, block = _box("ftyp", b"heic\0\0\0\0mif1heic"), b"\0\0\0\0" + exif()[6:]
    extent = _full_box("ispe", struct.pack(">II", _TILE_SIDE, _TILE_SIDE))

    def meta(offset: int) -> bytes:
        places = ((1, offset, len(_TILE)), (2, offset + len(_TILE), len(block)))
        located = [
            struct.pack(">HHHII", item, 0, 1, start, length) for item, start, length in places
        ]
        return _full_box(
            "meta",
            _full_box("hdlr", struct.pack(">I4s12xx", 0, b"pict")),
            _full_box("pitm", struct.pack(">H", 1)),
            _full_box("iinf", struct.pack(">H", 2), _item(1, b"hvc1"), _item(2, item_type)),
            _full_box("iref", _box("cdsc", struct.pack(">HHH", 2, 1, 1))),
            _box(
                "iprp",
                _box("ipco", _box("hvcC", _TILE_CONFIGURATION), extent),
                _full_box("ipma", struct.pack(">IHBBB", 1, 1, 2, 0x81, 0x02)),
            ),
            _full_box("iloc", struct.pack(">BBH", 0x44, 0, 2), *located),
        )

    return head + meta(len(head) + len(meta(0)) + 8) + _box("mdat", _TILE + block)


def lying_avif(claimed: Size, size: Size) -> bytes:
    """Return an AVIF that decodes to a size, and whose container claims another one."""
    data = encoded(Image.new("RGB", size), "AVIF", speed=10)
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", *claimed) + data[at + 8 :]


def _properties(
    size: Size, quarter_turns: int, tiles: range, nclx: tuple[int, int] | None
) -> bytes:
    """Say of each item how it is coded, how large it is and, of the grid, how it is turned."""
    of_tiles = [struct.pack(">HBBB", tile, 2, 0x81, 0x02) for tile in tiles]
    colors = [_box("colr", b"nclx", struct.pack(">HHHB", *nclx, 6, 0x80))] if nclx else []
    return _box(
        "iprp",
        _box(
            "ipco",
            _box("hvcC", _TILE_CONFIGURATION),
            _full_box("ispe", struct.pack(">II", _TILE_SIDE, _TILE_SIDE)),
            _full_box("ispe", struct.pack(">II", *size)),
            _box("irot", bytes([quarter_turns])),
            *colors,
        ),
        _full_box(
            "ipma",
            struct.pack(">I", 1 + len(tiles)),
            struct.pack(">HB", 1, 2 + len(colors)) + bytes((0x03, 0x84, 0x05)[: 2 + len(colors)]),
            *of_tiles,
        ),
    )


def _item(number: int, kind: bytes) -> bytes:
    return _full_box("infe", struct.pack(">HH4sx", number, 0, kind), version=2)


def _full_box(kind: str, *parts: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24), *parts)


def _box(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body
