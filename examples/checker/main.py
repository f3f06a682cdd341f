"""A check for share-image: refuses what Cloud Vision's SafeSearch finds unsafe.

    POST, a JPEG ── signed? ── SafeSearch ── below every threshold: 204
                                         └── at one or above: 403, with the reason

Any other status is no verdict: share-image then does as its CHECK_FAILS says.
Source: https://docs.cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Any

import functions_framework
import google.auth
from flask import Response
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from requests.exceptions import RequestException

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Request

MAX_BYTES = 4_000_000  # share-image publishes less
TIMEOUT_S = 4.0  # share-image waits for 5 s by default

LIKELIHOODS = ("UNKNOWN", "VERY_UNLIKELY", "UNLIKELY", "POSSIBLE", "LIKELY", "VERY_LIKELY")
OFF = "OFF"
# What is looked for, and the likelihood from which a picture is refused if nothing else is set.
DEFAULTS = {
    "ADULT": "LIKELY",
    "VIOLENCE": "LIKELY",
    "RACY": "VERY_LIKELY",
    "MEDICAL": OFF,
    "SPOOF": OFF,
}


def thresholds(environ: Mapping[str, str]) -> dict[str, int]:
    """Return from which likelihood on, a number of LIKELIHOODS, each category is refused.

    Raises: ValueError for a setting that is neither OFF nor a likelihood above UNKNOWN.
    """
    found = {}
    for category, default in DEFAULTS.items():
        said = environ.get(f"REFUSE_{category}") or default
        if said not in (OFF, *LIKELIHOODS[1:]):
            expected = ", ".join((OFF, *LIKELIHOODS[1:]))
            raise ValueError(f"REFUSE_{category}: found {said!r}, expected one of {expected}")
        if said != OFF:
            found[category.lower()] = LIKELIHOODS.index(said)
    return found


THRESHOLDS = thresholds(os.environ)
CHECK_KEY = os.environ.get("CHECK_KEY", "")
VISION_URL = os.environ.get("VISION_URL", "https://vision.googleapis.com")


@functions_framework.http
def check(request: Request) -> Response:
    """Answer one picture: 204 to publish it, 403 to refuse it."""
    if request.method != "POST" or not 0 < (request.content_length or 0) <= MAX_BYTES:
        return Response("expected a JPEG by POST", 405)
    jpeg = request.get_data()
    if not is_signed(jpeg, request.headers.get("Share-Signature", "")):
        return Response("wrong signature", 401)
    try:
        found = safe_search(jpeg)
        reasons = refusals(found)
    except (GoogleAuthError, RequestException, LookupError, ValueError) as error:
        print(f"no verdict: {type(error).__name__}: {error}")  # noqa: T201 - the log of a function
        return Response("no verdict", 502)
    return Response(", ".join(reasons), 403) if reasons else Response(status=204)


def is_signed(jpeg: bytes, signature: str) -> bool:
    """Return whether a picture comes from who knows CHECK_KEY; without a key, always."""
    expected = "sha256=" + hmac.new(CHECK_KEY.encode(), jpeg, hashlib.sha256).hexdigest()
    return not CHECK_KEY or hmac.compare_digest(expected.encode(), signature.encode())


def safe_search(jpeg: bytes) -> dict[str, str]:
    """Return the likelihood of each category, as Cloud Vision sees it.

    Raises: GoogleAuthError, RequestException; LookupError, ValueError for an answer without them.
    """
    image = {"content": base64.b64encode(jpeg).decode()}
    asked = {"image": image, "features": [{"type": "SAFE_SEARCH_DETECTION"}]}
    answer = session().post(
        f"{VISION_URL}/v1/images:annotate", json={"requests": [asked]}, timeout=TIMEOUT_S
    )
    answer.raise_for_status()
    (found,) = answer.json()["responses"]
    if "error" in found:
        raise ValueError(found["error"].get("message", "an error without a message"))
    annotation: dict[str, str] = found["safeSearchAnnotation"]
    return annotation


def refusals(found: Mapping[str, str]) -> list[str]:
    """Return why a picture is refused: the categories that reach their thresholds.

    Raises: LookupError, ValueError where the likelihood of one of them is not known.
    """
    reasons = []
    for category, threshold in THRESHOLDS.items():
        likelihood = LIKELIHOODS.index(found[category])
        if not likelihood:
            raise ValueError(f"{category} is UNKNOWN")
        if likelihood >= threshold:
            reasons.append(f"{category} {found[category]}")
    return reasons


@functools.cache
def session() -> Any:  # noqa: ANN401 - google-auth has no types
    """Return a session that shows the function's own account."""
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-vision"])
    return AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # google-auth has none
