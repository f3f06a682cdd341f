"""Every address of a share, and how long caches may keep what is there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

# Of a share's picture, card and page: bounds how long a deleted share stays visible.
CACHE_MAX_AGE_S = 300

VIA = "via"  # the parameter of a page's address that names the network which brought the visitor

PAGE, PICTURE, CARD = "/s/{share_id}", "/s/{share_id}.jpg", "/s/{share_id}/card.jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLinks:
    """The addresses of one share: page, picture and card, absolute.

    page_beside, picture_beside, card_beside: relative to the page, wherever that is reached.
    """

    page: str
    picture: str
    card: str
    page_beside: str
    picture_beside: str
    card_beside: str


def share_links(base_url: str, share_id: UUID) -> ShareLinks:
    """Return the addresses of a share; base_url: without a trailing slash."""
    folder = PAGE.partition("{")[0]
    page, picture, card = (path.format(share_id=share_id) for path in (PAGE, PICTURE, CARD))
    return ShareLinks(
        page=base_url + page,
        picture=base_url + picture,
        card=base_url + card,
        page_beside=page.removeprefix(folder),
        picture_beside=picture.removeprefix(folder),
        card_beside=card.removeprefix(folder),
    )


def cache_max_age_s(expires_at: float) -> int:
    """Return for how many seconds caches may keep what shows a share that ends at expires_at."""
    return int(max(0, min(CACHE_MAX_AGE_S, expires_at - time.time())))
