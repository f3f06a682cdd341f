"""What scripts/verify sends and what comes back: requests, a picture, answers.

    Client.ask ── Answer ── json, code, date, allows
    photo_png ── share_form              what is posted
    jpeg_size, page_tags                 what is read of what comes back

Standard library only. Nobody is logged in here: whatever this gets, anyone gets.
"""

from __future__ import annotations

import json
import math
import random
import struct
import time
import urllib.request
import zlib
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message
    from http.client import HTTPResponse

PHOTO_SIZE = (800, 600)  # (width, height) in px
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_BOUNDARY = "share-image-verify"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; seconds: from connecting to the last byte."""

    status: int
    headers: Message
    body: bytes
    seconds: float

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object; empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def code(self) -> str:
        """The error's machine word; empty where it is not this program that answers."""
        return str(self.json().get("code", ""))

    @property
    def date(self) -> datetime:
        """When it was sent, by the server's own clock where it says so."""
        sent = self.headers.get("Date")
        return parsedate_to_datetime(sent) if sent else datetime.now().astimezone()

    def allows(self, origin: str) -> bool:
        """Return whether a browser lets a page of this origin read the answer."""
        return self.headers.get("Access-Control-Allow-Origin") in {origin, "*"}


class Client:
    """Asks one function; every status is an answer, redirects are not followed.

    Raises: OSError where there is no answer (URLError for names, TLS and refused connections).
    """

    def __init__(self, base_url: str, *, timeout_s: float) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        proxies = [urllib.request.ProxyHandler({})] if is_loopback(base_url) else []
        self._opener = urllib.request.build_opener(_EveryStatus, *proxies)

    def ask(
        self,
        method: str,
        place: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Return the answer to one request; place: a path below the function's URL, or a URL."""
        url = self.base_url + place if place.startswith("/") else urljoin(self.base_url, place)
        request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - main() checks
        # Some hosts and firewalls refuse the library's own name.
        for name, value in {"User-Agent": "share-image-verify", **(headers or {})}.items():
            request.add_header(name, value)
        started = time.monotonic()
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                answered: HTTPResponse = response
                data = answered.read()
        except HTTPException as error:
            raise ConnectionError(f"half an answer: {type(error).__name__}") from error
        return Answer(answered.status, answered.headers, data, time.monotonic() - started)


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """Hands out every answer as it is: no exception for 404, no redirect behind one's back."""

    def http_response(self, _request: Any, response: Any) -> Any:  # noqa: ANN401 - urllib's own
        return response

    https_response = http_response  # type: ignore[assignment]  # urllib's types narrow it


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK


def photo_png() -> bytes:
    """Return a PNG of PHOTO_SIZE as a camera might see it: light from one side, and grain."""
    width, height = PHOTO_SIZE
    light = bytes(round(128 + 100 * math.sin(n / 90)) for n in range(width + height))
    grain = bytes(96 + (n >> 3) for n in range(256))
    randomness = random.Random(6)  # noqa: S311 - the same picture every time
    rows = bytearray()
    for y in range(height):
        row = bytearray(3 * width)
        row[0::3] = light[y : y + width]
        row[1::3] = light[height - y : height - y + width]
        row[2::3] = randomness.randbytes(width).translate(grain)
        rows += b"\0" + row  # not filtered (PNG, section 9.2)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def share_form(picture: bytes, platform: str) -> tuple[dict[str, str], bytes]:
    """Return the header fields and the body of a share request."""
    body = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="platform"\r\n\r\n{platform}\r\n'
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="effect_type"\r\n\r\nverify\r\n'
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="verify.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode()
    end = f"\r\n--{_BOUNDARY}--\r\n".encode()
    return {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}, body + picture + end


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) in px of a JPEG, None for anything else (ITU T.81, annex B)."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:  # noqa: PLR2004 - a marker begins
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:  # noqa: PLR2004 - a frame
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None


def page_tags(html: bytes) -> dict[str, str]:
    """Return the meta tags of a page, as a crawler reads them: by property or name."""
    tags = _MetaTags()
    tags.feed(html.decode("utf-8", "replace"))
    return tags.found


class _MetaTags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        name = values.get("property") or values.get("name")
        if tag == "meta" and name:
            self.found.setdefault(name, values.get("content") or "")
