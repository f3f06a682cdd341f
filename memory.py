"""How this process manages its memory, said once, before it serves.

glibc's allocator     keeps what one picture has freed for the next
Python's collector    does not look for garbage in what was imported: it stays
"""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ARENAS = 1  # for all threads: what one has freed serves the others, and none keeps its own
LARGEST_KEPT_BYTES = 32 << 20  # the most that glibc allows; what is larger goes back at once
KEPT_BYTES = 64 << 20  # free memory at the end of the heap, above which it goes back

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Keep what is freed, within limits; call it before threads start.

    By default the pixels of each picture go back to the kernel, and a tenth of a request is spent
    on having the pages of the next one zeroed. Without glibc nothing happens. Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, ARENAS)
        mallopt(_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)


def address_space_bytes() -> int:
    """Return the size of this process's address space; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def begin_imports() -> None:
    """Stop looking for garbage, until end_imports."""
    gc.disable()


def end_imports() -> None:
    """Look for garbage again, but never again in what there is by now.

    Source: https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.freeze()
    gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage while the block imports."""
    begin_imports()
    try:
        yield
    finally:
        end_imports()
