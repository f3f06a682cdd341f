"""Which handler answers a request: werkzeug's routing, with this program's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import MethodNotAllowed as RouteMethodNotAllowed
from werkzeug.exceptions import NotFound as RouteNotFound

from errors import MethodNotAllowed, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flask import Request
    from werkzeug.routing import Map, MapAdapter


def match(router: MapAdapter, request: Request) -> tuple[Any, Mapping[str, Any]]:
    """Return the endpoint of a request and the values in its path.

    Raises: NotFound, MethodNotAllowed.
    """
    try:
        return router.match(request.path, request.method)
    except RouteMethodNotAllowed as error:
        raise MethodNotAllowed(allowed=with_options(error.valid_methods or ())) from None
    except RouteNotFound:
        raise NotFound("no route") from None


def with_options(methods: Iterable[str]) -> tuple[str, ...]:
    """Return methods as Allow lists them: every address answers OPTIONS as well."""
    return (*sorted(methods), "OPTIONS")


def listed(routes: Map) -> list[str]:
    """Return a line for each route: its methods and its path."""
    return [f"{', '.join(sorted(rule.methods or ()))} {rule.rule}" for rule in routes.iter_rules()]
