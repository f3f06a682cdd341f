"""What is stored under faults, in both backends: one sentence holds after each case.

    objects stored = objects answered for, or named in the log

Faults strike single steps of a request: a put, a stat, a delete (which puts a tombstone). In the
bucket they strike between client and emulator, in the folder around the call.
"""

from __future__ import annotations

import math
import os
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import UUID

import pictures
import pytest
from faulty_gcs import Act, FaultyGcs, NoAnswerError, Request, Stall, running_faulty_gcs
from gcs_server import running_gcs_server
from keys import uuid7
from sharing import create, form, mint_key, object_names
from stored import kept_in

from config import load_settings
from errors import (
    ShareImageError,
    StorageSuspended,
    StorageUnavailable,
    TooManyRequests,
)
from logs import Log, request_line
from share_keys import share_id_of
from share_objects import CARD, PICTURE
from shares import Shares
from storage import BucketStorage, LocalStorage, Storage, StoredObject
from stores.circuit import Circuit
from stores.contract import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from gcs_server import GcsServer

T = TypeVar("T")

BOTH = (PICTURE, CARD)
OK, NO_CONTENT, GONE = HTTPStatus.OK, HTTPStatus.NO_CONTENT, HTTPStatus.GONE
OTHER_PICTURE, UNAVAILABLE = HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
A, B = pictures.photo_jpeg((64, 48)), pictures.photo_jpeg((48, 64))

Step = tuple[str, str]  # (put, get, stat or delete; the rendition)


def refuse(_carry_out: Callable[[], None]) -> None:
    """Don't carry the step out."""
    raise NoAnswerError


def lose_answer(carry_out: Callable[[], None]) -> None:
    """Carry the step out and don't say so."""
    carry_out()
    raise NoAnswerError


class Backend(Protocol):
    """A storage whose steps fail on demand."""

    storage: Storage

    def fail(self, step: Step, act: Callable[[Callable[[], None]], None]) -> None:
        """Strike every such step from now on."""

    def mend(self) -> None:
        """Strike no more."""

    def plant(self, name: str, data: bytes) -> None:
        """Store bytes behind the program's back."""

    def kept(self) -> set[str]:
        """Return the names of the objects, without tombstones."""


class FaultyFolder(LocalStorage):
    """A folder whose steps fail on demand."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.storage: Storage = self
        self._acts: dict[Step, Callable[[Callable[[], None]], None]] = {}

    def fail(self, step: Step, act: Callable[[Callable[[], None]], None]) -> None:
        self._acts[step] = act

    def mend(self) -> None:
        self._acts.clear()

    def plant(self, name: str, data: bytes) -> None:
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_bytes(data)

    def kept(self) -> set[str]:
        return kept_in(self._folder)

    def put(
        self, name: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> StoredObject:
        put = super().put
        return self._struck(
            "put", name, lambda: put(name, data, content_type=content_type, metadata=metadata)
        )

    def stat(self, name: str) -> StoredObject:
        stat = super().stat
        return self._struck("stat", name, lambda: stat(name))

    def delete(self, name: str, *, must_exist: bool = False) -> None:
        delete = super().delete
        self._struck("delete", name, lambda: delete(name, must_exist=must_exist))

    def _struck(self, verb: str, name: str, call: Callable[[], T]) -> T:
        act = self._acts.get((verb, name.rpartition("/")[2].removesuffix(".jpg")))
        if act is None:
            return call()
        results: list[T] = []
        try:
            act(lambda: results.append(call()))
        except NoAnswerError as error:
            raise StorageUnavailable("no answer") from error
        return results[0]


@dataclass
class FaultyBucket:
    """A bucket whose steps fail on demand."""

    storage: Storage
    faulty: FaultyGcs
    gcs: GcsServer

    def fail(self, step: Step, act: Callable[[Callable[[], None]], None]) -> None:
        self.faulty.add(Act(act), when=lambda request: is_step(request, step), times=math.inf)

    def mend(self) -> None:
        self.faulty.clear()

    def plant(self, name: str, data: bytes) -> None:
        self.gcs.put(self.storage.location, name, data)

    def kept(self) -> set[str]:
        return set(self.gcs.object_names(self.storage.location))


def is_step(request: Request, step: Step) -> bool:
    verb, rendition = step
    verbs = {"GET": "get" if "alt=media" in request.path else "stat"}
    verbs["POST"] = "put" if "ifGenerationMatch=0" in request.path else "delete"
    return verbs[request.method] == verb and request.mentions(f"{rendition}.jpg")


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsServer]:
    with running_gcs_server() as server:
        yield server


@pytest.fixture
def bucket(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyBucket]:
    with running_faulty_gcs(gcs.endpoint) as faulty:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", faulty.endpoint)
        name = gcs.make_bucket(f"shares-{uuid.uuid4()}")
        yield FaultyBucket(BucketStorage(name, timeout_s=1.5, attempt_timeout_s=1.5), faulty, gcs)


@dataclass
class World:
    """The shares in a backend, what clients were answered, and what the log names."""

    backend: Backend
    settings: dict[str, str] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    line: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the program."""
        self.shares = self.restarted()

    def restarted(self, **settings: str) -> Shares:
        """Return the shares as another process, with other settings, sees them."""
        log = Log("ERROR", project_id=None)
        return Shares(self.backend.storage, load_settings(settings).share_ttl, log)

    def post(
        self, picture: bytes = A, key: UUID | None = None, platform: str = "email"
    ) -> HTTPStatus:
        """Share a picture; for facebook, picture and card are one object."""

        def post() -> HTTPStatus:
            share = create(self.shares, form(picture, platform), key)
            renditions = (PICTURE,) if platform == "facebook" else BOTH
            self.answered |= object_names(share.share_id, *renditions)
            return OK

        return self._answer(post)

    def delete(self, key: UUID, admit: Callable[[], object] = lambda: None) -> HTTPStatus:
        """Take a share back."""

        def delete() -> HTTPStatus:
            self.shares.delete(share_id_of(key), admit=admit)
            self.answered -= names(key)
            return NO_CONTENT

        return self._answer(delete)

    def reads(self, key: UUID) -> set[HTTPStatus]:
        """Return what GET and HEAD of picture and card are answered."""

        def reading(verb: Callable[[UUID, str], object], rendition: str) -> HTTPStatus:
            verb(share_id_of(key), rendition)
            return OK

        verbs = (self.shares.read, self.shares.stat)
        return {
            self._answer(lambda verb=verb, name=name: reading(verb, name))  # type: ignore[misc]
            for verb in verbs
            for name in BOTH
        }

    def assert_conserved(self) -> None:
        """Objects stored = objects answered for, or named in the log."""
        stored = self.backend.kept()
        assert self.answered <= stored
        assert stored <= self.answered | self.named

    def _answer(self, handler: Callable[[], HTTPStatus]) -> HTTPStatus:
        with request_line() as line:
            self.line = line
            try:
                return handler()
            except ShareImageError as error:
                return error.status
            finally:
                self.named |= {*line.get("left_behind", ()), *line.get("left_for_retry", ())}


def names(key: UUID) -> set[str]:
    return object_names(share_id_of(key), *BOTH)


@pytest.fixture(params=["local", pytest.param("gcs", marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Yield a world; at the end the sentence holds."""
    is_local = request.param == "local"
    backend: Any = FaultyFolder(tmp_path) if is_local else request.getfixturevalue("bucket")
    world = World(backend)
    yield world
    world.assert_conserved()


@pytest.mark.parametrize("act", [refuse, lose_answer])
@pytest.mark.parametrize("failing", [PICTURE, CARD])
def test_a_share_that_failed_leaves_nothing_whether_or_not_it_was_stored(
    world: World, failing: str, act: Callable[[Callable[[], None]], None]
) -> None:
    world.backend.fail(("put", failing), act)
    assert world.post() == UNAVAILABLE
    assert world.backend.kept() == world.named == set()


def test_what_cannot_be_taken_back_is_named(world: World) -> None:
    for rendition in BOTH:
        world.backend.fail(("put", rendition), lose_answer)
    world.backend.fail(("delete", PICTURE), refuse)
    assert world.post() == UNAVAILABLE
    (left,) = world.backend.kept()
    assert left.endswith("/picture.jpg")
    assert world.named == {left}


def test_a_put_that_lands_after_the_share_failed_is_refused(world: World) -> None:
    late = held_back(world, ("put", CARD))
    assert world.post() == UNAVAILABLE
    land(late)
    assert world.backend.kept() == set()


def test_a_put_that_lands_after_delete_does_not_bring_the_share_back(world: World) -> None:
    key = mint_key()
    late = held_back(world, ("put", PICTURE))
    assert world.post(key=key) == UNAVAILABLE
    world.backend.mend()
    assert [world.post(key=key), world.delete(key)] == [OK, NO_CONTENT]
    land(late)
    assert world.reads(key) == {GONE}


def test_what_was_deleted_is_gone_and_can_be_deleted_again_but_not_shared_again(
    world: World,
) -> None:
    key = mint_key()
    assert [world.post(key=key), world.reads(key)] == [OK, {OK}]
    for _ in range(2):
        assert world.delete(key, admit=no_more) == NO_CONTENT
        assert world.reads(key) == {GONE}
        assert world.post(key=key) == GONE


def test_a_share_without_a_card_can_be_deleted_by_who_may_share_no_more(world: World) -> None:
    key = mint_key()
    assert world.post(key=key, platform="facebook") == OK
    assert world.delete(key, admit=no_more) == NO_CONTENT
    assert world.reads(key) == {GONE}


def test_a_delete_that_comes_first_wins_and_counts_as_a_share(world: World) -> None:
    key, counted = mint_key(), Counter[str]()
    assert world.delete(key, admit=no_more) == HTTPStatus.TOO_MANY_REQUESTS
    assert world.reads(key) == {HTTPStatus.NOT_FOUND}
    for _ in range(2):
        assert world.delete(key, admit=lambda: counted.update(["share"])) == NO_CONTENT
    assert counted["share"] == 1
    assert [world.post(key=key), world.reads(key)] == [GONE, {GONE}]


def test_where_nothing_is_and_nothing_can_come_delete_writes_nothing(world: World) -> None:
    key = UUID(uuid7(age_s=601))
    assert world.delete(key, admit=no_more) == NO_CONTENT
    assert world.reads(key) == {HTTPStatus.NOT_FOUND}


def test_a_delete_that_failed_half_way_is_completed_by_the_next(world: World) -> None:
    key = mint_key()
    world.post(key=key)
    world.backend.fail(("delete", CARD), refuse)
    assert world.delete(key) == UNAVAILABLE
    world.answered -= {name for name in names(key) if name.endswith("picture.jpg")}
    world.backend.mend()
    assert [world.delete(key), world.reads(key)] == [NO_CONTENT, {GONE}]


@pytest.mark.parametrize("step", [("put", PICTURE), ("put", CARD)])
@pytest.mark.parametrize("platform", ["email", "facebook"])
def test_of_two_pictures_under_one_key_one_wins_whole(
    world: World, step: Step, platform: str
) -> None:
    key, others = mint_key(), list[HTTPStatus]()
    meanwhile(world, step, lambda: others.append(world.post(B, key, platform)))
    first = world.post(A, key)
    assert sorted([first, *others]) == [OK, OTHER_PICTURE]
    stored = [world.shares.stat(share_id_of(key), rendition) for rendition in BOTH]
    assert len({each.metadata["fingerprint"] for each in stored}) == 1
    assert [world.post(A, key), world.post(B, key, platform)] == [first, *others]


def test_a_delete_between_put_and_stat_of_a_retry_is_gone(world: World) -> None:
    key = mint_key()
    world.post(key=key)
    meanwhile(world, ("stat", PICTURE), lambda: world.delete(key))
    assert world.post(key=key) == GONE


def test_a_delete_between_picture_and_card_is_gone(world: World) -> None:
    key = mint_key()
    meanwhile(world, ("put", CARD), lambda: world.delete(key))
    assert [world.post(key=key), world.reads(key)] == [GONE, {GONE}]


@pytest.mark.parametrize("act", [refuse, lose_answer])
@pytest.mark.parametrize("failing", [PICTURE, CARD])
def test_under_a_clients_key_what_a_failure_may_have_stored_is_named_until_a_retry_completes_it(
    world: World, failing: str, act: Callable[[Callable[[], None]], None]
) -> None:
    key = mint_key()
    world.backend.fail(("put", failing), act)
    assert world.post(key=key) == UNAVAILABLE
    assert world.backend.kept() <= world.named
    world.backend.mend()
    assert [world.post(key=key), world.reads(key)] == [OK, {OK}]


def test_an_object_that_was_put_by_another_is_unavailable_until_it_is_deleted(
    world: World,
) -> None:
    key = mint_key()
    for name in names(key):
        world.backend.plant(name, bytes(MAX_OBJECT_BYTES + 1))
    assert world.reads(key) == {UNAVAILABLE}
    assert [world.delete(key), world.reads(key)] == [NO_CONTENT, {GONE}]


def test_a_key_whose_share_would_have_ended_is_gone_and_stores_nothing(world: World) -> None:
    key = UUID(uuid7(age_s=200))
    world.shares = world.restarted(SHARE_TTL_HOURS=str(190 / 3600))
    assert world.post(key=key) == GONE
    world.shares = world.restarted()
    assert world.reads(key) == {HTTPStatus.NOT_FOUND}


def test_the_next_post_sweeps_a_folder_of_all_that_has_ended(tmp_path: Path) -> None:
    world = World(FaultyFolder(tmp_path))
    keys = [mint_key() for _ in range(20)]
    for key in keys:
        world.post(key=key)
    world.delete(keys[0])
    world.backend.plant("shares/mine.jpg", A)
    world.shares = world.restarted(SHARE_TTL_HOURS=str(0.001 / 3600))
    world.post()
    until(lambda: [path.name for path in (tmp_path / "shares").iterdir()] == ["mine.jpg"])


def test_a_sweep_that_fails_is_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(FaultyFolder(tmp_path))
    (tmp_path / ".incoming" / "folder").mkdir(parents=True)  # which is no file to remove
    os.utime(tmp_path / ".incoming" / "folder", (0, 0))
    assert world.post() == OK
    until(lambda: "the sweep failed" in capsys.readouterr().err)  # one line, written in one call


@pytest.mark.slow
def test_a_storage_that_hangs_is_not_asked_and_what_was_not_sent_is_not_named(
    bucket: FaultyBucket,
) -> None:
    hanging = BucketStorage(bucket.storage.location, timeout_s=0.5, attempt_timeout_s=0.2)
    world = World(FaultyBucket(hanging, bucket.faulty, bucket.gcs))
    until(lambda: world.post() == OK)  # what is slow only once is over before the second begins
    named = set(world.named)
    bucket.mend()
    bucket.faulty.add(Stall(), times=math.inf)
    with ThreadPoolExecutor(8) as pool:  # forty requests, as many threads as a server may have
        refusals = list(pool.map(lambda _: refusal_of(hanging), range(40)))
    assert set(refusals) == {StorageUnavailable, StorageSuspended}
    assert refusals.count(StorageUnavailable) < 20
    for key in (None, mint_key()):
        assert world.post(key=key) == UNAVAILABLE
    assert set(bucket.faulty.methods()) == {"GET"}
    assert world.named == named
    assert hanging.state.circuit == "open"
    assert hanging.state.last_failure_code == "ReadTimeout"
    bucket.mend()
    until(lambda: world.post() == OK)
    assert hanging.state.circuit == "closed"
    world.assert_conserved()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def refusal_of(storage: Storage) -> type[Exception]:
    try:
        storage.get("shares/name")
    except StorageUnavailable as error:
        return type(error)
    raise AssertionError


@pytest.mark.slow
def test_what_a_thread_of_the_pool_notes_is_in_the_line_of_its_request(
    bucket: FaultyBucket,
) -> None:
    hanging = BucketStorage(bucket.storage.location, timeout_s=0.3, attempt_timeout_s=0.2)
    world = World(FaultyBucket(hanging, bucket.faulty, bucket.gcs))
    bucket.faulty.add(Stall(), times=math.inf)
    for _ in range(4):
        refusal_of(hanging)
    assert world.post() == UNAVAILABLE
    assert world.line["storage_circuit"] == "open"


@pytest.fixture
def local(tmp_path: Path) -> Iterator[World]:
    """Yield a world in a folder, for what cannot be brought about from outside of a bucket."""
    world = World(FaultyFolder(tmp_path))
    yield world
    world.assert_conserved()


def test_a_share_that_went_between_put_and_stat_of_a_retry_is_gone(local: World) -> None:
    key = mint_key()
    local.post(key=key)
    meanwhile(local, ("stat", PICTURE), lambda: local.backend.storage.sweep(lambda _: True))
    local.answered.clear()
    assert local.post(key=key) == GONE


def test_a_share_is_taken_back_where_the_circuit_opens_between_put_and_stat(local: World) -> None:
    def put_twice(carry_out: Callable[[], None]) -> None:
        carry_out()  # the answer gets lost
        carry_out()

    def suspend(_carry_out: Callable[[], None]) -> None:
        raise StorageSuspended

    local.backend.fail(("put", PICTURE), put_twice)
    local.backend.fail(("stat", PICTURE), suspend)
    assert local.post() == UNAVAILABLE
    assert local.backend.kept() == set()


@pytest.mark.slow
def test_taking_back_waits_a_few_seconds_and_names_what_is_not_done_by_then(local: World) -> None:
    go_on = threading.Event()

    def hang(carry_out: Callable[[], None]) -> None:
        go_on.wait(20)
        carry_out()

    local.backend.fail(("put", CARD), refuse)
    local.backend.fail(("delete", PICTURE), hang)
    assert local.post() == UNAVAILABLE
    go_on.set()
    assert [name.rpartition("/")[2] for name in local.named] == ["picture.jpg"]
    assert local.line["left_behind_reason"] == "no time left"


class TestCircuit:
    """When storage is asked; seconds pass on demand."""

    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.now_s = 0.0
        self.circuit = Circuit(slow_s=5.0, clock=lambda: self.now_s)

    def run(self, seconds: float, error: Exception | None = None) -> None:
        with self.circuit.operation(lambda _: "503"):
            self.now_s += seconds
            if error is not None:
                raise error

    def hang(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(StorageUnavailable, match="hangs"):
                self.run(10.0, StorageUnavailable("hangs"))

    def is_refused(self) -> bool:
        try:
            self.run(0.0)
        except StorageSuspended:
            return True
        return False

    def test_it_opens_after_five_failures_in_a_row_and_tells_the_log(self) -> None:
        with request_line() as line:
            self.hang(4)
            self.run(1.0)
            self.hang(4)
            assert not line
            self.hang()
        assert line == {"storage_circuit": "open"}
        assert self.is_refused()

    def test_what_was_refused_quickly_does_not_count(self) -> None:
        for _ in range(9):
            with pytest.raises(StorageUnavailable):
                self.run(4.9, StorageUnavailable("403"))
        assert not self.is_refused()
        assert self.circuit.state.last_failure_code == "503"

    def test_a_second_later_one_operation_decides(self) -> None:
        self.hang(5)
        self.now_s += 0.99
        assert self.is_refused()
        self.now_s += 0.02
        with self.circuit.operation(lambda _: "503"):
            assert self.circuit.state.circuit == "half-open"
            assert self.is_refused()
        assert not self.is_refused()
        self.hang(5)
        self.now_s += 1.0
        self.hang()
        assert self.is_refused()
        self.now_s += 1.0
        assert not self.is_refused()
        assert self.circuit.state.circuit == "closed"
        self.hang(4)
        assert not self.is_refused()

    def test_a_trial_that_dies_of_a_fault_of_ours_does_not_keep_it_half_open(self) -> None:
        self.hang(5)
        self.now_s += 1.0
        with pytest.raises(KeyError):
            self.run(0.0, KeyError())
        assert not self.is_refused()


def held_back(world: World, step: Step) -> list[Callable[[], None]]:
    """Keep such steps from now on, to be carried out later; return them as they come."""
    late: list[Callable[[], None]] = []

    def hold(carry_out: Callable[[], None]) -> None:
        late.append(carry_out)
        raise NoAnswerError

    world.backend.fail(step, hold)
    return late


def land(late: list[Callable[[], None]]) -> None:
    """Carry out what was held back: in the bucket an answer that nobody gets, else an error."""
    assert late
    for carry_out in late:
        try:
            carry_out()
        except ShareImageError as error:
            assert error.code == "internal_error"  # noqa: PT017 - ObjectExists, in the folder


def meanwhile(world: World, step: Step, call: Callable[[], object]) -> None:
    """Let something happen right before the next such step."""
    called: list[bool] = []

    def act(carry_out: Callable[[], None]) -> None:
        if not called:
            called.append(True)
            call()
        carry_out()

    world.backend.fail(step, act)


def no_more() -> None:
    """Refuse, as the rate limit does."""
    raise TooManyRequests(retry_after_s=1, rate_limit={})
