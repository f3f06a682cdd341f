"""Share keys and ids of any age, laid out independently of the program (RFC 9562, section 5.7)."""

from __future__ import annotations

import secrets
import time
import uuid


def uuid7(*, age_s: float = 0.0) -> str:
    """Return a UUIDv7 that was made age_s seconds ago."""
    milliseconds = int((time.time() - age_s) * 1000).to_bytes(6, "big")
    octets = bytearray(milliseconds + secrets.token_bytes(10))
    octets[6] = 0x70 | octets[6] & 0x0F
    octets[8] = 0x80 | octets[8] & 0x3F
    made = str(uuid.UUID(bytes=bytes(octets)))
    assert made[14] == "7"
    return made


def is_uuid7(text: object) -> bool:
    """Return whether a text is a UUIDv7 in its usual form."""
    try:
        return uuid.UUID(str(text)).version == 7 and str(uuid.UUID(str(text))) == text
    except ValueError:
        return False
