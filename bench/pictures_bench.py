"""The pixel stage beside libvips, one thread each, in one run: a table with ratios.

    scripts/bench                time and quality
    scripts/bench --memory       peak memory of large pictures
    scripts/bench --sheet FILE   a contact sheet: each canvas of four subjects, and framing.framed
    --photo FILE                 a photo of your own in place of the enlarged cat

CPU time of the whole process, the median of the ratios of neighbouring runs: what else the machine
does then hits both. SSIMULACRA2 compares with the picture shrunk by libvips at full size, without
shrink-on-load; "at equal bytes" is read off libvips' own curve of quality settings.
"""

# ruff: noqa: E402 - settings and search path come before what they are for
from __future__ import annotations

import os

os.environ["VIPS_CONCURRENCY"] = "1"  # before libvips starts

import argparse
import io
import itertools
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import framing
import pictures
import pyvips  # type: ignore[import-untyped, import-not-found, unused-ignore]
from floor import codecs_alone, cpu_ms
from PIL import Image, ImageDraw, ImageFilter
from ssimulacra2 import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    compute_ssimulacra2,
)

import process
from config import ImageSettings
from image_ops import decode_bytes, read_header, render
from imaging import contained  # noqa: F401 - one thread for each decoder, as in the sandbox
from imaging.geometry import Canvas, Fit
from imaging.pipeline import rendered
from platforms import PICTURE_MAX_BYTES, card_canvas, picture_canvas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SETTINGS = ImageSettings()
PLAIN = Canvas(size=(1200, 1200), fit=Fit.INSIDE, max_bytes=9 * PICTURE_MAX_BYTES)
CARD = card_canvas(None)
QUALITIES = (70, 76, 80, 82, 84, 86, 88, 91)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: ours and what it is measured against."""

    name: str
    ours: Callable[[], object]
    other: Callable[[], object]
    target: float | None


def main() -> None:
    """Parse the command line and run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--photo", type=Path, help="a photo of your own, any format")
    parser.add_argument("--rounds", type=int, default=15, help="runs of each, default 15")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet to this PNG")
    parser.add_argument("--memory", action="store_true", help="measure peak memory")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print_peak(options.peak)
    elif options.memory:
        measure_memory()
    elif options.sheet:
        draw_sheet(subject(options.photo), options.sheet)
    else:
        measure_speed(subject(options.photo), options.rounds)


def subject(photo: Path | None) -> Image.Image:
    """Return the picture that everything is made of: a photo, or a cat at 4000 px with grain."""
    if photo is not None:
        return Image.open(photo).convert("RGB")
    # The package is not imported for one file of it.
    found = next(Path(path) for path in sys.path if (Path(path) / "skimage").is_dir())
    cat = Image.open(found / "skimage" / "data" / "chelsea.png").convert("RGB")
    cat = cat.crop((25, 0, 425, 300)).resize((4000, 3000), Image.Resampling.LANCZOS)
    grain = Image.frombytes("RGB", cat.size, random.Random(7).randbytes(cat.width * cat.height * 3))
    return Image.blend(cat, grain, 0.05)


def cutout_of(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a soft-edged part of a photo on a transparent picture, off its middle."""
    picture = photo.resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    alpha = Image.new("L", size)
    box = (size[0] // 10, size[1] // 20, size[0] * 7 // 10, size[1] * 9 // 10)
    ImageDraw.Draw(alpha).ellipse(box, fill=255)
    picture.putalpha(alpha.filter(ImageFilter.GaussianBlur(2)))
    return picture


# --- speed and quality


def measure_speed(photo: Image.Image, rounds: int) -> None:
    """Print CPU times, ratios and scores."""
    process.keep_freed_memory()  # as the function does, and for libvips, too
    pyvips.cache_set_max(0)
    large = pictures.encoded(twelve_megapixels(photo), "JPEG", quality=92, subsampling=2)
    cutout = pictures.encoded(cutout_of(photo, (1200, 900)), "PNG")
    product = pictures.encoded(cutout_of(photo, (1500, 2000)), "PNG")
    heic = pictures.heic((1600, 1200))  # in this process, whose time is measured
    p3 = pictures.encoded(
        twelve_megapixels(photo), "JPEG", quality=92, icc_profile=pictures.rgb_profile("p3")
    )
    rows = [
        Row(
            name="12 MP JPEG to 1200 px, against libvips",
            ours=lambda: ours(large, [PLAIN]),
            other=lambda: vips(large, 84),
            target=1.2,
        ),
        Row(
            name="12 MP JPEG in Display P3, against libvips",
            ours=lambda: ours(p3, [PLAIN]),
            other=lambda: vips(p3, 84, export_profile="srgb"),
            target=1.2,
        ),
        Row(
            name="1200 px RGBA PNG, against libvips",
            ours=lambda: ours(cutout, [PLAIN]),
            other=lambda: vips(cutout, 84),
            target=1.3,
        ),
        Row(
            name="1500x2000 RGBA PNG with card, against its codecs alone",
            ours=lambda: ours(product, [PLAIN, CARD]),
            other=codecs_alone(product, [PLAIN, CARD], SETTINGS),
            target=None,
        ),
        Row(
            name="2 MP HEIC with card, against its codecs alone",
            ours=lambda: rendered(heic, read_header(heic, SETTINGS), [PLAIN, CARD], SETTINGS),
            other=codecs_alone(heic, [PLAIN, CARD], SETTINGS),
            target=1.5,
        ),
        Row(
            name="12 MP JPEG with card, against without",
            ours=lambda: ours(large, [PLAIN, CARD]),
            other=lambda: ours(large, [PLAIN]),
            target=1.5,
        ),
        Row(
            name="12 MP JPEG with card, against its codecs alone",
            ours=lambda: ours(large, [PLAIN, CARD]),
            other=codecs_alone(large, [PLAIN, CARD], SETTINGS),
            target=None,
        ),
    ]
    print("| task | ours, ms CPU | other, ms CPU | ratio | target |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(compared(row, rounds))
    print()
    print_scores(large)


def twelve_megapixels(photo: Image.Image) -> Image.Image:
    """Return a photo at about 12 megapixels."""
    scale = (12_000_000 / (photo.width * photo.height)) ** 0.5
    size = (round(photo.width * scale), round(photo.height * scale))
    return photo if photo.size == size else photo.resize(size, Image.Resampling.LANCZOS)


def ours(data: bytes, canvases: Sequence[Canvas]) -> bytes:
    """Return the first rendition of the pixel stage."""
    return render(data, read_header(data, SETTINGS), canvases, SETTINGS)[0].data


def vips(data: bytes, quality: int, **options: str) -> bytes:
    """Return what libvips makes of the same bytes: shrink-on-load, progressive, no metadata."""
    picture = pyvips.Image.thumbnail_buffer(data, 1200, height=1200, size="down", **options)
    if picture.hasalpha():
        picture = picture.flatten(background=[255, 255, 255])
    encoded: bytes = picture.jpegsave_buffer(
        Q=quality, interlace=True, optimize_coding=True, keep="none"
    )
    return encoded


def compared(row: Row, rounds: int) -> str:
    """Return a line of the table: medians, and the median of the ratios of neighbours."""
    pairs = []
    for number in range(rounds + 2):
        pair = (cpu_ms(row.ours), cpu_ms(row.other))
        if number > 1:  # the first two warm caches
            pairs.append(pair)
    ratio = statistics.median(a / b for a, b in pairs)
    first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
    return f"| {row.name} | {first:.0f} | {second:.0f} | {ratio:.2f} | {row.target or ''} |"


def print_scores(data: bytes) -> None:
    """Print bytes and SSIMULACRA2 of ours, and of libvips at as many bytes."""
    whole = pyvips.Image.new_from_buffer(data, "")
    reference = whole.resize(1200 / max(whole.width, whole.height), kernel="lanczos3")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.png"
        reference.write_to_file(str(path))
        curve = [(len(out), score(path, out)) for out in (vips(data, q) for q in QUALITIES)]
        out = ours(data, [PLAIN])
        found = score(path, out)
    equal = at_bytes(curve, len(out))
    print("| | bytes | SSIMULACRA2 |")
    print("|---|---|---|")
    print(f"| ours | {len(out):,} | {found:.1f} |")
    print(f"| libvips at as many bytes | {len(out):,} | {equal:.1f} |")


def score(reference: Path, data: bytes) -> float:
    """Return the SSIMULACRA2 of a JPEG; 100 is the reference itself."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.open(io.BytesIO(data)).convert("RGB").save(file.name, compress_level=1)
        return float(compute_ssimulacra2(str(reference), file.name))


def at_bytes(curve: Sequence[tuple[int, float]], size: int) -> float:
    """Return the score of a curve at a number of bytes, between two of its points."""
    for (low, low_score), (high, high_score) in itertools.pairwise(curve):
        if low <= size <= high:
            return low_score + (high_score - low_score) * (size - low) / (high - low)
    return min(curve, key=lambda point: abs(point[0] - size))[1]


# --- memory

LARGE = (8944, 5590)  # 50 megapixels
MEDIUM = (4000, 2500)


def large_pictures() -> dict[str, bytes]:
    """Return the pictures whose memory is measured, by name."""
    scene = pictures.scene((2000, 1250))
    large, medium = scene.resize(LARGE), scene.resize(MEDIUM)
    cutout = pictures.cutout((2000, 1250)).resize(LARGE)
    return {
        "50 MP JPEG, baseline": pictures.encoded(large, "JPEG", quality=80),
        "50 MP JPEG, progressive": pictures.encoded(large, "JPEG", quality=80, progressive=True),
        "50 MP JPEG, CMYK": pictures.encoded(large.convert("CMYK"), "JPEG", quality=80),
        "50 MP PNG, RGB": pictures.encoded(large, "PNG", compress_level=1),
        "50 MP PNG, RGBA": pictures.encoded(cutout, "PNG", compress_level=1),
        "10 MP GIF": pictures.gif(MEDIUM),
        "10 MP WebP": pictures.encoded(medium, "WEBP", method=0),
        "10 MP AVIF": pictures.encoded(medium, "AVIF", speed=10),
        "4 MP HEIC": pictures.heic((1984, 1984)),
    }


def measure_memory() -> None:
    """Print peaks, each measured in a process of its own, beside what decode_bytes says."""
    print("| picture | peak above idle, MB | per pixel, bytes | decode_bytes, MB |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, data in large_pictures().items():
            path = Path(folder) / "picture"
            path.write_bytes(data)
            command = [sys.executable, __file__, "--peak", str(path)]
            peak = int(subprocess.run(command, check=True, capture_output=True).stdout)
            header = read_header(data, SETTINGS)
            says = decode_bytes(header, [PLAIN, CARD])
            per_pixel = peak / header.pixels
            print(f"| {name} | {peak / 1e6:.0f} | {per_pixel:.1f} | {says / 1e6:.0f} |")


def print_peak(path: Path) -> None:
    """Print the peak of one picture in bytes, above this process with its decoders loaded."""
    data = path.read_bytes()
    header = read_header(data, SETTINGS)
    tiny = {
        "JPEG": pictures.photo_jpeg,
        "PNG": pictures.cutout_png,
        "GIF": pictures.gif,
        "WEBP": pictures.webp,
        "AVIF": pictures.avif,
        "HEIC": pictures.heic,
    }[header.format]((64, 64))
    ours(tiny, [PLAIN, CARD])
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    idle = status("VmRSS")
    ours(data, [PLAIN, CARD])
    print(status("VmHWM") - idle)


def status(field: str) -> int:
    """Return a number of bytes that Linux says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


# --- looks

SHEET = (
    ("email", None),
    ("facebook", None),
    ("facebook", Fit.COVER),
    ("pinterest", None),
    ("instagram", None),
    ("tiktok", None),
)
CELL = (380, 400)


def draw_sheet(photo: Image.Image, path: Path) -> None:
    """Write a picture of everything that can be made of four subjects, and of framing.framed."""
    made = [*renditions_of(photo), *(picture for _, picture in framing.framed())]
    rows = -(-len(made) // len(SHEET))
    sheet = Image.new("RGB", (CELL[0] * len(SHEET), CELL[1] * rows), (120, 120, 120))
    for number, picture in enumerate(made):
        row, column = divmod(number, len(SHEET))
        picture.thumbnail((CELL[0] - 10, CELL[1] - 10), Image.Resampling.LANCZOS)
        sheet.paste(picture, (column * CELL[0] + 5, row * CELL[1] + 5))
    sheet.save(path)


def renditions_of(photo: Image.Image) -> Iterator[Image.Image]:
    """Yield each canvas of SHEET for a photo, a portrait, a small photo and a cut-out."""
    settings = ImageSettings(watermark_text="Perkie Prints")
    photo = photo.resize((1600, round(1600 * photo.height / photo.width)), Image.Resampling.LANCZOS)
    width, height = photo.size
    for data in (
        pictures.encoded(photo, "JPEG", quality=92),
        pictures.encoded(photo.crop((width // 4, 0, width * 5 // 8, height)), "JPEG", quality=92),
        pictures.encoded(photo.resize((360, 270)), "JPEG", quality=92),
        pictures.encoded(cutout_of(photo, (2000, 1500)), "PNG", compress_level=1),
    ):
        canvases = [picture_canvas(name, fit, max_side_px=1200) for name, fit in SHEET]
        for rendition in render(data, read_header(data, settings), canvases, settings):
            yield Image.open(io.BytesIO(rendition.data))


if __name__ == "__main__":
    main()
