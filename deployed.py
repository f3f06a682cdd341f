"""What is deployed: the names and SHA-256 digests of its files, and one digest over them all.

A working tree and the folder that was deployed from it have the same digests: so a running function
can tell which source it is. A tree is told by its `.gcloudignore`, which is not uploaded and says
what IGNORE_LINES say; in the deployed folder every file counts that the host did not add.

Standard library only, and no other module: scripts run this file without installing anything.
"""

from __future__ import annotations

import hashlib
import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

IGNORE_FILE = ".gcloudignore"
EVERYTHING = ("*",)
# Of the root folder, folders with what is in them.
UPLOADED = (
    *("*.py", "requirements.txt", "openapi.json"),
    *("config", "fonts", "imaging", "moderation", "serving", "stores", "web"),
)
# Wherever it is.
ADDED_BY_HOST = (".*", "__pycache__", "*.pyc")
IGNORED = (*ADDED_BY_HOST, "*.md", "package.json")
# The root folder matches `*` as well: without the last line, gcloud uploads an empty archive.
IGNORE_LINES = ["/*", *(f"!/{name}" for name in UPLOADED), *IGNORED, "!."]


def digests(root: Path) -> dict[str, str]:
    """Return the SHA-256 digest (lower-case hex) of each deployed file, by its path below root.

    Paths are relative, with slashes, in the order of their characters. Links count as gcloud
    uploads them: a link to a file as that file, a link to a folder not at all.

    Raises: ValueError for an ignore file that says anything but IGNORE_LINES.
    """
    if (root / IGNORE_FILE).exists():
        _require_ignore_lines(root / IGNORE_FILE)
        names = _files(root, "", UPLOADED, IGNORED)
    else:
        names = _files(root, "", EVERYTHING, ADDED_BY_HOST)
    return {name: _digest(root / name) for name in sorted(names)}


def source_digest(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 digest (lower-case hex) over all names and digests, in any order."""
    # No name holds a NUL, so no two sets of names and digests run together to the same text.
    listing = "".join(f"{name}\0{digests[name]}\0" for name in sorted(digests))
    return hashlib.sha256(os.fsencode(listing)).hexdigest()


def _require_ignore_lines(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    # gcloud reads on in another file where a comment says `#!include:`.
    patterns = [line for line in lines if line and (line[0] != "#" or "!include" in line)]
    if patterns != IGNORE_LINES:
        raise ValueError(f"{path.name} says other patterns than deployed.py")


def _files(root: Path, folder: str, wanted: Sequence[str], ignored: Sequence[str]) -> Iterator[str]:
    with os.scandir(root / folder) as entries:
        for entry in entries:
            if not _matches(entry.name, wanted) or _matches(entry.name, ignored):
                continue
            path = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _files(root, f"{path}/", EVERYTHING, ignored)
            elif entry.is_file():
                yield path


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
