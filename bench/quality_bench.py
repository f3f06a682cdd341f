"""Bytes for the same quality: ours beside libvips as it is, and with what mozjpeg adds.

    photo ── large JPEG ──┬── ours at several qualities ─────┐
                          ├── libvips, progressive ──────────┼── bytes over SSIMULACRA2
                          ├── libvips with mozjpeg's tricks ─┘
                          └── decoded whole, shrunk by Lanczos: the reference, 100

What is printed for each of the others is the bytes that it takes for ours: the ratio over the range
of scores that both curves reach (Bjontegaard's rate), the geometric mean of all photos.

The photos are the colour ones that scikit-image ships, 9 of them, and a scene of tests/pictures.py:
mirrored out of their borders to 2000x1500 px, once as they are and once at twice the size, softened
and with grain as a sensor's pixels are, as JPEGs of quality 92 in 4:2:0.
They are shown 600 px wide.
"""

# ruff: noqa: E402 - the settings of libvips come before it
from __future__ import annotations

import os

os.environ["VIPS_CONCURRENCY"] = "1"

import argparse
import io
import itertools
import math
import random
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import pictures
import pyvips  # type: ignore[import-untyped, import-not-found, unused-ignore]
from PIL import Image, ImageFilter
from ssimulacra2 import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    compute_ssimulacra2,
)

from config import ImageSettings
from image_ops import read_header, render
from imaging import jpeg_writer
from imaging.geometry import Canvas, Fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SETTINGS = ImageSettings()
SIZE, SHOWN = (2000, 1500), 600
CANVAS = Canvas(size=(SHOWN, SHOWN), fit=Fit.INSIDE, max_bytes=9_000_000)
SHIPPED = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "rocket.jpg",
)
SCALES = (1, 2)
MOZJPEG = {
    "trellis_quant": True,
    "overshoot_deringing": True,
    "optimize_scans": True,
    "quant_table": 3,
}
Curve = list[tuple[float, int]]  # score and bytes


def main() -> None:
    """Print a line for each of the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, nargs="*", help="photos of your own instead")
    options = parser.parse_args()
    subjects: list[tuple[str, int]] = [(str(path), 0) for path in options.photos or ()] or [
        (name, scale) for name in (*SHIPPED, "scene") for scale in SCALES
    ]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(curves, *zip(*subjects, strict=True)))
    print(f"| {len(found)} photos | bytes for the same score, ours = 1 | lowest | highest |")
    print("|---|---|---|---|")
    for name in found[0]:
        ratios = [rate(each["ours"], each[name]) for each in found]
        mean = statistics.geometric_mean(ratios)
        print(f"| {name} | {mean:.3f} | {min(ratios):.3f} | {max(ratios):.3f} |")


def curves(name: str, scale: int) -> dict[str, Curve]:
    """Return the curve of each encoder for one photo."""
    data = Path(name).read_bytes() if scale == 0 else photo(name, scale)
    ways: dict[str, tuple[Callable[[bytes, int], bytes], Sequence[int]]] = {
        "ours": (ours, (72, 79, 85, 90)),
        "libvips": (vips, (72, 79, 85, 90)),
        "libvips with mozjpeg": (mozjpeg, (72, 79, 85, 90)),
    }
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference.png"
        whole = pyvips.Image.new_from_buffer(data, "").autorot()
        scaled = whole.resize(SHOWN / max(whole.width, whole.height), kernel="lanczos3")
        scaled.write_to_file(str(reference))
        return {
            way: [measured(reference, encode(data, quality)) for quality in qualities]
            for way, (encode, qualities) in ways.items()
        }


def photo(name: str, scale: int) -> bytes:
    """Return a large JPEG of a shipped photo, or of the tests' scene."""
    if name == "scene":
        tile = pictures.scene((600, 450), grain=0)
    else:
        found = next(Path(path) for path in sys.path if (Path(path) / "skimage").is_dir())
        tile = Image.open(found / "skimage" / "data" / name).convert("RGB")
    tile = tile.resize((tile.width * scale, tile.height * scale), Image.Resampling.LANCZOS)
    whole = Image.new("RGB", SIZE)
    for row, column in itertools.product(range(20), range(20)):
        left, top = column * tile.width, row * tile.height
        if left >= SIZE[0] or top >= SIZE[1]:
            continue
        turned = tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if column % 2 else tile
        turned = turned.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if row % 2 else turned
        whole.paste(turned, (left, top))
    whole = whole.filter(ImageFilter.GaussianBlur(0.6))
    grain = Image.frombytes("RGB", SIZE, random.Random(7).randbytes(SIZE[0] * SIZE[1] * 3))
    return pictures.encoded(Image.blend(whole, grain, 0.04), "JPEG", quality=92, subsampling=2)


def ours(data: bytes, quality: int) -> bytes:
    """Return our rendition with another highest quality."""
    jpeg_writer.MAX_QUALITY = quality
    return render(data, read_header(data, SETTINGS), [CANVAS], SETTINGS)[0].data


def vips(data: bytes, quality: int, **options: object) -> bytes:
    """Return what libvips makes of the same bytes: shrink-on-load, progressive, no metadata."""
    picture = pyvips.Image.thumbnail_buffer(data, SHOWN, height=SHOWN, size="down")
    encoded: bytes = picture.jpegsave_buffer(
        Q=quality, interlace=True, optimize_coding=True, keep="none", **options
    )
    return encoded


def mozjpeg(data: bytes, quality: int) -> bytes:
    """Return what sharp's option mozjpeg asks libvips for."""
    return vips(data, quality, **MOZJPEG)


def measured(reference: Path, data: bytes) -> tuple[float, int]:
    """Return SSIMULACRA2 and the bytes of a JPEG."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.open(io.BytesIO(data)).convert("RGB").save(file.name, compress_level=1)
        return float(compute_ssimulacra2(str(reference), file.name)), len(data)


def rate(ours: Curve, other: Curve) -> float:
    """Return how many bytes another curve takes for one of ours, on average of equal scores."""
    low = max(min(score for score, _ in curve) for curve in (ours, other))
    high = min(max(score for score, _ in curve) for curve in (ours, other))
    scores = [low + (high - low) * n / 20 for n in range(21)]
    logs = [math.log(bytes_at(other, score) / bytes_at(ours, score)) for score in scores]
    return math.exp(statistics.mean(logs))


def bytes_at(curve: Curve, score: float) -> float:
    """Return the bytes of a curve at a score, between two of its points, in logarithms."""
    points = sorted(curve)
    for (low, few), (high, many) in itertools.pairwise(points):
        if low <= score <= high:
            part = (score - low) / max(high - low, 1e-9)
            return math.exp(math.log(few) + part * math.log(many / few))
    return float(points[0][1] if score < points[0][0] else points[-1][1])


if __name__ == "__main__":
    main()
