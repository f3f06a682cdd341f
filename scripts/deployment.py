"""What setup-bucket, deploy and verify share: the settings file, the machine, gcloud.

    deploy.env ── read_settings ── Deployment ──┬── setup-bucket
                                                └── deploy ── verify
    MACHINE                  the numbers of the deployed function, each with its reason
    Commands                 prints what it runs; with --dry-run it only prints

Standard library only: these commands need Python 3.11 and gcloud, no environment.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
SETTINGS_FILE = ROOT / "deploy.env"
LIFECYCLE_FILE = ROOT / "scripts" / "lifecycle.json"
DEFAULT_NAME = "share-image"
SECRET = "secret:"  # noqa: S105 - marks a value that names a secret, and is none

# The pins of requirements.txt have wheels for this version.
RUNTIME = "python313"
ENTRY_POINT = "share_image"
# One: rendering one picture keeps one processor busy for a fraction of a second, and more instances
# come up faster than more processors pay off. Less than one allows no concurrency.
CPU = "1"
# A PNG of 50 megapixels takes 200 MB decoded, and again while it is turned or framed.
MEMORY_MIB = 1024
# Slow uploads wait on the network, not on the processor: eight at once share one instance well.
CONCURRENCY = 8
# A body may take 90 s to arrive (uploads.UPLOAD_TIMEOUT_S); rendering and storage follow.
TIMEOUT_S = 120
# Bounds the bill under attack: 10 instances serve 80 requests at once.
MAX_INSTANCES = 10
# None is kept warm: what that costs is in docs/operations.md.
MIN_INSTANCES = 0
# What the host reads of the environment, beside the program's own settings. The allocator is not
# set here (MALLOC_ARENA_MAX): memory.py does it, wherever the program runs.
HOST_VARIABLES = {
    "THREADS": str(CONCURRENCY),  # of gunicorn: one for each request that the host lets in at once
}

# What deploy.env holds for these commands; everything else there is a setting of the program.
_OWN_NAMES = ("PROJECT_ID", "REGION", "FUNCTION_NAME", "BUCKET_LOCATION")
_LINE = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")
_REQUIRED = ("PROJECT_ID", "REGION", "GCS_BUCKET_NAME")
_PATTERNS = {
    "PROJECT_ID": r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
    "REGION": r"[a-z]+-[a-z]+[0-9]+",
    # Cloud Run names a service so, and a service account takes 6 to 30 characters.
    "FUNCTION_NAME": r"[a-z](?=.{5,29}\Z)[a-z0-9-]*[a-z0-9]",
    "BUCKET_LOCATION": r"[A-Za-z0-9-]+",
    "GCS_BUCKET_NAME": r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]",
}


def stop(*lines: str) -> NoReturn:
    """Print what is wrong and how to mend it, and exit with 2."""
    print(*lines, sep="\n", file=sys.stderr)
    raise SystemExit(2)


def read_settings(path: Path) -> dict[str, str]:
    """Return the names and values of a settings file.

    Lines are NAME=value, taken as they are: nothing is expanded, one pair of quotes around a value
    is dropped, lines that begin with # are comments.

    Raises: ValueError with the line that is none of these, or a name that comes twice.
    """
    settings: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        found = _LINE.fullmatch(text)
        if found is None or found["name"] in settings:
            problem = "comes twice" if found else "expected NAME=value"
            raise ValueError(f"{path.name}, line {number}: {text!r}: {problem}")
        settings[found["name"]] = _unquoted(found["value"].strip())
    return settings


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where the function goes, and with which settings.

    variables: the program's settings; secrets: those that Secret Manager keeps, by the name of the
    variable, as SECRET:VERSION.
    """

    project: str
    region: str
    name: str
    bucket: str
    bucket_location: str
    variables: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Deployment:
        """Return what a settings file describes.

        Raises: ValueError with all problems.
        """
        values = {"FUNCTION_NAME": DEFAULT_NAME, **{k: v for k, v in settings.items() if v}}
        problems = [f"{n} is missing" for n in _REQUIRED if n not in values]
        problems += [
            f"{name}: found {values[name]!r}, expected a match of {pattern}"
            for name, pattern in _PATTERNS.items()
            if name in values and not re.fullmatch(pattern, values[name])
        ]
        if problems:
            raise ValueError("\n".join(problems))
        program = {name: v for name, v in settings.items() if name not in _OWN_NAMES}
        return cls(
            project=values["PROJECT_ID"],
            region=values["REGION"],
            name=values["FUNCTION_NAME"],
            bucket=values["GCS_BUCKET_NAME"],
            bucket_location=values.get("BUCKET_LOCATION", values["REGION"]),
            variables={n: v for n, v in program.items() if not v.startswith(SECRET)},
            secrets={n: _secret(v) for n, v in program.items() if v.startswith(SECRET)},
        )

    @property
    def service_account(self) -> str:
        """The identity that the function runs as."""
        return f"{self.name}@{self.project}.iam.gserviceaccount.com"

    @property
    def place(self) -> tuple[str, str]:
        """The flags that lead a gcloud command to it."""
        return (f"--project={self.project}", f"--region={self.region}")


def _secret(value: str) -> str:
    name, _, version = value.removeprefix(SECRET).partition(":")
    return f"{name}:{version or 'latest'}"


def read_deployment(path: Path) -> Deployment:
    """Return what a settings file describes; where it describes nothing, say so and exit."""
    try:
        return Deployment.of(read_settings(path))
    except FileNotFoundError:
        stop(f"{path} is missing. Copy deploy.env.example to it and fill it in.")
    except ValueError as problem:
        stop(f"{path}:", str(problem))


def check_sweep(target: Deployment) -> None:
    """Exit where the lifecycle rule would delete shares that still live."""
    hours = target.variables.get("SHARE_TTL_HOURS") or "24"
    rules = json.loads(LIFECYCLE_FILE.read_bytes())["rule"]
    age_days = min(rule["condition"]["age"] for rule in rules)
    try:
        needed_days = math.ceil(float(hours) / 24)
    except (ValueError, OverflowError):
        stop(f"SHARE_TTL_HOURS: found {hours!r}, expected hours")
    if needed_days > age_days:
        found = (
            f"SHARE_TTL_HOURS={hours}, but {LIFECYCLE_FILE.name} deletes after {age_days} day(s)"
        )
        stop(f'{found}: set "age" there to {needed_days}, then run scripts/setup-bucket.')


class Commands:
    """Prints commands as a shell takes them, then runs them; with dry_run it only prints."""

    def __init__(self, *, dry_run: bool) -> None:
        self.dry_run = dry_run

    def say(self, text: str) -> None:
        """Print a comment."""
        print(f"\n# {text}", flush=True)

    def run(self, command: Sequence[str], *, attempts: int = 1) -> None:
        """Run a command; where it fails, after so many attempts, exit with its status."""
        self._show(shlex.join(command))
        if self.dry_run:
            return
        for left in reversed(range(attempts)):
            status = subprocess.run(command, check=False).returncode
            if status == 0:
                return
            if left:
                time.sleep(5)
        raise SystemExit(status)

    def ask(self, command: Sequence[str]) -> str:
        """Return what a command prints; where it fails, exit with its status."""
        self._show(shlex.join(command))
        if self.dry_run:
            return ""
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(done.returncode)
        return done.stdout

    def ensure(self, probe: Sequence[str], create: Sequence[str]) -> None:
        """Run `create` unless `probe` succeeds."""
        self._show(f"{shlex.join(probe)} >/dev/null 2>&1 ||\n    {shlex.join(create)}")
        if self.dry_run:
            return
        found = subprocess.run(
            probe, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if found.returncode and (status := subprocess.run(create, check=False).returncode):
            raise SystemExit(status)

    def _show(self, text: str) -> None:
        print(text if self.dry_run else f"+ {text}", flush=True)
