"""GET /token: makes upload tokens for the pages of a Shopify shop, behind its app proxy.

    page ── https://shop.example/apps/share/token ── Shopify, which signs the query ── here

Source: https://shopify.dev/docs/apps/build/online-store/app-proxies/authenticate-app-proxies
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING

from errors import NotFound, WrongSignature
from serving.responses import json_answer
from share_keys import MAX_AGE_S, ShareKey

if TYPE_CHECKING:
    from flask import Request, Response

    from config import Settings

MAX_REQUEST_AGE_S = 90


def token_answer(request: Request, settings: Settings) -> Response:
    """Return a new token: for the customer who is logged in, if one is; with once=1, for one use.

    Raises: WrongSignature; NotFound where SHOPIFY_APP_SECRET is not set.
    """
    if not settings.shopify_app_secret:
        raise NotFound("SHOPIFY_APP_SECRET is not set")
    from serving.upload_tokens import UploadToken  # noqa: PLC0415 - nobody else needs it

    require_signature(request, settings.shopify_app_secret)
    customer = request.args.get("logged_in_customer_id", "")
    once = request.args.get("once") == "1"
    lifetime_s = settings.upload_token_age_s
    token = UploadToken(
        ends_at=int(time.time()) + (min(lifetime_s, MAX_AGE_S) if once else lifetime_s),
        subject=f"customer {customer}" if customer else "",
        key=ShareKey.mint().value if once else None,
    )
    said = {"token": token.signed(settings.upload_keys[0]), "expires_at": token.ends_at}
    return json_answer(said)


def require_signature(request: Request, secret: str) -> None:
    """Accept a request whose query Shopify signed lately.

    Raises: WrongSignature.
    """
    query = request.args
    signature = query.get("signature", "")
    fields = ((name, values) for name, values in query.lists() if name != "signature")
    signed = "".join(sorted(f"{name}={','.join(values)}" for name, values in fields))
    expected = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise WrongSignature("not signed with SHOPIFY_APP_SECRET")
    timestamp = query.get("timestamp", "")
    seconds = float(timestamp) if timestamp.isascii() and timestamp.isdigit() else 0.0
    if abs(time.time() - seconds) > MAX_REQUEST_AGE_S:
        raise WrongSignature(f"signed at {timestamp[:20]!r}")
