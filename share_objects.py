"""What a share is in storage: its objects, their names, what their metadata says.

    objects     shares/<last two characters>/<share id>/picture.jpg and card.jpg

Both carry the same metadata, with the size of each. Fields that forms without them lack are not
written: shares of before they existed are read all the same.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import links
from share_keys import UUID7, ends_at

if TYPE_CHECKING:
    from datetime import timedelta

    from image_ops import Rendition
    from serving.forms import Form
    from storage import StoredObject

PICTURE = "picture"
CARD = "card"

_OBJECT_NAME = re.compile(rf"shares/[0-9a-f]{{2}}/({UUID7.pattern})/(?:{PICTURE}|{CARD})\.jpg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share as it was stored: what its picture is, and what it was made for.

    width, height: in px; size_bytes: of the picture; expires_at: epoch seconds; lang, alt: as in
    Form, empty where none was sent; digital_source_type: what its picture is marked with.
    """

    share_id: UUID
    platform: str
    effect_type: str
    width: int
    height: int
    size_bytes: int
    content_type: str
    expires_at: int
    lang: str = ""
    alt: str = ""
    digital_source_type: str = ""

    @classmethod
    def of(cls, share_id: UUID, picture: StoredObject, expires_at: int) -> Share:
        """Return the share that a stored picture belongs to."""
        metadata = picture.metadata
        return cls(
            share_id=share_id,
            platform=metadata["platform"],
            effect_type=metadata["effect_type"],
            width=int(metadata["width"]),
            height=int(metadata["height"]),
            size_bytes=picture.size_bytes,
            content_type=picture.content_type,
            expires_at=expires_at,
            lang=metadata.get("lang", ""),
            alt=metadata.get("alt", ""),
            digital_source_type=metadata.get("digital_source_type", ""),
        )


def metadata_of(form: Form, expires_at: int, picture: Rendition) -> dict[str, str]:
    """Return the metadata of a share's objects; expires_at: epoch seconds."""
    return {
        "expires": str(expires_at),
        "platform": form.platform,
        "effect_type": form.effect_type,
        **_present({"lang": form.lang, "alt": form.alt}),
        "likeness": picture.likeness,
        **_present({"digital_source_type": picture.source_type}),
    }


def object_ends_at(name: str, ttl: timedelta) -> float:
    """Return when an object's share ends, in seconds since the epoch; of another object, never."""
    found = _OBJECT_NAME.fullmatch(name)
    return ends_at(UUID(found[1]), ttl) if found else math.inf


def cache_max_age_s(name: str, ttl: timedelta) -> float:
    """Return how long an object may be kept in memory: as long as any cache may."""
    return links.cache_max_age_s(object_ends_at(name, ttl))


def object_name(share_id: UUID, rendition: str) -> str:
    """Return an object name; its first characters vary, so that a bucket can spread the load.

    Source: https://cloud.google.com/storage/docs/request-rate#naming-convention
    """
    text = str(share_id)
    return f"shares/{text[-2:]}/{text}/{rendition}.jpg"


def fingerprint(form: Form) -> str:
    """Return what tells a request that is sent again from another one under the same key."""
    optional = {
        "lang": form.lang,
        "alt": form.alt,
        "digital_source_type": form.digital_source_type,
    }
    named = (text for field in _present(optional).items() for text in field)
    fields = "\0".join((form.platform, form.effect_type, form.fit or "", *named)).encode()
    return hashlib.sha256(fields + b"\0" + hashlib.sha256(form.file).digest()).hexdigest()


def _present(fields: dict[str, str]) -> dict[str, str]:
    """Return the fields that are there: forms, and shares of before they existed, lack others."""
    return {name: value for name, value in fields.items() if value}
