"""Whether all of an answer is sent, a part of it, or none, as the request's conditions say.

    If-Match                   no match: 412, an error like any other
    └── If-None-Match          a match: 304, whatever Range asks for
        └── Range, If-Range    206 for one range; 416 behind the end; else the whole, 200

Source: RFC 9110, sections 13.2.2 (the order), 13.1 and 14. Dates are not compared, because nothing
here has a Last-Modified.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from errors import PreconditionFailed, RangeNotSatisfiable

if TYPE_CHECKING:
    from flask import Request, Response


def conditional(response: Response, request: Request) -> Response:
    """Return the answer to GET or HEAD, which has a strong ETag, as a 304 where that is enough.

    Raises: PreconditionFailed.
    """
    etag = response.get_etag()[0] or ""
    if "If-Match" in request.headers and not request.if_match.contains(etag):
        raise PreconditionFailed(f"If-Match without {etag}")
    if "If-None-Match" in request.headers and request.if_none_match.contains_weak(etag):
        response.status_code = HTTPStatus.NOT_MODIFIED
    return response


def ranged(response: Response, request: Request) -> Response:
    """Return the answer with the bytes that Range asks for, a whole 200 answer to GET or none.

    Of several ranges, or one that cannot be parsed, none is used, as section 14.2 allows.

    Raises: RangeNotSatisfiable.
    """
    response.headers["Accept-Ranges"] = "bytes"
    if "Range" not in request.headers:
        return response
    if request.method != "GET" or response.status_code != HTTPStatus.OK:
        return response
    data = response.get_data()
    piece = _asked_piece(request, response.headers["ETag"], len(data))
    if piece is None:
        return response
    response.set_data(data[piece])
    response.status_code = HTTPStatus.PARTIAL_CONTENT
    response.content_range.set(piece.start, piece.stop, len(data))
    return response


def _asked_piece(request: Request, etag: str, size_bytes: int) -> slice | None:
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return None
    if request.headers.get("If-Range", etag) != etag:  # the strong comparison: both are quoted
        return None
    first, end = asked.ranges[0]
    if first < 0:  # so many from the end, at most all there are
        first = max(0, size_bytes + first)
    if first >= size_bytes:
        raise RangeNotSatisfiable(size_bytes=size_bytes)
    return slice(first, min(end or size_bytes, size_bytes))
