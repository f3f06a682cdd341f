"""The memory of this process: how it is kept, how much there is, and who may have it.

glibc's allocator     keeps what one picture has freed for the next
Python's collector    does not look for garbage in what was imported: it stays
MemoryBudget          admits work by the memory that it will take
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from errors import Busy, ImageTooComplex

if TYPE_CHECKING:
    from collections.abc import Iterator

ARENAS = 1  # for all threads: what one has freed serves the others, and none keeps its own
LARGEST_KEPT_BYTES = 32 << 20  # the most that glibc allows; what is larger goes back at once
KEPT_BYTES = 64 << 20  # free memory at the end of the heap, above which it goes back

IMPORTED_LATER_BYTES = 80_000_000  # the storage client with its connections, the sandbox's server
MEMORY_WAIT_S = 20.0  # five of the largest pictures in turn, a few seconds each

_CGROUP_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
_PDEATHSIG = 1  # Linux, prctl.h
_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Let all threads use one heap, and keep what is freed, within limits; call it before threads.

    Measured: after ten photos of 4 megapixels a worker holds 69 MB instead of 107, since no thread
    keeps a heap of its own. Without glibc nothing happens. Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, ARENAS)
        mallopt(_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)


def address_space_bytes() -> int:
    """Return the size of this process's address space; 0 where the system does not say."""
    return _statm_bytes(0)


def _statm_bytes(field: int) -> int:
    """Source: proc_pid_statm(5)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[field])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:  # Linux alone has it
        prctl(_PDEATHSIG, signal.SIGKILL)


def begin_imports() -> None:
    """Stop looking for garbage, until end_imports."""
    gc.disable()


def end_imports() -> None:
    """Look for garbage again, but never again in what there is by now.

    Measured: 35 of 280 ms of CPU at a start, and 28 ms of each full collection after it.
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


def memory_limit_bytes() -> int:
    """Return the memory that this process may have: the cgroup's limit, else the machine's."""
    for name in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # none there, or "max"
            return int(Path(name).read_text())
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def resident_bytes() -> int:
    """Return the memory that this process has at the moment; 0 where the system does not say."""
    return _statm_bytes(1)


class MemoryBudget:
    """Admits work by the memory that it will take: the longest waiter first, small work beside it.

        budget_bytes
        ├── a quarter that large work leaves free      small work never waits for large work
        └── the rest                                   small work never keeps large work out

    Work that needs more than the quarter is large. It starts in the order in which it came; a piece
    that needs the quarter as well starts once no other large one runs. While somebody waits, small
    work may start if it leaves what the first in line needs, counting on large work to end.

    budget_bytes: for all work together; max_waiting: how many requests may wait for their part;
    wait_s: how long.
    """

    def __init__(
        self, budget_bytes: int, *, max_waiting: int, wait_s: float = MEMORY_WAIT_S
    ) -> None:
        self.budget_bytes = budget_bytes
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._small_bytes = self._large_bytes = 0
        self._waiting: list[_Work] = []
        self._changed = threading.Condition()
        self._own = threading.local()

    @classmethod
    def of_process(cls, total_bytes: int | None, *, threads: int, kept_bytes: int) -> MemoryBudget:
        """Return the budget of what this process may have, less what it has before any work.

        total_bytes: None for what the cgroup allows; threads: requests at once, of which half may
        wait; kept_bytes: what is kept beside the work.
        """
        total_bytes = total_bytes or memory_limit_bytes()
        before_bytes = resident_bytes() + IMPORTED_LATER_BYTES + kept_bytes
        return cls(max(0, total_bytes - before_bytes), max_waiting=max(1, threads // 2))

    @contextlib.contextmanager
    def reserve(self, needed_bytes: int) -> Iterator[None]:
        """Hold so much memory for as long as the block runs, beside what this thread holds already.

        Raises: ImageTooComplex for what can never fit, Busy for what does not fit in time.
        """
        own_bytes = getattr(self._own, "bytes", 0)
        if own_bytes + needed_bytes > self.budget_bytes:
            raise _never_fits(own_bytes + needed_bytes, self.budget_bytes)
        work = _Work(needed_bytes, is_large=needed_bytes > self.budget_bytes // 4)
        self._start(work)
        self._own.bytes = own_bytes + needed_bytes
        try:
            yield
        finally:
            self._own.bytes = own_bytes
            with self._changed:
                self._count(work, -needed_bytes)

    def _start(self, work: _Work) -> None:
        with self._changed:
            self._waiting.append(work)
            try:
                if not self._may_start(work):
                    self._wait(work)
                self._count(work, work.needed_bytes)
            finally:
                self._waiting.remove(work)
                self._changed.notify_all()  # another one is the first in line

    def _wait(self, work: _Work) -> None:
        if len(self._waiting) > self._max_waiting:
            raise Busy("too many requests wait for memory")
        if not self._changed.wait_for(lambda: self._may_start(work), self._wait_s):
            raise Busy(f"no memory within {self._wait_s:g} s")

    def _may_start(self, work: _Work) -> bool:
        first = self._waiting[0]
        if self._small_bytes + self._large_bytes + work.needed_bytes > self.budget_bytes:
            return False
        if work is not first:
            small_bytes = self._small_bytes + work.needed_bytes
            return not work.is_large and small_bytes + first.needed_bytes <= self.budget_bytes
        large_bytes = self._large_bytes + work.needed_bytes
        is_alone = not self._large_bytes
        return not work.is_large or is_alone or large_bytes <= self.budget_bytes * 3 // 4

    def _count(self, work: _Work, change_bytes: int) -> None:
        if work.is_large:
            self._large_bytes += change_bytes
        else:
            self._small_bytes += change_bytes
        self._changed.notify_all()


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity
class _Work:
    needed_bytes: int
    is_large: bool


def _never_fits(needed_bytes: int, budget_bytes: int) -> ImageTooComplex:
    needed_mb, budget_mb = (math.ceil(needed_bytes / 1e6), budget_bytes // 1_000_000)
    return ImageTooComplex(
        f"needs {needed_bytes} of {budget_bytes} bytes",
        detail=f"The picture needs {needed_mb} MB of memory; this server has {budget_mb} MB for it",
    )
