"""The pictures that may not be published again: a list in storage, and who is on it.

    blocked/<likeness>/<share id>    an object without content, for each blocked picture: its name
                                     says what it looked like, and in which share it was

    scripts/remove --block     puts; --unblock removes; --list shows
    create                     refuses what is like one of them

The sweep of a folder and the lifecycle rule of a bucket remove shares alone, so that a picture is
blocked until somebody unblocks it. One request reads a thousand names, and no object is read.

No decision rests on a list that was asked for MAX_AGE_S ago. It is read again beside a share that
is being received or rendered, at most once in that time, so that nobody waits for it as a rule.
Where it cannot be read, nothing is published: a picture that was taken down stays down.
"""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from errors import ObjectExists, PictureRefused
from imaging.likeness import LIKENESS, MAX_DISTANCE, distance
from share_keys import UUID7

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from storage import Storage

MAX_AGE_S: Final = 60.0

_FOLDER = "blocked"
_NAME = re.compile(rf"{_FOLDER}/({LIKENESS.pattern})/({UUID7.pattern})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A picture that may not be published again; share_id: the share in which it was."""

    likeness: str
    share_id: UUID

    @property
    def name(self) -> str:
        """The name of the object that stands for it."""
        return f"{_FOLDER}/{self.likeness}/{self.share_id}"


def blocked(storage: Storage) -> list[Blocked]:
    """Return all blocked pictures.

    Raises: StorageUnavailable.
    """
    found = filter(None, map(_NAME.fullmatch, storage.names(_FOLDER)))
    return [Blocked(likeness=name[1], share_id=UUID(name[2])) for name in found]


def block(storage: Storage, picture: Blocked) -> None:
    """Put a picture onto the list, where it may be already.

    Raises: StorageUnavailable.
    """
    with suppress(ObjectExists):
        storage.put(picture.name, b"", content_type="text/plain", metadata={})


class Blocklist:
    """The list as a process knows it; clock: seconds that only grow."""

    def __init__(self, storage: Storage, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="blocklist")
        self._reading: Future[None] | None = None
        self._asked_s: float | None = None  # when the list below was
        self._blocked: list[Blocked] = []

    def refresh(self) -> Future[None] | None:
        """Begin to read the list if it is too old; return what is under way then, else None."""
        with self._lock:
            if self._asked_s is not None and self._clock() - self._asked_s < MAX_AGE_S:
                return None
            if self._reading is None or self._reading.done():
                self._reading = self._pool.submit(self._read)
            return self._reading

    def check(self, likeness: str) -> None:
        """Refuse a picture that is like a blocked one.

        Raises: PictureRefused; StorageUnavailable where the list is too old and cannot be read.
        """
        if reading := self.refresh():
            reading.result()  # it ends when storage's own time limit does
        for picture in self._blocked:
            bits = distance(likeness, picture.likeness)
            if bits <= MAX_DISTANCE:
                raise PictureRefused(f"{bits} bits from the blocked {picture.share_id}")

    def _read(self) -> None:
        asked_s = self._clock()
        found = blocked(self._storage)
        with self._lock:
            self._blocked, self._asked_s = found, asked_s
