"""The rate limit: the address that stands for a client, and the counters."""

from __future__ import annotations

import ipaddress
import time
from functools import partial
from typing import TYPE_CHECKING

from errors import TooManyRequests
from late_import import LateImport
from logs import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Request
    from limits import RateLimitItem, WindowStats
    from limits.strategies import RateLimiter as Strategy

SHARED_LIMIT_TIMEOUT_S = 0.5
SHARED_LIMIT_RETRY_S = 30.0


def client_address(forwarded_for: Sequence[str], peer: str, *, trusted_hops: int) -> str:
    """Return what stands for a client when its requests are counted: an IPv4 address, or a /64.

    forwarded_for: the addresses of X-Forwarded-For; trusted_hops: how many of them, from the right,
    were added by proxies of our own; anyone can write those left of them. A client that has one
    address of an IPv6 network usually has all of its /64 (RFC 6177).
    """
    found = forwarded_for[-trusted_hops] if 0 < trusted_hops <= len(forwarded_for) else peer
    try:
        address = ipaddress.ip_address(found.strip().strip("[]"))
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def client_of(request: Request, *, trusted_hops: int) -> str:
    """Return what stands for the client of a request (see client_address)."""
    forwarded_for = request.access_route if "X-Forwarded-For" in request.headers else ()
    return client_address(forwarded_for, request.remote_addr or "", trusted_hops=trusted_hops)


class RateLimiter:
    """Counts the shares of each client, in memory or in a storage that instances have in common.

    limit: such as "100/hour"; storage_uri: "memory://", or a storage that the limits package knows.
    While a shared storage cannot be reached, counting goes on in memory.
    """

    def __init__(self, limit: str, storage_uri: str) -> None:
        self._counters = LateImport(partial(_Counters, limit, storage_uri))
        self._is_shared = storage_uri != "memory://"

    def warm_up(self) -> None:
        """Import what the first request would wait for; may run in a thread of its own."""
        self._counters().ask_shared()

    @property
    def state(self) -> str:
        """Where requests are counted, as the last count found it.

        "unknown" before the first one; "unreachable" while each instance counts for itself although
        a shared storage is set.
        """
        if not self._is_shared:
            return "memory"
        answers = self._counters().shared_answers if self._counters.is_done else None
        return {None: "unknown", True: "shared", False: "unreachable"}[answers]

    def count(self, client: str) -> dict[str, str]:
        """Count one request of a client, and return the header fields that tell what is left.

        Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/

        Raises: TooManyRequests.
        """
        allowed, limit, window = self._counters().hit(client)
        reset_s = max(1, round(window.reset_time - time.time()))
        headers = {
            "RateLimit-Policy": f'"share";q={limit.amount};w={limit.get_expiry()}',
            "RateLimit": f'"share";r={max(0, window.remaining)};t={reset_s}',
        }
        if not allowed:
            raise TooManyRequests(retry_after_s=reset_s, rate_limit=headers)
        return headers


class _Counters:
    """The counters of the limits package, which is imported no sooner: it takes 0.05 s."""

    def __init__(self, limit: str, storage_uri: str) -> None:
        import limits  # noqa: PLC0415 - see above

        strategy = limits.strategies.SlidingWindowCounterRateLimiter
        self._limit = limits.parse(limit)
        self._own = strategy(limits.storage.MemoryStorage())
        self._failure = limits.errors.StorageError
        self._shared = None
        self._shared_again_at_s = 0.0
        self.shared_answers: bool | None = None
        if storage_uri != "memory://":
            storage = limits.storage.storage_from_string(
                storage_uri,
                wrap_exceptions=True,
                socket_timeout=SHARED_LIMIT_TIMEOUT_S,
                socket_connect_timeout=SHARED_LIMIT_TIMEOUT_S,
            )
            self._shared = strategy(storage)

    def ask_shared(self) -> None:
        """Find out whether the shared storage answers."""
        if self._shared is not None:
            self.shared_answers = self._shared.storage.check()

    def hit(self, client: str) -> tuple[bool, RateLimitItem, WindowStats]:
        """Return whether a request is within the limit, the limit, and what is left of it."""
        if self._shared is not None and time.monotonic() >= self._shared_again_at_s:
            try:
                counted = self._hit(self._shared, client)
            except self._failure as error:
                self.shared_answers = False
                self._shared_again_at_s = time.monotonic() + SHARED_LIMIT_RETRY_S
                note(rate_limit_storage=f"counting in memory: {type(error).__name__}")
            else:
                self.shared_answers = True
                return counted
        return self._hit(self._own, client)

    def _hit(self, strategy: Strategy, client: str) -> tuple[bool, RateLimitItem, WindowStats]:
        allowed = strategy.hit(self._limit, client)
        return allowed, self._limit, strategy.get_window_stats(self._limit, client)
