"""How much memory a picture takes, and whether decode_bytes says so beforehand."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from memory_search import Case, Zygote, search

from image_ops import HERE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

PHOTO = Case(
    kind="JPEG",
    size=(4000, 3000),
    variant=0,
    visible=0,
    orientation=6,
    profile="p3",
    platform="email",
    fit="",
    max_side_px=1200,
)


# What broke the promise before it was searched for.
KNOWN = {
    "wide, covered": replace(PHOTO, size=(25_000, 2000), platform="instagram_story", fit="cover"),
    "wide and turned": replace(PHOTO, size=(62_000, 800), platform="x", fit="cover"),
    "many coefficients": replace(PHOTO, size=(5000, 4000), variant=25, platform="facebook"),
    "a small visible part": replace(PHOTO, kind="PNG", size=(5000, 5000), variant=13, visible=600),
    "of one bit": replace(PHOTO, kind="PNG", size=(7000, 7000), variant=0, visible=600),
    "of a palette": replace(PHOTO, kind="PNG", size=(7000, 7000), variant=10, visible=600),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_picture_that_once_took_more_keeps_the_promise(name: str) -> None:
    with Zygote() as zygote:
        measured = zygote.measure(KNOWN[name])
    assert measured.outcome == "rendered"
    assert measured.peak <= measured.promise, measured


def test_no_picture_takes_more_than_it_promises() -> None:
    """A search that goes where the promise is closest; the program in memory_search goes on."""
    found = list(search(60, seed=7))
    assert [one for one in found if one.outcome != "rendered"] == []
    assert [one for one in found if one.peak > one.promise] == []
    assert {one.case.kind for one in found} > HERE


@pytest.mark.parametrize("platform", ["email", "facebook", "instagram", "pinterest", "tiktok"])
def test_a_phone_s_photo_does_not_promise_far_more_than_it_takes(platform: str) -> None:
    """What is promised and not taken is refused to others."""
    with Zygote() as zygote:
        measured = [
            zygote.measure(replace(PHOTO, platform=platform, size=size, orientation=turn))
            for size, turn in (((4000, 3000), 6), ((4000, 3000), 1), ((8000, 6000), 1))
        ]
    assert [one for one in measured if one.promise > 2.5 * one.peak] == []


def test_50_megapixels_of_baseline_jpeg_take_less_than_120_megabytes() -> None:
    with Zygote() as zygote:
        assert zygote.measure(replace(PHOTO, size=(8944, 5590))).peak < 120_000_000
