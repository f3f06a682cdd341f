"""What a folder holds, read without the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TOMBSTONE = b'"content_type": "application/x-tombstone"'


def kept_in(folder: Path) -> set[str]:
    """Return the names of the objects of a local storage, without tombstones."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.glob("shares/*/*/*")
        if TOMBSTONE not in path.read_bytes()
    }
