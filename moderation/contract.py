"""What a check promises, and what it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A picture that is to be published, as it will be: a JPEG, and what it was made for."""

    share_id: UUID
    platform: str
    effect_type: str
    jpeg: bytes = field(repr=False)


class Check(Protocol):
    """Looks at pictures; many threads may ask it at once."""

    def warm_up(self) -> None:
        """Get ready for the first picture."""

    def examine(self, candidate: Candidate) -> None:
        """Return where the picture may be published.

        Raises: PictureRefused with a reason for the log; CheckUnavailable for no verdict.
        """
