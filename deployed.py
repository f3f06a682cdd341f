"""What is deployed: the names and SHA-256 digests of its files, and one digest over them all.

A working tree and the folder that was deployed from it have the same digests: so a running function
can tell which source it is. In a working tree `.gcloudignore` decides what counts; it is not
uploaded itself, so where it is missing everything counts. In both, what Python compiles is aside.

    .gcloudignore -> rules -> files -> digests -> one digest

Standard library only, and no other module: scripts run this file without installing anything.

Source: `gcloud topic gcloudignore`; where that and gcloud's code differ, the code.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

IGNORE_FILE = ".gcloudignore"


def digests(root: Path) -> dict[str, str]:
    """Return the SHA-256 digest (lower-case hex) of each deployed file, by its path below root.

    Paths are relative, with slashes, in the order of their characters. Links count as gcloud
    uploads them: a link to a file as that file, a link to a folder not at all.

    Raises: ValueError for a line of `.gcloudignore` that this module does not understand.
    """
    return {name: _digest(root / name) for name in sorted(_files(root, "", _rules(root)))}


def source_digest(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 digest (lower-case hex) over all names and digests, in any order."""
    # No name holds a NUL, so no two sets of names and digests run together to the same text.
    listing = "".join(f"{name}\0{digests[name]}\0" for name in sorted(digests))
    return hashlib.sha256(os.fsencode(listing)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One line: of all rules that match a path, the last one decides."""

    ignores: bool
    pattern: re.Pattern[str]


# A name with any number of `*`; `!` re-includes, a leading slash holds it to the root folder.
_LINE = re.compile(r"(?P<negation>!?)(?P<slash>/?)(?P<name>[A-Za-z0-9._*-]+)")
# gcloud matches `*` to the root folder too, and a folder that is ignored is not entered.
_ROOT = "!."


def _rules(root: Path) -> list[_Rule]:
    try:
        lines = (root / IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        # Deployed: what the platform may add has a dot name, and nothing uploaded has one.
        return [_rule(".*"), *_COMPILED]
    return [*_read(lines), *_COMPILED]


def _read(lines: Sequence[str]) -> Iterator[_Rule]:
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line and not _is_comment(line)]
    for number, line in numbered[:-1]:
        try:
            yield _rule(line)
        except ValueError as problem:
            raise ValueError(f"{IGNORE_FILE}, line {number}: {problem}") from None
    if not numbered or numbered[-1][1] != _ROOT:
        raise ValueError(f"{IGNORE_FILE}: the last line must be {_ROOT!r}, or nothing is uploaded")


def _is_comment(line: str) -> bool:
    # gcloud includes another file where a comment says `#!include:`.
    return line.startswith("#") and not line[1:].lstrip().startswith("!include:")


def _rule(line: str) -> _Rule:
    found = _LINE.fullmatch(line)
    # gcloud's own reading of these differs from its documentation.
    if not found or "**" in line or line in {"*", "!*"}:
        raise ValueError(f"{line!r} is not a pattern that source.py understands")
    name = re.escape(found["name"]).replace(r"\*", "[^/]*")
    above = "" if found["slash"] else "(?:.*/)?"
    return _Rule(ignores=not found["negation"], pattern=re.compile(above + name, re.DOTALL))


_COMPILED = (_rule("__pycache__"), _rule("*.pyc"))


def _files(root: Path, folder: str, rules: Sequence[_Rule]) -> Iterator[str]:
    with os.scandir(root / folder) as entries:
        for entry in entries:
            path = folder + entry.name
            if _is_ignored(path, rules):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(root, f"{path}/", rules)
            elif entry.is_file():
                yield path


def _is_ignored(path: str, rules: Sequence[_Rule]) -> bool:
    return next((rule.ignores for rule in reversed(rules) if rule.pattern.fullmatch(path)), False)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
