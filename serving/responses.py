"""What every answer is made of, whatever it answers.

Visit           where a request came from, and where it found us
json_answer     a JSON body; share_answer: of a share that was made
cached          how long caches may keep an answer
sealed          header fields that all answers carry; sent without waiting for the body
prefers_html    whether an error is answered with a page, or with JSON
opens_document  whether a browser opens the address by itself, and not within a page
accepts_gzip    whether the body may be gzipped; zipped: where it may, it is
"""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Response

from links import cache_max_age_s, share_links
from serving.body import discard_body

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from _typeshed.wsgi import WSGIEnvironment
    from flask import Request

    from config import Settings
    from share_objects import Share

HSTS_MAX_AGE_S = 31_536_000
GZIP_LEVEL = 4  # of a page: level 9 takes 1.6 times as long, and saves 1.5 % of the bytes
KEPT_ZIPPED = 200  # pages of some 10 kB, and what they become


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Where a request came from, and where it found us.

    base_url: where the function is reached from outside, without a trailing slash; empty where Host
    holds anything but a host. own_origins: the origins of our own pages. origin: of the page that
    asks, None where no browser said so.
    """

    base_url: str
    own_origins: tuple[str, ...]
    origin: str | None

    @classmethod
    def of(cls, request: Request, settings: Settings) -> Visit:
        """Return what a request says of it.

        Cloud Run routes by Host, so that field can be believed there, and ends TLS itself.
        """
        scheme = "https" if settings.in_cloud else request.scheme
        seen_url = f"{scheme}://{request.host}" if request.host else ""
        base_url = settings.public_base_url or seen_url
        base = urlsplit(base_url)
        return cls(
            base_url=base_url,
            own_origins=(f"{base.scheme}://{base.netloc}", seen_url),
            origin=request.headers.get("Origin"),
        )


def json_answer(body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return an answer with a JSON body."""
    return Response(json.dumps(body), status=status, content_type="application/json")


def share_answer(
    share: Share, key: UUID, base_url: str, intents: dict[str, str], started: float
) -> Response:
    """Return the answer to a POST: what was made, and where it is; the only place that says so.

    key: of the share; intents: a link to each network; started: of time.perf_counter.
    """
    links = share_links(base_url, share.share_id)
    body = {
        "url": links.picture,
        "expires_at": share.expires_at,
        "share_id": str(share.share_id),
        "processing_time": round(time.perf_counter() - started, 4),
        "page_url": links.page,
        "card_url": links.card,
        "platform": share.platform,
        "width": share.width,
        "height": share.height,
        "bytes": share.size_bytes,
        "content_type": share.content_type,
        "links": intents,
        "delete_token": str(key),
    }
    if share.digital_source_type:
        body["digital_source_type"] = share.digital_source_type
    return json_answer(body)


def cached(response: Response, expires_at: float, *, shared: bool = True) -> Response:
    """Let caches keep an answer for a short time, never longer than until expires_at.

    expires_at: epoch seconds; shared: whether caches may give it to others.
    """
    scope = "public" if shared else "private"
    response.headers["Cache-Control"] = f"{scope}, max-age={cache_max_age_s(expires_at)}"
    return response


def sealed(
    response: Response,
    cors: Mapping[str, str],
    *,
    deployment: str,
    is_https: bool,
    environ: WSGIEnvironment,
) -> Response:
    """Return an answer with what all of them carry, as one that does not wait for the body.

    deployment: the source and the revision that answer, so that two of them are told apart.

    functions-framework reads the rest of the body into memory before it sends an answer, unless the
    answer is a stream; so all of them are.
    """
    for name, value in cors.items():
        if name == "Vary":
            response.vary.add(value)  # beside what varies already
        else:
            response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Deployment"] = deployment
    if is_https:
        response.headers["Strict-Transport-Security"] = f"max-age={HSTS_MAX_AGE_S}"
    response.response = _then_discard(response.get_data(), environ)
    return response


def prefers_html(request: Request, *, is_page: bool) -> bool:
    """Return whether an error is answered with a page, and not with JSON.

    is_page: whether the address is a page's. A crawler accepts anything, and has to get the page of
    an expired share as well.
    """
    if request.method not in {"GET", "HEAD"}:
        return False
    if not request.accept_mimetypes:
        return is_page
    kinds = ("text/html", "application/json")  # of equal ones, the first is preferred
    kinds = kinds if is_page else (kinds[1], kinds[0])
    return request.accept_mimetypes.best_match(kinds) == "text/html"


def opens_document(request: Request) -> bool:
    """Return whether a browser opens the address by itself, as one does from an address bar.

    What loads it into a page, a crawler, a program says otherwise, or nothing.
    Source: https://www.w3.org/TR/fetch-metadata/
    """
    fetch = (request.headers.get("Sec-Fetch-Dest"), request.headers.get("Sec-Fetch-Mode"))
    return fetch == ("document", "navigate")


def accepts_gzip(request: Request) -> bool:
    """Return whether gzip was asked for; a lone `*` is not taken for it, nor is gzip;q=0."""
    named = {encoding.lower() for encoding, quality in request.accept_encodings if quality > 0}
    return "gzip" in named


def zipped(response: Response, request: Request) -> Response:
    """Return an answer gzipped where that is accepted, under an ETag of its own if it has one."""
    response.vary.add("Accept-Encoding")
    if accepts_gzip(request):
        response.set_data(_gzipped(response.get_data()))
        response.content_encoding = "gzip"
        if etag := response.get_etag()[0]:
            response.set_etag(f"{etag}-gzip")
    return response


@lru_cache(KEPT_ZIPPED)
def _gzipped(data: bytes) -> bytes:
    return gzip.compress(data, GZIP_LEVEL, mtime=0)


def _then_discard(body: bytes, environ: WSGIEnvironment) -> Iterator[bytes]:
    yield body
    discard_body(environ)
