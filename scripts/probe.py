"""What scripts/verify sends and what comes back: requests, a picture, answers.

    Client.ask ── Answer ── json, code, date, deployment
    share_key, photo_png ── share_form   what is posted
    jpeg_size, page_tags, page_title     what is read of what comes back

Standard library only. Nobody is logged in here: whatever this gets, anyone gets.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import secrets
import struct
import time
import urllib.request
import uuid
import zlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from html import unescape
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message
    from http.client import HTTPResponse

PHOTO_SIZE = (800, 600)  # (width, height) in px
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MARKER = "planted-by-verify"  # in what is posted; nothing of it may come out
_BOUNDARY = "share-image-verify"
_RANDOM_BITS = 74  # of a UUIDv7


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
    def deployment(self) -> str:
        """The source and the revision that answered; empty where it was not this program."""
        return self.headers.get("Deployment", "")

    @property
    def date(self) -> datetime:
        """When it was sent, by the server's own clock where it says so."""
        sent = self.headers.get("Date")
        return parsedate_to_datetime(sent) if sent else datetime.now().astimezone()

    @property
    def allowed_origins(self) -> list[str]:
        """The Access-Control-Allow-Origin header fields: browsers want exactly one."""
        return self.headers.get_all("Access-Control-Allow-Origin", [])

    def __str__(self) -> str:
        """Return the status, with what tells who answered: code, Location, title."""
        location, title = self.headers.get("Location", ""), page_title(self.body)
        shown = [f"code {self.code}"] * bool(self.code)
        shown += [f"Location {location[:200]!r}"] * bool(location)
        shown += [f"title {title[:100]!r}"] * bool(title)
        return f"{self.status}" + (f" ({', '.join(shown)})" if shown else "")


class Client:
    """Asks one function; every status is an answer, redirects are not followed.

    Each request has a connection of its own. deployments: how often which source and revision
    answered.

    Raises: OSError where there is no answer (URLError for names, TLS and refused connections).
    """

    def __init__(self, base_url: str, *, timeout_s: float) -> None:
        self.base_url = base_url.rstrip("/")
        self.deployments: Counter[str] = Counter()
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
        answer = Answer(answered.status, answered.headers, data, time.monotonic() - started)
        self.deployments.update([answer.deployment] if answer.deployment else [])
        return answer


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """Hands out every answer as it is: no exception for 404, no redirect behind one's back."""

    def http_response(self, _request: Any, response: Any) -> Any:  # noqa: ANN401 - urllib's own
        return response

    https_response = http_response  # type: ignore[assignment]  # urllib's types narrow it


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK


def share_key(*, ahead_s: float = 0) -> tuple[str, str]:
    """Return a new Idempotency-Key, and the id of its share: its time, then bits of its SHA-256.

    ahead_s: how far the server's clock is ahead.
    """
    time_ms = round((time.time() + ahead_s) * 1000)
    key = _uuid7(time_ms, secrets.randbits(_RANDOM_BITS))
    digest = int.from_bytes(hashlib.sha256(key.bytes).digest(), "big")
    return str(key), str(_uuid7(time_ms, digest % (1 << _RANDOM_BITS)))


def _uuid7(time_ms: int, bits: int) -> uuid.UUID:
    high, low = divmod(bits, 1 << 62)
    return uuid.UUID(int=time_ms << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


def photo_png() -> bytes:
    """Return a PNG of PHOTO_SIZE as a camera might see it: light from below, and grain.

    It carries MARKER where files carry more than pixels: as text, in EXIF, and behind its end.
    """
    width, height = PHOTO_SIZE
    randomness = random.Random(6)  # noqa: S311 - the same picture every time
    rows = bytearray()
    for y in range(height):
        shade = bytes((n >> 3) + y * 200 // height for n in range(256))
        rows += b"\0" + randomness.randbytes(3 * width).translate(shade)  # PNG, section 9.2
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB
    marker = MARKER.encode()
    # EXIF of one entry: ImageDescription (270), ASCII (2), at byte 26.
    exif = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 270, 2, len(marker) + 1, 26, 0)
    chunks = (
        *((b"IHDR", header), (b"tEXt", b"Comment\0" + marker), (b"eXIf", exif + marker + b"\0")),
        *((b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")),
    )
    picture = b"".join(_chunk(kind, data) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + picture + marker


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def share_form(picture: bytes, platform: str) -> tuple[dict[str, str], bytes]:
    """Return the header fields and the body of a share request."""
    body = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="platform"\r\n\r\n{platform}\r\n'
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="effect_type"\r\n\r\nverify\r\n'
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{MARKER}.png"\r\n'
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


def page_title(html: bytes) -> str:
    """Return the title of a page, empty where there is none."""
    text = html.decode("utf-8", "replace")
    found = re.search(r"(?is)<title[^>]*>(.*?)</title", text)
    return unescape(found[1]).strip() if found else ""


def page_tags(html: bytes) -> dict[str, str]:
    """Return the meta tags of a page, as a crawler reads them: by property or name."""
    tags: dict[str, str] = {}
    for tag in re.findall(r"<meta\s([^>]*)>", html.decode("utf-8", "replace"), re.IGNORECASE):
        pairs = re.findall(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""", tag)
        values = {name.lower(): unescape(double or single) for name, double, single in pairs}
        name = values.get("property") or values.get("name")
        if name:
            tags.setdefault(name, values.get("content", ""))
    return tags
