"""Views of what was stored, as production serves them, beside a function that does nothing.

    nothing     an empty function of the same framework, which answers as many bytes
    picture     one popular picture, asked for again and again; its page and its card
    in turn     500 different pictures with a cache of 16 MB, which holds a quarter of them, beside
                none: nothing is ever found in it, so this is what the cache costs at its worst

The load comes from wrk (a Debian package), from as many connections as asked. cpu_ms is that of the
function's processes, user and system, a view; storage the calls for 100 views one after the other.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import httpx  # noqa: E402 - the tests' servers and pictures are found by the path above
import pictures  # noqa: E402
import psutil  # noqa: E402
from faulty_gcs import running_faulty_gcs  # noqa: E402
from function_server import FunctionServer, serve, watched_memory  # noqa: E402
from gcs_server import GcsServer, running_gcs_server  # noqa: E402
from sharing import object_names  # noqa: E402

from share_keys import ShareKey  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BUCKET = "shares-views"
VIEWS = 100
PICTURES = 500
CACHE_MB = 16

NOTHING = """
from pathlib import Path
from flask import Response

data = Path("picture.jpg").read_bytes()


def share_image(request):
    return Response(data, content_type="image/jpeg")
"""

IN_TURN = """
local number = 0
request = function()
    number = number % {count} + 1
    return wrk.format("GET", paths[number])
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run of wrk came to; memory_mb: the most that the function's processes had."""

    rps: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    memory_mb: float
    failed: float


def main() -> None:
    """Measure in rounds, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--clients", type=int, default=32, help="connections at once")
    parser.add_argument("--photo", type=Path, help="a JPEG instead of the drawn one")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed. On Debian and Ubuntu: apt-get install wrk")
    photo = options.photo.read_bytes() if options.photo else pictures.photo_jpeg((4000, 3000))
    with contextlib.ExitStack() as stack:
        gcs = stack.enter_context(running_gcs_server())
        gcs.make_bucket(BUCKET)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = Bench(gcs, folder, photo, seconds=options.seconds, clients=options.clients)
        runs: dict[str, list[Figures]] = {}
        for _ in range(options.rounds):
            for name, figures in bench.measured():
                runs.setdefault(name, []).append(figures)
    print(f"{'':20}" + "".join(f"{field.name:>11}" for field in fields(Figures)) + "    storage")
    for name, found in runs.items():
        median = (statistics.median(column) for column in zip(*map(_row, found), strict=True))
        calls = bench.calls.get(name, "")
        print(f"{name:20}" + "".join(f"{value:11.2f}" for value in median) + f"{calls:>11}")
    with_cache, without = runs[f"in turn, {CACHE_MB} MB"], runs["in turn, no cache"]
    for name in ("rps", "cpu_ms"):
        ratios = [_of(name, a) / _of(name, b) for a, b in zip(with_cache, without, strict=True)]
        print(f"in turn, with a cache / without, {name}: {statistics.median(ratios):.3f}")


class Bench:
    """One storage, and what is measured on it; calls: to storage for VIEWS views."""

    def __init__(
        self, gcs: GcsServer, folder: Path, photo: bytes, *, seconds: int, clients: int
    ) -> None:
        self._gcs = gcs
        self._folder = folder
        self._photo = photo
        self._load = f"-c{clients}", f"-d{seconds}s"
        self._in_turn: Path | None = None
        self.calls: dict[str, int] = {}

    def measured(self) -> Iterator[tuple[str, Figures]]:
        """Yield the figures of one round, each with its name."""
        with (
            running_faulty_gcs(self._gcs.endpoint) as storage,
            self._serving(storage.endpoint) as server,
        ):
            share = self._share(server)
            for name in ("page", "card", "picture"):
                url = share["url" if name == "picture" else f"{name}_url"]
                storage.clear()
                for _ in range(VIEWS):
                    seen = httpx.get(url).raise_for_status()
                self.calls[name] = len(storage.methods())
                yield name, self._run(server, url)
            picture = seen.content
        (self._folder / "main.py").write_text(NOTHING)
        (self._folder / "picture.jpg").write_bytes(picture)
        with serve(self._folder, source=self._folder) as server:
            yield "nothing", self._run(server, server.url)
        script = self._script(picture)
        sizes = {f"in turn, {CACHE_MB} MB": str(CACHE_MB), "in turn, no cache": "0"}
        for name, cache_mb in random.sample(sorted(sizes.items()), len(sizes)):
            with self._serving(self._gcs.endpoint, CACHE_MB=cache_mb) as server:
                yield name, self._run(server, server.url, "-s", str(script))

    @contextlib.contextmanager
    def _serving(self, endpoint: str, **settings: str) -> Iterator[FunctionServer]:
        env = {"GCS_BUCKET_NAME": BUCKET, "STORAGE_EMULATOR_HOST": endpoint, **settings}
        with serve(self._folder, env) as server:
            yield server

    def _share(self, server: FunctionServer) -> dict[str, str]:
        answer = httpx.post(
            server.url, data={"platform": "email"}, files={"file": self._photo}, timeout=60
        )
        shared: dict[str, str] = answer.raise_for_status().json()
        return shared

    def _script(self, picture: bytes) -> Path:
        """Return a program for wrk that asks for as many different pictures in turn."""
        if self._in_turn is None:
            ids = [ShareKey.mint().share_id for _ in range(PICTURES)]
            for number, share_id in enumerate(ids):
                (name,) = object_names(share_id, "picture")
                self._gcs.put(BUCKET, name, picture + number.to_bytes(4))
            paths = ", ".join(f'"/s/{share_id}.jpg"' for share_id in ids)
            self._in_turn = self._folder / "in_turn.lua"
            self._in_turn.write_text(f"paths = {{{paths}}}" + IN_TURN.format(count=PICTURES))
        return self._in_turn

    def _run(self, server: FunctionServer, url: str, *arguments: str) -> Figures:
        self._wrk(url, *arguments)  # warm
        before_s = _cpu_s(server)
        with watched_memory(server) as samples:
            said = self._wrk(url, *arguments)
        cpu_s = _cpu_s(server) - before_s
        return Figures(
            rps=float(_found(r"Requests/sec:\s+([\d.]+)", said)),
            p50_ms=_latency_ms(said, 50),
            p99_ms=_latency_ms(said, 99),
            cpu_ms=cpu_s * 1000 / max(1, int(_found(r"(\d+) requests in", said))),
            memory_mb=max(samples) / 1e6,
            failed=sum(
                map(int, re.findall(r"(?:responses:|connect|read|write|timeout) (\d+)", said))
            ),
        )

    def _wrk(self, url: str, *arguments: str) -> str:
        command = ["wrk", "-t1", *self._load, "--latency", "--timeout", "10s", *arguments, url]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _row(figures: Figures) -> Iterable[float]:
    return asdict(figures).values()


def _of(name: str, figures: Figures) -> float:
    value: float = getattr(figures, name)
    return value


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else "0"


def _latency_ms(said: str, percent: int) -> float:
    number = float(_found(rf"\s{percent}%\s+([\d.]+)", said))
    return (
        number * {"us": 0.001, "ms": 1.0, "s": 1000.0}[_found(rf"\s{percent}%\s+[\d.]+(\w+)", said)]
    )


def _cpu_s(server: FunctionServer) -> float:
    root = psutil.Process(server.process.pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(time.user + time.system for time in times)


if __name__ == "__main__":
    main()
