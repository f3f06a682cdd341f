"""share-image: post a picture, get a link to publish.

    share_image(request)
    └── Service.answer      route, guard, handle; every error becomes an answer here
        ├── create          receive the form, make the share, answer with its links
        ├── delete          delete a share
        ├── page            what a visitor sees
        ├── picture, card   what was stored
        ├── asset, texts    the browser client, its languages, the demo page, the logo
        ├── token           who may share, by way of the shop
        ├── health, openapi what runs here; the contract
        └── _preflight      CORS

functions-framework imports this module once and calls share_image for every request.
"""

# ruff: noqa: E402 - what is imported after begin_imports is imported sooner
from __future__ import annotations

import time
import traceback
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Request, Response
from werkzeug.routing import Map, Rule

import process

process.begin_imports()

import links
from config import Settings, load_settings
from errors import (
    BadRequest,
    Gone,
    MissingToken,
    NotFound,
    ObjectDeleted,
    ShareImageError,
    WrongToken,
)
from image_ops import Renderer
from imaging.provenance import claimed, strongest
from logs import Log, note, request_line, stage
from moderation import Moderation
from platforms import card_canvas, picture_canvas
from process import MemoryBudget
from serving.admission import Gate, bearer
from serving.app_proxy import token_answer
from serving.assets import PATHS as ASSET_PATHS
from serving.assets import Assets
from serving.body import body_bytes
from serving.conditional import conditional
from serving.cors import Origins, preflight_headers
from serving.forms import parse_form
from serving.framework import claim_answers, warm_up_in_workers
from serving.health import Health, warn_of_memory_limits, warn_of_missing_glyphs
from serving.pages import Pages
from serving.rate_limit import RateLimiter, client_of
from serving.request_log import RequestLog, write_cut
from serving.responses import (
    Visit,
    json_answer,
    prefers_html,
    sealed,
    share_answer,
)
from serving.routing import listed, match, with_options
from serving.unread import Readers
from serving.views import Views
from share_keys import token_matches
from share_objects import cache_max_age_s
from shares import Shares
from storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from image_ops import Rendition
    from moderation import Examination
    from serving.forms import Form

    Handler = Callable[..., Response]

ROOT = Path(__file__).parent


class Service:
    """The function, composed once from its settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.log = Log(settings.log_level, project_id=settings.project_id)
        self._request_log = RequestLog(self.log, settings.log_sample)
        self._origins = Origins.of(settings.allowed_origins)
        self._storage = open_storage(settings, partial(cache_max_age_s, ttl=settings.share_ttl))
        self._rate_limiter = RateLimiter(settings.rate_limit, settings.rate_limit_storage_uri)
        self._memory = MemoryBudget.of_process(
            settings.memory_budget_bytes,
            threads=settings.threads,
            kept_bytes=settings.cache_bytes,
        )
        self._renderer = Renderer(settings.image, self._memory)
        self._shares = Shares(self._storage, settings.share_ttl, self.log)
        self._gate = Gate(settings, self._rate_limiter, self._shares)
        self._moderation = Moderation(settings, self._storage)
        self._pages = Pages(settings)
        self._views = Views(settings, self._shares, self._pages)
        self._assets = Assets(demo_page=settings.demo_page, logo_file=settings.logo_file)
        self._health = Health(settings, self._storage, self._rate_limiter)
        self._readers = Readers()
        self._openapi = (ROOT / "openapi.json").read_bytes()
        self._health.log_start(self.log, listed(ROUTES))
        warn_of_memory_limits(self.log, settings.image, self._memory.budget_bytes)
        warn_of_missing_glyphs(self.log, settings)

    def warm_up(self) -> None:
        """Import what the first share needs, while the port opens already."""
        with process.importing():
            self._storage.warm_up()
            self._rate_limiter.warm_up()
            self._moderation.warm_up()

    def answer(self, request: Request) -> Response:
        """Return the answer to a request: never raises, every failure becomes an answer."""
        started = time.perf_counter()
        with request_line() as line:
            visit = Visit.of(request, self._settings)
            response = self._answer(request, visit)
            is_for_all = "Access-Control-Allow-Origin" in response.headers
            cors = {} if is_for_all else self._origins.headers(visit.origin, visit.own_origins)
            sealed(
                response,
                cors,
                deployment=self._health.deployment,
                is_https=visit.base_url.startswith("https:"),
                environ=request.environ,
            )
            self._request_log.write(request, response, line, time.perf_counter() - started)
        self._readers.bound(response, request.environ, partial(write_cut, self.log, request))
        return response

    def create(self, request: Request, visit: Visit) -> Response:
        """Answer POST /api/v2/share-image: receive, render, check, store, answer."""
        started = time.perf_counter()
        self._origins.check(visit.origin, visit.own_origins)
        admission = self._gate.admission(request, visit.origin)
        max_bytes = admission.max_file_bytes
        with self._memory.reserve(body_bytes(request, max_upload_bytes=max_bytes)):
            with stage("receive"):
                admit = None if admission.is_complete else admission.admit
                form = parse_form(request, max_upload_bytes=max_bytes, admit=admit)
            note(platform=form.platform, effect_type=form.effect_type, bytes_in=len(form.file))
            key = admission.key
            was_stored = partial(self._shares.was_stored, key)
            examination = self._moderation.examination(key.share_id, form, was_stored)
            with stage("render"):
                picture, card = self._rendered(form, examination)
            with stage("check"):
                examination.settle(picture)
            with stage("store"):
                share = self._shares.store(key, form, picture, card)
        note(bytes_out=share.size_bytes)
        intents = self._pages.intents(visit.base_url, share)
        response = share_answer(share, key.value, visit.base_url, intents, started)
        response.headers.update(admission.rate_limit)
        return response

    def delete(self, request: Request, visit: Visit, share_id: str) -> Response:
        """Answer DELETE /api/v2/share-image/{share_id}: 204, again and again."""
        self._origins.check(visit.origin, visit.own_origins)
        parsed = self._shares.parse_id(share_id)
        token = bearer(request)
        if not token:
            raise MissingToken
        if not token_matches(token, share_id):
            raise WrongToken
        client = self._client(request)
        self._shares.delete(parsed, admit=lambda: self._rate_limiter.count(client))
        return Response(status=HTTPStatus.NO_CONTENT)

    def page(self, request: Request, visit: Visit, share_id: str) -> Response:
        """Answer GET and HEAD /s/{share_id}."""
        return self._views.page(request, visit.base_url, share_id)

    def picture(self, request: Request, visit: Visit, share_id: str) -> Response:
        """Answer GET and HEAD /s/{share_id}.jpg."""
        return self._views.picture(request, visit.base_url, share_id)

    def card(self, request: Request, _visit: Visit, share_id: str) -> Response:
        """Answer GET and HEAD /s/{share_id}/card.jpg."""
        return self._views.card(request, share_id)

    def asset(self, request: Request, _visit: Visit) -> Response:
        """Answer GET and HEAD for a file: the browser client, the demo page at /, the logo."""
        return self._assets.response(request, request.path)

    def texts(self, request: Request, _visit: Visit, tag: str) -> Response:
        """Answer GET and HEAD /texts/{tag}.json: what the browser client says in a language."""
        return self._assets.texts(request, tag)

    def token(self, request: Request, _visit: Visit) -> Response:
        """Answer GET /token: an upload token for a page of the shop, by way of its app proxy."""
        return token_answer(request, self._settings)

    def health(self, _request: Request, _visit: Visit) -> Response:
        """Answer GET /health: what runs, how it is configured, what of it works; calls nothing."""
        return json_answer(self._health.body())

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

    def _route(self, request: Request, visit: Visit) -> tuple[Handler, Mapping[str, Any]]:
        if not visit.base_url:
            raise BadRequest("Host names no host", detail="Invalid Host header")
        if request.environ["PATH_INFO"].startswith("//"):  # request.path hides it
            raise NotFound("no route")
        if request.method == "OPTIONS":
            return Service._preflight, {"methods": ROUTER.allowed_methods(request.path)}
        return match(ROUTER, request)

    def _preflight(self, _request: Request, visit: Visit, methods: Iterable[str]) -> Response:
        if not methods:
            raise NotFound("no route")
        self._origins.check(visit.origin, visit.own_origins)
        allowed = ", ".join(with_options(methods))
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
                response = self._pages.missing(request, error.status)
            elif isinstance(error, Gone) and error.share_id is not None:
                response = self._pages.ended(request, visit.base_url, error.share_id)
        response.headers.update(error.headers())
        return response

    def _rendered(self, form: Form, examination: Examination) -> tuple[Rendition, Rendition]:
        """Render the picture and the card; the picture is shown while the card is being made."""
        max_side_px = self._settings.image.max_side_px
        canvas = picture_canvas(form.platform, form.fit, max_side_px=max_side_px)
        first = examination.show if self._moderation.is_on else None
        source_type = strongest(
            claimed(form.file), form.digital_source_type, self._settings.digital_source_type
        )
        picture, card = self._renderer.render(
            form.file, (canvas, card_canvas(form.fit)), first, source_type
        )
        return picture, card

    def _client(self, request: Request) -> str:
        return client_of(request, trusted_hops=self._settings.trusted_proxy_hops)


_PAGE, _PICTURE, _CARD = (
    path.format(share_id="<share_id>") for path in (links.PAGE, links.PICTURE, links.CARD)
)
_SHARE = "/api/v2/share-image"
ROUTES = Map(
    [
        Rule("/", endpoint=Service.create, methods=["POST"]),
        # With a slash at its end, too: the replaced endpoint redirected from there.
        Rule(_SHARE, endpoint=Service.create, methods=["POST"], strict_slashes=False),
        Rule(f"{_SHARE}/<share_id>", endpoint=Service.delete, methods=["DELETE"]),
        Rule(_PAGE, endpoint=Service.page, methods=["GET"]),
        Rule(_PICTURE, endpoint=Service.picture, methods=["GET"]),
        Rule(_CARD, endpoint=Service.card, methods=["GET"]),
        Rule("/texts/<tag>.json", endpoint=Service.texts, methods=["GET"]),
        *(Rule(path, endpoint=Service.asset, methods=["GET"]) for path in ASSET_PATHS),
        Rule("/token", endpoint=Service.token, methods=["GET"]),
        Rule("/health", endpoint=Service.health, methods=["GET"]),
        Rule("/openapi.json", endpoint=Service.openapi, methods=["GET"]),
    ],
    merge_slashes=False,
)
ROUTER = ROUTES.bind("")  # whatever the host


process.keep_freed_memory()
service = Service(load_settings())
claim_answers(service.answer)
warm_up_in_workers(lambda: service.warm_up(), service.log)  # noqa: PLW0108 - found when called
process.end_imports()


def share_image(request: Request) -> Response:
    """Answer one HTTP request; the entry point of the function."""
    return service.answer(request)
