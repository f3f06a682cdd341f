"""Colours of any profile to sRGB, which is what every browser and every network assumes.

no profile, or one that says sRGB       the numbers stay
Display P3, Adobe RGB, BT.2020, PQ...   through the profile, embedded or made by color_spaces
CMYK                                    through its profile, or through press.icc

press.icc is "Chemical proof" by Graeme W. Gill, who released it into the public domain, as libvips
assumes it, too: its 0.96 MB resampled at 9 levels of each ink, with black points matched to sRGB's.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

from PIL import Image

_PRESS = Path(__file__).with_name("press.icc")
MAX_PROFILE_BYTES = 4_000_000
_SPACE_OF_MODE = {"L": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK"}
_INPUT_CLASSES = {b"scnr", b"mntr", b"prtr", b"spac"}
_CUBE = (0, 36, 73, 109, 146, 182, 219, 255)
_UNSEEN = 2  # of 255; a profile that moves no colour further is sRGB by another name


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture with sRGB numbers, in mode YCbCr, RGB or RGBA; alpha stays.

    picture: mode L, YCbCr, RGB, RGBA or CMYK; profile: as embedded, possibly damaged: what cannot
    be used is left out. A profile of another colour space than the picture is never applied.

    Source: ICC.1:2022, section 7.2 (profile header: class at 12, colour space at 16).
    """
    if profile is None or len(profile) > MAX_PROFILE_BYTES or profile[12:16] not in _INPUT_CLASSES:
        return _plain(picture)
    if picture.mode == "YCbCr":
        if profile[16:20] != b"RGB " or _is_srgb(profile):
            return picture
        picture = picture.convert("RGB")
    if profile[16:20] == b"RGB " and picture.mode == "L":
        picture = picture.convert("RGB")  # grey has a curve in them, too
    if profile[16:20] != _SPACE_OF_MODE[picture.mode] or _is_srgb(profile):
        return _plain(picture)
    return _through(picture, profile) or _plain(picture)


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode == "CMYK":
        return _through(picture, _press_profile()) or picture.convert("RGB")
    return picture.convert("RGB") if picture.mode == "L" else picture


@lru_cache(maxsize=1)
def _press_profile() -> bytes:
    return _PRESS.read_bytes()


def _through(picture: Image.Image, profile: bytes) -> Image.Image | None:
    """Apply a profile; None when it cannot be applied."""
    from PIL import ImageCms  # noqa: PLC0415 - few pictures need it: a cold start does not pay

    try:
        changed = ImageCms.profileToProfile(
            picture,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGBA" if picture.mode == "RGBA" else "RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return changed


@lru_cache(maxsize=8)
def _is_srgb(profile: bytes) -> bool:
    """Whether a profile leaves the colours of a coarse cube where they are.

    Cached: phones embed the same few profiles. Names and checksums are not asked, they vary.
    """
    if profile[16:20] != b"RGB ":
        return False
    side = len(_CUBE)
    colors = bytes(v for r in _CUBE for g in _CUBE for b in _CUBE for v in (r, g, b))
    changed = _through(Image.frombytes("RGB", (side * side, side), colors), profile)
    if changed is None:
        return True  # it cannot be applied to the picture either
    return all(abs(a - b) <= _UNSEEN for a, b in zip(colors, changed.tobytes(), strict=True))
