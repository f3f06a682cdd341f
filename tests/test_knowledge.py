"""What stands in two places is the same in both: limits, codes, defaults, networks."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

import links
import process
import share_keys
from config import load_settings
from config.values import FORMATS
from errors import ShareImageError
from imaging.geometry import Fit
from imaging.memory_cost import PHONE_PIXELS
from platforms import CANVAS_SIZES, CARD_MAX_BYTES, CARD_SIZE, INTENTS, NETWORKS
from serving import body, forms, unread, upload_tokens

ROOT = Path(__file__).parents[1]


def text(name: str) -> str:
    """Return a file, its lines joined: a sentence may go on in the next one."""
    return re.sub(r"\s+", " ", (ROOT / name).read_text(encoding="utf-8"))


README = text("README.md")
OPENAPI: dict[str, Any] = json.loads((ROOT / "openapi.json").read_text(encoding="utf-8"))
SCHEMAS = OPENAPI["components"]["schemas"]
CLIENT = (ROOT / "web/share-image.js").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """Return the table of README below a heading, by the cells of its first column."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells}


# Limits


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("README.md", f"at most {share_keys.MAX_AGE_S} seconds old"),
        ("openapi.json", f"at most {share_keys.MAX_AGE_S} seconds old"),
        ("openapi.json", f"caches may keep them for {links.CACHE_MAX_AGE_S} s at most"),
        ("openapi.json", f"At most {links.CACHE_MAX_AGE_S} s, and never longer"),
        ("SECURITY.md", f"included, keep it {links.CACHE_MAX_AGE_S} s at most"),
        ("docs/operations.md", f"pages: {links.CACHE_MAX_AGE_S} s at most"),
        ("docs/operations.md", f"may still show them, {links.CACHE_MAX_AGE_S} s at most"),
        ("README.md", f"{CARD_SIZE[0]}x{CARD_SIZE[1]} card for link previews, at most 300 kB"),
        ("README.md", f"wait in turn, {process.MEMORY_WAIT_S:g} s at most"),
        ("README.md", f"the {PHONE_PIXELS // 1_000_000} megapixels of a phone's camera"),
    ],
)
def test_a_document_tells_the_limit_that_holds(name: str, sentence: str) -> None:
    assert sentence in text(name)


def test_the_cards_limit_is_what_verify_and_readme_say() -> None:
    checks = text("scripts/checks.py")
    assert CARD_MAX_BYTES == 300_000
    assert f"CARD_SIZE = {CARD_SIZE}" in checks
    assert f"CARD_MAX_BYTES = {CARD_MAX_BYTES:_}" in checks


def test_a_body_and_an_answer_have_the_same_time() -> None:
    assert unread.MIN_TIMEOUT_S == body.UPLOAD_MIN_TIMEOUT_S
    assert unread.MIN_BYTES_PER_S == body.UPLOAD_MIN_BYTES_PER_S
    assert unread.MAX_TIMEOUT_S == body.UPLOAD_TIMEOUT_S
    said = (
        rf"\b{body.UPLOAD_MIN_TIMEOUT_S:g} s\b.{{0,60}}"
        rf"\b{body.UPLOAD_MIN_BYTES_PER_S // 1000} kB a second.{{0,20}}"
        rf"\b{body.UPLOAD_TIMEOUT_S:g} s at most"
    )
    assert re.search(said, README)
    assert len(re.findall(said, text("SECURITY.md"))) == 2


def test_the_client_gives_a_key_up_before_the_function_does() -> None:
    life_ms = int(re.findall(r"KEY_LIFE_MS = ([\d_]+)", CLIENT)[0])
    oldest_ms = int(re.findall(r"KEY_MAX_AGE_MS = ([\d_]+)", CLIENT)[0])
    assert life_ms < share_keys.MAX_AGE_S * 1000 <= oldest_ms <= share_keys.MAX_AGE_S * 1000 + 1000
    ahead_ms = int(re.findall(r"CLOCK_TOLERANCE_MS = ([\d_]+)", CLIENT)[0])
    assert ahead_ms < share_keys.MAX_AHEAD_S * 1000


def test_the_documented_form_has_the_fields_limits_and_defaults_of_the_parsed_one() -> None:
    (form,) = (s["properties"] for s in SCHEMAS.values() if "file" in s.get("properties", {}))
    # The token lets a form in, and is no part of it.
    assert set(form) - {"token"} == {field.name for field in dataclasses.fields(forms.Form)}
    assert form["token"]["maxLength"] == upload_tokens.MAX_CHARS
    assert form["platform"]["maxLength"] == form["effect_type"]["maxLength"]
    assert form["platform"]["maxLength"] == forms.FIELD_MAX_CHARS
    assert form["alt"]["maxLength"] == forms.ALT_MAX_CHARS
    assert form["effect_type"]["default"] == forms.DEFAULT_EFFECT_TYPE
    assert f"`effect_type` (`{forms.DEFAULT_EFFECT_TYPE}`)" in README
    assert form["fit"]["enum"] == ["", *Fit]
    words = re.findall(r"\w+", form["file"]["description"].upper())
    assert [word for word in words if word in FORMATS] == [*FORMATS]


# Codes


def test_readme_lists_every_error_with_its_status_and_no_other() -> None:
    listed = {
        (int(status), code)
        for status, (codes, *_) in table_of_errors()
        for status, code in pairs(status, re.findall(r"`(\w+)`", codes))
    }
    kinds = [ShareImageError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    raised = {(int(kind.status), kind.code) for kind in kinds} - {(400, "unusable_image")}
    assert listed == raised


def table_of_errors() -> list[tuple[str, list[str]]]:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Errors\n")[1].splitlines()
    cells = [line.strip("|").split("|") for line in lines if re.match(r"\| \d", line)]
    return [(first.strip(), others) for first, *others in cells]


def pairs(statuses: str, codes: list[str]) -> list[tuple[str, str]]:
    """Return each code with its status: one status for all of them, or one for each."""
    found = statuses.split(", ")
    return list(zip(found * (len(codes) if len(found) == 1 else 1), codes, strict=True))


# Settings

PAGE_TEXTS = "texts of `PAGE_LANGUAGE` or `lang`"


def test_readme_tells_the_default_of_every_setting_that_has_one() -> None:
    table = rows("Settings")
    told = {
        name.strip("`"): re.sub("^`([^`]*)`$", r"\1", cells[0])
        for names, cells in table.items()
        for name in names.split(", ")
    }
    variables = load_settings({}).variables
    assert set(told) - {"", "---"} == set(variables) - {"THREADS"}  # which deploy sets
    in_words = {
        "INPUT_FORMATS": "all",
        "DEMO_PAGE": "on, in the cloud off",
        "PUBLIC_BASE_URL": "the request's host",
        "MEMORY_BUDGET_MB": "the cgroup's limit",
        "MAX_MEGAPIXELS": "none",
        "ACCENT_COLOR": "brown",
        **dict.fromkeys(("CTA_TEXT", "PAGE_TITLE", "PAGE_DESCRIPTION"), PAGE_TEXTS),
    }
    assert {name: told[name] for name in in_words} == in_words
    plain = set(variables) - set(in_words) - {"THREADS"}
    assert {name: told[name] for name in plain} == {name: variables[name].text for name in plain}


# Networks and formats


def test_readme_lists_every_network_on_its_canvas() -> None:
    listed = {
        name: tuple(map(int, canvas.split("x")))
        for names, (canvas, *_) in rows("What happens to a picture").items()
        if re.fullmatch(r"\d+x\d+", canvas)
        for name in names.split(", ")
    }
    assert listed == CANVAS_SIZES
    assert f"inside {load_settings({}).image.max_side_px}x" in README


def test_openapi_and_the_browser_client_know_the_networks() -> None:
    answered = SCHEMAS["Share"]["properties"]["links"]
    assert answered["required"] == [*answered["properties"]] == [*INTENTS]
    (form,) = (s["properties"] for s in SCHEMAS.values() if "file" in s.get("properties", {}))
    named = form["platform"]["description"].partition(": ")[2].partition(", or any")[0]
    assert set(named.split(", ")) == {network.name for network in NETWORKS}
    marks = CLIENT.split("const NETWORKS = {")[1].split("};")[0]
    assert re.findall(r"^  (\w+):", marks, re.MULTILINE) == [*INTENTS]
    types = (ROOT / "web/share-image.d.ts").read_text(encoding="utf-8")
    union = types.split("export type Network =")[1].split(";")[0]
    assert re.findall(r'"(\w+)"', union) == [*INTENTS]


def test_readme_lists_every_format() -> None:
    assert f"`{','.join(FORMATS)}`" in README


# What keeps the pins young


def test_every_folder_with_pins_is_watched() -> None:
    watched = re.findall(r"directory: (\S+)", (ROOT / ".github/dependabot.yml").read_text("utf-8"))
    found = {
        f"/{path.parent.relative_to(ROOT).as_posix()}".replace("/.", "/")
        for pattern in ("requirements*.txt", "*/requirements*.txt", "tests/npm/package-lock.json")
        for path in ROOT.glob(pattern)
        if ".venv" not in path.parts
    }
    assert set(watched) == found
