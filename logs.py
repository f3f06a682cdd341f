"""One line per request: JSON as Cloud Logging reads it, plain text on a terminal.

    log = Log(...)                          once, when the process starts
    with request_line() as line:            one for each request
        note(platform="x", pixels=1)        adds fields to it, from any module
        with stage("render"): ...           adds the milliseconds that it took
    log.write("INFO", "POST / 200", line)
    log.write("INFO", "started", {"settings": public_fields(settings)})

Nothing a client sends reaches a line unescaped: both forms are written by json.
Source: https://cloud.google.com/logging/docs/structured-logging and
https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#HttpRequest
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import sys
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR")

_PLAIN_CHARS = 200  # a longer list is for programs; on a terminal it hides the lines around it

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/\d{1,20})?(?:;o=\d)?")

_CREDENTIALS = re.compile(r"//\S*@")  # greedy: a password may hold any character

_to_json = json.JSONEncoder(default=str).encode  # json.dumps would make one for each line

_line: ContextVar[dict[str, Any] | None] = ContextVar("line", default=None)


@contextlib.contextmanager
def request_line() -> Iterator[dict[str, Any]]:
    """Give note and stage a line to add to, for as long as the block runs."""
    fields: dict[str, Any] = {}
    token = _line.set(fields)
    try:
        yield fields
    finally:
        _line.reset(token)


def note(**fields: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Add fields to the line of the current request; outside of one, do nothing."""
    line = _line.get()
    if line is not None:
        line.update(fields)


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Add the milliseconds that a step takes to the line's `stages_ms`, under its name."""
    started = time.perf_counter()
    try:
        yield
    finally:
        line = _line.get()
        if line is not None:
            elapsed_ms = (time.perf_counter() - started) * 1000
            line.setdefault("stages_ms", {})[name] = round(elapsed_ms, 2)


def public_fields(settings: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Return the fields of a dataclass as JSON can hold them, without secrets.

    A field that is left out of its repr is left out here; of an address that holds a password, the
    part before the host is. Fields that are dataclasses are shown in the same way.
    """
    return {
        field.name: _public(getattr(settings, field.name))
        for field in dataclasses.fields(settings)
        if field.repr
    }


def _public(value: Any) -> Any:  # noqa: ANN401 - any field
    if dataclasses.is_dataclass(value):
        return public_fields(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple | list):
        return [_public(item) for item in value]
    return _CREDENTIALS.sub("//", str(value))


class _HasGet(Protocol):
    """Header fields, of a request or in a dictionary."""

    def get(self, key: str, default: str, /) -> str: ...


class Log:
    """Writes lines of at least one severity to a stream.

    level: one of SEVERITIES; project_id: of the Google Cloud project, completes the trace's name.
    """

    def __init__(self, level: str, *, project_id: str | None, stream: TextIO | None = None) -> None:
        self._threshold = SEVERITIES.index(level)
        self._project_id = project_id
        self._stream = stream or sys.stderr
        self._on_terminal = self._stream.isatty()

    def write(self, severity: str, message: str, fields: Mapping[str, Any]) -> None:
        """Write one line, whole, in one call, so that lines of several threads never mix."""
        if SEVERITIES.index(severity) < self._threshold:
            return
        text = self._plain if self._on_terminal else self._json
        self._stream.write(text(severity, message, fields) + "\n")
        self._stream.flush()

    def trace_fields(self, headers: _HasGet) -> dict[str, str]:
        """Return the fields that tie a line to its trace; a malformed header gives none.

        Source: https://www.w3.org/TR/trace-context/#traceparent-header and
        https://cloud.google.com/trace/docs/trace-context#legacy-http-header
        """
        found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
        found = found or _CLOUD_TRACE.fullmatch(headers.get("X-Cloud-Trace-Context", ""))
        if found is None:
            return {}
        trace = found.group(1)
        name = f"projects/{self._project_id}/traces/{trace}" if self._project_id else trace
        return {"logging.googleapis.com/trace": name}

    @staticmethod
    def _json(severity: str, message: str, fields: Mapping[str, Any]) -> str:
        return _to_json({"severity": severity, "message": message, **fields})

    @staticmethod
    def _plain(severity: str, message: str, fields: Mapping[str, Any]) -> str:
        shown = {
            name: _to_json(value)
            for name, value in fields.items()
            if not name.startswith(("logging.", "httpRequest"))
        }
        details = " ".join(
            f"{name}={text}"
            for name, text in shown.items()
            if text.startswith('"') or len(text) <= _PLAIN_CHARS
        )
        return f"{time.strftime('%H:%M:%S')} {severity:<7} {message}  {details}".rstrip()
