"""Colour spaces that pictures name in numbers, as ICC profiles: a matrix, and one curve for all.

    CICP (AVIF, HEIC, PNG cICP)     primaries and transfer function, as numbered by H.273
    gAMA and cHRM (PNG)             an exponent, and the chromaticities themselves

What is brighter than paper is rolled off by the curve, each channel for itself: the same curve for
every picture of a transfer function, whatever it says of its brightest pixel.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Vector = tuple[float, float, float]
Point = tuple[float, float]  # of the CIE 1931 diagram: x, y

_D65 = (0.3127, 0.3290)
_SRGB = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # white, red, green, blue
_SMPTE_C = (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
# Source: ITU-T H.273, table 2.
_PRIMARIES = {
    1: _SRGB,
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _SMPTE_C,
    7: _SMPTE_C,
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    11: ((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # DCI-P3
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
    22: (_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}

_D50_XYZ = (0.9642, 1.0, 0.8249)
# Rows. Source: ICC.1:2022, annex E (the linear Bradford model).
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_FARTHEST = 3.0  # of what a primary may be in XYZ, where white is 1: real ones stay below 1.1
_EXPONENTS = (0.2, 5.0)

_PAPER_NITS = 203.0  # what white paper has in HDR. Source: BT.2408, section 2.2
_BRIGHTEST_NITS = 1000.0  # what becomes white; brighter pixels do so, too
_HLG_GAMMA = 1.2  # of a display of 1000 nits. Source: BT.2100, table 5, note 5e


@lru_cache(maxsize=32)
def profile_of_cicp(primaries: int, transfer: int, *, of_video: bool) -> bytes | None:
    """Return the profile of two numbers of H.273, None where they say nothing that can be shown.

    of_video: whether they come from a video codec (AVIF, HEIC). There browsers take the curve of
    cameras for sRGB's, and numbers that say nothing, too.
    """
    chromaticities, curve = _PRIMARIES.get(primaries), _CURVES.get(transfer)
    if of_video:
        chromaticities = chromaticities or _SRGB
        curve = _from_srgb if curve in {None, _from_camera} else curve
    return _profile(chromaticities, curve) if chromaticities and curve else None


@lru_cache(maxsize=32)
def profile_of_gamma(exponent: float, chromaticities: tuple[Point, ...] = _SRGB) -> bytes | None:
    """Return the profile of an exponent and the points of white, red, green and blue.

    None where no display could be like that.
    """
    least, most = _EXPONENTS
    if not least <= exponent <= most:
        return None
    return _profile(chromaticities, lambda level: level**exponent)


def _profile(chromaticities: Sequence[Point], curve: Callable[[float], float]) -> bytes | None:
    """Return a profile of version 2 with a curve of 256 points, one for each level of a pixel.

    Source: ICC.1:2001-04, sections 6.1 to 6.5.
    """
    try:
        colorants = _colorants(*chromaticities)
    except (ZeroDivisionError, ValueError):
        return None
    if max(abs(value) for colorant in colorants for value in colorant) > _FARTHEST:
        return None
    levels = [round(65535 * min(max(curve(n / 255), 0.0), 1.0)) for n in range(256)]
    trc = struct.pack(">4s4xI256H", b"curv", 256, *levels)
    named = zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)
    tags = {b"wtpt": _xyz(_D50_XYZ), **{name: _xyz(colorant) for name, colorant in named}}
    table, body, start = b"", b"", 132 + 12 * (len(tags) + 3)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        table += struct.pack(">4sII", name, start + len(body), len(trc))
    body += trc
    head = struct.pack(">I4xI12s", start + len(body), 0x02400000, b"mntrRGB XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + _xyz(_D50_XYZ)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags) + 3) + table + body


def _xyz(values: Vector) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in values))


def _colorants(white: Point, *primaries: Point) -> list[Vector]:
    """Return red, green and blue as XYZ under D50, so that together they are white.

    Raises: ZeroDivisionError for points that span no triangle; ValueError for a white outside.
    """
    columns = [_direction(point) for point in primaries]
    white_xyz = _direction(white)
    amounts = _solved(columns, white_xyz)
    if min(amounts) <= 0:
        raise ValueError("no mixture of the primaries is white")
    rows = tuple(zip(*_BRADFORD, strict=True))
    scales = [new / old for new, old in zip(_cones(_D50_XYZ), _cones(white_xyz), strict=True)]
    adapted = []
    for column, amount in zip(columns, amounts, strict=True):
        red, green, blue = (
            amount * cone * scale for cone, scale in zip(_cones(column), scales, strict=True)
        )
        adapted.append(_solved(rows, (red, green, blue)))
    return adapted


def _direction(point: Point) -> Vector:
    """Return the XYZ of a chromaticity whose Y is 1."""
    x, y = point
    return x / y, 1.0, (1 - x - y) / y


def _cones(xyz: Vector) -> Vector:
    red, green, blue = (sum(a * b for a, b in zip(row, xyz, strict=True)) for row in _BRADFORD)
    return red, green, blue


def _solved(columns: Sequence[Vector], sums: Vector) -> Vector:
    """Return how much of each of three columns gives the sums, by Cramer's rule."""
    whole = _determinant(*columns)
    first, second, third = columns
    return (
        _determinant(sums, second, third) / whole,
        _determinant(first, sums, third) / whole,
        _determinant(first, second, sums) / whole,
    )


def _determinant(a: Vector, b: Vector, c: Vector) -> float:
    return (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        - b[0] * (a[1] * c[2] - a[2] * c[1])
        + c[0] * (a[1] * b[2] - a[2] * b[1])
    )


def _from_srgb(level: float) -> float:
    """Source: IEC 61966-2-1."""
    return level / 12.92 if level <= 0.04045 else math.pow((level + 0.055) / 1.055, 2.4)  # noqa: PLR2004


def _from_camera(level: float) -> float:
    """As a display shows it, which is not what undoes the camera. Source: BT.1886."""
    return math.pow(level, 2.4)


def _from_pq(level: float) -> float:
    return _rolled_off(_pq_nits(level))


def _from_hlg(level: float) -> float:
    """Source: BT.2100, table 5; the system gamma is applied to each channel."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    light = level**2 / 3 if level <= 0.5 else (math.exp((level - c) / a) + b) / 12  # noqa: PLR2004
    return _rolled_off(_BRIGHTEST_NITS * math.pow(light, _HLG_GAMMA))


def _rolled_off(nits: float) -> float:
    """Return the light of a screen, white is 1.0, for the light of an HDR display.

    As far as a knee it stays what it is beside paper; from there, what is brighter than paper finds
    room. Source: BT.2408, annex 5 (a curve in PQ, with black as it is); BT.2390, section 5.4.1.
    """
    most = _pq_level(_BRIGHTEST_NITS)
    level = min(_pq_level(nits) / most, 1.0)
    top = _pq_level(_PAPER_NITS) / most
    knee = 1.5 * top - 0.5
    if level > knee:
        t = (level - knee) / (1 - knee)
        level = (
            (2 * t**3 - 3 * t**2 + 1) * knee
            + (t**3 - 2 * t**2 + t) * (1 - knee)
            + (3 * t**2 - 2 * t**3) * top
        )
    return _pq_nits(level * most) / _PAPER_NITS


# Source: BT.2100, table 4.
_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128


def _pq_nits(level: float) -> float:
    power = math.pow(level, 1 / _M2)
    return 10000 * math.pow(max(power - _C1, 0.0) / (_C2 - _C3 * power), 1 / _M1)


def _pq_level(nits: float) -> float:
    power = math.pow(max(nits, 0.0) / 10000, _M1)
    return math.pow((_C1 + _C2 * power) / (1 + _C3 * power), _M2)


# Source: ITU-T H.273, table 3.
_CURVES: dict[int, Callable[[float], float]] = {
    **dict.fromkeys((1, 6, 14, 15), _from_camera),
    4: lambda level: level**2.2,
    5: lambda level: level**2.8,
    8: lambda level: level,
    13: _from_srgb,
    16: _from_pq,
    18: _from_hlg,
}
