"""How large the function is, and who reaches it: what deploy.env says of the host.

    MEMORY, CPU, CONCURRENCY, MIN_INSTANCES, MAX_INSTANCES    sizes
    INGRESS, VPC_NETWORK, VPC_SUBNET                          who reaches it, what it reaches

Each has a default; impossible() names what cannot work together, before anything is built.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
import deployed  # noqa: E402 - found by the line above

if TYPE_CHECKING:
    from collections.abc import Mapping

# As scripts/setup-cdn leaves it: the service's own address answers load balancers alone.
LOAD_BALANCER_ALONE = "internal-and-cloud-load-balancing"
FRONT_END_MAX_MB = 32  # of one HTTP/1 request: https://cloud.google.com/run/quotas#request_limits
THREAD_MB = 4  # of one that receives: pieces of 1 MiB, four of them on their way to the form
PROCESS_MB = 130  # after the first pictures, the sandbox and the storage client included: 96 + 30

# What each holds in deploy.env, and how people are told.
PATTERNS = {
    "MEMORY": (r"[1-9][0-9]*Mi|[1-9][0-9]?Gi", "such as 1024Mi or 2Gi"),
    "CPU": (r"1|2|4|6|8", "1, 2, 4, 6 or 8"),
    "CONCURRENCY": (r"[1-9][0-9]{0,2}|1000", "a number from 1 to 1000"),
    "MIN_INSTANCES": (r"[0-9]{1,3}", "a number from 0 to 999"),
    "MAX_INSTANCES": (r"[1-9][0-9]{0,2}", "a number from 1 to 999"),
    "INGRESS": (rf"all|internal|{LOAD_BALANCER_ALONE}", f"all, internal or {LOAD_BALANCER_ALONE}"),
    "INVOKER_IAM_CHECK": (r"on|off", "on, or off where an organisation forbids allUsers"),
    "BUILD_ACCOUNT": (
        r"[a-z](?=.{5,29}\Z)[a-z0-9-]*[a-z0-9]",
        "the name of a service account that setup-bucket makes, such as share-image-build",
    ),
    "VPC_NETWORK": (r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", "the name of a network"),
    "VPC_SUBNET": (r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", "the name of a subnet in REGION"),
}
NAMES = tuple(PATTERNS)
# MiB that each number of processors has at least and at most.
# Source: https://cloud.google.com/run/docs/configuring/services/memory-limits
_MEMORY_MIB = {1: (128, 4096), 2: (128, 8192), 4: (2048, 16384), 6: (4096, 24576), 8: (4096, 32768)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The size of an instance, how many there may be, and the way to them.

    ingress: empty to leave it as it is; invoker_iam_check: "off" to let everybody call it without
    a binding for allUsers, which some organisations forbid; build_account: builds, in place of the
    project's own, which new organisations give no roles. The defaults: one processor, because
    rendering keeps one busy for a fraction of a second, and more instances come up faster than more
    processors pay off; 1024 MiB, because a PNG of 50 megapixels takes 200 MB decoded, and again
    while it is turned; eight requests at once, because slow uploads wait on the network; ten
    instances, which bounds the bill under attack; none kept warm: docs/operations.md has what that
    costs.
    """

    memory_mib: int = 1024
    cpu: int = 1
    concurrency: int = 8
    min_instances: int = 0
    max_instances: int = 10
    ingress: str = ""
    invoker_iam_check: str = "on"
    build_account: str = ""
    vpc_network: str = ""
    vpc_subnet: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Host:
        """Return what a settings file says; its values match PATTERNS."""
        found = {name.lower(): settings[name] for name in NAMES if settings.get(name)}
        memory = found.pop("memory", "1024Mi")
        numbers = {n: int(v) for n, v in found.items() if v.isdigit()}
        words = {n: v for n, v in found.items() if not v.isdigit()}
        size = int(memory[:-2]) * (1024 if memory.endswith("Gi") else 1)
        return cls(memory_mib=size, **numbers, **words)  # type: ignore[arg-type]  # by their names

    @property
    def memory_mb(self) -> float:
        """The memory in the megabytes of the program's settings, which are decimal."""
        return self.memory_mib * 1.048576


def impossible(host: Host, variables: Mapping[str, str], *, cloud_run: bool) -> list[str]:
    """Return what cannot work together, each with what to change.

    variables: the program's settings, valid each for itself; cloud_run: how it is deployed.
    """
    return [
        *_sizes(host),
        *_memory(host, variables),
        *_network(host, variables, cloud_run=cloud_run),
        *_files(variables),
    ]


def _sizes(host: Host) -> list[str]:
    found = []
    least, most = _MEMORY_MIB[host.cpu]
    if not least <= host.memory_mib <= most:
        found.append(f"MEMORY={host.memory_mib}Mi: with CPU={host.cpu}, {least}Mi to {most}Mi work")
    if host.min_instances > host.max_instances:
        found.append(f"MIN_INSTANCES={host.min_instances} is above MAX_INSTANCES")
    return found


def _memory(host: Host, variables: Mapping[str, str]) -> list[str]:
    found, budget = [], _number(variables, "MEMORY_BUDGET_MB", 0)
    upload, cache = _number(variables, "MAX_UPLOAD_MB", 20), _number(variables, "CACHE_MB", 64)
    threads = int(_number(variables, "THREADS", host.concurrency))
    if upload > FRONT_END_MAX_MB:
        found.append(
            f"MAX_UPLOAD_MB={upload:g}: the front end refuses more than {FRONT_END_MAX_MB} MB"
        )
    if budget > host.memory_mb:
        found.append(
            f"MEMORY_BUDGET_MB={budget:g} is above MEMORY ({host.memory_mb:.0f} MB): leave it empty"
        )
    needed = PROCESS_MB + cache + threads * THREAD_MB + 2 * upload
    if needed > host.memory_mb:
        found.append(
            f"{threads} requests at once (CONCURRENCY, THREADS) need {needed:.0f} MB with CACHE_MB="
            f"{cache:g} and one upload of {upload:g} MB: MEMORY is {host.memory_mb:.0f} MB"
        )
    if threads < host.concurrency:
        found.append(f"THREADS={threads} is below CONCURRENCY={host.concurrency}: the rest waits")
    return found


def _network(host: Host, variables: Mapping[str, str], *, cloud_run: bool) -> list[str]:
    found = []
    if _number(variables, "TRUSTED_PROXY_HOPS", 1) > 1 and host.ingress == "all":
        found.append(
            "TRUSTED_PROXY_HOPS above 1 with INGRESS=all: at the function's own address anybody "
            f"writes X-Forwarded-For, and passes the rate limit; set INGRESS={LOAD_BALANCER_ALONE}"
        )
    if bool(host.vpc_network) != bool(host.vpc_subnet):
        found.append("VPC_NETWORK and VPC_SUBNET: set both, or none")
    if host.vpc_network and not cloud_run:
        found.append("VPC_NETWORK needs scripts/deploy --cloud-run: gcloud functions has no flag")
    if not host.vpc_network and _is_private(variables.get("RATE_LIMIT_STORAGE_URI", "")):
        found.append(
            "RATE_LIMIT_STORAGE_URI is a private address, which the function reaches through "
            "VPC_NETWORK and VPC_SUBNET alone"
        )
    return found


def _files(variables: Mapping[str, str]) -> list[str]:
    named = {n: variables[n] for n in ("WATERMARK_FONT", "LOGO_FILE") if variables.get(n)}
    return [
        f"{name}={path} is not uploaded: put it into web/ or fonts/, and name it from there"
        for name, path in named.items()
        if not _is_uploaded(path)
    ]


def _is_uploaded(path: str) -> bool:
    """Return whether a file is there after a deploy, under the same name."""
    with suppress(ValueError):  # an ignore file that is none of ours: deploy stops at that
        return path in deployed.digests(ROOT)
    return True


def _is_private(uri: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(urlsplit(uri).hostname or "").is_private
    return False


def _number(variables: Mapping[str, str], name: str, default: float) -> float:
    text = variables.get(name) or ""
    return float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else default
