"""The work of the sandbox: a picture of any format, rendered by the same code as every other.

Importing this module imports every decoder that runs in the sandbox, so that its server has them
before it forks. What goes back is JSON and JPEGs: the other side does not trust it.
"""

from __future__ import annotations

import json
import pickle

import pi_heif
from PIL import AvifImagePlugin, GifImagePlugin, Image, WebPImagePlugin

from errors import UnusableImage
from imaging.pipeline import rendered

# A thread reserves address space for its stack, which counts as memory here; several pictures at
# once keep the cores busy as well.
pi_heif.options.DECODE_THREADS = 1
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
Image.MAX_IMAGE_PIXELS = None  # memory decides, here too

__all__ = ["AvifImagePlugin", "GifImagePlugin", "WebPImagePlugin", "answer", "pi_heif"]


def answer(question: bytes, data: bytes) -> bytes:
    """Return a line of JSON, then the JPEGs that it announces.

    question: header, canvases and settings, pickled by image_ops; data: the encoded picture.
    """
    header, canvases, settings = pickle.loads(question)  # noqa: S301 - of this program's own making
    try:
        renditions = rendered(data, header, canvases, settings)
    except UnusableImage as error:
        return json.dumps({"code": error.code, "reason": error.reason}).encode() + b"\n"
    announced = [(*rendition.size, len(rendition.data)) for rendition in renditions]
    head = json.dumps({"likeness": renditions[0].likeness, "renditions": announced}).encode()
    return b"".join((head, b"\n", *(rendition.data for rendition in renditions)))
