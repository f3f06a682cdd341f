"""scripts/setup-bucket, setup-cdn and deploy: what they run, and what they refuse to run.

A program that is named gcloud stands in for it on the PATH: it writes down how it was called and
answers like a project in which nothing, or everything, is there already. Whether the real gcloud
understands the commands is asked of its own code.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from function_server import FunctionServer, serve
from gcloud_code import refused
from gcs_server import running_gcs_server
from PIL import ExifTags, Image

import deployed
from serving.body import UPLOAD_TIMEOUT_S
from stores.bucket import TIMEOUT_S

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import checks
import deployment
import diagnosis
import http_client
import probe
import traffic
from gcloud_failures import explained

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

SETTINGS = {
    "PROJECT_ID": "my-project",
    "REGION": "europe-west1",
    "GCS_BUCKET_NAME": "my-shares",
    "ALLOWED_ORIGINS": "https://a.example,https://*.b.example",
    "STORE_NAME": "Paws & Co; 'art' #1",
    "BACKGROUND_COLOR": "#ffffff",
}

# Answers: nothing exists until the first deploy; describe fails unless EXISTS.
GCLOUD = """#!{python}
import json, os, pathlib, sys
calls = pathlib.Path(os.environ["CALLS"])
with calls.open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
arguments = " ".join(sys.argv[1:])
exists = os.environ.get("EXISTS")
if arguments.startswith(os.environ.get("FAILS", "nothing at all")):
    print(os.environ.get("SAYS", ""), file=sys.stderr)
    sys.exit(7)
if " describe " in f" {{arguments}} ":
    if "--format=value(" in arguments:
        print(json.loads(os.environ.get("VALUES", "{{}}")).get(arguments.rpartition("=")[2], ""))
        sys.exit(0)
    sys.exit(0 if exists else 1)
if arguments.startswith("storage buckets list"):
    print(os.environ.get("BUCKETS", "[]"))
if arguments.startswith("storage ls"):
    print(os.environ.get("OBJECTS", ""))
if arguments.startswith("run services list"):
    deployed = " deploy " in calls.read_text().replace('"', " ")
    traffic = [dict(percent=100, revisionName="share-image-00041-abc")]
    if "--tag=candidate" in calls.read_text():
        traffic.append(dict(revisionName="share-image-00042-abc", tag="candidate",
                            url=os.environ["TAG_URL"]))
    status = dict(url=os.environ.get("SERVICE_URL", ""), traffic=traffic)
    annotations = {{"run.googleapis.com/ingress": os.environ.get("INGRESS", "all")}}
    labels = {{}} if os.environ.get("KIND") == "run" else {{"goog-managed-by": "cloudfunctions"}}
    service = dict(status=status, metadata=dict(annotations=annotations, labels=labels))
    print(json.dumps([service] if exists or deployed else []))
"""

# What gcloud says, as people whose deploys failed have reported it.
WHY_GCLOUD_FAILS = [
    (
        (
            "OperationError: code=3, message=Could not create or update Cloud Run service "
            "share-image, Container Healthcheck failed. Revision 'share-image-00042-gom' is not "
            "ready and cannot serve traffic. The user-provided container failed to start and "
            "listen on the port defined provided by the PORT=8080 environment variable within the "
            "allocated timeout."
        ),
        "the health check failed",
        "mend what the log names, then scripts/deploy",
    ),
    (
        (
            "OperationError: code=3, message=Build failed with status: FAILURE and message: "
            "installing pip dependencies. For more details see the logs at https://console.cloud."
            "google.com/cloud-build/builds;region=europe-west1/1?project=1."
        ),
        "the build failed",
        "mend what the log names, then scripts/deploy",
    ),
    (
        (
            "OperationError: code=3, message=Build failed with status: FAILURE. Could not build "
            "the function due to a missing permission on the build service account. If you didn't "
            "revoke that permission explicitly, this could be caused by a change in the "
            "organization policies."
        ),
        "the build account may not build",
        "--role=roles/cloudbuild.builds.builder",
    ),
    (
        (
            "HttpException: One or more users named in the policy do not belong to a permitted "
            "customer,  perhaps due to an organization policy."
        ),
        "an organisation policy forbids it",
        "to except project my-project",
    ),
    (
        (
            "INVALID_ARGUMENT: Could not create Cloud Run service share-image. spec.template.spec."
            "containers.resources.limits.cpu: Invalid value specified for cpu. For the specified "
            "value, maxScale may not exceed 5."
        ),
        "a quota of project my-project",
        "lower MAX_INSTANCES",
    ),
    (
        (
            "OperationError: code=7, message=Build Failed: Cloud Build API has not been used in "
            "project 626602103021 before or it is disabled. Enable it by visiting https://x/y"
        ),
        "an API is not enabled",
        "scripts/setup-bucket",
    ),
    (
        (
            "PERMISSION_DENIED: Permission 'cloudfunctions.functions.create' denied on 'projects/"
            "my-project/locations/europe-west1/functions/share-image'"
        ),
        "lacks a permission",
        "ask an owner of project my-project",
    ),
    (
        (
            "You do not currently have an active account selected.\nPlease run:\n\n  $ gcloud auth "
            "login"
        ),
        "nobody is logged in",
        "gcloud auth login",
    ),
    ("something new", "gcloud says it above", "the same command again"),
]
GCLOUD_SAYS = [says for says, _, _ in WHY_GCLOUD_FAILS]
LS = ["storage", "ls", "gs://my-shares"]

# A bucket that setup-bucket made, as gcloud lists it.
OURS = {"name": "my-shares", "labels": {"made-by": "share-image"}}


@dataclass(slots=True)
class Project:
    """A committed copy of the project, and a gcloud that writes down how it is called."""

    folder: Path
    path: str
    env: dict[str, str] = field(default_factory=dict)

    @property
    def calls(self) -> list[list[str]]:
        log = self.folder.parent / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of scripts/ without any installed package."""
        return subprocess.run(
            [sys.executable, "-S", "-E", "-B", f"scripts/{command}", *arguments],
            cwd=self.folder,
            env={"PATH": self.path, "CALLS": str(self.folder.parent / "calls"), **self.env},
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder.parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def set(self, **settings: str) -> None:
        """Write deploy.env."""
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self.folder / "deploy.env").write_text("".join(lines), encoding="utf-8")


def make_project(folder: Path) -> Project:
    tree = folder / "tree"
    for name in [*deployed.digests(ROOT), ".gcloudignore", ".gitignore", "deploy.env.example"]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    shutil.copytree(
        ROOT / "scripts", tree / "scripts", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tree / ".venv").symlink_to(sys.prefix)  # warm: what deploy rehearses in
    programs = folder / "bin"
    programs.mkdir()
    (programs / "gcloud").write_text(GCLOUD.format(python=sys.executable), encoding="utf-8")
    (programs / "gcloud").chmod(0o755)
    project = Project(tree, f"{programs}{os.pathsep}{os.environ['PATH']}")
    project.git("init", "--quiet")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message=all")
    project.set(**SETTINGS)
    return project


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that no test changes, and nobody edits meanwhile."""
    return make_project(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def project(pristine: Project, tmp_path: Path) -> Project:
    """A project of the test's own."""
    tree = tmp_path / "tree"
    shutil.copytree(pristine.folder, tree, symlinks=True)
    return Project(tree, pristine.path)


@pytest.fixture(scope="module")
def function(
    pristine: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FunctionServer]:
    """What is served after a deploy: the tree that was deployed."""
    env = {"RATE_LIMIT": "100000/hour", "ALLOWED_ORIGINS": SETTINGS["ALLOWED_ORIGINS"]}
    with serve(tmp_path_factory.mktemp("served"), env, source=pristine.folder) as running:
        yield running


@pytest.fixture(scope="module")
def revision(
    pristine: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FunctionServer]:
    """The same, as the revision that served before: it works, and is not set up as asked for."""
    env = {"RATE_LIMIT": "100000/hour", "K_REVISION": "share-image-00041-abc"}
    with serve(tmp_path_factory.mktemp("before"), env, source=pristine.folder) as running:
        yield running


def flags(call: list[str]) -> dict[str, str]:
    pairs = [argument.partition("=") for argument in call if argument.startswith("--")]
    return {name: value for name, _, value in pairs}


def environment(call: list[str]) -> dict[str, str]:
    """Return what --update-env-vars sets, read as gcloud reads it."""
    text = flags(call)["--update-env-vars"]
    found = re.fullmatch(r"\^([^^]+)\^(.*)", text)
    assert found is not None
    return dict(pair.split("=", 1) for pair in found[2].split(found[1]))


def printed(output: str) -> list[list[str]]:
    """Return the gcloud commands that a dry run prints, as a shell splits them."""
    text = output.replace("\\\n", " ").replace("||\n", "\n").replace(" >/dev/null 2>&1", "")
    lines = [line.strip() for line in text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("gcloud ")]


# setup-bucket


@pytest.mark.slow
@pytest.mark.parametrize("exists", ["", "yes"])
def test_setup_creates_what_is_missing_and_brings_the_rest_to_its_state(
    project: Project, exists: str
) -> None:
    project.env |= {"EXISTS": exists, "BUCKETS": json.dumps([OURS] if exists else [])}
    for _ in range(2):  # and once more
        assert project.run("setup-bucket").returncode == 0
    created = [call for call in project.calls if "create" in call]
    assert len(created) == (0 if exists else 6)
    (update, _) = [call for call in project.calls if call[:3] == ["storage", "buckets", "update"]]
    wanted = {
        *("--uniform-bucket-level-access", "--public-access-prevention", "--clear-soft-delete"),
        "--update-labels=made-by=share-image",
    }
    assert wanted <= set(update)
    assert update[3] == "gs://my-shares"


@pytest.mark.slow
def test_the_sweep_deletes_shares_alone_after_a_day(project: Project) -> None:
    project.run("setup-bucket")
    (file,) = {flags(call).get("--lifecycle-file", "") for call in project.calls} - {""}
    (rule,) = json.loads(Path(file).read_text(encoding="utf-8"))["rule"]
    assert rule == {
        "action": {"type": "Delete"},
        "condition": {"age": 1, "matchesPrefix": ["shares/"]},
    }


@pytest.mark.slow
def test_the_account_gets_one_role_on_one_bucket_and_it_holds_what_storage_does(
    project: Project,
) -> None:
    project.run("setup-bucket")
    bindings = [call for call in project.calls if "add-iam-policy-binding" in call]
    (binding,) = bindings
    assert binding[:4] == ["storage", "buckets", "add-iam-policy-binding", "gs://my-shares"]
    member = "serviceAccount:share-image@my-project.iam.gserviceaccount.com"
    assert flags(binding)["--member"] == member
    assert flags(binding)["--role"] == "projects/my-project/roles/shareImageStorage"
    (role,) = [call for call in project.calls if call[:3] == ["iam", "roles", "update"]]
    permissions = flags(role)["--permissions"].split(",")
    assert permissions == [
        f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list")
    ]


@pytest.mark.slow
def test_secrets_are_opened_to_the_account(project: Project) -> None:
    project.set(**SETTINGS, RATE_LIMIT_STORAGE_URI="secret:limits:3")
    project.run("setup-bucket")
    (binding,) = [call for call in project.calls if call[0] == "secrets"]
    assert binding[1:3] == ["add-iam-policy-binding", "limits"]
    assert flags(binding)["--role"] == "roles/secretmanager.secretAccessor"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["setup-bucket", "deploy"])
def test_a_sweep_that_would_delete_living_shares_is_refused(project: Project, command: str) -> None:
    project.set(**SETTINGS, SHARE_TTL_HOURS="24.5")
    done = project.run(command)
    assert (done.returncode, project.calls) == (2, [])
    assert 'set "age" there to 2' in done.stderr
    lifecycle = project.folder / "scripts/lifecycle.json"
    lifecycle.write_text(lifecycle.read_text().replace('"age": 1', '"age": 2'), encoding="utf-8")
    assert project.run("setup-bucket", "--dry-run").returncode == 0


@pytest.mark.slow
def test_a_setup_that_fails_stops_with_the_status_of_gcloud(project: Project) -> None:
    project.env["FAILS"] = "storage buckets create"
    assert project.run("setup-bucket").returncode == 7
    assert not any("update" in call and "buckets" in call for call in project.calls)


IN_USE = {
    "name": "my-shares",
    "versioning_enabled": True,
    "uniform_bucket_level_access": True,
    "soft_delete_policy": {"retentionDurationSeconds": "2592000"},
    "lifecycle_config": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 400}}]},
}


def test_a_bucket_in_use_is_refused_with_what_would_change(project: Project) -> None:
    project.env |= {"BUCKETS": json.dumps([IN_USE]), "OBJECTS": "gs://my-shares/a", "EXISTS": "1"}
    done = project.run("setup-bucket")
    assert done.returncode == 2
    assert [call[:3] for call in project.calls] == [["storage", "buckets", "list"], [*LS]]
    for line in (
        "was not made by scripts/setup-bucket",
        "It is not empty.",
        '  soft delete: "30 days" -> "0 days"',
        "  versioning: true -> false",
        '  lifecycle: {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 400}}]} -> ',
        "scripts/setup-bucket --adopt",
    ):
        assert line in done.stderr
    assert "uniform" not in done.stderr


@pytest.mark.slow
def test_a_bucket_that_is_adopted_is_changed_and_says_so(project: Project) -> None:
    project.env |= {"BUCKETS": json.dumps([IN_USE]), "EXISTS": "1"}
    done = project.run("setup-bucket", "--adopt")
    assert done.returncode == 0, done.stderr
    assert "  versioning: true -> false" in done.stdout
    assert any(call[:3] == ["storage", "buckets", "update"] for call in project.calls)


@pytest.mark.slow
def test_a_bucket_of_another_project_is_refused(project: Project) -> None:
    project.env |= {"EXISTS": "1", "OBJECTS": "[]"}
    gcloud_describes = GCLOUD.replace("sys.exit(0 if exists else 1)", "print('{{}}'); sys.exit(0)")
    own = project.folder.parent / "bin"
    own.mkdir()
    (own / "gcloud").write_text(gcloud_describes.format(python=sys.executable), encoding="utf-8")
    (own / "gcloud").chmod(0o755)
    project.path = f"{own}{os.pathsep}{project.path}"
    done = project.run("setup-bucket")
    assert done.returncode == 2
    assert "It belongs to another project than my-project." in done.stderr
    assert not any("update" in call for call in project.calls)


# setup-cdn

IN_FRONT = {
    **SETTINGS,
    "PUBLIC_BASE_URL": "https://share.shop.example",
    "TRUSTED_PROXY_HOPS": "2",
}
ATTACHED = "https://x/regions/europe-west1/networkEndpointGroups/share-image"
READY = {"value(managed.status)": "ACTIVE", "value(backends[].group)": ATTACHED}
CLOSED = "--ingress=internal-and-cloud-load-balancing"


def test_a_cdn_is_made_once_and_then_brought_to_its_state(project: Project) -> None:
    project.set(**IN_FRONT)
    assert project.run("setup-cdn").returncode == 0
    made = [call[1] for call in project.calls if "create" in call or "add-backend" in call]
    assert made == [
        *("network-endpoint-groups", "backend-services", "backend-services", "url-maps"),
        *("ssl-certificates", "target-https-proxies", "addresses", "forwarding-rules"),
    ]
    before = len(project.calls)
    project.env |= {"EXISTS": "1", "VALUES": json.dumps(READY)}
    assert project.run("setup-cdn").returncode == 0
    changes = [c for c in project.calls[before:] if not {"describe", "enable"} & set(c)]
    assert [call[1:3] for call in changes] == [
        ["backend-services", "update"],
        ["target-https-proxies", "update"],
        ["services", "update"],
    ]


def test_a_cdn_keeps_no_errors_and_nothing_stale(project: Project) -> None:
    project.set(**IN_FRONT)
    calls = printed(project.run("setup-cdn", "--dry-run").stdout)
    (cache,) = [call for call in calls if call[1:3] == ["backend-services", "update"]]
    wanted = {"--cache-mode=USE_ORIGIN_HEADERS", "--no-negative-caching", "--serve-while-stale=0"}
    assert wanted <= set(cache)


def test_the_functions_own_address_is_closed_once_there_is_another_one(project: Project) -> None:
    values = {"value(managed.status)": "PROVISIONING", "value(address)": "203.0.113.5"}
    project.set(**IN_FRONT)
    project.env["VALUES"] = json.dumps(values)
    done = project.run("setup-cdn")
    assert "The certificate is PROVISIONING" in done.stdout
    assert "share.shop.example. A 203.0.113.5" in done.stdout
    assert not any(CLOSED in call for call in project.calls)
    project.env["VALUES"] = json.dumps(READY)
    assert "Now scripts/deploy" in project.run("setup-cdn").stdout
    assert CLOSED in project.calls[-1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PUBLIC_BASE_URL": ""}, "PUBLIC_BASE_URL: found ''"),
        ({"PUBLIC_BASE_URL": "http://share.shop.example"}, "expected https://HOST"),
        ({"PUBLIC_BASE_URL": "https://shop.example/share"}, "expected https://HOST"),
        ({"TRUSTED_PROXY_HOPS": "1"}, "TRUSTED_PROXY_HOPS: found '1', expected 2"),
    ],
)
def test_settings_that_do_not_fit_a_load_balancer_are_refused(
    project: Project, changed: dict[str, str], said: str
) -> None:
    project.set(**{**IN_FRONT, **changed})
    done = project.run("setup-cdn")
    assert (done.returncode, project.calls) == (2, [])
    assert said in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("successor", [(), ("--cloud-run",)])
def test_a_deploy_leaves_a_closed_address_closed_and_proves_the_one_in_front(
    project: Project, revision: FunctionServer, successor: tuple[str, ...]
) -> None:
    project.set(**{**IN_FRONT, "PUBLIC_BASE_URL": revision.url})
    project.env |= {
        "EXISTS": "1",
        "SERVICE_URL": "http://127.0.0.1:1",
        "INGRESS": "internal-and-cloud-load-balancing",
        "KIND": "run" if successor else "function",
    }
    done = project.run("deploy", *successor)
    (call,) = [call for call in project.calls if "deploy" in call]
    expected = CLOSED if successor else "--ingress-settings=internal-and-gclb"
    assert expected in call
    assert "ok      delete" in done.stdout


def test_a_closed_address_with_none_in_front_is_not_deployed_to(project: Project) -> None:
    project.env |= {"EXISTS": "1", "SERVICE_URL": "https://x.run.app", "INGRESS": "internal"}
    done = project.run("deploy")
    assert done.returncode == 2
    assert "https://x.run.app is closed (internal): set PUBLIC_BASE_URL" in done.stderr
    assert not any("deploy" in call for call in project.calls)


# deploy


@pytest.mark.slow
@pytest.mark.parametrize("successor", [(), ("--cloud-run",)])
def test_a_first_deploy_is_done_twice_so_that_links_name_the_url_that_serves(
    project: Project, function: FunctionServer, successor: tuple[str, ...]
) -> None:
    project.env["SERVICE_URL"] = function.url
    done = project.run("deploy", *successor)
    first, second = [call for call in project.calls if "deploy" in call]
    assert "PUBLIC_BASE_URL" not in environment(first)
    assert environment(second) == {**environment(first), "PUBLIC_BASE_URL": function.url}
    # Only what this machine cannot have is missing: a bucket.
    assert "failed  settings   GCS_BUCKET_NAME is unset, expected my-shares" in done.stdout
    assert "ok      delete" in done.stdout
    undo = "gcloud run services delete" if successor else "gcloud functions delete"
    assert undo in done.stdout
    assert done.returncode == 1


@pytest.mark.slow
def test_a_later_deploy_is_done_once_and_names_the_revision_to_go_back_to(
    project: Project, revision: FunctionServer
) -> None:
    project.env |= {"SERVICE_URL": revision.url, "EXISTS": "yes"}
    done = project.run("deploy")
    (call,) = [call for call in project.calls if "deploy" in call]
    assert environment(call)["PUBLIC_BASE_URL"] == revision.url
    assert done.returncode == 1


def moves(project: Project) -> list[str]:
    """Return what became of the traffic, in order."""
    return [call[-1] for call in project.calls if "update-traffic" in call]


@pytest.mark.slow
def test_a_deploy_that_does_not_verify_sends_traffic_back_and_proves_what_served(
    project: Project, revision: FunctionServer
) -> None:
    project.env |= {"SERVICE_URL": revision.url, "EXISTS": "yes"}
    done = project.run("deploy")
    assert done.returncode == 1
    assert moves(project) == ["--to-revisions=share-image-00041-abc=100"]
    *_, last = done.stdout.strip().splitlines()
    assert last.startswith("Revision share-image-00041-abc serves again, and works.")


@pytest.mark.slow
def test_traffic_stays_where_it_is_told_to_stay(project: Project, function: FunctionServer) -> None:
    project.env |= {"SERVICE_URL": function.url, "EXISTS": "yes"}
    done = project.run("deploy", "--no-rollback")
    assert done.returncode == 1
    assert moves(project) == []
    assert "To go back:\n  gcloud run services update-traffic share-image" in done.stdout


@pytest.mark.slow
def test_a_rollback_that_fails_says_how_to_do_it_by_hand(
    project: Project, revision: FunctionServer
) -> None:
    project.env |= {"SERVICE_URL": revision.url, "EXISTS": "yes", "FAILS": "run services update"}
    done = project.run("deploy")
    assert done.returncode == 7
    assert "Go back by hand:\n  gcloud run services update-traffic share-image" in done.stderr


# what works at the tag, and what does not


@pytest.fixture
def settled(project: Project, tmp_path: Path) -> Iterator[FunctionServer]:
    """A function that verifies, under an address that its links do not name."""
    env = {n: v for n, v in SETTINGS.items() if n not in {"PROJECT_ID", "REGION"}}
    with running_gcs_server() as gcs:
        gcs.make_bucket("my-shares")
        nowhere = {"PUBLIC_BASE_URL": "http://127.0.0.1:1"}
        env |= {"STORAGE_EMULATOR_HOST": gcs.endpoint, **nowhere}
        env |= {"K_REVISION": "share-image-00041-abc", "DEMO_PAGE": "off", "THREADS": "8"}
        project.set(**SETTINGS, **nowhere)
        with serve(tmp_path, env, source=project.folder) as server:
            project.env |= {"EXISTS": "yes", "KIND": "run", "TAG_URL": server.url}
            yield server


@pytest.mark.slow
def test_a_revision_is_proved_at_its_own_address_before_traffic_comes_in_steps(
    project: Project, settled: FunctionServer
) -> None:
    project.env["SERVICE_URL"] = settled.url  # whose links lead nowhere
    done = project.run("deploy", "--cloud-run", "--canary=10")
    deploys = [call for call in project.calls if call[:2] == ["run", "deploy"]]
    assert [call[-2:] for call in deploys] == [["--no-traffic", "--tag=candidate"]], done.stdout
    assert done.stdout.count("ok      links") == 3, done.stdout
    assert moves(project) == [
        "--to-tags=candidate=10",
        "--to-tags=candidate=50",
        "--to-latest",
        "--to-revisions=share-image-00041-abc=100",
    ]
    assert done.returncode == 1


@pytest.mark.slow
def test_a_revision_that_works_gets_all_traffic_and_loses_its_tag(
    project: Project, tmp_path: Path
) -> None:
    env = {n: v for n, v in SETTINGS.items() if n not in {"PROJECT_ID", "REGION"}}
    with running_gcs_server() as gcs:
        env["STORAGE_EMULATOR_HOST"] = gcs.endpoint
        gcs.make_bucket("my-shares")
        with serve(tmp_path, env, source=project.folder) as server:
            project.env |= {"SERVICE_URL": server.url, "TAG_URL": server.url}
            project.env |= {"EXISTS": "yes", "KIND": "run"}
            done = project.run("deploy", "--cloud-run")
    assert done.returncode == 0, done.stdout
    assert moves(project) == ["--to-latest", "--remove-tags=candidate"]


@pytest.mark.slow
def test_a_revision_that_does_not_work_gets_no_traffic(
    project: Project, function: FunctionServer
) -> None:
    project.env |= {"EXISTS": "yes", "KIND": "run", "TAG_URL": function.url}
    project.env["SERVICE_URL"] = "http://127.0.0.1:1"
    done = project.run("deploy", "--cloud-run", "--canary=10")
    assert done.returncode == 1
    assert moves(project) == []
    assert f"{function.url} does not work, and got no traffic." in done.stdout
    assert "Revision share-image-00041-abc serves, as before." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--canary=10",), "--canary needs --cloud-run"),
        (("--cloud-run", "--canary=0"), "expected 1 to 100"),
        (("--cloud-run", "--canary=101"), "expected 1 to 100"),
    ],
)
def test_a_canary_that_cannot_be_is_refused(
    project: Project, arguments: tuple[str, ...], said: str
) -> None:
    done = project.run("deploy", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert project.calls == []


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("run", (), "was made by gcloud run deploy, and nothing else updates it: use --cloud-run"),
        ("function", ("--cloud-run",), "functions deploy, and nothing else updates it: leave --cl"),
    ],
)
def test_what_the_other_command_made_is_not_deployed_to(
    project: Project, kind: str, arguments: tuple[str, ...], said: str
) -> None:
    project.env |= {"EXISTS": "yes", "SERVICE_URL": "https://x.run.app", "KIND": kind}
    done = project.run("deploy", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not any("deploy" in call for call in project.calls)


@pytest.mark.slow
def test_a_deploy_that_verifies_exits_with_0(project: Project, tmp_path: Path) -> None:
    env = {n: v for n, v in SETTINGS.items() if n not in {"PROJECT_ID", "REGION"}}
    with running_gcs_server() as gcs:
        env["STORAGE_EMULATOR_HOST"] = gcs.endpoint
        gcs.make_bucket("my-shares")
        with serve(tmp_path, env, source=project.folder) as server:
            project.env |= {"SERVICE_URL": server.url, "EXISTS": "yes"}
            done = project.run("deploy")
    assert done.returncode == 0, done.stdout
    assert "To go back" not in done.stdout


def test_everything_is_pinned_and_fits_together(project: Project) -> None:
    call = printed(project.run("deploy", "--dry-run").stdout)[1]
    given = flags(call)
    assert call[:3] == ["functions", "deploy", "share-image"]
    assert "--gen2" in given
    assert given["--runtime"] == "python313"
    assert given["--entry-point"] == "share_image"
    assert given["--concurrency"] == environment(call)["THREADS"]
    assert float(given["--cpu"]) >= 1  # less allows no concurrency
    longest_s = UPLOAD_TIMEOUT_S + 2 * TIMEOUT_S
    assert longest_s < int(given["--timeout"].removesuffix("s")) <= 540
    assert {"--memory", "--max-instances", "--run-service-account", "--region"} <= set(given)


def test_the_size_of_the_settings_file_is_the_size_that_is_deployed(project: Project) -> None:
    sizes = {"MEMORY": "2Gi", "CPU": "2", "CONCURRENCY": "16", "MIN_INSTANCES": "1"}
    network = {"VPC_NETWORK": "office", "VPC_SUBNET": "lan", "INGRESS": "internal"}
    address = {"PUBLIC_BASE_URL": "https://share.example"}
    project.set(**SETTINGS, **sizes, **network, **address)
    shown = project.run("deploy", "--dry-run", "--cloud-run").stdout
    for flag in (
        *("--memory=2048Mi", "--cpu=2", "--concurrency=16", "--min-instances=1"),
        *("--max-instances=10", "--network=office", "--subnet=lan", "THREADS=16"),
        *("--vpc-egress=private-ranges-only", "--ingress=internal "),
    ):
        assert flag in shown
    refused = project.run("deploy", "--dry-run")
    assert refused.returncode == 2
    assert "VPC_NETWORK needs scripts/deploy --cloud-run" in refused.stderr


def test_a_build_account_of_its_own_is_made_and_used(project: Project) -> None:
    project.set(**SETTINGS, BUILD_ACCOUNT="share-image-build")
    email = "share-image-build@my-project.iam.gserviceaccount.com"
    made = project.run("setup-bucket", "--dry-run").stdout
    assert "gcloud iam service-accounts create share-image-build" in made
    assert f"--member=serviceAccount:{email} --role=roles/cloudbuild.builds.builder" in made
    flag = f"--build-service-account=projects/my-project/serviceAccounts/{email}"
    for kind in ((), ("--cloud-run",)):
        said = project.run("deploy", "--dry-run", *kind).stdout
        assert all(flag in call for call in printed(said) if call[1] == "deploy")
    project.set(**SETTINGS)
    assert "--build-service-account" not in project.run("deploy", "--dry-run").stdout


def test_where_allusers_is_forbidden_the_check_is_left_out_instead(project: Project) -> None:
    project.set(**SETTINGS, INVOKER_IAM_CHECK="off")
    functions = printed(project.run("deploy", "--dry-run").stdout)
    assert all("--allow-unauthenticated" not in call for call in functions)
    (update,) = [call for call in functions if call[:3] == ["run", "services", "update"]]
    assert update[-1] == "--no-invoker-iam-check"
    successor = printed(project.run("deploy", "--dry-run", "--cloud-run").stdout)
    (deploy,) = [call for call in successor if call[:2] == ["run", "deploy"]]
    assert "--no-invoker-iam-check" in deploy
    assert "--allow-unauthenticated" not in deploy


def test_settings_are_set_whole_and_nothing_else_is_wiped(project: Project) -> None:
    output = project.run("deploy", "--dry-run").stdout
    call = next(call for call in printed(output) if "deploy" in call)
    found = environment(call)
    assert {n: found[n] for n in SETTINGS if n in found} == {
        n: v for n, v in SETTINGS.items() if n not in {"PROJECT_ID", "REGION"}
    }
    assert "PROJECT_ID" not in found
    assert found["GOOGLE_CLOUD_PROJECT"] == "my-project"
    assert "--set-env-vars" not in output
    assert "--clear-env-vars" not in output


def test_values_that_hold_the_delimiter_stay_whole(project: Project) -> None:
    settings = {**SETTINGS, "STORE_NAME": "a##b=c", "CONTACT_URL": "https://x.example/@@,"}
    project.set(**settings)
    call = printed(project.run("deploy", "--dry-run").stdout)[1]
    assert environment(call)["STORE_NAME"] == "a##b=c"
    assert environment(call)["CONTACT_URL"] == "https://x.example/@@,"


def test_a_secret_is_named_and_never_set_in_the_open(project: Project) -> None:
    project.set(**SETTINGS, RATE_LIMIT_STORAGE_URI="secret:limits", CONTACT_URL="secret:c:7")
    call = printed(project.run("deploy", "--dry-run").stdout)[1]
    assert flags(call)["--update-secrets"] == "RATE_LIMIT_STORAGE_URI=limits:latest,CONTACT_URL=c:7"
    assert not {"RATE_LIMIT_STORAGE_URI", "CONTACT_URL"} & set(environment(call))


def test_the_labels_name_the_commit_and_the_source(project: Project) -> None:
    call = printed(project.run("deploy", "--dry-run").stdout)[1]
    commit = project.git("rev-parse", "--short=12", "HEAD")
    digest = deployed.source_digest(deployed.digests(project.folder))[:12]
    assert flags(call)["--update-labels"] == f"commit={commit},source={digest}"


@pytest.mark.slow
def test_a_tree_that_no_commit_names_is_refused_unless_told(project: Project) -> None:
    (project.folder / "stray.py").touch()
    done = project.run("deploy")
    assert (done.returncode, project.calls) == (2, [])
    assert "stray.py" in done.stderr
    assert "--dirty" in done.stderr
    label = flags(printed(project.run("deploy", "--dirty", "--dry-run").stdout)[1])
    assert "-dirty," in label["--update-labels"]
    shutil.rmtree(project.folder / ".git")
    assert project.run("deploy").returncode == 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"SHARE_TTL_HOURS": "-1"}, "SHARE_TTL_HOURS: found '-1'"),
        ({"ALLOWED_ORIGIN": "*"}, "ALLOWED_ORIGIN: no setting of this program"),
        ({"GCS_BUCKET_NAME": ""}, "GCS_BUCKET_NAME is missing"),
        ({"GCS_BUCKET_NAME": "secret:bucket"}, "GCS_BUCKET_NAME: found 'secret:bucket'"),
        ({"PROJECT_ID": "", "REGION": "Europe"}, "PROJECT_ID is missing"),
        ({"FUNCTION_NAME": "share_image"}, "FUNCTION_NAME: found 'share_image'"),
        ({"export X": "1"}, "line 7: 'export X=1': expected NAME=value"),
    ],
)
def test_settings_that_would_not_work_are_refused_before_anything_is_run(
    project: Project, changed: dict[str, str], said: str
) -> None:
    project.set(**{**SETTINGS, **changed})
    done = project.run("deploy")
    assert (done.returncode, project.calls) == (2, [])
    assert said in done.stderr


def test_what_is_expected_is_said_in_words(project: Project) -> None:
    project.set(**{**SETTINGS, "REGION": "Europe", "FUNCTION_NAME": "x"})
    said = project.run("deploy").stderr
    assert "REGION: found 'Europe', expected a region, such as europe-west1" in said
    assert "[a-z]" not in said


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = tmp_path / "deploy.env"
    path.write_bytes(b"\xef\xbb\xbfREGION=europe-west1\n")
    assert deployment.read_settings(path) == {"REGION": "europe-west1"}


def test_a_missing_settings_file_is_explained(project: Project) -> None:
    (project.folder / "deploy.env").unlink()
    for command in ("deploy", "setup-bucket"):
        done = project.run(command)
        assert done.returncode == 2
        assert "Copy deploy.env.example" in done.stderr


def test_a_name_that_comes_twice_is_refused(project: Project) -> None:
    with (project.folder / "deploy.env").open("a") as file:
        file.write("REGION=us-central1\n")
    assert "comes twice" in project.run("deploy").stderr


def test_quotes_around_a_value_are_dropped_and_nothing_is_expanded(tmp_path: Path) -> None:
    path = tmp_path / "deploy.env"
    path.write_text('# note\n\n A="b c" \nB=\'$HOME `x`\'\nC="\nD=a=b # c\n', encoding="utf-8")
    assert deployment.read_settings(path) == {
        "A": "b c",
        "B": "$HOME `x`",
        "C": '"',
        "D": "a=b # c",
    }


def test_after_a_rollback_the_next_deploy_serves_again(project: Project) -> None:
    functions = printed(project.run("deploy", "--dry-run").stdout)
    assert all("--serve-all-traffic-latest-revision" in c for c in functions if "deploy" in c)
    successor = printed(project.run("deploy", "--dry-run", "--cloud-run").stdout)
    (all_traffic,) = [call for call in successor if "--to-latest" in call]
    assert all_traffic[:4] == ["run", "services", "update-traffic", "share-image"]


@pytest.mark.slow
def test_a_deploy_that_fails_stops_before_it_is_verified(project: Project) -> None:
    project.env |= {"FAILS": "functions deploy", "SERVICE_URL": "http://127.0.0.1:1", "EXISTS": "1"}
    done = project.run("deploy")
    assert done.returncode == 7
    assert "verify" not in done.stdout
    assert "Revision share-image-00041-abc still serves" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("says", "cause", "mend"),
    WHY_GCLOUD_FAILS,
)
def test_why_gcloud_failed_is_said_with_the_log_and_the_mend(
    project: Project, says: str, cause: str, mend: str
) -> None:
    project.env |= {"FAILS": "functions deploy", "SAYS": f"ERROR: (gcloud.functions.deploy) {says}"}
    done = project.run("deploy")
    assert done.returncode == 7
    assert says in done.stderr
    lines = {line.partition(":")[0]: line for line in done.stderr.splitlines()[-4:]}
    assert cause in lines["cause"]
    assert "gcloud " in lines["log"]
    assert mend in lines["mend"]
    assert done.stderr.endswith("Nothing serves yet.\n")


@pytest.mark.slow
def test_a_missing_secret_is_asked_for_once_and_explained(project: Project) -> None:
    project.set(**SETTINGS, RATE_LIMIT_STORAGE_URI="secret:limits")
    project.env |= {
        "FAILS": "secrets",
        "SAYS": "ERROR: (gcloud.secrets.add-iam-policy-binding) NOT_FOUND: Secret "
        "[projects/1/secrets/limits] not found.",
    }
    done = project.run("setup-bucket")
    assert done.returncode == 7
    assert len([call for call in project.calls if call[0] == "secrets"]) == 1
    assert "gcloud secrets create" in done.stderr


def test_a_plain_variable_that_becomes_a_secret_is_removed_first(project: Project) -> None:
    project.set(**SETTINGS, CONTACT_URL="secret:contact")
    call = printed(project.run("deploy", "--dry-run").stdout)[1]
    assert flags(call)["--remove-env-vars"] == "CONTACT_URL"


@pytest.mark.slow
def test_without_gcloud_it_says_where_to_get_it(project: Project, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("git", "sh", "dirname", "cmp", "mkdir", "env"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    project.path = str(tmp_path / "bin")
    for command in ("deploy", "setup-bucket"):
        done = project.run(command)
        assert done.returncode == 2, done.stderr
        assert "gcloud is not on the PATH" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_gcloud_is_told_to_heed_the_ignore_file_whatever_its_own_settings_say(
    project: Project,
) -> None:
    project.env["CLOUDSDK_GCLOUDIGNORE_ENABLED"] = "false"
    heard = project.folder.parent / "heard"
    own = project.folder.parent / "bin"
    own.mkdir()
    (own / "gcloud").write_text(
        f"#!/bin/sh\nprintf %s \"$CLOUDSDK_GCLOUDIGNORE_ENABLED\" >'{heard}'\n", encoding="utf-8"
    )
    (own / "gcloud").chmod(0o755)
    project.path = f"{own}{os.pathsep}{os.environ['PATH']}"
    project.run("deploy")
    assert heard.read_text(encoding="utf-8") == "true"


# rehearsal


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("shares.py", "import no_such_package\n", "No module named 'no_such_package'"),
        (".gcloudignore", "/*\n!/main.py\n!/requirements.txt\n!.\n", "says other patterns"),
    ],
)
def test_what_would_not_start_is_named_before_anything_is_built(
    project: Project, name: str, text: str, said: str
) -> None:
    (project.folder / name).write_text(text, encoding="utf-8")
    done = project.run("deploy", "--dirty")
    assert (done.returncode, project.calls) == (2, [])
    assert said in done.stderr
    assert "Nothing was deployed" in done.stderr


@pytest.mark.parametrize("command", ["deploy", "setup-bucket", "setup-cdn"])
def test_a_dry_run_calls_nothing_and_needs_nothing(project: Project, command: str) -> None:
    project.set(**IN_FRONT)
    project.path = os.pathsep.join(
        part for part in project.path.split(os.pathsep) if not (Path(part) / "gcloud").exists()
    )
    done = project.run(command, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert project.calls == []
    assert printed(done.stdout)


@pytest.mark.slow
def test_what_a_dry_run_prints_is_what_is_run(project: Project) -> None:
    commands = printed(project.run("setup-bucket", "--dry-run").stdout)
    assert project.run("setup-bucket").returncode == 0
    assert project.calls == commands


@pytest.mark.slow
def test_the_example_is_a_settings_file_that_can_be_deployed(project: Project) -> None:
    shutil.copy(project.folder / "deploy.env.example", project.folder / "deploy.env")
    assert project.run("deploy", "--dry-run").returncode == 0


def test_the_real_settings_file_is_committed_by_nobody_and_not_uploaded(project: Project) -> None:
    assert "deploy.env" not in project.git("status", "--porcelain")
    assert "deploy.env" not in deployed.digests(project.folder)


# verify: what no server shows in a few seconds


def test_shares_that_are_slow_even_when_warm_fail() -> None:
    health = http_client.Answer(200, Message(), b"{}", 0.1)
    run = checks.Run(
        client=http_client.Client("http://localhost", timeout_s=1),
        expected={},
        why=diagnosis.Diagnosis("http://localhost", {}),
        health={"status": "ok"},
        answers={"GET /health": health},
        shares=[{"processing_time": 3.0}] * 2,
        seconds=[4.0, 3.01],
    )
    (latency,) = [check for check in checks.CHECKS if check.name == "latency"]
    with pytest.raises(diagnosis.Failed) as caught:
        latency.prove(run)
    assert "little processor" in caught.value.cause
    run.seconds = [9.0, 2.9]
    assert latency.prove(run).startswith("9000, 2900 ms")


@pytest.mark.slow
def test_what_is_posted_carries_a_marker_wherever_files_carry_more_than_pixels() -> None:
    picture, marker = probe.photo_png(), probe.MARKER
    image = Image.open(io.BytesIO(picture))
    image.load()
    assert image.info["Comment"] == marker
    assert image.getexif()[ExifTags.Base.ImageDescription] == marker
    assert picture.endswith(marker.encode())
    _, form = probe.share_form(picture, "email")
    assert f'filename="{marker}.png"'.encode() in form
    assert form.count(marker.encode()) == 4


def test_the_documentation_names_every_check_and_what_it_says() -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    table = page.partition("### What it says to each failure")[2].partition("\n## ")[0]
    cells = [line.split(" | ")[1] for line in table.splitlines() if line.startswith("| ")][1:]
    named = {name for cell in cells for name in re.findall(r"`([a-z]+)`", cell)}
    assert named == {check.name for check in checks.CHECKS}


# gcloud understands what is written down


def commands_in_markdown(path: Path) -> list[list[str]]:
    """Return each command that a page shows, in a block or in the text."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(gcloud [^`\n]+ --[a-z-]+=[^`\n]+)`", text)
    commands = (
        line[line.find("gcloud ") :] for line in lines if re.match(r"([^#]*\| )?gcloud ", line)
    )
    return [shlex.split(command, comments=True) for command in commands]


def commands_that_are_advised() -> list[list[str]]:
    """Return each command that verify and deploy tell people to run."""
    settings = {"PROJECT_ID": "my-project", "REGION": "europe-west1"}
    why = diagnosis.Diagnosis("http://localhost", settings)
    target = deployment.Deployment.of(SETTINGS)
    advice = [
        *(why.commands[name] for name in ("log", "to_latest", "make_public", "own_url")),
        *(line.split(":", 1)[1] for says in GCLOUD_SAYS for line in explained(says, target)[1:]),
        *(line for release in releases(target) for line in release.way_back()),
    ]
    commands = [shlex.split(line) for line in advice if line.strip().startswith("gcloud ")]
    return [command for command in commands if command[1] != "auth"]  # needs no account: it runs


def without_check(project: Project) -> list[list[str]]:
    """Return the commands of both kinds where nobody may be given the role."""
    settings = (project.folder / "deploy.env").read_text()
    (project.folder / "deploy.env").write_text(
        f"{settings}INVOKER_IAM_CHECK=off\nBUILD_ACCOUNT=share-image-build\n"
    )
    each = (project.run("deploy", "--dry-run", *kind).stdout for kind in ((), ("--cloud-run",)))
    return [call for said in each for call in printed(said)]


def releases(target: deployment.Deployment) -> list[traffic.Release]:
    """Return a later release, and a first one of both kinds."""
    common: dict[str, Any] = {
        "target": target,
        "commands": deployment.Commands(target, dry_run=True),
        "settings": Path("deploy.env"),
        "front_url": "",
        "rolls_back": True,
    }
    return [
        traffic.Release(before=traffic.Service(revision=revision), is_function=kind, **common)
        for revision, kind in (("r-00001-abc", True), ("", True), ("", False))
    ]


@pytest.mark.slow
def test_gcloud_understands_every_command_of_the_scripts(project: Project, tmp_path: Path) -> None:
    project.set(**IN_FRONT, RATE_LIMIT_STORAGE_URI="secret:limits", STORE_URL="https://x.example")
    commands = [
        *printed(project.run("setup-bucket", "--dry-run").stdout),
        *printed(project.run("setup-cdn", "--dry-run").stdout),
        *printed(project.run("deploy", "--dry-run").stdout),
        *printed(project.run("deploy", "--dry-run", "--cloud-run").stdout),
        *printed(project.run("deploy", "--dry-run", "--cloud-run", "--canary=10").stdout),
        *without_check(project),
    ]
    advised = commands_that_are_advised()
    assert len(commands) >= 35
    assert len(advised) >= 14
    assert refused([*(["gcloud", *c] for c in commands), *advised], tmp_path) == []


@pytest.mark.slow
def test_gcloud_understands_every_command_of_the_documentation(tmp_path: Path) -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    commands = [c for page in pages if page.exists() for c in commands_in_markdown(page)]
    assert commands
    assert refused(commands, tmp_path) == []


@pytest.mark.slow
def test_a_command_that_gcloud_does_not_understand_is_found(tmp_path: Path) -> None:
    wrong = [
        ["gcloud", "functions", "deploy", "x", "--gen2", "--no-such-flag"],
        ["gcloud", "run", "services", "no-such-verb"],
        ["gcloud", "run", "deploy", "x", "--concurrency=many"],
    ]
    assert [problem[0] for problem in refused(wrong, tmp_path)] == wrong
