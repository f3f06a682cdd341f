"""scripts/doctor: what is not as it should be is named, with the command that mends it."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gcloud_code import refused

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
ACCOUNT = "share-image@my-project.iam.gserviceaccount.com"
SETTINGS = {
    "PROJECT_ID": "my-project",
    "REGION": "europe-west1",
    "GCS_BUCKET_NAME": "my-shares",
    "STORE_NAME": "Paws",
    "UPLOAD_KEYS": "secret:share-image-upload",
}
GCLOUD = """#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
with (folder / "calls").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
answers = json.loads((folder / "answers").read_text())
for name, answer in answers.items():
    if " ".join(sys.argv[1:]).startswith(name):
        if isinstance(answer, str):
            sys.exit(answer)
        print(json.dumps(answer))
        sys.exit(0)
sys.exit("ERROR: NOT_FOUND: " + " ".join(sys.argv[1:]))
"""
Answers = dict[str, Any]


def well() -> Answers:
    """Return what gcloud says of a project where all is well."""
    env = [
        {"name": "GCS_BUCKET_NAME", "value": "my-shares"},
        {"name": "STORE_NAME", "value": "Paws"},
        {"name": "THREADS", "value": "8"},
        {"name": "GOOGLE_CLOUD_PROJECT", "value": "my-project"},
        {"name": "PUBLIC_BASE_URL", "value": "https://x.run.app"},
        {"name": "UPLOAD_KEYS", "valueFrom": {"secretKeyRef": {"name": "share-image-upload"}}},
    ]
    limits = {"memory": "1024Mi", "cpu": "1"}
    template = {
        "metadata": {"annotations": {"autoscaling.knative.dev/maxScale": "10"}},
        "spec": {
            "containerConcurrency": 8,
            "serviceAccountName": ACCOUNT,
            "containers": [{"env": env, "resources": {"limits": limits}}],
        },
    }
    return {
        "storage buckets describe": {
            "uniform_bucket_level_access": True,
            "public_access_prevention": "enforced",
            "lifecycle_config": json.loads((ROOT / "scripts/lifecycle.json").read_text()),
            "labels": {"made-by": "share-image"},
        },
        "storage buckets get-iam-policy": {
            "bindings": [
                {
                    "role": "projects/my-project/roles/shareImageStorage",
                    "members": [f"serviceAccount:{ACCOUNT}"],
                }
            ]
        },
        "run services describe": {
            "metadata": {"annotations": {}},
            "spec": {"template": template},
            "status": {"traffic": [{"percent": 100, "revisionName": "r-1"}, {"tag": "old"}]},
        },
        "run services get-iam-policy": {
            "bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]
        },
        "secrets get-iam-policy": {
            "bindings": [
                {
                    "role": "roles/secretmanager.secretAccessor",
                    "members": [f"serviceAccount:{ACCOUNT}"],
                }
            ]
        },
        "compute ssl-certificates list": [],
    }


def doctor(folder: Path, answers: Answers, **settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "answers").write_text(json.dumps(answers), encoding="utf-8")
    lines = (f"{name}={value}\n" for name, value in {**SETTINGS, **settings}.items())
    (folder / "deploy.env").write_text("".join(lines), encoding="utf-8")
    gcloud = folder / "gcloud"
    gcloud.write_text(GCLOUD.format(python=sys.executable, folder=str(folder)), encoding="utf-8")
    gcloud.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-S", "-E", "-B", "scripts/doctor", f"--settings={folder}/deploy.env"],
        cwd=ROOT,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_where_all_is_well_it_says_so_and_changes_nothing(tmp_path: Path) -> None:
    done = doctor(tmp_path, well())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [
        *("ok", "bucket", "ok", "service", "ok", "variables", "ok", "secrets", "ok", "certificate")
    ]
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    reading = {"describe", "get-iam-policy", "list"}
    assert all(reading & {*call} for call in calls)


def service(answers: Answers) -> Any:  # noqa: ANN401 - JSON
    return answers["run services describe"]


def container(answers: Answers) -> Any:  # noqa: ANN401 - JSON
    return service(answers)["spec"]["template"]["spec"]["containers"][0]


def invoker(answers: Answers) -> None:
    answers["run services get-iam-policy"] = {"etag": "x"}


def public(answers: Answers) -> None:
    binding = {"role": "roles/storage.objectViewer", "members": ["allUsers"]}
    answers["storage buckets get-iam-policy"]["bindings"].append(binding)


def certificate(answers: Answers) -> None:
    managed = {"status": "PROVISIONING", "domains": ["share.example"]}
    answers["compute ssl-certificates list"] = [{"name": "share-image-x", "managed": managed}]


ILLS: dict[str, tuple[Callable[[Answers], object], str, str]] = {
    "lifecycle": (
        lambda a: a["storage buckets describe"].pop("lifecycle_config"),
        "gs://my-shares: lifecycle: null ->",
        "mend: scripts/setup-bucket",
    ),
    "soft delete": (
        lambda a: a["storage buckets describe"].update(
            soft_delete_policy={"retentionDurationSeconds": "604800"}
        ),
        'soft delete: "7 days" -> "0 days"',
        "mend: scripts/setup-bucket",
    ),
    "no bucket": (
        lambda a: a.pop("storage buckets describe"),
        "gs://my-shares is not there",
        "mend: scripts/setup-bucket",
    ),
    "no role": (
        lambda a: a["storage buckets get-iam-policy"].update(bindings=[]),
        f"{ACCOUNT} has no role on gs://my-shares",
        "mend: scripts/setup-bucket",
    ),
    "public bucket": (
        public,
        "gs://my-shares is public: allUsers has roles/storage.objectViewer",
        "mend: gcloud storage buckets remove-iam-policy-binding gs://my-shares --member=allUsers",
    ),
    "no service": (
        lambda a: a.pop("run services describe"),
        "share-image is not deployed in europe-west1",
        "mend: scripts/deploy",
    ),
    "split traffic": (
        lambda a: service(a)["status"].update(
            traffic=[{"percent": 90, "revisionName": "a"}, {"percent": 10, "revisionName": "b"}]
        ),
        "traffic is split: 90 % a, 10 % b",
        "--region=europe-west1 --to-latest",
    ),
    "memory": (
        lambda a: container(a)["resources"]["limits"].update(memory="512Mi"),
        "MEMORY is 512Mi, expected 1024Mi",
        "mend: scripts/deploy",
    ),
    "account": (
        lambda a: service(a)["spec"]["template"]["spec"].update(serviceAccountName="x@y"),
        f"the service account is x@y, expected {ACCOUNT}",
        "mend: scripts/deploy",
    ),
    "not public": (
        invoker,
        "nobody may call it without an account",
        "--member=allUsers --role=roles/run.invoker",
    ),
    "drift": (
        lambda a: container(a)["env"][1].update(value="Claws"),
        "STORE_NAME is Claws, expected Paws",
        "mend: scripts/deploy",
    ),
    "left behind": (
        lambda a: container(a)["env"].append({"name": "RATE_LIMIT", "value": "1/day"}),
        "RATE_LIMIT is 1/day, expected unset",
        "mend: add RATE_LIMIT= to deploy.env, then scripts/deploy",
    ),
    "no secret": (
        lambda a: a.pop("secrets get-iam-policy"),
        "UPLOAD_KEYS: there is no secret share-image-upload",
        "mend: gcloud secrets create share-image-upload",
    ),
    "closed secret": (
        lambda a: a["secrets get-iam-policy"].update(bindings=[]),
        f"UPLOAD_KEYS: {ACCOUNT} may not read share-image-upload",
        "mend: scripts/setup-bucket",
    ),
    "certificate": (
        certificate,
        "certificate share-image-x for share.example is PROVISIONING",
        "point the DNS record there",
    ),
}


@pytest.mark.parametrize(("spoil", "what", "mend"), ILLS.values(), ids=ILLS)
def test_what_is_not_well_is_named_with_what_mends_it(
    tmp_path: Path, spoil: Callable[[Answers], object], what: str, mend: str
) -> None:
    answers = copy.deepcopy(well())
    spoil(answers)
    done = doctor(tmp_path, answers)
    assert done.returncode == 1, done.stderr
    assert what in done.stdout
    assert mend in done.stdout
    assert "failed" in done.stdout


def test_a_service_that_checks_nobody_is_public_without_a_binding(tmp_path: Path) -> None:
    answers = well()
    invoker(answers)
    annotations = service(answers)["metadata"]["annotations"]
    annotations["run.googleapis.com/invoker-iam-disabled"] = "true"
    assert doctor(tmp_path, answers).returncode == 0


def test_an_account_that_may_not_look_is_told_so(tmp_path: Path) -> None:
    answers = {**well(), "run services get-iam-policy": "PERMISSION_DENIED: run.services.getIam"}
    done = doctor(tmp_path, answers)
    assert done.returncode == 2
    assert "PERMISSION_DENIED" in done.stderr


@pytest.mark.slow
def test_gcloud_understands_what_it_asks_and_what_it_advises(tmp_path: Path) -> None:
    answers = copy.deepcopy(well())
    public(answers)
    invoker(answers)
    ILLS["split traffic"][0](answers)
    said = doctor(tmp_path, answers).stdout
    mends = [line.partition("mend: ")[2] for line in said.splitlines()]
    advised = [mend.split() for mend in mends if mend.startswith("gcloud ")]
    assert len(advised) == 3
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert refused([*advised, *(["gcloud", *call] for call in calls)], tmp_path / "new") == []
