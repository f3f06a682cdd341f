"""Four verbs on stored objects, and the two places that hold them.

    open_storage(settings)
    ├── LocalStorage      a folder, one file an object: its bytes, then its properties
    │   ├── shares/7f/<id>/picture.jpg    appears whole or not at all
    │   └── .incoming/<random>            being written; no object name can reach it
    └── BucketStorage     Google Cloud Storage, one HTTP request an operation
        put, get, stat, delete            the caller waits timeout_s at most
        └── a circuit                     refuses at once while storage hangs (circuit.py)
            └── a worker thread           tries, pauses, tries again
                └── google-cloud-storage  imported by the first operation, or by warm_up()

Both hold the same contract, `Storage`. The life of a name goes one way:

    nothing ── put ──> object ── delete ──> tombstone          nothing ── delete ──> tombstone

A tombstone is an object of its own, empty, with the content type TOMBSTONE. Because it takes the
name, a put that arrives late, or again, finds the name taken: the precondition "only if there is
none" (ifGenerationMatch=0; a hard link in the folder) is checked by the store itself, at the moment
of writing. A late delete replaces a tombstone by a tombstone. What has ended, tombstones included,
is removed by the sweep of a folder and by the lifecycle rule of a bucket.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import math
import os
import random
import re
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeVar

from circuit import Circuit, StorageState
from errors import (
    ObjectDeleted,
    ObjectExists,
    ObjectNotFound,
    ShareImageError,
    StorageUnavailable,
)
from late_import import LateImport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from _typeshed import ReadableBuffer
    from google.cloud.storage import Blob, Bucket, Client
    from requests.adapters import HTTPAdapter

    from config import Settings

T = TypeVar("T")

TIMEOUT_S: Final = 10.0  # an operation with all its attempts, pauses and slow answers
ATTEMPT_TIMEOUT_S: Final = 4.0  # connecting, or waiting for an answer: leaves room for two more
MAX_OPERATIONS: Final = 100  # at once, and as many connections; Cloud Run sends 80 requests
# A picture has 1 MB; of noise 4096 px wide, the encoder makes 1.7 MB at its lowest quality.
MAX_OBJECT_BYTES: Final = 4_000_000
TOMBSTONE: Final = "application/x-tombstone"  # the content type: get and stat both learn of it

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_NO_BUCKET = "The specified bucket does not exist"  # GCS says it also with 404, of reads as well
_LEAST_S = 0.01  # an attempt that has less is not begun
_REASON_CHARS = 500  # an error may quote a whole page

# Lower case, so that no two names meet in one file on a file system that ignores case; no part
# starts with a dot, so that neither ".." nor ".incoming" is a name.
_NAME = re.compile(r"(?=.{1,255}\Z)[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What storage knows of an object, its bytes aside.

    etag: a strong validator without quotes, the MD5 of the bytes in hexadecimal: the same from
    put, get and stat, and in both backends; metadata: what put was given. It is empty in what get
    returns, because a media download does not carry it: ask stat.
    """

    name: str
    size_bytes: int
    content_type: str
    etag: str
    metadata: Mapping[str, str]


class Storage(Protocol):
    """A place that holds objects; every method may be called from any thread.

    kind: "local" or "gcs"; location: the folder or the bucket. Names consist of parts of lower-case
    letters, digits, ".", "_" and "-", joined by "/", none starting with a dot: another name is a
    mistake of the program, and every method answers it with ValueError.
    """

    kind: str
    location: str

    @property
    def is_ready(self) -> bool:
        """Whether all that operations need is imported."""

    def put(
        self, name: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> StoredObject:
        """Create an object with all its properties in one step; replace nothing.

        data: at most MAX_OBJECT_BYTES, more is a mistake of the program (ValueError).

        Raises: ObjectExists where the name is taken: by an object, by a tombstone, or by this very
        put, of which an earlier attempt got no answer; stat tells. StorageUnavailable, after which
        the object may exist, or begin to exist later.
        """

    def get(self, name: str) -> tuple[StoredObject, bytes]:
        """Return an object with its bytes, its metadata left out.

        Raises: ObjectNotFound, ObjectDeleted, StorageUnavailable.
        """

    def stat(self, name: str) -> StoredObject:
        """Return an object with its metadata, without its bytes.

        Raises: ObjectNotFound, ObjectDeleted, StorageUnavailable.
        """

    def delete(self, name: str, *, must_exist: bool = False) -> None:
        """Leave a tombstone in place of an object, of a tombstone, or of nothing.

        must_exist: write none in place of nothing.

        Raises: ObjectNotFound where must_exist finds nothing; StorageUnavailable.
        """

    def sweep(self, has_ended: Callable[[str], bool]) -> None:
        """Remove the objects and tombstones whose names have ended, where nothing else does.

        A bucket does: its lifecycle rule removes them by their age.

        Raises: StorageUnavailable for what could not be removed, when all else is.
        """

    @property
    def state(self) -> StorageState:
        """What became of the operations so far; asks storage nothing."""

    def warm_up(self) -> None:
        """Prepare what the first operation would wait for.

        May run in a thread of its own, but not in one that a fork would cut off half way. What it
        raises, such as ImportError, no later operation can mend.
        """


def open_storage(settings: Settings) -> Storage:
    """Return the storage that the settings name: the bucket if there is one, else the folder."""
    if settings.bucket_name is not None:
        return BucketStorage(settings.bucket_name)
    return LocalStorage(settings.local_storage_dir)


def _described(
    name: str, data: bytes, content_type: str, metadata: Mapping[str, str]
) -> StoredObject:
    if len(data) > MAX_OBJECT_BYTES:
        raise ValueError(f"{len(data)} bytes for {name}")
    return StoredObject(
        name=name,
        size_bytes=len(data),
        content_type=content_type,
        etag=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        metadata=dict(metadata),
    )


def _not_deleted(stored: StoredObject) -> StoredObject:
    if stored.content_type == TOMBSTONE:
        raise ObjectDeleted(f"{stored.name} was deleted")
    return stored


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"not an object name: {name!r}")
    return name


class LocalStorage:
    """A folder as storage: the embedded default, for one machine.

    A file holds the object's bytes first, so that it opens as the picture it is; then its
    properties as JSON, their CRC-32, their length, and a mark. Anything else is no object.
    """

    kind = "local"
    is_ready = True

    _INCOMING = ".incoming"
    _INCOMING_MAX_AGE_S = 3600  # what is older was left by a process that was killed
    _MARK = b"share-image/2\n"
    _END_BYTES = 4 + 4 + len(_MARK)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._circuit = Circuit(slow_s=math.inf)  # a folder does not hang
        self.location = str(folder)

    def put(
        self, name: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> StoredObject:
        """Create an object (see Storage.put)."""
        stored = _described(name, data, content_type, metadata)
        with self._translated("put", name), self._written(data, stored) as incoming:
            try:  # a link fails where the name is taken: exactly one writer wins
                self._placed(name, lambda path: path.hardlink_to(incoming))
            except FileExistsError:
                raise ObjectExists(name) from None
        return stored

    def get(self, name: str) -> tuple[StoredObject, bytes]:
        """Return an object with its bytes (see Storage.get)."""
        with self._opened("get", name) as file:
            stored = self._read_properties(file, name)
            file.seek(0)
            data = file.read(stored.size_bytes)
            if _described(name, data, "", {}).etag != stored.etag:
                raise StorageUnavailable(f"{name} in {self.location} is damaged")
            return replace(stored, metadata={}), data

    def stat(self, name: str) -> StoredObject:
        """Return an object without its bytes (see Storage.stat)."""
        with self._opened("stat", name) as file:
            return self._read_properties(file, name)

    def delete(self, name: str, *, must_exist: bool = False) -> None:
        """Leave a tombstone (see Storage.delete)."""
        tombstone = _described(name, b"", TOMBSTONE, {})
        with self._translated("delete", name):
            if must_exist and not self._path(name).is_file():
                raise ObjectNotFound(f"delete: no {name} in {self.location}")
            with self._written(b"", tombstone) as incoming:
                self._placed(name, incoming.replace)

    def sweep(self, has_ended: Callable[[str], bool]) -> None:
        """Remove what has ended, and what was left half written (see Storage.sweep).

        The folder may hold other files of its owner's: only names that have ended go, and the
        folders that this leaves empty.
        """
        before_s = time.time() - self._INCOMING_MAX_AGE_S
        failures: list[OSError] = []
        for path in self._folder.glob(f"{self._INCOMING}/*"):
            with _collected(failures):
                if path.stat().st_mtime < before_s:
                    path.unlink()
        # From the leaves up. walk, unlike glob, minds no folder that goes meanwhile.
        for folder, _, files in os.walk(self._folder / "shares", topdown=False):
            for path in map(Path(folder).joinpath, files):
                with _collected(failures):
                    if has_ended(path.relative_to(self._folder).as_posix()):
                        path.unlink()
            with suppress(OSError):  # not empty, or gone: either way not ours to remove
                Path(folder).rmdir()
        if failures:
            raise StorageUnavailable(f"{len(failures)} files stay, such as: {failures[0]}")

    @property
    def state(self) -> StorageState:
        """What became of the operations so far (see Storage.state)."""
        return self._circuit.state

    def warm_up(self) -> None:
        """Do nothing: a folder is ready."""

    def _path(self, name: str) -> Path:
        path = self._folder / _checked(name)
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise PermissionError("a symbolic link leads out of the folder")
        return path

    @contextmanager
    def _written(self, data: bytes, stored: StoredObject) -> Iterator[Path]:
        """Yield a complete file that no name reaches yet; it is gone afterwards."""
        (self._folder / self._INCOMING).mkdir(parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(dir=self._folder / self._INCOMING)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.write(self._properties(stored))
                file.flush()
                # Else a power failure could leave the name with half of the bytes. The folder is
                # not synchronised: that a name is lost with the power is the lesser evil, and a
                # share lives a day.
                os.fsync(file.fileno())
            yield Path(path)
        finally:
            Path(path).unlink(missing_ok=True)  # a tombstone was moved away

    def _placed(self, name: str, place: Callable[[Path], object]) -> None:
        path = self._path(name)
        for tries_left in reversed(range(10)):
            try:
                with suppress(FileExistsError, FileNotFoundError):  # half made, half removed
                    path.parent.mkdir(parents=True, exist_ok=True)
                place(path)
            except FileNotFoundError:  # a sweep removed the folder, which it found empty
                if not tries_left:
                    raise
            else:
                return

    def _properties(self, stored: StoredObject) -> bytes:
        properties = json.dumps(
            {
                "content_type": stored.content_type,
                "etag": stored.etag,
                "metadata": dict(stored.metadata),
            }
        ).encode("ascii")
        crc32 = zlib.crc32(properties).to_bytes(4)
        return properties + crc32 + len(properties).to_bytes(4) + self._MARK

    def _read_properties(self, file: BinaryIO, name: str) -> StoredObject:
        file_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(file_bytes - self._END_BYTES, 0))
        end = file.read()
        size_bytes = file_bytes - self._END_BYTES - int.from_bytes(end[4:8])
        if end[8:] != self._MARK or not 0 <= size_bytes <= MAX_OBJECT_BYTES:
            raise StorageUnavailable(f"{name} in {self.location} was not written by this program")
        file.seek(size_bytes)
        properties = file.read(min(int.from_bytes(end[4:8]), MAX_OBJECT_BYTES))
        if zlib.crc32(properties).to_bytes(4) != end[:4]:
            raise StorageUnavailable(f"{name} in {self.location} is damaged")
        stored = StoredObject(name=name, size_bytes=size_bytes, **json.loads(properties))
        return _not_deleted(stored)

    @contextmanager
    def _opened(self, verb: str, name: str) -> Iterator[BinaryIO]:
        with self._translated(verb, name):
            try:
                file = self._path(name).open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectNotFound(f"{verb}: no {name} in {self.location}") from None
            with file:
                yield file

    @contextmanager
    def _translated(self, verb: str, name: str) -> Iterator[None]:
        _checked(name)  # else a mistake of the program would count as a failure of the folder
        with self._circuit.operation(_failure_code):
            try:
                yield
            except OSError as error:
                reason = f"{verb} {name} in {self.location}: {_shortened(error)}"
                raise StorageUnavailable(reason) from error


@contextmanager
def _collected(failures: list[OSError]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass  # it went meanwhile
    except OSError as error:
        failures.append(error)


class BucketStorage:
    """A bucket of Google Cloud Storage, by its official client.

    timeout_s: what a caller waits at most, whatever happens (name resolution and credentials
    included); attempt_timeout_s: what one attempt waits to connect, and for each part of the
    answer; max_operations: at once, more of them wait their turn.

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
        stored = _described(name, data, content_type, metadata)
        upload = functools.partial(_upload, stored, data, if_generation_match=0)
        self._run("put", name, lambda operation: self._put(operation, stored, upload))
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
        tombstone = _described(name, b"", TOMBSTONE, {})
        condition = {"if_generation_not_match": 0} if must_exist else {}
        upload = functools.partial(_upload, tombstone, b"", **condition)
        self._run("delete", name, lambda operation: self._put(operation, tombstone, upload))

    def sweep(self, has_ended: Callable[[str], bool]) -> None:
        """Do nothing: the bucket's lifecycle rule does (see Storage.sweep)."""

    @property
    def state(self) -> StorageState:
        """What became of the operations so far (see Storage.state)."""
        return self._circuit.state

    @property
    def is_ready(self) -> bool:
        """Whether the official client is imported."""
        return _vendor.is_done

    def warm_up(self) -> None:
        """Import the client and find the credentials; what those lack, every operation reports."""
        with suppress(*_vendor().errors):
            self._bucket(self._operation("warm up", ""))

    def _operation(self, verb: str, name: str) -> _Operation:
        return _Operation(
            verb, name, timeout_s=self.timeout_s, attempt_timeout_s=self.attempt_timeout_s
        )

    def _run(self, verb: str, name: str, work: Callable[[_Operation], T]) -> T:
        """Do the work in a thread: the only way to bound name resolution and a trickling answer."""
        operation = self._operation(verb, _checked(name))
        with self._circuit.operation(_failure_code):
            future = self._workers.submit(work, operation)
            try:
                return future.result(self.timeout_s)
            except TimeoutError as error:
                # The thread ends soon by its own timeouts, and begins no further attempt.
                reason = f"{operation} in {self.location}: nothing within {self.timeout_s:g} s"
                if operation.failure is not None:
                    reason += f", after {_shortened(operation.failure)}"
                raise StorageUnavailable(reason) from operation.failure or error

    def _attempted(self, operation: _Operation, request: Callable[[Bucket, float], T]) -> T:
        while True:
            try:
                operation.attempts += 1
                return request(self._bucket(operation), operation.attempt_timeout_s())
            except _vendor().errors as error:
                operation.failure = error
                pause_s = operation.pause_s()
                if not _is_transient(error) or pause_s > operation.left_s():
                    raise self._translated(operation, error) from error
            time.sleep(pause_s)

    def _put(
        self, operation: _Operation, stored: StoredObject, upload: Callable[[Bucket, float], Blob]
    ) -> None:
        if _etag(self._attempted(operation, upload)) != stored.etag:
            raise StorageUnavailable(f"{operation} in {self.location}: other bytes arrived")

    def _get(self, operation: _Operation) -> tuple[StoredObject, bytes]:
        blob, data = self._attempted(operation, functools.partial(_download, operation))
        if not (blob.crc32c or blob.md5_hash):
            # The client compares the checksum where there is one. An answer without did not come
            # from storage: a proxy's page must not go out as a picture.
            raise StorageUnavailable(f"{operation} in {self.location}: answer without checksum")
        return _not_deleted(_described(operation.name, data, blob.content_type, {})), data

    def _stat(self, operation: _Operation) -> StoredObject:
        blob = self._attempted(operation, functools.partial(_reload, operation.name))
        operation.ensure_size(blob.size)
        return _not_deleted(
            StoredObject(
                name=operation.name,
                size_bytes=blob.size,
                content_type=blob.content_type,
                etag=_etag(blob),
                metadata=blob.metadata or {},
            )
        )

    def _bucket(self, operation: _Operation) -> Bucket:
        """Return the one client's bucket, made by the first caller while the others wait."""
        if not self._connecting.acquire(timeout=max(operation.left_s(), 0)):
            raise TimeoutError("the client is not ready")
        try:
            if self._connected is None:
                self._connected = _connect(self._max_operations).bucket(self.location)
            return self._connected
        finally:
            self._connecting.release()

    def _translated(self, operation: _Operation, error: Exception) -> ShareImageError:
        status, reason = _status(error), f"{operation} in {self.location}: {_shortened(error)}"
        if status == HTTPStatus.PRECONDITION_FAILED:
            is_put = operation.verb == "put"
            return ObjectExists(operation.name) if is_put else ObjectNotFound(reason)
        if status != HTTPStatus.NOT_FOUND:
            return StorageUnavailable(reason)
        if operation.verb in {"put", "delete"} or _NO_BUCKET in str(error):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vendor:
    """What is used of the official client.

    errors: the roots of all it may raise; transient: those worth another attempt, where the error
    carries no HTTP status to decide by.
    """

    client: type[Client]
    adapter: type[HTTPAdapter]
    errors: tuple[type[Exception], ...]
    transient: tuple[type[Exception], ...]


def _import_vendor() -> _Vendor:
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
    return _Vendor(
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


_vendor = LateImport(_import_vendor)


def _connect(connections: int) -> Client:
    client = _vendor().client(project=None)  # a project is for making buckets: not looked up
    # There is no public way to the connection pool, which keeps 10 connections unless told.
    session = client._http  # noqa: SLF001
    if not session.is_mtls:  # else its adapter carries the client certificate
        adapter = _vendor().adapter(pool_maxsize=connections)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
    return client


def vendor_errors() -> tuple[type[Exception], ...]:
    """Return the roots of all exceptions that are translated; imports the official client."""
    return _vendor().errors


def _status(error: BaseException) -> int | None:
    code = getattr(error, "code", None)
    if not isinstance(code, int):
        code = getattr(getattr(error, "response", None), "status_code", None)
    return code


def _is_transient(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return status in _RETRIED
    return isinstance(error, _vendor().transient) or getattr(error, "retryable", False)


def _failure_code(error: BaseException) -> str:
    cause = error.__cause__ or error
    return str(_status(cause) or type(cause).__name__)


def _shortened(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_REASON_CHARS]


def _upload(
    stored: StoredObject, data: bytes, bucket: Bucket, timeout_s: float, **condition: int
) -> Blob:
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


def _download(operation: _Operation, bucket: Bucket, timeout_s: float) -> tuple[Blob, bytes]:
    blob, sink = bucket.blob(operation.name), _Sink(operation)
    blob.download_to_file(sink, checksum="auto", retry=None, timeout=timeout_s)
    return blob, sink.getvalue()


def _reload(name: str, bucket: Bucket, timeout_s: float) -> Blob:
    blob = bucket.blob(name)
    blob.reload(retry=None, timeout=timeout_s)
    return blob


def _etag(blob: Blob) -> str:
    return base64.b64decode(blob.md5_hash or "").hex()
