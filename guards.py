"""Who may pass, and how much at once.

    Origins         which pages of other sites may use the function (CORS, Fetch Standard)
    RateLimiter     how many shares one client address may make
    MemoryBudget    how much memory the work at hand may take together

What they refuse is refused before the memory for it is taken.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from errors import Busy, ImageTooComplex, OriginNotAllowed, TooManyRequests
from logs import note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from limits import RateLimitItem, WindowStats
    from limits.strategies import RateLimiter as Strategy

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

MEMORY_WAIT_S = 5.0
SHARED_LIMIT_TIMEOUT_S = 0.5
SHARED_LIMIT_RETRY_S = 30.0

_CGROUP_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins of ALLOWED_ORIGINS, compiled once.

    `https://*.shop.example` stands for exactly one label in place of the star; a lone `*` lets
    every origin in.
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
        """Whether every origin is let in."""
        return self.patterns == ("*",)

    def allow(self, origin: str, own_origins: tuple[str, ...]) -> bool:
        """Return whether a page of this origin may use the function; its own pages always may."""
        return (
            self.open_to_all
            or origin in own_origins
            or self._compiled.fullmatch(origin) is not None
        )

    def check(self, origin: str | None, own_origins: tuple[str, ...]) -> None:
        """Let a request through that no browser sent, or a page of an allowed origin did.

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


def client_address(forwarded_for: Sequence[str], peer: str, *, trusted_hops: int) -> str:
    """Return what stands for a client when its requests are counted: an IPv4 address, or a /64.

    forwarded_for: the addresses of X-Forwarded-For; trusted_hops: how many of them, from the right,
    were added by proxies of our own; what stands left of those anyone can write. Who holds one
    address of an IPv6 network usually holds all of its /64 (RFC 6177).
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


class RateLimiter:
    """Counts the shares of each client, in memory or in a storage that instances have in common.

    limit: such as "100/hour"; storage_uri: "memory://", or a storage that the limits package knows.
    While a shared storage cannot be reached, counting goes on in memory.
    """

    def __init__(self, limit: str, storage_uri: str) -> None:
        self._limit = limit
        self._storage_uri = storage_uri
        self._lock = threading.Lock()
        self._counters: _Counters | None = None

    def warm_up(self) -> None:
        """Import what the first request would wait for; may run in a thread of its own."""
        with self._lock:
            if self._counters is None:
                self._counters = _Counters(self._limit, self._storage_uri)

    def count(self, client: str) -> dict[str, str]:
        """Count one request of a client, and return the header fields that tell what is left.

        Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/

        Raises: TooManyRequests.
        """
        self.warm_up()
        assert self._counters is not None  # noqa: S101 - what warm_up is for
        allowed, limit, window = self._counters.hit(client)
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
        if storage_uri != "memory://":
            storage = limits.storage.storage_from_string(
                storage_uri,
                wrap_exceptions=True,
                socket_timeout=SHARED_LIMIT_TIMEOUT_S,
                socket_connect_timeout=SHARED_LIMIT_TIMEOUT_S,
            )
            self._shared = strategy(storage)

    def hit(self, client: str) -> tuple[bool, RateLimitItem, WindowStats]:
        """Return whether a request is within the limit, the limit, and what is left of it."""
        if self._shared is not None and time.monotonic() >= self._shared_again_at_s:
            try:
                return self._hit(self._shared, client)
            except self._failure as error:
                self._shared_again_at_s = time.monotonic() + SHARED_LIMIT_RETRY_S
                note(rate_limit_storage=f"counting in memory: {type(error).__name__}")
        return self._hit(self._own, client)

    def _hit(self, strategy: Strategy, client: str) -> tuple[bool, RateLimitItem, WindowStats]:
        allowed = strategy.hit(self._limit, client)
        return allowed, self._limit, strategy.get_window_stats(self._limit, client)


def memory_limit_bytes() -> int:
    """Return the memory that this process may have: the cgroup's limit, else the machine's."""
    for name in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # none there, or "max"
            return int(Path(name).read_text())
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def resident_bytes() -> int:
    """Return the memory that this process has at the moment; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class MemoryBudget:
    """Admits work by the memory that it will take.

    budget_bytes: for all work together; max_waiting: how many requests may wait for their part.
    """

    def __init__(self, budget_bytes: int, *, max_waiting: int) -> None:
        self._budget_bytes = budget_bytes
        self._max_waiting = max_waiting
        self._taken_bytes = 0
        self._waiting = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def reserve(self, needed_bytes: int) -> Iterator[None]:
        """Hold so much memory for as long as the block runs; wait MEMORY_WAIT_S for it at most.

        Whatever fits goes first, so that small pictures pass large ones that wait.

        Raises: ImageTooComplex for what can never fit, Busy for what does not fit in time.
        """
        if needed_bytes > self._budget_bytes:
            raise ImageTooComplex(
                f"needs {needed_bytes} of {self._budget_bytes} bytes",
                detail="The picture needs more memory than there is",
            )
        self._take(needed_bytes)
        try:
            yield
        finally:
            with self._changed:
                self._taken_bytes -= needed_bytes
                self._changed.notify_all()

    def _take(self, needed_bytes: int) -> None:
        def fits() -> bool:
            return self._taken_bytes + needed_bytes <= self._budget_bytes

        with self._changed:
            if not fits():
                if self._waiting >= self._max_waiting:
                    raise Busy("too many requests wait for memory")
                self._waiting += 1
                try:
                    if not self._changed.wait_for(fits, MEMORY_WAIT_S):
                        raise Busy(f"no memory within {MEMORY_WAIT_S:g} s")
                finally:
                    self._waiting -= 1
            self._taken_bytes += needed_bytes
