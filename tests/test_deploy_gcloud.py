"""setup-bucket and deploy by the real gcloud, against a stand-in of Google's APIs."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from gcs_server import running_gcs_server
from google_apis import GoogleApis, running_google_apis
from test_deploy import ROOT, SETTINGS, Project, make_project

import deployed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULES = {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 400}}]}
SWEEP = json.loads((ROOT / "scripts/lifecycle.json").read_bytes())
IN_USE = {
    "name": "my-shares",
    "kind": "storage#bucket",
    "location": "EU",
    "versioning": {"enabled": True},
    "softDeletePolicy": {"retentionDurationSeconds": "2592000"},
    "iamConfiguration": {
        "publicAccessPrevention": "inherited",
        "uniformBucketLevelAccess": {"enabled": False},
    },
    "lifecycle": RULES,
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, GoogleApis]]:
    """A project and Google's APIs; the tests run in their order, each after the ones before."""
    folder: Path = tmp_path_factory.mktemp("deployed")
    with running_gcs_server() as gcs:
        gcs.make_bucket(SETTINGS["GCS_BUCKET_NAME"])
        with running_google_apis(folder, STORAGE_EMULATOR_HOST=gcs.endpoint) as apis:
            project = make_project(folder)
            project.path = os.environ["PATH"]
            project.env |= apis.gcloud_environ()
            yield project, apis


def test_from_nothing_to_a_deploy_that_verifies(deployment: tuple[Project, GoogleApis]) -> None:
    project, apis = deployment
    done = project.run("setup-bucket")
    assert done.returncode == 0, done.stderr
    bucket = apis.buckets["my-shares"]
    assert bucket["labels"] == {"made-by": "share-image"}
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    # For a user's own gcloud, which ignores .gcloudignore.
    project.env["CLOUDSDK_GCLOUDIGNORE_ENABLED"] = "false"
    first = project.run("deploy")
    assert first.returncode == 0, first.stdout + first.stderr
    assert len(apis.revisions) == 2
    assert sorted(apis.revisions[1]) == sorted(deployed.digests(project.folder))
    assert apis.unknown == []


def test_a_bucket_in_use_is_read_as_gcloud_shows_it(deployment: tuple[Project, GoogleApis]) -> None:
    project, apis = deployment
    apis.buckets["my-shares"] = IN_USE
    refused = project.run("setup-bucket")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[2:8] == [
        "  uniform bucket-level access: false -> true",
        '  public access prevention: "inherited" -> "enforced"',
        '  soft delete: "30 days" -> "0 days"',
        "  versioning: true -> false",
        f"  lifecycle: {json.dumps(RULES)} -> {json.dumps(SWEEP)}",
        '  label made-by: null -> "share-image"',
    ]


def test_a_second_deploy_is_done_once(deployment: tuple[Project, GoogleApis]) -> None:
    project, apis = deployment
    second = project.run("deploy")
    assert second.returncode == 0, second.stdout + second.stderr
    assert len(apis.revisions) == 3
    assert (
        f"all of {deployed.source_digest(deployed.digests(project.folder))[:12]}" in second.stdout
    )


def test_a_failed_build_is_explained_and_the_old_revision_serves(
    deployment: tuple[Project, GoogleApis],
) -> None:
    project, apis = deployment
    apis.build_fails = "Build failed with status: FAILURE and message: installing pip dependencies."
    failed = project.run("deploy")
    apis.build_fails = ""
    assert failed.returncode == 1
    assert "cause:  the build failed" in failed.stderr
    assert "Revision share-image-00003-abc still serves" in failed.stderr


def test_a_deploy_that_does_not_verify_goes_back_by_itself(
    deployment: tuple[Project, GoogleApis],
) -> None:
    project, apis = deployment
    apis.tampered = {"STORE_NAME": "Another"}
    failed = project.run("deploy")
    apis.tampered = {}
    assert failed.returncode == 1
    assert "failed  settings   STORE_NAME is Another, expected Paws & Co" in failed.stdout
    assert apis.serving == "share-image-00003-abc"
    *_, last = failed.stdout.strip().splitlines()
    assert last.startswith("Revision share-image-00003-abc serves again, and works.")
    assert apis.unknown == []


def test_the_next_deploy_serves_again(deployment: tuple[Project, GoogleApis]) -> None:
    project, apis = deployment
    done = project.run("deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert apis.serving == "share-image-00005-abc"
