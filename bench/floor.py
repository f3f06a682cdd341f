"""What no pixel stage made with these codecs can do without, and how its time is taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from image_ops import read_header, render
from imaging.decoding import load, open_picture
from imaging.jpeg_writer import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from config import ImageSettings
    from imaging.geometry import Canvas


def codecs_alone(
    photo: bytes, canvases: Sequence[Canvas], settings: ImageSettings
) -> Callable[[], None]:
    """Return what decodes a JPEG, at the size that suffices, and encodes what is made of it.

    What it encodes is rendered and decoded beforehand: nothing is resized or framed meanwhile.
    """
    header = read_header(photo, settings)
    shown = [
        _decoded(rendition.data, settings)
        for rendition in render(photo, header, canvases, settings)
    ]

    def work() -> None:
        load(open_picture(photo, header), shown[0].size)
        for picture, canvas in zip(shown, canvases, strict=True):
            encode(picture, max_bytes=canvas.max_bytes, full_chroma=False)

    return work


def cpu_ms(work: Callable[[], object]) -> float:
    """Return the CPU time of one run, of all threads, in ms."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


def _decoded(data: bytes, settings: ImageSettings) -> Image.Image:
    picture = open_picture(data, read_header(data, settings))
    load(picture, picture.size)
    return picture
