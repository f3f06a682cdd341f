"""Where shares are kept: the face of stores/.

    open_storage(settings)
    ├── LocalStorage      a folder, for one machine          stores/local.py
    └── BucketStorage     Google Cloud Storage               stores/bucket.py
    CachedStorage         what was read lately, in memory    stores/cached.py

All hold the same contract, `Storage` (stores/contract.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stores.bucket import BucketStorage
from stores.cached import CachedStorage
from stores.contract import Storage, StoredObject
from stores.local import LocalStorage

if TYPE_CHECKING:
    from config import Settings

__all__ = [
    "BucketStorage",
    "CachedStorage",
    "LocalStorage",
    "Storage",
    "StoredObject",
    "open_storage",
]


def open_storage(settings: Settings) -> Storage:
    """Return the storage that the settings name: the bucket if there is one, else the folder."""
    if settings.bucket_name is not None:
        return BucketStorage(settings.bucket_name)
    return LocalStorage(settings.local_storage_dir)
