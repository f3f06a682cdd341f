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
    from collections.abc import Callable

    from config import Settings

__all__ = [
    "BucketStorage",
    "CachedStorage",
    "LocalStorage",
    "Storage",
    "StoredObject",
    "open_storage",
]


def open_storage(settings: Settings, max_age_s: Callable[[str], float] | None = None) -> Storage:
    """Return the storage that the settings name: the bucket if there is one, else the folder.

    max_age_s: how long an object of a name may be kept in memory, for CachedStorage.
    """
    storage: Storage
    if settings.bucket_name is not None:
        storage = BucketStorage(settings.bucket_name)
    else:
        storage = LocalStorage(settings.local_storage_dir)
    if max_age_s is None or not settings.cache_bytes:
        return storage
    return CachedStorage(storage, max_bytes=settings.cache_bytes, max_age_s=max_age_s)
