"""By what copies of a picture are recognised, and what a list of blocked pictures decides."""

from __future__ import annotations

import functools
import io
import json
import math
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pictures
import pytest
from function_server import ROOT
from hypothesis import given
from hypothesis import strategies as st
from keys import uuid7
from PIL import Image, ImageOps
from posting import post

from config import load_settings
from errors import PictureRefused, StorageUnavailable
from image_ops import read_header, render
from imaging.geometry import Fit
from imaging.likeness import LIKENESS, MAX_DISTANCE, distance, is_plain, likeness, likenesses
from moderation.blocklist import MAX_AGE_S, Blocked, Blocklist, block, blocked
from platforms import card_canvas, picture_canvas
from share_objects import object_ends_at
from stores.local import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask.testing import FlaskClient

SIZE = (480, 360)
SETTINGS = load_settings({}).image
CANVASES = (
    picture_canvas("email", None, max_side_px=1200),
    picture_canvas("facebook", Fit.COVER, max_side_px=1200),
    picture_canvas("instagram", Fit.PAD, max_side_px=1200),
    card_canvas(None),
)
bits = st.integers(0, 2**256 - 1).map("{:064x}".format)


@functools.cache
def seen_as(data: bytes) -> set[str]:
    """Return the likenesses that the renditions of an upload carry, for many canvases."""
    header = read_header(data, SETTINGS)
    each = [render(data, header, [canvas], SETTINGS)[0] for canvas in CANVASES]
    together = render(data, header, CANVASES, SETTINGS)
    return {rendition.likeness for rendition in (*each, *together)}


FORMATS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: pictures.photo_jpeg(SIZE),
    "JPEG of 12 megapixels": lambda: pictures.photo_jpeg((4000, 3000)),
    "turned JPEG": lambda: pictures.photo_jpeg(SIZE, orientation=6),
    "PNG": lambda: pictures.photo_png(SIZE),
    "cut-out": lambda: pictures.cutout_png(SIZE),
    "palette": lambda: pictures.palette_png(SIZE),
    "WebP": lambda: pictures.webp(SIZE),
    "grey": lambda: pictures.encoded(pictures.scene(SIZE).convert("L"), "JPEG"),
    "CMYK": lambda: pictures.encoded(pictures.scene(SIZE).convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_an_upload_looks_the_same_whatever_it_is_rendered_for(make: Callable[[], bytes]) -> None:
    """To a few bits: a JPEG is decoded at the size that the canvases need."""
    found = seen_as(make())
    for one in found:
        assert LIKENESS.fullmatch(one)
        assert all(distance(one, other) <= 6 for other in found)


def test_a_turned_photo_looks_as_it_is_shown() -> None:
    shown = Image.open(io.BytesIO(pictures.photo_jpeg(SIZE, orientation=6)))
    (stored,) = seen_as(pictures.photo_jpeg(SIZE, orientation=6))
    assert distance(stored, likeness_of(ImageOps.exif_transpose(shown))) <= MAX_DISTANCE


def likeness_of(picture: Image.Image, quality: int = 90) -> str:
    data = pictures.encoded(picture.convert("RGB"), "JPEG", quality=quality)
    (one,) = {r.likeness for r in render(data, read_header(data, SETTINGS), CANVASES[:1], SETTINGS)}
    return one


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture,
        lambda picture: picture.resize((160, 120)),
        lambda picture: picture.resize((300, 300)),
        lambda picture: picture.resize((1600, 1200)),
        lambda picture: picture.convert("L"),
        ImageOps.mirror,
        ImageOps.flip,
    ],
    ids=["same", "smaller", "squeezed", "larger", "grey", "mirrored", "flipped"],
)
@pytest.mark.parametrize("quality", [95, 30])
def test_a_copy_is_recognised(change: Callable[[Image.Image], Image.Image], quality: int) -> None:
    scene = pictures.scene((640, 480))
    assert distance(likeness_of(scene), likeness_of(change(scene), quality)) <= MAX_DISTANCE


def test_a_published_picture_is_recognised_when_its_edge_is_cut_off() -> None:
    scene = pictures.scene((640, 480))
    known = likenesses(pictures.encoded(scene, "JPEG"))
    for box in ((0, 0, 608, 480), (32, 0, 640, 480), (0, 24, 640, 480), (16, 12, 624, 468)):
        copy = likeness_of(scene.crop(box))
        assert min(distance(copy, one) for one in known) <= MAX_DISTANCE


def test_other_pictures_are_not_taken_for_copies() -> None:
    found = [likeness_of(pictures.scene((400 + number, 300))) for number in range(40)]
    nearest = min(distance(a, b) for i, a in enumerate(found) for b in found[:i])
    assert nearest > MAX_DISTANCE * 2


@pytest.mark.parametrize("color", ["white", "black", "teal"])
def test_a_plain_picture_is_told(color: str) -> None:
    plain = Image.new("RGB", SIZE, color)
    assert is_plain(likeness(plain, plain.size, 1, None))
    assert all(map(is_plain, likenesses(pictures.encoded(plain, "JPEG"))))
    assert not is_plain(likeness_of(pictures.scene(SIZE)))


@given(bits, bits)
def test_distance_is_symmetric_and_zero_for_the_same(one: str, other: str) -> None:
    assert distance(one, one) == 0
    assert distance(one, other) == distance(other, one) <= 255


# --- the list

HERE = "a" * 64
FAR = "5" * 64


def entry(likeness_: str) -> Blocked:
    return Blocked(likeness=likeness_, share_id=UUID(uuid7()))


class Clock:
    """Seconds that a test moves on."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_list_is_at_most_a_minute_old(tmp_path: Path) -> None:
    storage, clock = LocalStorage(tmp_path), Clock()
    blocklist = Blocklist(storage, clock=clock)
    blocklist.check(HERE)
    block(storage, entry(HERE))
    clock.now_s += MAX_AGE_S - 1
    blocklist.check(HERE)
    assert blocklist.refresh() is None
    clock.now_s += 1
    blocklist.check(FAR)
    with pytest.raises(PictureRefused, match="0 bits from the blocked"):
        blocklist.check(HERE)
    blocklist.check(FAR)
    storage.remove(blocked(storage)[0].name)
    clock.now_s += MAX_AGE_S
    blocklist.check(HERE)


def test_an_entry_can_be_made_twice_and_other_files_are_none(tmp_path: Path) -> None:
    storage, one = LocalStorage(tmp_path), entry(HERE)
    block(storage, one)
    block(storage, one)
    for name in ("blocked/x", f"blocked/{HERE}", f"blocked/{HERE}/x", "blocked/.hidden"):
        path = tmp_path / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    assert blocked(storage) == [one]


class Counting:
    """A storage whose list can fail, or take its time."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.until = threading.Event()
        self.until.set()

    def names(self, _folder: str) -> list[str]:
        self.asked += 1
        self.until.wait()
        if self.fails:
            raise StorageUnavailable("no list")
        return [entry(HERE).name]


def test_without_a_list_nothing_passes_and_the_next_one_asks_again() -> None:
    storage: Any = Counting()
    clock = Clock()
    blocklist = Blocklist(storage, clock=clock)
    blocklist.check(FAR)
    clock.now_s += MAX_AGE_S
    storage.fails = True
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            blocklist.check(FAR)
    assert storage.asked == 3
    storage.fails = False
    blocklist.check(FAR)


def test_shares_at_once_read_the_list_once() -> None:
    storage: Any = Counting()
    storage.until.clear()
    blocklist = Blocklist(storage)
    blocklist.refresh()
    threads = [threading.Thread(target=blocklist.check, args=(FAR,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    storage.until.set()
    for thread in threads:
        thread.join()
    assert storage.asked == 1


def test_what_was_asked_before_a_picture_was_blocked_does_not_count_from_when_it_came() -> None:
    """The age of a list is that of the question: the answer may have been long on its way."""
    storage: Any = Counting()
    clock = Clock()
    blocklist = Blocklist(storage, clock=clock)
    storage.until.clear()
    reading = blocklist.refresh()
    clock.now_s += MAX_AGE_S
    storage.until.set()
    assert reading is not None
    reading.result()
    assert blocklist.refresh() is not None


def test_neither_sweep_nor_lifecycle_rule_ends_an_entry() -> None:
    name = entry(HERE).name
    assert object_ends_at(name, timedelta(hours=1)) == math.inf
    (rule,) = json.loads((ROOT / "scripts/lifecycle.json").read_text())["rule"]
    assert rule["condition"]["matchesPrefix"] == ["shares/"]
    assert not name.startswith("shares/")


def test_a_likeness_leaves_the_function_only_for_storage(client: FlaskClient, photo: bytes) -> None:
    answer = post(client, photo, platform="x")
    share = answer.get_json()
    found = likeness_of(Image.open(io.BytesIO(photo)))
    for path in (f"/s/{share['share_id']}", f"/s/{share['share_id']}.jpg?raw"):
        seen = client.get(path)
        assert found.encode() not in seen.data + str(seen.headers).encode()
    assert found not in answer.get_data(as_text=True)
