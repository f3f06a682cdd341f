"""Change the program in one place at a time, and see which changes no fast test notices.

    scripts/mutate [--sample N] [--seed S] [--only N...] [--seconds S] [MODULE...]

A module is main, serving.forms or stores; without any, those that decide something.

Cosmic Ray says where a module can be changed and how; of each place one change is drawn. Changes
that cannot be seen are left out: in annotations, and in the options of @dataclass. The tests that
ran a changed line, by coverage, run against the change in a copy of the tree, the quickest first,
until one fails; which those are is kept in build/, and found again for test files that changed.
tests/README.md lists the changes that survive, with the reason of each.

Each change is tried in a process forked off one that has imported the tools already: it costs a
second or two. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from itertools import accumulate, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import coverage
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "mutate.json"
PACKAGES = ("config", "imaging", "moderation", "serving", "stores")
DECIDING = (  # what the sample is drawn from unless modules are named
    *("main", "shares", "share_keys", "links", "process", "image_ops", "serving", "stores"),
    *("imaging.geometry", "imaging.jpeg_writer", "imaging.decoding"),
)
# Imported once, before the first fork: they begin no threads.
TOOLS = ("functions_framework", "httpx", "hypothesis", "PIL.Image", "playwright.sync_api", "psutil")
LEAST_S, SLOWER = 20.0, 5.0  # a change may make tests slower, or endless: both count as noticed
OPTIONS = (
    *("-q", "-m", "not slow", "-p", "no:cacheprovider", "--hypothesis-seed=0"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # plugins are imported already
)


@dataclass(frozen=True)
class Place:
    """Where a module can be changed, and the ways to do it: operators, and which of theirs."""

    path: str
    line: int
    ways: list[tuple[Any, int]]


@dataclass(frozen=True)
class Change:
    """One place of the program, and what it becomes."""

    path: str
    line: int
    code: str

    def shown(self, original: str) -> str:
        """Return the line, before and after."""
        old, new = original.splitlines(), self.code.splitlines()
        first = next(i for i, pair in enumerate(zip(old, new, strict=False)) if len({*pair}) > 1)
        same_end = len(old) - len(new)
        after = new[first].strip() if same_end == 0 else "(removed)"
        return f"{self.path}:{first + 1}: {old[first].strip()}  ->  {after}"


# Which tests run which lines


class Recorder:
    """Notes for each test the lines that it runs, and how long it takes."""

    def __init__(self) -> None:
        self.coverage = coverage.Coverage(data_file=None, include=_globs(), config_file=False)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Leave out what fails without any change."""
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Run one test in a context of its own."""
        self.coverage.switch_context(item.nodeid)
        started = time.perf_counter()
        yield
        self.seconds[item.nodeid] += time.perf_counter() - started
        self.coverage.switch_context("")

    def tests(self) -> dict[str, dict[str, Any]]:
        """Return what was noted, by test."""
        found: dict[str, dict[str, Any]] = {
            name: {"seconds": seconds, "lines": defaultdict(list)}
            for name, seconds in self.seconds.items()
        }
        data = self.coverage.get_data()
        for file in data.measured_files():
            path = Path(file).relative_to(Path.cwd()).as_posix()
            for line, names in data.contexts_by_lineno(file).items():
                for name in filter(None, names):
                    found[name]["lines"][path].append(line)
        return {name: test for name, test in found.items() if name not in self.failed}


def _globs() -> list[str]:
    return [str(Path.cwd() / glob) for glob in ("*.py", *(f"{name}/*.py" for name in PACKAGES))]


def _record(files: list[str], out: Path) -> int:
    recorder = Recorder()
    recorder.coverage.start()
    status = pytest.main([*OPTIONS, *files], plugins=[recorder])
    recorder.coverage.stop()
    out.write_text(json.dumps(recorder.tests()))
    return int(status)


def record(tree: Path) -> dict[str, dict[str, Any]]:
    """Return for each fast test its seconds and the lines that it runs; only what changed runs."""
    program = _digest(path for glob in ("*.py", *PACKAGES) for path in tree.glob(glob))
    helpers = _digest(p for p in tree.glob("tests/*.py") if not p.name.startswith("test_"))
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if kept.get("of") != program + helpers:
        kept = {"of": program + helpers, "files": {}}
    files = {
        str(p.relative_to(tree)): _digest([p]) for p in sorted(tree.glob("tests/**/test_*.py"))
    }
    changed = [f for f, d in files.items() if kept["files"].get(f, {}).get("digest") != d]
    if changed:
        print(f"Recording which lines {len(changed)} test files run", flush=True)
        out = tree / "recorded.json"
        Fork(lambda: _record(changed, out), tree / "record.log").result(3600)
        if not out.exists():
            sys.exit((tree / "record.log").read_text()[-3000:])
        tests = json.loads(out.read_text())
        for file in changed:
            of_file = {n: t for n, t in tests.items() if n.partition("::")[0] == file}
            kept["files"][file] = {"digest": files[file], "tests": of_file}
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept))
    return {n: t for f in files for n, t in kept["files"][f]["tests"].items()}


def _digest(paths: Iterable[Path]) -> str:
    found = sorted(f for path in paths for f in ([path] if path.is_file() else path.rglob("*.py")))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in found)).hexdigest()


class Selection:
    """Chooses tests for a changed line: those that run it, the quickest first.

    A line that runs while its module is imported is what its statement is: a function or class, all
    that runs it; a constant, all that runs a line which names it; else all that runs the module.
    """

    def __init__(
        self, tests: dict[str, dict[str, Any]], sources: dict[str, str], most_seconds: float
    ) -> None:
        self.tests = tests
        self._most_seconds = most_seconds
        self._sources = sources
        self._by_line: dict[tuple[str, int], set[str]] = defaultdict(set)
        for name, test in tests.items():
            for path, lines in test["lines"].items():
                for line in lines:
                    self._by_line[path, line].add(name)

    def of(self, change: Change) -> list[str]:
        """Return the names of the tests."""
        found = self._by_line[change.path, change.line] or self._of_statement(change)
        quickest = sorted(found, key=lambda name: self.tests[name]["seconds"])
        passed = accumulate(self.tests[name]["seconds"] for name in quickest)
        return [n for n, s in zip(quickest, passed, strict=True) if s <= self._most_seconds]

    def _of_statement(self, change: Change) -> set[str]:
        tree = ast.parse(self._sources[change.path])
        statements = (node for node in ast.walk(tree) if isinstance(node, ast.stmt))
        around = [node for node in statements if _holds(node, change.line)]
        inner = max(around, key=lambda node: node.lineno, default=None)
        found: set[str] = set()
        if isinstance(inner, ast.Assign | ast.AnnAssign):
            named = re.compile(rf"\b{re.escape(ast.unparse(_target(inner)))}\b")
            for path, source in self._sources.items():
                for number, text in enumerate(source.splitlines(), 1):
                    if named.search(text):
                        found |= self._by_line[path, number]
            around.remove(inner)
        for node in sorted(around, key=lambda node: -node.lineno):
            found = found or self._in(change.path, node.lineno, node.end_lineno or node.lineno)
        return found or self._in(change.path, 1, len(self._sources[change.path].splitlines()))

    def _in(self, path: str, first: int, last: int) -> set[str]:
        return set().union(*(self._by_line[path, line] for line in range(first, last + 1)))


def _holds(node: ast.stmt, line: int) -> bool:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return first <= line <= (node.end_lineno or node.lineno)


def _target(node: ast.Assign | ast.AnnAssign) -> ast.expr:
    return node.target if isinstance(node, ast.AnnAssign) else node.targets[0]


# What is changed


def places(path: str, source: str) -> list[Place]:
    """Return where a module can be changed, each place with all ways to do it."""
    nodes = list(ast_nodes(get_ast(source)))
    ways: dict[tuple[Any, str], list[tuple[Any, int]]] = defaultdict(list)
    for name in operator_names():
        operator_class = get_operator(name)
        if operator_class.arguments():
            continue
        kind = name.rpartition("/")[2].split("_")[0]
        positions = (
            (node, at) for node in nodes for at in operator_class().mutation_positions(node)
        )
        for occurrence, (node, (start, _)) in enumerate(positions):
            if node.parent is None or node.parent.type != "parameters":
                ways[start, kind].append((operator_class, occurrence))
    return [Place(path, start[0], ways[start, kind]) for start, kind in sorted(ways)]


def changes(
    found: list[Place], sources: dict[str, str], random_: random.Random
) -> Iterator[Change]:
    """Yield changes in random order, one for each place in which a change shows."""
    for place in random_.sample(found, len(found)):
        operator_class, occurrence = random_.choice(place.ways)
        source = sources[place.path]
        code = mutate_code(source, operator_class(), occurrence)
        with suppress(SyntaxError, ValueError):
            if code is not None and _visible(code) != _visible(source):
                yield Change(place.path, place.line, code)


@cache
def _visible(source: str) -> str:
    """Return a module without what no test can see."""
    return ast.dump(_Visible().visit(ast.parse(source)))


class _Visible(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        return ast.Pass() if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "dataclass":
                decorator.keywords = []
        return self.generic_visit(node)


# Trying it


class Fork:
    """A process that runs one call in the copy of the tree, and all that it starts."""

    def __init__(self, call: Callable[[], int], log: Path) -> None:
        self._pid = os.fork()
        if self._pid == 0:
            os.setsid()
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(output, stream)
            status = 1
            try:
                status = call()
            except BaseException:  # noqa: BLE001 - the log is all that is left of it
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def result(self, timeout_s: float) -> int | None:
        """Return the exit status; None if it did not end in time."""
        ends = time.monotonic() + timeout_s
        status = None
        try:
            while status is None and time.monotonic() < ends:
                pid, code = os.waitpid(self._pid, os.WNOHANG)
                if pid:
                    status = os.waitstatus_to_exitcode(code)
                else:
                    time.sleep(0.02)
        finally:  # also where the run is interrupted
            with suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            if status is None:
                os.waitpid(self._pid, 0)
        return status


def is_noticed(change: Change, tests: list[str], seconds: float, tree: Path, at: int) -> bool:
    """Return whether a test fails, or does not end, after the change."""
    file, names = tree / change.path, tree / "tests.txt"
    original, times = file.read_bytes(), file.stat()
    names.write_text("\n".join(tests))
    try:
        file.write_text(change.code)
        os.utime(file, (at, at))  # else compiled code of another change might be taken for this one
        call = [*OPTIONS, "-x", f"@{names}"]
        run = Fork(lambda: int(pytest.main(call)), tree / "change.log")
        return run.result(LEAST_S + SLOWER * seconds) != 0
    finally:
        file.write_bytes(original)
        os.utime(file, (times.st_atime, times.st_mtime))


def main() -> int:
    """Try a sample of changes; return 1 if one survived."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=DECIDING, metavar="MODULE")
    parser.add_argument("--sample", type=int, default=400, help="how many changes (400)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (1)")
    parser.add_argument("--only", type=int, nargs="+", help="changes of the sample, by number")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of tests for a change")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        tree = _copied(Path(folder))
        sources = {
            path.relative_to(tree).as_posix(): path.read_text()
            for glob in ("*.py", *(f"{name}/*.py" for name in PACKAGES))
            for path in sorted(tree.glob(glob))
        }
        named = [_paths(module, sources) for module in options.modules]
        random_ = random.Random(options.seed)  # noqa: S311 - a sample that can be drawn again
        found = [
            place
            for path in dict.fromkeys(path for paths in named for path in paths)
            for place in places(path, sources[path])
        ]
        drawn = enumerate(islice(changes(found, sources, random_), options.sample), 1)
        sample = {n: change for n, change in drawn if not options.only or n in options.only}
        print(f"{len(sample)} changes; there are {len(found)} places", flush=True)
        _import_tools(tree)
        selection = Selection(record(tree), sources, options.seconds)
        return _try(sample, selection, sources, tree)


def _try(
    sample: dict[int, Change], selection: Selection, sources: dict[str, str], tree: Path
) -> int:
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    stamps = count(1_000_000_000)
    with suppress(KeyboardInterrupt):  # what was tried by then is a sample, too
        for number, change in sample.items():
            tests = selection.of(change)
            seconds = sum(selection.tests[name]["seconds"] for name in tests)
            noticed = bool(tests) and is_noticed(change, tests, seconds, tree, next(stamps))
            tried[change.path] += 1
            if not noticed:
                survived[change.path] += 1
                shown = change.shown(sources[change.path])
                print(f"{number}: {shown}  ({len(tests)} tests)", flush=True)
    print(f"\n{'module':32} tried survived")
    for path in sorted(tried):
        print(f"{path:32} {tried[path]:5} {survived[path]:8}")
    share = 1 - survived.total() / max(tried.total(), 1)
    print(f"{share:.1%} of {tried.total()} changes noticed by fast tests")
    return int(survived.total() > 0)


def _copied(folder: Path) -> Path:
    """Copy what git would commit, and link the environment."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    return folder


def _paths(module: str, sources: dict[str, str]) -> list[str]:
    path = module.replace(".", "/").removesuffix("/py")
    found = [p for p in sources if p == f"{path}.py" or p.startswith(f"{path}/")]
    return found or sys.exit(f"no such module: {module}")


def _import_tools(tree: Path) -> None:
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    for name in TOOLS:
        import_module(name)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    sys.path[:] = [
        path for path in sys.path if Path(path or ".").resolve() not in {ROOT, ROOT / "scripts"}
    ]
    os.chdir(tree)


if __name__ == "__main__":
    sys.exit(main())
