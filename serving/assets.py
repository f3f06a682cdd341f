"""The files of web/: the browser client, and the demo page.

Read once at start and compressed then, so that an answer is a look-up. No file has a version in its
name: browsers ask again, and are told by ETag that nothing changed.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Response

from errors import NotFound
from serving.conditional import conditional

if TYPE_CHECKING:
    from flask import Request

WEB = Path(__file__).parents[1] / "web"

CLIENT = "share-image.js"
DEMO = "demo.html"

_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",  # RFC 9239
}
# A shop loads the client with every page: it is used at once, and renewed for the next time.
_CLIENT_CACHE_CONTROL = "public, max-age=300, stale-while-revalidate=86400"
_DEMO_CACHE_CONTROL = "no-cache"
_DEMO_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file, as it is sent: plain and gzipped, each with an ETag of its own.

    Strong validators tell representations apart (RFC 9110, section 8.8.3.3).
    """

    plain: bytes = field(repr=False)
    zipped: bytes = field(repr=False)
    etag: str
    content_type: str

    @classmethod
    def of(cls, path: Path) -> Asset:
        """Return the asset that a file holds."""
        plain = path.read_bytes()
        return cls(
            plain=plain,
            zipped=gzip.compress(plain, mtime=0),  # the same bytes in every instance
            etag=hashlib.sha256(plain).hexdigest()[:32],
            content_type=_CONTENT_TYPES[path.suffix],
        )


class Assets:
    """The files of web/, by name."""

    def __init__(self, *, demo_page: bool, folder: Path = WEB) -> None:
        names = {path.name for path in folder.iterdir()} if demo_page else {CLIENT}
        self._assets = {name: Asset.of(folder / name) for name in names}

    def response(self, request: Request, name: str) -> Response:
        """Return the answer to GET or HEAD for a file: conditional, gzipped where that is accepted.

        Raises: NotFound, also for the files of the demo page where it is off; PreconditionFailed.
        """
        asset = self._assets.get(name)
        if asset is None:
            raise NotFound("no such file, or DEMO_PAGE is off")
        zipped = _accepts_gzip(request)
        response = Response(
            asset.zipped if zipped else asset.plain, content_type=asset.content_type
        )
        if zipped:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        is_client = name == CLIENT
        response.headers["Cache-Control"] = (
            _CLIENT_CACHE_CONTROL if is_client else _DEMO_CACHE_CONTROL
        )
        if name == DEMO:
            response.headers["Content-Security-Policy"] = _DEMO_CONTENT_SECURITY_POLICY
            response.headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
            response.headers["X-Robots-Tag"] = "noindex"
        response.set_etag(f"{asset.etag}-gzip" if zipped else asset.etag)
        return conditional(response, request)


def _accepts_gzip(request: Request) -> bool:
    """Return whether gzip was asked for; a lone `*` is not taken for it, nor is gzip;q=0."""
    named = {encoding.lower() for encoding, quality in request.accept_encodings if quality > 0}
    return "gzip" in named
