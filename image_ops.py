"""From upload to published JPEGs: the face of imaging/.

data ── read_header ──┬── JPEG, PNG ── pipeline.rendered, in this process ──┬── renditions
                      └── all others ── the same, in the sandbox's ─────────┘
"""

from __future__ import annotations

import json
import os
import pickle
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from errors import CorruptImage, ImageTooComplex
from imaging.headers import Header, read_header
from imaging.likeness import LIKENESS
from imaging.memory_cost import decode_bytes
from imaging.pipeline import Rendition, rendered
from imaging.provenance import segment
from imaging.sandbox import Sandbox
from logs import note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config import ImageSettings
    from imaging.geometry import Canvas
    from process import MemoryBudget

__all__ = ["Header", "Renderer", "Rendition", "decode_bytes", "read_header", "render"]

HERE = {"JPEG", "PNG"}  # libjpeg-turbo and zlib-ng; every other decoder works in the sandbox
_SANDBOX = Sandbox("imaging.contained:answer")
_REFUSALS = {refusal.code: refusal for refusal in (CorruptImage, ImageTooComplex)}


class Renderer:
    """Renders as many pictures at once as memory and cores allow."""

    def __init__(self, settings: ImageSettings, memory: MemoryBudget) -> None:
        self._settings = settings
        self._memory = memory
        # Cores + 1, to keep the cores busy while one thread waits for the interpreter lock; more at
        # once are no faster, and hold more memory for longer.
        self._cores = threading.BoundedSemaphore((os.cpu_count() or 1) + 1)

    def render(
        self,
        data: bytes,
        canvases: Sequence[Canvas],
        first: Callable[[Rendition], object] | None = None,
        source_type: str = "",
    ) -> tuple[Rendition, ...]:
        """Return one rendition of an encoded picture for each canvas (see render).

        source_type: the mark that all of them get (see Rendition).

        Raises: UnusableImage where no picture can be made of the file; Busy.
        """
        header = read_header(data, self._settings)
        note(format=header.format, pixels=header.pixels)
        mark_bytes = len(segment(source_type))
        canvases = [replace(canvas, max_bytes=canvas.max_bytes - mark_bytes) for canvas in canvases]
        shown = (lambda picture: first(picture.marked(source_type))) if first else None
        with self._memory.reserve(decode_bytes(header, canvases)), self._cores:
            renditions = render(data, header, canvases, self._settings, shown)
        marked = {rendition: rendition.marked(source_type) for rendition in set(renditions)}
        return tuple(marked[rendition] for rendition in renditions)


def render(
    data: bytes,
    header: Header,
    canvases: Sequence[Canvas],
    settings: ImageSettings,
    first: Callable[[Rendition], object] | None = None,
) -> tuple[Rendition, ...]:
    """Return one rendition for each canvas, in their order; equal canvases share one.

    data: the encoded picture; header: what read_header says of it. It is decoded once. first: takes
    the first canvas's rendition while the others are made; not from the sandbox, whose answer comes
    as a whole.

    Raises: CorruptImage, also for a file that ends early; ImageTooComplex; Busy.
    """
    distinct = tuple(dict.fromkeys(canvases))
    if header.format in HERE:
        made = rendered(data, header, distinct, settings, first)
    else:
        made = _render_in_sandbox(data, header, distinct, settings)
    renditions = dict(zip(distinct, made, strict=True))
    return tuple(renditions[canvas] for canvas in canvases)


def _render_in_sandbox(
    data: bytes, header: Header, canvases: Sequence[Canvas], settings: ImageSettings
) -> list[Rendition]:
    question = pickle.dumps((header, canvases, settings))
    answer = _SANDBOX.call(question, data, memory_bytes=decode_bytes(header, canvases))
    try:
        return _renditions(answer)
    except (ValueError, LookupError, TypeError) as error:
        raise CorruptImage(f"the sandbox answers {answer[:40]!r}") from error


def _renditions(answer: bytes) -> list[Rendition]:
    """Read what contained.answer returned, which may be anything once a decoder was taken over."""
    head, _, jpegs = answer.partition(b"\n")
    said = json.loads(head)
    if "code" in said:
        raise _REFUSALS[said["code"]](str(said["reason"]))
    likeness, renditions, start = str(said["likeness"]), list[Rendition](), 0
    if not LIKENESS.fullmatch(likeness):
        raise ValueError("no likeness")
    for width, height, length in said["renditions"]:
        jpeg = jpegs[start : start + length]
        size = (int(width), int(height))
        renditions.append(Rendition(data=jpeg, size=size, likeness=likeness))
        start += length
    return renditions
