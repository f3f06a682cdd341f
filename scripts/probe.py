"""What scripts/verify posts and what it reads: a key, a picture, a form, a JPEG, a page.

Standard library only.
"""

from __future__ import annotations

import hashlib
import random
import re
import secrets
import struct
import time
import uuid
import zlib
from html import unescape

PHOTO_SIZE = (800, 600)  # (width, height) in px
MARKER = "planted-by-verify"  # in what is posted; nothing of it may come out
_BOUNDARY = "share-image-verify"
_RANDOM_BITS = 74  # of a UUIDv7


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
