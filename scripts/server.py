"""Runs functions-framework's server as its command does, but with a limit to the request line.

    server.py HOST PORT

The command takes gunicorn's limit away (limit_request_line=0), and a request line of 20 MB keeps a
processor busy for seconds. Source: functions_framework/_http/gunicorn.py, whose options of its own
yield to those that are passed.
"""

from __future__ import annotations

import sys
from typing import Any

from functions_framework import _http, create_app

MAX_REQUEST_LINE_BYTES = 8190  # the most that gunicorn allows, apart from no limit

make_app: Any = create_app  # which have no types
make_server: Any = _http.create_server


def main() -> None:
    """Serve until a signal ends it."""
    host, port = sys.argv[1:]
    app = make_app("share_image", "main.py")
    server = make_server(app, debug=False, limit_request_line=MAX_REQUEST_LINE_BYTES)
    server.run(host, int(port))


if __name__ == "__main__":
    main()
