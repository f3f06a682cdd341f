"""What a picture must pass before it is public.

    Moderation ── Examination ──┬── show      the picture goes out, while the card is being made
                                └── settle    not blocked? its verdict? before anything is stored
    blocklist.py         the pictures that were taken down for good
    contract.py          Check: looks at pictures; another one is one class
    └── http_check.py    one POST to CHECK_URL

Where no verdict comes, CHECK_FAILS decides. Nothing is kept, and nothing is tried twice.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from errors import CheckUnavailable, PictureRefused, ShareImageError
from logs import note
from moderation.blocklist import Blocklist
from moderation.contract import Candidate

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from uuid import UUID

    from config import Settings
    from image_ops import Rendition
    from moderation.contract import Check
    from serving.forms import Form
    from storage import Storage


class Moderation:
    """Holds pictures against the list of those that are blocked, and shows them to a check.

    storage: keeps the list; check: if none is given, the one that CHECK_URL names, if it does.
    """

    def __init__(self, settings: Settings, storage: Storage, check: Check | None = None) -> None:
        self._settings = settings
        self._blocklist = Blocklist(storage)
        self._check = check or _configured(settings)
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="checks")

    @property
    def is_on(self) -> bool:
        """Whether anybody looks at pictures."""
        return self._check is not None

    def warm_up(self) -> None:
        """Get ready for the first picture."""
        if self._check is not None:
            self._check.warm_up()

    def examination(
        self, share_id: UUID, form: Form, was_stored: Callable[[], bool]
    ) -> Examination:
        """Return what the picture of one share has to pass; the list is read beside what follows.

        was_stored: whether the share is there already, so that its picture passed the check.
        """
        self._blocklist.refresh()
        check = self._check
        if check is None or was_stored():
            return Examination(self._blocklist, None, self._settings)

        def ask(jpeg: bytes) -> Future[None]:
            candidate = Candidate(
                share_id=share_id, platform=form.platform, effect_type=form.effect_type, jpeg=jpeg
            )
            return self._pool.submit(check.examine, candidate)

        return Examination(self._blocklist, ask, self._settings)


class Examination:
    """One picture before its check: shown once, and published only as it was shown.

    ask: shows a JPEG, and returns what the verdict comes with; None where nobody looks.
    """

    def __init__(
        self,
        blocklist: Blocklist,
        ask: Callable[[bytes], Future[None]] | None,
        settings: Settings,
    ) -> None:
        self._blocklist = blocklist
        self._ask = ask
        self._timeout_s = settings.check_timeout_s
        self._fails_open = settings.check_fails == "open"
        self._shown = b""
        self._verdict: Future[None] | None = None
        self._ends_s = 0.0

    def show(self, picture: Rendition) -> None:
        """Show the picture as soon as it is ready; settle does where nobody has."""
        if self._ask is not None:
            self._shown = picture.data
            self._ends_s = time.monotonic() + self._timeout_s
            self._verdict = self._ask(picture.data)

    def settle(self, picture: Rendition) -> None:
        """Return where the picture, which is to be stored, may be published.

        Raises: PictureRefused; CheckUnavailable where there is no verdict, unless CHECK_FAILS says
        that this publishes; StorageUnavailable where it is not known what is blocked.
        """
        self._blocklist.check(picture.likeness)
        if self._ask is None:
            return
        if self._verdict is None:
            self.show(picture)
        if picture.data != self._shown:
            raise ShareImageError("the check was shown another picture")
        try:
            self._wait()
            note(check="passed")
        except PictureRefused:
            note(check="refused")
            raise
        except CheckUnavailable as error:
            note(check="failed", check_reason=error.reason)
            if not self._fails_open:
                raise

    def _wait(self) -> None:
        if self._verdict is None:
            raise ShareImageError("the check was shown no picture")
        try:
            self._verdict.result(max(0.0, self._ends_s - time.monotonic()))
        except TimeoutError as error:  # the name is still looked up, say, which nothing bounds
            self._verdict.cancel()  # one that has not begun would ask for a share that is none
            raise CheckUnavailable(f"no verdict within {self._timeout_s:g} s") from error


def _configured(settings: Settings) -> Check | None:
    if settings.check_url is None:
        return None
    from moderation.http_check import HttpCheck  # noqa: PLC0415 - nobody else needs TLS this early

    return HttpCheck(settings)
