"""What is uploaded runs by itself: unpacked alone, with its own requirements, and verified.

    the tree ── archive ── an empty folder ─┐
    requirements.txt ── a fresh environment ┴── functions-framework ── scripts/verify

The archive is made twice: by gcloud's own code, where gcloud is installed, and by deployed.py's
independent reading of .gcloudignore, always.
"""

from __future__ import annotations

import compileall
import fcntl
import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from function_server import serve
from test_deployed import ask_gcloud

import deployed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NOT_OURS = shutil.ignore_patterns(".[!g]*", ".git", "__pycache__", "node_modules")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that lies about in a working tree; a copy, which nobody edits meanwhile."""
    folder = tmp_path_factory.mktemp("upload") / "tree"
    shutil.copytree(ROOT, folder, ignore=NOT_OURS)
    (folder / "deploy.env").write_text("PROJECT_ID=real\n", encoding="utf-8")
    (folder / ".env").touch()
    (folder / "package.json").write_text("{}", encoding="utf-8")
    return folder


def read_ignore_file(tree: Path, target: Path) -> Path:
    """Copy what deployed.py says is uploaded."""
    for name in deployed.digests(tree):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree / name, target / name)
    return target


def gcloud_archives(tree: Path, folder: Path) -> dict[str, Path]:
    """Unpack what gcloud uploads, by the command that does."""
    archives = folder / "archives"
    (folder / "config").mkdir()
    answer = ask_gcloud(folder / "config", tree=str(tree), archives=str(archives))
    unpacked = {}
    for command in ("functions deploy", "run deploy"):
        with zipfile.ZipFile(answer[command]) as archive:
            archive.extractall(folder / command)
        unpacked[command] = folder / command
    return unpacked


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def fresh_python() -> Path:
    """The Python of an environment that holds requirements.txt and nothing else.

    Made once for each requirements.txt, beside the environment that runs the tests.
    """
    requirements = ROOT / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    kept = Path(sys.prefix) / "fresh"
    kept.mkdir(exist_ok=True)
    environment = kept / digest
    python = environment / "bin/python"
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # someone else may be making it
        if not (environment / "complete").exists():
            for other in kept.glob("*/"):
                shutil.rmtree(other)
            pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet"]
            venv = [sys.executable, "-m", "venv", "--without-pip", str(environment)]
            subprocess.run(venv, check=True)
            subprocess.run(
                [*pip, "install", "--no-compile", "--requirement", str(requirements)], check=True
            )
            subprocess.run([*pip, "check"], check=True)  # as the build does
            (environment / "complete").touch()
    return python


def assert_works(uploaded: Path, tree: Path, folder: Path, python: Path) -> None:
    """Start what was uploaded as the host does, and verify it against the tree."""
    assert compileall.compile_dir(uploaded, quiet=2)  # as the build does
    env = {"PYTHONPATH": "", "VIRTUAL_ENV": ""}
    with serve(folder, env, source=uploaded, python=python) as server:
        done = subprocess.run(
            [sys.executable, "-S", "-E", str(tree / "scripts/verify"), server.url],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + server.log_text()


def test_the_archive_that_gcloud_makes_works_alone(
    tree: Path, tmp_path: Path, fresh_python: Path
) -> None:
    archives = gcloud_archives(tree, tmp_path)
    assert contents(archives["functions deploy"]) == contents(archives["run deploy"])
    assert_works(archives["functions deploy"], tree, tmp_path, fresh_python)


def test_what_the_ignore_file_lets_through_works_alone(
    tree: Path, tmp_path: Path, fresh_python: Path
) -> None:
    assert_works(read_ignore_file(tree, tmp_path / "uploaded"), tree, tmp_path, fresh_python)


def test_a_file_that_is_missing_from_the_upload_is_found(
    tree: Path, tmp_path: Path, fresh_python: Path
) -> None:
    uploaded = read_ignore_file(tree, tmp_path / "uploaded")
    shutil.rmtree(uploaded / "serving" / "templates")
    with pytest.raises(AssertionError, match=r"serving/templates/share\.html is missing there"):
        assert_works(uploaded, tree, tmp_path, fresh_python)


def test_the_fresh_environment_holds_no_development_package(fresh_python: Path) -> None:
    for name, is_there in (("flask", True), ("pytest", False), ("httpx", False)):
        done = subprocess.run(
            [fresh_python, "-I", "-c", f"import {name}"], capture_output=True, check=False
        )
        assert (done.returncode == 0) is is_there, name


def test_nothing_private_is_uploaded(tree: Path, tmp_path: Path) -> None:
    names = set(contents(read_ignore_file(tree, tmp_path)))
    assert {"main.py", "requirements.txt", "openapi.json"} <= names
    private = {"deploy.env", "deploy.env.example", ".env", "package.json", ".gitignore"}
    assert not private & names
    assert not {
        name for name in names if name.startswith(("tests/", "docs/", "scripts/", "bench/"))
    }


def test_nothing_that_could_make_the_build_choose_another_language_is_uploaded(tree: Path) -> None:
    at_the_root = [name for name in deployed.digests(tree) if "/" not in name]
    assert not [name for name in at_the_root if name == "package.json" or name.endswith(".js")]
