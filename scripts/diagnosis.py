"""The likely cause of an unexpected answer, and the command that fixes it.

    Failed, Skipped      what a check raises
    Diagnosis.explain    one of three tables, by who answered
    ├── _OURS            this program: by the code of its error
    ├── _IN_FRONT        a proxy before it, which has passed good answers on already
    └── _HOST            the host, before any good answer: by status

Every answer of this program carries the header field Deployment. That tells it from proxies, and
from Cloud Run, which answers for a function that is not there, not public or does not start.
"""

from __future__ import annotations

import os
import ssl
import urllib.error
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from deployment import DEFAULT_NAME
from http_client import Client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from http_client import Answer

TIMEOUT_S = 20.0  # one request; storage that does not answer becomes a 503 after 10 s
STORAGE = "https://storage.googleapis.com"
_STORAGE_GAVE_UP_S = 7.0  # a refusal comes at once, after this it was tried again and again

DEPLOY = "scripts/deploy"
ANOTHER = "another program answers here"
NO_ROUTE = "the route is missing: a stale or partial deploy, or no function of this name here"
NO_START = (
    "no instance starts: it refuses its settings (GCS_BUCKET_NAME is unset?), an import fails, or "
    "memory runs out; the log names it"
)
FRONT = "something before the function answers: a proxy, a firewall or a cache"
STRIPPED = "something before the function strips"
CACHED = "a cache before the function answers with what it kept, and may not"
REDIRECT = "a redirect or a sign-in page answers, and not the function"

_OURS = {
    "too_many_requests": (
        "RATE_LIMIT is used up for this address; wait {wait_s} s",
        "sleep {wait_s}; {again}",
    ),
    "busy": ("the instance has no memory left for more pictures at once", "{again}"),
    "origin_not_allowed": ("ALLOWED_ORIGINS does not name this page's origin", DEPLOY),
    "missing_upload_token": (f"{STRIPPED} Authorization", "{front}"),
    "wrong_upload_token": (
        "UPLOAD_KEY of the environment is none of the function's UPLOAD_KEYS, or clocks differ",
        "set UPLOAD_KEY to one of UPLOAD_KEYS, then {again}",
    ),
    "picture_refused": ("the check at CHECK_URL refuses the pictures that verify posts", "{log}"),
    "check_unavailable": ("the check at CHECK_URL gives no verdict in time", "{log}"),
    "missing_token": (f"{STRIPPED} Authorization", "{front}"),
    "internal_error": ("a fault of the program: its log has the reason", "{log}"),
    "storage_unavailable": ("storage fails: its log has the reason", "{log}"),
    "not_found": (NO_ROUTE, DEPLOY),
    "method_not_allowed": (NO_ROUTE, DEPLOY),
}
_HOST = {
    0: (ANOTHER, DEPLOY),
    301: (f"{REDIRECT}: {ANOTHER}", "{own_url}"),
    401: ("the function is not public: it asks for an identity", "{make_public}"),
    403: ("the function is not public: allUsers may not invoke it", "{make_public}"),
    404: (NO_ROUTE, DEPLOY),
    405: ("the route is missing for this method: another program answers", DEPLOY),
    429: ("the host starts no further instance: MAX_INSTANCES, or a quota", "{log}"),
    500: (NO_START, "{log}"),
}
_IN_FRONT = {
    0: (FRONT, "{front}"),
    301: (f"{REDIRECT}: something before the function sends it", "{front}"),
    401: (f"{FRONT}: it asks for an identity", "{front}"),
    403: (f"{FRONT}: it refuses this request", "{front}"),
    404: (f"{FRONT}: it has no way to this place", "{front}"),
    429: ("the host starts no further instance: MAX_INSTANCES, or a quota", "{log}"),
    500: ("the instance ended while it answered: memory ran out, or it crashed", "{log}"),
}
# By what the request ended with; the first one that fits.
_REFUSED = "nothing listens: the function refused to start (GCS_BUCKET_NAME is unset?)"
_NO_ANSWER = (
    (ConnectionRefusedError, _REFUSED, "scripts/serve says why; in the cloud its log does: {log}"),
    (ssl.SSLError, "the certificate is not for this name, or not ready yet", "{own_url}"),
    (TimeoutError, "the instance hangs while it starts, or a firewall is in between", "{own_url}"),
    (ConnectionError, _IN_FRONT[500][0], "{log}"),
    (OSError, "no such host: the URL is mistyped, or no function has this name", "{own_url}"),
)


class Failed(Exception):
    """A check that failed: what was found, why most likely, and the command that mends it."""

    def __init__(self, found: str, cause: str = "", mend: str = "") -> None:
        super().__init__(found)
        self.found, self.cause, self.mend = found, cause, mend


class Skipped(Exception):
    """A check that has nothing to look at, because another one failed."""


class Diagnosis:
    """Explains the answers of one function; names and values of the settings file say which.

    commands: what mends something, by the name that the tables use.
    """

    def __init__(self, base_url: str, settings: Mapping[str, str]) -> None:
        self.base_url = base_url
        name = settings.get("FUNCTION_NAME") or DEFAULT_NAME
        place = f"--region={settings.get('REGION') or 'REGION'}"
        if settings.get("PROJECT_ID"):
            place += f" --project={settings['PROJECT_ID']}"
        services = "gcloud run services"
        own_url = f"{services} describe {name} {place} '--format=value(status.url)'"
        self.commands = {
            "log": f"{services} logs read {name} {place} --limit=50",
            "to_latest": f"{services} update-traffic {name} {place} --to-latest",
            "make_public": f"{services} add-iam-policy-binding {name} {place} "
            "--member=allUsers --role=roles/run.invoker",
            "own_url": own_url,
            # Where the function itself passes, the proxy's own settings are to be changed.
            "front": f'scripts/verify "$({own_url})"; where that passes, mend what is before it',
            "again": f"scripts/verify {base_url}",
        }

    def mend(self, text: str, **values: object) -> str:
        """Return a mend with its commands filled in."""
        for name, command in {**self.commands, **values}.items():
            text = text.replace(f"{{{name}}}", str(command))
        return text

    def explain(self, answer: Answer, *, was_good: bool) -> tuple[str, str]:
        """Return why an answer is not the expected one, and the command that mends it.

        was_good: whether this program has answered before, at the same address.
        """
        wait_s = answer.headers.get("Retry-After", "60")
        ours = _OURS.get(answer.code) if answer.deployment or answer.json() else None
        table = _IN_FRONT if was_good else _HOST
        status = answer.status
        if 300 <= status < 400:  # noqa: PLR2004 - RFC 9110, section 15.4
            status = HTTPStatus.MOVED_PERMANENTLY
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
        elif status == HTTPStatus.NOT_FOUND and answer.json():  # as programs answer, not hosts
            table = _HOST
        cause, mend = ours or table.get(status, table[0])
        return cause.format(wait_s=wait_s), self.mend(mend, wait_s=wait_s)

    def unreachable(self, error: OSError) -> Failed:
        """Explain why there is no answer at all."""
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        cause, mend = next(
            (cause, mend) for kind, cause, mend in _NO_ANSWER if isinstance(reason, kind)
        )
        return Failed(f"{self.base_url}: {reason_of(error)}", cause, self.mend(mend))

    def link_failed(self, what: str, link: str, answer: Answer) -> Failed:
        """Explain a link of a share that does not open; link: what it leads to."""
        cause, mend = f"stored, but {link} is missing: its route is, or it is elsewhere", DEPLOY
        if answer.status != HTTPStatus.NOT_FOUND:
            cause = f"{link} is not public: what is in front refuses it, or it leads elsewhere"
        if answer.status != HTTPStatus.NOT_FOUND or not answer.json():
            mend = "{front}"
        return Failed(f"{what}: {answer}", cause, self.mend(mend))

    def storage_failed(self, answer: Answer, storage: Mapping[str, Any]) -> Failed:
        """Tell a missing bucket, a missing permission and a silent storage apart.

        storage: what /health says of it.
        """
        location, mend = storage.get("location"), "scripts/setup-bucket"
        if storage.get("backend") != "gcs":
            cause = f"folder {location} cannot be written: no permission, or the disk is full"
            mend = f"df {location}"
        elif answer.seconds > _STORAGE_GAVE_UP_S:
            cause = f"storage is down, or bucket {location} does not answer; /health asks nobody"
            mend = "{log}; then {again}"
        elif _bucket_is_missing(str(location)):
            cause = f"bucket {location} does not exist"
        else:
            cause = f"permission denied: the function's account has no role on bucket {location}"
            mend += "; the log has the reason: {log}"
        found = f"POST with a picture: 503 after {answer.seconds:.1f} s"
        return Failed(found, cause, self.mend(mend))


def reason_of(error: OSError) -> str:
    """Return why there was no answer, in a few words."""
    return str(error.reason if isinstance(error, urllib.error.URLError) else error)


def _bucket_is_missing(name: str) -> bool:
    """Ask Cloud Storage as nobody: a private bucket is a 401, none at all a 404."""
    endpoint = os.environ.get("STORAGE_EMULATOR_HOST", STORAGE)
    try:
        answer = Client(endpoint, timeout_s=TIMEOUT_S).ask("GET", f"/storage/v1/b/{name}")
    except OSError:
        return False
    return answer.status == HTTPStatus.NOT_FOUND
