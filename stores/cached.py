"""What was read from a store lately, in memory: a store in front of a store.

get, stat      kept ──────────────> answered from memory
               ├── being read ────> wait for that read, and share what comes of it
               └── else ──────────> read, and kept unless a put or delete ended meanwhile
put, delete,   pass through; what was kept of their name goes
remove
names          passes through; nothing is kept of it

Only what exists is kept: no tombstone and no "not found", because either may end at any moment, by
way of another instance too. Nor is a failure, so that the next read tries again.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cachetools import TLRUCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stores.circuit import StorageState
    from stores.contract import Storage, StoredObject

T = TypeVar("T", bound="StoredObject | tuple[StoredObject, bytes]")

# What an entry takes beside the bytes: its names, properties and places in the cache.
PROPERTIES_BYTES: Final = 3_000

_Key = tuple[str, str]  # verb, name


class CachedStorage:
    """A store whose reads are kept, the least recently used dropped first.

    behind: the store; max_bytes: of all that is kept; max_age_s: how long an object may be kept, by
    its name, not at all where that is 0; clock: seconds that only grow.
    """

    def __init__(
        self,
        behind: Storage,
        *,
        max_bytes: int,
        max_age_s: Callable[[str], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = behind.kind
        self.location = behind.location
        self._behind = behind
        self._lock = threading.Lock()
        self._kept: TLRUCache[_Key, Any] = TLRUCache(
            max_bytes,
            ttu=lambda key, _found, now_s: now_s + max_age_s(key[1]),
            timer=clock,
            getsizeof=_size_bytes,
        )
        self._reads: dict[_Key, Future[Any]] = {}  # under way

    def put(
        self, name: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> StoredObject:
        """Create an object (see Storage.put); keep nothing of it, and nothing known before."""
        with self._changing(name):
            return self._behind.put(name, data, content_type=content_type, metadata=metadata)

    def get(self, name: str) -> tuple[StoredObject, bytes]:
        """Return an object with its bytes (see Storage.get)."""
        return self._read(("get", name), self._behind.get)

    def stat(self, name: str) -> StoredObject:
        """Return an object without its bytes (see Storage.stat)."""
        return self._read(("stat", name), self._behind.stat)

    def delete(self, name: str, *, must_exist: bool = False) -> None:
        """Leave a tombstone (see Storage.delete), and keep nothing of the object."""
        with self._changing(name):
            self._behind.delete(name, must_exist=must_exist)

    def names(self, folder: str) -> list[str]:
        """Return the names of a folder's objects, as the store has them (see Storage.names)."""
        return self._behind.names(folder)

    def remove(self, name: str) -> None:
        """Remove an object (see Storage.remove), and keep nothing of it."""
        with self._changing(name):
            self._behind.remove(name)

    def sweep(self, has_ended: Callable[[str], bool]) -> None:
        """Let the store remove what has ended (see Storage.sweep): none of it is kept."""
        self._behind.sweep(has_ended)

    @property
    def state(self) -> StorageState:
        """What became of the operations of the store (see Storage.state)."""
        return self._behind.state

    @property
    def is_ready(self) -> bool:
        """Whether the store is (see Storage.is_ready)."""
        return self._behind.is_ready

    def warm_up(self) -> None:
        """Warm the store up (see Storage.warm_up)."""
        self._behind.warm_up()

    def _read(self, key: _Key, verb: Callable[[str], T]) -> T:
        with self._lock:
            kept: T | None = self._kept.get(key)
            if kept is not None:
                return kept
            under_way: Future[T] | None = self._reads.get(key)
            if under_way is None:
                read = self._reads[key] = Future()
        if under_way is not None:
            return under_way.result()  # it ends when the store's own time limit does
        try:
            found = verb(key[1])
        except BaseException as error:
            self._end(key, read)
            read.set_exception(error)
            raise
        self._end(key, read, found)
        read.set_result(found)
        return found

    def _end(self, key: _Key, read: Future[T], found: T | None = None) -> None:
        """Keep what a read found, unless a put or delete ended since it began."""
        with self._lock:
            if self._reads.get(key) is not read:
                return
            del self._reads[key]
            if found is not None and _size_bytes(found) <= self._kept.maxsize:
                self._kept[key] = found

    @contextmanager
    def _changing(self, name: str) -> Iterator[None]:
        """Forget what is known of an object, however the change ends: it may have been made."""
        try:
            yield
        finally:
            with self._lock:
                for key in (("get", name), ("stat", name)):
                    self._kept.pop(key, None)
                    self._reads.pop(key, None)  # goes on, for those who asked before the change


def entry_bytes(data_bytes: int) -> int:
    """Return what an entry with so many bytes takes.

    A quarter more than they have: the allocator leaves gaps where bytes grew while they were read.
    """
    return PROPERTIES_BYTES + data_bytes * 5 // 4


def _size_bytes(found: StoredObject | tuple[StoredObject, bytes]) -> int:
    return entry_bytes(len(found[1]) if isinstance(found, tuple) else 0)
