"""How this process manages its memory, said once, before it serves."""

from __future__ import annotations

import ctypes

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
