"""A real Chromium for the tests, and what they look for in its pages.

chromium      a browser, until the block ends
Watch         everything a page complained about: script errors, console, CSP
axe           what axe-core finds wrong with a page's accessibility
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page

# Debian's; Playwright's own builds come from elsewhere than a package registry.
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

# Without background services it connects to nothing but the pages of the tests.
_ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    *(("--no-sandbox",) if os.geteuid() == 0 else ()),  # its sandbox refuses to run as root
)

_REPORT_CSP = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP refused ${event.effectiveDirective} ${event.blockedURI}`));
"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless Chromium until the block ends.

    While it runs, Playwright keeps an event loop in this thread: nothing else here may use asyncio.
    """
    if CHROMIUM is None:
        if os.environ.get("CI"):
            raise RuntimeError("Chromium is not installed; .ci/run names its package")
        pytest.skip("Chromium is not installed (Debian's package: chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_ARGUMENTS])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """Collects what the pages of a context complain about."""

    complaints: list[str] = field(default_factory=list)

    @classmethod
    def over(cls, context: BrowserContext) -> Watch:
        """Watch every page of a context, from its first line on."""
        watch = cls()
        context.add_init_script(_REPORT_CSP)
        context.on("console", watch._console)
        context.on("weberror", lambda error: watch._error(error.error))
        return watch

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _error(self, error: Error) -> None:
        self.complaints.append(f"uncaught: {error}")


def axe(page: Page) -> list[str]:
    """Return the violations that axe-core finds in a page as it is now, shadow trees included.

    Each one names its rule, the element and what is wrong. Best practices count.
    """
    source = importlib.resources.files("axe_playwright_python") / "axe.min.js"
    page.evaluate(source.read_text("utf-8"))
    results: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in results["violations"]
        for node in violation["nodes"]
    ]
