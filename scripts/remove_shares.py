"""Delete shares by their ids; run by scripts/remove from the folder of the program."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from config import load_settings
from errors import ConfigurationError, NotFound, StorageUnavailable
from logs import Log
from shares import Shares
from storage import open_storage


def main(texts: list[str]) -> int:
    """Delete each share, and return the exit status: 0 when all of them are gone."""
    settings = load_settings()
    storage = open_storage(settings)
    log = Log(settings.log_level, project_id=settings.project_id)
    shares = Shares(storage, settings.share_ttl, log)
    failed = 0
    for text in texts:
        try:
            shares.delete(shares.parse_id(text))
        except NotFound:
            failed += 1
            print(f"{text}: not a share id (a UUIDv7, as in the link /s/SHARE_ID)", file=sys.stderr)
        except StorageUnavailable as error:
            failed += 1
            print(f"{text}: not deleted: {error.reason}", file=sys.stderr)
        else:
            print(f"{text}: gone from {storage.kind} storage {storage.location}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ConfigurationError as error:
        sys.exit(str(error))
