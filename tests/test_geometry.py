"""Where a picture goes, as what holds for every size, canvas and cut-out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from imaging.geometry import (
    MAX_ENLARGEMENT,
    Canvas,
    Fit,
    Frame,
    area,
    frame,
    largest_scaled,
    rescaled,
    stored_region,
    together,
    union,
    upright,
    upright_region,
    whole_pixels,
    within,
)

if TYPE_CHECKING:
    from imaging.geometry import Box, Region, Size

SIDES = st.integers(1, 5000)
SIZES = st.tuples(SIDES, SIDES)
CANVASES = st.builds(
    Canvas,
    size=st.sampled_from([(1200, 630), (1000, 1500), (1080, 1920), (1200, 1200), (64, 64)]),
    fit=st.sampled_from(Fit),
    max_bytes=st.just(300_000),
)
ORIENTATIONS = range(1, 9)
many = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@st.composite
def cutouts(draw: st.DrawFn) -> tuple[Size, Region]:
    """Draw a size, and a box in it."""
    width, height = draw(SIZES)
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    return (width, height), (left, top, right, bottom)


def of_size(size: Size, fit: Fit) -> Canvas:
    return Canvas(size=size, fit=fit, max_bytes=1)


def assert_is_in_place(place: Frame) -> None:
    """Hold a frame to what all of them keep to."""
    left, top, right, bottom = place.crop
    assert 0 <= left < right <= place.scaled[0]
    assert 0 <= top < bottom <= place.scaled[1]
    for side in (0, 1):
        before = place.position[side]
        behind = place.canvas[side] - place.shown[side] - before
        assert 0 <= before <= behind <= before + 1, "it is centred"
        scale = place.scaled[side] / place.picture[side]
        other = place.scaled[1 - side] / place.picture[1 - side]
        rounding = 1 / place.picture[side] + 1 / place.picture[1 - side]
        assert abs(scale - other) <= rounding, "it keeps its proportions"
        assert place.scaled[side] <= max(1, MAX_ENLARGEMENT * place.picture[side])


@many
@given(size=SIZES, canvas=CANVASES)
def test_a_photo_is_centred_and_keeps_its_proportions(size: Size, canvas: Canvas) -> None:
    place = frame(size, canvas)
    assert_is_in_place(place)
    is_small = any(MAX_ENLARGEMENT * size[n] < canvas.size[n] for n in (0, 1))
    touches = any(place.scaled[n] == canvas.size[n] for n in (0, 1))
    if canvas.fit is Fit.COVER:
        assert place.canvas == canvas.size
        assert place.fills_canvas or is_small
        assert touches or place.scaled == tuple(round(MAX_ENLARGEMENT * side) for side in size)
    else:
        assert place.crop == (0, 0, *place.scaled), "all of it is shown"
        largest = 1.0 if canvas.fit is Fit.INSIDE else MAX_ENLARGEMENT
        assert touches or place.scaled == tuple(round(largest * side) for side in size)
    if canvas.fit is Fit.INSIDE:
        assert place.fills_canvas
        assert place.position == (0, 0)
        assert all(place.scaled[n] <= min(size[n], canvas.size[n]) for n in (0, 1))


@many
@given(cutout=cutouts(), canvas=CANVASES)
def test_a_cutout_is_shown_with_a_margin_and_nothing_of_it_is_lost(
    cutout: tuple[Size, Region], canvas: Canvas
) -> None:
    size, visible = cutout
    place = frame(size, canvas, visible=visible)
    assert_is_in_place(place)
    seen = rescaled(visible, size, place.scaled)
    if canvas.fit is Fit.PAD:
        margin = round(0.04 * min(canvas.size))
        assert all(place.shown[n] <= canvas.size[n] - 2 * margin + 2 for n in (0, 1))
        for n in (0, 1):
            assert place.crop[n] <= seen[n] + 1.01
            assert place.crop[n + 2] >= seen[n + 2] - 1.01
            is_bare = place.shown[n] <= seen[n + 2] - seen[n] + 3
            assert is_bare, "what is transparent around it is left out"
        touches = any(abs(place.shown[n] - (canvas.size[n] - 2 * margin)) <= 3 for n in (0, 1))
        assert touches or place.scaled == tuple(round(MAX_ENLARGEMENT * side) for side in size)
    elif canvas.fit is Fit.COVER:
        for n in (0, 1):
            middle = (seen[n] + seen[n + 2]) / 2
            assert place.crop[n] - 1 <= middle <= place.crop[n + 2] + 1, "its middle is in view"
            is_free = place.crop[n] > 0 and place.crop[n + 2] < place.scaled[n]
            if is_free:
                assert abs((place.crop[n] + place.crop[n + 2]) / 2 - middle) <= 1


def test_a_cutout_is_enlarged_to_twice_its_size_and_no_further() -> None:
    place = frame((100, 100), of_size((1200, 630), Fit.PAD), visible=(45, 45, 55, 55))
    assert (place.scaled, place.shown, place.position) == ((200, 200), (20, 20), (590, 305))


def test_a_window_below_the_picture_ends_with_it() -> None:
    place = frame((1000, 3000), of_size((1000, 500), Fit.COVER), visible=(0, 2900, 1000, 3000))
    assert place.crop == (0, 2500, 1000, 3000)
    above = frame((1000, 3000), of_size((1000, 500), Fit.COVER), visible=(0, 0, 1000, 100))
    assert above.crop == (0, 0, 1000, 500)
    beside = frame((3000, 1000), of_size((500, 1000), Fit.COVER), visible=(2900, 0, 3000, 1000))
    assert beside.crop == (2500, 0, 3000, 1000)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_region_is_turned_as_pillow_turns_the_picture(orientation: int) -> None:
    size, box = (40, 24), (3, 5, 17, 11)
    stored = Image.new("L", size)
    stored.paste(255, box)
    exif = stored.getexif()
    exif[0x0112] = orientation
    turned = ImageOps.exif_transpose(stored)
    assert turned is not None
    assert upright(size, orientation) == turned.size
    assert upright_region(box, size, orientation) == turned.getbbox()


@many
@given(cutout=cutouts(), orientation=st.sampled_from(ORIENTATIONS))
def test_a_region_finds_back(cutout: tuple[Size, Region], orientation: int) -> None:
    size, region = cutout
    seen = upright_region(region, size, orientation)
    assert stored_region(seen, upright(size, orientation), orientation) == region


@many
@given(cutout=cutouts(), other=SIZES)
def test_a_region_is_rescaled_as_the_picture_is(cutout: tuple[Size, Region], other: Size) -> None:
    size, region = cutout
    found = rescaled(region, size, other)
    assert found == pytest.approx([region[n] * other[n % 2] / size[n % 2] for n in range(4)])
    assert rescaled((0, 0, *size), size, other) == pytest.approx((0, 0, *other))


@many
@given(size=SIZES, canvases=st.lists(CANVASES, min_size=1, max_size=3))
def test_what_frames_show_together_holds_what_each_shows(
    size: Size, canvases: list[Canvas]
) -> None:
    frames = [frame(size, canvas) for canvas in canvases]
    region, shared = together(frames)
    assert region == (
        *(min(place.region[n] for place in frames) for n in (0, 1)),
        *(max(place.region[n] for place in frames) for n in (2, 3)),
    )
    largest = max(frames, key=lambda place: area(place.scaled))
    assert largest_scaled(frames) == largest.scaled
    for n in (0, 1):
        part = (region[n + 2] - region[n]) * largest.scaled[n] / size[n]
        assert shared[n] == max(1, round(part)) or math.isclose(part % 1, 0.5, abs_tol=1e-6)


@many
@given(one=cutouts(), other=cutouts())
def test_a_union_holds_both_and_touches_them(
    one: tuple[Size, Region], other: tuple[Size, Region]
) -> None:
    found = union(one[1], other[1])
    assert found == union(other[1], one[1])
    for n, edge in enumerate(found):
        choose = min if n < 2 else max
        assert edge == choose(one[1][n], other[1][n])


@pytest.mark.parametrize(
    ("region", "box"),
    [
        ((1, 2, 4, 6), (1, 2, 4, 6)),
        ((1.009, 2, 4, 5.991), (1, 2, 4, 6)),
        ((1.011, 2, 4, 6), None),
        ((1, 1.989, 4, 6), None),
        ((1, 2, 4.5, 6), None),
        ((1, 2, 4, 7), None),
    ],
)
def test_a_box_is_a_region_on_whole_pixels(region: Region, box: Box | None) -> None:
    assert whole_pixels(region, (3, 4)) == box


def test_a_region_is_cut_at_the_edges_of_the_picture() -> None:
    assert within((-1, -0.001, 10.001, 8), (10, 7)) == (0, 0, 10, 7)
    assert within((1, 2, 3, 4), (10, 7)) == (1, 2, 3, 4)


def test_an_area_counts_pixels() -> None:
    assert area((3, 4)) == 12
