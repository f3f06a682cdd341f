"""What every store promises: verbs on objects that are created once and deleted for good.

The life of a name goes one way:

    nothing ── put ──> object ── delete ──> tombstone          nothing ── delete ──> tombstone

A tombstone is an object of its own, empty, with the content type TOMBSTONE. Because it takes the
name, a put that arrives late, or again, finds the name taken: the precondition "only if there is
none" (ifGenerationMatch=0; a hard link in the folder) is checked by the store itself, at the moment
of writing. A late delete replaces a tombstone by a tombstone. Expired objects, tombstones included,
are removed by the sweep of a folder and by the lifecycle rule of a bucket.

Both leave alone what is not a share's: such objects are found by names, and end by remove, which
leaves nothing. Their names may be taken again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from errors import ObjectDeleted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stores.circuit import StorageState

# A picture has 1 MB; of noise 4096 px wide, the encoder makes 1.7 MB at its lowest quality.
MAX_OBJECT_BYTES: Final = 4_000_000
TOMBSTONE: Final = "application/x-tombstone"  # the content type: get and stat both learn of it

_REASON_CHARS = 500  # an error may quote a whole page

# Lower case, so that no two names meet in one file on a file system that ignores case; no part
# starts with a dot, so that neither ".." nor ".incoming" is a name.
_NAME = re.compile(r"(?=.{1,255}\Z)[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object's metadata: all that storage knows of it but its bytes.

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

    def names(self, folder: str) -> list[str]:
        """Return the names of all objects of a folder, such as "a" of "a/b/c", sorted.

        Raises: StorageUnavailable, also where there is no time left for all of them.
        """

    def remove(self, name: str) -> None:
        """Remove an object, or a tombstone, without leaving any.

        For objects that no late put may bring back, which a share's are not: delete those.

        Raises: ObjectNotFound, StorageUnavailable.
        """

    def sweep(self, has_ended: Callable[[str], bool]) -> None:
        """Remove expired objects and tombstones, if nothing else does.

        A bucket does: its lifecycle rule removes them by their age.

        Raises: StorageUnavailable for what could not be removed, after all else was.
        """

    @property
    def state(self) -> StorageState:
        """What became of the operations so far; asks storage nothing."""

    def warm_up(self) -> None:
        """Prepare what the first operation would wait for.

        May run in a thread of its own, but not in one that a fork would cut off half way. What it
        raises, such as ImportError, no later operation can mend.
        """


def described(
    name: str, data: bytes, content_type: str, metadata: Mapping[str, str]
) -> StoredObject:
    """Return the metadata of an object to come; data: at most MAX_OBJECT_BYTES."""
    if len(data) > MAX_OBJECT_BYTES:
        raise ValueError(f"{len(data)} bytes for {name}")
    return StoredObject(
        name=name,
        size_bytes=len(data),
        content_type=content_type,
        etag=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        metadata=dict(metadata),
    )


def not_deleted(stored: StoredObject) -> StoredObject:
    """Return an object; raise ObjectDeleted for a tombstone."""
    if stored.content_type == TOMBSTONE:
        raise ObjectDeleted(reason=f"{stored.name} was deleted")
    return stored


def is_name(text: str) -> bool:
    """Return whether a text may be the name of an object."""
    return _NAME.fullmatch(text) is not None


def checked_name(name: str) -> str:
    """Return a name; raise ValueError for one that this program does not make."""
    if not is_name(name):
        raise ValueError(f"not an object name: {name!r}")
    return name


def shortened(error: Exception) -> str:
    """Return what the log says of a store's exception."""
    return f"{type(error).__name__}: {error}"[:_REASON_CHARS]
