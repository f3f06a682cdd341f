"""What a process keeps."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pictures
import psutil
import pytest
from function_server import serve

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
