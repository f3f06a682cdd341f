"""What the text of a variable may be: each kind of value with its parser, and how to say it."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

from config.glyphs import lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC")
LANGUAGES = sorted(path.stem for path in Path(__file__).parents[1].glob("serving/texts/*.json"))
LOGO_MAX_BYTES = 100_000
# What a logo begins with, by its suffix; declarations and comments may stand before <svg.
LOGO_SIGNATURES = {
    ".svg": rb"(?:\xef\xbb\xbf)?\s*(?:<[?!].*)?<svg",
    ".png": rb"\x89PNG\r\n",
    ".jpg": rb"\xff\xd8\xff",
    ".webp": rb"RIFF....WEBP",
}

_HOST = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\]"
# https://cv.iptc.org/newscodes/digitalsourcetype/, of 2024-10-23, with what is retired.
SOURCE_TYPES = (
    *("digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm", "print"),
    *("minorHumanEdits", "humanEdits", "algorithmicallyEnhanced", "softwareImage", "digitalArt"),
    *("digitalCreation", "dataDrivenMedia", "trainedAlgorithmicMedia", "algorithmicMedia"),
    *("screenCapture", "virtualRecording", "composite", "compositeCapture", "compositeSynthetic"),
    "compositeWithTrainedAlgorithmicMedia",
)
_AUTHORITY = rf"(?:{_HOST})(?::\d{{1,5}})?"
_ORIGIN = re.compile(rf"https?://(?:\*\.)?{_AUTHORITY}")
_BASE_URL = re.compile(rf"https?://{_AUTHORITY}(?:/[A-Za-z0-9._~-]+)*")
_URL_REST = r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*"  # RFC 3986, section 2
_REDIS_REST = re.compile(r"(?:/\d*)?\?(?:ssl_\w+=[^&]+&?)*")  # a database, options of TLS


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value.

    parse: raises ValueError or OverflowError for another one; expected: what to say then.
    """

    parse: Callable[[str], T]
    expected: str

    def or_none(self) -> Kind[T | None]:
        """Return the kind that may be left empty."""
        return Kind(lambda text: self.parse(text) if text else None, self.expected)


def whole(low: int, high: float = math.inf, *, of: str = "a number") -> Kind[int]:
    """Return the kind of whole numbers from low to high."""

    def parse(text: str) -> int:
        return _between(low, int(text), high)

    bounds = f"from {low} to {high:g}" if high < math.inf else f"above {low - 1}"
    return Kind(parse, f"{of} {bounds}")


def millions(of: str, *, low: int = 1) -> Kind[int]:
    """Return the kind of numbers that count millions, with fractions; their value counts ones."""

    def parse(text: str) -> int:
        return _between(low, round(float(text) * 1_000_000), math.inf)

    return Kind(parse, f"{of} above 0" if low else f"{of}, or 0 for none")


def one_line(max_chars: int | None = None) -> Kind[str]:
    """Return the kind of lines without control characters."""

    def parse(text: str) -> str:
        if not text.isprintable() or len(text) > (max_chars or len(text)):
            raise ValueError(text)
        return unicodedata.normalize("NFC", text)  # fonts have letters with their accents

    limit = f", at most {max_chars} characters" if max_chars else " without control characters"
    return Kind(parse, f"one line{limit}")


def one_of(*words: str) -> Kind[str]:
    """Return the kind of these words, in lower or upper case."""

    def parse(text: str) -> str:
        return next(iter(_known([text], words)))

    return Kind(parse, "one of " + ", ".join(words))


def some_of(*words: str) -> Kind[tuple[str, ...]]:
    """Return the kind of lists of these words, in lower or upper case."""
    expected = f"names of {', '.join(words)}, separated by commas"
    return Kind(lambda text: _known(_items(text), words), expected)


def matching(pattern: str, expected: str) -> Kind[str]:
    """Return the kind of texts that match as a whole."""
    return Kind(lambda text: _match(re.compile(pattern), text), expected)


def _between(low: float, number: int, high: float) -> int:
    if not low <= number <= high:
        raise ValueError(number)
    return number


def _known(items: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    by_folded = {word.casefold(): word for word in words}
    if not items or not {item.casefold() for item in items} <= set(by_folded):
        raise ValueError(items)
    return tuple(by_folded[item.casefold()] for item in items)


def _match(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _hours(text: str) -> timedelta:
    hours = float(text)
    if not 0 < hours <= 8760:  # noqa: PLR2004 - a year
        raise ValueError(text)
    return timedelta(hours=hours)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 30:  # noqa: PLR2004 - a request has 120 s in all
        raise ValueError(text)
    return seconds


def _origins(text: str) -> tuple[str, ...]:
    if text == "*":
        return ("*",)
    return tuple(_match(_ORIGIN, item.lower().rstrip("/")) for item in _items(text))


def _limit_storage(text: str) -> str:
    """Refuse what the redis client would trip over at the first request.

    Source: https://redis.readthedocs.io/en/stable/connections.html#redis.Redis.from_url
    """
    url = urlsplit(text)
    is_redis = url.scheme in {"redis", "rediss"} and url.hostname and url.port != 0  # may raise
    if text != "memory://" and not (is_redis and _REDIS_REST.fullmatch(f"{url.path}?{url.query}")):
        raise ValueError(text)
    return text


def _keys(text: str) -> tuple[str, ...]:
    keys = tuple(map(str.strip, text.split(","))) if text else ()
    if len(set(keys)) != len(keys) or len(keys) > 2:  # noqa: PLR2004 - the new one and the old one
        raise ValueError(len(keys))
    return tuple(map(SECRET.parse, keys))


def _endpoint(text: str) -> str:
    if urlsplit(WEB_URL.parse(text)).port == 0:  # may raise
        raise ValueError(text)
    return text


def _color(text: str) -> tuple[int, int, int]:
    digits = _match(re.compile(r"#[0-9a-fA-F]{6}"), text)
    red, green, blue = bytes.fromhex(digits[1:])
    return red, green, blue


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


def _font(text: str) -> Path:
    lacking("", Path(text))  # raises for what is no font
    return Path(text)


FOLDER = Kind(Path, "a folder")
FONT = Kind(_font, "a .ttf or .otf file")
LOGO = Kind(_logo, f"an .svg, .png, .jpg or .webp file, at most {LOGO_MAX_BYTES} bytes")
COLOR = Kind(_color, "#rrggbb")
HOURS = Kind(_hours, "hours above 0, at most 8760")
SECONDS = Kind(_seconds, "seconds from 0.1 to 30")
ON_OFF = Kind(lambda text: one_of("on", "off").parse(text) == "on", "on or off")
ORIGINS = Kind(
    _origins,
    "* or origins such as https://shop.example and https://*.shop.example, separated by commas",
)
BASE_URL = Kind(
    lambda text: _match(_BASE_URL, text.rstrip("/")),
    "https://host or https://host/path, without query or fragment",
)
WEB_URL = matching(rf"https?://{_AUTHORITY}(?:[/?#]{_URL_REST})?", "an http or https URL")
ENDPOINT = Kind(_endpoint, WEB_URL.expected)
CONTACT_URL = matching(
    rf"https://{_AUTHORITY}(?:[/?#]{_URL_REST})?|mailto:[^@\s]+@{_URL_REST}",
    "an https or mailto URL",
)
SOURCE_TYPE = one_of(*SOURCE_TYPES).or_none()
SECRET = matching(r"[A-Za-z0-9_-]{16,128}", "16 to 128 characters A-Z a-z 0-9 _ -")
KEYS = Kind(
    _keys, f"one or two keys, separated by a comma: {SECRET.expected} each, and not the same"
)
# https://cloud.google.com/storage/docs/buckets#naming
BUCKET_NAME = matching(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", "a bucket name")
RATE_LIMIT = matching(
    r"[1-9]\d{0,8}/(?:second|minute|hour|day)", "such as 100/hour: per second, minute, hour or day"
)
LIMIT_STORAGE = Kind(_limit_storage, "memory:// or redis://host:port/0")
