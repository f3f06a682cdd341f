"""Storage: one contract for both backends and the cache, then what each backend owes alone.

Over real files and sockets: the bucket is one of fake-gcs-server; faults come from faulty_gcs.py,
between client and emulator.
"""

from __future__ import annotations

import functools
import gc
import json
import logging
import math
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from faulty_gcs import (
    Answer,
    Corrupt,
    FaultyGcs,
    LoseAnswer,
    ResetAfterBody,
    ResetBeforeBody,
    ResetDuringAnswer,
    ResetDuringBody,
    Slow,
    Stall,
    Trickle,
    running_faulty_gcs,
)
from gcs_server import running_gcs_server

from config import load_settings
from errors import ObjectDeleted, ObjectExists, ObjectNotFound, StorageUnavailable
from storage import (
    BucketStorage,
    CachedStorage,
    LocalStorage,
    Storage,
    StoredObject,
    open_storage,
)
from stores.circuit import StorageState
from stores.contract import MAX_OBJECT_BYTES
from stores.gcs_client import vendor_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from faulty_gcs import Fault
    from gcs_server import GcsServer

ROOT = Path(__file__).parent.parent
NAME = "shares/7f/0190b5a4-7c3e-7a10-8b5e-3f6d2c1a9b7f/picture.jpg"
DATA = bytes(range(256)) * 40
METADATA = {"expires": "1764000000", "platform": "facebook", "effect_type": "enhancedblackwhite"}
TIMEOUT_S = 4.0


@pytest.fixture(scope="session")
def gcs() -> Iterator[GcsServer]:
    with running_gcs_server() as server:
        yield server


@pytest.fixture
def faulty(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyGcs]:
    with running_faulty_gcs(gcs.endpoint) as faulty:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", faulty.endpoint)
        yield faulty


@pytest.fixture
def bucket(gcs: GcsServer, faulty: FaultyGcs) -> BucketStorage:
    name = gcs.make_bucket(f"shares-{uuid.uuid4()}")
    return BucketStorage(name, timeout_s=TIMEOUT_S, attempt_timeout_s=1.2)


@pytest.fixture
def folder(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "shares")


@pytest.fixture
def cached(folder: LocalStorage) -> CachedStorage:
    return CachedStorage(folder, max_bytes=10_000_000, max_age_s=lambda _name: 300.0)


@pytest.fixture(params=["folder", "cached", pytest.param("bucket", marks=pytest.mark.slow)])
def either(request: pytest.FixtureRequest) -> Storage:
    return cast("Storage", request.getfixturevalue(request.param))


def put(
    store: Storage, name: str = NAME, data: bytes = DATA, metadata: dict[str, str] = METADATA
) -> StoredObject:
    return store.put(name, data, content_type="image/jpeg", metadata=metadata)


def in_threads(count: int, call: Callable[[int], object]) -> list[object]:
    """Return what the calls returned or raised, all of them made at once."""

    def caught(index: int) -> object:
        try:
            return call(index)
        except Exception as error:  # noqa: BLE001 - the test looks at what it was
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(caught, range(count)))


class TestContract:
    """What both backends promise, and the cache in front of one."""

    def test_put_describes_the_object_it_made(self, either: Storage) -> None:
        stored = put(either)
        assert stored.name == NAME
        assert stored.size_bytes == len(DATA)
        assert stored.content_type == "image/jpeg"
        assert stored.metadata == METADATA

    def test_get_returns_the_bytes_and_the_description_without_metadata(
        self, either: Storage
    ) -> None:
        put(either)
        found, data = either.get(NAME)
        assert data == DATA
        assert found.metadata == {}
        assert found.content_type == "image/jpeg"
        assert found.size_bytes == len(DATA)

    def test_stat_returns_what_put_returned(self, either: Storage) -> None:
        assert put(either) == either.stat(NAME)

    def test_the_etag_is_the_same_from_put_get_and_stat_and_follows_the_bytes(
        self, either: Storage
    ) -> None:
        etags = {put(either).etag, either.get(NAME)[0].etag, either.stat(NAME).etag}
        assert etags == {"c3cd26e07e555c0116db237fbc06d99c"}
        assert put(either, "other", DATA + b"x").etag not in etags

    @pytest.mark.parametrize(
        "value", ["żółć 🐶", "\u202eright to left", 'a"b\\c\nd\te', "=?utf-8?q?x?=", ""]
    )
    def test_metadata_keeps_every_character(self, either: Storage, value: str) -> None:
        put(either, metadata={"platform": value})
        assert either.stat(NAME).metadata == {"platform": value}

    def test_without_metadata_there_is_none(self, either: Storage) -> None:
        put(either, metadata={})
        assert either.stat(NAME).metadata == {}

    @pytest.mark.parametrize("size_bytes", [0, 1, MAX_OBJECT_BYTES])
    def test_any_size_comes_back_whole(self, either: Storage, size_bytes: int) -> None:
        data = (DATA * (size_bytes // len(DATA) + 1))[:size_bytes]
        put(either, data=data)
        assert either.get(NAME)[1] == data

    def test_a_byte_more_is_a_mistake_of_the_program(self, either: Storage) -> None:
        with pytest.raises(ValueError, match="4000001 bytes"):
            put(either, data=bytes(MAX_OBJECT_BYTES + 1))

    def test_an_object_is_never_replaced(self, either: Storage) -> None:
        first = put(either)
        with pytest.raises(ObjectExists) as caught:
            put(either, data=b"another", metadata={})
        assert caught.value.name == NAME
        assert either.get(NAME)[1] == DATA
        assert either.stat(NAME) == first

    def test_the_same_object_again_is_refused_as_well(self, either: Storage) -> None:
        put(either)
        with pytest.raises(ObjectExists):
            put(either)

    def test_of_concurrent_puts_of_one_name_exactly_one_wins(self, either: Storage) -> None:
        outcomes = in_threads(8, lambda index: put(either, data=DATA + bytes([index])))
        winners = [outcome for outcome in outcomes if isinstance(outcome, StoredObject)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, ObjectExists)]
        assert (len(winners), len(losers)) == (1, 7)
        assert either.get(NAME)[0].etag == winners[0].etag

    def test_what_is_not_there_is_not_found(self, either: Storage) -> None:
        put(either)
        for name in (NAME + "x", "shares", "shares/7f", NAME + "/deeper"):
            with pytest.raises(ObjectNotFound):
                either.get(name)
            with pytest.raises(ObjectNotFound):
                either.stat(name)

    @pytest.mark.parametrize("is_stored", [True, False])
    def test_what_was_deleted_can_be_neither_read_nor_put_again(
        self, either: Storage, *, is_stored: bool
    ) -> None:
        if is_stored:
            put(either)
        for must_exist in (False, False, True):  # a tombstone is something that exists
            either.delete(NAME, must_exist=must_exist)
            for read in (either.get, either.stat):
                with pytest.raises(ObjectDeleted):
                    read(NAME)
            with pytest.raises(ObjectExists):
                put(either)

    def test_where_nothing_exists_delete_may_be_told_to_leave_it_so(self, either: Storage) -> None:
        with pytest.raises(ObjectNotFound):
            either.delete(NAME, must_exist=True)
        put(either)
        either.delete(NAME, must_exist=True)
        with pytest.raises(ObjectDeleted):
            either.get(NAME)

    def test_of_a_put_and_a_delete_at_once_the_delete_wins(self, either: Storage) -> None:
        in_threads(8, lambda index: put(either) if index % 2 else either.delete(NAME))
        with pytest.raises(ObjectDeleted):
            either.stat(NAME)

    def test_its_state_tells_the_last_success_and_the_last_failure(self, either: Storage) -> None:
        assert either.state == StorageState()
        with pytest.raises(ObjectNotFound):  # an answer like any other
            either.get(NAME)
        state = either.state
        assert datetime.fromisoformat(state.last_success_at or "").tzinfo is not None
        assert (state.last_failure_at, state.circuit) == (None, "closed")

    def test_delete_leaves_its_neighbours(self, either: Storage) -> None:
        put(either, "shares/7f/a/picture.jpg")
        put(either, "shares/7f/a/card.jpg")
        either.delete("shares/7f/a/card.jpg")
        assert either.get("shares/7f/a/picture.jpg")[1] == DATA

    @pytest.mark.parametrize(
        "name",
        [
            *("", ".", "..", "../x", "a/../x", "a/..", "/x", "a//x", "a/", "./a", "a/./b"),
            *("a\0b", "a\\b", "..\\x", "a\n", "a b", "A", "ä", ".incoming/x", "a" * 256),
        ],
    )
    def test_a_name_that_is_none_is_a_mistake_of_the_program(
        self, either: Storage, name: str
    ) -> None:
        for verb in (either.get, either.stat, either.delete, functools.partial(put, either)):
            with pytest.raises(ValueError, match="not an object name"):
                verb(name)

    def test_the_longest_name_is_a_name(self, either: Storage) -> None:
        name = "/".join(["a" * 63] * 4)
        assert len(name) == 255
        put(either, name)
        assert either.get(name)[1] == DATA

    def test_it_can_be_warmed_up_again_and_again(self, either: Storage) -> None:
        either.warm_up()
        either.warm_up()
        assert either.is_ready
        put(either)

    def test_names_are_those_of_one_folder_until_they_are_removed(self, either: Storage) -> None:
        names = [f"kept/{number:04}/{number}" for number in range(3)]
        for name in (*reversed(names), "kept2/0/0", "shares/00/x"):
            put(either, name, b"")
        assert either.names("kept") == names
        assert either.names("kept/0001") == names[1:2]
        either.remove(names[1])
        assert either.names("kept") == [names[0], names[2]]
        with pytest.raises(ObjectNotFound):
            either.get(names[1])
        with pytest.raises(ObjectNotFound):
            either.remove(names[1])
        put(either, names[1], b"again")
        assert either.get(names[1])[1] == b"again"

    def test_a_folder_that_is_not_there_has_no_names(self, either: Storage) -> None:
        assert either.names("nothing") == []

    def test_a_tombstone_can_be_removed(self, either: Storage) -> None:
        put(either)
        either.delete(NAME)
        either.remove(NAME)
        with pytest.raises(ObjectNotFound):
            either.remove(NAME)


def test_open_storage_takes_the_bucket_where_there_is_one(tmp_path: Path) -> None:
    opened = open_storage(load_settings({"GCS_BUCKET_NAME": "my-bucket"}))
    assert (opened.kind, opened.location) == ("gcs", "my-bucket")
    opened = open_storage(load_settings({"LOCAL_STORAGE_DIR": str(tmp_path)}))
    assert (opened.kind, opened.location) == ("local", str(tmp_path))


class TestLocalStorage:
    """What a folder promises beside the contract."""

    def files(self, folder: LocalStorage) -> list[str]:
        root = Path(folder.location)
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())

    def test_a_file_begins_with_the_bytes_so_that_a_viewer_opens_it(
        self, folder: LocalStorage
    ) -> None:
        put(folder)
        assert (Path(folder.location) / NAME).read_bytes().startswith(DATA)

    def test_only_the_owner_may_read_a_file(self, folder: LocalStorage) -> None:
        put(folder)
        assert stat.S_IMODE((Path(folder.location) / NAME).stat().st_mode) == 0o600

    def test_a_files_time_is_its_creation(self, folder: LocalStorage) -> None:
        put(folder)
        age_s = time.time() - (Path(folder.location) / NAME).stat().st_mtime
        assert -1 < age_s < 5

    def test_nothing_is_left_beside_the_objects(self, folder: LocalStorage) -> None:
        put(folder)
        with pytest.raises(ObjectExists):
            put(folder)
        assert self.files(folder) == [NAME]

    def test_the_sweep_removes_every_name_that_has_ended_and_the_folders_it_empties(
        self, folder: LocalStorage
    ) -> None:
        names = [f"shares/{n % 16:x}0/{n}/{rendition}" for n in range(40) for rendition in "ab"]
        for name in names:
            put(folder, name, b"x")
        folder.delete("shares/00/0/a")
        put(folder, "shares/00/0/c")
        folder.sweep(names.__contains__)
        assert self.files(folder) == ["shares/00/0/c"]
        assert [p.name for p in (Path(folder.location) / "shares").iterdir()] == ["00"]

    def test_the_sweep_removes_what_a_killed_process_left_half_written(
        self, folder: LocalStorage
    ) -> None:
        incoming = Path(folder.location) / ".incoming"
        incoming.mkdir(parents=True)
        for name, age_s in (("old", 3700), ("new", 3500)):
            (incoming / name).write_bytes(b"half")
            os.utime(incoming / name, (time.time() - age_s,) * 2)
        folder.sweep(lambda _: False)
        assert self.files(folder) == [".incoming/new"]

    def test_what_the_sweep_cannot_remove_is_named_and_stops_nothing(
        self, folder: LocalStorage
    ) -> None:
        (Path(folder.location) / ".incoming" / "a-folder").mkdir(parents=True)
        os.utime(Path(folder.location) / ".incoming" / "a-folder", (0, 0))
        put(folder)
        with pytest.raises(StorageUnavailable, match=r"1 files stay, such as: .*a-folder"):
            folder.sweep(NAME.__eq__)
        assert self.files(folder) == []

    def test_a_put_survives_sweeps_that_remove_its_folder(self, folder: LocalStorage) -> None:
        def come_and_go(index: int) -> None:
            for n in range(60):
                put(folder, f"shares/7f/{index}/{n}", b"x")
                folder.sweep(lambda name: name.startswith(f"shares/7f/{index}/"))

        assert in_threads(6, come_and_go) == [None] * 6

    def test_a_symbolic_link_does_not_lead_out(self, folder: LocalStorage, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        Path(folder.location).mkdir()
        (Path(folder.location) / "link").symlink_to(outside)
        for verb in (folder.get, folder.stat, folder.delete, functools.partial(put, folder)):
            with pytest.raises(StorageUnavailable, match="leads out of the folder"):
                verb("link/secret")
        with pytest.raises(StorageUnavailable):
            put(folder, "link/new/picture.jpg")
        assert [p.name for p in outside.iterdir()] == ["secret"]

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"x",
            b"a picture from elsewhere" * 9,
            b"\xff" * 8 + b"share-image/2\n",
            b"data{}\0\0\0\0\0\0\0\2share-image/1\n",
        ],
    )
    def test_a_file_of_another_program_is_no_object(
        self, folder: LocalStorage, content: bytes
    ) -> None:
        Path(folder.location).mkdir()
        (Path(folder.location) / "stray.jpg").write_bytes(content)
        with pytest.raises(StorageUnavailable, match="not written by this program"):
            folder.get("stray.jpg")

    def test_a_damaged_file_is_unavailable_wherever_it_is_damaged(
        self, folder: LocalStorage
    ) -> None:
        put(folder)
        path = Path(folder.location) / NAME
        whole = path.read_bytes()
        for place in (0, len(DATA) - 1, len(DATA), *range(len(DATA) + 5, len(whole), 7)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(StorageUnavailable, match=r"damaged|not written by this program"):
                folder.get(NAME)
        path.write_bytes(whole[:-1])
        with pytest.raises(StorageUnavailable):
            folder.stat(NAME)

    def test_a_huge_file_is_unavailable_and_not_read(self, folder: LocalStorage) -> None:
        put(folder)
        path = Path(folder.location) / NAME
        end = path.read_bytes()[len(DATA) :]
        with path.open("wb") as file:
            file.truncate(10_000_000_000)  # a hole: it takes no space
            file.seek(0, os.SEEK_END)
            file.write(end)
        for read in (folder.get, folder.stat):
            with pytest.raises(StorageUnavailable):
                read(NAME)

    def test_a_folder_that_cannot_be_is_unavailable(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StorageUnavailable) as caught:
            put(LocalStorage(tmp_path / "file"))
        assert "FileExistsError" in caught.value.reason or "NotADirectory" in caught.value.reason
        assert str(tmp_path) not in caught.value.detail

    def test_a_full_disk_is_unavailable_and_leaves_nothing(self, folder: LocalStorage) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        try:
            with pytest.raises(StorageUnavailable, match="OSError"):
                put(folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert self.files(folder) == []

    def test_a_killed_process_leaves_whole_objects_or_none(self, folder: LocalStorage) -> None:
        program = (
            "import itertools, pathlib, sys; from storage import LocalStorage\n"
            "folder = LocalStorage(pathlib.Path(sys.argv[1]))\n"
            "for n in itertools.count():\n"
            "    folder.put(f'shares/{n}', bytes([n % 256]) * 3_000_000,"
            " content_type='', metadata={'n': str(n)})\n"
        )
        with subprocess.Popen([sys.executable, "-c", program, folder.location], cwd=ROOT) as child:
            wait_until((Path(folder.location) / "shares/5").exists)
            child.send_signal(signal.SIGKILL)
        whole = [name for name in self.files(folder) if name.startswith("shares/")]
        assert len(whole) >= 5
        for name in whole:
            number = int(folder.stat(name).metadata["n"])
            assert folder.get(name)[1] == bytes([number % 256]) * 3_000_000

    def test_it_never_imports_the_cloud_client(self, tmp_path: Path) -> None:
        program = (
            "import pathlib, sys; from storage import LocalStorage\n"
            "folder = LocalStorage(pathlib.Path(sys.argv[1])); folder.warm_up()\n"
            "folder.put('a', b'', content_type='', metadata={})\n"
            "heavy = {'google.auth', 'google.cloud.storage', 'requests', 'urllib3'}\n"
            "sys.exit(', '.join(heavy & set(sys.modules)) or None)\n"
        )
        subprocess.run([sys.executable, "-c", program, tmp_path / "shares"], cwd=ROOT, check=True)


def wait_until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    gives_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < gives_up
        time.sleep(0.01)


READS = ["get", "stat"]
VERBS = ["put", "get", "stat", "delete"]


def call(bucket: BucketStorage, verb: str) -> object:
    """Call a verb; what it needs to succeed must be there."""
    return put(bucket) if verb == "put" else getattr(bucket, verb)(NAME)


@pytest.fixture
def prepared(
    bucket: BucketStorage, faulty: FaultyGcs, request: pytest.FixtureRequest
) -> BucketStorage:
    """Return a bucket that holds the object, unless the verb is put; nothing is counted yet."""
    if request.getfixturevalue("verb") != "put":
        put(bucket)
    faulty.clear()
    return bucket


class TestBucketRequests:
    """What goes over the wire."""

    @pytest.mark.parametrize(
        ("verb", "method"),
        [("put", "POST"), ("get", "GET"), ("stat", "GET"), ("delete", "POST")],
    )
    def test_an_operation_is_one_request_the_first_of_a_client_included(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str, method: str
    ) -> None:
        fresh = BucketStorage(prepared.location)
        call(fresh, verb)
        time.sleep(0.2)  # a client that looks its bucket up does so in a thread of its own
        assert faulty.methods() == [method]

    def test_warming_up_asks_storage_nothing(
        self, bucket: BucketStorage, faulty: FaultyGcs
    ) -> None:
        bucket.warm_up()
        time.sleep(0.2)
        assert faulty.methods() == []

    def test_the_one_request_of_put_carries_everything(
        self, bucket: BucketStorage, faulty: FaultyGcs
    ) -> None:
        put(bucket, data=b"picture", metadata={"platform": "\u017c"})
        (request,) = faulty.requests
        assert "uploadType=multipart" in request.path
        assert "ifGenerationMatch=0" in request.path
        properties, rest = request.body_start.split(b"\r\n\r\n", 2)[1:]
        assert b"content-type: image/jpeg" in properties
        body = rest
        sent = json.loads(properties.split(b"\r\n")[0])
        assert sent.pop("crc32c")
        assert sent == {
            "name": NAME,
            "metadata": {"platform": "\u017c"},
        }
        assert body.startswith(b"picture\r\n")

    @pytest.mark.parametrize("must_exist", [True, False])
    def test_a_tombstone_replaces_what_there_is_and_says_what_it_is(
        self, bucket: BucketStorage, faulty: FaultyGcs, *, must_exist: bool
    ) -> None:
        put(bucket)
        faulty.clear()
        bucket.delete(NAME, must_exist=must_exist)
        (request,) = faulty.requests
        assert ("ifGenerationNotMatch=0" in request.path) == must_exist
        assert "ifGenerationMatch" not in request.path
        assert b"content-type: application/x-tombstone" in request.body_start

    def test_many_operations_at_once_keep_their_connections(
        self, bucket: BucketStorage, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "urllib3"):
            outcomes = in_threads(40, lambda index: put(bucket, f"shares/{index}"))
        assert {type(outcome) for outcome in outcomes} == {StoredObject}
        assert caplog.records == []

    def test_operations_beyond_the_limit_wait_their_turn(
        self, bucket: BucketStorage, faulty: FaultyGcs
    ) -> None:
        narrow = BucketStorage(bucket.location, timeout_s=TIMEOUT_S, max_operations=1)
        faulty.add(Slow(0.2), times=3)
        started = time.monotonic()
        assert all(
            isinstance(x, StoredObject) for x in in_threads(3, lambda n: put(narrow, f"{n}"))
        )
        assert time.monotonic() - started >= 0.6


class TestBucketFaults:
    """What a failing network and a failing service come to."""

    def test_an_operation_takes_ten_seconds_at_most_unless_told_otherwise(self) -> None:
        assert BucketStorage("a-bucket").timeout_s == 10
        opened = open_storage(load_settings({"GCS_BUCKET_NAME": "a-bucket"}))
        assert isinstance(opened, BucketStorage)
        assert opened.timeout_s == 10

    @pytest.mark.parametrize("verb", VERBS)
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_a_passing_failure_is_tried_again(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str, status: int
    ) -> None:
        faulty.add(Answer(status))
        call(prepared, verb)
        assert len(faulty.requests) == 2

    @pytest.mark.parametrize("verb", VERBS)
    @pytest.mark.parametrize("status", [400, 403, 409, 501])
    def test_a_refusal_is_not_tried_again(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str, status: int
    ) -> None:
        faulty.add(Answer(status, b"secret" * 1000), times=math.inf)
        with pytest.raises(StorageUnavailable) as caught:
            call(prepared, verb)
        assert len(faulty.requests) == 1
        assert caught.value.detail == StorageUnavailable.detail
        assert verb in caught.value.reason
        assert NAME in caught.value.reason
        assert prepared.location in caught.value.reason
        assert len(caught.value.reason) < 1000

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_refusal_of_the_credentials_is_not_tried_again(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str
    ) -> None:
        faulty.add(Answer(401), times=math.inf)
        with warnings.catch_warnings():
            # The client forgets to close the refused answer to a download.
            warnings.simplefilter("ignore", ResourceWarning)
            with pytest.raises(StorageUnavailable, match="cannot be refreshed"):
                call(prepared, verb)
            gc.collect()
        assert len(faulty.requests) == 1

    @pytest.mark.parametrize("verb", VERBS)
    @pytest.mark.parametrize(
        "fault", [ResetBeforeBody(), ResetAfterBody()], ids=lambda fault: type(fault).__name__
    )
    def test_a_cut_connection_is_tried_again(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str, fault: Fault
    ) -> None:
        faulty.add(fault)
        call(prepared, verb)
        assert len(faulty.requests) == 2

    def test_a_connection_cut_during_a_large_body_is_tried_again(
        self, bucket: BucketStorage, faulty: FaultyGcs
    ) -> None:
        faulty.add(ResetDuringBody())
        put(bucket, data=bytes(MAX_OBJECT_BYTES))
        assert len(faulty.requests) == 2
        assert bucket.get(NAME)[1] == bytes(MAX_OBJECT_BYTES)

    @pytest.mark.parametrize("verb", READS)
    def test_an_answer_cut_in_the_middle_is_asked_for_again_from_its_start(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str
    ) -> None:
        faulty.add(ResetDuringAnswer())
        outcome = call(prepared, verb)
        assert faulty.methods() == ["GET", "GET"]
        assert "range" not in faulty.requests[-1].path
        if verb == "get":
            assert outcome == (prepared.get(NAME)[0], DATA)

    @pytest.mark.parametrize(
        "fault", [LoseAnswer(), ResetDuringAnswer()], ids=lambda fault: type(fault).__name__
    )
    def test_a_put_whose_answer_got_lost_finds_its_own_object(
        self, bucket: BucketStorage, faulty: FaultyGcs, fault: Fault
    ) -> None:
        faulty.add(fault)
        with pytest.raises(ObjectExists):
            put(bucket)
        assert faulty.methods() == ["POST", "POST"]
        assert bucket.stat(NAME).metadata == METADATA

    @pytest.mark.parametrize("verb", ["get", "stat", "delete"])
    def test_any_other_verb_whose_answer_got_lost_is_success(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str
    ) -> None:
        faulty.add(LoseAnswer())
        call(prepared, verb)
        assert len(faulty.requests) == 2

    def test_a_huge_object_is_unavailable_and_not_read_to_its_end(
        self, bucket: BucketStorage, gcs: GcsServer, faulty: FaultyGcs
    ) -> None:
        gcs.put(bucket.location, NAME, bytes(MAX_OBJECT_BYTES + 1))
        for read in (bucket.get, bucket.stat):
            with pytest.raises(StorageUnavailable, match="not put by this program"):
                read(NAME)
        assert faulty.methods() == ["GET", "GET"]

    def test_altered_bytes_are_never_returned(
        self, bucket: BucketStorage, faulty: FaultyGcs
    ) -> None:
        put(bucket)
        faulty.add(Corrupt(), times=math.inf)
        with pytest.raises(StorageUnavailable, match="DataCorruption"):
            bucket.get(NAME)

    @pytest.mark.parametrize(
        "checksums",
        [
            ["crc32c=mnG7TA==,md5=XUFAKrxLKna5cZ2REBfFkg=="],
            ["crc32c=mnG7TA==", "md5=XUFAKrxLKna5cZ2REBfFkg=="],
            ["crc32c=mnG7TA=="],
        ],
    )
    def test_checksums_count_in_one_header_field_or_in_several(
        self, bucket: BucketStorage, faulty: FaultyGcs, checksums: list[str]
    ) -> None:
        fields = tuple(("X-Goog-Hash", checksum) for checksum in checksums)
        faulty.add(Answer(200, b"hello", (("Content-Type", "image/jpeg"), *fields)))
        stored, data = bucket.get(NAME)
        assert data == b"hello"
        assert stored.etag == "5d41402abc4b2a76b9719d911017c592"

    def test_bytes_that_arrived_altered_are_no_success(
        self, bucket: BucketStorage, faulty: FaultyGcs
    ) -> None:
        other = {"md5Hash": "AAAAAAAAAAAAAAAAAAAAAA==", "name": NAME, "size": "1"}
        faulty.add(Answer(200, json.dumps(other).encode(), (("Content-Type", "application/json"),)))
        with pytest.raises(StorageUnavailable, match="other bytes"):
            put(bucket)

    @pytest.mark.parametrize("verb", ["put", "get", "stat"])
    def test_the_page_of_a_proxy_is_not_an_answer_of_storage(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str
    ) -> None:
        faulty.add(Answer(200, b"<html>log in</html>", (("Content-Type", "text/html"),)))
        with pytest.raises(StorageUnavailable):
            call(prepared, verb)

    @pytest.mark.usefixtures("faulty")
    def test_a_missing_bucket_is_unavailable_and_named(self) -> None:
        with pytest.raises(StorageUnavailable, match="bucket no-such-bucket does not exist"):
            put(BucketStorage("no-such-bucket", timeout_s=TIMEOUT_S))

    @pytest.mark.parametrize("verb", VERBS)
    def test_where_storage_says_that_the_bucket_is_missing_no_object_is_not_found(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str
    ) -> None:
        message = "The specified bucket does not exist."
        answer = {"error": {"code": 404, "message": message}}
        body = message.encode() if verb == "get" else json.dumps(answer).encode()
        content_type = "text/html" if verb == "get" else "application/json"
        faulty.add(Answer(404, body, (("Content-Type", content_type),)))
        with pytest.raises(StorageUnavailable, match=r"bucket shares-[-0-9a-f]+ does not exist"):
            call(prepared, verb)

    @pytest.mark.slow
    def test_no_attempt_follows_once_the_caller_has_gone(
        self, bucket: BucketStorage, faulty: FaultyGcs
    ) -> None:
        faulty.add(Stall(), times=math.inf)
        with pytest.raises(StorageUnavailable):
            put(bucket)
        time.sleep(0.2)  # the last one may be on its way
        attempts = len(faulty.requests)
        time.sleep(1)
        assert len(faulty.requests) == attempts

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "fault", [Stall(), Trickle(interval_s=0.0002)], ids=lambda fault: type(fault).__name__
    )
    def test_what_was_given_up_does_not_hold_up_the_end_of_the_process(
        self, bucket: BucketStorage, faulty: FaultyGcs, fault: Fault
    ) -> None:
        put(bucket, data=bytes(200_000))
        faulty.add(fault, times=math.inf)
        program = (
            "import sys, storage, errors\n"
            "bucket = storage.BucketStorage(sys.argv[1], timeout_s=2, attempt_timeout_s=30)\n"
            "bucket.warm_up()\n"
            "try: bucket.get(sys.argv[2])\n"
            "except errors.StorageUnavailable: pass\n"
            "else: sys.exit('no failure')\n"
        )
        started = time.monotonic()
        command = [sys.executable, "-c", program, bucket.location, NAME]
        subprocess.run(command, cwd=ROOT, check=True)
        assert time.monotonic() - started < 20  # either fault goes on for 30 s and more


@pytest.mark.slow
class TestBucketDeadline:
    """Whatever hangs, the caller waits for timeout_s and no longer."""

    @pytest.fixture(autouse=True)
    def in_time(self) -> Iterator[None]:
        started = time.monotonic()
        yield
        assert (
            time.monotonic() - started < TIMEOUT_S + 2.0
        )  # on a machine that is busy with other tests

    @pytest.mark.parametrize("verb", VERBS)
    def test_one_stalled_attempt_leaves_time_for_another(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str
    ) -> None:
        faulty.add(Stall())
        call(prepared, verb)
        assert len(faulty.requests) == 2

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_storage_that_stalls_is_unavailable(
        self, prepared: BucketStorage, faulty: FaultyGcs, verb: str
    ) -> None:
        faulty.add(Stall(), times=math.inf)
        with pytest.raises(StorageUnavailable):
            call(prepared, verb)
        assert 3 <= len(faulty.requests) <= 4

    def test_a_storage_that_fails_all_the_time_is_unavailable(
        self, bucket: BucketStorage, faulty: FaultyGcs
    ) -> None:
        faulty.add(Answer(503), times=math.inf)
        with pytest.raises(StorageUnavailable, match="503"):
            put(bucket)
        assert 3 <= len(faulty.requests) <= 20

    def test_an_answer_that_trickles_is_given_up(
        self, bucket: BucketStorage, faulty: FaultyGcs
    ) -> None:
        put(bucket)
        faulty.add(Trickle(interval_s=0.1), times=math.inf)
        with pytest.raises(StorageUnavailable, match="within 4 s"):
            bucket.get(NAME)

    def test_a_slow_answer_is_waited_for(self, bucket: BucketStorage, faulty: FaultyGcs) -> None:
        faulty.add(Slow(0.3))
        put(bucket)
        assert len(faulty.requests) == 1

    def test_a_server_that_accepts_no_connection_is_unavailable(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            queue = [socket.socket() for _ in range(4)]
            for waiting in queue:  # fills the queue: the kernel drops what comes after
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint_of(listener))
            with pytest.raises(StorageUnavailable, match=r"Timeout|within"):
                put(BucketStorage("b", timeout_s=TIMEOUT_S, attempt_timeout_s=1.2))
            for waiting in queue:
                waiting.close()

    @pytest.mark.parametrize(
        "endpoint", ["http://no-such-host.invalid", "http://127.0.0.1:1", "127.0.0.1:1", "http://"]
    )
    def test_an_endpoint_that_leads_nowhere_is_unavailable(
        self, monkeypatch: pytest.MonkeyPatch, endpoint: str
    ) -> None:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
        with pytest.raises(StorageUnavailable):
            put(BucketStorage("b", timeout_s=TIMEOUT_S, attempt_timeout_s=1.2))


def endpoint_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


class TestBucketClient:
    """The official client: when it is made, and what it may raise."""

    @pytest.fixture
    def no_credentials(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))

    @pytest.mark.usefixtures("no_credentials")
    def test_missing_credentials_are_unavailable(self) -> None:
        bucket = BucketStorage("b", timeout_s=TIMEOUT_S)
        bucket.warm_up()
        with pytest.raises(StorageUnavailable, match="DefaultCredentialsError"):
            put(bucket)

    @pytest.mark.usefixtures("no_credentials")
    @pytest.mark.parametrize("content", [None, "", "{}", '{"type": "service_account"}'])
    def test_unusable_credentials_are_unavailable(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        content: str | None,
    ) -> None:
        path = tmp_path / "key.json"
        if content is not None:
            path.write_text(content)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        with pytest.raises(StorageUnavailable):
            put(BucketStorage("b", timeout_s=TIMEOUT_S))

    @pytest.mark.usefixtures("no_credentials")
    def test_a_failed_start_is_tried_again_by_the_next_operation(
        self, gcs: GcsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bucket = BucketStorage(gcs.make_bucket("late"), timeout_s=TIMEOUT_S)
        with pytest.raises(StorageUnavailable):
            put(bucket)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.endpoint)
        put(bucket)

    def test_the_client_is_imported_by_the_first_operation_or_by_warming_up(self) -> None:
        program = (
            "import sys, storage\n"
            "bucket = storage.BucketStorage('b')\n"
            "assert not {'google.auth', 'google.cloud.storage', 'requests'} & set(sys.modules)\n"
            "bucket.warm_up()\n"
            "assert 'google.cloud.storage' in sys.modules\n"
        )
        environ = {**os.environ, "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"}
        command = [sys.executable, "-W", "error", "-c", program]
        subprocess.run(command, cwd=ROOT, check=True, env=environ)

    def test_every_exception_of_the_client_is_translated(self) -> None:
        translated = (*vendor_errors(), Warning)
        vendor = ("google.", "requests.", "urllib3.", "http.client.")
        never_raised = (
            "google.protobuf.",  # messages of gRPC; the client of storage speaks JSON
            "google.api_core.exceptions.AsyncRestUnsupportedParameterError",  # nothing is async
            "google.api_core.iam.",  # policies are not touched
            "google.resumable_media.",  # parents only of what google.cloud.storage raises
            "requests.cookies.",  # cookies are not read
        )
        known = {f"{error.__module__}.{error.__name__}": error for error in subclasses(Exception)}
        of_vendor = {name: error for name, error in known.items() if name.startswith(vendor)}
        assert len(of_vendor) > 80
        missed = [name for name, error in of_vendor.items() if not issubclass(error, translated)]
        assert [name for name in missed if not name.startswith(never_raised)] == []


def subclasses(parent: type[Exception]) -> Iterator[type[Exception]]:
    """Yield the classes below one, all the way down, of every module imported so far."""
    for child in parent.__subclasses__():
        yield child
        yield from subclasses(child)
