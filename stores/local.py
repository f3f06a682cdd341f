"""A folder as storage: the embedded default, for one machine.

shares/7f/<id>/picture.jpg    appears whole or not at all
.incoming/<random>            being written; no object name can reach it
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
import zlib
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from errors import ObjectExists, ObjectNotFound, StorageUnavailable
from stores.circuit import Circuit, StorageState
from stores.contract import (
    MAX_OBJECT_BYTES,
    TOMBSTONE,
    StoredObject,
    checked_name,
    described,
    is_name,
    not_deleted,
    shortened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class LocalStorage:
    """A folder as storage: the embedded default, for one machine.

    A file holds the object's bytes first, so that it opens as the picture it is; then its
    properties as JSON, their CRC-32, their length, and a mark. Anything else is no object.
    """

    kind = "local"
    is_ready = True

    _INCOMING = ".incoming"
    _INCOMING_MAX_AGE_S = 3600  # what is older was left by a process that was killed
    _MARK = b"share-image/2\n"
    _END_BYTES = 4 + 4 + len(_MARK)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._circuit = Circuit(slow_s=math.inf)  # a folder does not hang
        self.location = str(folder)

    def put(
        self, name: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> StoredObject:
        """Create an object (see Storage.put)."""
        stored = described(name, data, content_type, metadata)
        with self._translated("put", name), self._written(data, stored) as incoming:
            try:  # a link fails where the name is taken: exactly one writer wins
                self._placed(name, lambda path: path.hardlink_to(incoming))
            except FileExistsError:
                raise ObjectExists(name) from None
        return stored

    def get(self, name: str) -> tuple[StoredObject, bytes]:
        """Return an object with its bytes (see Storage.get)."""
        with self._opened("get", name) as file:
            stored = self._read_properties(file, name)
            file.seek(0)
            data = file.read(stored.size_bytes)
            if described(name, data, "", {}).etag != stored.etag:
                raise StorageUnavailable(f"{name} in {self.location} is damaged")
            return replace(stored, metadata={}), data

    def stat(self, name: str) -> StoredObject:
        """Return an object without its bytes (see Storage.stat)."""
        with self._opened("stat", name) as file:
            return self._read_properties(file, name)

    def delete(self, name: str, *, must_exist: bool = False) -> None:
        """Leave a tombstone (see Storage.delete)."""
        tombstone = described(name, b"", TOMBSTONE, {})
        with self._translated("delete", name):
            if must_exist and not self._path(name).is_file():
                raise ObjectNotFound(f"delete: no {name} in {self.location}")
            with self._written(b"", tombstone) as incoming:
                self._placed(name, incoming.replace)

    def names(self, folder: str) -> list[str]:
        """Return the names of a folder's objects, other files left out (see Storage.names)."""
        with self._translated("list", folder):
            files = [
                Path(parent, file).relative_to(self._folder).as_posix()
                for parent, _, files in os.walk(self._path(folder), onerror=_unless_gone)
                for file in files
            ]
        return sorted(filter(is_name, files))

    def remove(self, name: str) -> None:
        """Remove an object without a tombstone (see Storage.remove)."""
        with self._translated("remove", name):
            try:
                self._path(name).unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectNotFound(f"remove: no {name} in {self.location}") from None

    def sweep(self, has_ended: Callable[[str], bool]) -> None:
        """Remove expired objects, and files that were left half written (see Storage.sweep).

        The folder may hold other files: only objects are removed, and the folders that this leaves
        empty.
        """
        before_s = time.time() - self._INCOMING_MAX_AGE_S
        failures: list[OSError] = []
        for path in self._folder.glob(f"{self._INCOMING}/*"):
            with _collected(failures):
                if path.stat().st_mtime < before_s:
                    path.unlink()
        # From the leaves up. walk, unlike glob, minds no folder that goes meanwhile.
        for folder, _, files in os.walk(self._folder / "shares", topdown=False):
            for path in map(Path(folder).joinpath, files):
                with _collected(failures):
                    if has_ended(path.relative_to(self._folder).as_posix()):
                        path.unlink()
            with suppress(OSError):  # not empty, or gone: either way not ours to remove
                Path(folder).rmdir()
        if failures:
            raise StorageUnavailable(f"{len(failures)} files stay, such as: {failures[0]}")

    @property
    def state(self) -> StorageState:
        """What became of the operations so far (see Storage.state)."""
        return self._circuit.state

    def warm_up(self) -> None:
        """Do nothing: a folder is ready."""

    def _path(self, name: str) -> Path:
        path = self._folder / checked_name(name)
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise PermissionError("a symbolic link leads out of the folder")
        return path

    @contextmanager
    def _written(self, data: bytes, stored: StoredObject) -> Iterator[Path]:
        """Yield a complete file that no name reaches yet; it is gone afterwards."""
        (self._folder / self._INCOMING).mkdir(parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(dir=self._folder / self._INCOMING)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.write(self._properties(stored))
                file.flush()
                # Else a power failure could leave the name with half of the bytes. The folder is
                # not synchronised: that a name is lost with the power is the lesser evil, and a
                # share lives a day.
                os.fsync(file.fileno())
            yield Path(path)
        finally:
            Path(path).unlink(missing_ok=True)  # a tombstone was moved away

    def _placed(self, name: str, place: Callable[[Path], object]) -> None:
        path = self._path(name)
        for tries_left in reversed(range(10)):
            try:
                with suppress(FileExistsError, FileNotFoundError):  # half made, half removed
                    path.parent.mkdir(parents=True, exist_ok=True)
                place(path)
            except FileNotFoundError:  # a sweep removed the folder, which it found empty
                if not tries_left:
                    raise
            else:
                return

    def _properties(self, stored: StoredObject) -> bytes:
        properties = json.dumps(
            {
                "content_type": stored.content_type,
                "etag": stored.etag,
                "metadata": dict(stored.metadata),
            }
        ).encode("ascii")
        crc32 = zlib.crc32(properties).to_bytes(4)
        return properties + crc32 + len(properties).to_bytes(4) + self._MARK

    def _read_properties(self, file: BinaryIO, name: str) -> StoredObject:
        file_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(file_bytes - self._END_BYTES, 0))
        end = file.read()
        size_bytes = file_bytes - self._END_BYTES - int.from_bytes(end[4:8])
        if end[8:] != self._MARK or not 0 <= size_bytes <= MAX_OBJECT_BYTES:
            raise StorageUnavailable(f"{name} in {self.location} was not written by this program")
        file.seek(size_bytes)
        properties = file.read(min(int.from_bytes(end[4:8]), MAX_OBJECT_BYTES))
        if zlib.crc32(properties).to_bytes(4) != end[:4]:
            raise StorageUnavailable(f"{name} in {self.location} is damaged")
        stored = StoredObject(name=name, size_bytes=size_bytes, **json.loads(properties))
        return not_deleted(stored)

    @contextmanager
    def _opened(self, verb: str, name: str) -> Iterator[BinaryIO]:
        with self._translated(verb, name):
            try:
                file = self._path(name).open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectNotFound(f"{verb}: no {name} in {self.location}") from None
            with file:
                yield file

    @contextmanager
    def _translated(self, verb: str, name: str) -> Iterator[None]:
        checked_name(name)  # else a mistake of the program would count as a failure of the folder
        with self._circuit.operation(_failure_code):
            try:
                yield
            except OSError as error:
                reason = f"{verb} {name} in {self.location}: {shortened(error)}"
                raise StorageUnavailable(reason) from error


@contextmanager
def _collected(failures: list[OSError]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass  # it went meanwhile
    except OSError as error:
        failures.append(error)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _failure_code(error: BaseException) -> str:
    return type(error.__cause__ or error).__name__
