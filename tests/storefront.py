"""A shop beside the function: a page on another origin, and a server that can misbehave.

    Storefront      a real HTTP server; it serves a page that uses the browser client
    └── script      what POST answers, one entry a request; after the last, a share

Every entry is a function of the request: `answers(503)`, `hangs`, `dies`, `forwards_to(url)`.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
from function_server import ROOT
from werkzeug.formparser import parse_form_data

from serving.languages import pick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HANG_MAX_S = 20

# In the order in which the element shows them.
NETWORKS = [
    "facebook",
    "x",
    "threads",
    "bluesky",
    "pinterest",
    "linkedin",
    "whatsapp",
    "telegram",
    "reddit",
    "email",
]

# Nothing is allowed but what docs/storefront.md asks a shop for.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src {function}; connect-src {function}; img-src data:; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
)
PAGE = """<!DOCTYPE html>
<html lang="{lang}">
<head><meta charset="utf-8"><title>A shop</title>
<meta name="color-scheme" content="light dark"><meta property="og:site_name" content="Fur &amp; Co">
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<script type="module" src="{function}/share-image.js"></script></head>
<body><main><h1>A portrait</h1>
<share-image-button {attributes}></share-image-button>
<p><label>Note <input name="note"></label></p>
</main></body>
</html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One POST as it arrived."""

    at: float
    headers: Mapping[str, str]
    fields: Mapping[str, str]
    file: bytes = field(repr=False)
    filename: str
    body: bytes = field(repr=False)

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]


class Storefront:
    """A server that plays shop and function; script and posts belong to the test that runs."""

    def __init__(self) -> None:
        self.script: deque[Callable[[_Handler, Posted], None]] = deque()
        self.posts: list[Posted] = []
        self.tokens: deque[str] = deque()  # what its app proxy hands out
        self.clock_ahead_s = 0.0  # of Date, against this machine
        self.release = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.storefront = self  # type: ignore[attr-defined]
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def page(
        self, function: str = "", attributes: str = "", host: str = "127.0.0.1", lang: str = "en"
    ) -> str:
        """Return the address of a page with the element, served by the function at that address.

        function: its address, empty for this server; host: localhost makes it another origin.
        """
        query = httpx.QueryParams(
            {"function": function or self.url, "attributes": attributes, "lang": lang}
        )
        return f"http://{host}:{self.port}/?{query}"

    def reset(self) -> None:
        """Forget what the last test left."""
        self.release.set()
        self.release = threading.Event()
        self.script.clear()
        self.posts.clear()
        self.tokens.clear()
        self.clock_ahead_s = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[Storefront]:
        """Serve until the block ends."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self.release.set()
            self._server.shutdown()
            self._server.server_close()


def answers(status: int, body: object = None, **headers: str) -> Callable[[_Handler, Posted], None]:
    """Answer so; of JSON unless the body is text. Underscores in header names become dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(handler: _Handler, _posted: Posted) -> None:
        handler.send(status, body if body is not None else {"detail": "no", "code": "no"}, named)

    return answer


def shares(handler: _Handler, posted: Posted) -> None:
    """Answer with a share, as the function does."""
    handler.send(200, share_of(posted, handler.storefront.url), {})


def hangs(handler: _Handler, posted: Posted) -> None:
    """Answer with a share, but only when the test says so."""
    handler.storefront.release.wait(HANG_MAX_S)
    shares(handler, posted)


def dies(handler: _Handler, _posted: Posted) -> None:
    """Close the connection instead of answering."""
    handler.close_connection = True


def dies_while_answering(handler: _Handler, _posted: Posted) -> None:
    """Break off in the middle of the answer."""
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
    )
    handler.close_connection = True


def forwards_to(
    url: str, *, then: Callable[[_Handler, Posted], None] | None = None
) -> Callable[[_Handler, Posted], None]:
    """Let the function at this address do the work; then lose its answer, if so wished."""

    def forward(handler: _Handler, posted: Posted) -> None:
        names = ("Content-Type", "Idempotency-Key")
        headers = {name: posted.headers[name] for name in names}
        answer = httpx.post(f"{url}/api/v2/share-image", content=posted.body, headers=headers)
        assert answer.status_code == 200, answer.text
        if then is None:
            handler.send(200, answer.json(), {})
        else:
            then(handler, posted)

    return forward


def share_of(posted: Posted, url: str) -> dict[str, Any]:
    """Return the answer for a share that nobody stored."""
    page_url = f"{url}/s/{posted.key}"
    return {
        "url": f"{page_url}.jpg",
        "page_url": page_url,
        "card_url": f"{page_url}/card.jpg",
        "share_id": posted.key,
        "expires_at": int(time.time()) + 86400,
        "platform": posted.fields["platform"],
        "delete_token": posted.key,
        "links": {name: f"https://{name}.example/share?u={page_url}" for name in NETWORKS[:-1]}
        | {"email": f"mailto:?body={page_url}"},
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def storefront(self) -> Storefront:
        found: Storefront = self.server.storefront  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/":
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            self._send_page(query["function"], query.get("attributes", ""), query.get("lang", ""))
        elif address.path == "/share-image.js":
            script = (ROOT / "web" / "share-image.js").read_bytes()
            self.send(200, script, {"Content-Type": "text/javascript"})
        elif address.path.startswith("/texts/"):
            tag = PurePosixPath(address.path).stem
            self.send(200, dict(pick(tag).client), {})
        elif address.path == "/apps/share/token":
            self.send(200, {"token": self.storefront.tokens.popleft()}, {})
        elif address.path == "/health":
            self.send(200, {"status": "ok"}, {})
        else:
            self.send(404, {"detail": "Not Found", "code": "not_found"}, {})

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the client left
            self.close_connection = True
            return
        posted = _parse(body, dict(self.headers))
        front = self.storefront
        front.posts.append(posted)
        behave = front.script.popleft() if front.script else shares
        behave(self, posted)

    def _send_page(self, function: str, attributes: str, lang: str) -> None:
        html = PAGE.format(function=function, attributes=attributes, lang=lang)
        policy = CONTENT_SECURITY_POLICY.format(function=function)
        content_type = "text/html; charset=utf-8"
        self.send(200, html, {"Content-Type": content_type, "Content-Security-Policy": policy})

    def send(self, status: int, body: object, headers: Mapping[str, str]) -> None:
        content_type = "application/json"
        if isinstance(body, bytes):
            data = body
        elif isinstance(body, str):
            data, content_type = body.encode(), "text/html"
        else:
            data = json.dumps(body).encode()
        self.send_response(status)
        fields = {"Content-Type": content_type, "Cache-Control": "no-store", **headers}
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client left
            self.wfile.write(data)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(timestamp or time.time() + self.storefront.clock_ahead_s)

    def log_message(self, *_: object) -> None:
        """Say nothing: pytest owns the output."""


def _parse(body: bytes, headers: dict[str, str]) -> Posted:
    environ = {
        "wsgi.input": io.BytesIO(body),
        "CONTENT_TYPE": headers["Content-Type"],
        "CONTENT_LENGTH": str(len(body)),
        "REQUEST_METHOD": "POST",
    }
    _, texts, files = parse_form_data(environ)
    with contextlib.closing(files["file"]) as upload:
        return Posted(
            at=time.monotonic(),
            headers=headers,
            fields=texts.to_dict(),
            file=upload.stream.read(),
            filename=upload.filename or "",
            body=body,
        )
