"""The cache in front of a store: what it keeps, and for how long, over a folder of real files."""

from __future__ import annotations

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest

from errors import ObjectDeleted, ObjectExists, ObjectNotFound, StorageUnavailable
from stores.cached import ENTRY_BYTES, CachedStorage
from stores.local import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from stores.contract import StoredObject

T = TypeVar("T")

NAME = "shares/7f/picture.jpg"
DATA = bytes(range(256)) * 4
MAX_AGE_S = 300.0


class Folder(LocalStorage):
    """A folder that counts its reads, and can hold one up when it has its answer in hand."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reads: list[str] = []
        self._held: threading.Event | None = None
        self._has_answer = threading.Event()

    def get(self, name: str) -> tuple[StoredObject, bytes]:
        return self._read(super().get, name)

    def stat(self, name: str) -> StoredObject:
        return self._read(super().stat, name)

    @contextmanager
    def held_up(self, read: Callable[[], T]) -> Iterator[Future[T]]:
        """Yield the future of a read that has its answer, and returns it when the block ends."""
        self._held = end = threading.Event()
        self._has_answer.clear()
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(read)
            try:
                assert self._has_answer.wait(30)
                yield future
            finally:
                end.set()

    def _read(self, read: Callable[[str], T], name: str) -> T:
        held, self._held = self._held, None
        self.reads.append(f"{read.__name__} {name}")
        try:
            return read(name)
        finally:
            if held is not None:
                self._has_answer.set()
                assert held.wait(30)


class Clock:
    """Seconds that only a test moves."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "shares")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cached(folder: Folder, clock: Clock) -> CachedStorage:
    return cache_of(folder, clock=clock)


def cache_of(
    folder: Folder,
    *,
    max_bytes: int = 1_000_000,
    max_age_s: Callable[[str], float] = lambda _name: MAX_AGE_S,
    clock: Clock | None = None,
) -> CachedStorage:
    return CachedStorage(folder, max_bytes=max_bytes, max_age_s=max_age_s, clock=clock or Clock())


def put(store: CachedStorage | Folder, name: str = NAME, data: bytes = DATA) -> StoredObject:
    return store.put(name, data, content_type="image/jpeg", metadata={"platform": "x"})


def test_a_hundred_reads_are_one_of_the_store(cached: CachedStorage, folder: Folder) -> None:
    put(folder)
    assert {cached.get(NAME)[1] for _ in range(100)} == {DATA}
    assert {cached.stat(NAME).metadata["platform"] for _ in range(100)} == {"x"}
    assert folder.reads == [f"get {NAME}", f"stat {NAME}"]


def test_an_object_is_read_again_when_it_was_kept_as_long_as_it_may_be(
    cached: CachedStorage, folder: Folder, clock: Clock
) -> None:
    put(folder)
    for later_s, reads in ((0, 1), (MAX_AGE_S - 1, 1), (1, 2), (MAX_AGE_S - 1, 2)):
        clock.now_s += later_s
        cached.get(NAME)
        assert len(folder.reads) == reads


def test_how_long_an_object_is_kept_depends_on_its_name(folder: Folder, clock: Clock) -> None:
    left_s = {"a": 0.0, "b": 5.0}
    cached = cache_of(folder, max_age_s=left_s.__getitem__, clock=clock)
    for name in left_s:
        put(folder, name)
        for _ in range(2):
            cached.get(name)
    assert folder.reads == ["get a", "get a", "get b"]
    clock.now_s += 5
    cached.get("b")
    assert folder.reads[3:] == ["get b"]


def test_a_put_fills_nothing(cached: CachedStorage, folder: Folder) -> None:
    put(cached)
    assert cached.get(NAME)[1] == DATA
    assert len(folder.reads) == 1


def test_what_is_not_there_is_asked_for_each_time(cached: CachedStorage, folder: Folder) -> None:
    for _ in range(2):
        with pytest.raises(ObjectNotFound):
            cached.get(NAME)
    put(folder)  # by another instance
    assert cached.get(NAME)[1] == DATA


def test_a_failure_is_not_kept(cached: CachedStorage, folder: Folder, tmp_path: Path) -> None:
    put(folder)
    path = tmp_path / "shares" / NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(StorageUnavailable):
        cached.get(NAME)
    path.write_bytes(whole)
    assert cached.get(NAME)[1] == DATA


def test_a_deleted_object_is_gone_at_once(cached: CachedStorage, folder: Folder) -> None:
    put(folder)
    reads = (cached.get, cached.stat)
    for read in reads:
        read(NAME)
    cached.delete(NAME)
    for read in reads:
        with pytest.raises(ObjectDeleted):
            read(NAME)


def test_deleting_again_what_was_never_there_is_told_so(cached: CachedStorage) -> None:
    with pytest.raises(ObjectNotFound):
        cached.delete(NAME, must_exist=True)
    cached.delete(NAME)
    cached.delete(NAME, must_exist=True)


def test_after_a_put_that_was_refused_the_store_is_asked(
    cached: CachedStorage, folder: Folder
) -> None:
    """Else a retried POST would find alive what another instance has deleted."""
    put(folder)
    cached.stat(NAME)
    folder.delete(NAME)  # by another instance
    with pytest.raises(ObjectExists):
        put(cached)
    with pytest.raises(ObjectDeleted):
        cached.stat(NAME)


def test_a_read_that_began_before_a_delete_ended_is_not_kept(
    cached: CachedStorage, folder: Folder
) -> None:
    put(folder)
    with folder.held_up(lambda: cached.get(NAME)) as before:
        cached.delete(NAME)
        with pytest.raises(ObjectDeleted):  # and does not wait for the other one
            cached.get(NAME)
    assert before.result()[1] == DATA
    with pytest.raises(ObjectDeleted):
        cached.get(NAME)


def test_a_read_after_a_put_does_not_share_what_one_before_it_missed(
    cached: CachedStorage, folder: Folder
) -> None:
    with folder.held_up(lambda: cached.get(NAME)) as before:
        put(cached)
        assert cached.get(NAME)[1] == DATA
    assert isinstance(before.exception(), ObjectNotFound)
    assert cached.get(NAME)[1] == DATA


@pytest.mark.parametrize("is_there", [True, False])
def test_many_reads_at_once_of_one_cold_object_are_one(
    cached: CachedStorage, folder: Folder, *, is_there: bool
) -> None:
    if is_there:
        put(folder)
    threads = 16
    start = threading.Barrier(threads + 1)

    def read(_index: int) -> object:
        start.wait(30)
        try:
            return cached.get(NAME)[1]
        except ObjectNotFound as error:
            return type(error)

    with ThreadPoolExecutor(threads) as pool, folder.held_up(lambda: cached.get(NAME)):
        others = [pool.submit(read, index) for index in range(threads)]
        start.wait(30)
    found = {other.result() for other in others}
    assert found == {DATA if is_there else ObjectNotFound}
    assert not is_there or folder.reads == [f"get {NAME}"]


def test_the_least_recently_used_goes_first(folder: Folder) -> None:
    cached = cache_of(folder, max_bytes=2 * (ENTRY_BYTES + len(DATA)))
    for name in "abc":
        put(folder, name)
    for name in "abacab":
        cached.get(name)
    assert folder.reads == ["get a", "get b", "get c", "get b"]


def test_an_object_larger_than_the_cache_is_served_and_not_kept(folder: Folder) -> None:
    cached = cache_of(folder, max_bytes=ENTRY_BYTES + len(DATA) - 1)
    put(folder)
    assert [cached.get(NAME)[1] for _ in range(2)] == [DATA, DATA]
    assert len(folder.reads) == 2


@pytest.mark.parametrize("size_bytes", [1, 30_000])
def test_what_is_kept_never_takes_more_memory_than_it_may(folder: Folder, size_bytes: int) -> None:
    max_bytes = 1_000_000
    names = [f"shares/{n % 100:02}/{n:036}/picture.jpg" for n in range(400)]
    for name in names:
        put(folder, name, bytes([len(name)]) * size_bytes)
    cached = cache_of(folder, max_bytes=max_bytes)
    tracemalloc.start()
    before_bytes = tracemalloc.get_traced_memory()[0]
    for name in names:
        cached.get(name)
        cached.stat(name)
    folder.reads.clear()
    kept_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
    tracemalloc.stop()
    assert max_bytes // 4 < kept_bytes <= max_bytes
