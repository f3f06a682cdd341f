"""Debian's Firefox for the tests, driven over Marionette, the protocol that is built into it.

Playwright needs a Firefox of its own making, Selenium a driver that is in no package registry.

Source: https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
START_TIMEOUT_S = 60
WAIT_TIMEOUT_S = 30

_SHADOW_KEY = "shadow-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver's names of references
_ELEMENT_KEY = "element-6066-11e4-a52e-4f735466cecf"
_PREFERENCES = """
user_pref("marionette.port", 0);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("dom.events.testing.asyncClipboard", true);
"""


class Firefox:
    """A session with a running Firefox."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rwb")
        self._asked = 0
        self._receive()  # its greeting
        self.do("WebDriver:NewSession", strictFileInteractability=False)

    def do(self, command: str, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        """Return what a WebDriver command answers."""
        self._asked += 1
        message = json.dumps([0, self._asked, command, parameters]).encode()
        self._stream.write(b"%d:%b" % (len(message), message))
        self._stream.flush()
        _, _, error, result = self._receive()
        if error is not None:
            raise RuntimeError(f"{command}: {error['message']}")
        return result["value"] if isinstance(result, dict) and "value" in result else result

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Return what a function body returns in the page; a promise is awaited."""
        return self.do("WebDriver:ExecuteScript", script=script, args=list(arguments))

    def until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        deadline = time.monotonic() + WAIT_TIMEOUT_S
        while not self.run(f"return Boolean({expression})"):
            assert time.monotonic() < deadline, expression
            time.sleep(0.05)

    def find_in(self, host: str, selector: str) -> str:
        """Return the id of an element in the shadow tree of another."""
        found = self.do("WebDriver:FindElement", using="css selector", value=host)
        root = self.do("WebDriver:GetShadowRoot", id=found[_ELEMENT_KEY])[_SHADOW_KEY]
        inner = self.do(
            "WebDriver:FindElementFromShadowRoot",
            shadowRoot=root,
            using="css selector",
            value=selector,
        )
        element: str = inner[_ELEMENT_KEY]
        return element

    def _receive(self) -> Any:  # noqa: ANN401 - JSON
        length = b""
        while (byte := self._stream.read(1)) != b":":
            assert byte, "Firefox ended"
            length += byte
        return json.loads(self._stream.read(int(length)))


@contextlib.contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """Run a headless Firefox until the block ends; folder: takes its profile."""
    if FIREFOX is None:
        if os.environ.get("CI"):
            raise RuntimeError("Firefox is not installed; .ci/run names its package")
        pytest.skip("Firefox is not installed (Debian's package: firefox-esr)")
    (folder / "user.js").write_text(_PREFERENCES)
    arguments = ("--headless", "--no-remote", "--marionette", "--profile", str(folder))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [FIREFOX, *arguments], stdout=log, stderr=log, env=os.environ | {"HOME": str(folder)}
        )
    try:
        with socket.create_connection(("127.0.0.1", _port(process, folder))) as connection:
            yield Firefox(connection)
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], folder: Path) -> int:
    """Return the port that Firefox chose and wrote into its profile."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            return int((folder / "MarionetteActivePort").read_text())
        time.sleep(0.05)
    raise RuntimeError(f"Firefox did not start:\n{(folder / 'log').read_text()}")
