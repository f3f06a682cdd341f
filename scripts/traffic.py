"""Which revision serves, and the way there and back.

    at once     all traffic goes to the new revision with its deploy; verified, else sent back
    shift       deployed under a tag, without traffic; verified there, then traffic moves in steps,
                each verified, the last one at the service's own address; else sent back

What is sent back to is verified as well: it is another source, so that this tree is not compared.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import uploads
from deployment import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from deployment import Commands, Deployment

WAIT_S = 90  # until permission to call it, and its traffic, are everywhere
TAG = "candidate"
WITHOUT_TRAFFIC = ("--no-traffic", f"--tag={TAG}")
HALF = 50  # percent: between a canary and everything
# In a dry run, where nobody is asked:
URL_OF_THE_SERVICE = "URL_OF_THE_SERVICE"
URL_OF_THE_TAG = "URL_OF_THE_TAG"
REVISION_BEFORE = "REVISION_BEFORE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What serves under the name now; empty before the first deploy.

    ingress: who may reach url; tags: the addresses of revisions that have one; is_function: whether
    `gcloud functions deploy` made it.
    """

    url: str = ""
    revision: str = ""
    ingress: str = "all"
    tags: Mapping[str, str] = field(default_factory=dict)
    is_function: bool = False


def find_service(target: Deployment, commands: Commands) -> Service:
    """Return what serves now, so that its links stay and it can be gone back to."""
    commands.say("what serves now")
    listed = commands.ask(
        [
            *("gcloud", "run", "services", "list", *target.place),
            *(f"--filter=metadata.name={target.name}", "--format=json"),
        ]
    )
    found = json.loads(listed or "[]")
    if not found:
        return Service()
    status, metadata = found[0]["status"], found[0].get("metadata", {})
    shares = status.get("traffic", [{}])
    most = max(shares, key=lambda share: share.get("percent", 0))
    return Service(
        url=status.get("url", ""),
        revision=most.get("revisionName", ""),
        ingress=metadata.get("annotations", {}).get("run.googleapis.com/ingress", "all"),
        tags={share["tag"]: share.get("url", "") for share in shares if share.get("tag")},
        is_function=metadata.get("labels", {}).get("goog-managed-by") == "cloudfunctions",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One deploy on its way to all traffic.

    before: what served; settings: the file that verify compares with; front_url: of a load
    balancer, where the service's own address is closed; rolls_back: whether traffic goes back by
    itself; is_function: whether `gcloud functions deploy` deploys.
    """

    target: Deployment
    commands: Commands
    before: Service
    settings: Path
    front_url: str
    rolls_back: bool
    is_function: bool

    @property
    def _traffic(self) -> list[str]:
        return ["gcloud", "run", "services", "update-traffic", self.target.name, *self.target.place]

    def at_once(self, url: str) -> None:
        """Prove what has all traffic already; exit with 1 where it does not work."""
        url = self.front_url or url
        self.commands.say("prove it")
        if not self._is_verified(url):
            self._end(url)
        if self.commands.dry_run and self.rolls_back:
            self.commands.say("and only where that fails, back to what served before")
            self.commands.run(self._to(REVISION_BEFORE))

    def shift(self, command: Sequence[str], *, canary: int) -> None:
        """Deploy without traffic, prove it, then let traffic come; canary: percent of the first."""
        self.commands.say("deploy, without traffic")
        self.commands.run(command)
        url = find_service(self.target, self.commands).tags.get(TAG, URL_OF_THE_TAG)
        self.commands.say("prove it at its own address")
        if not self._is_verified(url, "--tag"):
            print(f"\n{url} does not work, and got no traffic.")
            print(f"Revision {self.before.revision} serves, as before.")
            raise SystemExit(1)
        for percent in sorted({canary, max(canary, HALF)} - {100}):
            self.commands.say(f"{percent} % of the traffic")
            self.commands.run([*self._traffic, f"--to-tags={TAG}={percent}"])
            if not self._is_verified(url, "--tag"):
                self._end(url)
        self.commands.say("all of the traffic")
        self.commands.run([*self._traffic, "--to-latest"])
        self.at_once(self.before.url)
        self.commands.run([*self._traffic, f"--remove-tags={TAG}"])

    def _is_verified(self, url: str, *flags: str) -> bool:
        """Prove an address; where uploads need a token, with the key that signs it."""
        options = [f"--settings={self.settings}", f"--wait={WAIT_S}", *flags]
        command = [str(ROOT / "scripts/verify"), url, *options]
        print(shlex.join(command), flush=True)
        if self.commands.dry_run:
            return True
        key = {uploads.KEY_VARIABLE: found} if (found := uploads.key_of(self.target)) else {}
        done = subprocess.run([sys.executable, *command], check=False, env={**os.environ, **key})
        return done.returncode == 0

    def _end(self, url: str) -> NoReturn:
        """Send traffic back, prove that what served before serves again, and exit with 1."""
        print(f"\n{url} is deployed, and does not work.", flush=True)
        revision = self.before.revision
        if not revision or not self.rolls_back:
            print("To go back:", *self.way_back(), sep="\n")
            raise SystemExit(1)
        self.commands.say(f"back to {revision}")
        self.commands.afterwards = "\n".join(("Go back by hand:", *self.way_back()))
        self.commands.run(self._to(revision))
        works = self._is_verified(self.front_url or self.before.url, f"--revision={revision}")
        again = "serves again, and works" if works else "serves again, and does not verify either"
        print(f"\nRevision {revision} {again}. What failed is deployed, without traffic.")
        raise SystemExit(1)

    def _to(self, revision: str) -> list[str]:
        return [*self._traffic, f"--to-revisions={revision}=100"]

    def way_back(self) -> list[str]:
        """Return the commands that undo the deploy."""
        target, place = self.target, shlex.join(self.target.place)
        if self.before.revision:
            return [
                f"  {shlex.join(self._to(self.before.revision))}",
                "The next scripts/deploy sends all traffic to the newest revision again.",
            ]
        if self.is_function:
            return [f"  gcloud functions delete {target.name} --gen2 {place}"]
        return [f"  gcloud run services delete {target.name} {place}"]
