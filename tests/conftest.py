"""Fixtures: the function in this process and on a socket, pictures, a browser and a shop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import functions_framework
import httpx
import pictures
import pytest
from browser import Watch, chromium
from function_server import ROOT, FunctionServer, clean_environ, serve
from storefront import Storefront

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient
    from playwright.sync_api import Browser, BrowserContext


# They take a minute or two each: begun last, they would keep one process busy when all others rest.
LONGEST_FIRST = (
    "test_uploaded.py",
    "test_verify.py",
    "test_resilience.py",
    "test_browser_client.py",
    "test_browser_theme.py",
    "test_storage.py",
    "test_objects.py",
    "test_browser_element.py",
    "test_browser_demo.py",
    "test_deploy.py",
    "test_deploy_gcloud.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let scripts/test --all run in full what otherwise runs in part."""
    parser.addoption("--all", action="store_true", help="whole searches, and a second browser")


@pytest.fixture(scope="session")
def in_full(request: pytest.FixtureRequest) -> bool:
    """Whether --all was given."""
    return bool(request.config.getoption("--all"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    rank = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


class MakeClient(Protocol):
    """Makes a client of the function in this process, with settings beside the defaults."""

    def __call__(self, **settings: str) -> FlaskClient: ...


@pytest.fixture(autouse=True)
def _clean_environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test; shares go to a folder of its own."""
    kept = clean_environ()
    for name in ("GCS_BUCKET_NAME", "PUBLIC_BASE_URL", "K_SERVICE", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert "ALLOWED_ORIGINS" not in kept
    monkeypatch.setenv("LOCAL_STORAGE_DIR", str(tmp_path / "shares"))


@pytest.fixture
def make_client() -> MakeClient:
    """The function behind functions-framework's own application, without a socket."""

    def make(**settings: str) -> FlaskClient:
        create_app: Any = functions_framework.create_app  # which has no types
        with (
            pytest.MonkeyPatch.context() as environ
        ):  # read at the start, and for this client alone
            for name, value in settings.items():
                environ.setenv(name, value)
            app: Flask = create_app("share_image", str(ROOT / "main.py"))
        return app.test_client()

    return make


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    """The function with its default settings."""
    return make_client()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    """The function on a socket, with its default settings but a small upload limit."""
    with serve(
        tmp_path_factory.mktemp("server"), {"MAX_UPLOAD_MB": "2", "RATE_LIMIT": "100000/hour"}
    ) as running:
        yield running


@pytest.fixture
def http(server: FunctionServer) -> Iterator[httpx.Client]:
    """A client of the function on a socket."""
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for each module: while it runs, nothing else there may use asyncio."""
    with chromium() as started:
        yield started


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without cookies, caches or pages."""
    opened = browser.new_context()
    yield opened
    opened.close()


@pytest.fixture
def watch(context: BrowserContext) -> Watch:
    """What the pages of the context complain about."""
    return Watch.over(context)


@pytest.fixture(scope="module")
def storefront_server() -> Iterator[Storefront]:
    """A shop on another origin than the function."""
    with Storefront().running() as started:
        yield started


@pytest.fixture
def storefront(storefront_server: Storefront) -> Storefront:
    """The shop, with nothing in its script and no posts."""
    storefront_server.reset()
    return storefront_server


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A small photo as a phone would write it: JPEG, with EXIF."""
    return pictures.photo_jpeg((640, 480))
