"""One share, whole, beside what its codecs take alone: a table.

    codecs         the JPEG decoded at the size that suffices, its picture and its card encoded
    pixel stage    image_ops.render: what lies between the codecs, too
    request        functions-framework, form, pixels, both objects into a storage emulator

Every round starts the function anew; the figures are medians of the rounds, for a photo of 12
megapixels and for one of 1200 px, or for one of your own.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import httpx  # noqa: E402 - the tests' servers and pictures are found by the path above
import pictures  # noqa: E402
import psutil  # noqa: E402
from floor import codecs_alone, cpu_ms  # noqa: E402
from function_server import FunctionServer, serve, watched_memory  # noqa: E402
from gcs_server import running_gcs_server  # noqa: E402

import process  # noqa: E402
from config import ImageSettings  # noqa: E402
from image_ops import read_header, render  # noqa: E402
from platforms import card_canvas, picture_canvas  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

BUCKET = "shares-bench"
SETTINGS = ImageSettings()
CANVASES = (picture_canvas("email", None, max_side_px=1200), card_canvas(None))
WARM = 5  # requests before anything but the cold start is measured

Figures = dict[str, float]


def main() -> None:
    """Measure each photo in each round and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path, help="a JPEG of your own in place of the two")
    parser.add_argument("--rounds", type=int, default=5, help="starts of the function, default 5")
    parser.add_argument("--requests", type=int, default=60, help="requests at once, default 60")
    parser.add_argument("--clients", type=int, default=8, help="clients at once, default 8")
    options = parser.parse_args()
    process.keep_freed_memory()
    columns = {}
    for name, photo in _photos(options.photo).items():
        rounds = [
            _pixels(photo) | _requests(photo, options.requests, options.clients)
            for _ in range(options.rounds)
        ]
        columns[name] = {row: statistics.median(each[row] for each in rounds) for row in rounds[0]}
    _print_table(columns)


def _photos(photo: Path | None) -> dict[str, bytes]:
    if photo is not None:
        return {photo.name: photo.read_bytes()}
    return {
        "12 MP JPEG": pictures.photo_jpeg((4000, 3000)),
        "1200 px JPEG": pictures.photo_jpeg((1200, 900)),
    }


def _pixels(photo: bytes) -> Figures:
    """Return the CPU time, in ms, of the codecs alone and of the whole pixel stage."""
    header = read_header(photo, SETTINGS)
    return {
        "codecs alone, ms CPU": _median_cpu_ms(codecs_alone(photo, CANVASES, SETTINGS)),
        "pixel stage, ms CPU": _median_cpu_ms(lambda: render(photo, header, CANVASES, SETTINGS)),
    }


def _median_cpu_ms(work: Callable[[], object]) -> float:
    """Return the median CPU time of eleven runs, in ms, after one that warms caches."""
    work()
    return statistics.median(cpu_ms(work) for _ in range(11))


def _requests(photo: bytes, requests: int, clients: int) -> Figures:
    """Return what whole requests take: of one client, then of several at once."""
    with contextlib.ExitStack() as stack:
        gcs = stack.enter_context(running_gcs_server())
        gcs.make_bucket(BUCKET)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        env = {
            "GCS_BUCKET_NAME": BUCKET,
            "STORAGE_EMULATOR_HOST": gcs.endpoint,
            "RATE_LIMIT": "1000000/hour",
        }
        http = stack.enter_context(httpx.Client(timeout=60))
        started = time.perf_counter()
        server = stack.enter_context(serve(folder, env))
        _post(http, server, photo)
        cold_s = time.perf_counter() - started
        peak_bytes = stack.enter_context(watched_memory(server))
        for _ in range(WARM):
            _post(http, server, photo)
        latency_s = statistics.median(_post(http, server, photo) for _ in range(20))
        cpu_s, started = _cpu_s(server), time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(lambda _: _post(http, server, photo), range(requests)))
        wall_s, cpu_s = time.perf_counter() - started, _cpu_s(server) - cpu_s
        return {
            "request, ms CPU": cpu_s / requests * 1000,
            "p50 of one client, ms": latency_s * 1000,
            f"requests a second, {clients} clients": requests / wall_s,
            "peak memory, MB": max(peak_bytes) / 1e6,
            "cold start to the first 200, s": cold_s,
        }


def _post(http: httpx.Client, server: FunctionServer, photo: bytes) -> float:
    """Share the photo, and return how many seconds it took."""
    started = time.perf_counter()
    answer = http.post(
        f"{server.url}/api/v2/share-image", data={"platform": "email"}, files={"file": photo}
    )
    answer.raise_for_status()
    return time.perf_counter() - started


def _cpu_s(server: FunctionServer) -> float:
    """Return the CPU time, in seconds, that the function's processes have had."""
    root = psutil.Process(server.process.pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _print_table(columns: dict[str, Figures]) -> None:
    print(f"| | {' | '.join(columns)} |")
    print("|---|" + "---|" * len(columns))
    for row in next(iter(columns.values())):
        cells = (f"{figures[row]:.3g}" for figures in columns.values())
        print(f"| {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
