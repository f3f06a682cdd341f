"""Upload tokens: what lets in only those whom the shop trusts.

    base64url(JSON) "." base64url(HMAC-SHA256 of the first part, with a key of UPLOAD_KEYS)

    exp        when it ends, in seconds since the epoch                      required
    origin     the page that may use it, as browsers send it: https://shop.example
    sub        who shares: the rate limit counts by it
    max_bytes  the most that the file may have
    jti        for one use: a UUIDv7, which becomes the share's key

The names are those of JSON Web Tokens (RFC 7519, section 4.1), the form is not: there is no header
that could name an algorithm.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from errors import ExpiredUploadToken, WrongUploadToken
from share_keys import MAX_AGE_S, UUID7, parse_uuid7, time_s

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

MAX_CHARS = 2000  # with its dot, and its signature of 43
MAX_SUBJECT_CHARS = 200
CLOCK_SKEW_S = 60  # how far the clock of who makes tokens may run ahead of ours

_TOKEN = re.compile(r"([A-Za-z0-9_-]{1,1956})\.([A-Za-z0-9_-]{43})")
_FIELDS = {"exp": int, "origin": str, "sub": str, "max_bytes": int, "jti": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadToken:
    """What a token allows.

    ends_at: epoch seconds; origin, subject: empty for any; max_bytes: of the file, None for the
    function's own limit; key: of the one share that it makes, None for any number.
    """

    ends_at: int
    origin: str = ""
    subject: str = ""
    max_bytes: int | None = None
    key: UUID | None = None

    def signed(self, key: str) -> str:
        """Return the token as it is sent."""
        said = {
            "exp": self.ends_at,
            "origin": self.origin,
            "sub": self.subject,
            "max_bytes": self.max_bytes,
            "jti": str(self.key or ""),
        }
        text = json.dumps({name: value for name, value in said.items() if value})
        payload = _base64url(text.encode())
        return f"{payload}.{_signature(payload, key)}"

    @classmethod
    def read(cls, text: str, keys: Sequence[str], *, max_age_s: int) -> UploadToken:
        """Return the token that a text is; max_age_s: how far ahead its end may be.

        Raises: WrongUploadToken, ExpiredUploadToken.
        """
        found = _TOKEN.fullmatch(text)
        if not found:
            raise WrongUploadToken("not a token")
        payload, signature = found.groups()
        if not any(hmac.compare_digest(_signature(payload, key), signature) for key in keys):
            raise WrongUploadToken("signed with another key")
        token = _parsed(payload)
        _require_time(token, max_age_s)
        return token

    def require_origin(self, origin: str | None) -> None:
        """Let in the pages of its origin.

        Raises: WrongUploadToken.
        """
        if self.origin and origin != self.origin:
            raise WrongUploadToken(f"for {self.origin!r}, used from {(origin or '')[:200]!r}")


def _parsed(payload: str) -> UploadToken:
    """Return what a payload says whose signature was right: who signed may be mistaken."""
    try:
        said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError) as error:
        raise WrongUploadToken("not base64url of JSON") from error
    if not isinstance(said, dict) or not said.keys() <= _FIELDS.keys():
        raise WrongUploadToken(f"not an object of {', '.join(_FIELDS)}")
    wrong = [name for name, value in said.items() if not _is_valid(name, value)]
    if wrong or "exp" not in said:
        raise WrongUploadToken(f"wrong or missing: {', '.join(wrong) or 'exp'}")
    return UploadToken(
        ends_at=said["exp"],
        origin=said.get("origin", ""),
        subject=said.get("sub", ""),
        max_bytes=said.get("max_bytes"),
        key=parse_uuid7(said.get("jti", "")),
    )


def _is_valid(name: str, value: Any) -> bool:  # noqa: ANN401 - of JSON
    if _FIELDS[name] is int:
        return type(value) is int and value > 0  # True is an int to isinstance
    if not isinstance(value, str):
        return False
    if name == "jti":
        return UUID7.fullmatch(value) is not None
    return 0 < len(value) <= MAX_SUBJECT_CHARS and value.isprintable()


def _require_time(token: UploadToken, max_age_s: int) -> None:
    now = time.time()
    if token.ends_at <= now:
        raise ExpiredUploadToken(f"ended {now - token.ends_at:.0f} s ago")
    if token.ends_at > now + max_age_s + CLOCK_SKEW_S:
        raise WrongUploadToken(f"ends in more than {max_age_s} s")
    # A share key is accepted for so long: later, nobody could tell a first use from a second.
    if token.key and token.ends_at > time_s(token.key) + MAX_AGE_S:
        raise WrongUploadToken(f"for one use, and ends more than {MAX_AGE_S} s after its jti")


def _signature(payload: str, key: str) -> str:
    return _base64url(hmac.digest(key.encode(), payload.encode(), hashlib.sha256))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
