"""Why a check failed, most likely, and the command that mends it.

    Failed, Skipped     what a check raises
    Diagnosis           reads an answer, or the lack of one, from outside: no account, no log

Cloud Run answers for a function that is not there, not public or does not start, in HTML; what this
program answers is JSON with a `code`. That tells them apart.
"""

from __future__ import annotations

import os
import ssl
import urllib.error
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from deployment import DEFAULT_NAME
from probe import Client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from probe import Answer

TIMEOUT_S = 20.0  # one request; storage that does not answer becomes a 503 after 10 s
STORAGE = "https://storage.googleapis.com"
_STORAGE_GAVE_UP_S = 7.0  # a refusal comes at once, after this it was tried again and again

ANOTHER = "another program answers here"
NO_ROUTE = "the route is missing: a stale or partial deploy, or no function of this name here"
NO_START = (
    "no instance starts: it refuses its settings (GCS_BUCKET_NAME is unset?), an import fails, or "
    "memory runs out; the log names it"
)


class Failed(Exception):
    """A check that failed: what was found, why most likely, and the command that mends it."""

    def __init__(self, found: str, cause: str, mend: str) -> None:
        super().__init__(found)
        self.found, self.cause, self.mend = found, cause, mend


class Skipped(Exception):
    """A check that has nothing to look at, because another one failed."""


class Diagnosis:
    """Explains the answers of one function; names and values of the settings file say which."""

    def __init__(self, base_url: str, settings: Mapping[str, str]) -> None:
        self.base_url = base_url
        self.name = settings.get("FUNCTION_NAME") or DEFAULT_NAME
        self.place = f"--region={settings.get('REGION') or 'REGION'}"
        if settings.get("PROJECT_ID"):
            self.place += f" --project={settings['PROJECT_ID']}"
        self.log = f"gcloud run services logs read {self.name} {self.place} --limit=50"
        self.to_latest = f"gcloud run services update-traffic {self.name} {self.place} --to-latest"
        self.make_public = (
            f"gcloud run services add-iam-policy-binding {self.name} {self.place} "
            "--member=allUsers --role=roles/run.invoker"
        )

    def unexpected(self, what: str, answer: Answer, status: HTTPStatus) -> Failed:
        """Explain an answer with another status than was expected."""
        found = f"{what}: {answer.status}, expected {int(status)}"
        if answer.code:
            found += f" (code {answer.code})"
        return Failed(found, *self._explained(answer))

    def unreachable(self, error: OSError) -> Failed:
        """Explain why there is no answer at all."""
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        mend = f"gcloud run services describe {self.name} {self.place} '--format=value(status.url)'"
        if isinstance(reason, ConnectionRefusedError):
            cause = (
                "nothing listens: the function refused to start (GCS_BUCKET_NAME is unset?), or "
                "the port is wrong"
            )
            mend = f"scripts/serve says why; in the cloud its log does: {self.log}"
        elif isinstance(reason, ssl.SSLError):
            cause = "the certificate is not for this name, or not ready yet"
        elif isinstance(reason, TimeoutError):
            cause = "the instance hangs while it starts, or a firewall is in between"
        elif isinstance(reason, ConnectionError):
            cause = "the instance ended while it answered: memory ran out, or it crashed"
            mend = self.log
        else:
            cause = "no such host: the URL is mistyped, or there is no function of this name"
        return Failed(f"{self.base_url}: {reason_of(error)}", cause, mend)

    def storage_failed(self, answer: Answer, storage: Mapping[str, Any]) -> Failed:
        """Tell a missing bucket, a missing permission and a silent storage apart.

        storage: what /health says of it.
        """
        found = f"POST with a picture: 503 after {answer.seconds:.1f} s"
        location = storage.get("location")
        if storage.get("backend") != "gcs":
            cause = f"folder {location} cannot be written: no permission, or the disk is full"
            return Failed(found, cause, f"df {location}")
        if answer.seconds > _STORAGE_GAVE_UP_S:
            cause = f"storage is down, or bucket {location} does not answer; /health asks nobody"
            return Failed(found, cause, f"{self.log}; then {self._again}")
        if _bucket_is_missing(str(location)):
            return Failed(found, f"bucket {location} does not exist", "scripts/setup-bucket")
        cause = f"permission denied: the function's account has no role on bucket {location}"
        return Failed(found, cause, f"scripts/setup-bucket; the log has the reason: {self.log}")

    def not_allowed(self, what: str, origin: str, answer: Answer) -> Failed:
        """Explain an answer that a page of an allowed origin may not read."""
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            return Failed(f"{what}: 429", *self._explained(answer))
        return Failed(
            f"{what}: {answer.status} without Access-Control-Allow-Origin",
            f"ALLOWED_ORIGINS does not name {origin}, or something before the function answers",
            "scripts/deploy",
        )

    def too_open(self, what: str, origin: str) -> Failed:
        """Explain an answer that a page of a foreign origin may read."""
        return Failed(
            f"{what} from {origin} is allowed",
            "something before the function answers for it, or another program does",
            "scripts/deploy",
        )

    def unreadable(self, what: str, answer: Answer) -> Failed:
        """Explain an error without CORS header fields."""
        return Failed(
            f"{what}: {answer.status} without CORS header fields",
            "pages see a network error instead of the reason: something before the function "
            "answers, or another program does",
            "scripts/deploy",
        )

    def link_failed(self, url: str, what: str, answer: Answer) -> Failed:
        """Explain a link of a share that does not open."""
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            cause = (
                f"{what} is not public: neither is the function, or the link leads to the bucket"
            )
            return Failed(f"{url}: {answer.status}", cause, self.make_public)
        if answer.status == HTTPStatus.NOT_FOUND:
            cause = (
                f"stored, but {what} is missing: its route is, or PUBLIC_BASE_URL leads elsewhere"
            )
            return Failed(f"{url}: 404", cause, "scripts/deploy")
        return self.unexpected(f"GET {url}", answer, HTTPStatus.OK)

    @property
    def _again(self) -> str:
        return f"scripts/verify {self.base_url}"

    def _explained(self, answer: Answer) -> tuple[str, str]:
        """Return why an answer has its status, and the command that mends it."""
        # Longer than a function should be, because it is two tables.
        wait_s = answer.headers.get("Retry-After", "60")
        by_code = {
            "too_many_requests": (
                f"RATE_LIMIT is used up for this address; wait {wait_s} s",
                f"sleep {wait_s}; {self._again}",
            ),
            "busy": ("the instance has no memory left for more pictures at once", self._again),
            "origin_not_allowed": ("ALLOWED_ORIGINS does not name this page", "scripts/deploy"),
            "internal_error": ("a fault of the program: its log has the reason", self.log),
            "storage_unavailable": ("storage fails: its log has the reason", self.log),
        }
        by_status = {
            403: ("the function is not public: allUsers may not invoke it", self.make_public),
            404: (NO_ROUTE, "scripts/deploy"),
            405: (
                "the route is missing for this method: another program answers",
                "scripts/deploy",
            ),
            429: ("the host starts no further instance: MAX_INSTANCES, or a quota", self.log),
        }
        if answer.code in by_code:
            return by_code[answer.code]
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return NO_START, self.log
        return by_status.get(answer.status, (ANOTHER, "scripts/deploy"))


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
