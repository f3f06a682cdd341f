"""The networks: the canvas that each one wants, and the link that starts sharing there.

Adding a network is one row of PLATFORMS for its canvas, one of INTENTS for its link. Sizes are
(width, height) in px; docs/platforms.md says where they and the links come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from imaging.geometry import Canvas, Fit

if TYPE_CHECKING:
    from imaging.geometry import Size

PICTURE_MAX_BYTES = 1_000_000  # Bluesky refuses link thumbnails and posts above this
CARD_MAX_BYTES = 300_000  # WhatsApp documents 600 kB and drops previews above 300 kB in the field

CARD_SIZE: Size = (1200, 630)

PLATFORMS: dict[str, Size] = {
    "facebook": CARD_SIZE,
    "x": CARD_SIZE,
    "twitter": CARD_SIZE,
    "linkedin": CARD_SIZE,
    "whatsapp": CARD_SIZE,
    "telegram": CARD_SIZE,
    "reddit": CARD_SIZE,
    "threads": CARD_SIZE,
    "bluesky": CARD_SIZE,
    "pinterest": (1000, 1500),
    "instagram": (1080, 1350),
    "instagram_story": (1080, 1920),
    "tiktok": (1080, 1920),
    "snapchat": (1080, 1920),
}


def picture_canvas(platform: str, fit: Fit | None, *, max_side_px: int) -> Canvas:
    """Return the canvas of the picture for a platform; unknown names get the plain one.

    The plain canvas is inside max_side_px x max_side_px; a fit that fills a canvas makes it square.
    """
    size = PLATFORMS.get(platform.strip().lower())
    if size is None:
        return Canvas(
            size=(max_side_px, max_side_px), fit=fit or Fit.INSIDE, max_bytes=PICTURE_MAX_BYTES
        )
    if size == CARD_SIZE and fit is not Fit.INSIDE:
        return card_canvas(fit)
    return Canvas(size=size, fit=fit or Fit.PAD, max_bytes=PICTURE_MAX_BYTES)


def card_canvas(fit: Fit | None) -> Canvas:
    """Return the canvas of the link-preview card, which is always filled."""
    return Canvas(
        size=CARD_SIZE,
        fit=Fit.COVER if fit is Fit.COVER else Fit.PAD,
        max_bytes=CARD_MAX_BYTES,
    )


@dataclass(frozen=True, slots=True)
class Intent:
    """The link that starts sharing on a network: its label, and the link with holes for values."""

    label: str
    template: str


# Instagram, TikTok and Snapchat have no such link: there, pictures are shared from the phone.
INTENTS: dict[str, Intent] = {
    "facebook": Intent("Facebook", "https://www.facebook.com/sharer/sharer.php?u={url}"),
    "x": Intent("X", "https://x.com/intent/tweet?text={text}&url={url}"),
    "threads": Intent("Threads", "https://www.threads.com/intent/post?text={text}&url={url}"),
    "bluesky": Intent("Bluesky", "https://bsky.app/intent/compose?text={text}%20{url}"),
    "pinterest": Intent(
        "Pinterest",
        "https://www.pinterest.com/pin/create/button/?url={url}&media={picture}&description={text}",
    ),
    "linkedin": Intent("LinkedIn", "https://www.linkedin.com/sharing/share-offsite/?url={url}"),
    "whatsapp": Intent("WhatsApp", "https://wa.me/?text={text}%20{url}"),
    "telegram": Intent("Telegram", "https://t.me/share/url?url={url}&text={text}"),
    "reddit": Intent("Reddit", "https://www.reddit.com/submit?url={url}&title={text}"),
    "email": Intent("Email", "mailto:?subject={text}&body={text}%0D%0A%0D%0A{url}"),
}


def share_links(*, page_url: str, picture_url: str, text: str) -> dict[str, str]:
    """Return, for every network that has one, the link that starts sharing a page there.

    Every value is percent-encoded, so that none can add a parameter or a line (RFC 3986).
    """
    values = {"url": page_url, "picture": picture_url, "text": text}
    encoded = {name: quote(value, safe="") for name, value in values.items()}
    return {name: intent.template.format(**encoded) for name, intent in INTENTS.items()}
