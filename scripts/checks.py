"""The checks of scripts/verify that post no picture.

    answers, program, source, openapi     what runs
    route, settings                       how it is set up
    preflight, origins, errors            which pages may use it, and what they see

Each takes the Run, returns what it found in a few words, and raises Failed or Skipped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from deployment import ROOT
from diagnosis import ANOTHER, Diagnosis, Failed, Skipped
from probe import is_loopback

sys.path.append(str(ROOT))
import deployed  # found by the line above

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from probe import Answer, Client

SHARE = "/api/v2/share-image"
FOREIGN = "https://share-image-verify.invalid"
NOBODYS = "01890000-0000-7000-8000-000000000000"  # a share id and a token, of long ago
_OF_THIS_PROGRAM = frozenset({"source", "source_files", "started_at", "storage"})


@dataclass(slots=True)
class Run:
    """One verification: what is asked, what is expected, what is known by now.

    expected: names and values of the settings file, empty where there is none; health: of this
    program, empty where another one answers; age_s: of the instance, at the first request; shares:
    the answers to the pictures that were posted; seconds: what each took.
    """

    client: Client
    expected: Mapping[str, str]
    why: Diagnosis
    is_up: bool = False
    health: dict[str, Any] = field(default_factory=dict)
    age_s: float = 0.0
    shares: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def needs_answers(self) -> None:
        """Skip the check where nothing answers."""
        if not self.is_up:
            raise Skipped("nothing answers")

    def needs_health(self) -> None:
        """Skip the check where another program answers."""
        if not self.health:
            raise Skipped("this program does not answer")

    def expect(self, what: str, answer: Answer, status: HTTPStatus) -> None:
        """Fail unless an answer has a status."""
        if answer.status != status:
            raise self.why.unexpected(what, answer, status)

    def allowed_origins(self) -> list[str]:
        """Return what ALLOWED_ORIGINS should be, or is where nothing is expected."""
        listed = self.expected.get("ALLOWED_ORIGINS")
        found = listed.split(",") if listed else self.health.get("allowed_origins", ["*"])
        return [origin.strip().lower().rstrip("/") for origin in found]

    def pages(self) -> list[str]:
        """Return one origin for each that is allowed; any label stands for a star."""
        return [
            "https://any.example" if origin == "*" else origin.replace("*", "verify", 1)
            for origin in self.allowed_origins()
        ]

    @property
    def is_open(self) -> bool:
        """Whether every page may post."""
        return self.allowed_origins() == ["*"]


def answers(run: Run) -> str:
    """Find out whether anything answers at all."""
    answer = run.client.ask("GET", "/health")
    run.expect("GET /health", answer, HTTPStatus.OK)
    run.is_up = True
    run.health = answer.json()
    started_at = run.health.get("started_at")
    if isinstance(started_at, str):
        age = answer.date - datetime.fromisoformat(started_at)
        run.age_s = max(0.0, age.total_seconds())  # Date has whole seconds only
    return f"200 in {answer.seconds * 1000:.0f} ms"


def program(run: Run) -> str:
    """Find out whether it is this program."""
    run.needs_answers()
    lacking = _OF_THIS_PROGRAM - set(run.health)
    if not lacking:
        return f"share-image {run.health.get('version')}"
    found = f"/health lacks {', '.join(sorted(lacking))}" if run.health else "/health is no JSON"
    run.health = {}
    raise Failed(found, f"{ANOTHER}: an older version, or another service", "scripts/deploy")


def deployed_source(run: Run) -> str:
    """Find out whether it is this tree, file by file."""
    run.needs_health()
    there, here = run.health["source_files"], deployed.digests(ROOT)
    if run.health["source"] == deployed.source_digest(here):
        return f"{run.health['source'][:12]}, {len(here)} files, as in this tree"
    differences = [
        *(f"{n} differs" for n in sorted(set(here) & set(there)) if here[n] != there[n]),
        *(f"{n} is missing there" for n in sorted(set(here) - set(there))),
        *(f"{n} is there only" for n in sorted(set(there) - set(here))),
    ]
    raise Failed(
        "; ".join(differences) or "its digest is not that of its files",
        "a stale or partial deploy, or this tree has changed since; right after a deploy, an older "
        "revision still serves",
        f"scripts/deploy; right after one: {run.why.to_latest}",
    )


def openapi(run: Run) -> str:
    """Find out whether the contract holds the path, and is this tree's."""
    run.needs_answers()
    answer = run.client.ask("GET", "/openapi.json")
    run.expect("GET /openapi.json", answer, HTTPStatus.OK)
    if "post" not in answer.json().get("paths", {}).get(SHARE, {}):
        cause = "the route is missing from what was deployed"
        raise Failed(f"/openapi.json has no POST {SHARE}", cause, "scripts/deploy")
    if answer.body != (ROOT / "openapi.json").read_bytes():
        cause = "a stale deploy, or a cache in front of the function"
        raise Failed("/openapi.json is not this tree's", cause, "scripts/deploy")
    return f"has POST {SHARE}, as in this tree"


def route(run: Run) -> str:
    """Find out whether the route is there: an empty form is told from a missing place."""
    run.needs_answers()
    for path in (SHARE, "/"):
        answer = run.client.ask("POST", path)
        run.expect(f"empty POST {path}", answer, HTTPStatus.UNPROCESSABLE_ENTITY)
        fields = [entry.get("loc") for entry in answer.json().get("detail", [])]
        if fields != [["body", "file"], ["body", "platform"]]:
            raise Failed(f"empty POST {path}: 422 for {fields}", ANOTHER, "scripts/deploy")
    return f"empty POST {SHARE} and / name the missing fields"


def settings(run: Run) -> str:
    """Find out whether the settings that matter are those that were meant."""
    run.needs_health()
    for name, (found, wanted) in _settings(run).items():
        if found != wanted:
            cause = f"{name} was lost or changed since the last deploy, or never set"
            raise Failed(f"{name} is {found}, expected {wanted}", cause, "scripts/deploy")
    storage, hours = run.health["storage"], run.health["share_ttl_hours"]
    origins = ", ".join(run.health["allowed_origins"])
    return f"{storage['backend']} {storage['location']}, {hours:g} h, {origins}"


def _settings(run: Run) -> dict[str, tuple[Any, Any]]:
    """Return what /health says and what is expected, by the setting's name."""
    health, expected = run.health, run.expected
    in_bucket = health["storage"]["backend"] == "gcs"
    bucket = health["storage"]["location"] if in_bucket else "unset"
    pairs: dict[str, tuple[Any, Any]] = {
        "GCS_BUCKET_NAME": (bucket, expected.get("GCS_BUCKET_NAME")),
        "SHARE_TTL_HOURS": (health["share_ttl_hours"], _number(expected.get("SHARE_TTL_HOURS"))),
        "ALLOWED_ORIGINS": (
            sorted(health["allowed_origins"]),
            sorted(run.allowed_origins()) if expected.get("ALLOWED_ORIGINS") else None,
        ),
        "PUBLIC_BASE_URL": (
            health["public_base_url"],
            expected.get("PUBLIC_BASE_URL", "").rstrip("/"),
        ),
    }
    known = {name: pair for name, pair in pairs.items() if pair[1]}
    if not is_loopback(run.client.base_url):
        if not in_bucket:
            known.setdefault("GCS_BUCKET_NAME", (bucket, "a bucket"))
        if health["public_base_url"] is None:
            known.setdefault("PUBLIC_BASE_URL", ("unset", run.client.base_url))
    return known


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def preflight(run: Run) -> str:
    """Find out whether browsers may post from each allowed page, and from no other."""
    run.needs_answers()
    for origin in run.pages():
        answer = _preflight(run, origin)
        if not answer.allows(origin):
            raise run.why.not_allowed(f"preflight from {origin}", origin, answer)
        methods = answer.headers.get("Access-Control-Allow-Methods", "")
        if answer.status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT} or "POST" not in methods:
            raise run.why.unexpected(f"preflight from {origin}", answer, HTTPStatus.NO_CONTENT)
    if run.is_open:
        return "every page may ask"
    if _preflight(run, FOREIGN).allows(FOREIGN):
        raise run.why.too_open("preflight", FOREIGN)
    return f"from {len(run.pages())} allowed pages, and no other"


def _preflight(run: Run, origin: str) -> Answer:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,idempotency-key",
    }
    return run.client.ask("OPTIONS", SHARE, headers)


def origins(run: Run) -> str:
    """Find out whether posts are let in from each allowed page, and from no other."""
    run.needs_answers()
    for origin in run.pages():
        answer = run.client.ask("POST", SHARE, {"Origin": origin})
        run.expect(f"POST from {origin}", answer, HTTPStatus.UNPROCESSABLE_ENTITY)
        if not answer.allows(origin):
            raise run.why.not_allowed(f"POST from {origin}", origin, answer)
    if run.is_open:
        return "every page may post"
    answer = run.client.ask("POST", SHARE, {"Origin": FOREIGN})
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY or answer.allows(FOREIGN):
        raise run.why.too_open("POST", FOREIGN)
    run.expect(f"POST from {FOREIGN}", answer, HTTPStatus.FORBIDDEN)
    return f"{len(run.pages())} allowed pages may post, and no other"


def errors(run: Run) -> str:
    """Find out whether pages can read why they were refused."""
    run.needs_answers()
    origin = run.pages()[0]
    asked = {
        ("GET", "/no-such-place"): HTTPStatus.NOT_FOUND,
        ("PUT", SHARE): HTTPStatus.METHOD_NOT_ALLOWED,
        ("DELETE", f"{SHARE}/{NOBODYS}"): HTTPStatus.UNAUTHORIZED,
        ("POST", SHARE): HTTPStatus.UNPROCESSABLE_ENTITY,
    }
    for (method, path), status in asked.items():
        answer = run.client.ask(method, path, {"Origin": origin})
        if not answer.allows(origin):
            raise run.why.unreadable(f"{method} {path}", answer)
        run.expect(f"{method} {path}", answer, status)
    return f"{', '.join(str(int(status)) for status in asked.values())} carry CORS header fields"


CHECKS: dict[str, Callable[[Run], str]] = {
    "answers": answers,
    "program": program,
    "source": deployed_source,
    "openapi": openapi,
    "route": route,
    "settings": settings,
    "preflight": preflight,
    "origins": origins,
    "errors": errors,
}
