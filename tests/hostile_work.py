"""Work that does to the sandbox what a decoder does that was taken over, or that breaks."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from pathlib import Path


def act(question: bytes, data: bytes) -> bytes:
    """Do what the question names, with so many bytes of data."""
    return ACTS[question.decode()](data)


def _answer(data: bytes) -> bytes:
    return b"%d bytes" % len(data)


def _report(_: bytes) -> bytes:
    """Return what this process could reach."""
    opened = [path for path in Path("/proc/self/fd").iterdir() if path.exists()]
    descriptors = [str(path.readlink()) for path in opened]
    return json.dumps(
        {
            "environ": dict(os.environ),
            "descriptors": descriptors,
            "core": resource.getrlimit(resource.RLIMIT_CORE),
            "pid": os.getpid(),
        }
    ).encode()


def _take_memory(data: bytes) -> bytes:
    taken = bytearray(int(data))
    return b"%d bytes" % len(taken)


def _crash(_: bytes) -> bytes:
    os.kill(os.getpid(), signal.SIGSEGV)
    return b""


def _raise(_: bytes) -> bytes:
    raise LookupError("private words")


def _compute(_: bytes) -> bytes:
    while True:
        pass


def _sleep(_: bytes) -> bytes:
    time.sleep(60)
    return b""


def _never_end(_: bytes) -> bytes:
    return bytes(20_000_000)


def _kill_the_watcher(_: bytes) -> bytes:
    os.kill(os.getppid(), signal.SIGKILL)
    return b"nobody tells how this ended"


def _trickle(_: bytes) -> bytes:
    """Answer for three seconds, a byte at a time, once nobody is left who would end it."""
    os.kill(os.getppid(), signal.SIGKILL)
    sockets = [
        int(path.name)
        for path in Path("/proc/self/fd").iterdir()
        if path.exists() and str(path.readlink()).startswith("socket:")
    ]
    for _number in range(30):
        os.write(sockets[0], b"x")
        time.sleep(0.1)
    return b""


ACTS = {
    "answer": _answer,
    "report": _report,
    "take memory": _take_memory,
    "crash": _crash,
    "raise": _raise,
    "compute": _compute,
    "sleep": _sleep,
    "never end": _never_end,
    "kill the watcher": _kill_the_watcher,
    "trickle": _trickle,
}
