"""The texts of texts/: complete in every language, and found by whatever tag a page carries."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from function_server import ROOT

from errors import ShareImageError
from serving.languages import Texts, languages, pick

if TYPE_CHECKING:
    from collections.abc import Mapping

ENGLISH = languages()["en"]
CLIENT = (ROOT / "web" / "share-image.js").read_text("utf-8")

# Codes that no customer meets as a sentence of their own. To POST: a mistake of the page, which
# "error-other" covers. To DELETE and GET: the button or the page says what happened.
COVERED_BY_OTHER = {
    *("bad_request", "malformed_form", "missing_boundary", "unusable_image", "internal_error"),
    *("not_found", "gone", "method_not_allowed", "missing_token", "wrong_token"),
    *("range_not_satisfiable", "precondition_failed"),
    *("missing_upload_token", "wrong_upload_token", "wrong_signature"),
    "invalid_fields",
}
COVERED_BY_UNAVAILABLE = {"busy", "storage_unavailable", "check_unavailable"}


def placeholders(texts: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: sorted(re.findall(r"\{.*?\}", text)) for name, text in texts.items()}


@pytest.mark.parametrize("texts", languages().values(), ids=languages())
def test_every_language_says_the_same_things(texts: Texts) -> None:
    for section in ("client", "page"):
        ours, english = getattr(texts, section), getattr(ENGLISH, section)
        assert list(ours) == list(english)
        assert placeholders(ours) == placeholders(english)
        assert all(text == text.strip() != "" for text in ours.values())


def test_there_are_four_languages_to_begin_with() -> None:
    assert {"en", "de", "fr", "es"} <= set(languages())


def test_the_client_has_the_english_of_this_folder_built_in() -> None:
    block = re.search(r"^const TEXTS = (\{.*?^\});", CLIENT, re.MULTILINE | re.DOTALL)
    assert block
    quoted = re.sub(r"^  (\w+):", r'  "\1":', block[1], flags=re.MULTILINE)
    assert json.loads(quoted.replace(",\n}", "\n}")) == ENGLISH.client


def test_a_customer_hears_of_every_error() -> None:
    """By its code, or by the sentence for all others; a new code asks for a decision here."""

    def codes(error: type[ShareImageError]) -> set[str]:
        return {error.code}.union(*(codes(kind) for kind in error.__subclasses__()))

    named = {name.removeprefix("error-") for name in ENGLISH.client if name.startswith("error-")}
    own = {"network", "timeout", "unavailable", "other"}
    assert named - own | COVERED_BY_OTHER | COVERED_BY_UNAVAILABLE == codes(ShareImageError)
    assert not named & (COVERED_BY_OTHER | COVERED_BY_UNAVAILABLE)


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("de-CH", "de"),
        ("de-Latn-CH-1996", "de"),
        ("fr-CA", "fr"),
        ("es-419", "es"),
        ("en-GB", "en"),
        # What is not there, and what is no tag at all:
        ("nl", "en"),
        ("dex", "en"),
        ("", "en"),
        (None, "en"),
        ("de_CH", "en"),
        ("de-", "en"),
        ("-de", "en"),
        ("../de", "en"),
        ("de\n", "en"),
        ("d" * 9, "en"),
        ("de-" + "a-" * 20 + "b", "en"),
        ("dé", "en"),
    ],
)
def test_a_tag_finds_the_nearest_language_and_is_never_an_error(
    tag: str | None, found: str
) -> None:
    assert pick(tag).tag == found


def test_a_shop_may_have_another_default() -> None:
    assert pick("nl", default="fr").tag == "fr"
    assert pick("de-AT", default="fr").tag == "de"
