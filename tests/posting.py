"""A share as a page posts it, to the function in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

SHARE = "/api/v2/share-image"
SHOP = "https://shop.example"


def post(
    client: FlaskClient,
    data: bytes | None,
    *,
    path: str = SHARE,
    filename: str = "pet.jpg",
    headers: dict[str, str] | None = None,
    **fields: str,
) -> TestResponse:
    files = {} if data is None else {"file": (filename, data)}
    form = httpx.Request("POST", "http://localhost", data=fields, files=files)
    return client.post(
        path, data=form.read(), headers=headers, content_type=form.headers["Content-Type"]
    )
