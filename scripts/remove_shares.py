"""Delete shares by their ids, and check that their links are gone; run by scripts/remove.

    deploy.env, else the environment ── storage ── Shares.delete
                                    └── links, fetched until no cache serves them

The exit status depends on storage: 0 if every share existed and is deleted, otherwise 1.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parent.parent))

from deployment import SETTINGS_FILE, read_deployment
from http_client import Client

from config import load_settings
from errors import ConfigurationError, Gone, NotFound, StorageUnavailable
from links import CACHE_MAX_AGE_S, share_links
from logs import Log
from share_objects import CARD, PICTURE
from shares import Shares
from storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 20.0
ASK_AGAIN_S = 5.0


def main(texts: list[str]) -> int:
    """Delete each share, wait for its links to end, and return the exit status."""
    variables, base_url = place()
    settings = load_settings(variables)
    storage = open_storage(settings)
    log = Log(settings.log_level, project_id=settings.project_id)
    shares = Shares(storage, settings.share_ttl, log)
    where = f"{storage.kind} storage {storage.location}"
    removed = [text for text in texts if is_removed(shares, text, where)]
    if removed and base_url is None:
        print("PUBLIC_BASE_URL is not set: links were not fetched", file=sys.stderr)
    for share_id in removed if base_url else ():
        addresses = share_links(base_url or "", UUID(share_id))
        for link in (addresses.page, addresses.picture, addresses.card):
            see_it_end(link)
    return 0 if len(removed) == len(texts) else 1


def place() -> tuple[Mapping[str, str], str | None]:
    """Return the settings of the function, and its address where that is known."""
    if not SETTINGS_FILE.exists():
        return os.environ, os.environ.get("PUBLIC_BASE_URL") or None
    target = read_deployment(SETTINGS_FILE)
    describe = ("gcloud", "run", "services", "describe", target.name, *target.place)
    base_url = target.variables.get("PUBLIC_BASE_URL", "")
    with suppress(FileNotFoundError):
        base_url = (
            base_url
            or subprocess.run(
                [*describe, "--format=value(status.url)"],
                check=False,
                capture_output=True,
                text=True,
            ).stdout.strip()
        )
    return target.variables, base_url.rstrip("/") or None


def is_removed(shares: Shares, text: str, where: str) -> bool:
    """Delete one share; return whether it was there and is gone, and say so."""
    try:
        share_id = shares.parse_id(text)
        was_there = is_there(shares, share_id)
        shares.delete(share_id)
        is_left = is_there(shares, share_id)
    except NotFound:
        return _failed(f"{text}: not a share id (a UUIDv7, as in the link /s/SHARE_ID)")
    except StorageUnavailable as error:
        return _failed(f"{text}: not deleted: {error.reason}")
    if is_left:
        return _failed(f"{text}: still in {where}")
    if not was_there:
        return _failed(f"{text}: nothing to remove in {where}")
    print(f"{text}: gone from {where}", flush=True)
    return True


def _failed(line: str) -> bool:
    print(line, file=sys.stderr)
    return False


def is_there(shares: Shares, share_id: UUID) -> bool:
    """Return whether storage holds anything of a share."""
    for rendition in (PICTURE, CARD):
        with suppress(NotFound, Gone):
            shares.stat(share_id, rendition)
            return True
    return False


def see_it_end(link: str) -> None:
    """Fetch a link until it ends; name it, and how long caches may show it, where it does not."""
    client, deadline = Client(link, timeout_s=TIMEOUT_S), None
    while True:
        try:
            answer = client.ask("GET", link)
        except OSError as error:
            print(f"{link}: not fetched: {error}", file=sys.stderr)
            return
        if answer.status != HTTPStatus.OK:
            print(f"{link}: {answer.status}", flush=True)
            return
        left_s = _freshness_s(
            answer.headers.get("Cache-Control", ""), answer.headers.get("Age", "")
        )
        if deadline is None:
            deadline = time.monotonic() + left_s
            print(f"{link}: a cache may show it for {left_s} s more: waiting", flush=True)
        elif time.monotonic() >= deadline:
            print(f"{link}: a cache shows it longer than it may: clear that cache", file=sys.stderr)
            return
        time.sleep(min(ASK_AGAIN_S, max(0.1, deadline - time.monotonic())))


def _freshness_s(cache_control: str, age: str) -> int:
    """Return how long a copy may live on: its max-age without its age (RFC 9111, section 4.2)."""
    found = re.search(r"max-age=(\d+)", cache_control)
    max_age_s = int(found[1]) if found else CACHE_MAX_AGE_S
    return max(0, max_age_s - int(age if age.isdigit() else 0))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ConfigurationError as error:
        sys.exit(str(error))
