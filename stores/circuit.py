"""A circuit breaker: the results of storage operations, and whether further ones are tried.

    closed ── FAILURES operations in a row end without an answer ──> open
    open ── OPEN_S later, one operation goes through ──> half-open
    half-open ── no answer ──> open          half-open ── any answer ──> closed

A storage that hangs holds each request for as long as an operation may take. While the circuit is
open, operations are refused at once, and the threads serve what needs no storage.
Source: https://learn.microsoft.com/en-us/azure/architecture/patterns/circuit-breaker
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from errors import ShareImageError, StorageSuspended, StorageUnavailable
from logs import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAILURES: Final = 5
OPEN_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageState:
    """What a process knows of its storage without asking it.

    last_success_at, last_failure_at: RFC 3339, None where there was none yet; last_failure_code:
    the status of storage's answer, otherwise the kind of the exception; circuit: closed, open or
    half-open.
    """

    last_success_at: str | None = None
    last_failure_at: str | None = None
    last_failure_code: str | None = None
    circuit: str = "closed"


class Circuit:
    """Watches operations.

    slow_s: an operation that takes this long to fail got no answer; one that fails sooner was
    refused, which is an answer. clock: seconds, monotonic.
    """

    def __init__(self, *, slow_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._slow_s = slow_s
        self._clock = clock
        self._lock = threading.Lock()
        self._state = StorageState()
        self._failures = 0  # in a row
        self._opened_s = 0.0

    @property
    def state(self) -> StorageState:
        """The results of the operations so far."""
        return self._state

    @contextmanager
    def operation(self, code_of: Callable[[BaseException], str]) -> Iterator[None]:
        """Watch one operation; code_of: a word for its failure.

        Raises: StorageSuspended while the circuit is open.
        """
        is_trial = self._admit()
        started_s = self._clock()
        try:
            yield
        except BaseException as error:
            has_answered = isinstance(error, ShareImageError) and not isinstance(
                error, StorageUnavailable
            )
            code = None if has_answered else code_of(error)
            self._settle(code, self._clock() - started_s, is_trial=is_trial)
            raise
        self._settle(None, 0.0, is_trial=is_trial)

    def _admit(self) -> bool:
        """Return whether the operation is the one that a half-open circuit lets through."""
        with self._lock:
            if self._state.circuit == "closed":
                return False
            is_due = self._clock() - self._opened_s >= OPEN_S
            if self._state.circuit == "half-open" or not is_due:
                raise StorageSuspended(f"the circuit is {self._state.circuit}: storage hangs")
            self._state = replace(self._state, circuit="half-open")
            return True

    def _settle(self, code: str | None, seconds: float, *, is_trial: bool) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock:
            before = circuit = self._state.circuit
            self._failures = 0 if code is None or seconds < self._slow_s else self._failures + 1
            if self._failures == 0:
                circuit = "closed"
            elif is_trial or (circuit == "closed" and self._failures >= FAILURES):
                circuit, self._opened_s = "open", self._clock()
            if code is None:
                self._state = replace(self._state, circuit=circuit, last_success_at=at)
            else:
                self._state = replace(
                    self._state, circuit=circuit, last_failure_at=at, last_failure_code=code
                )
        if circuit != before:
            note(storage_circuit=circuit)
