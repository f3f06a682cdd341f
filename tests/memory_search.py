"""A search for pictures that take more memory than image_ops.decode_bytes promises.

    case ── encoded ──> zygote (everything imported, nothing rendered) ── fork ──> render, measure

Cases are drawn at random, and every second one from those that came closest to their promise so
far. Each is rendered in a process of its own that has rendered nothing before.

    python tests/memory_search.py 300 --seed 1      prints a line for each, the closest ones last
"""

# ruff: noqa: T201 - this is a program as well, whose zygote answers in lines
from __future__ import annotations

import argparse
import json
import random
import struct
import subprocess
import sys
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import pictures  # noqa: E402 - found by the path above
from PIL import Image  # noqa: E402

from imaging.geometry import Fit  # noqa: E402
from platforms import CANVAS_SIZES  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imaging.geometry import Size

MAX_PIXELS = 30_000_000
KINDS = ("JPEG", "JPEG", "PNG", "PNG", "PNG", "GIF", "WEBP", "AVIF", "HEIC")
_PNG_TYPES = (
    *((0, bits) for bits in (1, 2, 4, 8, 16)),
    *((2, bits) for bits in (8, 16)),
    *((3, bits) for bits in (1, 2, 4, 8)),
    *((kind, bits) for kind in (4, 6) for bits in (8, 16)),
)
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A picture to be made, and what it is made for.

    visible: the side in px of what is not transparent, 0 for all; variant: of its format.
    """

    kind: str
    size: Size
    variant: int
    visible: int
    orientation: int
    profile: str
    platform: str
    fit: str
    max_side_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What rendering took at its peak and what was promised, in bytes, and how it ended."""

    case: Case
    peak: int
    promise: int
    outcome: str

    @property
    def share(self) -> float:
        """The peak as a share of the promise: above 1, the promise is broken."""
        return self.peak / self.promise


def search(count: int, seed: int) -> Iterator[Measured]:
    """Draw, make and measure so many cases, ever more of them near the closest."""
    draw = random.Random(seed)
    closest: list[Measured] = []
    with Zygote() as zygote:
        for number in range(count):
            case = random_case(draw)
            if number % 2 and closest:
                case = mutated(draw.choice(closest).case, draw)
            measured = zygote.measure(case)
            yield measured
            closest = sorted([*closest, measured], key=lambda m: -m.share)[:12]


def random_case(draw: random.Random) -> Case:
    """Return a case of any kind and shape."""
    kind = draw.choice(KINDS)
    pixels = 10 ** draw.uniform(3, 7.4)
    shape = 10 ** draw.choice((0.0, 0.12, 0.25, draw.uniform(0, 2), draw.uniform(0, 3)))
    long, short = (pixels * shape) ** 0.5, (pixels / shape) ** 0.5
    size = (round(long), round(short)) if draw.random() < 0.5 else (round(short), round(long))
    return Case(
        kind=kind,
        size=_possible(kind, size),
        variant=draw.randrange(64),
        visible=draw.choice((0, 0, 40, 600, 1500)),
        orientation=draw.choice((1, 1, 3, 5, 6, 7, 8)),
        profile=draw.choice(("", "", "p3", "srgb")),
        platform=draw.choice((*sorted(CANVAS_SIZES), "email", "email", "download")),
        fit=draw.choice(("", "", *Fit)),
        max_side_px=draw.choice((1200, 1200, 64, 4096)),
    )


def mutated(case: Case, draw: random.Random) -> Case:
    """Return a case that differs from another one in one or two respects."""
    other = random_case(draw)
    names = draw.sample(
        ["variant", "visible", "orientation", "profile", "platform", "fit", "max_side_px"],
        draw.randint(1, 2),
    )
    changed = replace(case, **{name: getattr(other, name) for name in names})
    factor = draw.choice((1.0, 0.5, 0.9, 1.1, 1.9))
    size = (round(case.size[0] * factor), round(case.size[1] * draw.choice((1.0, factor))))
    return replace(changed, size=_possible(case.kind, size))


def _possible(kind: str, size: Size) -> Size:
    """Return the nearest size that the format has, that is quick to make."""
    longest = {"JPEG": 65_000, "WEBP": 16_000, "HEIC": 1600, "AVIF": 8000, "GIF": 16_000}
    width, height = (max(1, min(side, longest.get(kind, 80_000))) for side in size)
    most = {"WEBP": 8_000_000, "AVIF": 8_000_000, "HEIC": 1_900_000, "GIF": 8_000_000}
    pixels = most.get(kind, MAX_PIXELS)
    return (width, height) if width * height <= pixels else (max(1, pixels // height), height)


def encoded(case: Case) -> bytes:
    """Return the picture of a case as a file."""
    return {"JPEG": _jpeg, "PNG": _png, "HEIC": _heic}.get(case.kind, _other)(case)


def _scene(size: Size) -> Image.Image:
    """Return a picture quickly, however large: a small one, enlarged."""
    small = pictures.scene((256, 192))
    return small.resize(size, Image.Resampling.NEAREST)


def _profile(case: Case) -> bytes | None:
    return pictures.rgb_profile(case.profile) if case.profile else None


def _jpeg(case: Case) -> bytes:
    mode = ("RGB", "RGB", "L", "CMYK")[case.variant % 4]
    profile = _profile(case) if mode == "RGB" else None
    if mode == "CMYK" and case.profile:
        profile = pictures.cmyk_profile()
    return pictures.encoded(
        _scene(case.size).convert(mode),
        "JPEG",
        quality=60,
        progressive=case.variant % 3 == 1,
        subsampling=(0, 1, 2)[case.variant % 5 % 3] if mode == "RGB" else 0,
        icc_profile=profile,
        exif=pictures.exif(orientation=case.orientation),
    )


def _png(case: Case) -> bytes:
    color_type, bits = _PNG_TYPES[case.variant % len(_PNG_TYPES)]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", *case.size, bits, color_type, 0, 0, 0))]
    if case.profile and color_type in {2, 6}:
        chunks.append((b"iCCP", b"p\0\0" + zlib.compress(_profile(case) or b"")))
    if color_type == 3:
        chunks.append((b"PLTE", bytes(range(256)) * 3))
    transparent = {0: b"\0\0", 2: bytes(6), 3: b"\0"}
    if case.visible and color_type in transparent:
        chunks.append((b"tRNS", transparent[color_type]))
    if case.orientation != 1:
        chunks.append((b"eXIf", pictures.exif(orientation=case.orientation)[6:]))
    chunks += [(b"IDAT", _png_pixels(case, bits * _CHANNELS[color_type])), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pictures.png_chunk(*chunk) for chunk in chunks)


def _png_pixels(case: Case, pixel_bits: int) -> bytes:
    """Return rows of zeros but for a square, or stripes all over."""
    width, height = case.size
    length = -(-width * pixel_bits // 8)
    seen = min(-(-case.visible * pixel_bits // 8), length) if case.visible else length
    rows = min(case.visible or height, height)
    stripes = (b"\xff\xf0\xaa\x55" * (seen // 4 + 1))[:seen]
    zipped = zlib.compressobj(1)
    full, empty = b"\0" + stripes + bytes(length - seen), bytes(length + 1)
    written = [zipped.compress(full) for _ in range(rows)]
    written += [zipped.compress(empty) for _ in range(height - rows)]
    return b"".join((*written, zipped.flush()))


def _heic(case: Case) -> bytes:
    return pictures.heic(case.size, quarter_turns=case.orientation % 4)


def _other(case: Case) -> bytes:
    picture = _scene(case.size)
    if case.visible:
        alpha = Image.new("L", case.size)
        alpha.paste(255, (0, 0, case.visible, case.visible))
        picture.putalpha(alpha)
    elif case.variant % 3 == 0:
        picture = picture.convert("L")
    if case.kind == "GIF":
        picture = picture.convert("P", palette=Image.Palette.WEB) if not case.visible else picture
        return _on_larger_screen(pictures.encoded(picture, "GIF"), case)
    options = {"WEBP": {"method": 0, "lossless": case.variant % 2 == 0}, "AVIF": {"speed": 10}}
    return pictures.encoded(
        picture,
        case.kind,
        exif=pictures.exif(orientation=case.orientation),
        icc_profile=_profile(case) or b"",
        quality=60,
        **options[case.kind],
    )


def _on_larger_screen(gif: bytes, case: Case) -> bytes:
    """Return a GIF; of every second variant, the first frame is a part of the screen alone."""
    width, height = case.size
    grown = (min(width + 1, 65_535), min(height + case.variant % 3 * height // 2, 65_535))
    return gif[:6] + struct.pack("<HH", *grown) + gif[10:] if case.variant % 2 else gif


class Zygote:
    """A process that has imported everything, and forks to measure."""

    def __enter__(self) -> Self:
        """Start it."""
        self._folder = TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.communicate()
        self._folder.cleanup()

    def measure(self, case: Case) -> Measured:
        """Return what the picture of a case takes."""
        path = Path(self._folder.name) / "picture"
        path.write_bytes(encoded(case))
        question = {"path": str(path), "case": asdict(case)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return Measured(case=case, **json.loads(self._process.stdout.readline()))


def _serve() -> None:
    """Answer one line for each line, from a child that ends with it."""
    import os  # noqa: PLC0415 - of this mode alone

    import imaging.contained  # noqa: F401, PLC0415 - with all decoders
    import process  # noqa: PLC0415

    process.keep_freed_memory()
    process.end_imports()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _measure(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps({"peak": 1 << 40, "promise": 1, "outcome": f"status {status}"}))
        sys.stdout.flush()


def _measure(question: dict[str, dict[str, str]]) -> None:
    from config import ImageSettings  # noqa: PLC0415 - of this mode alone
    from errors import UnusableImage  # noqa: PLC0415
    from image_ops import HERE, decode_bytes, read_header  # noqa: PLC0415
    from imaging.pipeline import rendered  # noqa: PLC0415
    from imaging.sandbox import LIMITS, confine  # noqa: PLC0415
    from platforms import card_canvas, picture_canvas  # noqa: PLC0415

    case = question["case"]
    settings = ImageSettings()
    data = Path(str(question["path"])).read_bytes()
    fit = Fit(case["fit"]) if case["fit"] else None
    side = int(case["max_side_px"])
    canvases = list(
        dict.fromkeys((picture_canvas(case["platform"], fit, max_side_px=side), card_canvas(fit)))
    )
    Path("/proc/self/clear_refs").write_text("5")
    idle, outcome, promise = _status("VmRSS"), "rendered", 1 << 40
    try:
        header = read_header(data, settings)
        promise = decode_bytes(header, canvases)
        if header.format not in HERE:
            confine(promise, LIMITS.cpu_s)
        rendered(data, header, canvases, settings)
    except UnusableImage as error:
        outcome = f"{error.code}: {error.reason}"
    answer = {"peak": _status("VmHWM") - idle, "promise": promise, "outcome": outcome}
    print(json.dumps(answer), flush=True)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    """Run the search, or be its zygote."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--zygote", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.zygote:
        _serve()
        return
    found = list(search(options.count, options.seed))
    for one in sorted(found, key=lambda m: m.share):
        megabytes = f"{one.peak / 1e6:7.1f} of {one.promise / 1e6:7.1f} MB"
        print(f"{one.share:5.2f} {megabytes} {one.outcome[:50]:<12} {one.case}")
    rendered = [one for one in found if one.outcome == "rendered"]
    print(f"{len(found)} cases, {len(rendered)} rendered, seed {options.seed}")


if __name__ == "__main__":
    main()
