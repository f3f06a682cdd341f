"""What deploy.env says of the host: sizes become flags, what cannot work is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import deployment
from host import PATTERNS, Host, impossible

ROOT = Path(__file__).parents[1]
PLACE = {"PROJECT_ID": "my-project", "REGION": "europe-west1", "GCS_BUCKET_NAME": "my-shares"}


def refused(settings: dict[str, str], *, cloud_run: bool = False) -> list[str]:
    """Return what deploy says of settings beside the defaults."""
    target = deployment.Deployment.of({**PLACE, **settings})
    return impossible(target.host, target.variables, cloud_run=cloud_run)


def test_the_defaults_and_the_example_fit_together() -> None:
    assert refused({}) == []
    example = deployment.read_deployment(ROOT / "deploy.env.example")
    assert impossible(example.host, example.variables, cloud_run=False) == []
    assert example.host == Host()


def test_sizes_are_read_with_their_units() -> None:
    settings = {"MEMORY": "2Gi", "CPU": "2", "CONCURRENCY": "40", "MIN_INSTANCES": "1"}
    target = deployment.Deployment.of({**PLACE, **settings, "INGRESS": "internal"})
    assert target.host == Host(
        memory_mib=2048, cpu=2, concurrency=40, min_instances=1, ingress="internal"
    )
    assert deployment.threads(target.host) == {"THREADS": "40"}
    assert not {*PATTERNS} & {*target.variables}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("MEMORY", text) for text in ("1024", "1G", "0Mi", "1.5Gi")),
        *(("CPU", text) for text in ("0.5", "3", "two")),
        *(("CONCURRENCY", text) for text in ("0", "1001", "-1")),
        *(("MAX_INSTANCES", "0"), ("MIN_INSTANCES", "x"), ("INGRESS", "none")),
        *(("VPC_NETWORK", "projects/x"), ("VPC_SUBNET", "-a")),
    ],
)
def test_a_value_that_is_none_is_named_with_what_was_expected(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: found '{value}', expected"):
        deployment.Deployment.of({**PLACE, name: value})


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"CONCURRENCY": "300"}, "300 requests at once"),
        ({"THREADS": "300", "CONCURRENCY": "8"}, "300 requests at once"),
        ({"THREADS": "4"}, "THREADS=4 is below CONCURRENCY=8"),
        ({"MEMORY": "192Mi"}, "8 requests at once .* need 266 MB .* MEMORY is 201 MB"),
        ({"CACHE_MB": "900"}, "CACHE_MB=900"),
        ({"MAX_UPLOAD_MB": "33"}, "MAX_UPLOAD_MB=33: the front end refuses more than 32 MB"),
        ({"MEMORY_BUDGET_MB": "1100"}, r"MEMORY_BUDGET_MB=1100 is above MEMORY \(1074 MB\)"),
        ({"WATERMARK_FONT": "/usr/share/fonts/x.ttf"}, "WATERMARK_FONT=.* is not uploaded"),
        ({"LOGO_FILE": "tests/logo.svg"}, "LOGO_FILE=tests/logo.svg is not uploaded"),
        ({"LOGO_FILE": "web/../tests/logo.svg"}, "is not uploaded"),
        ({"TRUSTED_PROXY_HOPS": "2", "INGRESS": "all"}, "TRUSTED_PROXY_HOPS above 1 with INGRESS"),
        ({"MEMORY": "8Gi"}, "MEMORY=8192Mi: with CPU=1, 128Mi to 4096Mi work"),
        ({"CPU": "4"}, "MEMORY=1024Mi: with CPU=4, 2048Mi to 16384Mi work"),
        ({"MIN_INSTANCES": "11"}, "MIN_INSTANCES=11 is above MAX_INSTANCES"),
        ({"VPC_NETWORK": "a", "VPC_SUBNET": "b"}, "needs scripts/deploy --cloud-run"),
        ({"RATE_LIMIT_STORAGE_URI": "redis://:x@10.0.0.3:6379"}, "is a private address"),
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, str], problem: str) -> None:
    found = refused(settings)
    assert len(found) == 1
    with pytest.raises(ValueError, match=problem):
        raise ValueError(found[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"CONCURRENCY": "80", "MEMORY": "1Gi"},
        {"MAX_UPLOAD_MB": "32"},
        {"MEMORY_BUDGET_MB": "1000"},
        {"WATERMARK_FONT": "fonts/Comfortaa-Bold.ttf"},
        {"TRUSTED_PROXY_HOPS": "2", "INGRESS": "internal-and-cloud-load-balancing"},
        {"TRUSTED_PROXY_HOPS": "2"},
        {"CPU": "4", "MEMORY": "2Gi"},
        {"RATE_LIMIT_STORAGE_URI": "redis://cache.example:6379"},
        {"RATE_LIMIT_STORAGE_URI": "secret:limits"},
    ],
)
def test_what_works_is_deployed(settings: dict[str, str]) -> None:
    assert refused(settings) == []


def test_a_private_redis_is_reached_through_a_network() -> None:
    uri = {"RATE_LIMIT_STORAGE_URI": "redis://10.0.0.3:6379"}
    network = {"VPC_NETWORK": "default", "VPC_SUBNET": "default"}
    assert refused({**uri, **network}, cloud_run=True) == []
    assert refused({"VPC_NETWORK": "default"}, cloud_run=True) == [
        "VPC_NETWORK and VPC_SUBNET: set both, or none"
    ]
