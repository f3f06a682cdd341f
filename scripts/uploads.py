"""Whether a function lets strangers share, and how verify gets in where it does not.

Needs no environment: serving/upload_tokens.py uses the standard library alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from diagnosis import DEPLOY, Failed

sys.path.append(str(Path(__file__).parents[1]))
from serving.upload_tokens import UploadToken  # found by the line above

if TYPE_CHECKING:
    from checks import Run
    from deployment import Deployment

KEY_VARIABLE = "UPLOAD_KEY"  # holds one of UPLOAD_KEYS
HOW = f"uploads need a token: set {KEY_VARIABLE} to one of UPLOAD_KEYS"
_LIFETIME_S = 60  # however short UPLOAD_TOKEN_MINUTES is


def authorization(key: str, *, ahead_s: float) -> dict[str, str]:
    """Return the header field that lets a POST in; ahead_s: of the server's clock."""
    token = UploadToken(ends_at=int(time.time() + ahead_s) + _LIFETIME_S)
    return {"Authorization": f"Bearer {token.signed(key)}"}


def prove_closed(run: Run) -> str:
    """Return who may share; fail where a function that asks for tokens takes others."""
    if run.health.get("uploads") != "token":
        return "open to all: UPLOAD_KEYS is not set"
    forged = authorization("nobody-has-this-key", ahead_s=run.ahead_s)
    for what, headers, status, code in (
        ("no token", {}, HTTPStatus.UNAUTHORIZED, "missing_upload_token"),
        ("a forged token", forged, HTTPStatus.FORBIDDEN, "wrong_upload_token"),
    ):
        answer = run.client.ask("POST", "/api/v2/share-image", headers, b"")
        if (answer.status, answer.code) != (status, code):
            raise Failed(f"POST with {what}: {answer}, expected {status} {code}", mend=DEPLOY)
    return "none without a token, none with a forged one" + ("" if run.upload_key else f"; {HOW}")


def key_of(target: Deployment) -> str:
    """Return the first of UPLOAD_KEYS that a deploy set; empty if there is none to be had."""
    name, _, version = target.secrets.get("UPLOAD_KEYS", "").partition(":")
    keys = target.variables.get("UPLOAD_KEYS", "")
    if name:
        access = ["gcloud", "secrets", "versions", "access", version or "latest"]
        place = [f"--secret={name}", f"--project={target.project}"]
        keys = subprocess.run([*access, *place], check=False, capture_output=True, text=True).stdout
    return keys.partition(",")[0].strip()
