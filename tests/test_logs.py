from __future__ import annotations

import io
import json

import pytest

from logs import Log, note, request_line, stage

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
