"""share-image: post a picture, get a link to publish.

    share_image(request)
    └── Service.answer      route, guard, handle; every error becomes an answer here
        ├── create          receive the form, make the share, answer with its links
        ├── delete          take a share back
        ├── page            what a visitor sees
        ├── picture, card   what was stored
        ├── asset           the browser client, and the demo page
        ├── texts           what the client says, in a language
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

import process

process.begin_imports()

import deployed
import links
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
from image_ops import Renderer
from imaging.memory_cost import megapixel_limits
from logs import Log, note, public_fields, request_line, stage
from platforms import card_canvas, picture_canvas
from process import MemoryBudget, memory_limit_bytes, resident_bytes
from serving.assets import DEMO, Assets
from serving.conditional import conditional
from serving.cors import Origins, preflight_headers
from serving.forms import body_bytes, idempotency_key, parse_form
from serving.pages import Pages, picture_response
from serving.rate_limit import RateLimiter, client_address
from serving.request_log import write_cut, write_line
from serving.responses import Visit, cached, json_answer, prefers_html, sealed
from serving.unread import Readers
from share_keys import token_matches
from shares import CARD, PICTURE, Share, Shares, object_ends_at
from storage import CachedStorage, open_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from image_ops import Rendition
    from serving.forms import Form
    from storage import Storage

    Handler = Callable[..., Response]

ROOT = Path(__file__).parent
SHOWN_DIGEST_CHARS = 12  # of the source, in a header field of every answer
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
        self._storage = _storage(settings)
        self._rate_limiter = RateLimiter(settings.rate_limit, settings.rate_limit_storage_uri)
        self._memory = _memory_budget(settings)
        self._renderer = Renderer(settings.image, self._memory)
        self._shares = Shares(self._storage, settings.share_ttl, self._log)
        self._pages = Pages(settings)
        self._assets = Assets(demo_page=settings.demo_page)
        self._readers = Readers()
        self._started_at = datetime.now(UTC)
        self._source_files = deployed.digests(ROOT)
        self._source = deployed.source_digest(self._source_files)
        self._deployment = " ".join(
            filter(None, (self._source[:SHOWN_DIGEST_CHARS], settings.revision))
        )
        self._openapi = (ROOT / "openapi.json").read_bytes()
        self._log.write("INFO", "started", self._start_fields())
        self._warn_of_memory_limits()

    def warm_up(self) -> None:
        """Import what the first share needs, while the port opens already.

        A process that cannot would go on, healthy and broken: it ends instead, and says why.
        """
        try:
            with process.importing():
                self._storage.warm_up()
                self._rate_limiter.warm_up()
        except Exception:  # noqa: BLE001 - whatever an import raises
            fields = {"exception": traceback.format_exc()}
            self._log.write("ERROR", "ended: cannot import what every share needs", fields)
            os._exit(WORKER_BOOT_ERROR)  # sys.exit would end this thread alone

    def answer(self, request: Request) -> Response:
        """Return the answer to a request: never raises, every failure becomes an answer."""
        started = time.perf_counter()
        with request_line() as line:
            visit = Visit.of(request, self._settings)
            response = self._answer(request, visit)
            is_for_all = "Access-Control-Allow-Origin" in response.headers
            cors = {} if is_for_all else self._origins.headers(visit.origin, visit.own_origins)
            is_https = visit.base_url.startswith("https:")
            sealed(
                response,
                cors,
                deployment=self._deployment,
                is_https=is_https,
                environ=request.environ,
            )
            write_line(self._log, request, response, line, time.perf_counter() - started)
        self._readers.bound(response, request.environ, partial(write_cut, self._log, request))
        return response

    def create(self, request: Request, visit: Visit) -> Response:
        """Answer POST /api/v2/share-image: receive, render, store, answer."""
        started = time.perf_counter()
        self._origins.check(visit.origin, visit.own_origins)
        rate_limit = self._rate_limiter.count(self._client_address(request))
        key = self._shares.begin(idempotency_key(request))
        max_upload_bytes = self._settings.max_upload_bytes
        with self._memory.reserve(body_bytes(request, max_upload_bytes=max_upload_bytes)):
            with stage("receive"):
                form = parse_form(request, max_upload_bytes=max_upload_bytes)
            note(platform=form.platform, effect_type=form.effect_type, bytes_in=len(form.file))
            with stage("render"):
                picture, card = self._rendered(form)
            with stage("store"):
                share = self._shares.store(key, form, picture, card)
        note(bytes_out=share.size_bytes)
        intents = self._pages.intents(visit.base_url, share.share_id)
        response = json_answer(_share_answer(share, key.value, visit.base_url, intents, started))
        response.headers.update(rate_limit)
        return response

    def delete(self, request: Request, visit: Visit, share_id: str) -> Response:
        """Answer DELETE /api/v2/share-image/{share_id}: 204, again and again."""
        self._origins.check(visit.origin, visit.own_origins)
        parsed = self._shares.parse_id(share_id)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise MissingToken
        if not token_matches(token.strip(), share_id):
            raise WrongToken
        client = self._client_address(request)
        self._shares.delete(parsed, admit=lambda: self._rate_limiter.count(client))
        return Response(status=HTTPStatus.NO_CONTENT)

    def page(self, _request: Request, visit: Visit, share_id: str) -> Response:
        """Answer GET and HEAD /s/{share_id}."""
        live_id = self._shares.parse_live_id(share_id)
        with stage("storage"):
            share = self._shares.find(live_id)
        note(platform=share.platform, effect_type=share.effect_type)
        response = self._pages.share(visit.base_url, share)
        # Without PUBLIC_BASE_URL its links follow Host, so no shared cache may keep it.
        is_shared = self._settings.public_base_url is not None
        return cached(response, share.expires_at, shared=is_shared)

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

    def texts(self, request: Request, _visit: Visit, tag: str) -> Response:
        """Answer GET and HEAD /texts/{tag}.json: what the browser client says in a language."""
        return self._assets.texts(request, tag)

    def health(self, _request: Request, _visit: Visit) -> Response:
        """Answer GET /health: what runs, how it is configured, what of it works; calls nothing."""
        settings = self._settings
        return json_answer(
            {
                "status": "ok",
                "version": VERSION,
                "source": self._source,
                "source_files": self._source_files,
                "revision": settings.revision,
                "started_at": self._started_at.isoformat(timespec="milliseconds"),
                "storage": {
                    "backend": self._storage.kind,
                    "location": self._storage.location,
                    "ready": self._storage.is_ready,
                },
                "storage_state": asdict(self._storage.state),
                "rate_limit": self._rate_limiter.state,
                "settings": {name: v.shown for name, v in settings.variables.items()},
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

    def _answer(self, request: Request, visit: Visit) -> Response:
        handler: Handler | None = None
        try:
            handler, arguments = self._route(request, visit)
            return handler(self, request, visit, **arguments)
        except ShareImageError as error:
            return self._error(request, visit, error, is_page=handler is Service.page)
        except Exception:  # noqa: BLE001 - what escapes here, the framework answers in HTML
            note(exception=traceback.format_exc())
            return self._error(request, visit, ShareImageError(), is_page=False)

    def _route(self, request: Request, visit: Visit) -> tuple[Handler, dict[str, Any]]:
        if not visit.base_url:
            raise BadRequest("Host names no host", detail="Invalid Host header")
        if request.environ["PATH_INFO"].startswith("//"):  # request.path hides it
            raise NotFound("no route")
        if request.method == "OPTIONS":
            return Service._preflight, {"methods": ROUTER.allowed_methods(request.path)}
        try:
            handler, arguments = ROUTER.match(request.path, request.method)
        except RouteMethodNotAllowed as error:
            raise MethodNotAllowed(allowed=_with_options(error.valid_methods or ())) from None
        except RouteNotFound:
            raise NotFound("no route") from None
        return handler, dict(arguments)

    def _preflight(self, _request: Request, visit: Visit, methods: Iterable[str]) -> Response:
        if not methods:
            raise NotFound("no route")
        self._origins.check(visit.origin, visit.own_origins)
        allowed = ", ".join(_with_options(methods))
        response = Response(status=HTTPStatus.NO_CONTENT)
        response.headers["Allow"] = allowed
        response.headers.update(preflight_headers(allowed))
        return response

    def _error(
        self, request: Request, visit: Visit, error: ShareImageError, *, is_page: bool
    ) -> Response:
        """Map an error to its answer, the only place that does: JSON, or a page for people."""
        note(code=error.code, reason=error.reason)
        response = json_answer(error.body(), error.status)
        if prefers_html(request, is_page=is_page):
            if isinstance(error, NotFound | ObjectDeleted):
                response = self._pages.missing(visit.base_url, error.status)
            elif isinstance(error, Gone) and error.share_id is not None:
                response = self._pages.ended(visit.base_url, error.share_id)
        response.headers.update(error.headers())
        return response

    def _rendered(self, form: Form) -> tuple[Rendition, Rendition]:
        """Render the picture and the card of a form."""
        max_side_px = self._settings.image.max_side_px
        canvas = picture_canvas(form.platform, form.fit, max_side_px=max_side_px)
        picture, card = self._renderer.render(form.file, (canvas, card_canvas(form.fit)))
        return picture, card

    def _rendition(self, request: Request, share_id: str, rendition: str) -> Response:
        live_id = self._shares.parse_live_id(share_id)
        with stage("storage"):
            if request.method == "HEAD":
                stored, data = self._shares.stat(live_id, rendition), b""
            else:
                stored, data = self._shares.read(live_id, rendition)
        return cached(picture_response(request, stored, data), self._shares.expires_at(live_id))

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
            "source": self._source,
            "routes": [
                f"{', '.join(sorted(rule.methods or ()))} {rule.rule}"
                for rule in ROUTES.iter_rules()
            ],
            "settings": public_fields(self._settings),
        }

    def _warn_of_memory_limits(self) -> None:
        image = self._settings.image
        canvases = (picture_canvas("", None, max_side_px=image.max_side_px), card_canvas(None))
        limits = megapixel_limits(image, canvases, self._memory.budget_bytes)
        if limits:
            message = "memory allows fewer megapixels than MAX_MEGAPIXELS"
            settings = "MEMORY_BUDGET_MB or the instance's memory, MAX_MEGAPIXELS, INPUT_FORMATS"
            self._log.write("WARNING", message, {"megapixels": limits, "settings": settings})


ROUTES = Map(
    [
        Rule("/", endpoint=Service.create, methods=["POST"]),
        # With a slash at its end, too: the replaced endpoint redirected from there.
        Rule(
            "/api/v2/share-image", endpoint=Service.create, methods=["POST"], strict_slashes=False
        ),
        Rule("/api/v2/share-image/<share_id>", endpoint=Service.delete, methods=["DELETE"]),
        Rule(links.PAGE.format(share_id="<share_id>"), endpoint=Service.page, methods=["GET"]),
        Rule(
            links.PICTURE.format(share_id="<share_id>"), endpoint=Service.picture, methods=["GET"]
        ),
        Rule(links.CARD.format(share_id="<share_id>"), endpoint=Service.card, methods=["GET"]),
        Rule("/", endpoint=Service.asset, methods=["GET"]),
        Rule("/share-image.js", endpoint=Service.asset, methods=["GET"]),
        Rule("/share-image.js.map", endpoint=Service.asset, methods=["GET"]),
        Rule("/share-image.d.ts", endpoint=Service.asset, methods=["GET"]),
        Rule("/texts/<tag>.json", endpoint=Service.texts, methods=["GET"]),
        Rule("/demo.css", endpoint=Service.asset, methods=["GET"]),
        Rule("/demo.js", endpoint=Service.asset, methods=["GET"]),
        Rule("/health", endpoint=Service.health, methods=["GET"]),
        Rule("/openapi.json", endpoint=Service.openapi, methods=["GET"]),
    ],
    merge_slashes=False,
)
ROUTER = ROUTES.bind("")  # whatever the host


def _storage(settings: Settings) -> Storage:
    """Return the storage; in front of it, a cache that keeps a share as long as any cache may."""
    storage = open_storage(settings)
    if not settings.cache_bytes:
        return storage

    def max_age_s(name: str) -> float:
        return links.cache_max_age_s(object_ends_at(name, settings.share_ttl))

    return CachedStorage(storage, max_bytes=settings.cache_bytes, max_age_s=max_age_s)


def _memory_budget(settings: Settings) -> MemoryBudget:
    """Give the work what the process may have, less what it has before any work."""
    total_bytes = settings.memory_budget_bytes or memory_limit_bytes()
    before_bytes = resident_bytes() + IMPORTED_LATER_BYTES + settings.cache_bytes
    budget_bytes = max(0, total_bytes - before_bytes)
    return MemoryBudget(budget_bytes, max_waiting=max(1, settings.threads // 2))


def _share_answer(
    share: Share, key: UUID, base_url: str, intents: dict[str, str], started: float
) -> dict[str, Any]:
    """Build the JSON of a share that was made; the only place that does."""
    share_links = links.share_links(base_url, share.share_id)
    return {
        "url": share_links.picture,
        "expires_at": share.expires_at,
        "share_id": str(share.share_id),
        "processing_time": round(time.perf_counter() - started, 4),
        "page_url": share_links.page,
        "card_url": share_links.card,
        "platform": share.platform,
        "width": share.width,
        "height": share.height,
        "bytes": share.size_bytes,
        "content_type": share.content_type,
        "links": intents,
        "delete_token": str(key),
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


process.keep_freed_memory()
service = Service(load_settings())
# In gunicorn's workers, not before: a thread of the process that forks would be cut off half way.
os.register_at_fork(after_in_child=partial(_warm_up_worker, os.getpid()))
if flask.has_app_context():
    _claim_framework_answers(flask.current_app)
process.end_imports()


def share_image(request: Request) -> Response:
    """Answer one HTTP request; the entry point of the function."""
    return service.answer(request)
