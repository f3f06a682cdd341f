"""What scripts/verify proves, as one table: what is asked, what is expected, what a failure means.

    CHECKS    in the order in which they run; each is a few rows
    Ask       a row: asks one place, once or for each page, and holds the answer to tests;
              what a row cannot say is a function that returns what it found
    Run       one verification: the client, what is expected, what is known by now

Where a test brings no cause of its own, the check's counts; an answer with another status says it
itself (diagnosis.py). An answer of this program that is wrong, and right under an address that no
cache has seen, was kept by a cache.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import deployment
import probe
import uploads
from deployment import ROOT
from diagnosis import ANOTHER, CACHED, DEPLOY, NO_ROUTE, STRIPPED, Failed, Skipped, reason_of
from probe import jpeg_size, share_key

sys.path.append(str(ROOT))
import deployed  # found by the line above
from links import CACHE_MAX_AGE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from diagnosis import Diagnosis
    from http_client import Answer, Client

    Test = Callable[["Run", Answer, str], str]
    Look = Callable[["Run"], str]

SHARE = "/api/v2/share-image"
FOREIGN = "https://share-image-verify.invalid"
NOBODYS = "01890000-0000-7000-8000-000000000000"  # a share id and a token, of long ago
PLATFORMS = ("../../x", "facebook", "instagram", "pinterest")  # a canvas each, the first has none
SLOW_S = 3.0  # a share takes less, was promised
CARD_SIZE = (1200, 630)
CARD_MAX_BYTES = 300_000
CLOCK_S = 120  # what clocks may differ
CONNECTIONS = 20
_OF_THIS_PROGRAM = {"source", "source_files", "started_at", "storage", "settings", "rate_limit"}
_PROMISED = ("url", "expires_at", "processing_time", "page_url", "card_url", "delete_token")
_SET_BASE_URL = "set PUBLIC_BASE_URL in deploy.env (empty: Cloud Run's URL), then scripts/deploy"


@dataclass(slots=True)
class Run:
    """One verification.

    expected: names and values of the settings file, empty where there is none; health: of this
    program, empty where another one answers; ahead_s: the server's clock; shares: the answers to
    the pictures that were posted; seconds: what each took; posted: id and key of every share that
    may exist; answers: the last one to each request; notes: what a test adds to the report;
    upload_key: signs upload tokens, where they are needed.
    """

    client: Client
    expected: Mapping[str, str]
    why: Diagnosis
    upload_key: str = ""
    health: dict[str, Any] = field(default_factory=dict)
    ahead_s: float = 0.0
    shares: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    posted: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def ask(
        self, ask: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Return the answer to a request such as "GET /health"."""
        method, _, place = ask.partition(" ")
        if method == "POST" and self.upload_key:
            token = uploads.authorization(self.upload_key, ahead_s=self.ahead_s)
            headers = {**token, **(headers or {})}
        answer = self.answers[ask] = self.client.ask(method, place, headers, body)
        return answer

    def post(self, path: str, platform: str, picture: bytes, **headers: str) -> Answer:
        """Post a picture under a key, so that it can be taken back whatever the answer is."""
        key, share_id = share_key(ahead_s=self.ahead_s)
        if len(self.shares) == 1:  # a cache that keeps this 404 is found when it is fetched again
            self.ask(f"GET /s/{share_id}.jpg")
        self.posted[share_id] = key
        form, body = probe.share_form(picture, platform)
        return self.ask(f"POST {path}", {**form, "Idempotency-Key": key, **headers}, body)

    def expect(self, what: str, answer: Answer, *statuses: int) -> None:
        """Fail unless an answer has one of the statuses."""
        if answer.status not in statuses:
            was_good = self.client.deployments.total() > bool(answer.deployment)
            wanted = " or ".join(str(int(status)) for status in statuses)
            found = f"{what}: {answer}, expected {wanted}"
            is_good = answer.status < HTTPStatus.MULTIPLE_CHOICES  # the check says what that means
            raise Failed(found, *(() if is_good else self.why.explain(answer, was_good=was_good)))

    @property
    def is_locked_out(self) -> bool:
        """Whether every POST is refused, because nobody said by which key tokens are signed."""
        return self.health.get("uploads") == "token" and not self.upload_key

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

    def fillings(self, text: str) -> Iterator[dict[str, Any]]:
        """Yield what fills a row's placeholders: for each page, the foreign one, or just once."""
        made = self.shares[0] if self.shares else {}
        if "{each_page}" in text:
            yield from ({"each_page": page} for page in self.pages())
        elif "{foreign}" in text:
            yield from [{"foreign": FOREIGN}] * (self.allowed_origins() != ["*"])
        elif "{refused}" in text:
            ids = {share["share_id"] for share in self.shares}
            yield from ({"refused": share_id} for share_id in self.posted if share_id not in ids)
        elif "{missed}" in text:
            yield from ({"missed": share["url"]} for share in self.shares[1:2])
        else:
            yield {**made, "page": self.pages()[0]}


class Ask:
    """A row: a request, the statuses that it may be answered with, and tests of the answer."""

    def __init__(self, ask: str, statuses: set[int], *tests: Test, **headers: str) -> None:
        self._ask, self._statuses, self._tests = ask, statuses, tests
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def prove(self, run: Run, link: str) -> str:
        """Ask as often as there are fillings; link: what a link of a share leads to.

        Raises: Failed.
        """
        for values in run.fillings(" ".join((self._ask, *self._headers.values()))):
            ask = self._ask.format_map(values)
            headers = {name: value.format_map(values) for name, value in self._headers.items()}
            try:
                self._hold(run, link, ask, headers)
            except OSError as error:
                if "://" not in ask or run.client.base_url in ask:
                    raise
                nowhere = "PUBLIC_BASE_URL leads nowhere"
                raise Failed(f"{ask}: {reason_of(error)}", nowhere, _SET_BASE_URL) from error
            except Failed as failed:
                if run.answers[ask].deployment and ask.startswith(("GET", "OPTIONS")):
                    with suppress(Failed):
                        self._hold(run, link, f"{ask}?{share_key()[0]}", headers)
                        failed.cause, failed.mend = CACHED, "{front}"
                raise
        return ""

    def _hold(self, run: Run, link: str, ask: str, headers: Mapping[str, str]) -> None:
        answer, origin = run.ask(ask, headers), headers.get("Origin", "")
        what = f"{ask} from {origin}" if origin else ask
        if link and answer.status in {401, 403, 404}:
            raise run.why.link_failed(what, link, answer)
        locked_out = run.is_locked_out and HTTPStatus.UNPROCESSABLE_ENTITY in self._statuses
        run.expect(what, answer, *({HTTPStatus.UNAUTHORIZED} if locked_out else self._statuses))
        for test in self._tests:
            if locked_out and test is _NAMES_FIELDS:
                continue
            try:
                found = test(run, answer, origin)
            except Failed as failed:
                failed.found = f"{what}: {failed.found}"
                raise
            if found:
                raise Failed(f"{what}: {found}")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    means, mend: of a failure that brings none; said: where all is well; needs: "", "answers",
    "program" (this one), "picture" (one may be posted) or "share" (one was made); link: what the
    rows fetch of a share.
    """

    name: str
    rows: tuple[Ask | Look, ...]
    means: str = ""
    mend: str = DEPLOY
    said: str = ""
    needs: str = "answers"
    link: str = ""

    def prove(self, run: Run) -> str:
        """Return what was found; raise Failed or Skipped."""
        self._skip_in_vain(run)
        run.notes.clear()
        try:
            for row in self.rows:
                found = row.prove(run, self.link) if isinstance(row, Ask) else row(run)
        except Failed as failed:
            failed.cause = failed.cause or self.means or ANOTHER
            failed.mend = run.why.mend(failed.mend or self.mend)
            raise
        return "; ".join((self.said or found, *run.notes))

    def _skip_in_vain(self, run: Run) -> None:
        if self.needs and "GET /health" not in run.answers:
            raise Skipped("nothing answers")
        if self.needs in {"program", "share"} and not run.health:
            raise Skipped("this program does not answer")
        if self.needs in {"picture", "share"} and run.is_locked_out:
            raise Skipped(uploads.HOW)
        if self.needs == "share" and not run.shares:
            raise Skipped("no share was made")


# Tests of an answer: each returns what is wrong, or raises Failed with a cause of its own.


def _allowed(run: Run, answer: Answer, origin: str) -> str:
    found = answer.allowed_origins
    if len(found) > 1:
        cause = "browsers refuse two Access-Control-Allow-Origin: the second one is a proxy's"
        raise Failed(f"{answer}, Access-Control-Allow-Origin {found}", cause, "{front}")
    if found and found[0] in {origin, "*"}:
        return ""
    what = f"{answer} without Access-Control-Allow-Origin"
    if sorted(run.health.get("allowed_origins", ())) != sorted(run.allowed_origins()):
        raise Failed(what, f"ALLOWED_ORIGINS does not name {origin}", DEPLOY)
    cause = f"{STRIPPED} CORS header fields, or answers for it: pages see a network error"
    raise Failed(what, cause, "{front}")


def _closed(_run: Run, answer: Answer, origin: str) -> str:
    if not {origin, "*"} & set(answer.allowed_origins):
        return ""
    cause = "something before the function answers for it, or another program does"
    raise Failed(f"{answer}, and the page may read it", cause, "{front}")


def _holds(what: str, is_so: Callable[[Answer], bool], means: str = "") -> Test:
    def test(_run: Run, answer: Answer, _origin: str) -> str:
        if is_so(answer):
            return ""
        raise Failed(what, means)

    return test


def _is_this_program(run: Run, answer: Answer, _origin: str) -> str:
    if answer.json().get("source") == run.health.get("source"):
        return ""
    cause = "PUBLIC_BASE_URL leads to another program, or to an older revision"
    raise Failed("from another program", cause, _SET_BASE_URL)


def _is_jpeg(size: tuple[int, int], most_bytes: int = 0) -> Test:
    def test(run: Run, answer: Answer, _origin: str) -> str:
        found, length = jpeg_size(answer.body), len(answer.body)
        wanted = most_bytes or run.shares[0]["bytes"]
        if found == size and (length <= wanted if most_bytes else length == wanted):
            return ""
        return f"{length} bytes of {_pixels(found)}, expected {wanted} of {_pixels(size)}"

    return test


def _has_tags(run: Run, answer: Answer, _origin: str) -> str:
    made, tags = run.shares[0], probe.page_tags(answer.body)
    wanted = {"og:image": made["card_url"], "og:url": made["page_url"]}
    wrong = [f"{name} is {tags.get(name)}" for name in wanted if tags.get(name) != wanted[name]]
    wrong += [f"{name} is missing" for name in ("og:title", "twitter:card") if not tags.get(name)]
    return "; ".join(wrong)


def _is_gone(run: Run, answer: Answer, _origin: str) -> str:
    """Hold a cache that shows a deleted share to its age: 300 s at most.

    Source: RFC 9111, section 5.1: a cache has to send Age.
    """
    age = answer.headers.get("Age", "")
    if answer.status != HTTPStatus.OK:
        return ""
    if not age.isdigit() or int(age) > CACHE_MAX_AGE_S:
        return f"200 after DELETE, Age {age or 'missing'}"
    run.notes.append(f"a cache shows its copy for {CACHE_MAX_AGE_S - int(age)} s at most")
    return ""


def _pixels(size: tuple[int, int] | None) -> str:
    return f"JPEG, {size[0]}x{size[1]}" if size else "no JPEG"


# What is looked at


def _health(run: Run) -> str:
    answer = run.client.ask("GET", "/health")
    run.expect("GET /health", answer, HTTPStatus.OK)
    run.answers["GET /health"] = answer
    run.health = answer.json()
    run.client.stands_for = run.health.get("public_base_url") or ""
    run.ahead_s = answer.date.timestamp() - time.time()
    found = f"200 in {answer.seconds * 1000:.0f} ms"
    if "started_at" in run.health:
        age = answer.date - datetime.fromisoformat(run.health["started_at"])
        found += f", by an instance of {max(0, age.total_seconds()):.0f} s"
    return found


def _program(run: Run) -> str:
    found, lacking = run.health, sorted(_OF_THIS_PROGRAM - set(run.health))
    if lacking:
        run.health = {}
        raise Failed(f"/health lacks {', '.join(lacking)}" if found else "/health is no JSON")
    digits, carried = str(found["source"])[:8], run.answers["GET /health"].deployment
    if not carried.startswith(digits):
        shown = f"/health: source {digits}, but header field Deployment: {carried or 'none'}"
        raise Failed(shown, f"{STRIPPED} header fields, or keeps old ones", "{front}")
    return f"share-image {found.get('version')}"


def _deployed_source(run: Run) -> str:
    there, here = run.health["source_files"], deployed.digests(ROOT)
    if run.health["source"] == deployed.source_digest(here):
        return f"{run.health['source'][:12]}, {len(here)} files, as in this tree"
    differences = [
        *(f"{n} differs" for n in sorted(set(here) & set(there)) if here[n] != there[n]),
        *(f"{n} is missing there" for n in sorted(set(here) - set(there))),
        *(f"{n} is there only" for n in sorted(set(there) - set(here))),
    ]
    raise Failed("; ".join(differences) or "its digest is not that of its files")


def _settings(run: Run) -> str:
    if not run.expected:
        return "nothing to compare with: no deploy.env"
    there, in_cloud = run.health["settings"], bool(run.health.get("revision"))
    try:
        differing = deployment.differing(there, run.expected, in_cloud=in_cloud)
    except ValueError as problem:
        raise Failed(str(problem), "deploy.env would be refused", "edit deploy.env") from None
    if not differing:
        return f"{len(there)} settings, as in deploy.env"
    lost = "was lost or changed since the last deploy, or never set"
    kept = "is deployed, and no longer in deploy.env"
    causes = [f"{name} {lost if name in run.expected else kept}" for name in differing]
    unnamed = " ".join(f"{name}=" for name in differing if name not in run.expected)
    mend = f"add {unnamed} (empty: the default) to deploy.env, then " if unnamed else ""
    raise Failed("; ".join(differing.values()), "; ".join(causes), f"{mend}{DEPLOY}")


def _share(run: Run) -> str:
    picture = probe.photo_png()
    for platform in PLATFORMS:
        # Front ends may post to the function's URL as it is.
        path = "/" if platform == PLATFORMS[-1] else SHARE
        answer = run.post(path, platform, picture)
        if answer.code == "storage_unavailable":
            run.posted.popitem()  # there is nothing to take back, and no use in waiting for it
            raise run.why.storage_failed(answer, run.health.get("storage", {}))
        run.expect(f"POST {path} with a picture", answer, HTTPStatus.OK)
        run.shares.append(answer.json())
        run.seconds.append(answer.seconds)
        _check_answer(run, answer)
    return f"{len(picture)} bytes of PNG became {run.shares[0]['bytes']} bytes of JPEG"


def _check_answer(run: Run, answer: Answer) -> None:
    made = answer.json()
    lacking = [name for name in _PROMISED if name not in made]
    if lacking:
        raise Failed(f"the answer lacks {', '.join(lacking)}", ANOTHER, DEPLOY)
    hours = run.health.get("share_ttl_hours", 24)
    off_s = made["expires_at"] - (answer.date + timedelta(hours=hours)).timestamp()
    if abs(off_s) > CLOCK_S:
        raise Failed(f"expires_at is off by {off_s:.0f} s")


def _links(run: Run) -> str:
    made = run.shares[0]
    made["base_url"] = run.health.get("public_base_url") or run.client.base_url
    wanted = f"{made['base_url']}/s/{made['share_id']}.jpg"
    if made["url"] != wanted:
        raise Failed(f"url is {made['url']}, expected {wanted}")
    return ""


def _marker(run: Run) -> str:
    for ask, answer in run.answers.items():
        if probe.MARKER.encode() in answer.body:
            raise Failed(f"{ask}: holds what was planted in the upload")
    return "nothing of what was planted in the upload comes out"


def _refused(run: Run) -> str:
    whole = probe.photo_png()
    half = run.post(SHARE, "email", whole[: len(whole) // 2])
    run.expect("POST of half a picture", half, HTTPStatus.BAD_REQUEST)
    if run.allowed_origins() != ["*"]:
        foreign = run.post(SHARE, "email", whole, Origin=FOREIGN)
        run.expect(f"POST from {FOREIGN}", foreign, HTTPStatus.FORBIDDEN)
    return ""


def _limit(run: Run) -> str:
    for _ in range(CONNECTIONS):
        state = run.ask("GET /health").json().get("rate_limit")
        if state == "unreachable":
            raise Failed("/health says rate_limit unreachable")
    return f"{CONNECTIONS} connections, rate_limit {state}"


def _revision(run: Run) -> str:
    found = run.client.deployments.most_common()
    if len(found) > 1:
        raise Failed(", ".join(f"{count} answers of {name}" for name, count in found))
    return f"{found[0][1]} answers, all of {found[0][0]}"


def _latency(run: Run) -> str:
    shown = ", ".join(f"{seconds * 1000:.0f}" for seconds in run.seconds)
    own_ms = statistics.median(made["processing_time"] for made in run.shares) * 1000
    found = f"{shown} ms for {len(run.seconds)} shares, in the function {own_ms:.0f} ms"
    if min(run.seconds) > SLOW_S:
        raise Failed(found)
    return found


def _delete(run: Run) -> str:
    ends_at = datetime.fromtimestamp(run.shares[0]["expires_at"]).astimezone()
    left = take_back(run)
    for answer in left.values():
        if answer is not None and answer.code == "missing_token":
            run.expect("DELETE with its token", answer, HTTPStatus.NO_CONTENT)
    if left:
        cause = "the service account may not delete, or storage fails; they end by themselves"
        mend = "scripts/setup-bucket; the log has the reason: {log}"
        raise Failed(f"left behind until {ends_at:%d %B, %H:%M}: {', '.join(left)}", cause, mend)
    return ""


def take_back(run: Run) -> dict[str, Answer | None]:
    """Delete what was posted and may exist; return what is left, with the answer."""
    posted, run.posted = run.posted, {}
    left: dict[str, Answer | None] = {}
    for share_id, key in posted.items():
        token, answer = {"Authorization": f"Bearer {key}"}, None
        with suppress(OSError):
            answer = run.ask(f"DELETE {SHARE}/{share_id}", token)
        if answer is None or answer.status != HTTPStatus.NO_CONTENT:
            left[share_id] = answer
    return left


_PREFLIGHT = {
    "Access_Control_Request_Method": "POST",
    "Access_Control_Request_Headers": "content-type,idempotency-key",
}
_WAYS_TO_FILES = ("/..%2fmain.py", "/s/..%2f..%2fmain.py", "/s/%2e%2e/main.py", "/web/../main.py")
_LINKS = ("url", "card_url", "page_url")
_HAS_ROUTE = _holds(
    f"no POST {SHARE}", lambda a: "post" in a.json().get("paths", {}).get(SHARE, {}), NO_ROUTE
)
_IS_OURS = _holds("not this tree's", lambda a: a.body == (ROOT / "openapi.json").read_bytes())
_ALLOWS = "Access-Control-Allow-Methods"
_LETS_POST = _holds("POST is not allowed", lambda a: "POST" in a.headers.get(_ALLOWS, ""))
OF_THIS_TREE = frozenset({"source", "openapi", "settings"})  # what another revision differs in
_FIELDS = [["body", "file"], ["body", "platform"]]
_NAMES_FIELDS = _holds(
    "422 for other fields", lambda a: [e.get("loc") for e in a.json()["detail"]] == _FIELDS
)
_HOLDS_NO_FILE = _holds("holds a file", lambda a: b"functions-framework" not in a.body)


def _check(name: str, *rows: Ask | Look, **said: str) -> Check:
    return Check(name, rows, **said)


# fmt: off
# A table is read by its rows.
CHECKS = (
    # What runs.
    _check("answers", _health, needs=""),
    _check("program", _program,
           means=f"{ANOTHER}: an older version, or another service"),
    _check("source", _deployed_source, needs="program",
           means="a stale or partial deploy, or this tree has changed since; right after a deploy, "
                 "an older revision still serves",
           mend=f"{DEPLOY}; right after one: {{to_latest}}"),
    _check("openapi", Ask("GET /openapi.json", {200}, _HAS_ROUTE, _IS_OURS),
           means="a stale deploy, or a cache in front of the function",
           said=f"has POST {SHARE}, as in this tree"),
    # How it is set up.
    _check("route", *(Ask(f"POST {path}", {422}, _NAMES_FIELDS) for path in (SHARE, "/")),
           said=f"empty POST {SHARE} and / name the missing fields"),
    _check("settings", _settings, needs="program"),
    # Which pages may use it, and what they see.
    _check("preflight",
           Ask(f"OPTIONS {SHARE}", {200, 204}, _allowed, _LETS_POST, Origin="{each_page}",
               **_PREFLIGHT),
           Ask(f"OPTIONS {SHARE}", {200, 204, 403}, _closed, Origin="{foreign}", **_PREFLIGHT),
           said="each allowed page may ask, and no other"),
    _check("origins",
           Ask(f"POST {SHARE}", {422}, _allowed, Origin="{each_page}"),
           Ask(f"POST {SHARE}", {403}, _closed, Origin="{foreign}"),
           said="each allowed page may post, and no other"),
    _check("uploads", uploads.prove_closed, needs="program",
           means="tokens are not asked for: UPLOAD_KEYS is not what /health says"),
    _check("errors",
           Ask("GET /no-such-place", {404}, _allowed, Origin="{page}"),
           Ask(f"PUT {SHARE}", {405}, _allowed, Origin="{page}"),
           Ask(f"DELETE {SHARE}/{NOBODYS}", {401}, _allowed, Origin="{page}"),
           Ask(f"GET /s/{NOBODYS}.jpg", {410}, _allowed, Origin="{page}"),
           said="404, 405, 401, 410 carry CORS header fields"),
    _check("traversal",
           *(Ask(f"GET {way}", {400, 403, 404}, _HOLDS_NO_FILE) for way in _WAYS_TO_FILES),
           means="files are served beside the program: by a proxy, or another program",
           mend="{front}", said=f"{len(_WAYS_TO_FILES)} ways to a file get nothing"),
    # A picture, all the way through.
    _check("share", _share, needs="picture",
           means="SHARE_TTL_HOURS is not what /health says, or the host's clock is wrong"),
    _check("links", _links, Ask("GET {base_url}/health", {200}, _is_this_program),
           needs="share", said="lead to this program",
           means="PUBLIC_BASE_URL is unset and what is in front does not pass the address on, or "
                 "another program answers",
           mend=_SET_BASE_URL),
    _check("picture", Ask("GET {url}", {200}, _is_jpeg(probe.PHOTO_SIZE)),
           Ask("GET {missed}", {200}), needs="share", link="the picture",
           means="what is in front changes pictures, or the link leads elsewhere", mend="{front}",
           said=f"anyone gets {_pixels(probe.PHOTO_SIZE)}"),
    _check("card", Ask("GET {card_url}", {200}, _is_jpeg(CARD_SIZE, CARD_MAX_BYTES)),
           needs="share", link="the card", mend="{log}", said=f"anyone gets {_pixels(CARD_SIZE)}",
           means="a fault of the program: networks would show no preview, or a cropped one"),
    _check("page", Ask("GET {page_url}", {200}, _has_tags), needs="share", link="the page",
           means="networks would show no preview: PUBLIC_BASE_URL is wrong, or pages are changed",
           mend="{front}", said="anyone gets it, with its title and its card"),
    _check("marker", _marker, needs="share",
           means="uploads are published as they came: another program, or a fault of this one",
           said="nothing of what was planted in the upload comes out"),
    _check("refused", _refused,
           *(Ask(f"GET /s/{{refused}}{end}", {404}) for end in (".jpg", "/card.jpg", "")),
           needs="share", said="uploads that are refused leave nothing",
           means="what is refused is stored all the same: another program, or an older version"),
    # What the requests so far tell.
    _check("limit", _limit, needs="program",
           means="RATE_LIMIT_STORAGE_URI cannot be reached: each instance counts for itself",
           mend="let the function reach that address: its network, its password; {log}"),
    _check("latency", _latency, needs="share",
           means=f"more than {SLOW_S:g} s even when warm: little processor, or a bucket far away",
           mend="raise CPU in deploy.env or move REGION to the bucket; scripts/deploy"),
    _check("delete", _delete,
           # To a cache in front, the query makes it a place that it has not seen.
           *(Ask(f"GET {{{link}}}?deleted", {404, 410}) for link in _LINKS),
           *(Ask(f"GET {{{link}}}", {200, 404, 410}, _is_gone) for link in _LINKS),
           Ask(f"DELETE {SHARE}/{{share_id}}", {403}, Authorization=f"Bearer {NOBODYS}"),
           needs="share", means=CACHED, mend="{front}",
           said="picture, card and page are gone; all shares are taken back"),
    _check("revision", _revision, needs="program",
           means="two revisions serve at once: traffic is split, a rollback was not undone, or a "
                 "cache answers with an older one",
           mend="{to_latest}"),
)
# fmt: on
