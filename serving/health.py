"""What runs here, and how it is configured: said by /health and by the first lines of the log."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deployed
from config import VERSION
from config.glyphs import font_for, lacking
from imaging.memory_cost import megapixel_limits
from logs import public_fields
from platforms import card_canvas, picture_canvas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import ImageSettings, Settings
    from logs import Log
    from serving.rate_limit import RateLimiter
    from storage import Storage

SHOWN_DIGEST_CHARS = 12  # of the source, in a header field of every answer


class Health:
    """What is known of this process without calling anything.

    deployment: the source and the revision that answer, so that two of them are told apart.
    """

    def __init__(self, settings: Settings, storage: Storage, rate_limiter: RateLimiter) -> None:
        self._settings = settings
        self._storage = storage
        self._rate_limiter = rate_limiter
        self._started_at = datetime.now(UTC)
        self._source_files = deployed.digests(Path(__file__).parents[1])
        self._source = deployed.source_digest(self._source_files)
        self.deployment = f"{self._source[:SHOWN_DIGEST_CHARS]} {settings.revision}".rstrip()

    def body(self) -> dict[str, Any]:
        """Return the JSON of /health."""
        settings = self._settings
        return {
            "status": "ok",
            "version": VERSION,
            "source": self._source,
            "source_files": self._source_files,
            "revision": settings.revision,
            "started_at": self._started_at.isoformat(timespec="milliseconds"),
            "storage": {
                "backend": self._storage.kind,
                "location": self._storage.location,
                "ready": self._storage.is_ready,
            },
            "storage_state": asdict(self._storage.state),
            "rate_limit": self._rate_limiter.state,
            "uploads": "token" if settings.upload_keys else "open",
            "settings": {name: v.shown for name, v in settings.variables.items()},
            "share_ttl_hours": settings.share_ttl.total_seconds() / 3600,
            "allowed_origins": list(settings.allowed_origins),
            "max_upload_bytes": settings.max_upload_bytes,
            "public_base_url": settings.public_base_url,
        }

    def log_start(self, log: Log, routes: Sequence[str]) -> None:
        """Write the line at the start of the process."""
        fields = {
            "version": VERSION,
            "source": self._source,
            "routes": routes,
            "settings": public_fields(self._settings),
        }
        log.write("INFO", "started", fields)


def warn_of_memory_limits(log: Log, settings: ImageSettings, budget_bytes: int) -> None:
    """Warn of formats of which memory allows fewer megapixels than the settings do."""
    canvases = (picture_canvas("", None, max_side_px=settings.max_side_px), card_canvas(None))
    limits = megapixel_limits(settings, canvases, budget_bytes)
    if limits:
        message = "memory cannot hold pictures that the settings allow"
        names = "MEMORY_BUDGET_MB or the instance's memory, MAX_MEGAPIXELS, INPUT_FORMATS"
        log.write("WARNING", message, {"megapixels": limits, "settings": names})


def warn_of_missing_glyphs(log: Log, settings: Settings) -> None:
    """Warn of a STORE_NAME that the card of an expired share goes without."""
    font = font_for(settings.store_name, settings.image.watermark_font)
    if missing := lacking(settings.store_name, font):
        message = "the card of an expired share goes without STORE_NAME: its font lacks characters"
        fields = {"characters": missing, "font": font.name, "settings": "WATERMARK_FONT"}
        log.write("WARNING", message, fields)
