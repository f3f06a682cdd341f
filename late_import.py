"""What is imported late, for a quick start: once in a process, one after the other.

Two threads that enter packages which import each other from two sides can leave one of them half
imported for good, `requests` for example: every later use of it fails. Python locks each module by
itself, and shows an incomplete one to a thread where waiting for it would never end.
Source: https://github.com/python/cpython/blob/v3.13.0/Lib/importlib/_bootstrap.py (_DeadlockError)
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_one_at_a_time = threading.RLock()


class LateImport(Generic[T]):
    """A function that imports, called once even if it fails; any thread may call it.

    A failure is kept and raised to every caller: a second try would find the module half imported.
    """

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self._loaded: Future[T] = Future()

    @property
    def is_done(self) -> bool:
        """Whether it succeeded already."""
        return self._loaded.done() and self._loaded.exception() is None

    def __call__(self) -> T:
        """Return what the function returned; raise what it raised."""
        if not self._loaded.done():
            with _one_at_a_time:
                self._load_once()
        return self._loaded.result()

    def _load_once(self) -> None:
        if self._loaded.done():  # another thread came first
            return
        try:
            self._loaded.set_result(self._load())
        except BaseException as error:  # noqa: BLE001 - raised by __call__, to every caller
            self._loaded.set_exception(error)
