"""The operator's command that takes a share back without its token."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from function_server import ROOT, clean_environ
from keys import uuid7
from test_main import post

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient


def remove(folder: Path, *share_ids: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/remove_shares.py", *share_ids],
        cwd=ROOT,
        env=clean_environ() | {"LOCAL_STORAGE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_share_is_gone_from_every_address(
    client: FlaskClient, photo: bytes, tmp_path: Path
) -> None:
    share_id = post(client, photo, platform="email").get_json()["share_id"]
    removed = remove(tmp_path / "shares", share_id)
    assert removed.returncode == 0
    assert f"{share_id}: gone from local storage" in removed.stdout
    for path in ("", ".jpg", "/card.jpg"):
        assert client.get(f"/s/{share_id}{path}").status_code == 410
    assert remove(tmp_path / "shares", share_id).returncode == 0


def test_what_is_no_share_id_is_named_and_the_others_are_removed(tmp_path: Path) -> None:
    living = uuid7()
    removed = remove(tmp_path / "shares", "nonsense", living)
    assert removed.returncode == 1
    assert "nonsense: not a share id" in removed.stderr
    assert f"{living}: gone" in removed.stdout
