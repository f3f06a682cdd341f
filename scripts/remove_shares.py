"""Delete shares, block their pictures, and check that their links are gone; run by scripts/remove.

    deploy.env, else the environment ── storage ──┬── the list of blocked pictures
                                    │             └── Shares.delete
                                    └── links, fetched until no cache serves them

The exit status depends on storage: 0 if all that was asked for was there and is done, else 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parent.parent))

from deployment import SETTINGS_FILE, read_deployment
from http_client import Client

from config import load_settings
from errors import ConfigurationError, Gone, NotFound, StorageUnavailable
from imaging.likeness import PLAIN, is_plain, likenesses
from links import CACHE_MAX_AGE_S, share_links
from logs import Log
from moderation.blocklist import MAX_AGE_S, Blocked, block, blocked
from share_keys import time_s
from share_objects import CARD, PICTURE
from shares import Shares
from storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage import Storage

TIMEOUT_S = 20.0
ASK_AGAIN_S = 5.0


def main(arguments: list[str]) -> int:
    """Do what is asked for, and return the exit status."""
    asked = parsed(arguments)
    variables, base_url = place()
    settings = load_settings(variables)
    storage = open_storage(settings)
    if asked.list or asked.unblock:
        return changed_list(storage, asked)
    log = Log(settings.log_level, project_id=settings.project_id)
    remover = Remover(storage, Shares(storage, settings.share_ttl, log))
    texts = list(dict.fromkeys(map(share_id_in, asked.shares)))
    done = [not asked.block or remover.is_blocked(text) for text in texts]
    removed = [text for text in texts if remover.is_removed(text)]
    if removed and base_url is None:
        print("PUBLIC_BASE_URL is not set: links were not fetched", file=sys.stderr)
    for share_id in removed if base_url else ():
        addresses = share_links(base_url or "", UUID(share_id))
        for link in (addresses.page, addresses.picture, addresses.card):
            see_it_end(link)
    return 0 if all(done) and len(removed) == len(texts) else 1


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Return the arguments; end the program with the usage if they make no sense."""
    parser = argparse.ArgumentParser("scripts/remove", description=(__doc__ or "").split(";")[0])
    parser.add_argument(
        "shares", nargs="*", metavar="SHARE", help="an id, a page, a picture's link"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--block", action="store_true", help="refuse copies of the pictures, too")
    what.add_argument("--unblock", action="store_true", help="accept them again")
    what.add_argument("--list", action="store_true", help="the shares whose pictures are blocked")
    asked = parser.parse_args(arguments)
    if asked.list == bool(asked.shares):
        parser.error("--list takes no share" if asked.list else "name a share")
    return asked


def share_id_in(text: str) -> str:
    """Return the share id in the address of a page, a picture or a card; another text as it is."""
    found = re.search(r"/s/([^/?#.]+)(?:\.jpg|/card\.jpg)?/?(?:[?#].*)?$", text.strip())
    return found[1] if found else text.strip()


def changed_list(storage: Storage, asked: argparse.Namespace) -> int:
    """Show the list of blocked pictures, or take some off it; return the exit status."""
    try:
        listed = blocked(storage)
        if asked.list:
            for share_id in sorted({picture.share_id for picture in listed}):
                print(f"{share_id}  shared {shared_at(share_id)}")
            return 0
        done = [is_unblocked(storage, listed, text) for text in asked.shares]
        return 0 if all(done) else 1
    except StorageUnavailable as error:
        print(f"the list of blocked pictures: {error.reason}", file=sys.stderr)
        return 1


def shared_at(share_id: UUID) -> str:
    """Return when a share was begun, as people write it."""
    return f"{datetime.fromtimestamp(time_s(share_id), UTC):%Y-%m-%d %H:%M} UTC"


def is_unblocked(storage: Storage, listed: list[Blocked], text: str) -> bool:
    """Take the picture of a share off the list; return whether it was there, and say so."""
    share_id = share_id_in(text)
    found = [picture for picture in listed if str(picture.share_id) == share_id]
    for picture in found:
        storage.remove(picture.name)
    if not found:
        return _failed(f"{share_id}: its picture is not blocked")
    print(f"{share_id}: accepted again within {MAX_AGE_S:.0f} s", flush=True)
    return True


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


class Remover:
    """Takes shares out of the storage that keeps them."""

    def __init__(self, storage: Storage, shares: Shares) -> None:
        self._storage = storage
        self._shares = shares
        self._name = f"{storage.kind} storage {storage.location}"

    def is_blocked(self, text: str) -> bool:
        """Block the picture of a share that is there; return whether it could be, and say so."""
        try:
            looks = self._looks(self._shares.parse_id(text))
            for likeness in looks:
                block(self._storage, Blocked(likeness=likeness, share_id=UUID(text)))
        except (NotFound, Gone):
            return _failed(f"{text}: not blocked: there is no picture to recognise copies by")
        except StorageUnavailable as error:
            return _failed(f"{text}: not blocked: {error.reason}")
        if not looks:
            return _failed(f"{text}: not blocked: too little is in the picture to recognise copies")
        print(f"{text}: copies are refused within {MAX_AGE_S:.0f} s", flush=True)
        return True

    def is_removed(self, text: str) -> bool:
        """Delete one share; return whether it was there and is gone, and say so."""
        try:
            share_id = self._shares.parse_id(text)
            was_there = self._is_there(share_id)
            self._shares.delete(share_id)
            is_left = self._is_there(share_id)
        except NotFound:
            return _failed(f"{text}: not a share id (a UUIDv7, as in the link /s/SHARE_ID)")
        except StorageUnavailable as error:
            return _failed(f"{text}: not deleted: {error.reason}")
        if is_left:
            return _failed(f"{text}: still in {self._name}")
        if not was_there:
            return _failed(f"{text}: nothing to remove in {self._name}")
        print(f"{text}: gone from {self._name}", flush=True)
        return True

    def _looks(self, share_id: UUID) -> set[str]:
        """Return what the upload of a share, its picture and its card look like."""
        upload = self._shares.stat(share_id, PICTURE).metadata.get("likeness", PLAIN)
        published = (self._shares.read(share_id, rendition)[1] for rendition in (PICTURE, CARD))
        looks = {upload, *(look for jpeg in published for look in likenesses(jpeg))}
        return {look for look in looks if not is_plain(look)}

    def _is_there(self, share_id: UUID) -> bool:
        """Return whether storage holds anything of a share."""
        for rendition in (PICTURE, CARD):
            with suppress(NotFound, Gone):
                self._shares.stat(share_id, rendition)
                return True
        return False


def _failed(line: str) -> bool:
    print(line, file=sys.stderr)
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
