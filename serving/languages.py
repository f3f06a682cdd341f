"""What people read, by language: one file of texts/ each, named by its tag.

    texts/de.json  ->  Texts(tag, client, page)  <-  pick("de-CH-1996")

`client` holds the texts of web/share-image.js by the names of its attributes, `page` those of the
share page. Adding a language is adding a file with the keys and the {placeholders} of en.json.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXTS = Path(__file__).parent / "texts"
DEFAULT_LANGUAGE = "en"

LANGUAGE_TAG_MAX_CHARS = 35  # RFC 5646, section 4.4.1: what an implementation must at least take
_LANGUAGE_TAG = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,8})*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """One language: its BCP 47 tag, and its texts by name, with {placeholders} to fill."""

    tag: str
    client: Mapping[str, str]
    page: Mapping[str, str]


@cache
def languages(folder: Path = TEXTS) -> Mapping[str, Texts]:
    """Return every language of a folder, by its tag in lower case; read once."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        sections = json.loads(path.read_bytes())
        texts = Texts(tag=path.stem, client=sections["client"], page=sections["page"])
        found[path.stem.lower()] = texts
    return found


def pick(tag: str | None, default: str = DEFAULT_LANGUAGE) -> Texts:
    """Return the texts of a language, or of the nearest one above it: de-CH falls back to de.

    tag: a BCP 47 tag as a client sent it; what is missing, malformed or unknown gets the default.
    default: the tag of a language that exists.
    Source: RFC 4647, section 3.4 (Lookup).
    """
    known = languages()
    found = tag.lower() if tag and is_language_tag(tag) else ""
    while found and found not in known:
        found = found.rpartition("-")[0]
    return known[found or default.lower()]


def is_language_tag(text: str) -> bool:
    """Return whether a text has the form of a BCP 47 tag, known here or not."""
    return len(text) <= LANGUAGE_TAG_MAX_CHARS and _LANGUAGE_TAG.fullmatch(text) is not None
