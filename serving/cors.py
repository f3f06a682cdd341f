"""CORS: which pages of other sites may use the function, and how browsers are told.

Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from errors import OriginNotAllowed

PREFLIGHT_MAX_AGE_S = 3600
# The last three are what Dropzone and the pages written for the replaced endpoint send.
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, Cache-Control, X-Requested-With, X-Session-ID"
)
EXPOSED_HEADERS = "Content-Length, Date, ETag, RateLimit, RateLimit-Policy, Retry-After"

# What every page may read; nothing of it depends on who asks.
EVERY_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": EXPOSED_HEADERS,
}


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins of ALLOWED_ORIGINS, compiled once.

    `https://*.shop.example` stands for exactly one label in place of the star; a lone `*`
    allows every origin.
    """

    patterns: tuple[str, ...]
    _compiled: re.Pattern[str]

    @classmethod
    def of(cls, patterns: tuple[str, ...]) -> Origins:
        """Return the origins that the patterns describe."""
        alternatives = (re.escape(p).replace(r"\*", "[a-z0-9-]+", 1) for p in patterns)
        return cls(patterns, re.compile("|".join(alternatives), re.IGNORECASE))

    @property
    def open_to_all(self) -> bool:
        """Whether every origin is allowed."""
        return self.patterns == ("*",)

    def allow(self, origin: str, own_origins: tuple[str, ...]) -> bool:
        """Return whether a page of this origin may use the function; its own pages always may."""
        return (
            self.open_to_all
            or origin in own_origins
            or self._compiled.fullmatch(origin) is not None
        )

    def check(self, origin: str | None, own_origins: tuple[str, ...]) -> None:
        """Allow requests without an Origin, and those of pages of an allowed origin.

        Raises: OriginNotAllowed.
        """
        if origin is not None and not self.allow(origin, own_origins):
            raise OriginNotAllowed(f"origin {origin[:200]!r}")

    def headers(self, origin: str | None, own_origins: tuple[str, ...]) -> dict[str, str]:
        """Return the CORS header fields of any answer to this origin.

        A page that is named may send credentials, as it might to the replaced endpoint: some
        uploaders always do. Nothing here reads them.
        Source: https://fetch.spec.whatwg.org/#http-responses
        """
        if self.open_to_all:
            return EVERY_ORIGIN
        if origin is None or not self.allow(origin, own_origins):
            return {"Vary": "Origin"}
        headers = EVERY_ORIGIN | {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if self._compiled.fullmatch(origin):
            headers["Access-Control-Allow-Credentials"] = "true"
        return headers


def preflight_headers(methods: str) -> dict[str, str]:
    """Return what a preflight adds to the CORS header fields of an answer."""
    return {
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
    }
