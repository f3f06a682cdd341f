"""The life of a share without HTTP: begun, rendered and stored, as main.create does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config import ImageSettings
from image_ops import Renderer, Rendition
from logs import Log
from platforms import card_canvas, picture_canvas
from process import MemoryBudget
from serving.forms import Form
from share_keys import ShareKey

if TYPE_CHECKING:
    from uuid import UUID

    from imaging.geometry import Fit
    from share_objects import Share
    from shares import Shares

LOG = Log("ERROR", project_id=None)
RENDERER = Renderer(ImageSettings(), MemoryBudget(1_000_000_000, max_waiting=4))


def form(
    file: bytes, platform: str = "email", effect_type: str = "ink", fit: Fit | None = None
) -> Form:
    """Return a form that asks for nothing unusual."""
    return Form(file=file, platform=platform, effect_type=effect_type, fit=fit)


def rendered(form: Form) -> tuple[Rendition, Rendition]:
    """Return the picture and the card of a form."""
    canvas = picture_canvas(form.platform, form.fit, max_side_px=1200)
    picture, card = RENDERER.render(form.file, (canvas, card_canvas(form.fit)))
    return picture, card


def create(shares: Shares, form: Form, key: UUID | None = None) -> Share:
    """Return the stored share of a form."""
    return shares.store(shares.begin(key), form, *rendered(form))


def mint_key() -> UUID:
    """Return a key as a client would make it."""
    return ShareKey.mint().value


def object_names(share_id: UUID, *renditions: str) -> set[str]:
    """Return the names of a share's objects."""
    text = str(share_id)
    return {f"shares/{text[-2:]}/{text}/{rendition}.jpg" for rendition in renditions}
