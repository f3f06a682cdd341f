"""What functions-framework and gunicorn do by themselves, and should not."""

from __future__ import annotations

import os
import traceback
from threading import Thread
from typing import TYPE_CHECKING

import flask
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Callable

    from logs import Log

# The worker's exit status at which gunicorn ends as a whole, instead of starting another one.
# Source: gunicorn/arbiter.py (WORKER_BOOT_ERROR, reap_workers).
WORKER_BOOT_ERROR = 3


def claim_answers(answer: Callable[[flask.Request], flask.Response]) -> None:
    """Make the answers that the framework gives by itself ours: JSON, with CORS header fields.

    It redirects // in a path, and answers /robots.txt and /favicon.ico without asking the function.
    Without its application, as when a script imports the program, there is nothing to do.
    """
    if flask.has_app_context():
        app = flask.current_app
        app.url_map.merge_slashes = app.url_map.strict_slashes = False
        app.register_error_handler(HTTPException, lambda _error: answer(flask.request))


def warm_up_in_workers(warm_up: Callable[[], None], log: Log) -> None:
    """Call warm_up in a thread of each process that this one forks; in none that those fork.

    functions-framework imports the program before gunicorn forks, and passes on no hook of
    gunicorn's; a thread that is started before the fork does not exist after it. Measured: the
    first share is spared the 120 ms of CPU that the storage client takes to import.

    A worker whose warm_up fails would stay healthy and broken: it ends instead, and says why.
    """
    arbiter_pid = os.getpid()

    def after_fork() -> None:
        if os.getppid() == arbiter_pid:
            Thread(target=_warm_up_or_end, args=(warm_up, log), daemon=True).start()

    os.register_at_fork(after_in_child=after_fork)


def _warm_up_or_end(warm_up: Callable[[], None], log: Log) -> None:
    try:
        warm_up()
    except Exception:  # noqa: BLE001 - whatever an import raises
        fields = {"exception": traceback.format_exc()}
        log.write("ERROR", "ended: cannot import what every share needs", fields)
        os._exit(WORKER_BOOT_ERROR)  # sys.exit would end this thread alone
