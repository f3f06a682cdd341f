"""An anonymous HTTP client of one function.

    Client.ask ── Answer ── json, code, date, deployment

Standard library only.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from html import unescape
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message
    from http.client import HTTPResponse

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; seconds: from connecting to the last byte."""

    status: int
    headers: Message
    body: bytes
    seconds: float

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object; empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def code(self) -> str:
        """The error's machine word; empty where it is not this program that answers."""
        return str(self.json().get("code", ""))

    @property
    def deployment(self) -> str:
        """The source and the revision that answered; empty where it was not this program."""
        return self.headers.get("Deployment", "")

    @property
    def date(self) -> datetime:
        """When it was sent, by the server's own clock where it says so."""
        sent = self.headers.get("Date")
        return parsedate_to_datetime(sent) if sent else datetime.now().astimezone()

    @property
    def allowed_origins(self) -> list[str]:
        """The Access-Control-Allow-Origin header fields: browsers want exactly one."""
        return self.headers.get_all("Access-Control-Allow-Origin", [])

    def __str__(self) -> str:
        """Return the status, with what tells who answered: code, Location, title."""
        location, title = self.headers.get("Location", ""), page_title(self.body)
        shown = [f"code {self.code}"] * bool(self.code)
        shown += [f"Location {location[:200]!r}"] * bool(location)
        shown += [f"title {title[:100]!r}"] * bool(title)
        return f"{self.status}" + (f" ({', '.join(shown)})" if shown else "")


class Client:
    """Asks one function; every status is an answer, redirects are not followed.

    Each request has a connection of its own. deployments: how often which source and revision
    answered.

    is_tag: whether base_url is another address of what stands_for leads to, so that links there are
    asked here.

    Raises: OSError where there is no answer (URLError for names, TLS and refused connections).
    """

    def __init__(self, base_url: str, *, timeout_s: float, is_tag: bool = False) -> None:
        self.is_tag = is_tag
        self.base_url = base_url.rstrip("/")
        self.deployments: Counter[str] = Counter()
        self.stands_for = ""
        self._timeout_s = timeout_s
        proxies = [urllib.request.ProxyHandler({})] if is_loopback(base_url) else []
        self._opener = urllib.request.build_opener(_EveryStatus, *proxies)

    def ask(
        self,
        method: str,
        place: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Return the answer to one request; place: a path below the function's URL, or a URL."""
        url = self.base_url + place if place.startswith("/") else urljoin(self.base_url, place)
        if self.is_tag:
            url = self.base_url + url.removeprefix(self.base_url).removeprefix(self.stands_for)
        request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - main() checks
        # Some hosts and firewalls refuse the library's own name.
        for name, value in {"User-Agent": "share-image-verify", **(headers or {})}.items():
            request.add_header(name, value)
        started = time.monotonic()
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                answered: HTTPResponse = response
                data = answered.read()
        except HTTPException as error:
            raise ConnectionError(f"half an answer: {type(error).__name__}") from error
        answer = Answer(answered.status, answered.headers, data, time.monotonic() - started)
        self.deployments.update([answer.deployment] if answer.deployment else [])
        return answer


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """Hands out every answer as it is: no exception for 404, no redirect behind one's back."""

    def http_response(self, _request: Any, response: Any) -> Any:  # noqa: ANN401 - urllib's own
        return response

    https_response = http_response  # type: ignore[assignment]  # urllib's types narrow it


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK


def page_title(html: bytes) -> str:
    """Return the title of a page, empty where there is none."""
    text = html.decode("utf-8", "replace")
    found = re.search(r"(?is)<title[^>]*>(.*?)</title", text)
    return unescape(found[1]).strip() if found else ""
