"""The life of a share: key, id, picture, card, end.

    share key   UUIDv7: the client's Idempotency-Key, or minted here; the answer's delete_token
        │ SHA-256
    share id    UUIDv7 with the key's time, so that it says itself when the share ends
        │
    objects     shares/<last two characters>/<share id>/picture.jpg and card.jpg

    create      read header -> render -> put picture and card side by side

The key yields the id and the id does not yield the key: who holds the key may delete, and a POST
sent again with its key lands on the same objects.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
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
    StorageUnavailable,
)
from logs import note, stage
from platforms import card_canvas, picture_canvas

if TYPE_CHECKING:
    from collections.abc import Callable

    from config import Settings
    from guards import MemoryBudget
    from image_ops import Rendition
    from storage import Storage, StoredObject
    from uploads import Form

T = TypeVar("T")

KEY_MAX_AGE_S = 300
KEY_MAX_AHEAD_S = 60  # so much may a client's clock run ahead of ours
CACHE_MAX_AGE_S = 300  # of whatever shows a share, so that its deletion is felt

PICTURE = "picture"
CARD = "card"

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
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

    def __init__(self, storage: Storage, memory: MemoryBudget, settings: Settings) -> None:
        self._storage = storage
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
        came with another form before, StorageUnavailable.
        """
        with stage("render"):
            renditions = self._render(form)
        share_key = key or mint_key()
        share_id = share_id_of(share_key)
        expires_at = self.expires_at(share_id)
        note(share_id=str(share_id))
        metadata = {
            "expires": str(expires_at),
            "platform": form.platform,
            "effect_type": form.effect_type,
        }
        if key is not None:  # it may come again
            metadata["fingerprint"] = _fingerprint(form)
        with stage("store"):
            stored = self._put_all(share_id, renditions, metadata, may_clean_up=key is None)
        if CARD not in stored:
            self._without_card.append(share_id)
        self._sweep_when_due()
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

        Raises: NotFound, StorageUnavailable.
        """
        return self._of(self._storage.get, share_id, rendition)

    def stat(self, share_id: UUID, rendition: str) -> StoredObject:
        """Return what storage knows of a share's PICTURE or CARD, with one call.

        Raises: NotFound, StorageUnavailable.
        """
        return self._of(self._storage.stat, share_id, rendition)

    def delete(self, share_id: UUID) -> None:
        """Delete picture and card; that there are none is success.

        Raises: StorageUnavailable, after which one of them may be left: call again.
        """
        for rendition in (CARD, PICTURE):
            self._storage.delete(_object_name(share_id, rendition))

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
        if time.time() >= self.expires_at(parsed):
            raise Gone
        return parsed

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

    def _put_all(
        self,
        share_id: UUID,
        renditions: dict[str, Rendition],
        metadata: dict[str, str],
        *,
        may_clean_up: bool,
    ) -> dict[str, StoredObject]:
        """Put the renditions side by side; if one fails, take the other back where that is safe.

        It is not where the client chose the key: its next try completes the share, and a twin of
        this request may have been answered already with what would be deleted here.
        """
        puts = {
            name: self._pool.submit(self._put, _object_name(share_id, name), rendition, metadata)
            for name, rendition in renditions.items()
        }
        errors = [error for put in puts.values() if (error := put.exception()) is not None]
        if not errors:
            return {name: put.result() for name, put in puts.items()}
        done = [put.result() for put in puts.values() if put.exception() is None]
        if may_clean_up:
            self._take_back(done)
        elif done:
            note(left_for_retry=[stored.name for stored in done])
        raise errors[0]

    def _put(self, name: str, rendition: Rendition, metadata: dict[str, str]) -> StoredObject:
        width, height = rendition.size
        try:
            return self._storage.put(
                name,
                rendition.data,
                content_type=rendition.content_type,
                cache_control=f"public, max-age={CACHE_MAX_AGE_S}",
                metadata={**metadata, "width": str(width), "height": str(height)},
            )
        except ObjectExists as error:
            stored = self._storage.stat(name)
            if stored.metadata.get("fingerprint") != metadata.get("fingerprint"):
                raise _key_problem("came with another picture or other fields before") from error
            return stored

    def _sweep_when_due(self) -> None:
        """Let storage delete what is over, ten times in the life of a share."""
        if time.monotonic() >= self._sweeps_next_s:
            self._sweeps_next_s = time.monotonic() + self._ttl_s / 10
            self._pool.submit(self._storage.sweep, max_age_s=self._ttl_s)

    def _take_back(self, objects: list[StoredObject]) -> None:
        for stored in objects:
            try:
                self._storage.delete(stored.name)
            except StorageUnavailable as error:
                note(left_behind=stored.name, left_behind_reason=error.reason)


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
