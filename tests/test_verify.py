"""scripts/verify against real servers: each failure that has happened is found and named."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pictures
import pytest
from faulty_gcs import (
    Answer,
    Exchange,
    Fault,
    FaultyGcs,
    Reply,
    Request,
    ResetDuringAnswer,
    Stall,
    running_faulty_gcs,
)
from function_server import FunctionServer, free_port, serve, start
from gcs_server import GcsServer, running_gcs_server
from stored import kept_in

import deployed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SHARE = "/api/v2/share-image"
MANY = {"RATE_LIMIT": "1000000/hour"}
SHOP = "https://shop.example"
BUCKET = "shares-verify"
ALWAYS = math.inf
WHO = "a proxy, a firewall or a cache"
IN_FRONT = "; where that passes, mend what is before it"
JSON = (("Content-Type", "application/json"), ("Access-Control-Allow-Origin", "*"))
HTML = (("Content-Type", "text/html; charset=UTF-8"),)


@dataclass(frozen=True, slots=True)
class Report:
    """What scripts/verify said: its exit status, and its results by the name of the check."""

    status: int
    failed: list[str]
    checks: dict[str, dict[str, str]]

    def states(self) -> set[str]:
        return {result["state"] for result in self.checks.values()}

    def assert_names(self, check: str, cause: str, mend: str) -> None:
        result = self.checks[check]
        assert self.status == 1
        assert result["state"] == "failed", self.failed
        assert cause in result["cause"], result
        assert mend in result["mend"], result


def run_verify(
    tree: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as anyone would: no environment of ours, no package (-S), no setting."""
    return subprocess.run(
        [sys.executable, "-S", "-E", str(tree / "scripts/verify"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], **(env or {})},
    )


def verify(tree: Path, *arguments: str, env: dict[str, str] | None = None) -> Report:
    done = run_verify(tree, "--json", *arguments, env=env)
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert said["ok"] is (done.returncode == 0)
    checks = {result["check"]: result for result in said["checks"]}
    return Report(done.returncode, said["failed"], checks)


def copy_of_tree(tree: Path, folder: Path) -> Path:
    """Copy what verifying needs: the program and the scripts."""
    for name in deployed.digests(tree):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / name, folder / name)
    shutil.copy(tree / deployed.IGNORE_FILE, folder)
    shutil.copytree(tree / "scripts", folder / "scripts")
    return folder


def change_one_byte(path: Path) -> None:
    """Change a byte that leaves the file what it is: in a docstring, or at its end."""
    data = bytearray(path.read_bytes())
    at = 3 if path.suffix == ".py" else -1
    data[at] ^= 1
    path.write_bytes(data)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree that nobody edits while it is verified."""
    return copy_of_tree(ROOT, tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def function(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    with serve(tmp_path_factory.mktemp("function"), MANY, source=tree) as running:
        yield running


@pytest.fixture(scope="module")
def front_of_function(function: FunctionServer) -> Iterator[FaultyGcs]:
    with running_faulty_gcs(function.url) as proxy:
        yield proxy


@pytest.fixture
def front(front_of_function: FaultyGcs) -> FaultyGcs:
    """What stands before the function, and lets everything through until it is told otherwise."""
    front_of_function.clear()
    return front_of_function


@pytest.fixture(scope="module")
def strict(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    """The function with origins."""
    env = {**MANY, "ALLOWED_ORIGINS": f"{SHOP},https://*.preview.example"}
    with serve(tmp_path_factory.mktemp("strict"), env, source=tree) as running:
        yield running


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsServer]:
    with running_gcs_server() as running:
        running.make_bucket(BUCKET)
        yield running


@contextmanager
def function_with_bucket(
    tree: Path, folder: Path, bucket: str, endpoint: str
) -> Iterator[FunctionServer]:
    env = {**MANY, "GCS_BUCKET_NAME": bucket, "STORAGE_EMULATOR_HOST": endpoint}
    with serve(folder, env, source=tree) as running:
        yield running


def settings_file(folder: Path, **settings: str) -> Path:
    path = folder / "deploy.env"
    path.write_text("".join(f"{n}={v}\n" for n, v in settings.items()), encoding="utf-8")
    return path


def asks(method: str, path: str) -> Callable[[Request], bool]:
    return lambda request: (request.method, request.path) == (method, path)


# All is well


def test_a_function_that_works_passes_and_nothing_of_it_is_left(tree: Path, tmp_path: Path) -> None:
    with serve(tmp_path, MANY, source=tree) as server:
        report = verify(tree, server.url)
        assert httpx.get(f"{server.url}/health").status_code == 200
    assert report.status == 0, report
    assert report.states() == {"ok"}
    assert kept_in(tmp_path / "shares") == set()


def test_people_read_one_line_a_check(tree: Path, function: FunctionServer) -> None:
    done = run_verify(tree, f"{function.url}/")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) == 22
    assert {line.split()[0] for line in lines} == {"ok"}
    assert [line.split()[1] for line in lines[:3]] == ["answers", "program", "source"]


def test_a_failure_is_read_with_its_cause_and_the_command_that_mends_it(
    tree: Path, front: FaultyGcs
) -> None:
    missing = Answer(404, b'{"detail":"Not Found"}', JSON)
    front.add(missing, when=asks("POST", SHARE), times=ALWAYS)
    lines = run_verify(tree, front.endpoint, "--quick").stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("failed"))
    assert lines[at].split()[1] == "route"
    assert lines[at + 1].split()[0] == "cause:"
    assert lines[at + 2].split() == ["mend:", "scripts/deploy"]


def test_quick_posts_no_picture(tree: Path, front: FaultyGcs) -> None:
    report = verify(tree, front.endpoint, "--quick")
    assert report.status == 0
    assert "share" not in report.checks
    assert not any(b"filename" in request.body_start for request in front.requests)


def test_few_pictures_are_posted_and_each_is_taken_back(tree: Path, front: FaultyGcs) -> None:
    verify(tree, front.endpoint)
    posted = [request for request in front.requests if b"filename" in request.body_start]
    deleted = {request.path for request in front.requests if request.method == "DELETE"}
    assert 2 <= len(posted) <= 6
    assert len(deleted) >= len(posted)


def test_several_origins_are_tried_and_a_foreign_one(tree: Path, strict: FunctionServer) -> None:
    report = verify(tree, strict.url)
    assert report.status == 0, report
    assert "no other" in report.checks["origins"]["found"]


def test_expected_settings_that_hold_pass(
    tree: Path, strict: FunctionServer, tmp_path: Path
) -> None:
    path = settings_file(
        tmp_path,
        **MANY,
        ALLOWED_ORIGINS=f"https://*.preview.example, {SHOP}/",
        SHARE_TTL_HOURS="24.0",
        BACKGROUND_COLOR="#FFFFFF",
        PUBLIC_BASE_URL="",
    )
    assert verify(tree, strict.url, f"--settings={path}").status == 0


def test_waiting_ends_when_this_tree_answers(tree: Path, function: FunctionServer) -> None:
    assert verify(tree, function.url, "--quick", "--wait=50").status == 0


# What went wrong before


def test_a_route_that_is_missing_while_health_is_green(tree: Path, front: FaultyGcs) -> None:
    """And every preflight is answered 200, as the old program did."""
    front.add(Answer(404, b'{"detail":"Not Found"}', JSON), when=asks("POST", SHARE), times=ALWAYS)
    front.add(Answer(200, b'{"paths": {"/": {}}}', JSON), when=asks("GET", "/openapi.json"))
    report = verify(tree, front.endpoint)
    report.assert_names("openapi", "the route is missing", "scripts/deploy")
    report.assert_names("route", "the route is missing", "scripts/deploy")
    assert report.checks["answers"]["state"] == "ok"


def test_a_stale_source_that_differs_in_one_byte(tree: Path, tmp_path: Path) -> None:
    stale = copy_of_tree(tree, tmp_path / "stale")
    change_one_byte(stale / "shares.py")
    with serve(tmp_path, MANY, source=stale) as server:
        report = verify(tree, server.url)
    report.assert_names("source", "a stale or partial deploy", "scripts/deploy")
    assert report.checks["source"]["found"] == "shares.py differs"
    assert report.failed == ["source"]


def test_one_changed_byte_in_any_uploaded_file_is_found(
    tree: Path, function: FunctionServer, tmp_path: Path
) -> None:
    """The tree changes here, and what is deployed stays: the same difference."""

    def found(*names: str) -> str:
        changed = copy_of_tree(tree, tmp_path / names[0])
        for name in names:
            change_one_byte(changed / name)
        return verify(changed, function.url, "--quick").checks["source"]["found"]

    names = list(deployed.digests(tree))
    for one in ("main.py", "requirements.txt", "serving/templates/share.html", "fonts/OFL.txt"):
        assert found(one) == f"{one} differs"
    assert found(*names) == "; ".join(f"{name} differs" for name in names)


def test_a_partial_deploy_names_what_is_missing_and_what_is_too_much(
    tree: Path, function: FunctionServer, tmp_path: Path
) -> None:
    other = copy_of_tree(tree, tmp_path)
    (other / "new.py").touch()
    (other / "serving/templates/page.css").unlink()
    found = verify(other, function.url, "--quick").checks["source"]["found"]
    assert found == "new.py is missing there; serving/templates/page.css is there only"


def test_a_contract_that_is_another_one(tree: Path, front: FaultyGcs) -> None:
    other = (tree / "openapi.json").read_bytes() + b"\n"
    front.add(Answer(200, other, JSON), when=asks("GET", "/openapi.json"))
    report = verify(tree, front.endpoint, "--quick")
    report.assert_names("openapi", "a stale deploy", "scripts/deploy")


def test_a_bucket_that_is_unset_so_that_nothing_starts(tree: Path, tmp_path: Path) -> None:
    port = free_port()
    with (tmp_path / "log").open("wb") as stream:
        assert start(port, tmp_path, {"K_SERVICE": "x"}, tree, stream).wait(timeout=30) != 0
    report = verify(tree, f"http://127.0.0.1:{port}")
    report.assert_names("answers", "GCS_BUCKET_NAME is unset", "gcloud run services logs read")
    assert report.checks["share"]["state"] == "skipped"


def test_a_bucket_that_was_lost_so_that_shares_go_elsewhere(
    tree: Path, function: FunctionServer, tmp_path: Path
) -> None:
    path = settings_file(tmp_path, **MANY, GCS_BUCKET_NAME=BUCKET)
    report = verify(tree, function.url, "--quick", f"--settings={path}")
    report.assert_names("settings", "GCS_BUCKET_NAME was lost", "scripts/deploy")
    assert report.checks["settings"]["found"] == f"GCS_BUCKET_NAME is unset, expected {BUCKET}"


def test_a_bucket_that_does_not_exist(tree: Path, gcs: GcsServer, tmp_path: Path) -> None:
    with function_with_bucket(tree, tmp_path, "no-such-bucket", gcs.endpoint) as server:
        report = verify(tree, server.url, env={"STORAGE_EMULATOR_HOST": gcs.endpoint})
    report.assert_names("share", "no-such-bucket does not exist", "scripts/setup-bucket")
    assert report.checks["answers"]["state"] == "ok"
    assert report.checks["page"]["state"] == "skipped"


def test_a_permission_that_is_denied_and_a_storage_that_is_down(
    tree: Path, gcs: GcsServer, tmp_path: Path
) -> None:
    """Health stays green in both."""
    with (
        running_faulty_gcs(gcs.endpoint) as storage,
        function_with_bucket(tree, tmp_path, BUCKET, storage.endpoint) as server,
    ):
        env = {"STORAGE_EMULATOR_HOST": gcs.endpoint}
        assert verify(tree, server.url, env=env).status == 0
        assert gcs.object_names(BUCKET) == []
        storage.add(Answer(403), when=lambda request: request.method == "POST", times=ALWAYS)
        denied = verify(tree, server.url, env=env)
        storage.clear()
        storage.add(Answer(503), times=ALWAYS)
        down = verify(tree, server.url, env=env)
    denied.assert_names("share", "permission denied", "scripts/setup-bucket")
    down.assert_names("share", "storage is down", "gcloud run services logs read")
    assert denied.failed == down.failed == ["share"]


def test_an_origin_that_was_lost(tree: Path, strict: FunctionServer, tmp_path: Path) -> None:
    path = settings_file(tmp_path, **MANY, ALLOWED_ORIGINS=f"{SHOP},https://other.example")
    report = verify(tree, strict.url, "--quick", f"--settings={path}")
    report.assert_names("settings", "ALLOWED_ORIGINS was lost", "scripts/deploy")
    for check in ("preflight", "origins"):
        report.assert_names(check, "ALLOWED_ORIGINS does not name", "scripts/deploy")
        assert "from https://other.example: 403" in report.checks[check]["found"]


def test_a_lifetime_that_was_changed(tree: Path, function: FunctionServer, tmp_path: Path) -> None:
    path = settings_file(tmp_path, **MANY, SHARE_TTL_HOURS="12")
    report = verify(tree, function.url, "--quick", f"--settings={path}")
    report.assert_names("settings", "SHARE_TTL_HOURS was lost or changed", "scripts/deploy")


@dataclass(frozen=True, slots=True)
class LoseCors(Fault):
    """Answer errors without CORS header fields."""

    def strike(self, exchange: Exchange) -> None:
        reply = exchange.forward()
        if reply.status >= 400:
            kept = [(n, v) for n, v in reply.headers if not n.startswith("Access-Control")]
            reply = Reply(reply.status, kept, reply.body)
        exchange.answer(reply)


@dataclass(frozen=True, slots=True)
class LetEveryoneIn(Fault):
    """Answer every origin as if it were allowed."""

    def strike(self, exchange: Exchange) -> None:
        reply = exchange.forward()
        origin = ("Access-Control-Allow-Origin", exchange.headers.get("Origin", "*"))
        exchange.answer(Reply(reply.status, [*reply.headers, origin], reply.body))


def test_cors_that_is_lost_on_errors(tree: Path, front: FaultyGcs) -> None:
    front.add(LoseCors(), times=ALWAYS)
    report = verify(tree, front.endpoint, "--quick")
    for check in ("errors", "origins"):
        report.assert_names(check, "strips CORS header fields", IN_FRONT)
        report.assert_names(check, "pages see a network error", IN_FRONT)
    assert report.checks["preflight"]["state"] == "ok"


def test_a_foreign_page_that_is_let_in(tree: Path, strict: FunctionServer) -> None:
    with running_faulty_gcs(strict.url) as front:
        front.add(LetEveryoneIn(), times=ALWAYS)
        report = verify(tree, front.endpoint, "--quick")
    report.assert_names("preflight", "two Access-Control-Allow-Origin", IN_FRONT)
    report.assert_names("origins", "two Access-Control-Allow-Origin", IN_FRONT)


def test_a_picture_that_is_not_public(tree: Path, front: FaultyGcs) -> None:
    """As under uniform bucket-level access, where make_public failed."""
    denied = Answer(403, b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>")
    front.add(
        denied,
        when=lambda r: r.method == "GET" and r.path.endswith(".jpg") and "card" not in r.path,
        times=ALWAYS,
    )
    report = verify(tree, front.endpoint)
    report.assert_names("picture", "the picture is not public", IN_FRONT)


def test_a_picture_that_is_stored_while_its_page_is_missing(tree: Path, front: FaultyGcs) -> None:
    front.add(
        Answer(404, b"<h1>Not Found</h1>", HTML),
        when=lambda r: r.method == "GET" and re.fullmatch(r"/s/[-0-9a-f]+", r.path) is not None,
        times=ALWAYS,
    )
    report = verify(tree, front.endpoint)
    report.assert_names("page", "the page is missing", IN_FRONT)
    assert report.failed == ["page"]


def test_a_page_without_its_preview(tree: Path, front: FaultyGcs) -> None:
    front.add(
        Answer(200, b"<html><meta property='og:title' content='x'>", HTML),
        when=lambda r: r.method == "GET" and r.path.startswith("/s/0") and ".jpg" not in r.path,
    )
    report = verify(tree, front.endpoint)
    report.assert_names("page", "networks would show no preview", IN_FRONT)
    assert "og:image is None" in report.checks["page"]["found"]
    assert "twitter:card is missing" in report.checks["page"]["found"]


@pytest.mark.parametrize("data", [pictures.photo_jpeg((600, 315)), b"\xff\xd8\xff"])
def test_a_card_that_is_none(tree: Path, front: FaultyGcs, data: bytes) -> None:
    front.add(Answer(200, data), when=lambda r: r.path.endswith("/card.jpg"))
    report = verify(tree, front.endpoint)
    report.assert_names("card", "a fault of the program", "gcloud run services logs read")


def test_a_picture_that_is_changed_on_its_way(tree: Path, front: FaultyGcs) -> None:
    front.add(
        Answer(200, pictures.photo_jpeg((800, 600))),
        when=lambda r: r.method == "GET" and r.path.endswith(".jpg"),
        times=ALWAYS,
    )
    report = verify(tree, front.endpoint)
    report.assert_names("picture", "what is in front changes pictures", IN_FRONT)


@pytest.mark.parametrize(
    ("body", "check"),
    [
        (b'{"status": "healthy"}', "program"),
        (b"OK", "program"),
        (b"[]", "program"),
        (b'{"source": 1, "source_files": 2, "started_at": 3, "storage": 4}', "answers"),
        (b'{"source": "1", "source_files": {}, "started_at": "x", "storage": {}}', "answers"),
    ],
)
def test_a_wrong_program_that_answers(
    tree: Path, front: FaultyGcs, body: bytes, check: str
) -> None:
    front.add(Answer(200, body, JSON), times=ALWAYS)
    report = verify(tree, front.endpoint)
    report.assert_names(check, "another program answers", "scripts/deploy")
    assert report.failed
    assert "ok" not in {report.checks[name]["state"] for name in ("source", "openapi", "route")}


@pytest.mark.parametrize(
    ("status", "cause", "mend"),
    [
        (403, "the function is not public", "add-iam-policy-binding share-image"),
        (404, "no function of this name", "scripts/deploy"),
        (429, "no further instance", "gcloud run services logs read"),
        (500, "no instance starts", "gcloud run services logs read"),
        (503, "GCS_BUCKET_NAME is unset?", "gcloud run services logs read"),
        (302, "a redirect or a sign-in page", "gcloud run services describe"),
    ],
)
def test_what_cloud_run_answers_by_itself(
    tree: Path, front: FaultyGcs, status: int, cause: str, mend: str
) -> None:
    front.add(Answer(status, b"<html><title>Error</title></html>", HTML), times=ALWAYS)
    report = verify(tree, front.endpoint)
    report.assert_names("answers", cause, mend)
    assert report.states() == {"failed", "skipped"}


def test_a_rate_limit_that_is_used_up(tree: Path, tmp_path: Path) -> None:
    with serve(tmp_path, {"RATE_LIMIT": "3/hour"}, source=tree) as server:
        report = verify(tree, server.url)
    failed = report.checks[report.failed[0]]
    assert "429" in failed["found"]
    assert "RATE_LIMIT is used up" in failed["cause"]
    assert failed["mend"].startswith("sleep ")


def test_links_that_lead_nowhere_or_elsewhere(
    tree: Path, function: FunctionServer, tmp_path: Path
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with serve(tmp_path, {**MANY, "PUBLIC_BASE_URL": nowhere}, source=tree) as server:
        report = verify(tree, server.url)
    report.assert_names("links", "PUBLIC_BASE_URL leads nowhere", "set PUBLIC_BASE_URL")
    report.assert_names("picture", "PUBLIC_BASE_URL leads nowhere", "set PUBLIC_BASE_URL")
    with running_faulty_gcs(function.url) as other:
        other.add(Answer(200, b"{}", JSON), when=asks("GET", "/health"), times=ALWAYS)
        with serve(tmp_path, {**MANY, "PUBLIC_BASE_URL": other.endpoint}, source=tree) as server:
            report = verify(tree, server.url)
    report.assert_names("links", "leads to another program", "set PUBLIC_BASE_URL")


def test_a_share_that_cannot_be_taken_back(tree: Path, front: FaultyGcs) -> None:
    def deletes_a_share(request: Request) -> bool:
        return request.method == "DELETE" and "01890000" not in request.path

    front.add(Answer(503, b"{}", JSON), when=deletes_a_share, times=ALWAYS)
    report = verify(tree, front.endpoint)
    report.assert_names("delete", "may not delete", "scripts/setup-bucket")
    assert "left behind until" in report.checks["delete"]["found"]


def test_a_share_that_is_served_after_it_was_taken_back(tree: Path, front: FaultyGcs) -> None:
    front.add(Answer(200, b"x"), when=lambda r: r.path.endswith("?deleted"))
    report = verify(tree, front.endpoint)
    assert report.failed == ["delete"]
    assert "?deleted: 200, expected" in report.checks["delete"]["found"]


def test_pictures_are_taken_back_when_a_later_check_fails(tree: Path, tmp_path: Path) -> None:
    with serve(tmp_path, MANY, source=tree) as server, running_faulty_gcs(server.url) as front:
        front.add(Answer(500), when=lambda r: r.method == "GET" and "/s/" in r.path, times=ALWAYS)
        front.add(Answer(500), when=lambda r: b"pinterest" in r.body_start)
        report = verify(tree, front.endpoint)
    assert {"share", "picture", "card", "page"} <= set(report.failed)
    assert kept_in(tmp_path / "shares") == set()


def test_an_interrupted_verification_takes_back_what_it_posted(tree: Path, tmp_path: Path) -> None:
    with serve(tmp_path, MANY, source=tree) as server, running_faulty_gcs(server.url) as front:
        front.add(Stall(), when=lambda r: b"instagram" in r.body_start)
        process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(tree / "scripts/verify"), front.endpoint],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not any(b"instagram" in r.body_start for r in list(front.requests)):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(timeout=10) == 130
    assert kept_in(tmp_path / "shares") == set()


@dataclass(frozen=True, slots=True)
class EndLate(Fault):
    """Answer shares that end an hour later than they should."""

    def strike(self, exchange: Exchange) -> None:
        reply = exchange.forward()
        share = json.loads(reply.body)
        share["expires_at"] += 3600
        exchange.answer(Reply(reply.status, reply.headers, json.dumps(share).encode()))


def test_a_share_that_ends_at_another_time_than_was_set(tree: Path, front: FaultyGcs) -> None:
    front.add(EndLate(), when=lambda r: b"facebook" in r.body_start)
    report = verify(tree, front.endpoint)
    report.assert_names("share", "SHARE_TTL_HOURS is not what /health says", "scripts/deploy")
    found = report.checks["share"]["found"]
    assert found.removeprefix("expires_at is off by ") in {"3599 s", "3600 s", "3601 s"}


def test_an_answer_that_breaks_off(tree: Path, front: FaultyGcs) -> None:
    front.add(ResetDuringAnswer(), when=asks("GET", "/health"))
    verify(tree, front.endpoint).assert_names("answers", "the instance ended", "logs read")


def test_a_host_that_does_not_exist_and_a_port_without_tls(
    tree: Path, function: FunctionServer
) -> None:
    report = verify(tree, "https://share-image.invalid")
    report.assert_names("answers", "no such host", "gcloud run services describe")
    report = verify(tree, function.url.replace("http:", "https:"))
    report.assert_names("answers", "certificate", "gcloud run services describe")


# The command line


def test_what_cannot_begin_exits_with_2_and_says_why(tree: Path, function: FunctionServer) -> None:
    for arguments, said in (
        (["localhost:8080"], "expected https://"),
        ([function.url, "--settings=/no/such/file"], "No such file"),
        ([function.url, f"--settings={ROOT / 'pyproject.toml'}"], "expected NAME=value"),
        ([], "URL"),
    ):
        done = run_verify(tree, *arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_deploy_env_counts_for_what_is_deployed_and_not_for_this_machine(
    tree: Path, function: FunctionServer, tmp_path: Path
) -> None:
    own = copy_of_tree(tree, tmp_path)
    settings_file(own, GCS_BUCKET_NAME=BUCKET, REGION="europe-west9", FUNCTION_NAME="my-share")
    assert verify(own, function.url, "--quick").status == 0
    report = verify(own, "https://share-image.invalid", "--quick")
    assert "describe my-share --region=europe-west9" in report.checks["answers"]["mend"]


# What was green while it was broken


@dataclass(frozen=True, slots=True)
class Changed(Fault):
    """Answer as the function does, with some header fields added or left out, another body."""

    add: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    body: Callable[[bytes], bytes] = lambda data: data

    def strike(self, exchange: Exchange) -> None:
        reply = exchange.forward()
        kept = [(n, v) for n, v in reply.headers if n not in self.drop]
        exchange.answer(Reply(reply.status, [*kept, *self.add], self.body(reply.body)))


@dataclass(frozen=True, slots=True)
class WithoutField(Fault):
    """Take a field of the request away before the function sees it."""

    name: str

    def strike(self, exchange: Exchange) -> None:
        del exchange.headers[self.name]
        exchange.answer(exchange.forward())


@dataclass(frozen=True, slots=True)
class Keep(Fault):
    """Answer a place and method with the first answer that it ever got, as careless caches do."""

    kept: dict[tuple[str, str], Reply]
    add: tuple[tuple[str, str], ...] = ()

    def strike(self, exchange: Exchange) -> None:
        place = (exchange.command, exchange.path)
        reply = self.kept.get(place)
        if reply is None:
            reply = self.kept[place] = exchange.forward()
            exchange.answer(reply)
        else:
            exchange.read_body()
            exchange.answer(Reply(reply.status, [*reply.headers, *self.add], reply.body))


def test_two_access_control_allow_origin_fields(tree: Path, front: FaultyGcs) -> None:
    front.add(Changed(add=(("Access-Control-Allow-Origin", "*"),)), times=ALWAYS)
    report = verify(tree, front.endpoint, "--quick")
    assert report.failed == ["preflight", "origins", "errors"]
    for check in report.failed:
        report.assert_names(check, "browsers refuse two Access-Control-Allow-Origin", IN_FRONT)


def test_a_shared_rate_limit_that_cannot_be_reached(tree: Path, tmp_path: Path) -> None:
    env = {**MANY, "RATE_LIMIT_STORAGE_URI": f"redis://127.0.0.1:{free_port()}"}
    with serve(tmp_path, env, source=tree) as server:
        report = verify(tree, server.url, "--quick")
    assert report.failed == ["limit"]
    report.assert_names("limit", "RATE_LIMIT_STORAGE_URI cannot be reached", "logs read")


def test_a_cache_that_serves_a_share_after_its_end(tree: Path, front: FaultyGcs) -> None:
    shares = Keep({})
    front.add(shares, when=lambda r: r.method == "GET" and r.path.startswith("/s/0"), times=ALWAYS)
    front.add(Changed(), when=asks("GET", "/health"), times=ALWAYS)
    report = verify(tree, front.endpoint)
    report.assert_names("picture", "a cache before the function answers", IN_FRONT)  # its 404
    report.assert_names("delete", "a cache before the function answers", IN_FRONT)
    assert "200 after DELETE, Age missing" in report.checks["delete"]["found"]


def test_a_cache_that_says_its_age_may_show_a_share_for_a_while(
    tree: Path, front: FaultyGcs
) -> None:
    def is_link(request: Request) -> bool:
        is_get = request.method == "GET" and request.path.startswith("/s/0")
        return is_get and not request.path.endswith("?deleted") and len(front.requests) > 12

    pages = Keep({}, add=(("Age", "10"),))
    front.add(pages, when=lambda r: is_link(r) and ".jpg" not in r.path, times=ALWAYS)
    report = verify(tree, front.endpoint)
    assert report.status == 0, report
    assert "a cache shows its copy for 290 s at most" in report.checks["delete"]["found"]


def test_a_cache_that_keeps_preflights(tree: Path, strict: FunctionServer) -> None:
    with running_faulty_gcs(strict.url) as front:
        front.add(Keep({}), when=lambda r: r.method == "OPTIONS", times=ALWAYS)
        report = verify(tree, front.endpoint, "--quick")
    report.assert_names("preflight", "a cache before the function answers", IN_FRONT)
    assert report.failed == ["preflight"]


def test_a_proxy_that_strips_authorization(tree: Path, front: FaultyGcs) -> None:
    front.add(WithoutField("Authorization"), times=ALWAYS)
    report = verify(tree, front.endpoint)
    report.assert_names("delete", "strips Authorization", IN_FRONT)
    assert report.failed == ["delete"]


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_sign_in_page_in_front(tree: Path, front: FaultyGcs, status: int) -> None:
    page = Answer(
        status,
        b"<html><head><title>Sign in &amp; go</title>",
        (*HTML, ("Location", "https://login.example/?next=x")),
    )
    front.add(page, when=lambda r: r.method == "POST", times=ALWAYS)
    report = verify(tree, front.endpoint, "--quick")
    report.assert_names("route", "a redirect or a sign-in page answers", IN_FRONT)
    found = report.checks["route"]["found"]
    assert f"{status} (Location 'https://login.example/?next=x', title 'Sign in & go')" in found


@pytest.mark.parametrize(("status", "cause"), [(403, "it refuses this request"), (401, "identity")])
def test_after_good_answers_nobody_is_told_to_make_the_function_public(
    tree: Path, front: FaultyGcs, status: int, cause: str
) -> None:
    refusal = Answer(status, b"<title>Forbidden</title>", HTML)
    front.add(refusal, when=lambda r: b"facebook" in r.body_start, times=ALWAYS)
    report = verify(tree, front.endpoint)
    report.assert_names("share", f"something before the function answers: {WHO}: it", IN_FRONT)
    assert cause in report.checks["share"]["cause"]
    assert report.failed == ["share"]


def test_two_revisions_behind_one_address(tree: Path, tmp_path: Path) -> None:
    other = copy_of_tree(tree, tmp_path / "other")
    change_one_byte(other / "serving/pages.py")
    with (
        serve(tmp_path, MANY, source=tree) as new,
        serve(tmp_path / "other", MANY, source=other) as old,
        running_faulty_gcs(new.url) as front,
    ):
        turn = itertools.count()
        front.add(
            Elsewhere(old.url.removeprefix("http://")),
            when=lambda r: r.path == "/health" and next(turn) % 7 == 5,
            times=ALWAYS,
        )
        report = verify(tree, front.endpoint, "--quick")
    assert report.failed == ["revision"]
    report.assert_names("revision", "two revisions serve at once", "--to-latest")
    assert report.checks["revision"]["found"].startswith("3")


@dataclass(frozen=True, slots=True)
class Elsewhere(Fault):
    """Have another server answer."""

    netloc: str

    def strike(self, exchange: Exchange) -> None:
        own, exchange.server.upstream = exchange.server.upstream, self.netloc
        reply = exchange.forward()
        exchange.server.upstream = own
        exchange.answer(reply)


def test_a_proxy_that_strips_what_tells_revisions_apart(tree: Path, front: FaultyGcs) -> None:
    front.add(Changed(drop=("Deployment",)), times=ALWAYS)
    report = verify(tree, front.endpoint, "--quick")
    report.assert_names("program", "strips header fields", IN_FRONT)


def test_what_was_planted_in_the_upload_and_comes_out(tree: Path, front: FaultyGcs) -> None:
    planted = Changed(body=lambda data: data + b"planted-by-verify")
    front.add(planted, when=lambda r: r.method == "GET" and "card" in r.path, times=ALWAYS)
    report = verify(tree, front.endpoint)
    report.assert_names("marker", "uploads are published as they came", "scripts/deploy")


def test_uploads_that_are_published_as_they_came(tree: Path, front: FaultyGcs) -> None:
    """A PNG as .jpg, with its EXIF."""
    png = b"\x89PNG\r\n\x1a\nplanted-by-verify"
    front.add(
        Changed(body=lambda _: png),
        when=lambda r: r.method == "GET" and r.path.endswith(".jpg"),
        times=ALWAYS,
    )
    report = verify(tree, front.endpoint)
    assert "no JPEG" in report.checks["picture"]["found"]
    report.assert_names("marker", "uploads are published as they came", "scripts/deploy")


def test_files_beside_the_program(tree: Path, front: FaultyGcs) -> None:
    text = Answer(200, (tree / "main.py").read_bytes())
    front.add(text, when=lambda r: r.path.endswith("main.py"), times=ALWAYS)
    report = verify(tree, front.endpoint, "--quick")
    report.assert_names("traversal", "files are served beside the program", IN_FRONT)
    assert report.failed == ["traversal"]


@dataclass(frozen=True, slots=True)
class StoreAndRefuse(Fault):
    """Store a picture under the key of the one that is refused."""

    def strike(self, exchange: Exchange) -> None:
        reply = exchange.forward()
        if reply.status == 400:
            httpx.post(
                f"http://{exchange.server.upstream}{SHARE}",
                headers={"Idempotency-Key": exchange.headers["Idempotency-Key"]},
                files={"file": pictures.photo_jpeg((100, 100))},
                data={"platform": "email"},
            )
        exchange.answer(reply)


def test_a_refused_upload_that_is_stored(tree: Path, front: FaultyGcs) -> None:
    front.add(StoreAndRefuse(), when=lambda r: r.method == "POST", times=ALWAYS)
    report = verify(tree, front.endpoint)
    report.assert_names("refused", "what is refused is stored all the same", "scripts/deploy")
    stored = [r.path for r in front.requests if r.method == "DELETE"]
    assert len(stored) >= 6  # the refused one is taken back as well


def test_a_platform_that_becomes_a_part_of_the_link(tree: Path, front: FaultyGcs) -> None:
    def traverse(data: bytes) -> bytes:
        share = json.loads(data)
        return json.dumps({**share, "url": f"{front.endpoint}/other/../../x.jpg"}).encode()

    front.add(Changed(body=traverse), when=lambda r: b"../../x" in r.body_start)
    report = verify(tree, front.endpoint)
    report.assert_names("links", "another program answers", "set PUBLIC_BASE_URL")
    assert "/other/../../x.jpg, expected" in report.checks["links"]["found"]


def test_every_setting_is_compared_and_each_difference_is_named(tree: Path, tmp_path: Path) -> None:
    deployed = {
        **MANY,
        "STORE_NAME": "Paws",
        "MAX_UPLOAD_MB": "5",
        "LOG_LEVEL": "warning",
        "RATE_LIMIT_STORAGE_URI": "memory://",
        "WATERMARK_TEXT": "mine",
        "INPUT_FORMATS": "JPEG,PNG",
    }
    expected = {
        **MANY,
        "STORE_NAME": "Cats",
        "MAX_UPLOAD_MB": "5.0",
        "LOG_LEVEL": "WARNING",
        "RATE_LIMIT_STORAGE_URI": "secret:limits",
        "MAX_SIDE_PX": "900",
        "CONTACT_URL": "secret:contact",
        "INPUT_FORMATS": "png, jpeg",
        "NO_SUCH_SETTING": "1",
    }
    path = settings_file(tmp_path, **expected)
    with serve(tmp_path, deployed, source=tree) as server:
        report = verify(tree, server.url, "--quick", f"--settings={path}")
    assert report.failed == ["settings"]
    assert report.checks["settings"]["found"].split("; ") == [
        "CONTACT_URL is unset, expected a secret",
        "MAX_SIDE_PX is 1200, expected 900",
        "NO_SUCH_SETTING is unknown there, expected 1",
        "STORE_NAME is Paws, expected Cats",
        "WATERMARK_TEXT is mine, expected unset by default",
    ]
    cause = "WATERMARK_TEXT is deployed, and no longer in deploy.env"
    report.assert_names("settings", cause, "add WATERMARK_TEXT= (empty: the default)")


def test_without_deploy_env_nothing_is_compared(tree: Path, tmp_path: Path) -> None:
    with serve(tmp_path, {**MANY, "STORE_NAME": "Paws"}, source=tree) as server:
        report = verify(tree, server.url, "--quick")
    assert report.status == 0
    assert "nothing to compare with" in report.checks["settings"]["found"]


# ---- uploads that need a token

KEY = "first-key-of-the-shop"


@pytest.fixture(scope="module")
def locked(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    """The function where only the shop's customers may share."""
    env = {**MANY, "UPLOAD_KEYS": KEY, "ALLOWED_ORIGINS": SHOP}
    with serve(tmp_path_factory.mktemp("locked"), env, source=tree) as running:
        yield running


def test_a_function_that_needs_tokens_is_verified_with_its_key(
    tree: Path, locked: FunctionServer
) -> None:
    report = verify(tree, locked.url, env={"UPLOAD_KEY": KEY})
    assert report.failed == []
    assert report.checks["uploads"]["found"] == "none without a token, none with a forged one"
    assert report.checks["share"]["state"] == "ok"


def test_without_its_key_no_picture_is_posted_and_the_rest_is_proved(
    tree: Path, locked: FunctionServer
) -> None:
    report = verify(tree, locked.url)
    assert report.failed == []
    skipped = {name for name, check in report.checks.items() if check["state"] == "skipped"}
    assert {"share", "picture", "delete"} <= skipped
    assert not {"route", "origins", "uploads", "preflight"} & skipped
    how = "uploads need a token: set UPLOAD_KEY to one of UPLOAD_KEYS"
    assert report.checks["share"]["found"] == how


def test_a_wrong_key_is_named(tree: Path, locked: FunctionServer) -> None:
    report = verify(tree, locked.url, env={"UPLOAD_KEY": "another-key-altogether"})
    assert "route" in report.failed
    assert "none of the function's UPLOAD_KEYS" in report.checks["route"]["cause"]


def test_a_function_that_lets_all_in_although_it_asks_for_tokens_fails(
    tree: Path, locked: FunctionServer
) -> None:
    with running_faulty_gcs(locked.url) as front:
        body = json.dumps({"detail": [], "code": "invalid_fields"}).encode()
        front.add(Answer(422, body), when=lambda request: request.method == "POST", times=99)
        report = verify(tree, front.endpoint, "--quick", env={"UPLOAD_KEY": KEY})
    assert "uploads" in report.failed
    assert "expected 401 missing_upload_token" in report.checks["uploads"]["found"]
