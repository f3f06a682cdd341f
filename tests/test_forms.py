"""What a form yields, whichever way its body is cut into pieces."""

from __future__ import annotations

import io
import socket
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest
from flask import Request
from keys import uuid7
from werkzeug.test import create_environ

from errors import InvalidFields, MalformedForm, ShareImageError
from serving import body, forms
from serving.body import body_bytes
from serving.forms import idempotency_key, parse_form

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


@pytest.mark.parametrize(
    ("length", "expected_bytes"), [(0, 0), (20_064_000, 40_128_000), (30_000_000, 40_128_000)]
)
def test_no_body_takes_more_memory_than_the_largest_that_is_read(
    length: int, expected_bytes: int
) -> None:
    request = Request(create_environ() | {"CONTENT_LENGTH": str(length)})
    assert body_bytes(request, max_upload_bytes=MAX_UPLOAD_BYTES) == expected_bytes
    chunked = Request(create_environ(headers={"Transfer-Encoding": "chunked"}))
    assert body_bytes(chunked, max_upload_bytes=MAX_UPLOAD_BYTES) == 40_128_000


def test_no_file_is_shown_by_what_holds_it() -> None:
    assert "secret" not in repr(parsed(b"secret", platform="email"))
    assert "secret" not in repr(forms._Part(name="file", data=b"secret"))  # noqa: SLF001


# --- limits, each reached but not passed


def urlencoded(fields: str) -> Request:
    return request_of(fields.encode(), "application/x-www-form-urlencoded")


def multipart(count: int) -> Request:
    part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n'
    return request_of(part * count + b"--b--\r\n", "multipart/form-data; boundary=b")


def refusal(request: Request, max_upload_bytes: int = MAX_UPLOAD_BYTES) -> str:
    with pytest.raises(ShareImageError) as caught:
        parse_form(request, max_upload_bytes=max_upload_bytes)
    return caught.value.code


def test_an_urlencoded_body_may_have_64_kb_and_50_fields() -> None:
    assert refusal(urlencoded("x" * 64_000)) == "invalid_fields"  # no file
    assert refusal(urlencoded("x" * 64_001)) == "file_too_large"
    assert refusal(urlencoded("&".join(["a=1"] * 50))) == "invalid_fields"
    assert refusal(urlencoded("&".join(["a=1"] * 51))) == "malformed_form"


def test_a_form_may_have_50_parts() -> None:
    assert refusal(multipart(50)) == "invalid_fields"
    assert refusal(multipart(51)) == "malformed_form"


def test_a_file_may_have_as_many_bytes_as_allowed_and_no_more() -> None:
    def sent(file: bytes) -> Request:
        form = httpx.Request("POST", "/", data={"platform": "x"}, files={"file": file})
        return request_of(form.read(), form.headers["Content-Type"])

    assert parse_form(sent(bytes(1000)), max_upload_bytes=1000).file == bytes(1000)
    assert refusal(sent(bytes(1001)), max_upload_bytes=1000) == "file_too_large"


def test_a_body_without_a_length_is_read_to_its_limit_and_one_byte_on() -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = io.BytesIO(head + bytes(3_000_000))
    environ = create_environ() | {"wsgi.input": body}
    request = Request(environ | {"CONTENT_TYPE": "multipart/form-data; boundary=b"})
    assert refusal(request, max_upload_bytes=1_000_000) == "file_too_large"
    assert body.tell() == 1_064_001


def test_a_text_may_have_100_characters() -> None:
    assert parsed(b"x", platform="p" * 100, effect_type="e" * 100).platform == "p" * 100
    with pytest.raises(InvalidFields):
        parsed(b"x", platform="p" * 101)


@pytest.mark.parametrize(
    ("length", "expected_s"),
    [(None, 90), ("0", 10), ("50000", 11), ("1000000", 30), ("4000000", 90), ("20000000", 90)],
)
def test_a_larger_body_may_take_longer_up_to_a_limit(length: str | None, expected_s: float) -> None:
    request = Request(create_environ() | ({"CONTENT_LENGTH": length} if length else {}))
    assert body.timeout_s(request) == expected_s  # ten seconds at least


def test_a_body_that_is_not_there_in_time_reads_as_ended() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        theirs.sendall(b"x")
        with body.time_limit({"gunicorn.socket": ours}, 0.05) as time_is_up:
            assert stream.read(2) == b"x"
            assert time_is_up.is_set()


def test_a_body_that_is_there_in_time_leaves_its_connection_open() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        with body.time_limit({"gunicorn.socket": ours}, 60) as time_is_up:
            theirs.sendall(b"x")
            assert stream.read(1) == b"x"
        theirs.sendall(b"y")
        assert stream.read(1) == b"y"
        assert not time_is_up.is_set()


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
