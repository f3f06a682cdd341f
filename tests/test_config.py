from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from config import load_settings
from config.values import FORMATS
from errors import ConfigurationError


def problems_of(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return caught.value.problems


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = load_settings({})
    assert settings.bucket_name is None
    assert settings.local_storage_dir == Path(".shares")
    assert settings.share_ttl == timedelta(hours=24)
    assert settings.max_upload_bytes == 20_000_000
    assert settings.allowed_origins == ("*",)
    assert settings.image.max_pixels is None
    assert settings.image.max_input_side_px is None
    assert settings.image.input_formats == FORMATS
    assert settings.image.max_side_px == 1200
    assert settings.image.background_color == (255, 255, 255)


def test_every_variable_is_known_with_its_text_its_value_and_whether_it_was_set() -> None:
    variables = load_settings({"SHARE_TTL_HOURS": " 12.0 ", "STORE_NAME": ""}).variables
    hours, store = variables["SHARE_TTL_HOURS"], variables["STORE_NAME"]
    assert (hours.text, hours.value, hours.is_set) == ("12.0", timedelta(hours=12), True)
    assert (store.text, store.is_set) == ("", False)
    table = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    listed = {name for name in variables if f"`{name}`" in table}
    assert set(variables) - listed == {"THREADS"}  # the host's own, which deploy sets


def test_of_a_secret_only_whether_it_is_set_is_shown() -> None:
    uri = {"RATE_LIMIT_STORAGE_URI": "redis://:hunter2@10.0.0.3:6379"}
    assert load_settings(uri).variables["RATE_LIMIT_STORAGE_URI"].shown is True
    assert load_settings({}).variables["RATE_LIMIT_STORAGE_URI"].shown is False
    assert "hunter2" not in repr(load_settings(uri))


def test_the_limits_of_the_replaced_endpoint_are_three_settings_away() -> None:
    settings = load_settings(
        {"MAX_UPLOAD_MB": "5", "MAX_INPUT_SIDE_PX": "2000", "INPUT_FORMATS": "jpeg, png"}
    )
    assert settings.max_upload_bytes == 5_000_000
    assert settings.image.max_input_side_px == 2000
    assert settings.image.input_formats == ("JPEG", "PNG")


def test_sizes_are_decimal_and_hours_and_megabytes_may_be_fractions() -> None:
    settings = load_settings(
        {"SHARE_TTL_HOURS": "0.5", "MAX_UPLOAD_MB": "0.25", "MAX_MEGAPIXELS": "1.5"}
    )
    assert settings.share_ttl == timedelta(minutes=30)
    assert settings.max_upload_bytes == 250_000
    assert settings.image.max_pixels == 1_500_000


def test_an_empty_variable_is_an_absent_one() -> None:
    assert load_settings({"SHARE_TTL_HOURS": " ", "GCS_BUCKET_NAME": ""}) == load_settings({})


def test_all_problems_are_reported_at_once_with_what_was_found_and_expected() -> None:
    problems = problems_of(SHARE_TTL_HOURS="soon", BACKGROUND_COLOR="white", MAX_UPLOAD_MB="-1")
    assert problems == (
        "BACKGROUND_COLOR: found 'white', expected #rrggbb",
        "SHARE_TTL_HOURS: found 'soon', expected hours above 0, at most 8760",
        "MAX_UPLOAD_MB: found '-1', expected megabytes above 0",
    )


def test_in_the_cloud_a_bucket_must_be_named() -> None:
    (problem,) = problems_of(K_SERVICE="share-image")
    assert problem.startswith("GCS_BUCKET_NAME: found ''")
    settings = load_settings({"K_SERVICE": "share-image", "GCS_BUCKET_NAME": "shares-of-shop"})
    assert settings.bucket_name == "shares-of-shop"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHARE_TTL_HOURS", "0"),
        ("SHARE_TTL_HOURS", "nan"),
        ("SHARE_TTL_HOURS", "inf"),
        ("SHARE_TTL_HOURS", "8761"),
        ("MAX_UPLOAD_MB", "inf"),
        ("MAX_UPLOAD_MB", "0"),
        ("MAX_MEGAPIXELS", "many"),
        ("MAX_INPUT_SIDE_PX", "0"),
        ("INPUT_FORMATS", "JPEG,TIFF"),
        ("INPUT_FORMATS", ","),
        ("MAX_SIDE_PX", "15"),
        ("MAX_SIDE_PX", "4097"),
        ("BACKGROUND_COLOR", "#fff"),
        ("GCS_BUCKET_NAME", "gs://shares"),
        ("GCS_BUCKET_NAME", "Shares"),
        ("PUBLIC_BASE_URL", "shop.example"),
        ("PUBLIC_BASE_URL", "https://shop.example/?a=b"),
        ("PUBLIC_BASE_URL", 'https://shop.example/"><script>'),
        ("ALLOWED_ORIGINS", "shop.example"),
        ("ALLOWED_ORIGINS", "https://shop.example/path"),
        ("ALLOWED_ORIGINS", "https://*.*.example"),
        ("ALLOWED_ORIGINS", "*, https://shop.example"),
        ("LOG_LEVEL", "LOUD"),
        ("WATERMARK_TEXT", "x" * 61),
        ("WATERMARK_TEXT", "two\nlines"),
        ("WATERMARK_FONT", "README.md"),
        ("WATERMARK_FONT", "none.ttf"),
        ("RATE_LIMIT", "0/hour"),
        ("RATE_LIMIT", "100 an hour"),
        ("RATE_LIMIT_STORAGE_URI", "memcached://x"),
        ("RATE_LIMIT_STORAGE_URI", "memory://x"),
        ("RATE_LIMIT_STORAGE_URI", "redis://"),
        ("RATE_LIMIT_STORAGE_URI", "redis://host:x"),
        ("RATE_LIMIT_STORAGE_URI", "redis://host:0"),
        ("RATE_LIMIT_STORAGE_URI", "redis://host:65536"),
        ("RATE_LIMIT_STORAGE_URI", "redis://host/name"),
        ("RATE_LIMIT_STORAGE_URI", "redis://host?unknown=1"),
        ("TRUSTED_PROXY_HOPS", "-1"),
        ("TRUSTED_PROXY_HOPS", "10"),
        ("MEMORY_BUDGET_MB", "0"),
        ("THREADS", "0"),
        ("STORE_NAME", "a\x00b"),
        ("STORE_URL", "javascript:alert(1)"),
        ("STORE_URL", "//shop.example"),
        ("CONTACT_URL", "http://shop.example"),
        ("CONTACT_URL", "mailto:nobody"),
        ("CONTACT_URL", "https://shop.example:x/"),
        ("DEMO_PAGE", "perhaps"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(name: str, value: str) -> None:
    (problem,) = problems_of(**{name: value})
    assert problem.startswith(f"{name}: found {value!r}, expected ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_LIMIT_STORAGE_URI", "redis://localhost"),
        ("RATE_LIMIT_STORAGE_URI", "redis://[::1]:6379/"),
        (
            "RATE_LIMIT_STORAGE_URI",
            "rediss://user:p%40ss@redis.example:6380/1?ssl_ca_certs=/ca.pem",
        ),
        ("CONTACT_URL", "https://shop.example:8443/report?a=b"),
        ("CONTACT_URL", "https://shop.example"),
        ("CONTACT_URL", "mailto:report@shop.example?subject=share"),
    ],
)
def test_an_address_is_taken_as_it_is(name: str, value: str) -> None:
    assert getattr(load_settings({name: value}), name.lower()) == value


@pytest.mark.parametrize(
    ("text", "missing"), [("漢字 Pet", "漢字"), ("Fur & Co 🐾🐾", "🐾"), ("كلب", "كلب")]
)
def test_a_watermark_that_its_font_cannot_draw_is_refused(text: str, missing: str) -> None:
    (problem,) = problems_of(WATERMARK_TEXT=text)
    assert problem.startswith(f"WATERMARK_TEXT: found {text!r}, expected ")
    assert f" lacks {missing}, " in problem


@pytest.mark.parametrize("text", ["Лапы и хвосты", "Πατούσες", "Żółw é", "Cafe\u0301"])
def test_a_watermark_in_european_letters_is_drawn(text: str) -> None:
    assert load_settings({"WATERMARK_TEXT": text}).image.watermark_text


def test_a_broken_font_is_refused(tmp_path: Path) -> None:
    font = tmp_path / "cut.ttf"
    font.write_bytes((Path(__file__).parents[1] / "fonts/Comfortaa-Bold.ttf").read_bytes()[:99])
    (problem,) = problems_of(WATERMARK_FONT=str(font))
    assert problem.startswith("WATERMARK_FONT: found ")


def test_a_password_is_not_told_with_what_is_wrong() -> None:
    (problem,) = problems_of(RATE_LIMIT_STORAGE_URI="redis://user:hunter2@host:x")
    assert problem.startswith("RATE_LIMIT_STORAGE_URI: found 'redis://...@host:x', expected ")


@pytest.mark.parametrize("side", ["16", "4096"])
def test_the_longest_side_of_the_output_may_be_at_its_bounds(side: str) -> None:
    assert load_settings({"MAX_SIDE_PX": side}).image.max_side_px == int(side)


def test_a_base_url_loses_its_trailing_slash_and_keeps_its_path() -> None:
    settings = load_settings({"PUBLIC_BASE_URL": "https://region-project.example.net/share-image/"})
    assert settings.public_base_url == "https://region-project.example.net/share-image"
