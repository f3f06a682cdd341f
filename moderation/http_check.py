"""A check by HTTP: who listens at CHECK_URL sees each picture, and its status is the verdict.

    look up ── connect ── TLS ── send ── read the status and the beginning of the body

Written on a socket, because one limit of time must hold for all of it, and whether an address is
public must be asked of the very one that is connected to.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import io
import ipaddress
import socket
import ssl
import time
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from config import VERSION
from errors import CheckUnavailable, PictureRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from config import Settings
    from moderation.contract import Candidate

    LookUp = Callable[..., list[tuple[Any, ...]]]  # as socket.getaddrinfo

REFUSALS = frozenset({400, 403, 422, 451})
ANSWER_MAX_BYTES = 64_000  # of an answer's body; what is longer is left unread
REASON_CHARS = 300

_PIECE_BYTES = 16_384  # one record of TLS: within it, the time that is left holds for the whole
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291, section 2.4


class HttpCheck:
    """Posts each picture to CHECK_URL, once, and takes the status for the verdict.

    2xx: it may be published; REFUSALS: it may not, for the reason in the body; everything else,
    redirects included, is no verdict. CHECK_TIMEOUT_S holds for the whole exchange. Whether an
    address is public is asked of the one that is connected to. A connection serves one picture, and
    no proxy of the environment is used. look_up: finds the addresses of a name.
    """

    def __init__(self, settings: Settings, look_up: LookUp = socket.getaddrinfo) -> None:
        self._look_up = look_up
        self._url = urlsplit(settings.check_url or "")
        self._key = settings.check_key.encode()
        self._timeout_s = settings.check_timeout_s
        self._allows_private = settings.check_allow_private

    def warm_up(self) -> None:
        """Read the certificates that TLS needs (see Check)."""
        tls_context()

    def examine(self, candidate: Candidate) -> None:
        """Return where the answer is 2xx (see Check)."""
        try:
            status, said = self._exchange(candidate, time.monotonic() + self._timeout_s)
        except (OSError, HTTPException, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"[:REASON_CHARS]
            raise CheckUnavailable(reason) from error
        if status in REFUSALS:
            raise PictureRefused(f"{status}: {said}")
        if not 200 <= status < 300:  # noqa: PLR2004 - RFC 9110, section 15.3
            raise CheckUnavailable(f"{status}: {said}")

    def _exchange(self, candidate: Candidate, ends_s: float) -> tuple[int, str]:
        """Return the status of the answer and the beginning of its body, as one line."""
        with self._connected(ends_s) as connection:
            _send(connection, self._head(candidate), ends_s)
            _send(connection, candidate.jpeg, ends_s)
            status, body = _answer(_Incoming(connection, ends_s))
        said = " ".join(body.decode("utf-8", "replace").split())
        return status, said[:REASON_CHARS]

    def _head(self, candidate: Candidate) -> bytes:
        """Return the request line and the header fields; what a client said is percent-encoded."""
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        fields = {
            "Host": self._url.netloc,
            "User-Agent": f"share-image/{VERSION}",
            "Content-Type": "image/jpeg",
            "Content-Length": str(len(candidate.jpeg)),
            "Connection": "close",
            "Share-Id": str(candidate.share_id),
            "Share-Platform": quote(candidate.platform, safe=""),
            "Share-Effect": quote(candidate.effect_type, safe=""),
        }
        if self._key:
            digest = hmac.new(self._key, candidate.jpeg, hashlib.sha256).hexdigest()
            fields["Share-Signature"] = f"sha256={digest}"
        lines = (f"{name}: {value}" for name, value in fields.items())
        return "\r\n".join((f"POST {target} HTTP/1.1", *lines, "", "")).encode("ascii")

    def _connected(self, ends_s: float) -> socket.socket:
        is_tls = self._url.scheme == "https"
        host, port = self._url.hostname or "", self._url.port or (443 if is_tls else 80)
        connection = _connect(self._addresses(host, port), port, ends_s)
        if not is_tls:
            return connection
        with connection:  # wrapped, it is another object, and this one is empty
            connection.settimeout(_left_s(ends_s))
            return tls_context().wrap_socket(connection, server_hostname=host)

    def _addresses(self, host: str, port: int) -> list[str]:
        """Look the host up, once, and return its addresses that may be connected to."""
        found = self._look_up(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        allowed = [a for a in addresses if self._allows_private or is_public(a)]
        if not allowed:
            raise ValueError(f"{host} is at {', '.join(addresses)}: not a public address")
        return allowed


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, and holds no other address.

    Source: https://www.iana.org/assignments/iana-ipv6-special-registry/
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast
    if ip.ipv4_mapped is not None:
        return is_public(str(ip.ipv4_mapped))
    return ip in _GLOBAL_UNICAST and ip.is_global and ip.sixtofour is None and ip.teredo is None


def _connect(addresses: list[str], port: int, ends_s: float) -> socket.socket:
    """Connect to the first address that answers; each gets its part of the time that is left."""
    for number, address in enumerate(addresses):
        timeout_s = _left_s(ends_s) / (len(addresses) - number)
        try:
            return socket.create_connection((address, port), timeout_s)
        except OSError:
            if number == len(addresses) - 1:
                raise
    raise OSError("no address")


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return what verifies certificates and names; reading the certificates takes 25 ms."""
    return ssl.create_default_context()


def _send(connection: socket.socket, data: bytes, ends_s: float) -> None:
    """Send it all before the time is up: of TLS, sendall would begin it anew with each record."""
    view = memoryview(data)
    for start in range(0, len(view), _PIECE_BYTES):
        connection.settimeout(_left_s(ends_s))
        connection.sendall(view[start : start + _PIECE_BYTES])


class _Incoming(io.RawIOBase):
    """What arrives until the time is up, and no more than an answer may take.

    has_ended: whether the other side has said its last.
    """

    def __init__(self, connection: socket.socket, ends_s: float) -> None:
        self._connection = connection
        self._ends_s = ends_s
        self._left_bytes = 2 * ANSWER_MAX_BYTES  # the header of an answer, and its body
        self.has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # of what io passes
        if not self._left_bytes:
            raise ValueError("too long an answer")
        self._connection.settimeout(_left_s(self._ends_s))
        count = self._connection.recv_into(memoryview(buffer)[: self._left_bytes])
        self._left_bytes -= count
        self.has_ended = count == 0
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what HTTPResponse reads: it asks a socket for nothing else."""
        return io.BufferedReader(self)


def _answer(incoming: _Incoming) -> tuple[int, bytes]:
    """Read the status and at most ANSWER_MAX_BYTES of the body.

    Raises: HTTPException for what is no HTTP, or ends before it is whole.
    """
    response = HTTPResponse(incoming, method="POST")  # type: ignore[arg-type]  # see makefile
    response.begin()
    if incoming.has_ended:  # in the header, which http.client takes for whole
        raise HTTPException("the answer was cut off")
    announced = response.length
    body = response.read(ANSWER_MAX_BYTES)
    if announced is not None and len(body) < min(announced, ANSWER_MAX_BYTES):
        raise HTTPException("the answer was cut off")
    return response.status, body


def _left_s(ends_s: float) -> float:
    left_s = ends_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the time is up")
    return left_s
