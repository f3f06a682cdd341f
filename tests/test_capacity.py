"""What memory never allows is known before a picture comes."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pictures
import pytest

from config import ImageSettings
from config.values import FORMATS
from image_ops import decode_bytes, read_header
from imaging.memory_cost import megapixel_limits
from platforms import card_canvas, picture_canvas

if TYPE_CHECKING:
    from conftest import MakeClient

SETTINGS = ImageSettings()
CANVASES = (picture_canvas("", None, max_side_px=SETTINGS.max_side_px), card_canvas(None))
MAKERS = {
    "JPEG": lambda size: pictures.photo_jpeg(size, progressive=True),
    "PNG": pictures.cutout_png,
    "WEBP": pictures.webp,
    "GIF": pictures.gif,
    "AVIF": pictures.avif,
    "HEIC": pictures.heic,
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_at_the_limit_fits_and_a_larger_one_does_not(name: str) -> None:
    header = read_header(MAKERS[name]((64, 64)), SETTINGS)
    budget_bytes = decode_bytes(dataclasses.replace(header, size=(3000, 3000)), CANVASES)
    only = dataclasses.replace(SETTINGS, input_formats=(name,))
    assert megapixel_limits(only, CANVASES, budget_bytes) == {name: 9}
    assert megapixel_limits(only, CANVASES, budget_bytes - 1) == {name: 8}


def test_where_memory_allows_all_that_settings_do_there_is_nothing_to_say() -> None:
    assert megapixel_limits(SETTINGS, CANVASES, 10**10) == {}
    assert megapixel_limits(SETTINGS, CANVASES, 1) == dict.fromkeys(FORMATS, 0)


def test_a_start_warns_of_pictures_that_settings_allow_and_memory_does_not(
    make_client: MakeClient, capfd: pytest.CaptureFixture[str]
) -> None:
    make_client(MEMORY_BUDGET_MB="1074")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (warning,) = (line for line in lines if line["severity"] == "WARNING")
    assert "WEBP" in warning["megapixels"]
    assert "MEMORY_BUDGET_MB" in warning["settings"]
    make_client(MEMORY_BUDGET_MB="9000")
    assert "WARNING" not in capfd.readouterr().err
