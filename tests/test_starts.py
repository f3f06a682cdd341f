"""A start goes right every time, or ends: never healthy and broken."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import pytest
from function_server import ROOT, clean_environ, free_port, start
from gcs_server import running_gcs_server
from starting import start_under_requests

from late_import import LateImport

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_requests_from_the_first_moment_find_a_function_that_works(
    tmp_path: Path, photo: bytes, *, in_full: bool
) -> None:
    starts = 500 if in_full else 4  # as many make the rare problems appear
    with running_gcs_server() as gcs:
        gcs.make_bucket("shares-test")
        env = {"GCS_BUCKET_NAME": "shares-test", "STORAGE_EMULATOR_HOST": gcs.endpoint}
        problems = [
            start_under_requests(tmp_path, env, photo, cpu=min(psutil.Process().cpu_affinity()))
            for _ in range(starts)
        ]
    assert problems == [[]] * starts


@pytest.mark.slow
def test_a_process_that_cannot_import_what_it_needs_ends_and_says_why_in_one_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "requests.py").write_text("raise ImportError('half of it is missing')")
    log = tmp_path / "log"
    env = {"GCS_BUCKET_NAME": "shares-test", "PYTHONPATH": str(tmp_path)}
    with log.open("wb") as stream:
        process = start(free_port(), tmp_path, env, ROOT, stream)
    try:
        assert process.wait(timeout=60) == 3
    finally:
        process.kill()
    lines = log.read_text().splitlines()
    (line,) = (json.loads(text) for text in lines if '"ERROR"' in text)
    assert line["message"] == "ended: cannot import what every share needs"
    assert "half of it is missing" in line["exception"]
    assert not [text for text in lines if text.startswith(("Traceback", "  File"))]


def test_a_worker_warms_up_and_what_it_forks_does_not(tmp_path: Path) -> None:
    program = """
import os, threading, main
main.service.warm_up = lambda: os.write(1, b"warm ")
if os.fork() == 0:  # gunicorn's worker
    for thread in set(threading.enumerate()) - {threading.main_thread()}:
        thread.join()
    if os.fork() == 0:
        for thread in set(threading.enumerate()) - {threading.main_thread()}:
            thread.join()
        os._exit(0)
    os.wait()
    os._exit(0)
os.wait()
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=clean_environ() | {"LOCAL_STORAGE_DIR": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert run.stdout == b"warm "


def test_a_bucket_is_ready_once_its_client_is_imported() -> None:
    program = (
        "import storage; bucket = storage.BucketStorage('shares-test')\n"
        "print(bucket.is_ready); bucket.warm_up(); print(bucket.is_ready)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=clean_environ() | {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert run.stdout.split() == [b"False", b"True"]


def test_an_import_happens_once_however_many_ask_for_it_at_once() -> None:
    calls: list[int] = []
    ready = threading.Barrier(8)

    def load() -> object:
        calls.append(1)
        time.sleep(0.05)  # time for the others to try it, too
        return object()

    late = LateImport(load)

    def ask(_: int) -> object:
        ready.wait()
        return late()

    assert not late.is_done
    with ThreadPoolExecutor(8) as pool:
        loaded = set(pool.map(ask, range(8)))
    assert (len(loaded), len(calls), late.is_done) == (1, 1, True)


def test_imports_wait_for_one_another() -> None:
    inside, most = [0], [0]

    def load() -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda late: late(), [LateImport(load) for _ in range(4)]))
    assert most == [1]


def test_an_import_that_failed_is_not_tried_again() -> None:
    calls: list[int] = []

    def load() -> None:
        calls.append(1)
        raise ImportError("half imported")

    late = LateImport(load)
    for _ in range(2):
        with pytest.raises(ImportError, match="half imported"):
            late()
    assert (len(calls), late.is_done) == (1, False)
