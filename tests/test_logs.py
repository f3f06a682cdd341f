from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from posting import post

import deployed
from logs import Log, note, public_fields, request_line, stage

if TYPE_CHECKING:
    from conftest import MakeClient

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_one_json_object_as_cloud_logging_reads_it() -> None:
    stream = io.StringIO()
    Log("INFO", project_id=None, stream=stream).write("INFO", "made", {"platform": "x"})
    assert json.loads(stream.getvalue()) == {
        "severity": "INFO",
        "message": "made",
        "platform": "x",
    }
    assert stream.getvalue().count("\n") == 1


def test_nothing_a_client_sends_breaks_out_of_its_line() -> None:
    for stream in (io.StringIO(), Terminal()):
        hostile = 'a\n{"severity": "ERROR"}\x1b[31m\u2028'
        Log("INFO", project_id=None, stream=stream).write("INFO", "made", {"platform": hostile})
        assert stream.getvalue().count("\n") == 1
        assert "\x1b" not in stream.getvalue()
        assert "\u2028" not in stream.getvalue()


def test_on_a_terminal_a_line_is_plain_text() -> None:
    stream = Terminal()
    Log("INFO", project_id=None, stream=stream).write(
        "WARNING", "POST / 422", {"code": "invalid_fields", "httpRequest": {}}
    )
    assert 'WARNING POST / 422  code="invalid_fields"' in stream.getvalue()
    assert "httpRequest" not in stream.getvalue()


def test_on_a_terminal_long_lists_do_not_hide_the_line_and_long_texts_stay() -> None:
    stream = Terminal()
    Log("INFO", project_id=None, stream=stream).write(
        "INFO", "started", {"settings": dict.fromkeys(map(str, range(99))), "exception": "x" * 999}
    )
    assert "settings" not in stream.getvalue()
    assert "x" * 999 in stream.getvalue()


def test_lines_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    log = Log("WARNING", project_id=None, stream=stream)
    log.write("INFO", "quiet", {})
    log.write("WARNING", "heard", {})
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["heard"]


def test_notes_and_stages_go_to_the_line_at_hand_only() -> None:
    note(lost=True)
    with request_line() as line:
        note(pixels=1)
        with stage("render"):
            pass
        with request_line() as inner:
            note(pixels=2)
        assert inner == {"pixels": 2}
    assert line["pixels"] == 1
    assert line["stages_ms"]["render"] >= 0
    assert "lost" not in line


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        {"X-Cloud-Trace-Context": f"{TRACE}/1234;o=1"},
        {"X-Cloud-Trace-Context": TRACE},
    ],
)
def test_a_trace_is_named_as_cloud_trace_names_it(headers: dict[str, str]) -> None:
    fields = Log("INFO", project_id="shop").trace_fields(headers)
    assert fields == {"logging.googleapis.com/trace": f"projects/shop/traces/{TRACE}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": "00-short-00f067aa0ba902b7-01"},
        {"X-Cloud-Trace-Context": f"{TRACE}/1\nseverity: ERROR"},
        {"X-Cloud-Trace-Context": "x" * 5000},
    ],
)
def test_a_forged_trace_is_left_out(headers: dict[str, str]) -> None:
    assert Log("INFO", project_id="shop").trace_fields(headers) == {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: tuple[int, int] = (1, 2)
    token: str = field(default="hunter2", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    inner: Inner = Inner()
    password: str = field(default="hunter2", repr=False)
    counts_in: str = "redis://user:hunter2/@?#@cache.example:6379/0"
    folder: Path = Path("x")
    lifetime: timedelta = timedelta(hours=1)
    missing: str | None = None
    on: bool = True


def test_settings_are_shown_without_secrets() -> None:
    assert public_fields(Outer()) == {
        "inner": {"size": [1, 2]},
        "counts_in": "redis://cache.example:6379/0",
        "folder": "x",
        "lifetime": "1:00:00",
        "missing": None,
        "on": True,
    }


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_the_start_says_what_runs_and_how_it_is_configured(
    make_client: MakeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    make_client(SHARE_TTL_HOURS="2", RATE_LIMIT_STORAGE_URI="redis://:hunter2@localhost:1")
    (line,) = logged(capsys)
    assert (line["severity"], line["message"]) == ("INFO", "started")
    root = Path(__file__).parents[1]
    assert line["source"] == deployed.source_digest(deployed.digests(root))
    assert "POST /api/v2/share-image" in line["routes"]
    assert "GET, HEAD /s/<share_id>" in line["routes"]
    assert line["settings"]["share_ttl"] == "2:00:00"
    assert line["settings"]["allowed_origins"] == ["*"]
    assert "hunter2" not in json.dumps(line)


def test_a_share_and_its_page_are_logged_for_counting_and_for_reading(
    make_client: MakeClient, photo: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    client = make_client()
    form = {"file": (io.BytesIO(photo), "aunt-mary.jpg"), "platform": "email", "effect_type": "x"}
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Forwarded-For": "192.0.2.7"}
    share = client.post("/?campaign=private", data=form, headers=headers).get_json()
    client.get(f"/s/{share['share_id']}?fbclid=private")
    _, made, seen = logged(capsys)
    assert made["severity"] == "INFO"
    assert made["logging.googleapis.com/trace"] == TRACE
    for line in (made, seen):
        assert (line["platform"], line["effect_type"]) == ("email", "x")
        assert line["share_id"] == share["share_id"]
    assert (made["bytes_in"], made["bytes_out"]) == (len(photo), share["bytes"])
    assert made["pixels"] == 640 * 480
    assert {"receive", "render", "store"} <= set(made["stages_ms"])
    request = made["httpRequest"]
    assert (request["requestMethod"], request["requestUrl"], request["status"]) == (
        "POST",
        "/",
        200,
    )
    assert int(request["requestSize"]) > len(photo)  # 64-bit numbers are text in this JSON
    assert int(request["responseSize"]) > 0
    assert request["latency"].endswith("s")
    everything = json.dumps([made, seen])
    for private in ("aunt-mary", "private", "192.0.2.7", share["delete_token"]):
        assert private not in everything


def test_an_error_is_logged_with_its_code_and_its_severity(
    make_client: MakeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    make_client().post("/")
    line = logged(capsys)[-1]
    assert (line["severity"], line["code"]) == ("WARNING", "invalid_fields")
    assert line["httpRequest"]["status"] == 422


def test_of_successful_views_one_in_so_many_is_logged_and_everything_else_always(
    make_client: MakeClient, photo: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    client = make_client(LOG_SAMPLE="10")
    share = post(client, photo, platform="email").get_json()["share_id"]
    for _ in range(21):
        client.get(f"/s/{share}")
    client.get("/s/nothing")
    client.delete(f"/api/v2/share-image/{share}")
    _, *lines = logged(capsys)
    asked = [(line["httpRequest"]["requestMethod"], line.get("sample")) for line in lines]
    assert asked == [("POST", None), *[("GET", 10)] * 3, ("GET", None), ("DELETE", None)]


def test_without_a_sample_every_view_is_logged(
    make_client: MakeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client = make_client()
    for _ in range(3):
        client.get("/health")
    _, *lines = logged(capsys)
    assert ["sample" in line for line in lines] == [False] * 3


@pytest.mark.parametrize(
    ("agent", "is_crawler"),
    [
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", True),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Twitterbot/1.0", True),
        ("LinkedInBot/1.0 (compatible; Mozilla/5.0)", True),
        ("WhatsApp/2.23.20.0", True),
        ("Pinterest/0.2 (+https://www.pinterest.com/bot.html)", True),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", True),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) [Pinterest/iOS]", False),
        ("Mozilla/5.0 (Linux; Android 15; Cubot X70) Chrome/130.0.0.0 Mobile Safari/537.36", False),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0", False),
        ("", False),
    ],
)
def test_crawlers_are_told_from_people(
    make_client: MakeClient, capsys: pytest.CaptureFixture[str], agent: str, is_crawler: bool
) -> None:
    make_client().get("/health", headers={"User-Agent": agent})
    _, line = logged(capsys)
    assert line.get("is_crawler", False) is is_crawler
    assert "Mozilla" not in json.dumps(line)
