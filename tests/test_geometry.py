"""Where a picture goes, as what holds for every size, canvas and cut-out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.geometry import (
    MAX_ENLARGEMENT,
    Canvas,
    Cutout,
    Fit,
    Frame,
    Interest,
    frame,
    rescaled,
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


def assert_is_in_place(place: Frame, *, slack_px: int = 0) -> None:
    """Hold a frame to what all of them keep to.

    slack_px: by how much what is seen may be off the middle, for shadows that end between pixels.
    """
    left, top, right, bottom = place.crop
    assert 0 <= left < right <= place.scaled[0]
    assert 0 <= top < bottom <= place.scaled[1]
    for side in (0, 1):
        before = place.position[side]
        behind = place.canvas[side] - place.shown[side] - before
        assert before >= 0 <= behind
        assert -slack_px <= behind - before <= 1 + slack_px, "it is centred"
        scale = place.scaled[side] / place.picture[side]
        other = place.scaled[1 - side] / place.picture[1 - side]
        rounding = 1 / place.picture[side] + 1 / place.picture[1 - side]
        assert abs(scale - other) <= rounding, "it keeps its proportions"
        if not place.fills_canvas:
            assert place.scaled[side] <= max(1, MAX_ENLARGEMENT * place.picture[side])


@many
@given(size=SIZES, canvas=CANVASES)
def test_a_photo_is_centred_and_keeps_its_proportions(size: Size, canvas: Canvas) -> None:
    place = frame(size, canvas)
    assert_is_in_place(place)
    touches = any(place.scaled[n] == canvas.size[n] for n in (0, 1))
    if canvas.fit is Fit.COVER:
        assert place.canvas == canvas.size
        assert place.fills_canvas, "however small the picture is"
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
    place = frame(size, canvas, cutout=Cutout(visible=visible, faint=visible))
    assert_is_in_place(place, slack_px=2)
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
        assert place.fills_canvas


def test_a_cutout_is_enlarged_to_twice_its_size_and_no_further() -> None:
    place = frame((100, 100), of_size((1200, 630), Fit.PAD), cutout=cutout_at((45, 45, 55, 55)))
    assert (place.scaled, place.shown, place.position) == ((200, 200), (20, 20), (590, 305))


def test_a_window_shows_what_is_worth_seeing_and_ends_with_the_picture() -> None:
    top, bottom = (1.0, *[0.0] * 29), (*[0.0] * 29, 1.0)
    wide, tall = of_size((1000, 500), Fit.COVER), of_size((500, 1000), Fit.COVER)

    def crop(
        size: Size, canvas: Canvas, columns: tuple[float, ...], rows: tuple[float, ...]
    ) -> Box:
        return frame(size, canvas, interest=Interest(columns=columns, rows=rows)).crop

    assert crop((1000, 3000), wide, (1.0,) * 10, bottom)[3] == 3000
    assert crop((1000, 3000), wide, (1.0,) * 10, top)[1] == 0
    assert crop((3000, 1000), tall, bottom, (1.0,) * 10)[2] == 3000


def cutout_at(visible: Box) -> Cutout:
    return Cutout(visible=visible, faint=visible)
