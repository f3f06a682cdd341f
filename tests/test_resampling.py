"""Resampling beside Pillow's own, which computes the same and slowly."""

import threading
import time

import pictures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from imaging.resampling import resampled

MODES = ("L", "RGB", "CMYK", "YCbCr")
LANCZOS = Image.Resampling.LANCZOS
FILTERS = (Image.Resampling.BILINEAR, LANCZOS)
SIDES = st.integers(1, 90)


def noise(mode: str, size: tuple[int, int], seed: int = 1) -> Image.Image:
    """Bytes that repeat nowhere: Lanczos overshoots everywhere."""
    step = 7919 + 2 * seed
    bands = len(Image.new(mode, (1, 1)).getbands())
    data = bytes((n * n * step >> 7) & 255 for n in range(size[0] * size[1] * bands))
    return Image.frombytes(mode, size, data)


def apart(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of a level in any band."""
    pairs = zip(one.split(), other.split(), strict=True)
    ranges = [ImageChops.difference(*pair).getextrema() for pair in pairs]
    return max(int(high) for _, high in ranges)  # type: ignore[arg-type, misc, unused-ignore]


@settings(max_examples=150)
@given(
    mode=st.sampled_from(MODES),
    size=st.tuples(SIDES, SIDES),
    wanted=SIDES,
    ends=st.tuples(st.floats(0, 0.5), st.floats(0.6, 1)),
    across=st.booleans(),
    resample=st.sampled_from(FILTERS),
    seed=st.integers(0, 50),
)
def test_it_computes_what_pillow_computes(
    mode: str,
    size: tuple[int, int],
    wanted: int,
    ends: tuple[float, float],
    across: bool,
    resample: Image.Resampling,
    seed: int,
) -> None:
    """One direction at a time: where noise overshoots, it matters which of the two comes first."""
    picture = noise(mode, size, seed)
    (width, height), (low, high) = size, ends
    target = (wanted, height) if across else (width, wanted)
    wide, tall = ((low * width, high * width), (0.0, float(height)))
    if not across:
        wide, tall = ((0.0, float(width)), (low * height, high * height))
    box = (wide[0], tall[0], wide[1], tall[1])
    found = resampled(picture, target, box, resample)
    assert (found.mode, found.size) == (mode, target)
    assert apart(found, picture.resize(target, resample, box=box)) <= 2


@pytest.mark.parametrize("mode", MODES)
def test_a_box_is_the_mean_of_its_pixels(mode: str) -> None:
    picture = noise(mode, (60, 45))
    assert (
        apart(resampled(picture, (20, 15), resample=Image.Resampling.BOX), picture.reduce(3)) <= 1
    )


@pytest.mark.parametrize("wanted", [(333, 222), (900, 701)])
def test_both_directions_of_a_photo_are_what_pillow_makes_of_it(wanted: tuple[int, int]) -> None:
    photo = pictures.scene((640, 480), 8)
    differences = ImageChops.difference(resampled(photo, wanted), photo.resize(wanted, LANCZOS))
    assert max(ImageStat.Stat(differences).mean) < 0.5


@pytest.mark.parametrize("mode", [*MODES, "RGBA"])
@pytest.mark.parametrize("wanted", [(1, 1), (40, 30), (120, 7), (300, 400)])
def test_one_colour_stays_that_colour_in_every_pixel(mode: str, wanted: tuple[int, int]) -> None:
    color = (200, 90, 17, 201)[: len(Image.new(mode, (1, 1)).getbands())]
    found = resampled(Image.new(mode, (120, 90), color), wanted)
    assert apart(found, Image.new(mode, wanted, color)) <= (2 if mode == "RGBA" else 0)


def test_what_is_transparent_colours_nothing_beside_it() -> None:
    picture = Image.new("RGBA", (100, 100), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 50, 100))
    found = resampled(picture, (37, 37))
    reds = {
        found.getpixel((x, y))[0]  # type: ignore[index]
        for x in range(37)
        for y in range(37)
        if found.getpixel((x, y))[3] > 8  # type: ignore[index, operator, unused-ignore]
    }
    assert reds == {0}


def test_a_picture_in_many_blocks_of_memory_is_read_row_by_row() -> None:
    """Pillow allocates 16 MiB at a time: rows of one picture lie in places far apart."""
    tile = noise("RGB", (50, 60))
    picture = Image.new("RGB", (3000, 3600))
    for top in range(0, 3600, 60):
        picture.paste(tile, (0, top))
    found = resampled(picture, (50, 1800), (0, 0, 50, 3600))
    assert apart(found, picture.crop((0, 0, 50, 3600)).resize((50, 1800), LANCZOS)) <= 2


def test_other_threads_go_on_meanwhile() -> None:
    picture = Image.new("L", (9000, 9000))
    work = threading.Thread(target=resampled, args=(picture, (6000, 6000)))
    work.start()
    turns = 0
    while work.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 5


def test_the_source_stays_as_it_was() -> None:
    picture = noise("RGBA", (80, 60))
    before = picture.tobytes()
    resampled(picture, (33, 44))
    assert picture.tobytes() == before
    assert ImageStat.Stat(picture).sum[3] > 0
