"""What a person or a crawler gets at a share link.

    picture_response    a picture or card: conditional, ranged
    Pages.share         the page around a picture (200): Open Graph, the way to the shop
    Pages.ended         the page of a share that is over (410): Open Graph, the way to the shop
    Pages.missing       the page of what never was (404) or was deleted (410)
    Pages.ended_card    the card of a share that is over (200): the shop's name, no picture

Pages are rendered from templates/ with every value escaped, need no script and load nothing but
their picture.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from conditional import conditional, ranged
from glyphs import font_for, lacking
from platforms import CARD_SIZE, INTENTS, card_canvas, share_links
from storage import StoredObject

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from flask import Request

    from config import Settings

TEMPLATES = Path(__file__).parent / "templates"


def picture_response(request: Request, stored: StoredObject, data: bytes) -> Response:
    """Return the answer to GET or HEAD for a picture, conditional and ranged as asked.

    data: the encoded picture; empty for HEAD, which needs only what stored says.

    Raises: PreconditionFailed, RangeNotSatisfiable.
    """
    response = Response(data, content_type=stored.content_type)
    response.set_etag(stored.etag)
    if request.method == "HEAD":
        response.content_length = stored.size_bytes
    return ranged(conditional(response, request), request)


class Pages:
    """The pages of one shop."""

    def __init__(self, settings: Settings) -> None:
        self._store_name = settings.store_name
        self._store_url = settings.store_url
        self._contact_url = settings.contact_url
        self._image = settings.image

    @property
    def title(self) -> str:
        """What a share is called, on its page and in the networks' forms."""
        return f"A pet portrait from {self._store_name}" if self._store_name else "A pet portrait"

    def links(self, base_url: str, share_id: UUID) -> dict[str, str]:
        """Return the links that share a share's page on each network."""
        page_url = f"{base_url}/s/{share_id}"
        return share_links(page_url=page_url, picture_url=f"{page_url}.jpg", text=self.title)

    def share(
        self, base_url: str, share_id: UUID, stored: StoredObject, expires_at: int
    ) -> Response:
        """Return the page of a share; stored: its picture, as put."""
        ends_at = datetime.fromtimestamp(expires_at, UTC)
        metadata = stored.metadata
        return self._page(
            "share.html",
            HTTPStatus.OK,
            self._card(base_url, share_id),
            title=self.title,
            description="Made from a photo of a real pet. Turn a photo of yours into art, too.",
            # Beside the page, wherever it is reached: base_url may be another origin.
            picture_url=f"{share_id}.jpg",
            width=metadata["width"],
            height=metadata["height"],
            links=self.links(base_url, share_id),
            labels={name: intent.label for name, intent in INTENTS.items()},
            ends_at=ends_at.isoformat(),
            ends_at_text=f"{ends_at:%d %B %Y, %H:%M} UTC",
            contact_url=self._contact_url,
            shop_url=self._shop_url(
                utm_source=metadata["platform"],
                utm_medium="social_share",
                utm_campaign=metadata["effect_type"],
                utm_content=str(share_id),
            ),
        )

    def ended(self, base_url: str, share_id: str) -> Response:
        """Return the page of a share that is over, for visitors who come late."""
        return self._page(
            "ended.html",
            HTTPStatus.GONE,
            self._card(base_url, share_id),
            title="This picture has been deleted",
            description="Shared pictures are kept for a short time only. Make one of your own pet.",
            picture_url=f"{share_id}/card.jpg",
            shop_url=self._shop_url(
                utm_source="share", utm_medium="social_share", utm_content=share_id
            ),
        )

    def ended_card(self, request: Request) -> Response:
        """Return what stands for the card of a share that is over, so that old posts keep one.

        Source: https://developers.facebook.com/docs/sharing/webmasters/faq (existing posts turn
        white when their picture is deleted).
        """
        from imaging.lettering import name_card  # noqa: PLC0415 - a cold start does not wait for fonts

        name, font = self._card_name()
        data = name_card(card_canvas(None), name, self._image.background_color, font)
        etag = hashlib.sha256(data).hexdigest()[:32]
        return picture_response(
            request,
            StoredObject(
                name="",
                size_bytes=len(data),
                content_type="image/jpeg",
                etag=etag,
                metadata={},
            ),
            b"" if request.method == "HEAD" else data,
        )

    def _card_name(self) -> tuple[str, Path | None]:
        """Return what the card of an ended share says, and the font that has its letters."""
        name, font = self._store_name, self._image.watermark_font
        if name and not lacking(name, font_for(name, font)):
            return name, font
        return "Shared picture", None

    def missing(self, base_url: str, status: HTTPStatus) -> Response:
        """Return the page of an address that leads nowhere, or nowhere any more."""
        return self._page(
            "missing.html",
            status,
            {"base_url": base_url},
            title="There is nothing here",
            description="The address may be incomplete, or the picture was taken back.",
            shop_url=self._shop_url(utm_source="share", utm_medium="social_share"),
        )

    def _page(
        self, template: str, status: HTTPStatus, card: Mapping[str, Any], **values: object
    ) -> Response:
        shop_label = f"Visit {self._store_name}" if self._store_name else "Visit the shop"
        html = self._templates.get_template(template).render(
            css=self._css, store_name=self._store_name, shop_label=shop_label, **card, **values
        )
        response = Response(html, status=status, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = self._content_security_policy
        response.headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
        response.headers["X-Robots-Tag"] = "noindex"
        return response

    def _card(self, base_url: str, share_id: UUID | str) -> dict[str, Any]:
        page_url = f"{base_url}/s/{share_id}"
        return {
            "page_url": page_url,
            "host": urlsplit(base_url).netloc,
            "card_url": f"{page_url}/card.jpg",
            "card_width": CARD_SIZE[0],
            "card_height": CARD_SIZE[1],
            "alt": self.title,
        }

    def _shop_url(self, **parameters: str) -> str | None:
        """Add parameters to the shop's address, which only the configuration chooses."""
        if self._store_url is None:
            return None
        address = urlsplit(self._store_url)
        query = [*parse_qsl(address.query, keep_blank_values=True), *parameters.items()]
        return address._replace(query=urlencode(query)).geturl()

    @cached_property
    def _templates(self) -> Environment:
        return Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
        )

    @cached_property
    def _css(self) -> Markup:
        return Markup((TEMPLATES / "page.css").read_text("utf-8"))  # noqa: S704 - our own file

    @cached_property
    def _content_security_policy(self) -> str:
        digest = base64.b64encode(hashlib.sha256(self._css.encode()).digest()).decode()
        return (
            f"default-src 'none'; img-src 'self' data:; style-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
