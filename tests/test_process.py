"""What a process keeps, and what it does not wait for when it starts."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pictures
import psutil
import pytest
from function_server import ROOT, clean_environ, serve

import process

if TYPE_CHECKING:
    from flask.testing import FlaskClient

SHARE = "/api/v2/share-image"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_next_picture_takes_the_memory_of_the_last_one(tmp_path: Path) -> None:
    photo = pictures.photo_jpeg((2400, 1800))
    with serve(tmp_path) as server, httpx.Client(base_url=server.url, timeout=60) as http:

        def share() -> None:
            answer = http.post(SHARE, data={"platform": "email"}, files={"file": photo})
            assert answer.status_code == 200

        for _ in range(5):
            share()
        (worker,) = psutil.Process(server.process.pid).children()
        before = page_faults(worker.pid)
        for _ in range(5):
            share()
        faulted_bytes = (page_faults(worker.pid) - before) / 5 * 4096
        assert faulted_bytes < 2_000_000  # its pixels alone are 17 MB


def page_faults(pid: int) -> int:
    """Return how often a process had to wait for a page of memory; field 10 of proc(5)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def test_garbage_is_looked_for_once_the_function_stands(client: FlaskClient) -> None:
    assert client.get("/health").status_code == 200
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000


def test_garbage_is_looked_for_again_after_an_import_that_fails() -> None:
    def failing() -> None:
        with process.importing():
            assert not gc.isenabled()
            raise ImportError

    with pytest.raises(ImportError):
        failing()
    assert gc.isenabled()


def test_a_start_waits_for_nothing_that_a_share_may_do_without() -> None:
    late = ("PIL.ImageFont", "pi_heif", "google.cloud.storage", "limits", "redis")
    program = f"import sys, main; print(*(n for n in {late} if n in sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "\n"
