"""examples/checker: what SafeSearch finds decides, against a stand-in of its API."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from function_server import ROOT, free_port
from posting import post

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeClient

pytestmark = pytest.mark.slow

FOLDER = ROOT / "examples/checker"
KEY = "0123456789abcdefghij"
JPEG = b"\xff\xd8 as far as anybody asks"
HARMLESS = dict.fromkeys(("adult", "spoof", "medical", "violence", "racy"), "VERY_UNLIKELY")


@contextlib.contextmanager
def google() -> Iterator[Any]:
    """Cloud Vision, and the metadata server that hands out tokens for it."""
    state = SimpleNamespace(answer={}, status=200, asked=[], address="")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = {"access_token": "from-the-host", "expires_in": 3600, "token_type": "Bearer"}
            self._send(200, token if "/token" in self.path else {"email": "a@b.example"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.asked.append((self.path, self.headers["Authorization"], body))
            self._send(state.status, {"responses": [state.answer]})

        def _send(self, status: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Any, str]]:
    """The stand-in, and the address of the function that asks it."""
    with google() as vision:
        port = free_port()
        environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "CHECK_KEY": KEY,
            "REFUSE_MEDICAL": "POSSIBLE",
            "REFUSE_VIOLENCE": "OFF",
            "VISION_URL": f"http://{vision.address}",
            "GCE_METADATA_HOST": vision.address,
            "GCE_METADATA_IP": vision.address,
            "GOOGLE_CLOUD_PROJECT": "my-project",
            "CLOUDSDK_CONFIG": "/nonexistent",
        }
        command = [sys.executable, "-m", "functions_framework", "--target", "check"]
        where = ["--source", str(FOLDER / "main.py"), "--host", "127.0.0.1", "--port", str(port)]
        with subprocess.Popen(
            [*command, *where], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            url = f"http://127.0.0.1:{port}/"
            try:
                wait_for(url, process)
                yield vision, url
            finally:
                process.terminate()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the function answers."""
    while process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=1)
            return
        threading.Event().wait(0.05)
    raise AssertionError("the function ended")


def ask(url: str, jpeg: bytes = JPEG, signature: str | None = None) -> httpx.Response:
    """Post a picture as share-image does."""
    if signature is None:
        signature = "sha256=" + hmac.new(KEY.encode(), jpeg, hashlib.sha256).hexdigest()
    return httpx.post(url, content=jpeg, headers={"Share-Signature": signature}, timeout=30)


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        ({}, 204, ""),
        ({"adult": "POSSIBLE"}, 204, ""),
        ({"adult": "LIKELY"}, 403, "adult LIKELY"),
        ({"racy": "LIKELY"}, 204, ""),
        ({"racy": "VERY_LIKELY", "adult": "VERY_LIKELY"}, 403, "adult VERY_LIKELY, racy VERY_LI"),
        ({"medical": "POSSIBLE"}, 403, "medical POSSIBLE"),
        ({"violence": "VERY_LIKELY", "spoof": "VERY_LIKELY"}, 204, ""),
        ({"violence": "UNKNOWN"}, 204, ""),
        ({"adult": "UNKNOWN"}, 502, "no verdict"),
        ({"adult": "SURELY"}, 502, "no verdict"),
    ],
)
def test_a_picture_is_refused_from_the_threshold_on(
    running: tuple[Any, str], found: dict[str, str], status: int, reason: str
) -> None:
    vision, url = running
    vision.status, vision.answer = 200, {"safeSearchAnnotation": HARMLESS | found}
    vision.asked.clear()
    answer = ask(url)
    assert answer.status_code == status
    assert answer.text.startswith(reason)
    ((path, authorization, body),) = vision.asked
    assert path == "/v1/images:annotate"
    assert authorization == "Bearer from-the-host"
    (asked,) = body["requests"]
    assert base64.b64decode(asked["image"]["content"]) == JPEG
    assert asked["features"] == [{"type": "SAFE_SEARCH_DETECTION"}]


@pytest.mark.parametrize(
    ("status", "said"),
    [(500, {}), (429, {}), (200, {}), (200, {"error": {"code": 7, "message": "no"}})],
)
def test_without_an_answer_of_safesearch_there_is_no_verdict(
    running: tuple[Any, str], status: int, said: dict[str, Any]
) -> None:
    vision, url = running
    vision.status, vision.answer = status, said
    assert ask(url).status_code == 502


def test_a_request_that_is_not_signed_costs_nothing(running: tuple[Any, str]) -> None:
    vision, url = running
    vision.asked.clear()
    signature = "sha256=" + hmac.new(KEY.encode(), JPEG, hashlib.sha256).hexdigest()
    answers = [
        ask(url, signature="").status_code,
        ask(url, JPEG + b"x", signature).status_code,
        ask(url, JPEG, signature.upper()).status_code,
        ask(url, b"").status_code,
        ask(url, bytes(4_000_001)).status_code,
        httpx.get(url).status_code,
    ]
    assert answers == [401, 401, 401, 405, 405, 405]
    assert vision.asked == []


@pytest.mark.parametrize(
    ("racy", "status"), [("LIKELY", 200), ("VERY_LIKELY", 400), ("UNKNOWN", 503)]
)
def test_a_share_is_published_if_it_says_so(
    make_client: MakeClient, running: tuple[Any, str], photo: bytes, racy: str, status: int
) -> None:
    vision, url = running
    vision.status, vision.answer = 200, {"safeSearchAnnotation": HARMLESS | {"racy": racy}}
    client = make_client(
        CHECK_URL=url, CHECK_KEY=KEY, CHECK_ALLOW_PRIVATE="on", CHECK_TIMEOUT_S="30"
    )
    assert post(client, photo, platform="x").status_code == status


def test_a_threshold_that_is_none_ends_the_start() -> None:
    code = "import main; main.thresholds({'REFUSE_ADULT': 'likely'})"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert "REFUSE_ADULT: found 'likely', expected one of OFF, VERY_UNLIKELY" in ended.stderr


def test_its_readme_lists_its_settings_and_its_pins_are_the_tested_ones() -> None:
    program, readme = ((FOLDER / name).read_text() for name in ("main.py", "README.md"))
    categories = re.findall(r'^    "([A-Z]+)": (?:"(\w+)"|OFF),$', program, re.MULTILINE)
    assert len(categories) == 5
    for category, default in categories:
        assert f"| `REFUSE_{category}` | `{default or 'OFF'}` |" in readme
    ours = (ROOT / "requirements.txt").read_text()
    for pin in (FOLDER / "requirements.txt").read_text().split():
        assert re.search(rf"^{re.escape(pin)}\b", ours, re.MULTILINE), pin
