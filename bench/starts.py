"""Starts the function many times on one processor, each time hit by requests at once.

Eight requests wait at the port when it opens: reads of shares that nobody made, and one POST, whose
share is then read and taken back. The function has one processor, as deployed, so that its threads
take turns while they import. Exits with 1 where one start went wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import pictures  # noqa: E402 - the tests' servers and pictures are found by the path above
from gcs_server import running_gcs_server  # noqa: E402
from starting import REQUESTS, start_under_requests  # noqa: E402

BUCKET = "shares-starts"


def main() -> int:
    """Start the function as often as asked, and return 1 where a start went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=500)
    parser.add_argument("--cpu", type=int, default=0, help="the function's processor")
    options = parser.parse_args()
    photo = pictures.photo_jpeg((640, 480))
    with contextlib.ExitStack() as stack:
        gcs = stack.enter_context(running_gcs_server())
        gcs.make_bucket(BUCKET)
        env = {"GCS_BUCKET_NAME": BUCKET, "STORAGE_EMULATOR_HOST": gcs.endpoint}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        seconds, wrong = [], 0
        for n in range(1, options.starts + 1):
            started = time.perf_counter()
            problems = start_under_requests(folder, env, photo, cpu=options.cpu)
            seconds.append(time.perf_counter() - started)
            wrong += bool(problems)
            for problem in problems:
                print(f"start {n}: {problem}", flush=True)
    print(
        f"{options.starts} starts on one processor, {REQUESTS} requests at once, Python "
        f"{platform.python_version()}: {wrong} went wrong; "
        f"{statistics.median(seconds):.2f} s each, at most {max(seconds):.2f} s"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
