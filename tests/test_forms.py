"""What a form yields, whichever way its body is cut into pieces."""

from __future__ import annotations

import io
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest
from flask import Request
from keys import uuid7
from werkzeug.test import create_environ

from errors import InvalidFields, MalformedForm
from serving.forms import body_bytes, idempotency_key, parse_form

if TYPE_CHECKING:
    from uuid import UUID

    from serving.forms import Form

MAX_UPLOAD_BYTES = 20_000_000
READ_BYTES = 1 << 20  # of uploads.py


class Trickle(io.RawIOBase):
    """Gives its bytes in pieces of one size."""

    def __init__(self, data: bytes, piece_bytes: int) -> None:
        self._data = io.BytesIO(data)
        self._piece_bytes = piece_bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, self._piece_bytes))


def request_of(body: bytes, content_type: str, piece_bytes: int = 1 << 30) -> Request:
    body_of = {"wsgi.input": Trickle(body, piece_bytes), "CONTENT_LENGTH": str(len(body))}
    return Request(create_environ() | body_of | {"CONTENT_TYPE": content_type})


def parsed(file: bytes, piece_bytes: int = 1 << 30, **fields: str) -> Form:
    form = httpx.Request("POST", "/", data=fields, files={"file": ("a.jpg", file, "image/jpeg")})
    request = request_of(form.read(), form.headers["Content-Type"], piece_bytes)
    return parse_form(request, max_upload_bytes=MAX_UPLOAD_BYTES)


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 61, 1000])
def test_a_form_may_arrive_in_pieces_of_any_size(piece_bytes: int) -> None:
    file = b"\r\n--\r\n-\r--" * 40 + b"\r"
    form = parsed(file, piece_bytes, platform="email", effect_type="pop", fit="cover")
    assert form.file == file
    assert (form.platform, form.effect_type, form.fit) == ("email", "pop", "cover")


@pytest.mark.parametrize("beyond", range(-190, 10, 3))
def test_a_boundary_may_lie_across_two_reads(beyond: int) -> None:
    file = b"\r\n" * ((READ_BYTES + beyond) // 2)
    assert parsed(file, platform="email").file == file


def test_a_file_as_large_as_the_limit_comes_in_whole() -> None:
    file = bytes(range(256)) * (MAX_UPLOAD_BYTES // 256)
    assert parsed(file, platform="email").file == file


def test_names_and_texts_are_utf_8() -> None:
    form = parsed(b"x", platform="Fotoläden", effect_type="größer")
    assert (form.platform, form.effect_type) == ("Fotoläden", "größer")


@pytest.mark.parametrize(
    "named",
    [
        "filename*=utf-8''K%C3%A4tzchen.jpg",
        "filename=a.jpg; filename*=utf-8''b.jpg",
        'filename="K\u00e4tz\\"chen.jpg"',
        'filename="a%22b.jpg"',
        'filename=""',
    ],
)
def test_a_file_is_known_by_its_name_however_a_client_writes_it(named: str) -> None:
    parts = [("platform", b"email"), (f"file; {named}", b"x")]
    body = b"".join(
        b"--b\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n" % (name.encode(), data)
        for name, data in parts
    )
    request = request_of(body + b"--b--\r\n", "multipart/form-data; boundary=b")
    form = parse_form(request, max_upload_bytes=MAX_UPLOAD_BYTES)
    assert form.file == b"x"


def test_a_text_part_may_have_64_kb_and_no_more() -> None:
    assert parsed(b"x", platform="email", note="n" * 64_000).platform == "email"
    with pytest.raises(MalformedForm):
        parsed(b"x", platform="email", note="n" * 64_001)


@pytest.mark.parametrize(
    "body",
    [
        b'--b\nContent-Disposition: form-data; name="platform"\n\nx\n--b--\n',
        b'--b\r\nContent-Disposition: form-data; name="platform"\r\n\r\nx\r\n--b',
        b'--b\r\nContent-Disposition: form-data; name="platform\xff"\r\n\r\nx\r\n--b--\r\n',
        b"--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\n" + b"A" * 5000 + b": x\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\n" + b"".join(b"X-%d: x\r\n" % n for n in range(9)) + b"\r\nx\r\n--b--\r\n",
    ],
)
def test_a_form_that_breaks_the_rules_is_malformed(body: bytes) -> None:
    request = request_of(body, "multipart/form-data; boundary=b")
    with pytest.raises(MalformedForm):
        parse_form(request, max_upload_bytes=MAX_UPLOAD_BYTES)


def test_memory_is_taken_for_a_body_as_it_arrives_and_put_together() -> None:
    request = request_of(bytes(1000), "multipart/form-data; boundary=b")
    assert body_bytes(request, max_upload_bytes=MAX_UPLOAD_BYTES) == 2000


# --- the key that a client sends


def key_in(text: str) -> UUID | None:
    return idempotency_key(Request(create_environ(headers={"Idempotency-Key": text})))


def test_without_the_header_there_is_no_key() -> None:
    assert idempotency_key(Request(create_environ())) is None


@pytest.mark.parametrize("age_s", [0, 298, -58])
def test_a_fresh_uuid7_is_a_key(age_s: float) -> None:
    text = uuid7(age_s=age_s)
    assert str(key_in(text)) == text


def test_a_key_may_stand_in_quotes_or_capitals() -> None:
    text = uuid7()
    assert str(key_in(f'"{text}"')) == text
    assert str(key_in(text.upper())) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "key",
        str(uuid.uuid4()),
        uuid7(age_s=302),
        uuid7(age_s=-600),
        uuid7().replace("-", ""),
        f"{{{uuid7()}}}",
    ],
    ids=["empty", "word", "version 4", "stale", "ahead", "bare", "braces"],
)
def test_anything_but_a_fresh_uuid7_is_refused_by_the_name_of_its_header(text: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        key_in(text)
    assert caught.value.problems[0].loc == ("header", "Idempotency-Key")
