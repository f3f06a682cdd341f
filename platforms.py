"""The networks: the canvas that each one wants, and the link that starts sharing there.

Adding a network is one row of NETWORKS. Sizes are (width, height) in px; docs/platforms.md says
where they and the links come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from imaging.geometry import Canvas, Fit
from links import VIA

if TYPE_CHECKING:
    from imaging.geometry import Size

PICTURE_MAX_BYTES = 1_000_000  # Bluesky refuses link thumbnails and posts above this
CARD_MAX_BYTES = 300_000  # WhatsApp documents 600 kB and drops previews above 300 kB in the field

CARD_SIZE: Size = (1200, 630)
_PIN, _POST, _STORY = (1000, 1500), (1080, 1350), (1080, 1920)


@dataclass(frozen=True, slots=True)
class Network:
    """A place where pictures are shared.

    name: the form's `platform`; label: what people call it; canvas: the size that its pictures
    have, None for the plain one; intent: the link that starts sharing there, with holes for values,
    None where there is none: there, pictures are shared from the phone.
    """

    name: str
    label: str
    canvas: Size | None
    intent: str | None = None


# In the order in which links are offered.
NETWORKS = (
    Network(
        "facebook", "Facebook", CARD_SIZE, "https://www.facebook.com/sharer/sharer.php?u={url}"
    ),
    Network("x", "X", CARD_SIZE, "https://x.com/intent/tweet?text={text}&url={url}"),
    Network("twitter", "Twitter", CARD_SIZE),  # what older clients call X
    Network(
        "threads",
        "Threads",
        CARD_SIZE,
        "https://www.threads.com/intent/post?text={text}&url={url}",
    ),
    Network("bluesky", "Bluesky", CARD_SIZE, "https://bsky.app/intent/compose?text={text}%20{url}"),
    Network(
        "pinterest",
        "Pinterest",
        _PIN,
        "https://www.pinterest.com/pin/create/button/?url={url}&media={picture}&description={text}",
    ),
    Network(
        "linkedin",
        "LinkedIn",
        CARD_SIZE,
        "https://www.linkedin.com/sharing/share-offsite/?url={url}",
    ),
    Network("whatsapp", "WhatsApp", CARD_SIZE, "https://wa.me/?text={text}%20{url}"),
    Network("telegram", "Telegram", CARD_SIZE, "https://t.me/share/url?url={url}&text={text}"),
    Network("reddit", "Reddit", CARD_SIZE, "https://www.reddit.com/submit?url={url}&title={text}"),
    Network("email", "Email", None, "mailto:?subject={text}&body={text}%0D%0A%0D%0A{url}"),
    Network("instagram", "Instagram", _POST),
    Network("instagram_story", "Instagram Story", _STORY),
    Network("tiktok", "TikTok", _STORY),
    Network("snapchat", "Snapchat", _STORY),
)
NAMES = frozenset(network.name for network in NETWORKS)
DOWNLOAD = "download"  # no network: the picture is saved as a file
CANVAS_SIZES = {network.name: network.canvas for network in NETWORKS if network.canvas}
INTENTS = {network.name: network for network in NETWORKS if network.intent}


def picture_canvas(platform: str, fit: Fit | None, *, max_side_px: int) -> Canvas:
    """Return the canvas of the picture for a platform; unknown names get the plain one.

    The plain canvas is inside max_side_px x max_side_px; a fit that fills a canvas makes it square.
    """
    size = CANVAS_SIZES.get(platform.strip().lower())
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


def intent_links(*, page_url: str, picture_url: str, text: str) -> dict[str, str]:
    """Return, for every network that has one, the link that starts sharing a page there.

    The page's address names the network (VIA), so that visits are counted for it. Every value is
    percent-encoded, so that none can add a parameter or a line (RFC 3986).
    """

    def link(network: str, intent: str) -> str:
        url = f"{page_url}?{VIA}={network}"
        values = {"url": url, "picture": picture_url, "text": text}
        return intent.format(**{name: quote(value, safe="") for name, value in values.items()})

    return {name: link(name, network.intent) for name, network in INTENTS.items() if network.intent}
