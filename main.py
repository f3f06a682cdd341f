"""share-image: post a picture, get a link to publish.

    share_image(request)
    └── Service.answer      route, guard, handle; every error becomes an answer here
        ├── create          receive the form, make the share, answer with its links
        ├── delete          take a share back
        ├── page            what a visitor sees
        ├── picture, card   what was stored
        ├── asset           the browser client, and the demo page
        ├── health          what runs, and how it is configured
        ├── openapi         the contract
        └── _preflight      CORS

functions-framework imports this module once and calls share_image for every request.
"""

# ruff: noqa: E402 - what is imported after begin_imports is imported sooner
from __future__ import annotations

import math
import os
import time
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import flask
from flask import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as RouteMethodNotAllowed
from werkzeug.exceptions import NotFound as RouteNotFound
from werkzeug.routing import Map, Rule

import memory

memory.begin_imports()

import source
from answers import Visit, cached, is_for_people, json_answer, sealed
from assets import DEMO, Assets
from capacity import memory_limits
from conditional import conditional
from config import VERSION, Settings, load_settings
from errors import (
    BadRequest,
    Gone,
    MethodNotAllowed,
    MissingToken,
    NotFound,
    ObjectDeleted,
    ShareImageError,
    WrongToken,
)
from glyphs import font_for, lacking
from guards import (
    MemoryBudget,
    Origins,
    RateLimiter,
    client_address,
    memory_limit_bytes,
    preflight_headers,
    resident_bytes,
)
from logs import Log, note, public_fields, request_line, stage
from pages import Pages, picture_response
from shares import CARD, PICTURE, Share, Shares, opens, parse_key
from storage import open_storage
from unread import bound_reading
from uploads import body_bytes, parse_form

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent
LOGGED_PATH_CHARS = 200
IMPORTED_LATER_BYTES = 80_000_000  # the storage client with its connections, the sandbox's server
# The worker's exit status at which gunicorn ends as a whole, instead of starting another one.
# Source: gunicorn/arbiter.py (WORKER_BOOT_ERROR, reap_workers).
WORKER_BOOT_ERROR = 3


class Service:
    """The function, composed once from its settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = Log(settings.log_level, project_id=settings.project_id)
        self._origins = Origins.of(settings.allowed_origins)
        self._storage = open_storage(settings)
        self._rate_limiter = RateLimiter(settings.rate_limit, settings.rate_limit_storage_uri)
        self._memory = _memory_budget(settings)
        self._shares = Shares(self._storage, self._memory, settings, self._log)
        self._pages = Pages(settings)
        self._assets = Assets(demo_page=settings.demo_page)
        self._started_at = datetime.now(UTC)
        self._source_files = source.digests(ROOT)
        self._openapi = (ROOT / "openapi.json").read_bytes()
        self._log.write("INFO", "started", self._start_fields())
        self._warn_of_memory_limits()
        self._warn_of_missing_glyphs()

    def warm_up(self) -> None:
        """Import what the first share needs, while the port opens already.

        A process that cannot would go on, healthy and broken: it ends instead, and says why.
        """
        try:
            with memory.importing():
                self._storage.warm_up()
                self._rate_limiter.warm_up()
        except Exception:  # noqa: BLE001 - whatever an import raises
            fields = {"exception": traceback.format_exc()}
            self._log.write("ERROR", "ended: cannot import what every share needs", fields)
            os._exit(WORKER_BOOT_ERROR)  # sys.exit would end this thread alone

    def answer(self, request: Request) -> Response:
        """Return the answer to a request; whatever goes wrong, it is one of ours."""
        started = time.perf_counter()
        with request_line() as line:
            visit = Visit.of(request, self._settings)
            try:
                response = self._dispatch(request, visit)
            except ShareImageError as error:
                response = self._error(request, visit, error)
            except Exception:  # noqa: BLE001 - what escapes here, the framework answers in HTML
                note(exception=traceback.format_exc())
                response = self._error(request, visit, ShareImageError())
            cors = self._origins.headers(visit.origin, visit.own_origins)
            is_https = visit.base_url.startswith("https:")
            sealed(response, cors, is_https=is_https, environ=request.environ)
            self._write_line(request, response, line, time.perf_counter() - started)
        bound_reading(response, request.environ, partial(self._write_cut, request))
        return response

    def create(self, request: Request, visit: Visit) -> Response:
        """Answer POST /api/v2/share-image."""
        started = time.perf_counter()
        self._origins.check(visit.origin, visit.own_origins)
        rate_limit = self._rate_limiter.count(self._client_address(request))
        key_header = request.headers.get("Idempotency-Key")
        key = None if key_header is None else parse_key(key_header)
        max_upload_bytes = self._settings.max_upload_bytes
        with self._memory.reserve(body_bytes(request, max_upload_bytes=max_upload_bytes)):
            with stage("receive"):
                form = parse_form(request, max_upload_bytes=max_upload_bytes)
            note(platform=form.platform, effect_type=form.effect_type, bytes_in=len(form.file.data))
            share = self._shares.create(form, key)
        note(bytes_out=share.picture.size_bytes)
        links = self._pages.links(visit.base_url, share.share_id)
        response = json_answer(_share_answer(share, visit.base_url, links, started))
        response.headers.update(rate_limit)
        return response

    def delete(self, request: Request, visit: Visit, share_id: str) -> Response:
        """Answer DELETE /api/v2/share-image/{share_id}: 204, again and again."""
        self._origins.check(visit.origin, visit.own_origins)
        parsed = self._shares.parse_id(share_id)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise MissingToken
        if not opens(token.strip(), share_id):
            raise WrongToken
        client = self._client_address(request)
        self._shares.delete(parsed, admit=lambda: self._rate_limiter.count(client))
        return Response(status=HTTPStatus.NO_CONTENT)

    def page(self, _request: Request, visit: Visit, share_id: str) -> Response:
        """Answer GET and HEAD /s/{share_id}."""
        living = self._shares.living(share_id)
        with stage("storage"):
            stored = self._shares.stat(living, PICTURE)
        note(platform=stored.metadata["platform"], effect_type=stored.metadata["effect_type"])
        expires_at = self._shares.expires_at(living)
        response = self._pages.share(visit.base_url, living, stored, expires_at)
        # Without PUBLIC_BASE_URL its links follow Host, so no shared cache may keep it.
        return cached(response, expires_at, shared=self._settings.public_base_url is not None)

    def picture(self, request: Request, _visit: Visit, share_id: str) -> Response:
        """Answer GET and HEAD /s/{share_id}.jpg."""
        return self._rendition(request, share_id, PICTURE)

    def card(self, request: Request, _visit: Visit, share_id: str) -> Response:
        """Answer GET and HEAD /s/{share_id}/card.jpg; an expired share keeps a neutral one."""
        try:
            return self._rendition(request, share_id, CARD)
        except ObjectDeleted:
            raise
        except Gone:
            return cached(self._pages.ended_card(request), math.inf)

    def asset(self, request: Request, _visit: Visit) -> Response:
        """Answer GET and HEAD for a file of web/: the browser client, and the demo page at /."""
        return self._assets.response(request, request.path.lstrip("/") or DEMO)

    def health(self, _request: Request, _visit: Visit) -> Response:
        """Answer GET /health: what runs and how it is configured; calls nothing."""
        settings = self._settings
        return json_answer(
            {
                "status": "ok",
                "version": VERSION,
                "source": source.source_digest(self._source_files),
                "source_files": self._source_files,
                "started_at": self._started_at.isoformat(timespec="milliseconds"),
                "storage": {
                    "backend": self._storage.kind,
                    "location": self._storage.location,
                    "ready": self._storage.is_ready,
                },
                "storage_state": asdict(self._storage.state),
                "rate_limit": self._rate_limiter.health(),
                "share_ttl_hours": settings.share_ttl.total_seconds() / 3600,
                "allowed_origins": list(settings.allowed_origins),
                "max_upload_bytes": settings.max_upload_bytes,
                "public_base_url": settings.public_base_url,
            }
        )

    def openapi(self, request: Request, _visit: Visit) -> Response:
        """Answer GET /openapi.json."""
        response = Response(self._openapi, content_type="application/json")
        response.headers["Cache-Control"] = "no-cache"
        response.add_etag()
        return conditional(response, request)

    def _dispatch(self, request: Request, visit: Visit) -> Response:
        if not visit.base_url:
            raise BadRequest("Host names no host", detail="Invalid Host header")
        if request.environ["PATH_INFO"].startswith("//"):  # request.path hides it
            raise NotFound("no route")
        routes = ROUTES.bind("")
        if request.method == "OPTIONS":
            return self._preflight(visit, routes.allowed_methods(request.path))
        try:
            handler, arguments = routes.match(request.path, request.method)
        except RouteMethodNotAllowed as error:
            raise MethodNotAllowed(allowed=_with_options(error.valid_methods or ())) from None
        except RouteNotFound:
            raise NotFound("no route") from None
        response: Response = handler(self, request, visit, **arguments)
        return response

    def _preflight(self, visit: Visit, methods: Iterable[str]) -> Response:
        if not methods:
            raise NotFound("no route")
        self._origins.check(visit.origin, visit.own_origins)
        allowed = ", ".join(_with_options(methods))
        response = Response(status=HTTPStatus.NO_CONTENT)
        response.headers["Allow"] = allowed
        response.headers.update(preflight_headers(allowed))
        return response

    def _error(self, request: Request, visit: Visit, error: ShareImageError) -> Response:
        """Map an error to its answer, the only place that does: JSON, or a page for people."""
        note(code=error.code, reason=error.reason)
        response = json_answer(error.body(), error.status)
        if isinstance(error, NotFound | ObjectDeleted) and is_for_people(request):
            response = self._pages.missing(visit.base_url, error.status)
        elif isinstance(error, Gone) and is_for_people(request):
            share_id = request.path.removeprefix("/s/").partition("/")[0].removesuffix(".jpg")
            response = self._pages.ended(visit.base_url, share_id)
        response.headers.update(error.headers())
        return response

    def _rendition(self, request: Request, share_id: str, rendition: str) -> Response:
        living = self._shares.living(share_id)
        with stage("storage"):
            if request.method == "HEAD":
                stored, data = self._shares.stat(living, rendition), b""
            else:
                stored, data = self._shares.read(living, rendition)
        return cached(picture_response(request, stored, data), self._shares.expires_at(living))

    def _client_address(self, request: Request) -> str:
        return client_address(
            request.access_route if "X-Forwarded-For" in request.headers else (),
            request.remote_addr or "",
            trusted_hops=self._settings.trusted_proxy_hops,
        )

    def _start_fields(self) -> dict[str, Any]:
        """Return what the line at the start of the process says."""
        return {
            "version": VERSION,
            "source": source.source_digest(self._source_files),
            "routes": [
                f"{', '.join(sorted(rule.methods or ()))} {rule.rule}"
                for rule in ROUTES.iter_rules()
            ],
            "settings": public_fields(self._settings),
        }

    def _warn_of_memory_limits(self) -> None:
        limits = memory_limits(self._settings.image, self._memory.budget_bytes)
        if limits:
            message = "memory allows fewer megapixels than MAX_MEGAPIXELS"
            settings = "MEMORY_BUDGET_MB or the instance's memory, MAX_MEGAPIXELS, INPUT_FORMATS"
            self._log.write("WARNING", message, {"megapixels": limits, "settings": settings})

    def _warn_of_missing_glyphs(self) -> None:
        name = self._settings.store_name
        font = font_for(name, self._settings.image.watermark_font)
        if missing := lacking(name, font):
            message = (
                "the card of an ended share goes without STORE_NAME: its font lacks characters"
            )
            fields = {"characters": missing, "font": font.name, "settings": "WATERMARK_FONT"}
            self._log.write("WARNING", message, fields)

    def _write_line(
        self, request: Request, response: Response, line: dict[str, Any], seconds: float
    ) -> None:
        status = response.status_code
        path = request.path[:LOGGED_PATH_CHARS]
        severity = "INFO"
        if status >= HTTPStatus.BAD_REQUEST:
            severity = "ERROR" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "WARNING"
        line["httpRequest"] = {
            "requestMethod": request.method,
            "requestUrl": path,
            "status": status,
            "requestSize": str(request.content_length or 0),
            "responseSize": str(response.content_length or 0),
            "latency": f"{seconds:.6f}s",
        }
        line.update(self._log.trace_fields(request.headers))
        self._log.write(severity, f"{request.method} {path} {status} {seconds * 1000:.0f} ms", line)

    def _write_cut(self, request: Request, timeout_s: float) -> None:
        message = f"{request.method} {request.path[:LOGGED_PATH_CHARS]} cut off"
        fields = {"reason": f"the answer was not read within {timeout_s:.1f} s"}
        self._log.write("WARNING", message, fields | self._log.trace_fields(request.headers))


ROUTES = Map(
    [
        Rule("/", endpoint=Service.create, methods=["POST"]),
        # With a slash at its end, too: the replaced endpoint redirected from there.
        Rule(
            "/api/v2/share-image", endpoint=Service.create, methods=["POST"], strict_slashes=False
        ),
        Rule("/api/v2/share-image/<share_id>", endpoint=Service.delete, methods=["DELETE"]),
        Rule("/s/<share_id>", endpoint=Service.page, methods=["GET"]),
        Rule("/s/<share_id>.jpg", endpoint=Service.picture, methods=["GET"]),
        Rule("/s/<share_id>/card.jpg", endpoint=Service.card, methods=["GET"]),
        Rule("/", endpoint=Service.asset, methods=["GET"]),
        Rule("/share-image.js", endpoint=Service.asset, methods=["GET"]),
        Rule("/demo.css", endpoint=Service.asset, methods=["GET"]),
        Rule("/demo.js", endpoint=Service.asset, methods=["GET"]),
        Rule("/health", endpoint=Service.health, methods=["GET"]),
        Rule("/openapi.json", endpoint=Service.openapi, methods=["GET"]),
    ],
    merge_slashes=False,
)


def _memory_budget(settings: Settings) -> MemoryBudget:
    """Give the work what the process may have, less what it has before any work."""
    total_bytes = settings.memory_budget_bytes or memory_limit_bytes()
    budget_bytes = max(0, total_bytes - resident_bytes() - IMPORTED_LATER_BYTES)
    return MemoryBudget(budget_bytes, max_waiting=max(1, settings.threads // 2))


def _share_answer(
    share: Share, base_url: str, links: dict[str, str], started: float
) -> dict[str, Any]:
    """Build the JSON of a share that was made; the only place that does."""
    link = f"{base_url}/s/{share.share_id}"
    return {
        "url": f"{link}.jpg",
        "expires_at": share.expires_at,
        "share_id": str(share.share_id),
        "processing_time": round(time.perf_counter() - started, 4),
        "page_url": link,
        "card_url": f"{link}/card.jpg",
        "platform": share.platform,
        "width": int(share.picture.metadata["width"]),
        "height": int(share.picture.metadata["height"]),
        "bytes": share.picture.size_bytes,
        "content_type": share.picture.content_type,
        "links": links,
        "delete_token": str(share.key),
    }


def _with_options(methods: Iterable[str]) -> tuple[str, ...]:
    return (*sorted(methods), "OPTIONS")


def _warm_up_worker(arbiter_pid: int) -> None:
    if os.getppid() == arbiter_pid:  # else a process that a worker forked, which serves nothing
        Thread(target=service.warm_up, daemon=True).start()


def _claim_framework_answers(app: flask.Flask) -> None:
    """Make the answers that the framework gives by itself ours: JSON, with CORS header fields.

    It redirects // in a path, and answers /robots.txt and /favicon.ico without asking the function.
    """
    app.url_map.merge_slashes = app.url_map.strict_slashes = False
    app.register_error_handler(HTTPException, lambda _error: service.answer(flask.request))


memory.keep_freed_memory()
service = Service(load_settings())
# In gunicorn's workers, not before: a thread of the process that forks would be cut off half way.
os.register_at_fork(after_in_child=partial(_warm_up_worker, os.getpid()))
if flask.has_app_context():
    _claim_framework_answers(flask.current_app)
memory.end_imports()


def share_image(request: Request) -> Response:
    """Answer one HTTP request; the entry point of the function."""
    return service.answer(request)
