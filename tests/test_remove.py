"""The operator's command that takes a share back without its token, where the function keeps it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from faulty_gcs import Answer, running_faulty_gcs
from function_server import ROOT, FunctionServer, clean_environ, free_port, serve
from gcs_server import GcsServer, running_gcs_server
from keys import uuid7

import deployed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "shares-remove"


def remove(
    folder: Path, *share_ids: str, tree: Path = ROOT, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/remove_shares.py", *share_ids],
        cwd=tree,
        env=clean_environ() | {"LOCAL_STORAGE_DIR": str(folder), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def post(url: str, photo: bytes, platform: str = "email") -> str:
    answer = httpx.post(url, files={"file": photo}, data={"platform": platform}, timeout=30)
    share_id: str = answer.json()["share_id"]
    return share_id


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsServer]:
    with running_gcs_server() as running:
        running.make_bucket(BUCKET)
        yield running


@pytest.fixture(scope="module")
def function(gcs: GcsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    """A function that keeps its shares in a bucket."""
    env = {"GCS_BUCKET_NAME": BUCKET, "STORAGE_EMULATOR_HOST": gcs.endpoint}
    with serve(tmp_path_factory.mktemp("function"), env) as running:
        yield running


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program, for a deploy.env of its own."""
    folder = tmp_path_factory.mktemp("tree")
    for name in deployed.digests(ROOT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    return folder


def set_deployment(tree: Path, base_url: str) -> None:
    (tree / "deploy.env").write_text(
        f"PROJECT_ID=my-project\nREGION=europe-west1\nGCS_BUCKET_NAME={BUCKET}\n"
        f"RATE_LIMIT_STORAGE_URI=secret:limits\nPUBLIC_BASE_URL={base_url}\n",
        encoding="utf-8",
    )


@pytest.mark.slow
def test_deploy_env_says_where_the_share_is_and_its_links_are_fetched_afterwards(
    tree: Path, function: FunctionServer, gcs: GcsServer, photo: bytes, tmp_path: Path
) -> None:
    set_deployment(tree, function.url)
    share_id = post(function.url, photo)
    removed = remove(tmp_path, share_id, tree=tree, STORAGE_EMULATOR_HOST=gcs.endpoint)
    assert removed.returncode == 0, removed.stderr
    assert removed.stdout.splitlines() == [
        f"{share_id}: gone from gcs storage {BUCKET}",
        *(f"{function.url}/s/{share_id}{end}: 410" for end in ("", ".jpg", "/card.jpg")),
    ]


@pytest.mark.slow
def test_a_link_that_a_cache_still_answers_is_named_and_waited_for(
    tree: Path, function: FunctionServer, gcs: GcsServer, photo: bytes, tmp_path: Path
) -> None:
    with running_faulty_gcs(function.url) as cache:
        set_deployment(tree, cache.endpoint)
        share_id = post(cache.endpoint, photo)
        kept = Answer(200, b"x", (("Cache-Control", "public, max-age=300"), ("Age", "299")))
        stale = Answer(200, b"x", (("Cache-Control", "max-age=0"),))
        cache.add(kept, when=lambda r: r.path == f"/s/{share_id}.jpg", times=1)
        cache.add(stale, when=lambda r: r.path.endswith("card.jpg"), times=9)
        removed = remove(tmp_path, share_id, tree=tree, STORAGE_EMULATOR_HOST=gcs.endpoint)
    link = f"{cache.endpoint}/s/{share_id}"
    assert removed.returncode == 0
    assert f"{link}.jpg: a cache may show it for 1 s more: waiting\n{link}.jpg: 410" in (
        removed.stdout
    )
    assert f"{link}/card.jpg: a cache shows it longer than it may" in removed.stderr


@pytest.mark.slow
def test_where_there_is_nothing_to_remove_it_fails(
    tree: Path, gcs: GcsServer, tmp_path: Path
) -> None:
    set_deployment(tree, f"http://127.0.0.1:{free_port()}")
    share_id = uuid7()
    removed = remove(tmp_path, share_id, tree=tree, STORAGE_EMULATOR_HOST=gcs.endpoint)
    assert removed.returncode == 1
    assert f"{share_id}: nothing to remove in gcs storage {BUCKET}" in removed.stderr
    assert removed.stdout == ""


@pytest.mark.slow
def test_without_deploy_env_the_environment_says_where(
    server: FunctionServer, photo: bytes
) -> None:
    share_id = post(server.url, photo, platform="facebook")
    folder = server.log.parent / "shares"
    removed = remove(folder, share_id, PUBLIC_BASE_URL=server.url)
    assert removed.returncode == 0, removed.stderr
    assert f"{share_id}: gone from local storage" in removed.stdout
    for path in ("", ".jpg", "/card.jpg"):
        assert f"{server.url}/s/{share_id}{path}: 410" in removed.stdout
    assert remove(folder, share_id).returncode == 1


@pytest.mark.slow
def test_what_is_no_share_id_is_named_and_the_others_are_removed(
    server: FunctionServer, photo: bytes
) -> None:
    living = post(server.url, photo)
    removed = remove(server.log.parent / "shares", "nonsense", living)
    assert removed.returncode == 1
    assert "nonsense: not a share id" in removed.stderr
    assert f"{living}: gone" in removed.stdout
