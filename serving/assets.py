"""The files of web/: the browser client with its texts and types, and the demo page. The logo.

Read once at start, and compressed when the first one asks. No file has a version in its
name: browsers ask again, and are told by ETag that nothing changed. Pages of every origin may read
them: a page that may not share has to be able to say so.

scripts/minify makes what is served as the client, and its source map, of share-image.js.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Response

from errors import NotFound
from serving.conditional import conditional
from serving.cors import EVERY_ORIGIN
from serving.languages import languages, pick
from serving.responses import accepts_gzip

if TYPE_CHECKING:
    from flask import Request

WEB = Path(__file__).parents[1] / "web"

CLIENT = "share-image.js"
DEMO = "demo.html"
LOGO = "logo"

# What is served, by what holds it.
_CLIENT_FILES = {
    CLIENT: "share-image.min.js",
    "share-image.js.map": "share-image.min.js.map",
    "share-image.d.ts": "share-image.d.ts",
}
_DEMO_FILES = {name: name for name in (DEMO, "demo.css", "demo.js")}

PATHS = ("/", f"/{LOGO}", *(f"/{name}" for name in (_CLIENT_FILES | _DEMO_FILES) if name != DEMO))

_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",  # RFC 9239
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",  # there is no media type for TypeScript
    ".webp": "image/webp",
}
# A shop loads the client with every page: it is used at once, and renewed for the next time.
_CLIENT_CACHE_CONTROL = "public, max-age=300, stale-while-revalidate=86400"
_DEMO_CACHE_CONTROL = "no-cache"
_DEMO_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# An SVG that is opened by itself is a document, which could run scripts.
_LOGO_CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file, as it is sent: plain and gzipped, each with an ETag of its own.

    Strong validators tell representations apart (RFC 9110, section 8.8.3.3).
    """

    plain: bytes = field(repr=False)
    etag: str
    content_type: str

    @classmethod
    def of(cls, plain: bytes, content_type: str) -> Asset:
        """Return the asset that these bytes are."""
        return cls(
            plain=plain,
            etag=hashlib.sha256(plain).hexdigest()[:32],
            content_type=content_type,
        )

    @cached_property
    def zipped(self) -> bytes:
        """The same bytes in every instance."""
        return gzip.compress(self.plain, mtime=0)


class Assets:
    """The files of web/ by the names they are served under, and the client's texts by language."""

    def __init__(self, *, demo_page: bool, logo_file: Path | None) -> None:
        files = _CLIENT_FILES | (_DEMO_FILES if demo_page else {})
        self._assets = {name: _read(WEB / file) for name, file in files.items()}
        if logo_file is not None:
            self._assets[LOGO] = _read(logo_file)
        self._texts = {
            texts.tag: Asset.of(json.dumps(texts.client).encode(), "application/json")
            for texts in languages().values()
        }

    def response(self, request: Request, path: str) -> Response:
        """Return the answer to GET or HEAD for one of PATHS: conditional, gzipped where accepted.

        Raises: NotFound, also for the files of the demo page where it is off, and for a logo where
        there is none; PreconditionFailed.
        """
        name = path.removeprefix("/") or DEMO
        asset = self._assets.get(name)
        if asset is None:
            raise NotFound("no such file, DEMO_PAGE is off, or LOGO_FILE is not set")
        response = _response(request, asset, _CLIENT_CACHE_CONTROL)
        if name in _DEMO_FILES:
            response.headers["Cache-Control"] = _DEMO_CACHE_CONTROL
        if name == CLIENT:  # in its header, not at its end: browsers ask when a console is open
            response.headers["SourceMap"] = "share-image.js.map"
        if name == LOGO:
            response.headers["Content-Security-Policy"] = _LOGO_CONTENT_SECURITY_POLICY
        if name == DEMO:
            response.headers["Content-Security-Policy"] = _DEMO_CONTENT_SECURITY_POLICY
            response.headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
            response.headers["X-Robots-Tag"] = "noindex"
        return response

    def texts(self, request: Request, tag: str) -> Response:
        """Return the answer to GET or HEAD for the client's texts in a language, or the nearest.

        tag: a BCP 47 tag; one that is malformed or unknown is answered in the default language.
        """
        found = pick(tag).tag
        response = _response(request, self._texts[found], _CLIENT_CACHE_CONTROL)
        response.headers["Content-Language"] = found
        return response


def _read(path: Path) -> Asset:
    return Asset.of(path.read_bytes(), _CONTENT_TYPES[path.suffix])


def _response(request: Request, asset: Asset, cache_control: str) -> Response:
    zipped = accepts_gzip(request)
    response = Response(asset.zipped if zipped else asset.plain, content_type=asset.content_type)
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = cache_control
    response.headers.update(EVERY_ORIGIN)
    response.set_etag(f"{asset.etag}-gzip" if zipped else asset.etag)
    return conditional(response, request)
