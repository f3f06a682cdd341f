"""Who may share where UPLOAD_KEYS is set: tokens, the app proxy, and what refused requests cost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from flask import Request
from function_server import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keys import uuid7
from posting import SHARE, SHOP, post
from werkzeug.test import EnvironBuilder, create_environ

from config import load_settings
from errors import ConfigurationError, ExpiredUploadToken, WrongSignature, WrongUploadToken
from serving.app_proxy import require_signature
from serving.upload_tokens import UploadToken
from share_keys import parse_uuid7

if TYPE_CHECKING:
    from conftest import MakeClient
    from flask.testing import FlaskClient

KEY = "first-key-of-the-shop"
NEXT_KEY = "second_key_of_the_shop"
APP_SECRET = "hush-hush-hush-hush"
MOST_BEFORE_THE_FILE = 64_000


def token(key: str = KEY, **fields: object) -> str:
    """Return a token as anybody makes one, without the program."""
    said = {"exp": int(time.time()) + 300, **fields}
    said = {name: value for name, value in said.items() if value is not None}
    payload = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=")
    signature = hmac.new(key.encode(), payload, hashlib.sha256).digest()
    return f"{payload.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def bearer(text: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}", **headers}


@pytest.fixture
def guarded(make_client: MakeClient) -> FlaskClient:
    return make_client(UPLOAD_KEYS=KEY)


class Counted(io.BytesIO):
    """A body that knows how much of it was read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.bytes_read = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


def sent(client: FlaskClient, form: httpx.Request, headers: dict[str, str]) -> tuple[Any, int]:
    """Send a form; return the answer, and how much of the body was read before it was there."""
    body = Counted(form.read())
    builder = EnvironBuilder(SHARE, method="POST", headers=list(headers.items()))
    environ = builder.get_environ() | {
        "CONTENT_TYPE": form.headers["Content-Type"],
        "CONTENT_LENGTH": str(len(form.read())),
        "wsgi.input": body,
    }
    answer = client.run_wsgi_app(environ, buffered=False)
    return answer, body.bytes_read


def form(
    photo: bytes, *before: tuple[str, str], after: dict[str, str] | None = None
) -> httpx.Request:
    """Return a form of texts, the file, texts: httpx sends texts first, so all are files to it."""
    parts: list[Any] = [(name, (None, text.encode())) for name, text in before]
    parts.append(("file", ("pet.jpg", photo)))
    parts += [(name, (None, text.encode())) for name, text in (after or {}).items()]
    return httpx.Request("POST", "http://localhost", files=parts)


# --- in and out


def test_a_token_lets_in_by_header_and_by_a_field_before_the_file(
    guarded: FlaskClient, photo: bytes
) -> None:
    assert post(guarded, photo, platform="x", headers=bearer(token())).status_code == 200
    fields = [("token", token()), ("platform", "x")]
    assert sent(guarded, form(photo, *fields), {})[0][1] == "200 OK"
    fields.reverse()
    assert sent(guarded, form(photo, *fields), {})[0][1] == "200 OK"


def test_without_upload_keys_a_token_means_nothing(client: FlaskClient, photo: bytes) -> None:
    assert post(client, photo, platform="x").status_code == 200
    assert post(client, photo, platform="x", headers=bearer("nonsense")).status_code == 200
    assert post(client, photo, platform="x", token="nonsense").status_code == 200


def test_a_request_without_a_token_is_asked_for_one(guarded: FlaskClient, photo: bytes) -> None:
    answer = post(guarded, photo, platform="x", headers={"Origin": SHOP})
    assert answer.status_code == 401
    assert answer.get_json()["code"] == "missing_upload_token"
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_an_expired_token_says_so_and_no_other_says_why(guarded: FlaskClient, photo: bytes) -> None:
    details = []
    for text in (token(exp=int(time.time()) - 1), token("another-key-altogether"), "x"):
        answer = post(guarded, photo, platform="x", headers=bearer(text, Origin=SHOP))
        assert answer.status_code == 403
        assert answer.get_json()["code"] == "wrong_upload_token"
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        details.append(answer.get_json()["detail"])
    invalid = "This upload token is not valid"
    assert details == ["This upload token has expired", invalid, invalid]


def test_nothing_of_the_body_is_read_where_the_header_decides(
    guarded: FlaskClient, photo: bytes
) -> None:
    for text in (token(NEXT_KEY), token(exp=1), token(origin=SHOP), "x" * 100_000):
        answer, bytes_read = sent(guarded, form(photo, ("platform", "x")), bearer(text))
        assert (answer[1][:3], bytes_read) == ("403", 0)


@pytest.mark.parametrize(
    ("before", "status"),
    [
        ([("platform", "x")], "401"),
        ([("token", "")], "401"),
        ([("token", "wrong")], "403"),
        ([("token", "x" * 50_000)], "403"),
        ([("note", "x" * 63_900), ("token", "late")], "401"),
        ([("note", "x" * 60_000)] * 4, "401"),
    ],
    ids=["none", "empty", "wrong", "long", "late", "never"],
)
def test_of_a_file_without_a_token_before_it_nothing_is_read(
    guarded: FlaskClient, before: list[tuple[str, str]], status: str
) -> None:
    picture = bytes(1_000_000)
    answer, bytes_read = sent(guarded, form(picture, *before, after={"token": token()}), {})
    assert answer[1][:3] == status
    assert bytes_read <= MOST_BEFORE_THE_FILE


def test_a_form_without_a_file_needs_a_token_too(guarded: FlaskClient) -> None:
    urlencoded = "application/x-www-form-urlencoded"
    answer = guarded.post(SHARE, data="platform=x", content_type=urlencoded)
    assert answer.status_code == 401
    answer = guarded.post(SHARE, data=f"token={token()}&platform=x", content_type=urlencoded)
    assert answer.status_code == 422
    assert guarded.post(SHARE, json={}).status_code == 401


def test_the_shop_changes_its_key_without_a_gap(make_client: MakeClient, photo: bytes) -> None:
    both = make_client(UPLOAD_KEYS=f"{NEXT_KEY}, {KEY}")
    after = make_client(UPLOAD_KEYS=NEXT_KEY)
    statuses = [
        post(client, photo, platform="x", headers=bearer(token(key))).status_code
        for client in (both, after)
        for key in (KEY, NEXT_KEY)
    ]
    assert statuses == [200, 200, 403, 200]


# --- what a token allows


def test_a_token_of_one_page_lets_in_that_page_alone(guarded: FlaskClient, photo: bytes) -> None:
    text = token(origin=SHOP)
    statuses = [
        post(guarded, photo, platform="x", headers=bearer(text, **origin)).status_code
        for origin in ({"Origin": SHOP}, {"Origin": "https://other.example"}, {})
    ]
    assert statuses == [200, 403, 403]


def test_a_token_bounds_the_file_within_the_bounds_of_the_function(
    guarded: FlaskClient, make_client: MakeClient, photo: bytes
) -> None:
    for most, status in ((len(photo), 200), (len(photo) - 1, 400)):
        for answer in (
            post(guarded, photo, platform="x", headers=bearer(token(max_bytes=most))),
            post(guarded, photo, platform="x", token=token(max_bytes=most)),
        ):
            assert answer.status_code == status
            assert answer.get_json().get("code") == ("file_too_large" if status == 400 else None)
    small = make_client(UPLOAD_KEYS=KEY, MAX_UPLOAD_MB="0.001")
    generous = bearer(token(max_bytes=10**9))
    assert post(small, photo, platform="x", headers=generous).get_json()["code"] == "file_too_large"
    large = form(bytes(5_000_000), ("token", token(max_bytes=1)), ("platform", "x"))
    _, bytes_read = sent(guarded, large, {})
    assert bytes_read < 1_300_000


def test_the_limit_counts_by_subject_where_there_is_one(
    make_client: MakeClient, photo: bytes
) -> None:
    client = make_client(UPLOAD_KEYS=KEY, RATE_LIMIT="1/hour")
    mine, yours = token(sub="customer 1"), token(sub="customer 2")
    answers = [
        post(client, photo, platform="x", headers=bearer(text)).status_code
        for text in (mine, yours, token(), mine, token(sub="customer 1", exp=int(time.time()) + 9))
    ]
    assert answers == [200, 200, 200, 429, 429]
    assert post(client, photo, platform="x", token=yours).status_code == 429


def test_a_refused_request_counts_for_nobody(make_client: MakeClient, photo: bytes) -> None:
    client = make_client(UPLOAD_KEYS=KEY, RATE_LIMIT="1/hour")
    for headers in ({}, bearer("wrong"), bearer(token(NEXT_KEY))):
        assert post(client, photo, platform="x", headers=headers).status_code in {401, 403}
    assert post(client, photo, platform="x", headers=bearer(token())).status_code == 200


def one_use() -> str:
    return token(jti=uuid7(), exp=int(time.time()) + 290)


def test_a_token_for_one_use_makes_one_share(guarded: FlaskClient, photo: bytes) -> None:
    headers = bearer(one_use())
    first, again = (post(guarded, photo, platform="x", headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.get_json()["url"] == again.get_json()["url"]
    for other in ({"platform": "email"}, {"platform": "x", "effect_type": "other"}):
        assert post(guarded, photo, headers=headers, **other).status_code == 422
    assert post(guarded, photo + b"x", platform="x", headers=headers).status_code == 422


def test_a_token_for_one_use_agrees_with_the_idempotency_key(
    guarded: FlaskClient, photo: bytes
) -> None:
    key = uuid7()
    text = token(jti=key, exp=int(time.time()) + 290)
    statuses = [
        post(guarded, photo, platform="x", headers=bearer(text, **{"Idempotency-Key": sent_key}))
        for sent_key in (key, uuid7())
    ]
    assert [answer.status_code for answer in statuses] == [200, 422]
    assert statuses[1].get_json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]


def test_a_token_for_one_use_lives_five_minutes_at_most(guarded: FlaskClient, photo: bytes) -> None:
    late = token(jti=uuid7(), exp=int(time.time()) + 400)
    assert post(guarded, photo, platform="x", headers=bearer(late)).status_code == 403


# --- forged, damaged, foreign

many = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
READ = {"keys": [KEY], "max_age_s": 600}
GOOD = UploadToken(ends_at=2**31, origin=SHOP, subject="customer 7", max_bytes=5_000_000)


def read(text: str, **changes: Any) -> UploadToken:  # noqa: ANN401 - of either argument
    arguments: Any = READ | changes
    return UploadToken.read(text, **arguments)


@many
@given(
    st.builds(
        UploadToken,
        ends_at=st.integers(5, 600).map(lambda ahead: int(time.time()) + ahead),
        origin=st.sampled_from(["", SHOP, "https://x.example:8443"]),
        subject=st.text(st.characters(exclude_categories=["C", "Z"]), max_size=200),
        max_bytes=st.none() | st.integers(1, 10**9),
    )
)
def test_what_is_signed_is_read_as_it_was(made: UploadToken) -> None:
    assert read(made.signed(KEY)) == made


@many
@given(st.data())
def test_a_token_that_was_changed_anywhere_is_wrong(data: st.DataObject) -> None:
    text = token(sub="customer 7")
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda character: character != text[place]))
    with pytest.raises(WrongUploadToken):
        read(text[:place] + other + text[place + 1 :])


@many
@given(st.integers(0, 200), st.text(max_size=20))
def test_a_token_that_was_cut_or_made_longer_is_wrong(length: int, more: str) -> None:
    text = token()
    for changed in (text[: min(length, len(text) - 1)], text + (more or "=")):
        with pytest.raises(WrongUploadToken):
            read(changed)


@given(
    st.text(max_size=3000)
    | st.from_regex(r"[A-Za-z0-9_-]{1,400}\.[A-Za-z0-9_-]{43}", fullmatch=True)
)
def test_a_text_that_nobody_signed_is_wrong(text: str) -> None:
    with pytest.raises(WrongUploadToken):
        read(text)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@many
@given(
    st.dictionaries(st.sampled_from(["origin", "sub", "max_bytes", "jti", "exp", "aud"]), _json),
)
def test_what_a_signed_token_says_is_of_the_right_kind_or_it_is_wrong(said: dict[str, Any]) -> None:
    """Whoever holds the key may still make mistakes."""
    try:
        found = read(token(**said), max_age_s=10**12)
    except WrongUploadToken:
        return
    assert said.get("aud") is None  # which token leaves out
    assert isinstance(found.max_bytes, int | None)
    assert found.max_bytes is None or (found.max_bytes > 0 and found.max_bytes is not True)
    assert found.origin.isprintable()
    assert found.subject.isprintable()


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"1", b'"x"', b"{}", b"{", b"\xff\xfe", b"[" * 1400, b'{"exp":1e9}']
)
def test_signed_nonsense_is_wrong(payload: bytes) -> None:
    text = base64.urlsafe_b64encode(payload).rstrip(b"=")
    signature = hmac.new(KEY.encode(), text, hashlib.sha256).digest()
    with pytest.raises(WrongUploadToken):
        read(f"{text.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")


@pytest.mark.parametrize(
    "fields",
    [
        *({"max_bytes": most} for most in (True, 0, -1, 1.5, "9")),
        *({"sub": subject} for subject in ("a\nb", "", "x" * 201, 7, "\u2028")),
        *({"jti": key} for key in ("", "x", "018f0000-0000-4000-8000-000000000000")),
        *({"exp": end} for end in (True, "9999999999", 1e10)),
    ],
)
def test_a_signed_field_that_cannot_be_meant_is_wrong(fields: dict[str, Any]) -> None:
    with pytest.raises(WrongUploadToken, match=f"wrong or missing: {next(iter(fields))}"):
        read(token(**fields))


def test_a_text_of_two_thousand_characters_is_read_and_no_longer_one() -> None:
    for more, reason in ((0, "signed with another key"), (1, "not a token")):
        with pytest.raises(WrongUploadToken, match=reason):
            read("x" * (1956 + more) + "." + "y" * 43)


def test_a_token_may_end_as_late_as_the_setting_says_and_no_later() -> None:
    now = int(time.time())
    assert read(token(exp=now + 600)).ends_at == now + 600
    assert read(token(exp=now + 650)).ends_at == now + 650  # another clock
    with pytest.raises(WrongUploadToken, match="ends in more than 600 s"):
        read(token(exp=now + 670))
    with pytest.raises(ExpiredUploadToken):
        read(token(exp=now))


# --- the app proxy


def proxied(secret: str = APP_SECRET, **changes: object) -> str:
    """Return a query as Shopify signs it."""
    query: dict[str, Any] = {
        "extra": ["1", "2"],
        "shop": "perkie.myshopify.com",
        "logged_in_customer_id": "42",
        "path_prefix": "/apps/share",
        "timestamp": str(int(time.time())),
        **changes,
    }
    joined = {name: ",".join(v) if isinstance(v, list) else v for name, v in query.items()}
    message = "".join(sorted(f"{name}={value}" for name, value in joined.items()))
    signature = hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()
    return str(httpx.QueryParams({**query, "signature": signature}))


@pytest.fixture
def proxy(make_client: MakeClient) -> FlaskClient:
    return make_client(UPLOAD_KEYS=f"{KEY},{NEXT_KEY}", SHOPIFY_APP_SECRET=APP_SECRET)


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("&logged_in_customer_id=1",
         "4c68c8624d737112c91818c11017d24d334b524cb5c2b8ba08daa056f7395ddb"),
        ("&logged_in_customer_id=",
         "e072b6d7e6622d85912a5214b860d3100dc1e73d9bc29f43796ac8c9ff8093cb"),
        ("", "a9718877bea71c2484f91608a7eaea1532bdf71f5c56825065fa4ccabe549ef3"),
    ],
)  # fmt: skip
def test_the_signature_is_the_one_that_shopify_documents(query: str, signature: str) -> None:
    """Of 2011: what is refused is its age, and not its signature."""
    fixed = "extra=1&extra=2&shop=shop-name.myshopify.com&path_prefix=%2Fapps%2Fawesome_reviews"
    text = f"{fixed}&timestamp=1317327555{query}&signature={signature}"
    with pytest.raises(WrongSignature, match="signed at '1317327555'"):
        require_signature(Request(create_environ(query_string=text)), "hush")


def test_the_app_proxy_gets_a_token_for_its_customer(proxy: FlaskClient, photo: bytes) -> None:
    answer = proxy.get(f"/token?{proxied()}")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    said = answer.get_json()
    made = read(said["token"])
    assert (made.subject, made.key, made.ends_at) == ("customer 42", None, said["expires_at"])
    assert 590 < made.ends_at - time.time() <= 600
    assert post(proxy, photo, platform="x", headers=bearer(said["token"])).status_code == 200


def test_the_app_proxy_gets_a_token_for_one_use_if_it_asks(
    proxy: FlaskClient, photo: bytes
) -> None:
    text = proxy.get(f"/token?{proxied(once='1', logged_in_customer_id='')}").get_json()["token"]
    made = read(text)
    assert made.subject == ""
    assert made.key is not None
    first, again = (post(proxy, photo, platform="x", headers=bearer(text)) for _ in range(2))
    assert first.get_json()["share_id"] == again.get_json()["share_id"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        proxied("another-secret-altogether"),
        proxied().replace("42", "43"),
        proxied().replace("extra=2", "extra=3"),
        proxied() + "&extra=3",
        proxied() + "&x=1",
        proxied(timestamp=str(int(time.time()) - 100_000)),
        proxied(timestamp=str(int(time.time()) + 100_000)),
        proxied(timestamp="now"),
        proxied(timestamp="\u00b2"),
        proxied(timestamp="9" * 400),
        proxied(timestamp=""),
        re.sub("signature=.*", "signature=", proxied()),
        re.sub("signature=.*", "signature=%C3%A9", proxied()),
    ],
)
def test_a_query_that_shopify_did_not_sign_lately_gets_none(proxy: FlaskClient, query: str) -> None:
    answer = proxy.get(f"/token?{query}")
    assert answer.status_code == 403
    assert answer.get_json()["code"] == "wrong_signature"


@pytest.mark.parametrize("age_s", [-80, 80])
def test_clocks_may_differ_by_a_minute(proxy: FlaskClient, age_s: int) -> None:
    query = proxied(timestamp=str(int(time.time()) - age_s))
    assert proxy.get(f"/token?{query}").status_code == 200


def test_without_a_secret_there_is_no_such_page(guarded: FlaskClient) -> None:
    assert guarded.get(f"/token?{proxied()}").status_code == 404
    assert guarded.get("/token").status_code == 404


# --- settings, and what is told of them


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"UPLOAD_KEYS": "short"}, "UPLOAD_KEYS: found '5 characters', expected one or two keys"),
        ({"UPLOAD_KEYS": f"{KEY},{KEY}"}, "UPLOAD_KEYS"),
        ({"UPLOAD_KEYS": f"{KEY},{NEXT_KEY},{KEY}x"}, "UPLOAD_KEYS"),
        ({"UPLOAD_KEYS": f"{KEY},"}, "UPLOAD_KEYS"),
        ({"UPLOAD_KEYS": "with spaces in the key"}, "UPLOAD_KEYS"),
        ({"UPLOAD_KEYS": KEY, "UPLOAD_TOKEN_MINUTES": "0"}, "UPLOAD_TOKEN_MINUTES"),
        ({"SHOPIFY_APP_SECRET": APP_SECRET}, "UPLOAD_KEYS: found '', expected a key, because"),
        ({"SHOPIFY_APP_SECRET": "hush", "UPLOAD_KEYS": KEY}, "SHOPIFY_APP_SECRET: found '4 char"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_reported(
    variables: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        load_settings(variables)
    assert "hush" not in str(raised.value)


def test_keys_are_told_to_nobody(
    proxy: FlaskClient, photo: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    text = token(sub="customer 7")
    answer = post(proxy, photo, platform="x", headers=bearer(text))
    health = proxy.get("/health")
    said = capsys.readouterr().err + answer.get_data(as_text=True) + health.get_data(as_text=True)
    assert health.get_json()["uploads"] == "token"
    for secret in (KEY, NEXT_KEY, APP_SECRET, text, text.partition(".")[2]):
        assert secret not in said


def test_health_says_who_may_upload(client: FlaskClient) -> None:
    assert client.get("/health").get_json()["uploads"] == "open"


# --- as the documentation says

SNIPPETS = dict(
    re.findall(
        r"```(python|js|php)\n(.*?)```", (ROOT / "docs/upload-tokens.md").read_text(), re.DOTALL
    )
)
RUN = {
    "python": ("python3", ["-c"], "print(upload_token('customer 7'))"),
    "js": ("node", ["--input-type=module", "-e"], "console.log(uploadToken('customer 7'))"),
    "php": ("php", ["-r"], "echo upload_token('customer 7');"),
}


@pytest.mark.parametrize("language", RUN)
def test_a_shop_makes_tokens_in_a_few_lines(language: str) -> None:
    program, options, call = RUN[language]
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    code = SNIPPETS[language].removeprefix("<?php\n") + "\n" + call
    made = subprocess.run(
        [program, *options, code],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "UPLOAD_KEY": KEY},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout.strip()
    found = read(made)
    assert found.subject == "customer 7"
    assert 0 < found.ends_at - time.time() <= 600


def test_a_key_of_a_token_is_a_share_key(guarded: FlaskClient, photo: bytes) -> None:
    """Whoever holds it may delete the share: it is the delete_token."""
    key = uuid7()
    headers = bearer(token(jti=key, exp=int(time.time()) + 200))
    share = post(guarded, photo, platform="x", headers=headers).get_json()
    assert share["delete_token"] == key == str(parse_uuid7(key))
    assert guarded.delete(f"{SHARE}/{share['share_id']}", headers=bearer(key)).status_code == 204
