"""How the bucket should be set up, and how it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deployment import LIFECYCLE_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = ("made-by", "share-image")


def changes(found: Mapping[str, Any]) -> list[str]:
    """Return what scripts/setup-bucket would change of a bucket, a line each.

    found: its properties, by the names that gcloud storage gives them.
    """
    kept_s = int((found.get("soft_delete_policy") or {}).get("retentionDurationSeconds", 0))
    before_after = {
        "uniform bucket-level access": (bool(found.get("uniform_bucket_level_access")), True),
        "public access prevention": (
            found.get("public_access_prevention", "inherited"),
            "enforced",
        ),
        "soft delete": (f"{kept_s / 86400:g} days", "0 days"),
        "versioning": (bool(found.get("versioning_enabled")), False),
        "lifecycle": (found.get("lifecycle_config"), json.loads(LIFECYCLE_FILE.read_bytes())),
        f"label {LABEL[0]}": ((found.get("labels") or {}).get(LABEL[0]), LABEL[1]),
    }
    return [
        f"{name}: {json.dumps(before)} -> {json.dumps(after)}"
        for name, (before, after) in before_after.items()
        if before != after
    ]
