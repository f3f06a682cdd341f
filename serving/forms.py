"""Request body to Form, within limits; nothing is decoded here.

    socket -> Body (byte limit, time limit) -> multipart parser -> parts -> Form

Limits, all of them refused before memory is taken, beside those of serving/body.py:
    FORM_MAX_PARTS      parts, whatever their size
    FIELD_MAX_CHARS     one text field; ALT_MAX_CHARS for alt
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from config.values import SOURCE_TYPES
from errors import (
    FieldProblem,
    FileTooLarge,
    InvalidFields,
    MalformedForm,
    MissingBoundary,
    MissingUploadToken,
    UnusableKey,
    UploadTooSlow,
)
from imaging.geometry import Fit
from serving.body import FORM_MAX_BYTES, READ_BYTES, Body, time_limit, timeout_s
from serving.languages import is_language_tag
from share_keys import MAX_AGE_S, MAX_AHEAD_S, age_s, parse_uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from flask import Request

DEFAULT_EFFECT_TYPE = "enhancedblackwhite"
FORM_MAX_PARTS = 50
FIELD_MAX_CHARS = 100
ALT_MAX_CHARS = 300

_TOKEN_READ_BYTES = 8192  # at once, as long as no token let the file in

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
    sent; digital_source_type: one of SOURCE_TYPES, or empty. What the client says of the file, its
    name and its type, is not kept: nothing may trust it.
    """

    file: bytes = field(repr=False)
    platform: str
    effect_type: str
    fit: Fit | None
    lang: str = ""
    alt: str = ""
    digital_source_type: str = ""


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


def parse_form(
    request: Request, *, max_upload_bytes: int, admit: Callable[[str], int] | None = None
) -> Form:
    """Return the form in a request's body.

    max_upload_bytes: the most that the file may have; admit: takes the field `token`, which then
    has to come before the file, and returns the most bytes that the file may have. It is called
    before the file is read, and before more than FORM_MAX_BYTES are.

    Raises: what admit does; FileTooLarge, before the body is read where Content-Length gives it
    away; MissingBoundary and MalformedForm for a body that is not the form it claims to be;
    InvalidFields, with every problem at once, `file` before `platform`; UploadTooSlow.
    """
    door = _Door(admit, max_upload_bytes)
    fields = _Fields(_read_parts(request, door, max_upload_bytes=max_upload_bytes))
    file = fields.file()
    platform = fields.text("platform")
    effect_type = fields.text("effect_type", default=DEFAULT_EFFECT_TYPE)
    fit = fields.fit()
    lang = fields.lang()
    alt = fields.alt()
    source_type = fields.one_of("digital_source_type", SOURCE_TYPES)
    if fields.problems or file is None:
        raise InvalidFields(fields.problems)
    door.require_size(len(file))
    return Form(
        file=file,
        platform=platform,
        effect_type=effect_type,
        fit=fit,
        lang=lang,
        alt=alt,
        digital_source_type=source_type,
    )


class _Door:
    """What a form has to pass before its file is read: nothing, where nobody asks for a token."""

    def __init__(self, admit: Callable[[str], int] | None, max_file_bytes: int) -> None:
        self._admit = admit
        self._left = FORM_MAX_BYTES
        self.max_file_bytes = max_file_bytes
        self.token = b""

    def read(self, body: Body) -> bytes:
        """Read on, in small pieces until the file is let in.

        Raises: MissingUploadToken where too much comes before the token or the file.
        """
        if self._admit is None:
            return body.read(READ_BYTES)
        if not self._left:
            raise MissingUploadToken(f"not within the first {FORM_MAX_BYTES} bytes")
        data = body.read(min(_TOKEN_READ_BYTES, self._left))
        self._left -= len(data)
        return data

    def open(self) -> None:
        """Let the file in, by the token that came before it."""
        if self._admit is not None:
            self.max_file_bytes = self._admit(self.token.decode(errors="replace").strip())
            self._admit = None

    def require_size(self, size_bytes: int) -> None:
        """Raise FileTooLarge for a file of more bytes than are let in."""
        if size_bytes > self.max_file_bytes:
            raise FileTooLarge(max_bytes=self.max_file_bytes, reason=f"file of {size_bytes} bytes")


def _read_parts(request: Request, door: _Door, *, max_upload_bytes: int) -> list[_Part]:
    if request.mimetype == "multipart/form-data" and not request.mimetype_params.get("boundary"):
        raise MissingBoundary
    is_urlencoded = request.mimetype == "application/x-www-form-urlencoded"
    max_body_bytes = FORM_MAX_BYTES + (0 if is_urlencoded else max_upload_bytes)
    if (request.content_length or 0) > max_body_bytes:
        raise FileTooLarge(
            max_bytes=max_upload_bytes, reason=f"Content-Length {request.content_length}"
        )
    body = Body(request.environ["wsgi.input"], max_body_bytes, max_upload_bytes)
    with time_limit(request.environ, timeout_s(request)) as time_is_up:
        try:
            parts = list(_parts(body, request, door))
        except (MultipartError, ValueError, OSError) as error:
            if time_is_up.is_set():
                raise UploadTooSlow from None
            raise MalformedForm(f"{type(error).__name__}: {error}") from error
    door.open()  # of a form without a file
    return parts


def _parts(body: Body, request: Request, door: _Door) -> Iterator[_Part]:
    """Yield the parts of a form of either type; none of any other body, which is not read."""
    if request.mimetype == "multipart/form-data":
        parser = PushMultipartParser(
            request.mimetype_params["boundary"], max_segment_count=FORM_MAX_PARTS
        )
        yield from _multipart(body, parser, door)
    elif request.mimetype == "application/x-www-form-urlencoded":
        text = b"".join(iter(lambda: door.read(body), b"")).decode()
        for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_MAX_PARTS):
            if name == "token":
                door.token = value.encode()
            yield _Part(name=name, data=value.encode())


def _multipart(body: Body, parser: PushMultipartParser, door: _Door) -> Iterator[_Part]:
    chunks: list[bytes] = []
    segment: MultipartSegment | None = None
    size_bytes = 0
    for event in parser.parse_blocking(lambda _: door.read(body)):
        if isinstance(event, MultipartSegment):
            segment, chunks, size_bytes = event, [], 0
            if _filename(segment) is not None:
                door.open()
        elif event is not None:
            chunks.append(event)
            size_bytes += len(event)
            door.require_size(size_bytes - FORM_MAX_BYTES)  # what is less is looked at as a whole
        elif segment is not None:
            filename = _filename(segment)
            if filename is None and segment.size > FORM_MAX_BYTES:
                raise ValueError("too long a text part")
            if segment.name == "token" and filename is None:
                door.token = b"".join(chunks)
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
        value = self.one_of("fit", tuple(Fit))
        return Fit(value) if value else None

    def one_of(self, name: str, words: Sequence[str]) -> str:
        value = self.text(name, default="")
        if value in words:
            return value
        if value and not any(problem.loc[1] == name for problem in self.problems):
            self._report("value_error", name, f"Value error, expected one of {', '.join(words)}")
        return ""

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
