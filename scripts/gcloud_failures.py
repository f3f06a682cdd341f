"""The cause of a gcloud failure, by its message, and the command that fixes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deployment import Deployment

_BUILDS = "gcloud builds list --project={project} --region={region} --limit=3"
_LOG = "gcloud run services logs read {name} --project={project} --region={region} --limit=50"
_WHO = "gcloud auth list"


@dataclass(frozen=True, slots=True)
class Failure:
    """One way in which gcloud fails.

    says: a pattern of what it prints; cause; log: the command that shows more; mend: the command.
    """

    says: str
    cause: str
    log: str
    mend: str


# The first one that fits; what is special comes before what quotes it.
_FAILURES = (
    Failure(
        r"API has not been used in project|SERVICE_DISABLED|API \[\S+\] not enabled",
        "an API is not enabled in project {project}, or was a moment ago",
        "gcloud services list --project={project}",
        "scripts/setup-bucket",
    ),
    Failure(
        r"(?i)healthcheck|failed to start and listen on the port",
        "the health check failed: the new revision does not start (a setting that it refuses, an "
        "import, memory)",
        _LOG,
        "mend what the log names, then scripts/deploy",
    ),
    Failure(
        r"(?i)build service account|builds? failed because the (?:default )?service account",
        "the build account may not build: it lacks roles/cloudbuild.builds.builder (gcloud "
        "projects describe {project} says the PROJECT_NUMBER in its name)",
        _BUILDS,
        "gcloud projects add-iam-policy-binding {project} --condition=None "
        "--member=serviceAccount:PROJECT_NUMBER-compute@developer.gserviceaccount.com "
        "--role=roles/cloudbuild.builds.builder",
    ),
    Failure(
        r"(?i)organi[sz]ation(?:'s)? polic|constraints/|permitted customer",
        "an organisation policy forbids it (allUsers: constraints/iam.allowedPolicyMemberDomains)",
        "gcloud org-policies list --project={project}",
        "ask who keeps the organisation's policies to except project {project}",
    ),
    Failure(
        r"(?i)RESOURCE_EXHAUSTED|quota|maxScale may not exceed|Max instances must be set to",
        "a quota of project {project} in {region} is used up, or too small for MAX_INSTANCES",
        "gcloud run services list --project={project} --region={region}",
        "lower MAX_INSTANCES in scripts/deployment.py, or raise the quota: "
        "https://cloud.google.com/run/quotas",
    ),
    Failure(
        r"(?i)billing",
        "project {project} has no billing account",
        "gcloud billing projects describe {project}",
        "gcloud billing projects link {project} --billing-account=ACCOUNT",
    ),
    Failure(
        r"(?i)\bSecret \[\S+\] not found|NOT_FOUND: Secret",
        "the secret does not exist in project {project}",
        "gcloud secrets list --project={project}",
        "printf %s VALUE | gcloud secrets create NAME --project={project} --data-file=-",
    ),
    Failure(
        r"(?i)active account|reauth|gcloud auth login|invalid_grant",
        "nobody is logged in, or the login has expired",
        _WHO,
        "gcloud auth login",
    ),
    Failure(
        r"(?i)PERMISSION_DENIED|does not have (?:permission|\S+ access)|forbidden|\b403\b",
        "the account that is logged in lacks a permission, which the message names",
        _WHO,
        "ask an owner of project {project} for a role with that permission",
    ),
    Failure(
        r"(?i)build (?:failed|error)",
        "the build failed: its log has the reason (a pin that does not install, a file that does "
        "not compile)",
        _BUILDS,
        "mend what the log names, then scripts/deploy",
    ),
)
_OTHER = Failure(
    "", "gcloud says it above", _WHO, "mend what it names, then the same command again"
)


def explained(said: str, target: Deployment) -> list[str]:
    """Return the cause, the command that shows the log and the one that mends it, a line each."""
    found = next((f for f in _FAILURES if re.search(f.says, said)), _OTHER)
    lines = (f"cause:  {found.cause}", f"log:    {found.log}", f"mend:   {found.mend}")
    values = {"project": target.project, "region": target.region, "name": target.name}
    return [line.format_map(values) for line in lines]
