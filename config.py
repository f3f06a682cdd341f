"""Settings: the only reader of the environment.

    Settings
    ├── image: ImageSettings    what image_ops.py needs to know
    ├── variables               each setting by the name of its variable, as /health shows it
    └── everything else, by the name of its variable in lower case

Sizes are decimal (1 MB = 1,000,000 bytes); hours may be fractions. README.md lists every variable.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
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
LANGUAGES = sorted(path.stem for path in Path(__file__).parent.glob("serving/texts/*.json"))
LOGO_MAX_BYTES = 100_000
# What a logo begins with, by its suffix; declarations and comments may stand before <svg.
LOGO_SIGNATURES = {
    ".svg": rb"(?:\xef\xbb\xbf)?\s*(?:<[?!].*)?<svg",
    ".png": rb"\x89PNG\r\n",
    ".jpg": rb"\xff\xd8\xff",
    ".webp": rb"RIFF....WEBP",
}
SECRETS = frozenset({"RATE_LIMIT_STORAGE_URI"})  # variables whose text may hold a password


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
class Variable:
    """A setting in effect.

    text: as it was set, or its default; value: what that means; is_set: whether it was set.
    """

    name: str
    text: str = field(repr=False)
    value: object = field(repr=False)
    is_set: bool

    @property
    def shown(self) -> str | bool:
        """What anyone may see: the text; of a secret, whether it is set."""
        return self.is_set if self.name in SECRETS else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration, read once at start.

    in_cloud: whether Cloud Run started this process (K_SERVICE is set);
    revision: of the Cloud Run service, empty elsewhere; variables: every setting by its name;
    project_id: completes the names of traces in the log;
    bucket_name: None for the local folder;
    public_base_url: without a trailing slash, None for the request's own host;
    rate_limit_storage_uri: where instances count together, may hold a password;
    trusted_proxy_hops: how many addresses of X-Forwarded-For, from the right, our proxies wrote;
    memory_budget_bytes: for the whole process, None for what the cgroup allows;
    cache_bytes: of it, for what was read from storage lately, 0 for no cache;
    threads: requests at once, as the server reads it;
    store_url: where visitors are sent; contact_url: where they report a picture;
    cta_text, page_title, page_description: in place of the texts of any language, empty for those;
    page_language: the tag of a language in serving/texts; logo_file: one of LOGO_SIGNATURES;
    accent_color: (red, green, blue), 0-255; picture_links: where a browser that opens a picture's
    link is led, "page" or "picture".
    """

    image: ImageSettings
    in_cloud: bool
    revision: str
    variables: Mapping[str, Variable] = field(repr=False)
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
    cache_bytes: int
    threads: int
    store_name: str
    store_url: str | None
    contact_url: str | None
    cta_text: str
    page_title: str
    page_description: str
    page_language: str
    logo_file: Path | None
    accent_color: tuple[int, int, int] | None
    picture_links: str
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
            max_pixels=env.read("MAX_MEGAPIXELS", "", _optional(_mega), "megapixels above 0"),
            max_input_side_px=env.read("MAX_INPUT_SIDE_PX", "", _optional(_positive), "pixels"),
            input_formats=env.read("INPUT_FORMATS", ",".join(FORMATS), _formats, _FORMATS_EXPECTED),
            max_side_px=env.read("MAX_SIDE_PX", "1200", _side_px, "pixels from 16 to 4096"),
            background_color=env.read("BACKGROUND_COLOR", "#ffffff", _color, "#rrggbb"),
            watermark_text=env.read("WATERMARK_TEXT", "", _line(60), _line_expected(60)),
            watermark_font=env.read("WATERMARK_FONT", "", _optional(_font), "a .ttf or .otf file"),
        ),
        in_cloud=in_cloud,
        revision=environ.get("K_REVISION", ""),
        variables=env.variables,
        project_id=environ.get("GOOGLE_CLOUD_PROJECT") or None,
        bucket_name=env.read("GCS_BUCKET_NAME", "", _optional(_bucket_name), "a bucket name"),
        local_storage_dir=env.read("LOCAL_STORAGE_DIR", ".shares", Path, "a folder"),
        public_base_url=env.read("PUBLIC_BASE_URL", "", _optional(_base_url), _BASE_URL_EXPECTED),
        share_ttl=env.read("SHARE_TTL_HOURS", "24", _hours, "hours above 0, at most 8760"),
        max_upload_bytes=env.read("MAX_UPLOAD_MB", "20", _mega, "megabytes above 0"),
        allowed_origins=env.read("ALLOWED_ORIGINS", "*", _origins, _ORIGINS_EXPECTED),
        rate_limit=env.read("RATE_LIMIT", "100/hour", _rate_limit, _RATE_LIMIT_EXPECTED),
        rate_limit_storage_uri=env.read(
            "RATE_LIMIT_STORAGE_URI",
            "memory://",
            _limit_storage,
            "memory:// or redis://host:port/0",
        ),
        trusted_proxy_hops=env.read("TRUSTED_PROXY_HOPS", "1", _hops, "a number from 0 to 9"),
        memory_budget_bytes=env.read("MEMORY_BUDGET_MB", "", _optional(_mega), "megabytes above 0"),
        cache_bytes=env.read("CACHE_MB", "64", _mega_or_none, "megabytes, or 0 for no cache"),
        threads=env.read("THREADS", str((os.cpu_count() or 1) * 4), _positive, "a number above 0"),
        store_name=env.read("STORE_NAME", "", _one_line, "a name without control characters"),
        store_url=env.read("STORE_URL", "", _optional(_web_url), "an http or https URL"),
        contact_url=env.read("CONTACT_URL", "", _optional(_contact_url), "an https or mailto URL"),
        cta_text=env.read("CTA_TEXT", "", _line(40), _line_expected(40)),
        page_title=env.read("PAGE_TITLE", "", _line(80), _line_expected(80)),
        page_description=env.read("PAGE_DESCRIPTION", "", _line(200), _line_expected(200)),
        page_language=env.read("PAGE_LANGUAGE", "en", _language, "one of " + ", ".join(LANGUAGES)),
        logo_file=env.read("LOGO_FILE", "", _optional(_logo), _LOGO_EXPECTED),
        accent_color=env.read("ACCENT_COLOR", "", _optional(_color), "#rrggbb"),
        picture_links=env.read("PICTURE_LINKS", "page", _picture_links, "page or picture"),
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
        self.variables: dict[str, Variable] = {}

    def read(self, name: str, default: str, parse: Callable[[str], T], expected: str) -> T:
        """Return the parsed variable, or its parsed default where it is unset, empty or wrong."""
        found = self._environ.get(name, "").strip()
        try:
            value = parse(found or default)
        except (ValueError, OverflowError):
            self.report(name, found, expected)
            value = parse(default)
        self.variables[name] = Variable(
            name=name, text=found or default, value=value, is_set=bool(found)
        )
        return value

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

_LOGO_EXPECTED = f"an .svg, .png, .jpg or .webp file, at most {LOGO_MAX_BYTES} bytes"
_RATE_LIMIT_EXPECTED = "such as 100/hour: per second, minute, hour or day"

_HOST = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\]"
_AUTHORITY = rf"(?:{_HOST})(?::\d{{1,5}})?"
_ORIGIN = re.compile(rf"https?://(?:\*\.)?{_AUTHORITY}")
_BASE_URL = re.compile(rf"https?://{_AUTHORITY}(?:/[A-Za-z0-9._~-]+)*")
_URL_REST = r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*"  # RFC 3986, section 2
_REDIS_REST = re.compile(r"(?:/\d*)?\?(?:ssl_\w+=[^&]+&?)*")  # a database, options of TLS


def _optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda text: parse(text) if text else None


def _number(low: float, high: float = math.inf, *, scale: int = 1) -> Callable[[str], int]:
    """Return a parser of whole numbers from low to high.

    scale: how many of them the unit of the text holds, which may then have fractions.
    """

    def parse(text: str) -> int:
        number = int(text) if scale == 1 else round(float(text) * scale)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return parse


_positive, _hops, _side_px = _number(1), _number(0, 9), _number(16, 4096)
_mega, _mega_or_none = _number(1, scale=1_000_000), _number(0, scale=1_000_000)


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


_rate_limit = partial(_matching, re.compile(r"[1-9]\d{0,8}/(?:second|minute|hour|day)"))
_web_url = partial(_matching, re.compile(rf"https?://{_AUTHORITY}(?:[/?#]{_URL_REST})?"))
_contact_url = partial(
    _matching,
    re.compile(rf"https://{_AUTHORITY}(?:[/?#]{_URL_REST})?|mailto:[^@\s]+@{_URL_REST}"),
)
# https://cloud.google.com/storage/docs/buckets#naming
_bucket_name = partial(_matching, re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"))


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


def _base_url(text: str) -> str:
    return _matching(_BASE_URL, text.rstrip("/"))


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(text)
    return unicodedata.normalize("NFC", text)  # fonts have letters with their accents


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


def _line(max_chars: int) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if len(text) > max_chars:
            raise ValueError(text)
        return _one_line(text)

    return parse


def _line_expected(max_chars: int) -> str:
    return f"one line, at most {max_chars} characters"


def _language(text: str) -> str:
    if text not in LANGUAGES:
        raise ValueError(text)
    return _one_line(text)


def _logo(text: str) -> Path:
    path = Path(text)
    signature = LOGO_SIGNATURES.get(path.suffix, b"(?!)")  # of another suffix, nothing is one
    try:
        with path.open("rb") as file:
            data = file.read(LOGO_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(text) from error
    if len(data) > LOGO_MAX_BYTES or not re.match(signature, data, re.DOTALL):
        raise ValueError(text)
    return path


def _picture_links(text: str) -> str:
    if text.lower() not in {"page", "picture"}:
        raise ValueError(text)
    return text.lower()


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
