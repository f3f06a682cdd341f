"""Who may share: counted, with a key, and, where UPLOAD_KEYS says so, with a token.

Authorization: Bearer <token>    checked before a byte of the body is read
token=<token>                    a field before the file: checked before the file is read
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from errors import MissingUploadToken, UnusableKey
from logs import note
from serving.forms import idempotency_key
from serving.rate_limit import client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from flask import Request

    from config import Settings
    from serving.rate_limit import RateLimiter
    from serving.upload_tokens import UploadToken
    from share_keys import ShareKey
    from shares import Shares


class Gate:
    """Lets requests in that share a picture."""

    def __init__(self, settings: Settings, rate_limiter: RateLimiter, shares: Shares) -> None:
        self._read = _reader(settings)
        self._max_upload_bytes = settings.max_upload_bytes
        self._trusted_hops = settings.trusted_proxy_hops
        self._rate_limiter = rate_limiter
        self._shares = shares

    def admission(self, request: Request, origin: str | None) -> Admission:
        """Return the admission of a request, which is complete unless its form has to say more.

        origin: of the page that asks, allowed already.

        Raises: WrongUploadToken; TooManyRequests; UnusableKey; Gone for the key of an ended share.
        """
        admission = Admission(self, request, origin, max_file_bytes=self._max_upload_bytes)
        if self._read is None:
            admission.enter(None)
        elif text := bearer(request):
            admission.admit(text)
        return admission

    def token(self, text: str, origin: str | None) -> UploadToken:
        """Return the token that a text is, if it may be used from there.

        Raises: MissingUploadToken, WrongUploadToken.
        """
        if not text or self._read is None:
            raise MissingUploadToken
        token = self._read(text)
        token.require_origin(origin)
        return token

    def count(self, request: Request, token: UploadToken | None) -> Mapping[str, str]:
        """Count a request of its subject, or else of its client (see RateLimiter.count)."""
        if token is not None and token.subject:
            return self._rate_limiter.count(f"sub {token.subject}")
        return self._rate_limiter.count(client_of(request, trusted_hops=self._trusted_hops))

    def begin(self, request: Request, token: UploadToken | None) -> ShareKey:
        """Return the key of the share to come (see Shares.begin)."""
        key = idempotency_key(request)
        return self._shares.begin(_one_of(key, token.key) if token is not None else key)


class Admission:
    """How one request is let in: by its header, or by a field of its form.

    key: of the share; rate_limit: header fields that tell what is left of it; max_file_bytes: the
    most that the file may have. The first two are there once it is complete.
    """

    key: ShareKey
    rate_limit: Mapping[str, str]

    def __init__(
        self, gate: Gate, request: Request, origin: str | None, *, max_file_bytes: int
    ) -> None:
        self._gate = gate
        self._request = request
        self._origin = origin
        self.max_file_bytes = max_file_bytes
        self.is_complete = False

    def admit(self, text: str) -> int:
        """Let the request in by a token; return the most bytes that its file may have.

        Raises: MissingUploadToken for an empty text, and what Gate.admission raises.
        """
        token = self._gate.token(text, self._origin)
        if token.max_bytes is not None:
            self.max_file_bytes = min(self.max_file_bytes, token.max_bytes)
        self.enter(token)
        return self.max_file_bytes

    def enter(self, token: UploadToken | None) -> None:
        """Count the request, and begin its share."""
        self.rate_limit = self._gate.count(self._request, token)
        self.key = self._gate.begin(self._request, token)
        self.is_complete = True
        if token is not None and token.subject:
            note(subject=token.subject)


def bearer(request: Request) -> str:
    """Return the token in Authorization: Bearer, empty if there is none (RFC 6750, section 2.1)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _one_of(key: UUID | None, of_token: UUID | None) -> UUID | None:
    if key and of_token and key != of_token:
        raise UnusableKey("differs from the key of the upload token")
    return key or of_token


def _reader(settings: Settings) -> Callable[[str], UploadToken] | None:
    """Return what reads tokens; None where anybody may share."""
    if not settings.upload_keys:
        return None
    from serving.upload_tokens import UploadToken  # noqa: PLC0415 - nobody else needs it

    return partial(
        UploadToken.read, keys=settings.upload_keys, max_age_s=settings.upload_token_age_s
    )
