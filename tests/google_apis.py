"""Google's APIs, as far as setup-bucket and deploy ask them: the real gcloud talks to this.

gcloud is told to reach every API over HTTP through a proxy, which answers itself. What is deployed
is run: the uploaded archive, with the environment that was sent, at one address.

    serviceusage      services enabled, and whether they are
    cloudresourcemanager, cloudbuild      the project's number, policy and build account
    iam               the service account, the role: described, created, updated
    storage           buckets listed, described, created, updated; objects listed; who may use it
    cloudfunctions    runtimes; a function described, uploaded, created, updated; its operation
    run               services listed; the service described, its traffic moved, who may invoke it

Everything else is a 404, and shows in `unknown`.
"""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from function_server import free_port, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]

APIS = (
    "cloudbuild",
    "cloudfunctions",
    "cloudresourcemanager",
    "iam",
    "run",
    "serviceusage",
    "storage",
)
OPERATION = "projects/my-project/locations/europe-west1/operations/deploy"
SERVICE = "projects/my-project/locations/europe-west1/services/share-image"
_V2 = "type.googleapis.com/google.cloud.functions.v2"


@dataclass(slots=True)
class GoogleApis:
    """A project in which nothing exists yet.

    build_fails: what the next build says, empty where it works; tampered: variables that the next
    revision runs with, whatever was sent; environ: what the host adds; calls, unknown: what was
    asked, and what of it has no answer here; revisions: what was deployed, as names of files;
    serving: the one that has the traffic.
    """

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    tampered: dict[str, str] = field(default_factory=dict)
    build_fails: str = ""
    calls: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    revisions: list[list[str]] = field(default_factory=list)
    function: Json = field(default_factory=dict)
    buckets: dict[str, Json] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    port: int = field(default_factory=free_port)
    proxy_port: int = 0
    serving: str = ""
    _environs: dict[str, Json] = field(default_factory=dict)
    _archive: bytes = b""
    _running: ExitStack = field(default_factory=ExitStack)

    def gcloud_environ(self) -> dict[str, str]:
        """Return what leads the real gcloud here, and to nobody's own configuration."""
        token = self.folder / "token"
        token.write_text("nobody", encoding="utf-8")
        return {
            "HOME": str(self.folder),
            "CLOUDSDK_CONFIG": str(self.folder / "gcloud"),
            "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "true",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
            "CLOUDSDK_PROXY_TYPE": "http_no_tunnel",
            "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
            "CLOUDSDK_PROXY_PORT": str(self.proxy_port),
            **{
                f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}": f"http://{api}.googleapis.com/"
                for api in APIS
            },
        }

    def answer(self, method: str, url: str, body: bytes) -> tuple[int, Json]:
        """Return the status and the body of an answer."""
        address = urlsplit(url)
        call = f"{method} {(address.hostname or '').split('.')[0]}{address.path}"
        self.calls.append(call)
        for pattern, handler in _CALLS:
            found = re.fullmatch(pattern, call)
            if found:
                sent = body if method == "PUT" and "/upload" in call else json.loads(body or b"{}")
                answer = handler(self, found, sent)
                return (200, answer) if answer is not None else _not_found(call)
        self.unknown.append(call)
        return _not_found(call)

    @property
    def revision(self) -> str:
        """The name of what was deployed last."""
        return f"share-image-{len(self.revisions):05}-abc"

    def deploy(self, sent: Json) -> Json:
        """Build and run what was uploaded, or fail to."""
        if not self.build_fails:
            config = {**self.function.get("serviceConfig", {}), **sent.get("serviceConfig", {})}
            self.function = {**self.function, **sent, "state": "ACTIVE", "environment": "GEN_2"}
            self.function["name"] = OPERATION.replace("operations/deploy", "functions/share-image")
            config |= {"service": SERVICE, "uri": f"http://127.0.0.1:{self.port}"}
            self.function["serviceConfig"] = config
            self._run(config["environmentVariables"])
        return {"name": OPERATION, "done": False}

    def operation(self) -> Json:
        """Return how the deploy went."""
        done = {"name": OPERATION, "done": True, "metadata": {"@type": f"{_V2}.OperationMetadata"}}
        if self.build_fails:
            return {**done, "error": {"code": 3, "message": self.build_fails}}
        return {**done, "response": {"@type": f"{_V2}.Function", **self.function}}

    def _run(self, environ: Json) -> None:
        archive = zipfile.ZipFile(io.BytesIO(self._archive))
        self.revisions.append([name for name in archive.namelist() if not name.endswith("/")])
        archive.extractall(self.folder / self.revision)
        cloud = {"K_SERVICE": "share-image", "K_REVISION": self.revision}
        self._environs[self.revision] = {**self.environ, **environ, **cloud, **self.tampered}
        self._serve(self.revision)

    def _serve(self, revision: str) -> None:
        self._running.close()
        self.serving, log = revision, self.folder / f"{revision}-log"
        log.mkdir(exist_ok=True)
        env, tree = self._environs[revision], self.folder / revision
        self._running.enter_context(serve(log, env, source=tree, port=self.port))

    def move_traffic(self, sent: Json) -> Json:
        """Let another revision serve."""
        most = max(sent["spec"]["traffic"], key=lambda share: share.get("percent", 0))
        self._serve(most.get("revisionName", self.revision))
        return self.service()

    def service(self) -> Json:
        """Return the service as Cloud Run describes it."""
        traffic = [{"percent": 100, "revisionName": self.serving}]
        ready = [{"type": kind, "status": "True"} for kind in ("Ready", "RoutesReady")]
        return {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {
                "name": "share-image",
                "namespace": "my-project",
                "generation": 1,
                "labels": {"goog-managed-by": "cloudfunctions"},
            },
            "spec": {
                "template": {"spec": {"containers": [{"image": "x"}]}},
                "traffic": traffic,
            },
            "status": {
                "url": f"http://127.0.0.1:{self.port}",
                "traffic": traffic,
                "conditions": ready,
                "observedGeneration": 1,
                "latestReadyRevisionName": self.revision,
            },
        }

    def keep_archive(self, data: bytes) -> Json:
        """Take the upload."""
        self._archive = data
        return {}

    def make(self, name: str) -> Json:
        """Make what has nothing but a name."""
        self.made.add(name)
        return {"name": name}

    def bucket(self, name: str, changes: Json) -> Json:
        """Make or change a bucket."""
        now = self.buckets.get(name, {"name": name, "kind": "storage#bucket", "location": "EU"})
        self.buckets[name] = {**now, **changes}
        return self.buckets[name]

    def stop(self) -> None:
        """End what runs."""
        self._running.close()


def _not_found(call: str) -> tuple[int, Json]:
    return 404, {"error": {"code": 404, "message": f"not found: {call}", "status": "NOT_FOUND"}}


_FUNCTIONS = r"cloudfunctions/v2/projects/my-project/locations/europe-west1"
_RUN = r"(?:europe-west1-)?run"
_ACCOUNT = r"iam/v1/projects/[\w-]+/serviceAccounts"
_ROLES = r"iam/v1/projects/my-project/roles"
_POLICY: Json = {"version": 1, "etag": "BwYC", "bindings": []}

# (apis, match, what was sent) -> the answer, None for a 404.
_Handler = Callable[["GoogleApis", re.Match[str], Any], Json | None]
_CALLS: list[tuple[str, _Handler]] = [
    (r"POST serviceusage/.*:batchEnable", lambda *_: {"name": "operations/noop", "done": True}),
    (r"GET serviceusage/.*/services/.*", lambda *_: {"state": "ENABLED"}),
    (rf"GET {_ACCOUNT}/(.*)", lambda a, m, _: {"email": m[1]} if "account" in a.made else None),
    (rf"POST {_ACCOUNT}", lambda a, *_: a.make("account")),
    (rf"GET {_ROLES}/.*", lambda a, *_: {"name": "role"} if "role" in a.made else None),
    (rf"(POST|PATCH) {_ROLES}.*", lambda a, *_: a.make("role")),
    (r"POST iam/v1/permissions:queryTestablePermissions", lambda *_: {"permissions": []}),
    (r"GET storage/storage/v1/b", lambda a, *_: {"items": list(a.buckets.values())}),
    (r"GET storage/storage/v1/b/([\w-]+)", lambda a, m, _: a.buckets.get(m[1])),
    (r"POST storage/storage/v1/b", lambda a, _m, sent: a.bucket(sent["name"], sent)),
    (r"PATCH storage/storage/v1/b/([\w-]+)", lambda a, m, sent: a.bucket(m[1], sent)),
    (r"GET storage/storage/v1/b/([\w-]+)/o", lambda *_: {"items": []}),
    (r"(GET|PUT) storage/storage/v1/b/([\w-]+)/iam", lambda *_: _POLICY),
    (
        rf"GET {_FUNCTIONS}/runtimes",
        lambda *_: {"runtimes": [{"name": "python313", "stage": "GA", "environment": "GEN_2"}]},
    ),
    (
        r"GET cloudbuild/v1/projects/my-project/locations/europe-west1/defaultServiceAccount",
        lambda *_: {"serviceAccountEmail": "1-compute@developer.gserviceaccount.com"},
    ),
    (
        r"GET cloudresourcemanager/v1/projects/my-project",
        lambda *_: {"projectId": "my-project", "projectNumber": "1"},
    ),
    (r"POST cloudresourcemanager/v1/projects/my-project:getIamPolicy", lambda *_: _POLICY),
    (rf"GET {_FUNCTIONS}/functions/share-image", lambda a, *_: a.function or None),
    (
        rf"POST {_FUNCTIONS}/functions:generateUploadUrl",
        lambda *_: {
            "uploadUrl": "http://storage.googleapis.com/upload",
            "storageSource": {"bucket": "uploads", "object": "function.zip"},
        },
    ),
    (r"PUT storage/upload", lambda a, _m, data: a.keep_archive(data)),
    (rf"POST {_FUNCTIONS}/functions", lambda a, _m, sent: a.deploy(sent)),
    (rf"PATCH {_FUNCTIONS}/functions/share-image", lambda a, _m, sent: a.deploy(sent)),
    (rf"GET {_FUNCTIONS}/operations/deploy", lambda a, *_: a.operation()),
    (
        rf"GET {_RUN}/apis/serving.knative.dev/v1/namespaces/my-project/services",
        lambda a, *_: {"items": [a.service()] if a.function else []},
    ),
    (rf"GET {_RUN}/apis/.*/services/share-image", lambda a, *_: a.service()),
    (rf"PUT {_RUN}/apis/.*/services/share-image", lambda a, _m, sent: a.move_traffic(sent)),
    (rf"(GET|POST) {_RUN}/v1/{SERVICE}:[gs]etIamPolicy", lambda *_: _POLICY),
]


@contextmanager
def running_google_apis(folder: Path, **environ: str) -> Iterator[GoogleApis]:
    """Start the stand-in on a free port; environ: what the host adds to every revision."""
    apis = GoogleApis(folder, environ)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = apis.answer(self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815 - their names

        def log_message(self, *_: object) -> None:
            """Write nothing: the calls are in GoogleApis.calls."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    apis.proxy_port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield apis
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        apis.stop()
