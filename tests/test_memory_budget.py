"""Who may have memory, and when."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest

from errors import Busy, ImageTooComplex
from process import MemoryBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Holder:
    """Threads that reserve memory and hold it until they are told to let go."""

    def __init__(self, budget: MemoryBudget, pool: ThreadPoolExecutor) -> None:
        self._budget = budget
        self._pool = pool
        self._ends: dict[int, threading.Event] = {}
        self.started: list[int] = []
        self._changed = threading.Condition()

    def hold(self, needed_bytes: int) -> Future[None]:
        """Reserve in a thread, and return once that waits or has what it needs."""
        self._ends[needed_bytes] = threading.Event()
        held = self._pool.submit(self._hold, needed_bytes)
        self.wait_for(lambda: needed_bytes in self.started or self._waits(needed_bytes))
        return held

    def let_go(self, needed_bytes: int) -> None:
        self._ends[needed_bytes].set()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            deadline = time.monotonic() + 20
            while not condition():
                assert time.monotonic() < deadline
                self._changed.wait(0.005)

    def _waits(self, needed_bytes: int) -> bool:
        return any(work.needed_bytes == needed_bytes for work in self._budget._waiting)  # noqa: SLF001

    def _hold(self, needed_bytes: int) -> None:
        with self._budget.reserve(needed_bytes):
            with self._changed:
                self.started.append(needed_bytes)
                self._changed.notify_all()
            self._ends[needed_bytes].wait(30)


@pytest.fixture
def holder() -> Iterator[Holder]:
    """Holds parts of 100 bytes; more than 25 are large."""
    with ThreadPoolExecutor(9) as pool:
        holder = Holder(MemoryBudget(100, max_waiting=8, wait_s=20), pool)
        yield holder
        for end in holder._ends.values():  # noqa: SLF001
            end.set()


class TestMemoryBudget:
    def test_what_fits_goes_at_once_up_to_the_last_byte(self) -> None:
        budget = MemoryBudget(100, max_waiting=0)
        with budget.reserve(75), budget.reserve(25):
            pass
        with budget.reserve(100):
            pass

    @pytest.mark.parametrize("held_bytes", [0, 1])
    def test_what_can_never_fit_is_the_pictures_fault_and_told_so(self, held_bytes: int) -> None:
        budget = MemoryBudget(100_000_000, max_waiting=1)
        needed_bytes = 100_000_001 - held_bytes
        with (
            budget.reserve(held_bytes),  # by the same request: its own body
            pytest.raises(ImageTooComplex) as caught,
            budget.reserve(needed_bytes),
        ):
            pass
        assert caught.value.detail == (
            "The picture needs 101 MB of memory; this server has 100 MB for it"
        )

    def test_the_longest_waiter_starts_first(self, holder: Holder) -> None:
        for needed_bytes in (70, 60, 50, 40):
            holder.hold(needed_bytes)
        assert holder.started == [70]
        for ends, starts in ((70, 60), (60, 50), (50, 40)):
            holder.let_go(ends)
            holder.wait_for(lambda starts=starts: holder.started[-1] == starts)  # type: ignore[misc]

    def test_small_work_never_waits_for_large_work(self, holder: Holder) -> None:
        holder.hold(70)
        holder.hold(40)  # would fit beside nothing else
        for needed_bytes in (10, 9, 8):
            holder.hold(needed_bytes)
        assert holder.started == [70, 10, 9, 8]

    def test_large_work_together_leaves_a_quarter_free(self, holder: Holder) -> None:
        holder.hold(45)
        holder.hold(31)
        holder.hold(24)
        assert holder.started == [45, 24]
        holder.let_go(45)
        holder.wait_for(lambda: holder.started == [45, 24, 31])

    def test_small_work_never_keeps_large_work_out(self, holder: Holder) -> None:
        holder.hold(50)
        holder.hold(60)
        holder.hold(25)
        holder.hold(16)  # fits today, and not beside the 60 that wait
        assert holder.started == [50, 25]
        holder.let_go(50)
        holder.wait_for(lambda: holder.started == [50, 25, 60])

    def test_what_does_not_fit_in_time_is_told_when_to_come_back(self) -> None:
        budget = MemoryBudget(100, max_waiting=1, wait_s=0.01)
        with budget.reserve(100), ThreadPoolExecutor(1) as pool:
            busy = pool.submit(self._reserve, budget, 1).exception()
        assert isinstance(busy, Busy)
        assert busy.headers() == {"Retry-After": "5"}

    def test_more_than_so_many_do_not_wait(self) -> None:
        budget = MemoryBudget(100, max_waiting=1, wait_s=20)
        with ThreadPoolExecutor(2) as pool, budget.reserve(100):
            one, other = (pool.submit(self._reserve, budget, 1) for _ in range(2))
            done, _ = wait((one, other), timeout=10, return_when=FIRST_COMPLETED)
            (refused,) = done
            assert isinstance(refused.exception(), Busy)
        assert {type(one.exception()), type(other.exception())} == {Busy, type(None)}

    def test_places_to_wait_are_given_back(self) -> None:
        budget = MemoryBudget(100, max_waiting=1, wait_s=0.01)
        with budget.reserve(100), ThreadPoolExecutor(1) as pool:
            reasons = [pool.submit(self._reserve, budget, 1).exception() for _ in range(3)]
        assert [str(reason) for reason in reasons] == ["no memory within 0.01 s"] * 3

    def test_what_failed_gives_its_memory_back(self) -> None:
        budget = MemoryBudget(100, max_waiting=1)
        for _ in range(2):
            with pytest.raises(RuntimeError), budget.reserve(100):
                raise RuntimeError

    @staticmethod
    def _reserve(budget: MemoryBudget, needed_bytes: int) -> None:
        with budget.reserve(needed_bytes):
            pass


def test_what_the_cache_may_keep_is_no_memory_for_pictures() -> None:
    budgets = [
        MemoryBudget.of_process(8_000_000_000, threads=4, kept_bytes=kept_bytes).budget_bytes
        for kept_bytes in (0, 300_000_000)
    ]
    assert 290e6 < budgets[0] - budgets[1] < 310e6
