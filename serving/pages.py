"""What a person or a crawler gets at a share link.

    picture_response    a picture or card: conditional, ranged
    Pages.share         the page around a picture (200): Open Graph, the way to the shop
    Pages.ended         the page of an expired share (410): Open Graph, the way to the shop
    Pages.missing       the page of what does not exist (404), or was deleted (410)
    Pages.ended_card    the card of an expired share (200): the shop's name, no picture

Pages are rendered from templates/ with every value escaped, in the language of their share, need no
script and load nothing but their picture and the shop's logo.
"""

from __future__ import annotations

import hashlib
import math
import time
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from config.glyphs import font_for, lacking
from imaging.provenance import GENERATED
from links import VIA, share_links
from platforms import CARD_SIZE, INTENTS, NAMES, card_canvas, intent_links
from serving.assets import LOGO
from serving.conditional import conditional, ranged
from serving.languages import pick
from serving.looks import TEMPLATES, Looks
from serving.qr_code import qr_code
from serving.responses import zipped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from uuid import UUID

    from flask import Request

    from config import Settings
    from share_objects import Share
    from storage import StoredObject

KEPT_PAGES = 200  # of some 10 kB
MAX_HOURS = 48  # beyond that, the time left is told in days


def picture_response(request: Request, stored: StoredObject, data: bytes) -> Response:
    """Return the answer to GET or HEAD for a picture, conditional and ranged as asked.

    data: the encoded picture; empty for HEAD, which needs only what stored says.

    Raises: PreconditionFailed, RangeNotSatisfiable.
    """
    response = Response(data, content_type=stored.content_type)
    if request.method == "HEAD":
        response.content_length = stored.size_bytes
    return _asked_part(response, stored.etag, request)


def to_page(base_url: str, share_id: UUID) -> Response:
    """Return the redirect from a picture to its page, beside it wherever that is reached."""
    response = Response(status=HTTPStatus.SEE_OTHER)
    response.headers["Location"] = share_links(base_url, share_id).page_beside
    return response


def _asked_part(response: Response, etag: str, request: Request) -> Response:
    response.headers["X-Robots-Tag"] = "noindex"
    response.set_etag(etag)
    return ranged(conditional(response, request), request)


class Pages:
    """The pages of one shop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._looks = Looks(settings)
        # Drawing a page takes longer than all else of a view.
        self._share_html = lru_cache(KEPT_PAGES)(self._render_share)

    def intents(self, base_url: str, share: Share) -> dict[str, str]:
        """Return the links that share a share's page on each network."""
        links = share_links(base_url, share.share_id)
        title = self._words(share.lang)["title"]
        return intent_links(page_url=links.page, picture_url=links.picture, text=title)

    def share(self, request: Request, base_url: str, share: Share) -> Response:
        """Return the page of a share, conditional as asked.

        Raises: PreconditionFailed.
        """
        words = self._words(share.lang)
        ends_text = _ends_text(words, share.expires_at - time.time())
        via = visited_from(request) or share.platform
        html = self._share_html(share, base_url, via, _above(request), ends_text)
        response = self._response(html, words)
        response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:32])
        return conditional(zipped(response, request), request)

    def _render_share(
        self, share: Share, base_url: str, via: str, above: str, ends_text: str
    ) -> str:
        words = self._words(share.lang)
        links = share_links(base_url, share.share_id)
        return self._html(
            "share.html",
            above,
            words,
            self._card(base_url, share.share_id),
            alt=share.alt or words["title"],
            # Beside the page, wherever it is reached: base_url may be another origin.
            picture_url=links.picture_beside,
            width=share.width,
            height=share.height,
            qr_code=qr_code(links.page),
            links=self.intents(base_url, share),
            labels=_labels(words),
            is_generated=share.digital_source_type in GENERATED,
            image_object=_image_object(share, links.picture),
            ends_at=datetime.fromtimestamp(share.expires_at, UTC).isoformat(),
            ends_text=ends_text,
            shop_url=self._shop_url(
                utm_source=via,
                utm_medium="social_share",
                utm_campaign=share.effect_type,
                utm_content=str(share.share_id),
            ),
        )

    def ended(self, request: Request, base_url: str, share_id: UUID) -> Response:
        """Return the page of an expired share, for visitors who come late."""
        words = self._words()
        response = self._page(
            "ended.html",
            request,
            words | {"title": words["ended-title"], "description": words["ended-description"]},
            self._card(base_url, share_id),
            alt=words["ended-title"],
            picture_url=share_links(base_url, share_id).card_beside,
            shop_url=self._shop_url(
                utm_source=visited_from(request) or "share",
                utm_medium="social_share",
                utm_content=str(share_id),
            ),
        )
        response.status_code = HTTPStatus.GONE
        return zipped(response, request)

    def ended_card(self, request: Request) -> Response:
        """Return what stands for the card of an expired share, so that old posts keep one.

        Source: https://developers.facebook.com/docs/sharing/webmasters/faq (existing posts turn
        white when their picture is deleted).
        """
        from imaging.lettering import name_card  # noqa: PLC0415 - a cold start does not wait for fonts

        name, font = self._card_name()
        data = name_card(card_canvas(None), name, self._settings.image.background_color, font)
        response = Response(data, content_type="image/jpeg")
        return _asked_part(response, hashlib.sha256(data).hexdigest()[:32], request)

    def _card_name(self) -> tuple[str, Path | None]:
        """Return what the card of an expired share says, and the font that has its letters."""
        name, font = self._settings.store_name, self._settings.image.watermark_font
        if name and not lacking(name, font_for(name, font)):
            return name, font
        return self._words()["header"], None

    def missing(self, request: Request, status: HTTPStatus) -> Response:
        """Return the page of an address that leads nowhere, or nowhere any more."""
        words = self._words()
        response = self._page(
            "missing.html",
            request,
            words | {"title": words["missing-title"], "description": words["missing-description"]},
            {},
            shop_url=self._shop_url(utm_source="share", utm_medium="social_share"),
        )
        response.status_code = status
        return zipped(response, request)

    def _page(
        self,
        template: str,
        request: Request,
        words: Mapping[str, str],
        card: Mapping[str, Any],
        **values: object,
    ) -> Response:
        return self._response(self._html(template, _above(request), words, card, **values), words)

    def _html(
        self,
        template: str,
        above: str,
        words: Mapping[str, str],
        card: Mapping[str, Any],
        **values: object,
    ) -> str:
        settings = self._settings
        return self._templates.get_template(template).render(
            looks=self._looks,
            words=words,
            store_name=settings.store_name,
            contact_url=settings.contact_url,
            logo_url=above + LOGO if settings.logo_file else None,
            **card,
            **values,
        )

    def _response(self, html: str, words: Mapping[str, str]) -> Response:
        response = Response(html, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = self._looks.content_security_policy
        response.headers["Content-Language"] = words["lang"]
        response.headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
        response.headers["X-Robots-Tag"] = "noindex"
        return response

    def _card(self, base_url: str, share_id: UUID) -> dict[str, Any]:
        links = share_links(base_url, share_id)
        return {
            "page_url": links.page,
            "host": urlsplit(base_url).netloc,
            "card_url": links.card,
            "card_width": CARD_SIZE[0],
            "card_height": CARD_SIZE[1],
        }

    def _words(self, lang: str = "") -> dict[str, str]:
        """Return what pages say in a language, the shop's own words first; lang: any tag."""
        settings = self._settings
        found = pick(lang, settings.page_language)
        texts, store = found.page, settings.store_name
        kind = "-store" if store else ""
        return {
            **texts,
            "lang": found.tag,
            "title": settings.page_title or texts["title" + kind].format(store=store),
            "description": settings.page_description or texts["description"],
            "cta": settings.cta_text or texts["cta"],
            "shop": texts["shop" + kind].format(store=store),
        }

    def _shop_url(self, **parameters: str) -> str | None:
        """Add parameters to the shop's address, which only the configuration chooses."""
        if self._settings.store_url is None:
            return None
        address = urlsplit(self._settings.store_url)
        query = [*parse_qsl(address.query, keep_blank_values=True), *parameters.items()]
        return address._replace(query=urlencode(query)).geturl()

    @cached_property
    def _templates(self) -> Environment:
        return Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
        )


def _above(request: Request) -> str:
    """Return the way from a page to the root, which may be below any prefix."""
    return "../" * (request.path.count("/") - 1)


def _image_object(share: Share, picture_url: str) -> dict[str, Any] | None:
    """Return what programs are told of a picture that a machine made, None of any other.

    Source: https://schema.org/IPTCDigitalSourceEnumeration
    """
    term = share.digital_source_type
    if not term:
        return None
    return {
        "@context": "https://schema.org",
        "@type": "ImageObject",
        "contentUrl": picture_url,
        "encodingFormat": share.content_type,
        "width": share.width,
        "height": share.height,
        "expires": datetime.fromtimestamp(share.expires_at, UTC).isoformat(),
        "digitalSourceType": f"https://schema.org/{term[0].upper()}{term[1:]}DigitalSource",
        **({"caption": share.alt} if share.alt else {}),
    }


def visited_from(request: Request) -> str | None:
    """Return the network that brought a visitor, by the page's address; only one of the table."""
    via = request.args.get(VIA)
    return via if via in NAMES else None


def _labels(words: Mapping[str, str]) -> dict[str, str]:
    return {name: words.get(name, network.label) for name, network in INTENTS.items()}


def _ends_text(words: Mapping[str, str], left_s: float) -> str:
    """Return when a share is deleted: in any time zone, and still right when caches keep it."""
    hours = max(1, math.ceil(left_s / 3600))
    if hours == 1:
        return words["ends-hour"]
    if hours <= MAX_HOURS:
        return words["ends-hours"].format(hours=hours)
    return words["ends-days"].format(days=math.ceil(hours / 24))
