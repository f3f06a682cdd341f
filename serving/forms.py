"""Request body to Form, within limits; nothing is decoded here.

    socket -> _Body (byte limit, time limit) -> multipart parser -> parts -> Form

Limits, all of them refused before memory is taken:
    max_upload_bytes    the file                (MAX_UPLOAD_MB)
    FORM_MAX_BYTES      everything else in the body
    FORM_MAX_PARTS      parts, whatever their size
    FIELD_MAX_CHARS     one text field; ALT_MAX_CHARS for alt
    UPLOAD_TIMEOUT_S    the whole body, however slowly it trickles in; a small one gets less
"""

from __future__ import annotations

import contextlib
import socket
import threading
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from errors import (
    FieldProblem,
    FileTooLarge,
    InvalidFields,
    MalformedForm,
    MissingBoundary,
    UnusableKey,
    UploadTooSlow,
)
from imaging.geometry import Fit
from serving.languages import is_language_tag
from share_keys import MAX_AGE_S, MAX_AHEAD_S, age_s, parse_uuid7

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from _typeshed.wsgi import WSGIEnvironment
    from flask import Request

DEFAULT_EFFECT_TYPE = "enhancedblackwhite"
FORM_MAX_BYTES = 64_000
FORM_MAX_PARTS = 50
FIELD_MAX_CHARS = 100
ALT_MAX_CHARS = 300
UPLOAD_TIMEOUT_S = 90.0
UPLOAD_MIN_TIMEOUT_S = 10.0  # and, up to UPLOAD_TIMEOUT_S, what the body takes at this rate:
UPLOAD_MIN_BYTES_PER_S = 50_000
DISCARD_MAX_BYTES = 32_000_000  # the most that Cloud Run lets through in one HTTP/1 request
DISCARD_TIMEOUT_S = 2.0

_READ_BYTES = 1 << 20
_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One part of a form; filename is None for text, and empty where no file was chosen."""

    name: str
    data: bytes = field(repr=False)
    filename: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The fields of a share request, checked.

    file: the picture as it was sent; fit: None where the platform decides; lang: the BCP 47 tag of
    what the share's page says, alt: one line that describes the picture, both empty where none was
    sent. What the client says of the file, its name and its type, is not kept: nothing may trust
    it.
    """

    file: bytes = field(repr=False)
    platform: str
    effect_type: str
    fit: Fit | None
    lang: str = ""
    alt: str = ""


def idempotency_key(request: Request) -> UUID | None:
    """Return the share key in a request's Idempotency-Key, with or without its quotes, or None.

    Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/

    Raises: UnusableKey unless it is a UUIDv7 at most MAX_AGE_S old.
    """
    text = request.headers.get("Idempotency-Key")
    if text is None:
        return None
    key = parse_uuid7(text.strip().strip('"').lower())
    if key is None or not -MAX_AHEAD_S <= age_s(key) <= MAX_AGE_S:
        raise UnusableKey(f"expected a UUIDv7 at most {MAX_AGE_S} seconds old")
    return key


def body_bytes(request: Request, *, max_upload_bytes: int) -> int:
    """Return how much memory the body of a request may take, before it is read.

    Twice what is sent: as it arrived, and, for a moment, put together.
    """
    most = max_upload_bytes + FORM_MAX_BYTES
    if "Transfer-Encoding" in request.headers:
        return 2 * most
    return 2 * min(request.content_length or 0, most)


def parse_form(request: Request, *, max_upload_bytes: int) -> Form:
    """Return the form in a request's body.

    max_upload_bytes: the most that the file may have.

    Raises: FileTooLarge, before the body is read where Content-Length gives it away;
    MissingBoundary and MalformedForm for a body that is not the form it claims to be;
    InvalidFields, with every problem at once, `file` before `platform`; UploadTooSlow.
    """
    fields = _Fields(_read_parts(request, max_upload_bytes=max_upload_bytes))
    file = fields.file()
    platform = fields.text("platform")
    effect_type = fields.text("effect_type", default=DEFAULT_EFFECT_TYPE)
    fit = fields.fit()
    lang = fields.lang()
    alt = fields.alt()
    if fields.problems or file is None:
        raise InvalidFields(fields.problems)
    if len(file) > max_upload_bytes:
        raise FileTooLarge(max_bytes=max_upload_bytes, reason=f"file of {len(file)} bytes")
    return Form(file=file, platform=platform, effect_type=effect_type, fit=fit, lang=lang, alt=alt)


def discard_body(environ: WSGIEnvironment) -> None:
    """Read and forget what the client still sends, within limits, so that it sees the answer.

    A client that is refused early goes on sending; closing the connection on it would reset it, and
    the answer would be lost with it (RFC 9112, section 9.6).
    """
    if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
        return  # no body was announced: most requests are spared the timer below
    stream = environ["wsgi.input"]
    left = DISCARD_MAX_BYTES
    with contextlib.suppress(Exception), _time_limit(environ, DISCARD_TIMEOUT_S):
        while left > 0 and (data := stream.read(min(left, _READ_BYTES))):
            left -= len(data)


def _read_parts(request: Request, *, max_upload_bytes: int) -> list[_Part]:
    if request.mimetype == "multipart/form-data" and not request.mimetype_params.get("boundary"):
        raise MissingBoundary
    is_urlencoded = request.mimetype == "application/x-www-form-urlencoded"
    max_body_bytes = FORM_MAX_BYTES + (0 if is_urlencoded else max_upload_bytes)
    if (request.content_length or 0) > max_body_bytes:
        raise FileTooLarge(
            max_bytes=max_upload_bytes, reason=f"Content-Length {request.content_length}"
        )
    body = _Body(request.environ["wsgi.input"], max_body_bytes, max_upload_bytes)
    with _time_limit(request.environ, _timeout_s(request)) as time_is_up:
        try:
            return list(_parts(body, request))
        except (MultipartError, ValueError, OSError) as error:
            if time_is_up.is_set():
                raise UploadTooSlow from None
            raise MalformedForm(f"{type(error).__name__}: {error}") from error


def _timeout_s(request: Request) -> float:
    """Return how long the body may take: who announces little and trickles is cut off soon."""
    if request.content_length is None:
        return UPLOAD_TIMEOUT_S
    expected_s = request.content_length / UPLOAD_MIN_BYTES_PER_S
    return min(UPLOAD_MIN_TIMEOUT_S + expected_s, UPLOAD_TIMEOUT_S)


def _parts(body: _Body, request: Request) -> Iterator[_Part]:
    """Yield the parts of a form of either type; none of any other body, which is not read."""
    if request.mimetype == "multipart/form-data":
        parser = PushMultipartParser(
            request.mimetype_params["boundary"], max_segment_count=FORM_MAX_PARTS
        )
        yield from _multipart(body, parser)
    elif request.mimetype == "application/x-www-form-urlencoded":
        text = b"".join(iter(lambda: body.read(_READ_BYTES), b"")).decode()
        for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_MAX_PARTS):
            yield _Part(name=name, data=value.encode())


def _multipart(body: _Body, parser: PushMultipartParser) -> Iterator[_Part]:
    chunks: list[bytes] = []
    segment: MultipartSegment | None = None
    for event in parser.parse_blocking(body.read, _READ_BYTES):
        if isinstance(event, MultipartSegment):
            segment, chunks = event, []
        elif event is not None:
            chunks.append(event)
        elif segment is not None:
            filename = _filename(segment)
            if filename is None and segment.size > FORM_MAX_BYTES:
                raise ValueError("too long a text part")
            yield _Part(
                name=segment.name or "",
                data=b"".join(chunks),
                filename=filename,
            )


def _filename(segment: MultipartSegment) -> str | None:
    """Return the name of a file part, None of a text part.

    RFC 7578 forbids `filename*` (RFC 5987); some clients send it alone, for what is not ASCII.
    """
    filename: str | None = segment.filename
    if filename is None and "filename*" in segment.header("Content-Disposition", ""):
        return "filename*"
    return filename


class _Body:
    """The request body up to a limit: one byte more is an error, and is not read on."""

    def __init__(self, stream: Any, max_body_bytes: int, max_upload_bytes: int) -> None:  # noqa: ANN401 - the WSGI server's own class
        self._stream = stream
        self._left = max_body_bytes
        self._max_upload_bytes = max_upload_bytes

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self._stream.read(min(size, self._left + 1))
        except OSError:
            raise
        except Exception as error:  # the server's own complaint about chunks or trailers
            raise ValueError(f"{type(error).__name__}: {error}") from error
        self._left -= len(data)
        if self._left < 0:
            raise FileTooLarge(max_bytes=self._max_upload_bytes, reason="body above the limit")
        return data


@contextlib.contextmanager
def _time_limit(environ: WSGIEnvironment, seconds: float) -> Iterator[threading.Event]:
    """Let reading the body take so many seconds in all; after that it reads as ended.

    gunicorn's sockets wait for ever. A timeout on the socket would start anew with every byte, so
    the reading side is shut instead.
    """
    time_is_up = threading.Event()
    connection: socket.socket | None = environ.get("gunicorn.socket")
    if connection is None:  # another server than gunicorn, as in tests without a socket
        yield time_is_up
        return

    def shut() -> None:
        time_is_up.set()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RD)

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield time_is_up
    finally:
        timer.cancel()


class _Fields:
    """Takes fields out of the parts; of a field that comes twice the last, as it always was."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._files = {part.name: part for part in parts if part.filename is not None}
        self._texts = {part.name: part.data for part in parts if part.filename is None}
        self.problems: list[FieldProblem] = []

    def file(self) -> bytes | None:
        part = self._files.get("file")
        if part and (part.data or part.filename):
            return part.data
        if self._texts.get("file"):
            self._report("value_error", "file", "Value error, expected a file")
        else:  # a browser sends an empty part without a name where no file was chosen
            self.problems.append(FieldProblem.missing("file"))
        return None

    def text(
        self, name: str, *, default: str | None = None, max_chars: int = FIELD_MAX_CHARS
    ) -> str:
        value = self._value(name)
        if name in self._files:
            self._report("string_type", name, "Input should be a valid string")
        elif not value and default is None:
            self.problems.append(FieldProblem.missing(name))
        elif len(value) > max_chars:
            self._report(
                "value_error", name, f"Value error, expected at most {max_chars} characters"
            )
        elif any(unicodedata.category(c) in _CONTROL_CATEGORIES for c in value):
            self._report("value_error", name, "Value error, expected no control characters")
        return value or default or ""

    def fit(self) -> Fit | None:
        value = self.text("fit", default="")
        if value in tuple(Fit):
            return Fit(value)
        if value and not any(problem.loc[1] == "fit" for problem in self.problems):
            self._report("value_error", "fit", f"Value error, expected one of {', '.join(Fit)}")
        return None

    def lang(self) -> str:
        """Never a problem: forms may have sent a field of this name for something else already."""
        value = self._value("lang")
        return value if is_language_tag(value) else ""

    def alt(self) -> str:
        self._texts["alt"] = " ".join(self._value("alt").split()).encode()
        return self.text("alt", default="", max_chars=ALT_MAX_CHARS)

    def _value(self, name: str) -> str:
        return self._texts.get(name, b"").decode(errors="replace").strip()

    def _report(self, kind: str, name: str, message: str) -> None:
        self.problems.append(FieldProblem(type=kind, loc=("body", name), msg=message))
