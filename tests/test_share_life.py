"""Any order of creating, sending again, reading, taking back and expiring, against a model."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pictures
import pytest
from gcs_server import running_gcs_server
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from keys import uuid7
from sharing import LOG, form, object_names, rendered
from stored import kept_in

from config import load_settings
from errors import Gone, NotFound, UnusableKey
from share_keys import parse_uuid7, share_id_of
from share_objects import CARD, PICTURE
from shares import Shares
from storage import BucketStorage, LocalStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from image_ops import Rendition
    from serving.forms import Form
    from storage import Storage

OLD_S = 700.0  # of a key: nothing can arrive late any more
SHORT_TTL_HOURS = str(600 / 3600)  # under which such a key has ended


@dataclass
class Life:
    """What should be there under a key; one that was minted is never sent again."""

    is_old: bool
    is_minted: bool = False
    state: str = "nothing"
    form: Form | None = None


@cache
def forms() -> tuple[Form, ...]:
    """Return two pictures, and one of them for a network whose canvas is the card's."""
    one, other = (pictures.photo_jpeg(size) for size in ((64, 48), (48, 64)))
    return form(one), form(other), form(one, platform="facebook")


@cache
def renditions(number: int) -> tuple[Rendition, Rendition]:
    return rendered(forms()[number])


class Lives(RuleBasedStateMachine):
    """Plays with a few keys, so that rules meet."""

    def __init__(self, storage: Storage, kept: Callable[[], set[str]]) -> None:
        super().__init__()
        self.storage = storage
        self.kept = kept
        self.keys = [uuid7(), uuid7(), uuid7(age_s=OLD_S)]
        self.lives = {
            key: Life(is_old=number == 2) for number, key in enumerate(map(self._uuid, self.keys))
        }
        self.has_expired = False
        self.shares = self._started()

    @staticmethod
    def _uuid(text: str) -> UUID:
        found = parse_uuid7(text)
        assert found is not None
        return found

    def _started(self) -> Shares:
        env = {"SHARE_TTL_HOURS": SHORT_TTL_HOURS} if self.has_expired else {}
        return Shares(self.storage, load_settings(env).share_ttl, LOG)

    def _key(self, number: int) -> UUID:
        return list(self.lives)[number % len(self.lives)]

    def _is_over(self, life: Life) -> bool:
        return life.is_old and self.has_expired

    @rule(which=st.integers(0, 5), number=st.integers(0, 2))
    def create(self, which: int, number: int) -> None:
        """Share a picture under a client's key, for the first time or again."""
        key, asked = self._key(which), forms()[number]
        life = self.lives[key]
        picture, card = renditions(number)

        def create() -> None:
            share = self.shares.store(self.shares.begin(key), asked, picture, card)
            assert share.share_id == share_id_of(key)
            assert (share.platform, share.size_bytes) == (asked.platform, len(picture.data))

        if self._is_over(life) or life.state == "taken back":
            with pytest.raises(Gone):
                create()
        elif life.form is not None and (life.is_minted or life.form != asked):
            with pytest.raises(UnusableKey):
                create()
        else:
            create()
            life.state, life.form = "stored", asked

    @rule(number=st.integers(0, 2))
    def create_without_a_key(self, number: int) -> None:
        """Share a picture under a key that is made here."""
        key = self.shares.begin(None)
        self.shares.store(key, forms()[number], *renditions(number))
        assert key.value not in self.lives
        if len(self.lives) < 6:
            self.lives[key.value] = Life(
                is_old=False, is_minted=True, state="stored", form=forms()[number]
            )
        else:
            self.shares.delete(key.share_id)

    @rule(which=st.integers(0, 5), rendition=st.sampled_from([PICTURE, CARD]))
    def read(self, which: int, rendition: str) -> None:
        """Read what is stored, and what is said of it."""
        key = self._key(which)
        life, share_id = self.lives[key], str(share_id_of(key))
        if self._is_over(life) or life.state == "taken back":
            for verb in (self.shares.read, self.shares.stat):
                with pytest.raises(Gone):
                    verb(self.shares.parse_live_id(share_id), rendition)
        elif life.state == "nothing":
            with pytest.raises(NotFound):
                self.shares.read(self.shares.parse_live_id(share_id), rendition)
        else:
            assert life.form is not None
            made = renditions(forms().index(life.form))
            _, data = self.shares.read(self.shares.parse_live_id(share_id), rendition)
            assert data == made[(PICTURE, CARD).index(rendition)].data
            told = self.shares.find(share_id_of(key))
            assert (told.platform, told.effect_type) == (life.form.platform, "ink")
            assert (told.width, told.height) == made[0].size

    @rule(which=st.integers(0, 5))
    def delete(self, which: int) -> None:
        """Take a share back, once more or before it was made."""
        key = self._key(which)
        life = self.lives[key]
        counted: list[bool] = []
        self.shares.delete(share_id_of(key), admit=lambda: counted.append(True))
        assert bool(counted) == (life.state == "nothing" and not life.is_old)
        if life.state == "stored" or not life.is_old:
            life.state, life.form = "taken back", None

    @rule()
    def restart(self) -> None:
        """Go on in another process, which knows nothing."""
        self.shares = self._started()

    @rule()
    def expire(self) -> None:
        """Let the old key's share end."""
        self.has_expired = True
        self.restart()

    @invariant()
    def what_lives_is_stored_and_nothing_else(self) -> None:
        stored = self.kept()
        for key, life in self.lives.items():
            both = object_names(share_id_of(key), PICTURE, CARD)
            names = object_names(share_id_of(key), PICTURE) if _is_one(life) else both
            if not self._is_over(life):  # of what has ended, a sweep may or may not have come
                assert stored & both == (names if life.state == "stored" else set())


def _is_one(life: Life) -> bool:
    return life.form is not None and life.form.platform == "facebook"


def test_in_a_folder_every_life_is_the_model_s(tmp_path: Path, *, in_full: bool) -> None:
    numbers = itertools.count()

    class InFolder(Lives):
        def __init__(self) -> None:
            folder = tmp_path / str(next(numbers))
            super().__init__(LocalStorage(folder), lambda: kept_in(folder))

    run_state_machine_as_test(InFolder, settings=_settings(500 if in_full else 20))


@pytest.mark.slow
def test_in_a_bucket_every_life_is_the_model_s(
    monkeypatch: pytest.MonkeyPatch, *, in_full: bool
) -> None:
    with running_gcs_server() as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.endpoint)

        class InBucket(Lives):
            def __init__(self) -> None:
                bucket = gcs.make_bucket(f"shares-{uuid.uuid4()}")
                super().__init__(BucketStorage(bucket), lambda: set(gcs.object_names(bucket)))

        run_state_machine_as_test(InBucket, settings=_settings(300 if in_full else 60))


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        database=None,
    )
