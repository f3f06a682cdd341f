"""What a picture can do to the process that decodes it, and that nobody else notices."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import pytest

from errors import Busy, CorruptImage, ImageTooComplex, ShareImageError
from imaging.sandbox import Limits, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, limits memory")

MEMORY_BYTES = 100_000_000


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that does what it is told, for a second of CPU at most."""
    made = Sandbox("hostile_work:act", Limits(cpu_s=1, time_s=60))
    yield made
    made.close()


def ask(sandbox: Sandbox, act: str, data: bytes = b"") -> bytes:
    return sandbox.call(act.encode(), data, memory_bytes=MEMORY_BYTES)


def test_bytes_go_in_and_an_answer_comes_out(sandbox: Sandbox) -> None:
    assert ask(sandbox, "answer", bytes(20_000_000)) == b"20000000 bytes"


def test_a_child_sees_no_variable_and_no_descriptor_of_this_process(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE_LIMIT_STORAGE_URI", "redis://:password@host")
    seen = json.loads(ask(Sandbox("hostile_work:act"), "report"))
    assert set(seen["environ"]) <= {"LC_CTYPE"}  # which the interpreter sets by itself
    sockets = [name for name in seen["descriptors"] if name.startswith("socket:")]
    others = {*seen["descriptors"]} - {*sockets}
    assert len(sockets) == 1, "the one that the answer takes"
    assert others <= {"/dev/null"}
    assert seen["core"] == [0, 0]


@pytest.mark.parametrize(
    ("act", "data", "refusal", "reason"),
    [
        ("crash", b"", CorruptImage, "SIGSEGV"),
        ("raise", b"", CorruptImage, "LookupError"),
        ("take memory", b"200000000", ImageTooComplex, "memory"),
        ("compute", b"", ImageTooComplex, "SIGXCPU"),
        ("never end", b"", Busy, "bytes from the sandbox"),
        ("kill the watcher", b"", Busy, ""),
    ],
)
def test_whatever_a_child_does_is_a_refusal_that_says_what_happened(
    sandbox: Sandbox, act: str, data: bytes, refusal: type[ShareImageError], reason: str
) -> None:
    with pytest.raises(refusal) as raised:
        ask(sandbox, act, data)
    assert reason in raised.value.reason
    assert ask(sandbox, "answer") == b"0 bytes"


def test_a_child_that_only_waits_is_killed_by_the_clock() -> None:
    sandbox = Sandbox("hostile_work:act", Limits(cpu_s=1, time_s=0.3))
    with pytest.raises(ImageTooComplex, match="SIGKILL"):
        ask(sandbox, "sleep")
    sandbox.close()


def test_memory_is_granted_up_to_what_was_asked_for(sandbox: Sandbox) -> None:
    assert ask(sandbox, "take memory", b"90000000") == b"90000000 bytes"


def test_a_child_that_dies_while_it_is_sent_a_large_file_blocks_nobody(sandbox: Sandbox) -> None:
    """Nobody reads the rest: the sender must not wait until the time limit."""
    with pytest.raises(CorruptImage):
        sandbox.call(b"crash", bytes(20_000_000), memory_bytes=MEMORY_BYTES)


def test_callers_side_by_side_do_not_notice_each_other_s_crashes(sandbox: Sandbox) -> None:
    def call(number: int) -> bytes | None:
        try:
            return ask(sandbox, "crash" if number % 2 else "answer", bytes(number))
        except CorruptImage:
            return None

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(40)))
    assert answers == [None if n % 2 else b"%d bytes" % n for n in range(40)]


def test_each_call_has_a_process_of_its_own(sandbox: Sandbox) -> None:
    pids = {json.loads(ask(sandbox, "report"))["pid"] for _ in range(3)}
    assert len(pids) == 3
    assert os.getpid() not in pids


def youngest_child() -> psutil.Process:
    return max(psutil.Process().children(), key=lambda child: child.create_time())


def test_a_server_that_was_killed_is_started_again() -> None:
    sandbox = Sandbox("hostile_work:act")
    assert ask(sandbox, "answer") == b"0 bytes"
    server = youngest_child()
    server.send_signal(signal.SIGKILL)
    server.wait(10)
    assert ask(sandbox, "answer") == b"0 bytes"
    sandbox.close()


@pytest.mark.parametrize("data", [b"", bytes(5_000_000)], ids=["small", "large"])
def test_a_call_that_no_server_takes_is_busy(data: bytes) -> None:
    """A large file waits to be sent, a small one for its answer."""
    sandbox = Sandbox("hostile_work:act", Limits(cpu_s=1, time_s=0.2, grace_s=0.1))
    ask(sandbox, "answer")
    server = youngest_child()
    server.suspend()
    with pytest.raises(Busy, match="TimeoutError"):
        ask(sandbox, "answer", data)
    sandbox.close()
    assert not server.is_running()


def test_a_server_that_dies_with_a_call_in_its_queue_makes_it_busy() -> None:
    """The kernel resets that call's connection, which was a 500."""
    sandbox = Sandbox("hostile_work:act")
    ask(sandbox, "answer")
    server = youngest_child()
    server.suspend()
    before = psutil.Process().num_fds()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, sandbox, "answer")
        while psutil.Process().num_fds() != before + 1:  # of two ends, one is handed over
            assert not call.done()
            time.sleep(0.01)
        server.kill()
        with pytest.raises(Busy, match="ConnectionResetError"):
            call.result(30)
    sandbox.close()


def test_an_answer_that_trickles_is_cut_off_and_ends_with_its_watcher() -> None:
    sandbox = Sandbox("hostile_work:act", Limits(cpu_s=1, time_s=0.5, grace_s=0.1))
    with pytest.raises(Busy):
        ask(sandbox, "trickle")
    sandbox.close()


def test_a_server_that_cannot_start_is_an_error_of_ours() -> None:
    with pytest.raises(ShareImageError, match="did not start"):
        ask(Sandbox("no_such_module:act"), "answer")


def test_nothing_is_left_behind_after_the_end() -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    sandbox = Sandbox("hostile_work:act")
    assert ask(sandbox, "answer") == b"0 bytes"
    sandbox.close()
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
