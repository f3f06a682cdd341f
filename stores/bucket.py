"""Google Cloud Storage, by its official client: one HTTP request an operation.

put, get, stat, delete, remove,
names (a request a page)          the caller waits timeout_s at most
└── a circuit                     refuses at once while storage hangs (circuit.py)
    └── a worker thread           tries, pauses, tries again
        └── gcs_client.py         imported by the first operation, or by warm_up()
"""

from __future__ import annotations

import functools
import io
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from errors import ObjectExists, ObjectNotFound, ShareImageError, StorageUnavailable
from stores.circuit import Circuit, StorageState
from stores.contract import (
    MAX_OBJECT_BYTES,
    TOMBSTONE,
    StoredObject,
    checked_name,
    described,
    not_deleted,
    shortened,
)
from stores.gcs_client import (
    connect,
    download,
    erase,
    etag_of,
    failure_code,
    is_transient,
    listed,
    reload,
    status_of,
    upload,
    vendor,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed import ReadableBuffer
    from google.cloud.storage import Blob, Bucket

T = TypeVar("T")

TIMEOUT_S: Final = 10.0  # of an operation, with all attempts and pauses
ATTEMPT_TIMEOUT_S: Final = 4.0  # connecting, or waiting for an answer: leaves room for two more
MAX_OPERATIONS: Final = 100  # at once, and as many connections; Cloud Run sends 80 requests

_NO_BUCKET = "The specified bucket does not exist"  # GCS says it also with 404, of reads as well
_LEAST_S = 0.01  # an attempt that has less is not begun


class BucketStorage:
    """A bucket of Google Cloud Storage, by its official client.

    timeout_s: the longest that a caller waits, name resolution and credentials included;
    attempt_timeout_s: how long one attempt waits to connect, and for each part of the
    answer; max_operations: at once; further ones wait.

    STORAGE_EMULATOR_HOST (http://host:port) leads to an emulator, as the client supports it.
    Source: https://cloud.google.com/storage/docs/retry-strategy
    """

    kind = "gcs"

    def __init__(
        self,
        bucket_name: str,
        *,
        timeout_s: float = TIMEOUT_S,
        attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
        max_operations: int = MAX_OPERATIONS,
    ) -> None:
        self.location = bucket_name
        self.timeout_s = timeout_s
        self.attempt_timeout_s = attempt_timeout_s
        self._max_operations = max_operations
        self._workers = ThreadPoolExecutor(max_operations, thread_name_prefix="storage")
        # An operation that fails in the second half of its time has tried until the end of it.
        self._circuit = Circuit(slow_s=timeout_s / 2)
        self._connecting = threading.Lock()
        self._connected: Bucket | None = None

    def put(
        self, name: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> StoredObject:
        """Create an object (see Storage.put): one request."""
        stored = described(name, data, content_type, metadata)
        request = functools.partial(upload, stored, data, if_generation_match=0)
        self._run("put", name, lambda operation: self._put(operation, stored, request))
        return stored

    def get(self, name: str) -> tuple[StoredObject, bytes]:
        """Return an object with its bytes (see Storage.get)."""
        return self._run("get", name, self._get)

    def stat(self, name: str) -> StoredObject:
        """Return an object without its bytes (see Storage.stat)."""
        return self._run("stat", name, self._stat)

    def delete(self, name: str, *, must_exist: bool = False) -> None:
        """Leave a tombstone (see Storage.delete): one request.

        Soon after a put, storage may ask to try again (429): it takes one write a second and name.
        Source: https://cloud.google.com/storage/quotas#objects
        """
        tombstone = described(name, b"", TOMBSTONE, {})
        condition = {"if_generation_not_match": 0} if must_exist else {}
        request = functools.partial(upload, tombstone, b"", **condition)
        self._run("delete", name, lambda operation: self._put(operation, tombstone, request))

    def names(self, folder: str) -> list[str]:
        """Return the names of a folder's objects (see Storage.names): one request a thousand."""
        return self._run("list", folder, self._names)

    def remove(self, name: str) -> None:
        """Remove an object without a tombstone (see Storage.remove): one request."""
        self._run("remove", name, self._remove)

    def sweep(self, has_ended: Callable[[str], bool]) -> None:
        """Do nothing: the bucket's lifecycle rule does (see Storage.sweep)."""

    @property
    def state(self) -> StorageState:
        """What became of the operations so far (see Storage.state)."""
        return self._circuit.state

    @property
    def is_ready(self) -> bool:
        """Whether the official client is imported."""
        return vendor.is_done

    def warm_up(self) -> None:
        """Import the client and find the credentials; what those lack, every operation reports."""
        with suppress(*vendor().errors):
            self._bucket(self._operation("warm up", ""))

    def _operation(self, verb: str, name: str) -> _Operation:
        return _Operation(
            verb, name, timeout_s=self.timeout_s, attempt_timeout_s=self.attempt_timeout_s
        )

    def _run(self, verb: str, name: str, work: Callable[[_Operation], T]) -> T:
        """Do the work in a thread: the only way to bound name resolution and a trickling answer.

        Measured: 10 microseconds.
        """
        operation = self._operation(verb, checked_name(name))
        with self._circuit.operation(failure_code):
            future = self._workers.submit(work, operation)
            try:
                return future.result(self.timeout_s)
            except TimeoutError as error:
                # The thread ends soon by its own timeouts, and begins no further attempt.
                reason = f"{operation} in {self.location}: nothing within {self.timeout_s:g} s"
                if operation.failure is not None:
                    reason += f", after {shortened(operation.failure)}"
                raise StorageUnavailable(reason) from operation.failure or error

    def _attempted(self, operation: _Operation, request: Callable[[Bucket, float], T]) -> T:
        # google.api_core.retry.Retry would take more lines: it shortens no attempt to the time that
        # is left, counts none, and wraps the last failure.
        while True:
            try:
                operation.attempts += 1
                return request(self._bucket(operation), operation.attempt_timeout_s())
            except vendor().errors as error:
                operation.failure = error
                pause_s = operation.pause_s()
                if not is_transient(error) or pause_s > operation.left_s():
                    raise self._translated(operation, error) from error
            time.sleep(pause_s)

    def _put(
        self, operation: _Operation, stored: StoredObject, request: Callable[[Bucket, float], Blob]
    ) -> None:
        if etag_of(self._attempted(operation, request)) != stored.etag:
            raise StorageUnavailable(f"{operation} in {self.location}: other bytes arrived")

    def _get(self, operation: _Operation) -> tuple[StoredObject, bytes]:
        def request(bucket: Bucket, timeout_s: float) -> tuple[Blob, bytes]:
            sink = _Sink(operation)
            return download(sink, operation.name, bucket, timeout_s), sink.getvalue()

        blob, data = self._attempted(operation, request)
        if not (blob.crc32c or blob.md5_hash):
            # The client compares the checksum where there is one. An answer without did not come
            # from storage: a proxy's page must not go out as a picture.
            raise StorageUnavailable(f"{operation} in {self.location}: answer without checksum")
        return not_deleted(described(operation.name, data, blob.content_type, {})), data

    def _stat(self, operation: _Operation) -> StoredObject:
        blob = self._attempted(operation, functools.partial(reload, operation.name))
        operation.ensure_size(blob.size)
        return not_deleted(
            StoredObject(
                name=operation.name,
                size_bytes=blob.size,
                content_type=blob.content_type,
                etag=etag_of(blob),
                metadata=blob.metadata or {},
            )
        )

    def _names(self, operation: _Operation) -> list[str]:
        names, page = self._attempted(operation, functools.partial(listed, operation.name, None))
        while page:
            more, page = self._attempted(operation, functools.partial(listed, operation.name, page))
            names += more
        return names

    def _remove(self, operation: _Operation) -> None:
        try:
            self._attempted(operation, functools.partial(erase, operation.name))
        except ObjectNotFound:
            if operation.attempts == 1:  # else the answer to an earlier attempt got lost
                raise

    def _bucket(self, operation: _Operation) -> Bucket:
        """Return the one client's bucket, made by the first caller while the others wait."""
        if not self._connecting.acquire(timeout=max(operation.left_s(), 0)):
            raise TimeoutError("the client is not ready")
        try:
            if self._connected is None:
                self._connected = connect(self._max_operations).bucket(self.location)
            return self._connected
        finally:
            self._connecting.release()

    def _translated(self, operation: _Operation, error: Exception) -> ShareImageError:
        status, reason = status_of(error), f"{operation} in {self.location}: {shortened(error)}"
        if status == HTTPStatus.PRECONDITION_FAILED:
            is_put = operation.verb == "put"
            return ObjectExists(operation.name) if is_put else ObjectNotFound(reason)
        if status != HTTPStatus.NOT_FOUND:
            return StorageUnavailable(reason)
        if operation.verb in {"put", "delete", "list"} or _NO_BUCKET in str(error):
            return StorageUnavailable(f"bucket {self.location} does not exist: {reason}")
        return ObjectNotFound(reason)


class _Operation:
    """One operation: what it is, what it has tried, and the time it has left."""

    def __init__(self, verb: str, name: str, *, timeout_s: float, attempt_timeout_s: float) -> None:
        self.verb = verb
        self.name = name
        self.attempts = 0
        self.failure: Exception | None = None
        self._ends_s = time.monotonic() + timeout_s
        self._attempt_timeout_s = attempt_timeout_s

    def __str__(self) -> str:
        return f"{self.verb} {self.name} (attempt {self.attempts})"

    def left_s(self) -> float:
        return self._ends_s - time.monotonic()

    def attempt_timeout_s(self) -> float:
        self.ensure_time_is_left()
        return max(min(self.left_s(), self._attempt_timeout_s), _LEAST_S)

    def ensure_time_is_left(self) -> None:
        if self.left_s() < _LEAST_S:
            raise TimeoutError("no time left")

    def ensure_size(self, size_bytes: int) -> None:
        if size_bytes > MAX_OBJECT_BYTES:
            raise StorageUnavailable(f"{self}: {size_bytes} bytes were not put by this program")

    def pause_s(self) -> float:
        """Return the pause before the next attempt: from 0.1 s, doubling up to 2 s, scattered."""
        longest_s = min(0.1 * 2.0 ** (self.attempts - 1), 2.0)
        return longest_s * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing


class _Sink(io.BytesIO):
    """Receives a download; ends it after the caller timed out, and above MAX_OBJECT_BYTES."""

    def __init__(self, operation: _Operation) -> None:
        super().__init__()
        self._operation = operation

    def write(self, chunk: ReadableBuffer, /) -> int:
        self._operation.ensure_time_is_left()
        self._operation.ensure_size(self.tell() + len(memoryview(chunk)))
        return super().write(chunk)
