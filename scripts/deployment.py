"""What setup-bucket, setup-cdn, deploy and verify share: the settings file, the machine, gcloud.

    deploy.env ── read_settings ── Deployment ──┬── setup-bucket
                                                └── deploy ── verify
    MACHINE                  the numbers of the deployed function, each with its reason
    differing                which deployed settings are not the file's
    Commands                 prints what it runs; with --dry-run it only prints

Standard library only: these commands need Python 3.11 and gcloud, no environment.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import host
from gcloud_failures import explained
from host import Host

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from config import load_settings  # noqa: E402 - found by the line above
from errors import ConfigurationError  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config import Variable

SETTINGS_FILE = ROOT / "deploy.env"
LIFECYCLE_FILE = ROOT / "scripts" / "lifecycle.json"
DEFAULT_NAME = "share-image"
SECRET = "secret:"  # noqa: S105 - marks a value that names a secret, and is none

# The pins of requirements.txt have wheels for this version.
RUNTIME = "python313"
ENTRY_POINT = "share_image"
# A body may take 90 s to arrive (uploads.UPLOAD_TIMEOUT_S); rendering and storage follow.
TIMEOUT_S = 120
# Else someone's own gcloud setting uploads everything, deploy.env and .git included.
CHILD_ENVIRONMENT = {"CLOUDSDK_GCLOUDIGNORE_ENABLED": "true"}
ATTEMPTS = 12  # a new service account takes up to a minute to be known everywhere
PAUSE_S = 5

# What deploy.env holds for these commands; everything else there is a setting of the program.
_OWN_NAMES = ("PROJECT_ID", "REGION", "FUNCTION_NAME", "BUCKET_LOCATION", *host.NAMES)
# Theirs is the machine's own value: compared where the settings file names them.
_OF_THE_MACHINE = ("LOCAL_STORAGE_DIR", "THREADS")
_LINE = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")
_REQUIRED = ("PROJECT_ID", "REGION", "GCS_BUCKET_NAME")
# What a value has to match, and how people are told.
_PATTERNS = {
    "PROJECT_ID": (
        r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
        "the id of a project: 6 to 30 lower-case letters, digits and hyphens",
    ),
    "REGION": (r"[a-z]+-[a-z]+[0-9]+", "a region, such as europe-west1"),
    # Cloud Run names a service so, and a service account takes 6 to 30 characters.
    "FUNCTION_NAME": (
        r"[a-z](?=.{5,29}\Z)[a-z0-9-]*[a-z0-9]",
        "6 to 30 lower-case letters, digits and hyphens, with a letter first",
    ),
    **host.PATTERNS,
    "BUCKET_LOCATION": (r"[A-Za-z0-9-]+", "a region or multi-region, such as EU"),
    "GCS_BUCKET_NAME": (
        r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]",
        "the name of a bucket: lower-case letters, digits, dots, hyphens and underscores",
    ),
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
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
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
    variable, as SECRET:VERSION; host: how large it is, and who reaches it.
    """

    project: str
    region: str
    name: str
    bucket: str
    bucket_location: str
    variables: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict)
    host: Host = field(default_factory=Host)

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Deployment:
        """Return what a settings file describes.

        Raises: ValueError with all problems.
        """
        values = {"FUNCTION_NAME": DEFAULT_NAME, **{k: v for k, v in settings.items() if v}}
        problems = [f"{n} is missing" for n in _REQUIRED if n not in values]
        problems += [
            f"{name}: found {values[name]!r}, expected {expected}"
            for name, (pattern, expected) in _PATTERNS.items()
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
            host=Host.of(values),
        )

    @property
    def service_account(self) -> str:
        """The identity that the function runs as."""
        return f"{self.name}@{self.project}.iam.gserviceaccount.com"

    @property
    def build_account(self) -> str:
        """The identity that builds; empty for the project's own."""
        name = self.host.build_account
        return f"{name}@{self.project}.iam.gserviceaccount.com" if name else ""

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


def unusable(variables: Mapping[str, str], secrets: Mapping[str, str]) -> list[str]:
    """Return what the program would refuse of its settings in the cloud, or does not know."""
    problems: list[str] = []
    try:
        load_settings({**variables, "K_SERVICE": DEFAULT_NAME})
    except ConfigurationError as error:
        problems += error.problems
    unknown = {*variables, *secrets} - set(load_settings({}).variables) - {"GOOGLE_CLOUD_PROJECT"}
    return problems + [f"{name}: no setting of this program" for name in sorted(unknown)]


def threads(host: Host) -> dict[str, str]:
    """Return what the host reads of the environment: a thread of gunicorn for each request at once.

    The allocator is not set here (MALLOC_ARENA_MAX): process.py does it, wherever the program runs.
    """
    return {"THREADS": str(host.concurrency)}


def surroundings() -> dict[str, str]:
    """Return this process's environment without what would configure the program."""
    return {n: v for n, v in os.environ.items() if n not in load_settings({}).variables}


def differing(
    shown: Mapping[str, str | bool], settings: Mapping[str, str], *, in_cloud: bool
) -> dict[str, str]:
    """Return which settings are not those of a settings file, by their names, in words.

    shown: what /health says of every setting; what the file leaves out has to have its default.

    Raises: ValueError where the program would refuse the file.
    """
    program = {name: text for name, text in settings.items() if name not in _OWN_NAMES}
    plain = {name: text for name, text in program.items() if not text.startswith(SECRET)}
    if in_cloud:
        plain = {**threads(Host.of(settings)), **plain, "K_SERVICE": DEFAULT_NAME}
    try:
        wanted = load_settings(plain).variables
    except ConfigurationError as error:
        raise ValueError("; ".join(error.problems)) from None
    found = {n: f"{n} is unknown there, expected {program[n]}" for n in {*program} - {*shown}}
    for name, there in shown.items():
        expected = "a secret" if name not in plain and name in program else ""
        if not (
            bool(there) if expected else _is_meant(name, there, wanted.get(name), in_cloud=in_cloud)
        ):
            variable = wanted.get(name)
            expected = expected or str((variable.shown if variable else "") or "unset")
            by_default = "" if program.get(name) else " by default"
            found[name] = f"{name} is {there or 'unset'}, expected {expected}{by_default}"
    return dict(sorted(found.items()))


def _is_meant(name: str, there: object, wanted: Variable | None, *, in_cloud: bool) -> bool:
    """Return whether a setting is as wanted: 24 is 24.0, and lists have no order."""
    if wanted is None or isinstance(there, bool):
        return wanted is not None and there == wanted.shown
    if not wanted.is_set and name in _OF_THE_MACHINE:
        return True
    if not wanted.text and name == "PUBLIC_BASE_URL":
        return bool(there) or not in_cloud  # deploy fills in the URL that serves
    try:
        value = load_settings({name: str(there)}).variables[name].value
    except ConfigurationError:
        return False
    return _unordered(value) == _unordered(wanted.value)


def _unordered(value: object) -> object:
    return frozenset(value) if isinstance(value, tuple) else value


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
    """Prints commands as a shell takes them, then runs them; with dry_run it only prints.

    What gcloud says when it fails is explained; afterwards: what is true all the same.
    """

    def __init__(self, target: Deployment, *, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.afterwards = ""
        self._target = target

    def say(self, text: str) -> None:
        """Print a comment."""
        print(f"\n# {text}", flush=True)

    def run(self, command: Sequence[str], *, again_after: str = "") -> None:
        """Run a command; where it fails, explain it and exit with its status.

        again_after: a pattern of what it says where a minute of patience may help.
        """
        self._show(shlex.join(command))
        if self.dry_run:
            return
        for left in reversed(range(ATTEMPTS)):
            status, said = _run(command)
            if status == 0:
                return
            if not (left and again_after and re.search(again_after, said)):
                break
            time.sleep(PAUSE_S)
        self._fail(status, said)

    def ask(self, command: Sequence[str]) -> str:
        """Return what a command prints; where it fails, explain it and exit with its status."""
        self._show(shlex.join(command))
        if self.dry_run:
            return ""
        done = _captured(command)
        if done.returncode:
            print(done.stderr, end="", file=sys.stderr)
            self._fail(done.returncode, done.stderr)
        return done.stdout

    def exists(self, probe: Sequence[str]) -> bool:
        """Return whether a command that describes something succeeds; False in a dry run."""
        self._show(shlex.join(probe))
        return not self.dry_run and _captured(probe).returncode == 0

    def ensure(self, probe: Sequence[str], create: Sequence[str]) -> None:
        """Run `create` unless `probe` succeeds."""
        if self.dry_run:
            self._show(f"{shlex.join(probe)} >/dev/null 2>&1 ||\n    {shlex.join(create)}")
        elif not self.exists(probe):
            self.run(create)

    def _show(self, text: str) -> None:
        print(text if self.dry_run else f"+ {text}", flush=True)

    def _fail(self, status: int, said: str) -> NoReturn:
        print(*explained(said, self._target), sep="\n", file=sys.stderr)
        print(self.afterwards, end="\n" * bool(self.afterwards), file=sys.stderr)
        raise SystemExit(status)


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Run a command that people watch; return its status and what it said on stderr."""
    said = []
    with _started(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            print(line, end="", file=sys.stderr, flush=True)
            said.append(line)
    return process.returncode, "".join(said)


def _captured(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    with _started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _started(command: Sequence[str], **pipes: Any) -> subprocess.Popen[str]:  # noqa: ANN401
    try:
        return subprocess.Popen(command, env={**os.environ, **CHILD_ENVIRONMENT}, **pipes)
    except FileNotFoundError:
        stop(
            f"{command[0]} is not on the PATH. Install it: "
            "https://cloud.google.com/sdk/docs/install"
        )
