"""The checks of scripts/verify that follow a real picture through.

share                     pictures are posted, as pages do
links, picture, card      everything that was answered is fetched, as anyone can
page                      read as a network's crawler reads it
latency, instance         reported, so that a cold start is told from a warm one
delete                    what was posted is gone again, whatever happened before
"""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from checks import NOBODYS, SHARE, Run
from diagnosis import ANOTHER, TIMEOUT_S, Failed, Skipped, reason_of
from probe import PHOTO_SIZE, Client, jpeg_size, page_tags, photo_png, share_form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from probe import Answer

PLATFORMS = ("email", "facebook", "instagram", "pinterest")  # a canvas each, the first has none
SLOW_S = 3.0  # a share takes less, was promised
COLD_S = 60.0  # an instance younger than this was started for these checks
CARD_SIZE = (1200, 630)
CARD_MAX_BYTES = 300_000
CLOCK_S = 120  # what clocks may differ
_PROMISED = frozenset(
    {"url", "expires_at", "share_id", "processing_time", "page_url", "card_url", "delete_token"}
)
_SET_BASE_URL = (
    "set PUBLIC_BASE_URL in deploy.env (empty: Cloud Run's own URL), then scripts/deploy"
)


def share(run: Run) -> str:
    """Post a picture for each of PLATFORMS."""
    run.needs_answers()
    picture = photo_png()
    for platform in PLATFORMS:
        # Front ends may post to the function's URL as it is.
        path = "/" if platform == PLATFORMS[-1] else SHARE
        headers, body = share_form(picture, platform)
        answer = run.client.ask("POST", path, headers, body)
        if answer.code == "storage_unavailable":
            raise run.why.storage_failed(answer, run.health.get("storage", {}))
        run.expect(f"POST {path} with a picture", answer, HTTPStatus.OK)
        run.shares.append(answer.json())
        run.seconds.append(answer.seconds)
        _check_answer(run, answer)
    made = run.shares[0]
    return f"{len(picture)} bytes of PNG became {made['bytes']} bytes of JPEG"


def _check_answer(run: Run, answer: Answer) -> None:
    made = answer.json()
    lacking = _PROMISED - set(made)
    if lacking:
        raise Failed(f"the answer lacks {', '.join(sorted(lacking))}", ANOTHER, "scripts/deploy")
    hours = run.health.get("share_ttl_hours", 24)
    off_s = made["expires_at"] - (answer.date + timedelta(hours=hours)).timestamp()
    if abs(off_s) > CLOCK_S:
        cause = "SHARE_TTL_HOURS is not what /health says, or the host's clock is wrong"
        raise Failed(f"expires_at is off by {off_s:.0f} s", cause, "scripts/deploy")


def links(run: Run) -> str:
    """Find out whether the links lead to this program."""
    made = _first_share(run)
    base_url = run.health.get("public_base_url") or run.client.base_url
    if not made["url"].startswith(f"{base_url}/"):
        cause = "PUBLIC_BASE_URL is unset, and what is in front does not pass the address on"
        raise Failed(f"url is {made['url']}, expected {base_url}/...", cause, _SET_BASE_URL)
    if base_url == run.client.base_url:
        return f"lead to {base_url}"
    try:
        answer = Client(base_url, timeout_s=TIMEOUT_S).ask("GET", "/health")
    except OSError as error:
        found = f"{base_url}: {reason_of(error)}"
        raise Failed(found, "PUBLIC_BASE_URL leads nowhere", _SET_BASE_URL) from error
    if answer.json().get("source") != run.health.get("source"):
        found = f"{base_url}/health: {answer.status}, from another program"
        cause = "PUBLIC_BASE_URL leads to another program, or to an older revision"
        raise Failed(found, cause, _SET_BASE_URL)
    return f"lead to {base_url}, which is the same program"


def picture(run: Run) -> str:
    """Fetch the picture as anyone can."""
    made = _first_share(run)
    data = _get(run, made["url"], "the picture").body
    size = jpeg_size(data)
    if size != PHOTO_SIZE or len(data) != made["bytes"]:
        wanted = f"{made['bytes']} bytes of JPEG, {_pixels(PHOTO_SIZE)}"
        found = f"{len(data)} bytes, {_pixels(size)}, expected {wanted}"
        cause = "what is in front changes pictures, or the link leads elsewhere"
        raise Failed(found, cause, f"curl --head {made['url']}")
    return f"anyone gets {len(data)} bytes of JPEG, {_pixels(size)}"


def card(run: Run) -> str:
    """Fetch the preview as a network's crawler does."""
    data = _get(run, _first_share(run)["card_url"], "the card").body
    size = jpeg_size(data)
    if size != CARD_SIZE or len(data) > CARD_MAX_BYTES:
        wanted = f"at most {CARD_MAX_BYTES} bytes of JPEG, {_pixels(CARD_SIZE)}"
        found = f"{len(data)} bytes, {_pixels(size)}, expected {wanted}"
        cause = "a fault of the program: networks would show no preview, or a cropped one"
        raise Failed(found, cause, run.why.log)
    return f"anyone gets {len(data)} bytes of JPEG, {_pixels(size)}"


def page(run: Run) -> str:
    """Read the page's tags as a network's crawler does."""
    made = _first_share(run)
    tags = page_tags(_get(run, made["page_url"], "the page").body)
    wanted = {"og:image": made["card_url"], "og:url": made["page_url"]}
    wrong = [f"{name} is {tags.get(name)}" for name in wanted if tags.get(name) != wanted[name]]
    wrong += [f"{name} is missing" for name in ("og:title", "twitter:card") if not tags.get(name)]
    if wrong:
        cause = "networks would show no preview: PUBLIC_BASE_URL is wrong, or pages are changed"
        raise Failed("; ".join(wrong), cause, f"curl {made['page_url']}")
    return f"anyone gets {tags['og:title']!r} with its card"


def latency(run: Run) -> str:
    """Report what a share takes; too slow is a failure only where the fastest one is."""
    _first_share(run)
    shown = ", ".join(f"{seconds * 1000:.0f}" for seconds in run.seconds)
    own_ms = statistics.median(made["processing_time"] for made in run.shares) * 1000
    found = f"{shown} ms for {len(run.seconds)} shares, in the function {own_ms:.0f} ms"
    if min(run.seconds) > SLOW_S:
        cause = f"more than {SLOW_S:g} s even when warm: little processor, or a bucket far away"
        mend = "raise CPU in scripts/deployment.py or move REGION to the bucket; scripts/deploy"
        raise Failed(found, cause, mend)
    return found


def instance(run: Run) -> str:
    """Report how long the instance had been running."""
    run.needs_health()
    start = "a cold start" if run.age_s < COLD_S else "warm"
    return f"{run.age_s:.0f} s old at the first request: {start}"


def delete(run: Run) -> str:
    """Take back every share that was made, and find out whether the first is gone."""
    made = _first_share(run)
    ends_at = datetime.fromtimestamp(made["expires_at"]).astimezone()
    left = take_back(run)
    if left:
        cause = "the service account may not delete, or storage fails; they end by themselves"
        found = f"left behind until {ends_at:%d %B, %H:%M}: {', '.join(left)}"
        raise Failed(found, cause, f"scripts/setup-bucket; the log has the reason: {run.why.log}")
    for link in ("url", "card_url", "page_url"):
        # To a cache in front, the query makes it a place that it has not seen.
        answer = run.client.ask("GET", f"{made[link]}?deleted")
        run.expect(f"GET {made[link]} after DELETE", answer, HTTPStatus.GONE)
    path = f"{SHARE}/{made['share_id']}"
    wrong = run.client.ask("DELETE", path, {"Authorization": f"Bearer {NOBODYS}"})
    run.expect("DELETE with a wrong token", wrong, HTTPStatus.FORBIDDEN)
    return "picture, card and page are 410; all shares are taken back"


def take_back(run: Run) -> list[str]:
    """Delete what was posted and is not deleted yet; return the ids that could not be."""
    made, run.shares = run.shares, []
    return [str(m.get("share_id")) for m in made if not _is_taken_back(run, m)]


def _is_taken_back(run: Run, made: Mapping[str, Any]) -> bool:
    token = {"Authorization": f"Bearer {made.get('delete_token')}"}
    try:
        answer = run.client.ask("DELETE", f"{SHARE}/{made.get('share_id')}", token)
    except OSError:
        return False
    return answer.status == HTTPStatus.NO_CONTENT


def _first_share(run: Run) -> dict[str, Any]:
    if not run.shares:
        raise Skipped("no share was made")
    return run.shares[0]


def _get(run: Run, url: str, what: str) -> Answer:
    """Return what anyone gets at a link of a share."""
    try:
        answer = run.client.ask("GET", url)
    except OSError as error:
        found = f"{url}: {reason_of(error)}"
        raise Failed(found, "PUBLIC_BASE_URL leads nowhere", _SET_BASE_URL) from error
    if answer.status != HTTPStatus.OK:
        raise run.why.link_failed(url, what, answer)
    return answer


def _pixels(size: tuple[int, int] | None) -> str:
    return "no JPEG" if size is None else f"{size[0]}x{size[1]}"


CHECKS: dict[str, Callable[[Run], str]] = {
    "share": share,
    "links": links,
    "picture": picture,
    "card": card,
    "page": page,
    "latency": latency,
    "instance": instance,
    "delete": delete,
}
