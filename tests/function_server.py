"""The function as production runs it: functions-framework under gunicorn, a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parent.parent
START_TIMEOUT_S = 30

# Arguments of python, before the port.
FRAMEWORK = (
    *("-m", "functions_framework", "--source", "main.py", "--target", "share_image"),
    *("--host", "127.0.0.1", "--port"),
)
SCRIPTS_SERVE = ("-P", "scripts/server.py", "127.0.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionServer:
    """A running function: its address, its process and the file that its log goes to."""

    url: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def log_text(self) -> str:
        """Return everything it has logged so far."""
        return self.log.read_text()


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serve(
    folder: Path,
    env: Mapping[str, str] | None = None,
    *,
    source: Path = ROOT,
    python: Path | str = sys.executable,
    program: Sequence[str] = FRAMEWORK,
    port: int | None = None,
) -> Iterator[FunctionServer]:
    """Run the function until the block ends.

    folder: takes its shares and its log; env: settings beside the defaults; source: what to run;
    python: of the environment to run it in; program: FRAMEWORK or SCRIPTS_SERVE.
    python: of the environment to run it in; port: to listen on, any free one by default.
    """
    port = port or free_port()
    log = folder / "function.log"
    with log.open("wb") as stream:
        process = start(port, folder, env or {}, source, stream, python, program)
    try:
        _wait_until_it_listens(process, port, log)
        yield FunctionServer(url=f"http://127.0.0.1:{port}", port=port, process=process, log=log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start(
    port: int,
    folder: Path,
    env: Mapping[str, str],
    source: Path,
    stream: IO[bytes],
    python: Path | str = sys.executable,
    program: Sequence[str] = FRAMEWORK,
) -> subprocess.Popen[bytes]:
    """Start the process, and do not wait for it."""
    return subprocess.Popen(
        [str(python), *program, str(port)],
        cwd=source,
        env=clean_environ() | {"LOCAL_STORAGE_DIR": str(folder / "shares"), **env},
        stdout=stream,
        stderr=subprocess.STDOUT,
    )


def clean_environ() -> dict[str, str]:
    """Return this process's environment without what would configure the function."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the function did not start:\n{log.read_text()}")


@contextlib.contextmanager
def watched_memory(server: FunctionServer) -> Iterator[list[int]]:
    """Sample the memory of the function's processes together, in bytes, until the block ends.

    It is their proportional set size: what they share counts once.
    """
    samples, done = [0], threading.Event()
    root = psutil.Process(server.process.pid)

    def watch() -> None:
        while not done.wait(0.05):
            with contextlib.suppress(psutil.Error):
                processes = (root, *root.children(recursive=True))
                samples.append(sum(p.memory_full_info().pss for p in processes))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
