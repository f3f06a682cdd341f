"""Runs work on hostile bytes in a child process, the only thing that such bytes can hurt.

    this process          server, one for all     watcher, one a call     child
    call ──── socket ───> forks ────────────────> forks ────────────────> limits itself, works
         <──────────────────────────────────────── how it ended <──────── answer

The server has imported what the work needs, so that a call costs two forks (3 ms) instead of the
start of an interpreter (60 ms). The first call starts it. It gets no environment and no descriptor
but its socket, never handles a picture itself, and ends with this process. multiprocessing has a
fork server too, but hands its children the environment and imports the main module again in each.

A child answers with bytes, which the caller does not trust.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import process
from errors import Busy, CorruptImage, ImageTooComplex, ShareImageError

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER_MAX_BYTES = 16_000_000
PYTHON_STACK_BYTES = 1 << 20  # of a thread; the kernel's 8 MiB would count as memory in use
REASON_CHARS = 500
MAX_DESCRIPTORS = 32

NO_MEMORY = 3  # exit code

_LENGTHS = struct.Struct(">QQQ")  # the memory, then the lengths of the question and the data
_STATUS = struct.Struct(">i")  # how a child ended, as os.waitstatus_to_exitcode returns it
_STATUSES = range(-signal.NSIG, 256)
_SIGNALS = {number.value: number.name for number in signal.Signals}
_READ_BYTES = 1 << 16
_START = (
    "import sys; sys.path[:] = {path!r}; from imaging import sandbox; "
    "sandbox.serve({descriptor}, {server!r})"
)


class Limits(NamedTuple):
    """What a child may take beside memory: whole seconds of CPU, and seconds by the clock.

    The largest pictures take a tenth of it. grace_s: how much longer a call waits, for the watcher
    to say that the time was up.
    """

    cpu_s: int = 20
    time_s: float = 30.0
    grace_s: float = 5.0


LIMITS = Limits()


class Sandbox:
    """A server that runs one function in child processes.

    work: "module:function", from bytes and bytes to bytes; it is imported by the server, not here.
    """

    def __init__(self, work: str, limits: Limits = LIMITS) -> None:
        self._work = work
        self._limits = limits
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        atexit.register(self.close)

    def call(self, question: bytes, data: bytes, *, memory_bytes: int) -> bytes:
        """Return the function's answer to a question about hostile data.

        memory_bytes: what the child may take beyond what the server has.

        Raises: ImageTooComplex where the child needed more memory or time; CorruptImage where it
        crashed; Busy where it was lost; ShareImageError where the server does not start.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._hand_over(theirs)
            most_s = self._limits.time_s + self._limits.grace_s
            ends_s = time.monotonic() + most_s
            ours.settimeout(most_s)
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died
                    ours.sendall(_LENGTHS.pack(memory_bytes, len(question), len(data)) + question)
                    ours.sendall(data)
                return _checked_answer(_read_to_end(ours, ends_s))
            except OSError as error:  # nobody took the call, or nobody ended it in time
                raise Busy(f"the sandbox does not answer: {type(error).__name__}") from error

    def close(self) -> None:
        """End the server; calls that run end by themselves."""
        with self._lock:
            self._end()

    def _hand_over(self, end: socket.socket) -> None:
        """Give the server one end of a socket; start the server where there is none, or no more."""
        with self._lock:
            if self._control is None or not _send(self._control, end):
                self._end()
                _send(self._start(), end)

    def _start(self) -> socket.socket:
        control, theirs = socket.socketpair()
        with theirs:
            server = (self._work, self._limits.cpu_s, self._limits.time_s)
            start = _START.format(path=sys.path, descriptor=theirs.fileno(), server=server)
            self._server = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-I", "-S", "-c", start],
                env={},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._control = control
        if not control.recv(1):  # it is ready, or has said on standard error why not
            raise ShareImageError(f"the sandbox did not start: exit code {self._server.wait()}")
        return control

    def _end(self) -> None:
        if self._control is not None and self._server is not None:
            self._control.close()
            self._server.kill()  # one that is stopped, or stuck, would be waited for
            self._server.wait()
        self._control = self._server = None


def serve(control: int, server: tuple[str, int, float]) -> None:
    """Fork a watcher for each socket that arrives, until the process that sends them ends."""
    process.keep_freed_memory()
    work, cpu_s, time_s = server
    module, _, name = work.partition(":")
    function = getattr(importlib.import_module(module), name)
    process.end_imports()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the watchers
    with socket.socket(fileno=control) as arrivals:
        arrivals.sendall(b"\n")
        while True:
            _, descriptors, _, _ = socket.recv_fds(arrivals, 1, 1)
            if not descriptors:
                return
            if os.fork() == 0:
                arrivals.close()
                _watch(socket.socket(fileno=descriptors[0]), function, Limits(cpu_s, time_s))
            os.close(descriptors[0])


def _send(control: socket.socket, end: socket.socket) -> bool:
    try:
        socket.send_fds(control, [b"\n"], [end.fileno()])
    except OSError:  # the server has ended
        return False
    return True


def _read_to_end(end: socket.socket, ends_s: float) -> bytes:
    """Read to the end, up to a limit and a time: a child that was taken over might never stop."""
    chunks, left = [], ANSWER_MAX_BYTES
    while left > 0 and (chunk := end.recv(_READ_BYTES)):
        chunks.append(chunk)
        left -= len(chunk)
        end.settimeout(max(ends_s - time.monotonic(), 0))
    return b"".join(chunks)


def _checked_answer(received: bytes) -> bytes:
    """Split an answer from how the child ended, which decides whether it counts."""
    if not _STATUS.size <= len(received) < ANSWER_MAX_BYTES:
        raise Busy(f"{len(received)} bytes from the sandbox")
    answer, (status,) = received[: -_STATUS.size], _STATUS.unpack(received[-_STATUS.size :])
    if status not in _STATUSES:  # the end of an answer whose watcher was killed
        raise Busy("nobody said how the decoder ended")
    if status == 0:
        return answer
    if status == NO_MEMORY:
        raise ImageTooComplex("the decoder ran out of the memory that the header promises")
    ended = _SIGNALS.get(-status, f"exit code {status}")
    if status in {-signal.SIGXCPU, -signal.SIGKILL}:
        raise ImageTooComplex(f"the decoder took too long or too much: {ended}")
    raise CorruptImage(f"the decoder crashed: {ended} {answer[:REASON_CHARS]!r}")


def _watch(
    end: socket.socket, function: Callable[[bytes, bytes], bytes], limits: Limits
) -> NoReturn:
    """Fork the child that works, kill it when its time is up, and tell how it ended."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        child = os.fork()
        if child == 0:
            _work(end, function, limits.cpu_s)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, limits.time_s)
        _, status = os.waitpid(child, 0)
        end.shutdown(socket.SHUT_RD)  # what is still being sent has no reader
        end.sendall(_STATUS.pack(os.waitstatus_to_exitcode(status)))
    finally:
        os._exit(0)


def _work(end: socket.socket, function: Callable[[bytes, bytes], bytes], cpu_s: int) -> NoReturn:
    status = 1
    try:
        process.end_with_parent()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders complain there
        with end.makefile("rb") as arriving:
            memory_bytes, *lengths = _LENGTHS.unpack(arriving.read(_LENGTHS.size))
            question, data = (arriving.read(length) for length in lengths)
        confine(memory_bytes, cpu_s)
        end.sendall(function(question, data))
        status = 0
    except MemoryError:
        status = NO_MEMORY
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends with this process
        end.sendall(f"{type(error).__name__}: {error}"[:REASON_CHARS].encode())
    finally:
        os._exit(status)


def confine(memory_bytes: int, cpu_s: int) -> None:
    """Bound what this process may take from now on; nothing can raise the bounds again."""
    threading.stack_size(PYTHON_STACK_BYTES)
    limits = {
        resource.RLIMIT_CPU: (cpu_s, cpu_s + 1),  # first a signal that says why
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NOFILE: (MAX_DESCRIPTORS, MAX_DESCRIPTORS),
    }
    have_bytes = process.address_space_bytes()
    if have_bytes:
        limits[resource.RLIMIT_AS] = (have_bytes + memory_bytes,) * 2
    for limit, bounds in limits.items():
        resource.setrlimit(limit, bounds)
