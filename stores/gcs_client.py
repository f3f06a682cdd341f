"""What is used of google-cloud-storage, imported late and in one place.

stores/bucket.py translates its exceptions: vendor_errors() returns the base classes of all of them.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING

from late_import import LateImport

if TYPE_CHECKING:
    from io import BytesIO

    from google.cloud.storage import Blob, Bucket, Client
    from requests.adapters import HTTPAdapter

    from stores.contract import StoredObject

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """What is used of the official client.

    errors: the roots of all it may raise; transient: those worth another attempt, where the error
    carries no HTTP status to decide by.
    """

    client: type[Client]
    adapter: type[HTTPAdapter]
    errors: tuple[type[Exception], ...]
    transient: tuple[type[Exception], ...]


def _import_vendor() -> Vendor:
    """Import the official client: 0.25 s that a process with a local folder does not pay."""
    # Else the first operation sends GET /b/<bucket> from a thread of its own: a second request,
    # and one that the granted role need not allow.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    # Not at the top of the file: see above.
    import google.api_core.exceptions as api  # noqa: PLC0415
    import google.auth.exceptions as auth  # noqa: PLC0415
    import requests.exceptions as requests  # noqa: PLC0415
    import urllib3.exceptions as urllib3  # noqa: PLC0415
    from google.cloud import storage  # noqa: PLC0415
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    own = storage.exceptions
    return Vendor(
        client=storage.Client,
        adapter=HTTPAdapter,
        errors=(
            *(api.GoogleAPIError, auth.GoogleAuthError, urllib3.HTTPError, HTTPException),
            *(own.InvalidResponse, own.DataCorruption, own.InvalidPathError),
            OSError,  # of requests and of sockets
            ValueError,  # settings of the client, such as a wrong proxy or STORAGE_EMULATOR_HOST
        ),
        transient=(
            *(ConnectionError, TimeoutError, HTTPException, auth.TransportError),
            *(requests.ConnectionError, requests.Timeout, requests.ChunkedEncodingError),
            *(urllib3.ProtocolError, urllib3.TimeoutError, urllib3.PoolError),
        ),
    )


vendor = LateImport(_import_vendor)


def connect(connections: int) -> Client:
    """Return a client with so many connections."""
    client = vendor().client(project=None)  # a project is for making buckets: not looked up
    # There is no public way to the connection pool, which keeps 10 connections unless told.
    session = client._http  # noqa: SLF001
    if not session.is_mtls:  # else its adapter carries the client certificate
        adapter = vendor().adapter(pool_maxsize=connections)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
    return client


def vendor_errors() -> tuple[type[Exception], ...]:
    """Return the roots of all exceptions that are translated; imports the official client."""
    return vendor().errors


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of storage's answer; None where there was no answer."""
    code = getattr(error, "code", None)
    if not isinstance(code, int):
        code = getattr(getattr(error, "response", None), "status_code", None)
    return code


def is_transient(error: Exception) -> bool:
    """Return whether another attempt may succeed.

    Source: https://cloud.google.com/storage/docs/retry-strategy
    """
    status = status_of(error)
    if status is not None:
        return status in _RETRIED
    return isinstance(error, vendor().transient) or getattr(error, "retryable", False)


def failure_code(error: BaseException) -> str:
    """Return a word for a failure: the status of the answer, or the kind of the exception."""
    cause = error.__cause__ or error
    return str(status_of(cause) or type(cause).__name__)


def upload(
    stored: StoredObject, data: bytes, bucket: Bucket, timeout_s: float, **condition: int
) -> Blob:
    """Create an object in one request, on a condition such as if_generation_match."""
    blob = bucket.blob(stored.name)
    blob.metadata = dict(stored.metadata)
    blob.upload_from_string(
        data,
        content_type=stored.content_type,
        checksum="auto",
        retry=None,
        timeout=timeout_s,
        **condition,
    )
    return blob


def reload(name: str, bucket: Bucket, timeout_s: float) -> Blob:
    """Return an object's properties."""
    blob = bucket.blob(name)
    blob.reload(retry=None, timeout=timeout_s)
    return blob


def download(sink: BytesIO, name: str, bucket: Bucket, timeout_s: float) -> Blob:
    """Write an object's bytes to a sink, compare their checksum, and return its properties."""
    blob = bucket.blob(name)
    blob.download_to_file(sink, checksum="auto", retry=None, timeout=timeout_s)
    return blob


def erase(name: str, bucket: Bucket, timeout_s: float) -> None:
    """Delete an object."""
    bucket.blob(name).delete(retry=None, timeout=timeout_s)


def listed(
    folder: str, page: str | None, bucket: Bucket, timeout_s: float
) -> tuple[list[str], str | None]:
    """Return the names on a page of a folder's objects, sorted, and the token of the next page."""
    found = bucket.client.list_blobs(
        bucket,
        prefix=f"{folder}/",
        page_token=page,
        fields="items(name),nextPageToken",
        retry=None,
        timeout=timeout_s,
    )
    names = [blob.name for blob in next(found.pages, ())]
    return names, found.next_page_token


def etag_of(blob: Blob) -> str:
    """Return the MD5 of an object's bytes, in hexadecimal."""
    return base64.b64decode(blob.md5_hash or "").hex()
