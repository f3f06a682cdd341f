"""How well copies of a picture are recognised, and whether different pictures are taken for copies.

    scripts/bench --likeness               a table: each way to copy, how many copies are refused
    scripts/bench --likeness --pictures N  so many different pictures, compared each with each

Everything is drawn by code, the same at each run: pets in their surroundings, scenes with the
spectrum of photographs, pages of text, soft colours. Two pets count as different if one stands
elsewhere, another way or is of another size: what differs in its coat alone is nearly a copy, as
photos of a burst are.
"""

# ruff: noqa: E402 - the search path comes before what it is for; pictures, not secrets
from __future__ import annotations

import argparse
import io
import random
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import pets
import pictures
from PIL import Image, ImageDraw, ImageFont, ImageOps

from config import ImageSettings
from image_ops import read_header
from imaging import contained  # noqa: F401 - the decoders, in this process
from imaging.decoding import load, open_picture, orientation
from imaging.geometry import Fit
from imaging.lettering import watermarked
from imaging.likeness import MAX_DISTANCE, distance, is_plain, likeness, likenesses
from imaging.pipeline import rendered
from platforms import picture_canvas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Copy = Callable[[Image.Image], bytes]

SETTINGS = ImageSettings()
SAMPLE = 300  # of the pictures, copied in every way
MOST_PX = (9999, 9999)  # is decoded at full size
POSES = ("sit", "close", "lie", "stand")
COATS = (pets.BLACK, pets.GREY, pets.WHITE, pets.BROWN, pets.GINGER, pets.CREAM)


def main() -> None:
    """Print how copies fare, then how different pictures do, then what it costs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pictures", type=int, default=10_000, help="default 10,000")
    count = parser.parse_args().pictures
    known, sample, plain = [], [], 0
    for number, picture in enumerate(different(count)):
        found = likeness(picture, picture.size, 1, None)
        plain += is_plain(found)
        if not is_plain(found):
            known.append(found)
        if number % max(1, count // SAMPLE) == 0 and not is_plain(found):
            looks = {found} | likenesses(published("facebook")(picture))
            sample.append((picture.copy(), {look for look in looks if not is_plain(look)}))
    print_copies(sample)
    print_pairs(known, plain)
    print_cost()


def print_copies(sample: list[tuple[Image.Image, set[str]]]) -> None:
    """Print for each way to copy how many are refused, and how far the copies are.

    sample: pictures, each with what is blocked of it after it was shared for facebook.
    """
    print(f"| a copy of {len(sample)} pictures | refused | distance: half | 95 % | all |")
    print("|---|---|---|---|---|")
    for name, copy in COPIES.items():
        far = sorted(
            min(distance(blocked, copied) for blocked in found)
            for picture, found in sample
            for copied in [likeness_of(copy(picture))]
        )
        refused = sum(bits <= MAX_DISTANCE for bits in far) / len(far)
        half, most = far[len(far) // 2], far[len(far) * 95 // 100]
        print(f"| {name} | {refused:.1%} | {half} | {most} | {far[-1]} |", flush=True)


def print_pairs(known: list[str], plain: int) -> None:
    """Print how near the different pictures are to each other, each compared with each."""
    numbers = [int(text, 16) % 2**255 for text in known]
    nearest = [
        min((one ^ other).bit_count() for other in numbers[:index])
        for index, one in enumerate(numbers)
        if index
    ]
    # Mirrored, a sample: each picture with a thousand others.
    mirrored = [
        min(distance(one, other) for other in known[max(0, index - 1000) : index])
        for index, one in enumerate(known)
        if index
    ]
    pairs = len(known) * (len(known) - 1) // 2
    hits = sum(bits <= MAX_DISTANCE for bits in nearest)
    print(f"\n{len(known)} different pictures ({plain} too plain), {pairs} pairs:")
    print(f"taken for copies: {hits}; the nearest are {sorted(nearest)[:5]} bits apart")
    print(f"mirrored: {sum(b <= MAX_DISTANCE for b in mirrored)}; {sorted(mirrored)[:5]}")


def print_cost() -> None:
    """Print what a likeness costs, and what a list of blocked pictures does."""
    data = pictures.photo_jpeg((4000, 3000))
    header = read_header(data, SETTINGS)
    for name, least in (("3 megapixels", (1200, 900)), ("12 megapixels", MOST_PX)):
        decoded = open_picture(data, header)
        load(decoded, least)
        print(f"{name}: {_cpu_ms(lambda: likeness(decoded, header.size, 6, None)):.2f} ms CPU")  # noqa: B023
    one = likeness(decoded, header.size, 1, None)
    cost_ms = _cpu_ms(lambda: [distance(one, one) for _ in range(1000)])
    print(f"a thousand comparisons: {cost_ms:.2f} ms CPU")


def _cpu_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(15):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return statistics.median(times) * 1000


def likeness_of(data: bytes) -> str:
    """Return the likeness of an encoded picture, as the pipeline takes it."""
    header = read_header(data, SETTINGS)
    picture = open_picture(data, header)
    load(picture, MOST_PX)
    profile = picture.info.get("icc_profile")
    return likeness(picture, header.size, orientation(picture, header), profile)


# --- copies


def published(platform: str, fit: Fit | None = None) -> Copy:
    """Return how a picture is copied that was published on a network's canvas."""
    canvas = picture_canvas(platform, fit, max_side_px=1200)

    def copy(picture: Image.Image) -> bytes:
        data = encoded(picture, "JPEG", quality=90)
        return rendered(data, read_header(data, SETTINGS), [canvas], SETTINGS)[0].data

    return copy


def encoded(picture: Image.Image, format_: str, **options: object) -> bytes:
    """Return a picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def as_(format_: str, **options: object) -> Copy:
    """Return how a picture is encoded anew."""
    return lambda picture: encoded(picture, format_, **options)


def changed(change: Callable[[Image.Image], Image.Image]) -> Copy:
    """Return how a picture is changed, and encoded as phones do."""
    return lambda picture: encoded(change(picture), "JPEG", quality=85)


def scaled(across: float, down: float | None = None) -> Callable[[Image.Image], Image.Image]:
    """Return how a picture is resized."""

    def change(picture: Image.Image) -> Image.Image:
        size = round(picture.width * across), round(picture.height * (down or across))
        return picture.resize(size, Image.Resampling.BICUBIC)

    return change


def cropped(
    left: float, top: float, right: float, bottom: float
) -> Callable[[Image.Image], Image.Image]:
    """Return how shares of the sides are cut off."""

    def change(picture: Image.Image) -> Image.Image:
        width, height = picture.size
        box = (width * left, height * top, width * (1 - right), height * (1 - bottom))
        return picture.crop(tuple(map(round, box)))  # type: ignore[arg-type]  # four of them

    return change


def lettered(picture: Image.Image) -> Image.Image:
    """Write across the picture, half transparent, a quarter of its height."""
    layer = Image.new("RGBA", picture.size)
    font = ImageFont.load_default(picture.width / 7)
    at = (picture.width * 0.1, picture.height * 0.42)
    ImageDraw.Draw(layer).text(at, "SAMPLE 2026", fill=(255, 255, 255, 110), font=font)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def with_banner(picture: Image.Image) -> Image.Image:
    """Cover a corner, a third of the width and a fourteenth of the height."""
    marked = picture.copy()
    width, height = picture.size
    box = (width * 0.62, height * 0.9, width * 0.98, height * 0.97)
    ImageDraw.Draw(marked).rectangle(box, fill=(255, 255, 255))
    return marked


COPIES: dict[str, Copy] = {
    "JPEG, quality 90": as_("JPEG", quality=90),
    "JPEG, quality 50": as_("JPEG", quality=50),
    "JPEG, quality 25": as_("JPEG", quality=25),
    "JPEG, quality 10": as_("JPEG", quality=10),
    "WebP, quality 80": as_("WEBP", quality=80, method=2),
    "WebP, quality 30": as_("WEBP", quality=30, method=2),
    "AVIF, quality 50": as_("AVIF", quality=50, speed=9),
    "GIF, 256 colours": as_("GIF"),
    "resized to 75 %": changed(scaled(0.75)),
    "resized to 50 %": changed(scaled(0.5)),
    "resized to 25 %": changed(scaled(0.25)),
    "resized to 200 %": changed(scaled(2)),
    "squeezed to 80 % of its width": changed(scaled(0.8, 1)),
    "black and white": changed(lambda picture: picture.convert("L")),
    "a third brighter": changed(lambda picture: picture.point(lambda v: min(255, v * 4 // 3))),
    "watermarked by this program": changed(
        lambda picture: watermarked(picture, "shop.example", None, (0, 0, *picture.size))
    ),
    "watermarked across its middle": changed(lettered),
    "a banner in its corner": changed(with_banner),
    "cropped by 2 %, on all sides together": changed(cropped(*(0.01,) * 4)),
    "cropped by 5 %, on all sides together": changed(cropped(*(0.025,) * 4)),
    "cropped by 5 %, on one side": changed(cropped(0, 0, 0.05, 0)),
    "mirrored": changed(ImageOps.mirror),
    "upside down": changed(ImageOps.flip),
    "turned by 2 degrees": changed(lambda p: p.rotate(2, Image.Resampling.BICUBIC)),
    "turned by 90 degrees": changed(lambda picture: picture.transpose(Image.Transpose.ROTATE_90)),
    "with a border of 5 %": changed(lambda p: ImageOps.expand(p, p.width // 20, "white")),
    "as published for email": published("email"),
    "as published for facebook, padded": published("facebook"),
    "as published for instagram, padded": published("instagram"),
    "as published for facebook, cropped": published("facebook", Fit.COVER),
}


# --- different pictures


def different(count: int) -> Iterator[Image.Image]:
    """Yield so many different pictures, the same at each run."""
    seeded, places = random.Random(5), set[object]()
    kinds = (_pet, _pet, _pet, _pet, _pet, _scene, _scene, _scene, _page, _soft)
    yield from map(pets.drawn, pets.PETS[:count])
    for number in range(max(0, count - len(pets.PETS))):
        yield kinds[number % len(kinds)](seeded, places)


def _any_pet(seeded: random.Random, places: set[object]) -> pets.Pet:
    """Return a pet that is where none was before: in one of 12 x 10 places, of one of 4 sizes."""
    while True:
        width, height = seeded.choice([(600, 800), (450, 800), (480, 640), (800, 600), (750, 500)])
        across, down = seeded.randrange(6, 18), seeded.randrange(4, 14)
        share = seeded.choice([0.1, 0.13, 0.17, 0.22])
        pet = pets.Pet(
            size=(width, height),
            eyes=(across * width // 24, down * height // 18),
            radius=round(width * share),
            coat=seeded.choice(COATS),
            pose=seeded.choice(POSES),
            ground=seeded.choice(list(pets.GROUNDS)),
            ears=seeded.choice(["pointed", "hanging"]),
            toy=seeded.random() < 0.3,
        )
        place = (across, down, share, pet.pose, pet.ground)
        if place not in places:
            places.add(place)
            return pet


def _pet(seeded: random.Random, places: set[object]) -> Image.Image:
    return pets.drawn.__wrapped__(_any_pet(seeded, places))


def _scene(seeded: random.Random, places: set[object]) -> Image.Image:
    """Return a scene: its size decides what is in it."""
    while (size := (seeded.randrange(300, 500), seeded.randrange(300, 500))) in places:
        pass
    places.add(size)
    return pictures.scene.__wrapped__(size)


def _page(seeded: random.Random, _places: set[object]) -> Image.Image:
    """Return lines of text, some of them in coloured boxes, on a light or a dark ground."""
    ground, ink = seeded.choice(
        [("white", "black"), ("#f5f5f0", "#222222"), ("#141418", "#dddddd")]
    )
    picture = Image.new("RGB", seeded.choice([(300, 600), (400, 300), (360, 640)]), ground)
    draw, top = ImageDraw.Draw(picture), 10
    while top < picture.height - 20:
        if seeded.random() < 0.2:
            box = (
                seeded.randrange(5, 150),
                top,
                picture.width - 10,
                top + seeded.randrange(20, 80),
            )
            draw.rounded_rectangle(box, 8, fill=tuple(seeded.randbytes(3)))
        size = seeded.choice([10, 12, 16])
        line = "".join(seeded.choices("abcdefghij klmnop", k=seeded.randrange(5, 50)))
        draw.text((seeded.choice([10, 10, 100]), top), line, ink, ImageFont.load_default(size))
        top += seeded.randrange(size + 4, size + 30)
    return picture


def _soft(seeded: random.Random, _places: set[object]) -> Image.Image:
    """Return colours that run into each other, and a few discs."""
    size = seeded.choice([(400, 300), (300, 400), (300, 300)])
    cells = (seeded.randrange(3, 6), seeded.randrange(3, 6))
    picture = Image.frombytes("RGB", cells, seeded.randbytes(cells[0] * cells[1] * 3))
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    for _ in range(seeded.randrange(5)):
        x, y, r = (seeded.randrange(20, 300) for _ in range(3))
        disc = (x - r // 3, y - r // 3, x + r // 3, y + r // 3)
        ImageDraw.Draw(picture).ellipse(disc, fill=tuple(seeded.randbytes(3)))
    return picture


if __name__ == "__main__":
    main()
