"""Decoded pixels to few, upright pixels in one of five modes, with little memory on the way.

    CMYK                          -> CMYK       colours are managed when the picture is small
    YCbCr (from a JPEG)           -> YCbCr      shrunk plane by plane, encoded as it is
    1, L, I;16                    -> L          without clipping 16 bits to white
    P, RGB, RGBX, ...             -> RGB
    LA, P and others with alpha   -> RGBA       premultiplied while it is resized: no fringes

What has to be converted before it can be resized is converted in strips, never as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framing import Box, Frame
    from platforms import Size

VISIBLE_ALPHA = 8  # of 255; below it nobody sees a pixel
STRIP_PIXELS = 1_000_000
MARGIN = 1.5  # how many times the wanted size a picture keeps before Lanczos does the rest

_WIDE = {"I;16", "I;16L", "I;16B"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_FIRST_QUARTER_TURN = 5


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """Return a picture upright; orientation: as in EXIF, 1 to 8."""
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def upright(size: Size, orientation: int) -> Size:
    """Return a stored size as it is seen, or a size that is seen as it is stored."""
    return (size[1], size[0]) if orientation >= _FIRST_QUARTER_TURN else size


def has_alpha(picture: Image.Image) -> bool:
    """Return whether a picture may be transparent somewhere."""
    return picture.has_transparency_data and picture.mode not in _WIDE


def visible_box(picture: Image.Image) -> tuple[Box | None, float]:
    """Return the box of what can be seen, None for nothing, and the share that cannot, 0.0 to 1.0.

    picture: of any mode, with alpha.
    """
    box: Box | None = None
    unseen = 0
    for top, strip in _strips(picture, 1):
        alpha = _converted(strip, "RGBA").getchannel("A")
        unseen += sum(alpha.histogram()[: VISIBLE_ALPHA + 1])
        found = alpha.point(_SEEN).getbbox()
        if found:
            left, upper, right, lower = found
            box = _union(box, (left, top + upper, right, top + lower))
    return box, unseen / (picture.width * picture.height)


_SEEN = [0] * (VISIBLE_ALPHA + 1) + [255] * (255 - VISIBLE_ALPHA)


def _union(box: Box | None, other: Box) -> Box:
    if box is None:
        return other
    return (
        min(box[0], other[0]),
        min(box[1], other[1]),
        max(box[2], other[2]),
        max(box[3], other[3]),
    )


def shrunk(picture: Image.Image, size: Size) -> Image.Image:
    """Return a picture of a size in one of the modes L, YCbCr, RGB, RGBA, CMYK; alpha is straight.

    size: (width, height) in px; what is smaller already keeps its size.
    """
    size = (min(size[0], picture.width), min(size[1], picture.height))
    factor = int(min(picture.width / size[0], picture.height / size[1]) / MARGIN) or 1
    mode = _wanted_mode(picture)
    if mode == "RGBA" and picture.size != size:
        mode = "RGBa"  # premultiplied once, here, and not as a whole by resize
    if factor > 1 or mode != picture.mode:
        picture = _reduced(picture, factor, mode)
    if picture.size != size:
        picture = _resized(picture, size, (0, 0, *picture.size))
    return picture.convert("RGBA") if picture.mode == "RGBa" else picture


def cut(picture: Image.Image, place: Frame) -> Image.Image:
    """Return the part of a picture that a frame shows, in the size in which it shows it.

    picture: opaque, the whole; it is returned itself where a frame shows all of it as it is.
    """
    if picture.size == place.scaled:
        return picture if place.shown == picture.size else picture.crop(place.crop)
    across, down = (has / shows for has, shows in zip(picture.size, place.scaled, strict=True))
    left, top, right, bottom = place.crop
    return _resized(
        picture, place.shown, (left * across, top * down, right * across, bottom * down)
    )


def _resized(
    picture: Image.Image, size: Size, box: tuple[float, float, float, float]
) -> Image.Image:
    """Shrink what comes from a JPEG plane by plane: chroma is encoded at half its size anyway.

    There bicubic: at equal bytes it scores as well as Lanczos, in two thirds of the time.
    """
    if picture.mode != "YCbCr" or size[0] > picture.width or size[1] > picture.height:
        return picture.resize(size, Image.Resampling.LANCZOS, box=box)
    half = (-(-size[0] // 2), -(-size[1] // 2))
    luma, *chroma = picture.split()
    planes = [luma.resize(size, Image.Resampling.BICUBIC, box=box)]
    for plane in chroma:
        small = plane.resize(half, Image.Resampling.BICUBIC, box=box, reducing_gap=1.0)
        planes.append(small.resize(size, Image.Resampling.NEAREST))
    return Image.merge("YCbCr", planes)


def _reduced(picture: Image.Image, factor: int, mode: str) -> Image.Image:
    """Convert and divide the size by a whole number, rounded up, strip by strip."""
    size = (-(-picture.width // factor), -(-picture.height // factor))
    reduced = Image.new(mode, size)
    for top, strip in _strips(picture, factor):
        converted = _converted(strip, mode)
        part = converted if factor == 1 else converted.reduce(factor)
        reduced.paste(part, (0, top // factor))
    return reduced


def _strips(picture: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield the top and the pixels of each strip, as high as a multiple of factor."""
    height = max(1, STRIP_PIXELS // picture.width // factor) * factor
    if height >= picture.height:
        yield 0, picture
        return
    for top in range(0, picture.height, height):
        bottom = min(top + height, picture.height)
        yield top, picture.crop((0, top, picture.width, bottom))


def _wanted_mode(picture: Image.Image) -> str:
    if has_alpha(picture):
        return "RGBA"
    if picture.mode in {"1", "I", *_WIDE}:
        return "L"
    return picture.mode if picture.mode in {"CMYK", "YCbCr", "L"} else "RGB"


def _converted(strip: Image.Image, mode: str) -> Image.Image:
    if strip.mode in _WIDE:
        return _high_bytes(strip)
    if mode == "RGBa" and strip.mode != mode:  # from palettes and others only by way of RGBA
        return _converted(strip, "RGBA").convert(mode)
    return strip if strip.mode == mode else strip.convert(mode)


def _high_bytes(strip: Image.Image) -> Image.Image:
    """Return 16-bit greyscale in 8 bits: the upper half of each number."""
    return Image.frombytes("L", strip.size, strip.tobytes("raw", "I;16B")[::2])
