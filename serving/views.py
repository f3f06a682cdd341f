"""What visitors get: a share's page, its picture, its card."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from errors import Gone, ObjectDeleted
from logs import note, stage
from platforms import DOWNLOAD
from serving.pages import picture_response, to_page, visited_from
from serving.responses import cached, opens_document
from share_objects import CARD, PICTURE, Share

if TYPE_CHECKING:
    from uuid import UUID

    from flask import Request, Response

    from config import Settings
    from serving.pages import Pages
    from shares import Shares


class Views:
    """Answers GET and HEAD for shares.

    All three raise NotFound for what was never shared, Gone for what has ended or was deleted, and
    StorageUnavailable.
    """

    def __init__(self, settings: Settings, shares: Shares, pages: Pages) -> None:
        self._shares = shares
        self._pages = pages
        # Without PUBLIC_BASE_URL its links follow Host, so no shared cache may keep a page.
        self._pages_are_shared = settings.public_base_url is not None
        self._picture_links = settings.picture_links

    def page(self, request: Request, base_url: str, share_id: str) -> Response:
        """Return the page of a share; base_url: where its links lead."""
        share = self._found(self._shares.parse_live_id(share_id))
        if via := visited_from(request):
            note(via=via)
        response = self._pages.share(request, base_url, share)
        return cached(response, share.expires_at, shared=self._pages_are_shared)

    def picture(self, request: Request, base_url: str, share_id: str) -> Response:
        """Return the picture of a share; a browser that opens it is led to the page."""
        if self._picture_links == "picture":
            return self._rendition(request, share_id, PICTURE)
        if opens_document(request) and "raw" not in request.args:
            live_id = self._shares.parse_live_id(share_id)
            if self._found(live_id).platform.lower() != DOWNLOAD:
                return to_page(base_url, live_id)
        response = self._rendition(request, share_id, PICTURE)
        response.vary.add("Sec-Fetch-Dest")
        return response

    def card(self, request: Request, share_id: str) -> Response:
        """Return the card of a share; an expired one keeps a neutral card."""
        try:
            return self._rendition(request, share_id, CARD)
        except ObjectDeleted:
            raise
        except Gone:
            return cached(self._pages.ended_card(request), math.inf)

    def _found(self, live_id: UUID) -> Share:
        with stage("storage"):
            share = self._shares.find(live_id)
        note(platform=share.platform, effect_type=share.effect_type)
        return share

    def _rendition(self, request: Request, share_id: str, rendition: str) -> Response:
        live_id = self._shares.parse_live_id(share_id)
        with stage("storage"):
            if request.method == "HEAD":
                stored, data = self._shares.stat(live_id, rendition), b""
            else:
                stored, data = self._shares.read(live_id, rendition)
        return cached(picture_response(request, stored, data), self._shares.expires_at(live_id))
