"""scripts/release, on a repository of its own: what it writes and tags, and what it refuses."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config import VERSION

ROOT = Path(__file__).parents[1]
CHANGELOG = """# Changelog

## [Unreleased]

### Added

- Stars.

## [0.9.0] - 2026-01-01

### Added

- The moon.
"""


def program() -> Any:  # noqa: ANN401 - a module
    loader = importlib.machinery.SourceFileLoader("release", str(ROOT / "scripts/release"))
    spec = importlib.util.spec_from_loader("release", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


PLACES: dict[str, str] = program().PLACES


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    names = {
        f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    env = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), **names}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
    )


def git(folder: Path, *arguments: str) -> str:
    done = run(folder, "git", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def release(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    return run(folder, sys.executable, "-S", "-E", str(ROOT / "scripts/release"), version)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    for name in PLACES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    git(folder.parent, "init", "--quiet", str(folder))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=all")
    return folder


def test_a_release_is_one_commit_with_a_tag_and_the_version_everywhere(repository: Path) -> None:
    done = release(repository, "7.8.9")
    assert done.returncode == 0, done.stderr
    assert git(repository, "describe", "--exact-match") == "v7.8.9\n"
    assert git(repository, "log", "--format=%s", "-2").split("\n")[:2] == ["Release 7.8.9", "all"]
    assert git(repository, "status", "--porcelain") == ""
    changed = git(repository, "diff", "--name-only", "HEAD~").split()
    assert sorted(changed) == sorted(["CHANGELOG.md", *PLACES])
    for name, place in PLACES.items():
        text = (repository / name).read_text(encoding="utf-8")
        assert place.format("7.8.9") in text
        assert place.format(VERSION) not in text


def test_what_was_unreleased_stands_under_its_version_and_today(repository: Path) -> None:
    release(repository, "7.8.9")
    text = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    expected = f"## [Unreleased]\n\n## [7.8.9] - {today}\n\n### Added\n\n- Stars.\n\n## [0.9.0]"
    assert expected in text


def test_the_version_that_the_tree_bears_can_be_released_once(repository: Path) -> None:
    assert release(repository, VERSION).returncode == 0
    again = release(repository, VERSION)
    assert (again.returncode, again.stderr) == (2, f"The tag v{VERSION} exists.\n")


@pytest.mark.parametrize(
    ("version", "said"),
    [("0.0.1", "0.0.1 is below"), ("1.2", "is no version"), ("v9.0.0", "is no version")],
)
def test_a_version_that_makes_no_sense_is_refused(
    repository: Path, version: str, said: str
) -> None:
    assert_refused(repository, version, said)


@pytest.mark.parametrize("name", ["new.txt", "config/__init__.py"])
def test_a_dirty_tree_is_refused(repository: Path, name: str) -> None:
    with (repository / name).open("a", encoding="utf-8") as file:
        file.write("# more\n")
    assert_refused(repository, "7.8.9", "The tree is dirty")


def test_a_release_without_changes_is_refused(repository: Path) -> None:
    text = CHANGELOG.replace("- Stars.\n", "")
    (repository / "CHANGELOG.md").write_text(text, encoding="utf-8")
    git(repository, "commit", "--quiet", "--all", "--message=none")
    assert_refused(repository, "7.8.9", "nothing under Unreleased")


def test_a_file_that_lost_the_version_is_named(repository: Path) -> None:
    path = repository / "openapi.json"
    path.write_text(path.read_text().replace(f'"version": "{VERSION}"', ""), encoding="utf-8")
    git(repository, "commit", "--quiet", "--all", "--message=lost")
    assert_refused(repository, "7.8.9", "openapi.json does not hold")


def assert_refused(repository: Path, version: str, said: str) -> None:
    before = git(repository, "status", "--porcelain"), git(repository, "log")
    done = release(repository, version)
    assert done.returncode == 2
    assert said in done.stderr
    assert (git(repository, "status", "--porcelain"), git(repository, "log")) == before
    assert git(repository, "tag") == ""


def test_the_version_stands_where_a_release_looks_for_it_and_nowhere_else() -> None:
    for name, place in PLACES.items():
        assert (ROOT / name).read_text(encoding="utf-8").count(place.format(VERSION)) == 1, name
    files = [
        *ROOT.glob("*.py"),
        *ROOT.glob("serving/*.py"),
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
    ]
    number = re.compile(rf"(?<![\d.]){re.escape(VERSION)}(?![\d.]*\d)")
    bearing = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if number.search(path.read_text(encoding="utf-8"))
    }
    assert bearing - {"CHANGELOG.md"} <= set(PLACES)
