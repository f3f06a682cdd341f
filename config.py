"""Settings: the only reader of the environment.

    Settings
    ├── image: ImageSettings    what image_ops.py needs to know
    └── everything else, by the name of its variable in lower case

Sizes are decimal (1 MB = 1,000,000 bytes); hours may be fractions. README.md lists every variable.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from errors import ConfigurationError
from glyphs import font_for, lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

VERSION = "1.0.0"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """What comes in, what goes out: limits and looks of a picture.

    max_pixels: width x height of what comes in, max_input_side_px: its longest side, both None for
    no limit beside memory; input_formats: names of FORMATS; max_side_px: longest side of what goes
    out where the platform has no canvas; background_color: (red, green, blue), 0-255;
    watermark_text: one line that its font can draw, empty for none; watermark_font: a TrueType or
    OpenType file, None for the bundled ones.
    """

    max_pixels: int | None = None
    max_input_side_px: int | None = None
    input_formats: tuple[str, ...] = FORMATS
    max_side_px: int = 1200
    background_color: tuple[int, int, int] = (255, 255, 255)
    watermark_text: str = ""
    watermark_font: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration, read once at start.

    in_cloud: whether Cloud Run started this process (K_SERVICE is set);
    project_id: completes the names of traces in the log;
    bucket_name: None for the local folder;
    public_base_url: without a trailing slash, None for the request's own host;
    rate_limit_storage_uri: where instances count together, may hold a password;
    trusted_proxy_hops: how many addresses of X-Forwarded-For, from the right, our proxies wrote;
    memory_budget_bytes: for the whole process, None for what the cgroup allows;
    threads: requests at once, as the server reads it;
    store_url: where visitors are sent; contact_url: where they report a picture.
    """

    image: ImageSettings
    in_cloud: bool
    project_id: str | None
    bucket_name: str | None
    local_storage_dir: Path
    public_base_url: str | None
    share_ttl: timedelta
    max_upload_bytes: int
    allowed_origins: tuple[str, ...]
    rate_limit: str
    rate_limit_storage_uri: str = field(repr=False)
    trusted_proxy_hops: int
    memory_budget_bytes: int | None
    threads: int
    store_name: str
    store_url: str | None
    contact_url: str | None
    demo_page: bool
    log_level: str


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings that an environment describes.

    Raises: ConfigurationError, with every problem at once: the variable, what was found and what
    was expected.
    """
    env = _Environment(environ)
    in_cloud = bool(environ.get("K_SERVICE"))
    settings = Settings(
        image=ImageSettings(
            max_pixels=env.read(
                "MAX_MEGAPIXELS", "", _optional(_scaled(1_000_000)), "megapixels above 0"
            ),
            max_input_side_px=env.read("MAX_INPUT_SIDE_PX", "", _optional(_positive), "pixels"),
            input_formats=env.read("INPUT_FORMATS", ",".join(FORMATS), _formats, _FORMATS_EXPECTED),
            max_side_px=env.read("MAX_SIDE_PX", "1200", _side_px, "pixels from 16 to 4096"),
            background_color=env.read("BACKGROUND_COLOR", "#ffffff", _color, "#rrggbb"),
            watermark_text=env.read("WATERMARK_TEXT", "", _line, "one line, at most 60 characters"),
            watermark_font=env.read("WATERMARK_FONT", "", _optional(_font), "a .ttf or .otf file"),
        ),
        in_cloud=in_cloud,
        project_id=environ.get("GOOGLE_CLOUD_PROJECT") or None,
        bucket_name=env.read("GCS_BUCKET_NAME", "", _optional(_bucket_name), "a bucket name"),
        local_storage_dir=env.read("LOCAL_STORAGE_DIR", ".shares", Path, "a folder"),
        public_base_url=env.read("PUBLIC_BASE_URL", "", _optional(_base_url), _BASE_URL_EXPECTED),
        share_ttl=env.read("SHARE_TTL_HOURS", "24", _hours, "hours above 0, at most 8760"),
        max_upload_bytes=env.read("MAX_UPLOAD_MB", "20", _scaled(1_000_000), "megabytes above 0"),
        allowed_origins=env.read("ALLOWED_ORIGINS", "*", _origins, _ORIGINS_EXPECTED),
        rate_limit=env.read("RATE_LIMIT", "100/hour", _rate_limit, _RATE_LIMIT_EXPECTED),
        rate_limit_storage_uri=env.read(
            "RATE_LIMIT_STORAGE_URI",
            "memory://",
            _limit_storage,
            "memory:// or redis://host:port/0",
        ),
        trusted_proxy_hops=env.read("TRUSTED_PROXY_HOPS", "1", _hops, "a number from 0 to 9"),
        memory_budget_bytes=env.read(
            "MEMORY_BUDGET_MB", "", _optional(_scaled(1_000_000)), "megabytes above 0"
        ),
        threads=env.read("THREADS", str((os.cpu_count() or 1) * 4), _positive, "a number above 0"),
        store_name=env.read("STORE_NAME", "", _one_line, "a name without control characters"),
        store_url=env.read("STORE_URL", "", _optional(_web_url), "an http or https URL"),
        contact_url=env.read("CONTACT_URL", "", _optional(_contact_url), "an https or mailto URL"),
        demo_page=env.read("DEMO_PAGE", "off" if in_cloud else "on", _on_off, "on or off"),
        log_level=env.read("LOG_LEVEL", "INFO", _log_level, "one of " + ", ".join(_LOG_LEVELS)),
    )
    if in_cloud and "GCS_BUCKET_NAME" not in env.problems and settings.bucket_name is None:
        env.report("GCS_BUCKET_NAME", "", "the bucket that keeps the shares (there is no default)")
    _require_glyphs(settings.image, env)
    env.raise_problems()
    return settings


def _require_glyphs(image: ImageSettings, env: _Environment) -> None:
    if not image.watermark_text:
        return  # no font is read
    font = font_for(image.watermark_text, image.watermark_font)
    missing = lacking(image.watermark_text, font)
    if missing:
        expected = f"characters of {font.name}, which lacks {missing}, or another WATERMARK_FONT"
        env.report("WATERMARK_TEXT", image.watermark_text, expected)


class _Environment:
    """Reads variables and remembers what was wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: dict[str, str] = {}

    def read(self, name: str, default: str, parse: Callable[[str], T], expected: str) -> T:
        """Return the parsed variable, or its parsed default where it is unset, empty or wrong."""
        found = self._environ.get(name, "").strip()
        try:
            return parse(found or default)
        except (ValueError, OverflowError):
            self.report(name, found, expected)
            return parse(default)

    def report(self, name: str, found: str, expected: str) -> None:
        shown = re.sub(r"//\S*@", "//...@", found)  # a password may stand there
        self.problems[name] = f"{name}: found {shown!r}, expected {expected}"

    def raise_problems(self) -> None:
        if self.problems:
            raise ConfigurationError(list(self.problems.values()))


_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_FORMATS_EXPECTED = "names of " + ", ".join(FORMATS) + ", separated by commas"
_BASE_URL_EXPECTED = "https://host or https://host/path, without query or fragment"
_ORIGINS_EXPECTED = (
    "* or origins such as https://shop.example and https://*.shop.example, separated by commas"
)

_RATE_LIMIT_EXPECTED = "such as 100/hour: per second, minute, hour or day"

_RATE_LIMIT = re.compile(r"[1-9]\d{0,8}/(?:second|minute|hour|day)")
_HOST = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\]"
_AUTHORITY = rf"(?:{_HOST})(?::\d{{1,5}})?"
_ORIGIN = re.compile(rf"https?://(?:\*\.)?{_AUTHORITY}")
_BASE_URL = re.compile(rf"https?://{_AUTHORITY}(?:/[A-Za-z0-9._~-]+)*")
_URL_REST = r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*"  # RFC 3986, section 2
_WEB_URL = re.compile(rf"https?://{_AUTHORITY}(?:[/?#]{_URL_REST})?")
_CONTACT_URL = re.compile(rf"https://{_AUTHORITY}(?:[/?#]{_URL_REST})?|mailto:[^@\s]+@{_URL_REST}")
_REDIS_REST = re.compile(r"(?:/\d*)?\?(?:ssl_\w+=[^&]+&?)*")  # a database, options of TLS
# https://cloud.google.com/storage/docs/buckets#naming
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def _optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda text: parse(text) if text else None


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise ValueError(text)
    return number


def _scaled(factor: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        return _positive(str(round(float(text) * factor)))

    return parse


def _side_px(text: str) -> int:
    side = int(text)
    if not 16 <= side <= 4096:  # noqa: PLR2004 - the bounds that the message names
        raise ValueError(text)
    return side


def _hops(text: str) -> int:
    hops = int(text)
    if not 0 <= hops <= 9:  # noqa: PLR2004 - the bounds that the message names
        raise ValueError(text)
    return hops


def _rate_limit(text: str) -> str:
    return _matching(_RATE_LIMIT, text)


def _limit_storage(text: str) -> str:
    """Refuse what the redis client would trip over at the first request.

    Source: https://redis.readthedocs.io/en/stable/connections.html#redis.Redis.from_url
    """
    url = urlsplit(text)
    is_redis = url.scheme in {"redis", "rediss"} and url.hostname and url.port != 0  # may raise
    if text != "memory://" and not (is_redis and _REDIS_REST.fullmatch(f"{url.path}?{url.query}")):
        raise ValueError(text)
    return text


def _hours(text: str) -> timedelta:
    hours = float(text)
    if not 0 < hours <= 8760:  # noqa: PLR2004 - a year
        raise ValueError(text)
    return timedelta(hours=hours)


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _bucket_name(text: str) -> str:
    return _matching(_BUCKET_NAME, text)


def _base_url(text: str) -> str:
    return _matching(_BASE_URL, text.rstrip("/"))


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(text)
    return unicodedata.normalize("NFC", text)  # fonts have letters with their accents


def _web_url(text: str) -> str:
    return _matching(_WEB_URL, text)


def _contact_url(text: str) -> str:
    return _matching(_CONTACT_URL, text)


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _origins(text: str) -> tuple[str, ...]:
    if text == "*":
        return ("*",)
    return tuple(_matching(_ORIGIN, item.lower().rstrip("/")) for item in _items(text))


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(name.upper() for name in _items(text))
    if not names or not set(names) <= set(FORMATS):
        raise ValueError(text)
    return names


def _color(text: str) -> tuple[int, int, int]:
    digits = _matching(re.compile(r"#[0-9a-fA-F]{6}"), text)
    red, green, blue = bytes.fromhex(digits[1:])
    return red, green, blue


def _line(text: str) -> str:
    if len(text) > 60:  # noqa: PLR2004 - the bound that the message names
        raise ValueError(text)
    return _one_line(text)


def _font(text: str) -> Path:
    lacking("", Path(text))  # raises for what is no font
    return Path(text)


def _on_off(text: str) -> bool:
    if text.lower() not in {"on", "off"}:
        raise ValueError(text)
    return text.lower() == "on"


def _log_level(text: str) -> str:
    if text.upper() not in _LOG_LEVELS:
        raise ValueError(text)
    return text.upper()
