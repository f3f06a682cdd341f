"""The arithmetic of a share: key, id and time. Nothing is looked up, nothing is stored.

    share key   UUIDv7: the client's Idempotency-Key, or minted here; the answer's delete_token
        │ SHA-256
    share id    UUIDv7 with the key's time, so that the id alone tells when the share expires

The id follows from the key, and not the key from the id: the holder of the key may delete, and a
POST that is repeated with its key gets the same object names.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from datetime import timedelta

MAX_AGE_S = 300  # of a key that a client sends
MAX_AHEAD_S = 60  # how far a client's clock may run ahead of ours

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_RANDOM_BITS = 74


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareKey:
    """What a share is made under: the key opens deletion, and only the share's maker has it.

    is_minted: made here, so that no other request has it.
    """

    value: UUID = field(repr=False)
    is_minted: bool

    @property
    def share_id(self) -> UUID:
        """The id that follows from the key."""
        return share_id_of(self.value)

    @classmethod
    def mint(cls) -> ShareKey:
        """Return a new key from a cryptographic source (RFC 9562, section 5.7)."""
        key = _uuid7(time.time_ns() // 1_000_000, secrets.randbits(_RANDOM_BITS))
        return cls(value=key, is_minted=True)


def share_id_of(key: UUID) -> UUID:
    """Return the share id that follows from a key: its time, then bits of its SHA-256."""
    digest = int.from_bytes(hashlib.sha256(key.bytes).digest(), "big")
    return _uuid7(_time_ms(key), digest & ((1 << _RANDOM_BITS) - 1))


def token_matches(token: str, share_id: str) -> bool:
    """Return whether a delete_token is a share's key, in constant time."""
    key = parse_uuid7(token)
    expected = str(share_id_of(key)) if key else ""
    return hmac.compare_digest(expected.encode(), share_id.encode())


def parse_uuid7(text: str) -> UUID | None:
    """Return the UUIDv7 that a text spells, in lower case; None for any other text."""
    return UUID(text) if UUID7.fullmatch(text) else None


def age_s(uuid7: UUID) -> float:
    """Return how many seconds ago a UUIDv7 was made, by what it says; negative for the future."""
    return time.time() - time_s(uuid7)


def time_s(uuid7: UUID) -> float:
    """Return the time in a UUIDv7, in seconds since the epoch."""
    return _time_ms(uuid7) / 1000


def ends_at(share_id: UUID, ttl: timedelta) -> int:
    """Return the first second, since the epoch, in which a share is gone."""
    return int(time_s(share_id) + ttl.total_seconds())


def _uuid7(time_ms: int, random_bits: int) -> UUID:
    """Lay out a UUIDv7 (RFC 9562, section 5.7): 48 bits of time, then 74 others in two pieces."""
    high, low = random_bits >> 62, random_bits & ((1 << 62) - 1)
    return UUID(int=time_ms << 80 | 7 << 76 | high << 64 | 0b10 << 62 | low)


def _time_ms(uuid7: UUID) -> int:
    return uuid7.int >> 80
