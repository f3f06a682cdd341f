"""Settings: the only reader of the environment.

    Settings
    ├── image: ImageSettings    what image_ops.py needs to know
    ├── variables               each setting by the name of its variable, as /health shows it
    └── everything else, by the name of its variable in lower case

Sizes are decimal (1 MB = 1,000,000 bytes); hours may be fractions. README.md lists every variable.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from config import values
from config.glyphs import font_for, lacking
from config.values import FORMATS, LANGUAGES
from errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from pathlib import Path

    from config.values import Kind

T = TypeVar("T")

VERSION = "1.0.0"
# Variables whose text may hold a password, or an address that is nobody else's business.
SECRETS = frozenset(
    {"RATE_LIMIT_STORAGE_URI", "CHECK_URL", "CHECK_KEY", "UPLOAD_KEYS", "SHOPIFY_APP_SECRET"}
)
_POSITIVE, _MEGABYTES = values.whole(1), values.millions("megabytes")


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
    log_sample: of successful views, one in so many is logged;
    store_url: where visitors are sent; contact_url: where they report a picture;
    cta_text, page_title, page_description: in place of the texts of any language, empty for those;
    page_language: the tag of a language in serving/texts; logo_file: one of LOGO_SIGNATURES;
    accent_color: (red, green, blue), 0-255; picture_links: where a browser that opens a picture's
    link is led, "page" or "picture";
    digital_source_type: an IPTC term that holds for every upload, or empty;
    upload_keys: what tokens are signed with, the first one and, while it changes, the one before;
    empty where anybody may upload; shopify_app_secret: signs what an app proxy asks, or empty;
    check_url: who looks at pictures, None for nobody; check_key: signs what is posted there, empty
    for no signature; check_fails: what no verdict means, "closed" or "open"; check_allow_private:
    whether check_url may lead to an address that is not public.
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
    digital_source_type: str
    upload_keys: tuple[str, ...] = field(repr=False)
    upload_token_age_s: int
    shopify_app_secret: str = field(repr=False)
    check_url: str | None = field(repr=False)
    check_key: str = field(repr=False)
    check_timeout_s: float
    check_fails: str
    check_allow_private: bool
    demo_page: bool
    log_sample: int
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
            max_pixels=env.read("MAX_MEGAPIXELS", "", values.millions("megapixels").or_none()),
            max_input_side_px=env.read("MAX_INPUT_SIDE_PX", "", _POSITIVE.or_none()),
            input_formats=env.read("INPUT_FORMATS", ",".join(FORMATS), values.some_of(*FORMATS)),
            max_side_px=env.read("MAX_SIDE_PX", "1200", values.whole(16, 4096, of="pixels")),
            background_color=env.read("BACKGROUND_COLOR", "#ffffff", values.COLOR),
            watermark_text=env.read("WATERMARK_TEXT", "", values.one_line(60)),
            watermark_font=env.read("WATERMARK_FONT", "", values.FONT.or_none()),
        ),
        in_cloud=in_cloud,
        revision=environ.get("K_REVISION", ""),
        variables=env.variables,
        project_id=environ.get("GOOGLE_CLOUD_PROJECT") or None,
        bucket_name=env.read("GCS_BUCKET_NAME", "", values.BUCKET_NAME.or_none()),
        local_storage_dir=env.read("LOCAL_STORAGE_DIR", ".shares", values.FOLDER),
        public_base_url=env.read("PUBLIC_BASE_URL", "", values.BASE_URL.or_none()),
        share_ttl=env.read("SHARE_TTL_HOURS", "24", values.HOURS),
        max_upload_bytes=env.read("MAX_UPLOAD_MB", "20", _MEGABYTES),
        allowed_origins=env.read("ALLOWED_ORIGINS", "*", values.ORIGINS),
        rate_limit=env.read("RATE_LIMIT", "100/hour", values.RATE_LIMIT),
        rate_limit_storage_uri=env.read(
            "RATE_LIMIT_STORAGE_URI", "memory://", values.LIMIT_STORAGE
        ),
        trusted_proxy_hops=env.read("TRUSTED_PROXY_HOPS", "1", values.whole(0, 9)),
        memory_budget_bytes=env.read("MEMORY_BUDGET_MB", "", _MEGABYTES.or_none()),
        cache_bytes=env.read("CACHE_MB", "64", values.millions("megabytes", low=0)),
        threads=env.read("THREADS", str((os.cpu_count() or 1) * 4), _POSITIVE),
        store_name=env.read("STORE_NAME", "", values.one_line()),
        store_url=env.read("STORE_URL", "", values.WEB_URL.or_none()),
        contact_url=env.read("CONTACT_URL", "", values.CONTACT_URL.or_none()),
        cta_text=env.read("CTA_TEXT", "", values.one_line(40)),
        page_title=env.read("PAGE_TITLE", "", values.one_line(80)),
        page_description=env.read("PAGE_DESCRIPTION", "", values.one_line(200)),
        page_language=env.read("PAGE_LANGUAGE", "en", values.one_of(*LANGUAGES)),
        logo_file=env.read("LOGO_FILE", "", values.LOGO.or_none()),
        accent_color=env.read("ACCENT_COLOR", "", values.COLOR.or_none()),
        picture_links=env.read("PICTURE_LINKS", "page", values.one_of("page", "picture")),
        digital_source_type=env.read("DIGITAL_SOURCE_TYPE", "", values.SOURCE_TYPE) or "",
        upload_keys=env.read("UPLOAD_KEYS", "", values.KEYS),
        upload_token_age_s=60 * env.read("UPLOAD_TOKEN_MINUTES", "10", values.whole(1, 1440)),
        shopify_app_secret=env.read("SHOPIFY_APP_SECRET", "", values.SECRET.or_none()) or "",
        check_url=env.read("CHECK_URL", "", values.ENDPOINT.or_none()),
        check_key=env.read("CHECK_KEY", "", values.SECRET.or_none()) or "",
        check_timeout_s=env.read("CHECK_TIMEOUT_S", "5", values.SECONDS),
        check_fails=env.read("CHECK_FAILS", "closed", values.one_of("closed", "open")),
        check_allow_private=env.read("CHECK_ALLOW_PRIVATE", "off", values.ON_OFF),
        demo_page=env.read("DEMO_PAGE", "off" if in_cloud else "on", values.ON_OFF),
        log_sample=env.read("LOG_SAMPLE", "1", values.whole(1, 10_000)),
        log_level=env.read("LOG_LEVEL", "INFO", values.one_of("DEBUG", "INFO", "WARNING", "ERROR")),
    )
    if in_cloud and "GCS_BUCKET_NAME" not in env.problems and settings.bucket_name is None:
        env.report("GCS_BUCKET_NAME", "", "the bucket that keeps the shares (there is no default)")
    if (settings.check_url or "").startswith("http:") and not settings.check_allow_private:
        env.report("CHECK_URL", "http://...", "an https URL, or CHECK_ALLOW_PRIVATE=on")
    if settings.shopify_app_secret and not settings.upload_keys:
        env.report("UPLOAD_KEYS", "", "a key, because SHOPIFY_APP_SECRET is set")
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

    def read(self, name: str, default: str, kind: Kind[T]) -> T:
        """Return the parsed variable, or its parsed default where it is unset, empty or wrong."""
        found = self._environ.get(name, "").strip()
        try:
            value = kind.parse(found or default)
        except (ValueError, OverflowError):
            self.report(name, found, kind.expected)
            value = kind.parse(default)
        self.variables[name] = Variable(
            name=name, text=found or default, value=value, is_set=bool(found)
        )
        return value

    def report(self, name: str, found: str, expected: str) -> None:
        shown = re.sub(r"//\S*@", "//...@", found)  # a password may stand there
        if found and name.endswith(("_KEY", "_KEYS", "_SECRET")):
            shown = f"{len(found)} characters"
        self.problems[name] = f"{name}: found {shown!r}, expected {expected}"

    def raise_problems(self) -> None:
        if self.problems:
            raise ConfigurationError(list(self.problems.values()))
