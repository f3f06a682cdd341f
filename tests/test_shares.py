from __future__ import annotations

import functools
import hashlib
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import or_
from typing import TYPE_CHECKING

import pictures
import pytest
from keys import uuid7
from sharing import LOG, create, form, mint_key, object_names, rendered

from config import load_settings
from errors import Gone, InvalidFields, NotFound, ObjectNotFound
from imaging.geometry import Fit
from share_keys import ShareKey, parse_uuid7, share_id_of
from share_objects import CARD, PICTURE
from shares import Shares
from storage import open_storage

if TYPE_CHECKING:
    from pathlib import Path


def stored_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("shares/*/*/*.jpg"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def shares(folder: Path) -> Shares:
    settings = load_settings({"LOCAL_STORAGE_DIR": str(folder)})
    return Shares(open_storage(settings), settings.share_ttl, LOG)


@pytest.fixture(scope="module")
def other_photo() -> bytes:
    return pictures.photo_jpeg((320, 480))


def test_a_share_id_is_the_keys_time_then_its_sha256() -> None:
    key = mint_key()
    share_id = share_id_of(key)
    digest = int.from_bytes(hashlib.sha256(key.bytes).digest(), "big")
    assert share_id.version == 7
    assert share_id.variant == uuid.RFC_4122
    assert share_id.int >> 80 == key.int >> 80
    assert share_id.int & (1 << 62) - 1 == digest & (1 << 62) - 1
    assert share_id.int >> 64 & 0xFFF == digest >> 62 & 0xFFF
    assert share_id_of(key) == share_id


def test_minted_keys_carry_the_time_and_never_repeat() -> None:
    keys = {mint_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(abs((k.int >> 80) / 1000 - time.time()) < 5 for k in keys)
    assert {k.version for k in keys} == {7}


def test_every_bit_of_a_minted_key_that_may_vary_does() -> None:
    keys = [mint_key().int for _ in range(200)]
    varying = functools.reduce(or_, (key ^ keys[0] for key in keys)) & (1 << 80) - 1
    assert varying == (0xFFF << 64) | (1 << 62) - 1


def test_a_share_can_be_read_back_with_what_was_said_of_it(shares: Shares, photo: bytes) -> None:
    share = create(shares, form(photo))
    stored, data = shares.read(share.share_id, PICTURE)
    assert data.startswith(b"\xff\xd8\xff")
    assert stored.size_bytes == len(data)
    assert shares.find(share.share_id) == share
    assert (share.platform, share.effect_type) == ("email", "ink")
    assert (share.width, share.height, share.content_type) == (640, 480, "image/jpeg")
    told = shares.stat(share.share_id, PICTURE)
    assert told.metadata["expires"] == str(share.expires_at)


def test_object_names_come_from_the_id_alone(shares: Shares, photo: bytes, folder: Path) -> None:
    share = create(shares, form(photo, platform="../../x", effect_type="/etc/passwd"))
    stored = {path.relative_to(folder).as_posix() for path in folder.glob("shares/*/*/*")}
    assert stored == object_names(share.share_id, PICTURE, CARD)


def test_a_share_ends_a_day_after_its_key_was_made(shares: Shares, photo: bytes) -> None:
    key = parse_uuid7(uuid7(age_s=200))
    assert key is not None
    share = create(shares, form(photo), key)
    assert share.expires_at == int((key.int >> 80) / 1000 + 86400)


def test_picture_and_card_are_one_object_where_they_are_the_same(
    shares: Shares, photo: bytes, folder: Path
) -> None:
    share = create(shares, form(photo, platform="facebook"))
    assert stored_files(folder) == ["picture.jpg"]
    assert shares.read(share.share_id, CARD) == shares.read(share.share_id, PICTURE)


def test_another_instance_finds_the_card_of_a_share_that_is_one_object(
    shares: Shares, photo: bytes, folder: Path
) -> None:
    share = create(shares, form(photo, platform="facebook"))
    settings = load_settings({"LOCAL_STORAGE_DIR": str(folder)})
    elsewhere = Shares(open_storage(settings), settings.share_ttl, LOG)
    assert elsewhere.read(share.share_id, CARD)[0].size_bytes == share.size_bytes


def test_a_share_that_ends_while_its_picture_arrives_is_gone_and_not_stored(
    folder: Path, photo: bytes
) -> None:
    settings = load_settings({"LOCAL_STORAGE_DIR": str(folder), "SHARE_TTL_HOURS": "0.05"})
    shares = Shares(open_storage(settings), settings.share_ttl, LOG)
    asked = form(photo)
    renditions = rendered(asked)
    ended = ShareKey(value=uuid.UUID(uuid7(age_s=181)), is_minted=False)
    with pytest.raises(Gone):
        shares.store(ended, asked, *renditions)
    assert stored_files(folder) == []


def test_the_same_key_and_form_give_the_same_share(
    shares: Shares, photo: bytes, folder: Path
) -> None:
    key = mint_key()
    first, again = create(shares, form(photo), key), create(shares, form(photo), key)
    assert again == first
    assert stored_files(folder) == ["card.jpg", "picture.jpg"]


def test_two_requests_with_one_key_at_once_give_the_same_share(
    shares: Shares, photo: bytes, folder: Path
) -> None:
    key = mint_key()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: create(shares, form(photo), key), range(4)))
    assert made == [made[0]] * 4
    assert stored_files(folder) == ["card.jpg", "picture.jpg"]


def test_a_key_that_came_with_another_form_is_refused_and_changes_nothing(
    shares: Shares, photo: bytes, other_photo: bytes
) -> None:
    key = mint_key()
    before = shares.read(create(shares, form(photo), key).share_id, PICTURE)
    for other in (
        form(other_photo),
        form(photo + b"x"),  # what differs may be the last byte
        form(photo, platform="x"),
        form(photo, effect_type="oil"),
        form(photo, fit=Fit.INSIDE),  # as it is by default: the same picture
    ):
        with pytest.raises(InvalidFields) as caught:
            create(shares, other, key)
        assert caught.value.problems[0].loc == ("header", "Idempotency-Key")
    assert shares.read(share_id_of(key), PICTURE) == before


def test_a_form_without_newer_fields_is_stored_and_known_as_before_they_existed(
    shares: Shares, photo: bytes
) -> None:
    key = mint_key()
    share = create(shares, form(photo), key)
    metadata = shares.stat(share.share_id, PICTURE).metadata
    assert not {"lang", "alt"} & set(metadata)
    fields = b"email\0ink\0\0" + hashlib.sha256(photo).digest()
    assert metadata["fingerprint"] == hashlib.sha256(fields).hexdigest()
    assert shares.find(share.share_id) == share
    assert (share.lang, share.alt) == ("", "")


def test_language_and_description_are_kept_with_the_share(shares: Shares, photo: bytes) -> None:
    sent = replace(form(photo), lang="de-CH", alt="Ein Kätzchen, schläft")
    share = create(shares, sent, mint_key())
    assert (share.lang, share.alt) == (sent.lang, sent.alt)
    assert shares.find(share.share_id) == share


def test_an_id_is_read_only_while_it_may_live(shares: Shares) -> None:
    living = uuid7(age_s=86_390)
    assert str(shares.parse_live_id(living)) == living
    with pytest.raises(Gone):
        shares.parse_live_id(uuid7(age_s=86_401))
    with pytest.raises(ObjectNotFound):
        shares.read(shares.parse_live_id(living), PICTURE)


@pytest.mark.parametrize(
    "text",
    ["", "x", "..", str(uuid.uuid4()), uuid7(age_s=-3600), uuid7().upper(), uuid7() + "/"],
    ids=["empty", "letter", "dots", "version 4", "ahead", "capitals", "slash"],
)
def test_what_is_no_share_id_was_never_there(shares: Shares, text: str) -> None:
    with pytest.raises(NotFound):
        shares.parse_live_id(text)
