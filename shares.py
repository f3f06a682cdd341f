"""The life of a share: begun, stored, read, deleted, expired.

Who owns a share. No other request has a key that was minted here: both puts run at once. Under a
client's key two requests may meet. Whoever creates the picture owns the share, and the card is put
after that, by requests with the owner's form only: one of two pictures always wins, whole, and its
retry succeeds. The other is told that the key is taken (422).

What a failure leaves. A put without an answer may have stored, or may store later. Under a minted
key, which the client never learns, every name gets a tombstone (stores/contract.py), which a late
put cannot replace; names that get none are logged (left_behind). Under a client's key the next try
completes the share; until then, names that may hold an object are logged (left_for_retry).

What was deleted stays deleted. delete leaves tombstones, so that reading the share, and posting it
again, is answered 410, and deleting it again succeeds. Where there is nothing yet, tombstones
are written only while a POST with the key may still be on its way. They go when the share would
have ended: with the sweep of a folder, with the lifecycle rule of a bucket.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from errors import (
    Gone,
    NotFound,
    ObjectExists,
    ObjectNotFound,
    StorageSuspended,
    StorageUnavailable,
    UnusableKey,
)
from logs import note
from share_keys import MAX_AGE_S, MAX_AHEAD_S, ShareKey, age_s, ends_at, parse_uuid7
from share_objects import (
    CARD,
    PICTURE,
    Share,
    fingerprint,
    metadata_of,
    object_ends_at,
    object_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from datetime import timedelta
    from uuid import UUID

    from image_ops import Rendition
    from logs import Log
    from serving.forms import Form
    from storage import Storage, StoredObject

T = TypeVar("T")

# After its key was accepted, a POST may upload for 90 s, wait, and put; then attempts that were
# given up may still arrive.
LATE_PUT_S = 300
# After the puts failed: the client waits no longer for the clean-up.
TAKE_BACK_S = 4.0

_POOL_THREADS = 32  # two for each request of an instance that serves sixteen at once


class Shares:
    """The shares in one storage."""

    def __init__(self, storage: Storage, ttl: timedelta, log: Log) -> None:
        self._storage = storage
        self._log = log
        self._ttl = ttl
        self._pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="shares")
        self._sweeps_next_s = 0.0
        # Saves the call that would find no card; only the order of calls depends on it.
        self._without_card: deque[UUID] = deque(maxlen=1000)

    def begin(self, key: UUID | None) -> ShareKey:
        """Return the key of a share to come; let storage remove expired objects first.

        key: the client's, or None to mint one.

        Raises: Gone for a key whose share has expired.
        """
        self._sweep_when_due()  # a folder that is full takes no share
        share_key = ShareKey(value=key, is_minted=False) if key else ShareKey.mint()
        note(share_id=str(share_key.share_id))
        self._require_live(share_key.share_id)
        return share_key

    def was_stored(self, key: ShareKey) -> bool:
        """Return whether a client's key has made a share before: one call to storage.

        Raises: Gone where it was deleted, StorageUnavailable.
        """
        if key.is_minted:
            return False
        try:
            self._storage.stat(object_name(key.share_id, PICTURE))
        except ObjectNotFound:
            return False
        return True

    def store(self, key: ShareKey, form: Form, picture: Rendition, card: Rendition) -> Share:
        """Return the stored share; the same key and form give the same share.

        picture, card: one and the same where the platform's canvas is the card's.

        Raises: UnusableKey for one that came with another form before, Gone for one whose share was
        deleted, or has ended since begin, StorageUnavailable.
        """
        self._require_live(key.share_id)  # an upload may take longer than a share has left
        renditions = {PICTURE: picture} if card is picture else {PICTURE: picture, CARD: card}
        expires_at = self.expires_at(key.share_id)
        metadata = metadata_of(form, expires_at, picture)
        if key.is_minted:
            stored = self._put_side_by_side(key.share_id, renditions, metadata)
        else:  # it may come again
            metadata["fingerprint"] = fingerprint(form)
            stored = self._put_picture_first(key.share_id, renditions, metadata)
        if CARD not in stored:
            self._without_card.append(key.share_id)
        return Share.of(key.share_id, stored[PICTURE], expires_at)

    def expires_at(self, share_id: UUID) -> int:
        """Return the first second, since the epoch, in which a share is gone."""
        return ends_at(share_id, self._ttl)

    def read(self, share_id: UUID, rendition: str) -> tuple[StoredObject, bytes]:
        """Return a share's PICTURE or CARD with one call to storage.

        Raises: NotFound, Gone where it was deleted, StorageUnavailable.
        """
        return self._of(self._storage.get, share_id, rendition)

    def find(self, share_id: UUID) -> Share:
        """Return a share, with one call to storage.

        Raises: NotFound, Gone where it was deleted, StorageUnavailable.
        """
        return Share.of(share_id, self.stat(share_id, PICTURE), self.expires_at(share_id))

    def stat(self, share_id: UUID, rendition: str) -> StoredObject:
        """Return the properties of a share's PICTURE or CARD, with one call to storage.

        Raises: NotFound, Gone where it was deleted, StorageUnavailable.
        """
        return self._of(self._storage.stat, share_id, rendition)

    def delete(self, share_id: UUID, *, admit: Callable[[], object] = lambda: None) -> None:
        """Leave tombstones in place of picture and card; succeeds if neither exists.

        admit: called before tombstones are written for a share that does not exist, because
        anyone can mint keys; an exception of it ends the call.

        Raises: StorageUnavailable, after which one of them may be left: call again.
        """
        missing = []
        for name in (object_name(share_id, PICTURE), object_name(share_id, CARD)):
            try:
                self._storage.delete(name, must_exist=True)
            except ObjectNotFound:
                missing.append(name)
        if age_s(share_id) > MAX_AGE_S + LATE_PUT_S:
            return
        if len(missing) == len((PICTURE, CARD)):
            admit()
        for name in missing:
            self._storage.delete(name)

    def parse_id(self, text: str) -> UUID:
        """Return the id of a share that may have been made by now, expired or not.

        Raises: NotFound.
        """
        share_id = parse_uuid7(text)
        if share_id is None or age_s(share_id) < -MAX_AHEAD_S:
            raise NotFound("not a share id")
        note(share_id=text)
        return share_id

    def parse_live_id(self, text: str) -> UUID:
        """Return the id of a share that may exist at this moment, without asking storage.

        Raises: NotFound for what is no share id; Gone for an expired one, even if it never existed.
        """
        share_id = self.parse_id(text)
        self._require_live(share_id)
        return share_id

    def _require_live(self, share_id: UUID) -> None:
        if time.time() >= self.expires_at(share_id):
            raise Gone(share_id)

    def _of(self, verb: Callable[[str], T], share_id: UUID, rendition: str) -> T:
        """Apply a verb of storage to a rendition; a share without a card has it as its picture."""
        if rendition == CARD and share_id not in self._without_card:
            try:
                return verb(object_name(share_id, CARD))
            except ObjectNotFound:
                found = verb(object_name(share_id, PICTURE))
                self._without_card.append(share_id)
                return found
        return verb(object_name(share_id, PICTURE))

    def _put_side_by_side(
        self, share_id: UUID, renditions: dict[str, Rendition], metadata: dict[str, str]
    ) -> dict[str, StoredObject]:
        """Put all renditions of a minted key; where one fails, take all of them back."""
        names = {object_name(share_id, rendition): rendition for rendition in renditions}
        puts = {
            name: self._in_pool(self._put, name, renditions[rendition], metadata)
            for name, rendition in names.items()
        }
        errors = {name: error for name, put in puts.items() if (error := put.exception())}
        if not errors:
            return {rendition: puts[name].result() for name, rendition in names.items()}
        self._take_back(name for name in puts if not isinstance(errors.get(name), StorageSuspended))
        raise next(iter(errors.values()))

    def _put_picture_first(
        self, share_id: UUID, renditions: dict[str, Rendition], metadata: dict[str, str]
    ) -> dict[str, StoredObject]:
        """Put the renditions of a client's key, the one that decides who owns the share first."""
        stored: dict[str, StoredObject] = {}
        for rendition in sorted(renditions, key=(PICTURE, CARD).index):
            name = object_name(share_id, rendition)
            try:
                stored[rendition] = self._put(name, renditions[rendition], metadata)
            except StorageUnavailable as error:
                tried = [] if isinstance(error, StorageSuspended) else [name]
                left = [*(put.name for put in stored.values()), *tried]
                if left:
                    note(left_for_retry=left)
                raise
        return stored

    def _put(self, name: str, rendition: Rendition, metadata: dict[str, str]) -> StoredObject:
        """Put a rendition; accept one that a request with the same form has put before.

        Under a minted key, what is there was put by an attempt whose answer got lost.
        """
        width, height = rendition.size
        try:
            return self._storage.put(
                name,
                rendition.data,
                content_type=rendition.content_type,
                metadata={**metadata, "width": str(width), "height": str(height)},
            )
        except ObjectExists as error:
            try:
                stored = self._storage.stat(name)
            except ObjectNotFound as gone:
                raise Gone(reason=f"removed after put and before stat: {name}") from gone
            except StorageSuspended as suspended:  # of stat: the put was tried
                raise StorageUnavailable(suspended.reason) from suspended
            if stored.metadata.get("fingerprint") != metadata.get("fingerprint"):
                raise UnusableKey("came with another picture or other fields before") from error
            return stored

    def _take_back(self, names: Iterable[str]) -> None:
        """Leave a tombstone for each name, side by side; note which got none within TAKE_BACK_S."""
        deletes = {name: self._in_pool(self._storage.delete, name) for name in names}
        done, late = wait(deletes.values(), TAKE_BACK_S)
        left = [n for n, delete in deletes.items() if delete in late or delete.exception()]
        if left:
            reasons = {str(error) for delete in done if (error := delete.exception())}
            note(left_behind=left, left_behind_reason="; ".join(sorted(reasons)) or "no time left")

    def _in_pool(self, call: Callable[..., T], *arguments: object) -> Future[T]:
        """Run a call in a thread whose notes go into the line of this request."""
        return self._pool.submit(copy_context().run, call, *arguments)

    def _sweep_when_due(self) -> None:
        """Let storage remove expired objects, ten times in the life of a share."""
        if time.monotonic() >= self._sweeps_next_s:
            self._sweeps_next_s = time.monotonic() + self._ttl.total_seconds() / 10
            self._pool.submit(self._sweep)

    def _sweep(self) -> None:
        try:
            self._storage.sweep(self._has_ended)
        except Exception as error:  # noqa: BLE001 - nobody waits for it: the log is all there is
            fields = {"exception": traceback.format_exc()}
            self._log.write("ERROR", f"the sweep failed: {error}", fields)

    def _has_ended(self, name: str) -> bool:
        return time.time() >= object_ends_at(name, self._ttl)
