"""The log line of a request: what was asked, what was answered, how long it took.

Source: https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#HttpRequest
"""

from __future__ import annotations

import itertools
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Request, Response

    from logs import Log

PATH_CHARS = 200
# What fetches pages for previews, search and training; by what these programs call themselves.
_CRAWLER = re.compile(
    r"(?<!cu)bot\b|crawler|spider|facebookexternal|facebookcatalog|meta-external|whatsapp/|pinterest/\d"
    r"|skypeuripreview|embedly|iframely|slack-imgproxy|google-inspectiontool|mastodon",
    re.IGNORECASE,
)


class RequestLog:
    """Writes the lines; view_sample: of successful views, one in so many gets its own.

    Such a line holds `sample`, by which it counts.
    """

    def __init__(self, log: Log, view_sample: int) -> None:
        self._log = log
        self._view_sample = view_sample
        self._views = itertools.count()

    def write(
        self, request: Request, response: Response, line: Mapping[str, Any], seconds: float
    ) -> None:
        """Write the line of a request, with the fields that were noted while it was answered."""
        is_view = request.method in {"GET", "HEAD"}
        if is_view and response.status_code < HTTPStatus.BAD_REQUEST and self._view_sample > 1:
            if next(self._views) % self._view_sample:
                return
            line = {**line, "sample": self._view_sample}
        if is_view and _CRAWLER.search(request.headers.get("User-Agent", "")):
            line = {**line, "is_crawler": True}
        _write_line(self._log, request, response, line, seconds)


def _write_line(
    log: Log, request: Request, response: Response, line: Mapping[str, Any], seconds: float
) -> None:
    status, path = response.status_code, request.path[:PATH_CHARS]
    severity = "WARNING" if line.get("check") == "failed" else "INFO"  # published all the same
    if status >= HTTPStatus.BAD_REQUEST:
        severity = "ERROR" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "WARNING"
    asked = {
        "requestMethod": request.method,
        "requestUrl": path,
        "status": status,
        "requestSize": str(request.content_length or 0),
        "responseSize": str(response.content_length or 0),
        "latency": f"{seconds:.6f}s",
    }
    message = f"{request.method} {path} {status} {seconds * 1000:.0f} ms"
    fields = {**line, "httpRequest": asked, **log.trace_fields(request.headers)}
    log.write(severity, message, fields)


def write_cut(log: Log, request: Request, timeout_s: float) -> None:
    """Write that a client was cut off, because it did not read its answer."""
    message = f"{request.method} {request.path[:PATH_CHARS]} cut off"
    fields = {"reason": f"the answer was not read within {timeout_s:.1f} s"}
    log.write("WARNING", message, fields | log.trace_fields(request.headers))
