"""No picture is public before its check: what is shown, what verdicts do, what failures do."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import subprocess
import threading
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pictures
import pytest
from check_server import Checker, checking
from hypothesis import given
from hypothesis import strategies as st
from keys import uuid7
from posting import post
from stored import kept_in

from config import load_settings
from errors import CheckUnavailable, ConfigurationError, PictureRefused
from image_ops import read_header, render
from moderation import Moderation, http_check
from moderation.contract import Candidate
from moderation.http_check import ANSWER_MAX_BYTES, HttpCheck, is_public
from platforms import card_canvas, picture_canvas
from share_keys import ShareKey
from shares import Shares
from storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from conftest import MakeClient

KEY = "0123456789abcdefghij"
FAILS = MappingProxyType({"CHECK_TIMEOUT_S": "0.4"})


@pytest.fixture
def checker() -> Iterator[Checker]:
    with checking() as running:
        yield running


def last_line(capsys: pytest.CaptureFixture[str]) -> Mapping[str, Any]:
    """Return the log line of the last request."""
    line: Mapping[str, Any] = json.loads(capsys.readouterr().err.splitlines()[-1])
    return line


# --- what is shown


@pytest.mark.parametrize("platform", ["email", "facebook", "instagram"])
def test_a_picture_is_shown_once_as_it_will_be_published(
    make_client: MakeClient, checker: Checker, photo: bytes, platform: str
) -> None:
    client = make_client(**checker.settings, CHECK_KEY=KEY)
    effect = "Tinte\u20ac: x"
    share = post(client, photo, platform=platform, effect_type=effect).get_json()
    (shown,) = checker.shown
    assert shown.path == "/look?at=it"
    assert shown.body == client.get(share["url"] + "?raw").data
    assert shown.headers["content-type"] == "image/jpeg"
    assert shown.headers["share-id"] == share["share_id"]
    assert shown.headers["share-platform"] == platform
    assert shown.headers["share-effect"] == "Tinte%E2%82%AC%3A%20x"
    signature = hmac.new(KEY.encode(), shown.body, hashlib.sha256).hexdigest()
    assert shown.headers["share-signature"] == f"sha256={signature}"


def test_a_picture_of_the_sandbox_is_shown_too(make_client: MakeClient, checker: Checker) -> None:
    client = make_client(**checker.settings)
    share = post(client, pictures.heic((64, 48)), platform="facebook").get_json()
    (shown,) = checker.shown
    assert shown.body == client.get(share["url"] + "?raw").data
    assert "share-signature" not in shown.headers


def test_a_post_that_comes_again_is_not_shown_again(
    make_client: MakeClient, checker: Checker, photo: bytes
) -> None:
    client, headers = make_client(**checker.settings), {"Idempotency-Key": uuid7()}
    once, again = (
        post(client, photo, headers=headers, platform="email").get_json() for _ in range(2)
    )
    assert once["url"] == again["url"]
    assert len(checker.shown) == 1
    other = post(client, photo, headers=headers, platform="x")
    assert other.status_code == 422


def test_the_first_rendition_is_given_away_before_the_others_are_made(photo: bytes) -> None:
    settings = load_settings({}).image
    canvases = (picture_canvas("email", None, max_side_px=1200), card_canvas(None))
    seen = []

    def stop(picture: object) -> None:
        seen.append(picture)
        raise ArithmeticError

    header = read_header(photo, settings)
    first, _ = render(photo, header, canvases, settings)
    with pytest.raises(ArithmeticError):
        render(photo, header, canvases, settings, stop)
    assert seen == [first]


def test_nothing_is_stored_before_the_verdict(
    make_client: MakeClient, checker: Checker, photo: bytes, tmp_path: Path
) -> None:
    client = make_client(**checker.settings, CHECK_TIMEOUT_S="30")
    checker.until.clear()
    answers = []
    poster = threading.Thread(target=lambda: answers.append(post(client, photo, platform="x")))
    poster.start()
    while not checker.shown:
        poster.join(0.01)
    stored_before = kept_in(tmp_path / "shares")
    checker.until.set()
    poster.join()
    assert stored_before == set()
    assert [answer.status_code for answer in answers] == [200]
    assert kept_in(tmp_path / "shares")


# --- verdicts


@pytest.mark.parametrize("fails", ["closed", "open"])
@pytest.mark.parametrize("status", ["400 x", "403 x", "422 x", "451 x"])
def test_a_refused_picture_is_not_published_and_only_the_log_says_why(
    make_client: MakeClient,
    checker: Checker,
    photo: bytes,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    status: str,
    fails: str,
) -> None:
    checker.says(status, b"adult:\nVERY_LIKELY")
    answer = post(make_client(**checker.settings, CHECK_FAILS=fails), photo, platform="x")
    assert answer.status_code == 400
    detail = "This picture cannot be published"
    assert answer.get_json() == {"detail": detail, "code": "picture_refused"}
    line = last_line(capsys)
    assert line["reason"] == f"{status[:3]}: adult: VERY_LIKELY"
    assert line["check"] == "refused"
    assert kept_in(tmp_path / "shares") == set()


@pytest.mark.parametrize("status", ["200 OK", "202 x", "299 x"])
def test_what_passes_is_published_however_long_the_answer_is(
    make_client: MakeClient, checker: Checker, photo: bytes, status: str
) -> None:
    checker.says(status, b" " * 10_000_000)
    assert post(make_client(**checker.settings), photo, platform="x").status_code == 200


# --- no verdict


def dripping(data: bytes) -> Iterator[bytes]:
    yield data
    for _ in range(60):
        threading.Event().wait(0.05)
        yield b"x"


def endless(data: bytes) -> Iterator[bytes]:
    yield data
    while True:
        yield b"X-Field: " + b"x" * 60_000 + b"\r\n"


NO_VERDICT = {
    "a fault": b"HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\nno",
    "a refusal to serve": b"HTTP/1.1 429 x\r\nContent-Length: 0\r\n\r\n",
    "not found": b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n",
    "a redirect": b"HTTP/1.1 307 x\r\nLocation: /passes\r\nContent-Length: 0\r\n\r\n",
    "not modified": b"HTTP/1.1 304 x\r\n\r\n",
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "a status line alone": b"HTTP/1.1 200 OK\r\n",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "too long a fault": b"HTTP/1.1 500 x\r\n\r\n" + b"x" * 10_000_000,
}


@pytest.mark.parametrize("fails", ["closed", "open"])
@pytest.mark.parametrize("answer", [*NO_VERDICT, "silence", "drops", "fields without end"])
def test_without_a_verdict_the_setting_decides(
    make_client: MakeClient,
    checker: Checker,
    photo: bytes,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    fails: str,
    answer: str,
) -> None:
    checker.answer = NO_VERDICT.get(answer, b"HTTP/1.1 200 OK\r\n")
    if answer == "silence":
        checker.until.clear()
    elif answer == "drops":
        checker.pieces = dripping
    elif answer == "fields without end":
        checker.pieces = endless
    said = post(make_client(**checker.settings, **FAILS, CHECK_FAILS=fails), photo, platform="x")
    line = last_line(capsys)
    assert line["check"] == "failed"
    assert line["check_reason"]
    assert line["stages_ms"]["check"] < 2_000
    assert len(checker.shown) == 1
    if fails == "open":
        assert (said.status_code, line["severity"]) == (200, "WARNING")
    else:
        assert said.status_code == 503
        assert said.get_json()["code"] == "check_unavailable"
        assert said.headers["Retry-After"] == "5"
        assert kept_in(tmp_path / "shares") == set()


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [(dripping, "TimeoutError"), (endless, "too long an answer")],
    ids=["drops", "long fields"],
)
def test_an_answer_without_end_is_left(
    tmp_path: Path, checker: Checker, pieces: Callable[[bytes], Iterator[bytes]], reason: str
) -> None:
    checker.answer, checker.pieces = b"HTTP/1.1 200 OK\r\n", pieces
    with pytest.raises(CheckUnavailable, match=reason):
        examined(tmp_path, **checker.settings, CHECK_TIMEOUT_S="1")


def test_what_follows_a_continue_is_the_verdict(
    make_client: MakeClient, checker: Checker, photo: bytes
) -> None:
    checker.answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n"
    assert post(make_client(**checker.settings), photo, platform="x").status_code == 400


def examined(tmp_path: Path, **settings: str) -> None:
    """Let a picture be examined with these settings."""
    loaded = load_settings({"LOCAL_STORAGE_DIR": str(tmp_path), **settings})
    HttpCheck(loaded).examine(candidate())


def candidate() -> Candidate:
    share_id = ShareKey.mint().share_id
    return Candidate(share_id=share_id, platform="x", effect_type="x", jpeg=b"\xff\xd8")


def test_a_check_that_is_not_there_is_no_verdict(tmp_path: Path) -> None:
    with checking() as stopped:
        settings = stopped.settings
    with pytest.raises(CheckUnavailable, match="refused"):
        examined(tmp_path, **settings)


# --- certificates


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's certificate for localhost, and the file that trusts it."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files = ["-nodes", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True, timeout=20)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, folder / "cert.pem"


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tls: tuple[ssl.SSLContext, Path]) -> Iterator[None]:
    """Certificates are verified against the test's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    http_check.tls_context.cache_clear()
    yield
    http_check.tls_context.cache_clear()


def test_only_a_certificate_that_is_trusted_and_names_the_host_gets_the_picture(
    tmp_path: Path,
    tls: tuple[ssl.SSLContext, Path],
    trusted: None,
) -> None:
    with checking(tls[0]) as checker:
        examined(tmp_path, **checker.settings)
        other_name = checker.settings | {"CHECK_URL": checker.url.replace("localhost", "127.0.0.1")}
        with pytest.raises(CheckUnavailable, match="certificate"):
            examined(tmp_path, **other_name)
        assert len(checker.shown) == 1


def test_a_certificate_that_nobody_trusts_gets_no_picture(
    tmp_path: Path, tls: tuple[ssl.SSLContext, Path]
) -> None:
    with checking(tls[0]) as checker:
        with pytest.raises(CheckUnavailable, match="certificate"):
            examined(tmp_path, **checker.settings)
        assert checker.shown == []


# --- addresses


@pytest.mark.parametrize(
    "url",
    ["https://169.254.169.254/computeMetadata/v1/", "https://127.0.0.1:1/", "https://[::1]:1/"],
)
def test_addresses_that_are_not_public_are_not_connected_to(tmp_path: Path, url: str) -> None:
    with pytest.raises(CheckUnavailable, match="not a public address"):
        examined(tmp_path, CHECK_URL=url)


def test_a_name_that_leads_to_a_private_address_is_not_connected_to(checker: Checker) -> None:
    port = int(checker.url.split(":")[2].split("/")[0])

    def look_up(*_: object, **__: object) -> list[tuple[Any, ...]]:
        return [(2, 1, 6, "", ("127.0.0.1", port)), (2, 1, 6, "", ("10.0.0.1", port))]

    settings = load_settings({"CHECK_URL": f"https://check.example:{port}/"})
    with pytest.raises(CheckUnavailable, match=r"127\.0\.0\.1, 10\.0\.0\.1: not a public"):
        HttpCheck(settings, look_up).examine(candidate())
    assert checker.shown == []


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1"),
        *("192.168.1.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "fe80::1"),
        *("fd20:ce::254", "2001:db8::1", "2002:a00:1::", "2001::1", "ff02::1", "fec0::1"),
    ],
)
def test_an_address_of_no_public_machine_is_told(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2a00:1450:4001:830::200e", "::ffff:8.8.8.8"])
def test_an_address_of_a_public_machine_is_told(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="169.254.0.0/16"))
def test_an_ipv6_address_hides_no_private_one(address: object) -> None:
    assert not is_public(f"::ffff:{address}")
    assert not is_public(f"64:ff9b::{address}")


# --- settings


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"CHECK_URL": "http://check.example/"}, "CHECK_URL: .* https URL, or CHECK_ALLOW_PRIVATE"),
        ({"CHECK_URL": "https://u:p@check.example/"}, "CHECK_URL"),
        ({"CHECK_URL": "ftp://check.example/"}, "CHECK_URL"),
        ({"CHECK_URL": "https://check.example:0/"}, "CHECK_URL"),
        ({"CHECK_KEY": "hunter2"}, "CHECK_KEY: found '7 characters'"),
        ({"CHECK_TIMEOUT_S": "0"}, "seconds from 0.1 to 30"),
        ({"CHECK_TIMEOUT_S": "nan"}, "seconds from 0.1 to 30"),
        ({"CHECK_FAILS": "maybe"}, "closed, open|closed or open"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_reported(settings: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        load_settings(settings)
    assert "hunter2" not in str(raised.value)


def test_key_and_address_of_the_check_are_told_to_nobody(
    make_client: MakeClient, checker: Checker, capsys: pytest.CaptureFixture[str]
) -> None:
    client = make_client(**checker.settings, CHECK_KEY=KEY)
    said = capsys.readouterr().err + client.get("/health").get_data(as_text=True)
    assert KEY not in said
    assert "look?at" not in said


# --- another check


def test_a_new_share_costs_no_call_to_storage() -> None:
    no_storage: Any = None
    shares = Shares(no_storage, timedelta(hours=1), no_storage)
    assert not shares.was_stored(ShareKey.mint())


class Inspector:
    """A check that is one class."""

    def __init__(self, until: threading.Event, refused: frozenset[bytes] = frozenset()) -> None:
        self._until = until
        self._refused = refused

    def warm_up(self) -> None:
        """Nothing to do."""

    def examine(self, candidate: Candidate) -> None:
        self._until.wait()
        if candidate.jpeg in self._refused:
            raise PictureRefused("known")


def test_a_check_that_never_returns_holds_nobody_longer_than_the_time_it_has(
    photo: bytes, tmp_path: Path
) -> None:
    settings = load_settings(
        {"LOCAL_STORAGE_DIR": str(tmp_path), "CHECK_TIMEOUT_S": "0.1", "THREADS": "2"}
    )
    until = threading.Event()
    moderation = Moderation(settings, open_storage(settings), Inspector(until))
    header = read_header(photo, settings.image)
    (picture,) = render(photo, header, [card_canvas(None)], settings.image)
    form: Any = candidate()  # has what is asked of a form
    verdict = threading.Timer(5, until.set)
    verdict.start()  # what waits longer gets a verdict
    try:
        for _ in range(4):  # twice as many as there are threads
            examination = moderation.examination(form.share_id, form, lambda: False)
            with pytest.raises(CheckUnavailable, match="no verdict within"):
                examination.settle(picture)
    finally:
        verdict.cancel()
        until.set()


def test_a_picture_that_is_not_the_shown_one_is_not_published(photo: bytes, tmp_path: Path) -> None:
    settings = load_settings({"LOCAL_STORAGE_DIR": str(tmp_path)})
    until = threading.Event()
    until.set()
    header = read_header(photo, settings.image)
    canvases = (picture_canvas("email", None, max_side_px=1200), card_canvas(None))
    picture, card = render(photo, header, canvases, settings.image)
    form: Any = candidate()
    examination = Moderation(settings, open_storage(settings), Inspector(until)).examination(
        form.share_id, form, lambda: False
    )
    examination.show(card)
    with pytest.raises(Exception, match="another picture"):
        examination.settle(picture)


def test_an_answer_takes_no_more_memory_than_its_limit(tmp_path: Path) -> None:
    with checking() as checker:
        checker.answer = b"HTTP/1.1 403 x\r\n\r\n" + b"x" * 10_000_000
        with pytest.raises(PictureRefused) as raised:
            examined(tmp_path, **checker.settings)
    assert len(str(raised.value)) < 400 < ANSWER_MAX_BYTES
