"""The life of a share: key, id, picture, card, end.

    share key   UUIDv7: the client's Idempotency-Key, or minted here; the answer's delete_token
        │ SHA-256
    share id    UUIDv7 with the key's time, so that it says itself when the share ends
        │
    objects     shares/<last two characters>/<share id>/picture.jpg and card.jpg

    create      read header -> render -> put picture and card

The key yields the id and the id does not yield the key: who holds the key may delete, and a POST
sent again with its key lands on the same objects.

Who owns a share. A key that was minted here is nobody else's: both puts go side by side. Under a
client's key two requests may meet. Whoever creates the picture owns the share, and the card is put
after that, by requests with the owner's form only: one of two pictures always wins, whole, and its
retry succeeds. The other is told that the key is taken (422).

What a failure leaves. A put without an answer may have stored, or may store later. Under a minted
key, which nobody will ever hear of, every name gets a tombstone (storage.py), which a late put
cannot replace; names that get none are logged (left_behind). Under a client's key the next try
completes the share; until then, names that may hold an object are logged (left_for_retry).

What was deleted stays deleted. delete leaves tombstones, so that reading the share, and posting it
again, is answered 410, and deleting it again succeeds. Where there is nothing yet, tombstones
are written only while a POST with the key may still be on its way. They go when the share would
have ended: with the sweep of a folder, with the lifecycle rule of a bucket.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import threading
import time
import traceback
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import image_ops
from errors import (
    FieldProblem,
    Gone,
    InvalidFields,
    NotFound,
    ObjectExists,
    ObjectNotFound,
    StorageSuspended,
    StorageUnavailable,
)
from logs import note, stage
from platforms import card_canvas, picture_canvas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from config import Settings
    from guards import MemoryBudget
    from image_ops import Rendition
    from logs import Log
    from storage import Storage, StoredObject
    from uploads import Form

T = TypeVar("T")

KEY_MAX_AGE_S = 300
KEY_MAX_AHEAD_S = 60  # so much may a client's clock run ahead of ours
# After its key was accepted, a POST may upload for 90 s, wait, and put; then attempts that were
# given up may still arrive.
LATE_PUT_S = 300
CACHE_MAX_AGE_S = 300  # of whatever shows a share, so that its deletion is felt
TAKE_BACK_S = (
    4.0  # beside the puts that failed: a client waits no longer for what it never hears of
)

PICTURE = "picture"
CARD = "card"

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_OBJECT_NAME = re.compile(rf"shares/[0-9a-f]{{2}}/({_UUID7.pattern})/(?:{PICTURE}|{CARD})\.jpg")
_RANDOM_BITS = 74
_POOL_THREADS = 32  # two for each request of an instance that serves sixteen at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share as it was stored.

    key: opens deletion, only its maker has it; expires_at: epoch seconds; picture and card: the
    stored objects, one and the same where the platform's canvas is the card's.
    """

    share_id: UUID
    key: UUID = field(repr=False)
    expires_at: int
    platform: str
    picture: StoredObject
    card: StoredObject


def mint_key() -> UUID:
    """Return a new share key from a cryptographic source (RFC 9562, section 5.7)."""
    return _uuid7(time.time_ns() // 1_000_000, secrets.randbits(_RANDOM_BITS))


def parse_key(text: str) -> UUID:
    """Return the share key in an Idempotency-Key header field, with or without its quotes.

    Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/

    Raises: InvalidFields unless it is a UUIDv7 at most KEY_MAX_AGE_S old.
    """
    key = _parse_uuid7(text.strip().strip('"').lower())
    if key is None or not -KEY_MAX_AHEAD_S <= time.time() - _time_s(key) <= KEY_MAX_AGE_S:
        raise _key_problem(f"expected a UUIDv7 at most {KEY_MAX_AGE_S} seconds old")
    return key


def opens(token: str, share_id: str) -> bool:
    """Return whether a delete_token is the key of a share; takes as long whether it is or not."""
    key = _parse_uuid7(token)
    expected = str(share_id_of(key)) if key else ""
    return hmac.compare_digest(expected.encode(), share_id.encode())


def share_id_of(key: UUID) -> UUID:
    """Return the share id that follows from a key: its time, then bits of its SHA-256."""
    digest = int.from_bytes(hashlib.sha256(key.bytes).digest(), "big")
    return _uuid7(_time_ms(key), digest & ((1 << _RANDOM_BITS) - 1))


class Shares:
    """The shares in one storage."""

    def __init__(
        self, storage: Storage, memory: MemoryBudget, settings: Settings, log: Log
    ) -> None:
        self._storage = storage
        self._log = log
        self._memory = memory
        self._image = settings.image
        self._ttl_s = settings.share_ttl.total_seconds()
        self._pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="shares")
        self._sweeps_next_s = 0.0
        # One more than cores, for when one waits for the interpreter: still more at once are no
        # faster, and hold more memory for longer.
        self._cores = threading.BoundedSemaphore((os.cpu_count() or 1) + 1)
        # Saves the call that would find no card; only the order of calls depends on it.
        self._without_card: deque[UUID] = deque(maxlen=1000)

    def create(self, form: Form, key: UUID | None = None) -> Share:
        """Return the stored share of a form's picture.

        key: the client's, or None to mint one. The same key and form give the same share.

        Raises: UnusableImage where no picture can be made of the file, InvalidFields for a key that
        came with another form before, Gone for a key whose share has ended or was deleted,
        StorageUnavailable.
        """
        self._sweep_when_due()  # first: a folder that is full takes no share
        share_key = key or mint_key()
        share_id = share_id_of(share_key)
        note(share_id=str(share_id))
        self._require_living(share_id)
        with stage("render"):
            renditions = self._render(form)
        expires_at = self.expires_at(share_id)
        metadata = {
            "expires": str(expires_at),
            "platform": form.platform,
            "effect_type": form.effect_type,
        }
        with stage("store"):
            if key is None:
                stored = self._put_side_by_side(share_id, renditions, metadata)
            else:  # it may come again
                metadata["fingerprint"] = _fingerprint(form)
                stored = self._put_picture_first(share_id, renditions, metadata)
        if CARD not in stored:
            self._without_card.append(share_id)
        return Share(
            share_id=share_id,
            key=share_key,
            expires_at=expires_at,
            platform=form.platform,
            picture=stored[PICTURE],
            card=stored.get(CARD, stored[PICTURE]),
        )

    def expires_at(self, share_id: UUID) -> int:
        """Return the first second, since the epoch, in which a share is gone."""
        return int(_time_s(share_id) + self._ttl_s)

    def read(self, share_id: UUID, rendition: str) -> tuple[StoredObject, bytes]:
        """Return a share's PICTURE or CARD with one call to storage.

        Raises: NotFound, Gone where it was deleted, StorageUnavailable.
        """
        return self._of(self._storage.get, share_id, rendition)

    def stat(self, share_id: UUID, rendition: str) -> StoredObject:
        """Return what storage knows of a share's PICTURE or CARD, with one call.

        Raises: NotFound, Gone where it was deleted, StorageUnavailable.
        """
        return self._of(self._storage.stat, share_id, rendition)

    def delete(self, share_id: UUID, *, admit: Callable[[], object] = lambda: None) -> None:
        """Leave tombstones in place of picture and card; that there are none is success.

        admit: called before tombstones are written for a share of which there is nothing, because
        anyone can mint keys; what it raises ends the call.

        Raises: StorageUnavailable, after which one of them may be left: call again.
        """
        missing = []
        for name in (_object_name(share_id, PICTURE), _object_name(share_id, CARD)):
            try:
                self._storage.delete(name, must_exist=True)
            except ObjectNotFound:
                missing.append(name)
        if time.time() - _time_s(share_id) > KEY_MAX_AGE_S + LATE_PUT_S:
            return
        if len(missing) == len((PICTURE, CARD)):
            admit()
        for name in missing:
            self._storage.delete(name)

    def parse_id(self, share_id: str) -> UUID:
        """Return the id of a share that may have been made by now, whether or not it is over.

        Raises: NotFound.
        """
        parsed = _parse_uuid7(share_id)
        if parsed is None or _time_s(parsed) > time.time() + KEY_MAX_AHEAD_S:
            raise NotFound("not a share id")
        note(share_id=share_id)
        return parsed

    def living(self, share_id: str) -> UUID:
        """Return the id of a share that may exist at this moment, without asking storage.

        Raises: NotFound for what is no share id, Gone past its end, whether it ever existed or not.
        """
        parsed = self.parse_id(share_id)
        self._require_living(parsed)
        return parsed

    def _require_living(self, share_id: UUID) -> None:
        if time.time() >= self.expires_at(share_id):
            raise Gone

    def _of(self, verb: Callable[[str], T], share_id: UUID, rendition: str) -> T:
        """Apply a verb of storage to a rendition; a share without a card has it as its picture."""
        if rendition == CARD and share_id not in self._without_card:
            try:
                return verb(_object_name(share_id, CARD))
            except ObjectNotFound:
                found = verb(_object_name(share_id, PICTURE))
                self._without_card.append(share_id)
                return found
        return verb(_object_name(share_id, PICTURE))

    def _render(self, form: Form) -> dict[str, Rendition]:
        header = image_ops.read_header(form.file.data, self._image)
        note(format=header.format, pixels=header.size[0] * header.size[1])
        canvases = (
            picture_canvas(form.platform, form.fit, max_side_px=self._image.max_side_px),
            card_canvas(form.fit),
        )
        with self._memory.reserve(image_ops.decode_bytes(header, canvases)), self._cores:
            picture, card = image_ops.render(form.file.data, header, canvases, self._image)
        return {PICTURE: picture} if card is picture else {PICTURE: picture, CARD: card}

    def _put_side_by_side(
        self, share_id: UUID, renditions: dict[str, Rendition], metadata: dict[str, str]
    ) -> dict[str, StoredObject]:
        """Put all renditions of a minted key; where one fails, take all of them back."""
        names = {_object_name(share_id, rendition): rendition for rendition in renditions}
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
            name = _object_name(share_id, rendition)
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
        """Put a rendition; one that is there already, by a request with the same form, will do.

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
                raise Gone(f"removed after put and before stat: {name}") from gone
            except StorageSuspended as suspended:  # of stat: the put was tried
                raise StorageUnavailable(suspended.reason) from suspended
            if stored.metadata.get("fingerprint") != metadata.get("fingerprint"):
                raise _key_problem("came with another picture or other fields before") from error
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
        """Let storage remove what has ended, ten times in the life of a share."""
        if time.monotonic() >= self._sweeps_next_s:
            self._sweeps_next_s = time.monotonic() + self._ttl_s / 10
            self._pool.submit(self._sweep)

    def _sweep(self) -> None:
        try:
            self._storage.sweep(self._has_ended)
        except Exception as error:  # noqa: BLE001 - nobody waits for it: the log is all there is
            fields = {"exception": traceback.format_exc()}
            self._log.write("ERROR", f"the sweep failed: {error}", fields)

    def _has_ended(self, name: str) -> bool:
        found = _OBJECT_NAME.fullmatch(name)
        return found is not None and time.time() >= self.expires_at(UUID(found[1]))


def _object_name(share_id: UUID, rendition: str) -> str:
    """Return an object name; its first characters vary, so that a bucket can spread the load.

    Source: https://cloud.google.com/storage/docs/request-rate#naming-convention
    """
    text = str(share_id)
    return f"shares/{text[-2:]}/{text}/{rendition}.jpg"


def _fingerprint(form: Form) -> str:
    """Return what tells a request that is sent again from another one under the same key."""
    fields = "\0".join((form.platform, form.effect_type, form.fit or "")).encode()
    return hashlib.sha256(fields + b"\0" + hashlib.sha256(form.file.data).digest()).hexdigest()


def _key_problem(message: str) -> InvalidFields:
    problem = FieldProblem(
        type="value_error", loc=("header", "Idempotency-Key"), msg=f"Value error, {message}"
    )
    return InvalidFields([problem])


def _uuid7(time_ms: int, random_bits: int) -> UUID:
    """Lay out a UUIDv7 (RFC 9562, section 5.7): 48 bits of time, then 74 others in two pieces."""
    high, low = random_bits >> 62, random_bits & ((1 << 62) - 1)
    return UUID(int=time_ms << 80 | 7 << 76 | high << 64 | 0b10 << 62 | low)


def _parse_uuid7(text: str) -> UUID | None:
    return UUID(text) if _UUID7.fullmatch(text) else None


def _time_ms(uuid7: UUID) -> int:
    return uuid7.int >> 80


def _time_s(uuid7: UUID) -> float:
    return _time_ms(uuid7) / 1000
