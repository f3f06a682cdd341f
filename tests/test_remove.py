"""The operator's command that takes a share back without its token, where the function keeps it."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from faulty_gcs import Answer, running_faulty_gcs
from function_server import ROOT, FunctionServer, clean_environ, free_port, serve
from gcs_server import GcsServer, running_gcs_server
from keys import uuid7
from pictures import encoded, photo_jpeg
from PIL import Image, ImageOps
from posting import post as posted

import deployed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import MakeClient
    from flask.testing import FlaskClient

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
    env: Any = {"GCS_BUCKET_NAME": BUCKET, "STORAGE_EMULATOR_HOST": gcs.endpoint}
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


# --- pictures that are to stay away


def as_webp(photo: bytes) -> bytes:
    return encoded(Image.open(io.BytesIO(photo)), "WEBP", quality=40)


def half(photo: bytes) -> bytes:
    return encoded(Image.open(io.BytesIO(photo)).reduce(2), "PNG")


def cropped(picture: bytes) -> bytes:
    opened = Image.open(io.BytesIO(picture))
    return encoded(opened.crop((0, 0, round(opened.width * 0.95), opened.height)), "JPEG")


def mirrored(photo: bytes) -> bytes:
    return encoded(ImageOps.mirror(Image.open(io.BytesIO(photo))), "JPEG", quality=80)


def folder_with(photo: bytes, make_client: MakeClient, folder: Path) -> tuple[FlaskClient, str]:
    """Return the function on a folder, and the id of a share of the photo there."""
    client = make_client(LOCAL_STORAGE_DIR=str(folder), RATE_LIMIT="1000/hour")
    return client, posted(client, photo, platform="facebook").get_json()["share_id"]


def test_a_blocked_picture_is_refused_as_every_copy_of_it_until_it_is_unblocked(
    make_client: MakeClient, photo: bytes, tmp_path: Path
) -> None:
    client, share_id = folder_with(photo, make_client, tmp_path)
    other = posted(client, photo, platform="x").get_json()["share_id"]
    picture = client.get(f"/s/{share_id}.jpg?raw").data
    blocked = remove(tmp_path, "--block", f"https://shop.example/s/{share_id}?via=x")
    assert blocked.returncode == 0, blocked.stderr
    assert blocked.stdout.splitlines() == [
        f"{share_id}: copies are refused within 60 s",
        f"{share_id}: gone from local storage {tmp_path}",
    ]
    assert client.get(f"/s/{share_id}").status_code == 410
    assert client.get(f"/s/{other}").status_code == 200
    listed = remove(tmp_path, "--list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [share_id]
    assert re.fullmatch(r"\S+  shared \d{4}-\d\d-\d\d \d\d:\d\d UTC", listed[0])

    fresh = make_client(LOCAL_STORAGE_DIR=str(tmp_path), RATE_LIMIT="1000/hour")
    copies = (photo, picture, as_webp(photo), half(photo), mirrored(photo), cropped(picture))
    for copy in copies:
        for platform, fit in (("facebook", "cover"), ("instagram", "pad"), ("email", "inside")):
            answer = posted(fresh, copy, platform=platform, fit=fit)
            assert answer.get_json().get("code") == "picture_refused", (
                platform,
                len(copy),
                answer.get_json(),
            )
    assert posted(fresh, photo_jpeg((600, 450)), platform="x").status_code == 200

    unblocked = remove(tmp_path, "--unblock", f"{share_id}.jpg", f"/s/{share_id}.jpg")
    assert (unblocked.returncode, unblocked.stdout.count("accepted again")) == (1, 1)
    assert remove(tmp_path, "--list").stdout == ""
    again = make_client(LOCAL_STORAGE_DIR=str(tmp_path), RATE_LIMIT="1000/hour")
    assert all(posted(again, copy, platform="x").status_code == 200 for copy in copies)


def test_what_cannot_be_blocked_is_removed_all_the_same_and_named(
    make_client: MakeClient, photo: bytes, tmp_path: Path
) -> None:
    client, gone = folder_with(photo, make_client, tmp_path)
    plain = posted(
        client, encoded(Image.new("RGB", (64, 64), "teal"), "JPEG"), platform="x"
    ).get_json()["share_id"]
    remove(tmp_path, gone)
    never = uuid7()
    done = remove(tmp_path, "--block", gone, plain, never, "no-id")
    assert done.returncode == 1
    nothing = "not blocked: there is no picture to recognise copies by"
    *said, _ = done.stderr.splitlines()  # the last one: links were not fetched
    assert said == [
        f"{gone}: {nothing}",
        f"{plain}: not blocked: too little is in the picture to recognise copies",
        f"{never}: {nothing}",
        f"no-id: {nothing}",
        f"{gone}: nothing to remove in local storage {tmp_path}",
        f"{never}: nothing to remove in local storage {tmp_path}",
        "no-id: not a share id (a UUIDv7, as in the link /s/SHARE_ID)",
    ]
    assert done.stdout.splitlines() == [f"{plain}: gone from local storage {tmp_path}"]
    assert remove(tmp_path, "--list").stdout == ""


@pytest.mark.parametrize(
    "arguments", [(), ("--list", "x"), ("--block",), ("--block", "--unblock", "x"), ("--blok", "x")]
)
def test_arguments_that_make_no_sense_remove_nothing(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = remove(tmp_path, *arguments)
    assert done.returncode == 2
    assert "usage: scripts/remove" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_bucket_keeps_the_list_and_a_list_that_cannot_be_read_publishes_nothing(
    gcs: GcsServer,
    photo: bytes,
    tmp_path: Path,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_faulty_gcs(gcs.endpoint) as storage:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.endpoint)
        env: Any = {"GCS_BUCKET_NAME": BUCKET, "STORAGE_EMULATOR_HOST": storage.endpoint}
        client = make_client(**env)
        share_id = posted(client, photo, platform="x").get_json()["share_id"]
        assert remove(tmp_path, "--block", share_id, **env).returncode == 0
        assert remove(tmp_path, "--list", **env).stdout.startswith(f"{share_id}  shared")
        fresh = make_client(**env)
        assert posted(fresh, half(photo), platform="email").status_code == 400
        storage.add(Answer(403, b"{}"), when=lambda r: "prefix=blocked" in r.path, times=9)
        denied = make_client(**env)
        answer = posted(denied, photo_jpeg((600, 450)), platform="x")
        assert (answer.status_code, answer.get_json()["code"]) == (503, "storage_unavailable")
        assert remove(tmp_path, "--unblock", share_id, **env).returncode == 1
        storage.clear()
        assert remove(tmp_path, "--unblock", share_id, **env).returncode == 0
        assert remove(tmp_path, "--list", **env).stdout == ""
