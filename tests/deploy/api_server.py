"""A double of a Kubernetes API server with Seldon Core on it, for the real client.

It speaks HTTP on 127.0.0.1: checks the token and every body, keeps one SeldonDeployment, and
replays what Seldon's operator and the Deployment controller would report, step by step, as
read from the sources of seldon-core 1.17.1. It runs no pod, schedules nothing and defaults
nothing: what it proves is what we send, and what we make of the answers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from deploy.seldon_rules import refusals

TOKEN = "hush-cluster-4711"
NAMESPACE, NAME = "shop", "recommender"
SELDON = f"/apis/machinelearning.seldon.io/v1/namespaces/{NAMESPACE}/seldondeployments/{NAME}"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
PLAIN_404 = "404 page not found\n"


@dataclass(frozen=True)
class Step:
    """What the cluster reports at one moment after an apply.

    ``taken``: Seldon has written the Deployments of what was applied; else the ones before
    stand, rolled out. ``seen``: the Deployment controller has looked at them.
    """

    state: str
    description: str = ""
    taken: bool = True
    seen: bool = True
    updated: int = 2
    total: int = 2
    available: int = 2
    stuck: str = ""


CREATED = (
    Step(""),
    Step("Creating", updated=0, total=0, available=0),
    Step("Creating", updated=1, total=1, available=0),
    Step("Creating", updated=2, total=2, available=1),
    Step("Creating"),
    Step("Available"),
)
# An update: "Available" is of the object before, until Seldon has looked again.
ROLLED = (
    Step("Available", taken=False),
    Step("Available", seen=False),
    Step("Creating", updated=1, total=3, available=2),
    Step("Creating", updated=2, total=3, available=3),
    Step("Creating"),
    Step("Available"),
)
NEVER_READY = (
    Step("Available", taken=False),
    Step("Creating", updated=1, total=3, available=2),
)
GAVE_UP = 'ReplicaSet "recommender-live-0-recommender-6d9" has timed out progressing.'
STUCK = (*NEVER_READY, Step("Creating", updated=1, total=3, available=2, stuck=GAVE_UP))
FAILED = (
    *NEVER_READY,
    Step("Failed", "Deployment is no longer progressing and not available.", total=3),
)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    content_type: str | None
    body: Any
    token: str | None


@dataclass
class ApiServer:
    """What the cluster holds; ``scripts`` are taken one an apply, the last again and again."""

    address: str
    scripts: list[Sequence[Step]] = field(default_factory=lambda: [CREATED, ROLLED])
    requests: list[Request] = field(default_factory=list)
    found: dict[str, Any] | None = None
    before: dict[str, Any] | None = None
    script: Sequence[Step] = CREATED
    place: int = 0
    refused: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    outages: int = 0
    outages_after_apply: int = 0
    owner: str = ""
    pods: list[Any] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    log: str = ""
    answers_with: str | None = None

    @property
    def step(self) -> Step:
        return self.script[min(self.place, len(self.script) - 1)]

    def refuse(self, method: str, path: str, code: int, body: Any) -> None:
        self.refused[method, path] = (code, body)

    def sent(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]

    def answer(self, request: Request, token: str | None) -> tuple[int, Any]:
        self.requests.append(request)
        if token != f"Bearer {TOKEN}":
            return status(401, "Unauthorized")
        if self.outages:
            self.outages -= 1
            return status(503, "the server is currently unable to handle the request")
        if (request.method, request.path) in self.refused:
            return self.refused[request.method, request.path]
        if request.path == SELDON:
            return getattr(self, f"_{request.method.lower()}")(request)
        if request.path == DEPLOYMENTS:
            assert request.query["labelSelector"] == f"seldon-deployment-id={NAME}"
            return 200, {"kind": "DeploymentList", "items": self._deployments()}
        if request.path == f"{CORE}/pods":
            return 200, {"kind": "PodList", "items": self.pods}
        if request.path == f"{CORE}/events":
            assert request.query == {"fieldSelector": "type=Warning"}
            return 200, {"kind": "EventList", "items": self.events}
        if request.path.endswith("/log"):
            assert request.query == {"container": "recommender", "tailLines": "20"}
            return 200, self.log
        if request.path.startswith(f"{CORE}/services/"):
            return self._predict(request)
        return 404, PLAIN_404

    def _get(self, _: Request) -> tuple[int, Any]:
        if self.found is None:
            return missing()
        self.place += 1
        reported = {"state": self.step.state, "description": self.step.description}
        metadata = {**self.found["metadata"], "resourceVersion": "7", "generation": 3, "uid": "u"}
        return 200, {**self.found, "metadata": metadata, "status": reported}

    def _patch(self, request: Request) -> tuple[int, Any]:
        body, query = request.body, request.query
        if request.content_type != "application/apply-patch+yaml":
            return status(415, "the body of the request was in an unknown format")
        if query.get("fieldManager") != "recsys" or query.get("fieldValidation") != "Strict":
            return status(422, "PatchOptions.meta.k8s.io is invalid")
        if (body["metadata"]["name"], body["metadata"]["namespace"]) != (NAME, NAMESPACE):
            return status(400, "the name of the object does not match the name on the URL")
        if found := refusals(body):
            said = f'admission webhook "v1.vseldondeployment.kb.io" denied the request: {found}'
            return status(422, said)
        if self.owner and query.get("force") != "True":
            said = f'Apply failed with 1 conflict: conflict with "{self.owner}": .spec.predictors'
            return status(409, said, reason="Conflict")
        self.before, self.found = self.found, body
        self.script, self.place = self.scripts[0], -1
        self.scripts = self.scripts[1:] or self.scripts
        self.outages = self.outages_after_apply
        return 200, body

    def _delete(self, _: Request) -> tuple[int, Any]:
        if self.found is None:
            return missing()
        self.found = None
        return 200, {"kind": "Status", "status": "Success"}

    def _deployments(self) -> list[Any]:
        taken = self.step.taken
        shown = self.found if taken else self.before
        predictors = shown["spec"]["predictors"] if shown else []
        return [deployment(item, self.step if taken else Step("")) for item in predictors]

    def _predict(self, request: Request) -> tuple[int, Any]:
        service = request.path.removeprefix(f"{CORE}/services/")
        name = service.removesuffix(":http/proxy/api/v1.0/predictions")
        assert name != service, "through the port named http"
        by_name = {f"{NAME}-{item['name']}": item for item in self.found["spec"]["predictors"]}
        if name not in by_name:
            return status(404, f'services "{name}" not found')
        product = request.body["jsonData"]["product_id"]
        if product == "99":
            return 404, {"status": {"code": 404, "info": "no such product"}}
        release = self.answers_with or by_name[name]["labels"]["recsys/release"]
        results = [{"product_id": "10003", "score": 0.75}]
        return 200, {
            "jsonData": {"release": release, "results": results},
            "meta": {"tags": {"release": release}, "puid": request.body["meta"]["puid"]},
        }


def deployment(predictor: Any, step: Step) -> Any:
    gave_up = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": step.stuck,
    }
    return {
        "metadata": {
            "name": f"{NAME}-{predictor['name']}-0-recommender",
            "labels": predictor["labels"],
            "annotations": predictor["annotations"],
            "generation": 4,
        },
        "spec": {"replicas": 2, "selector": {}, "template": {}},
        "status": {
            "observedGeneration": 4 if step.seen else 3,
            "updatedReplicas": step.updated,
            "replicas": step.total,
            "availableReplicas": step.available,
            "conditions": [gave_up] if step.stuck else [],
        },
    }


def pod(name: str, reason: str = "", message: str = "", restarts: int = 0) -> Any:
    state = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    told = {"name": "recommender", "ready": False, "restartCount": restarts, "state": state}
    told |= {"image": "i", "imageID": "i"}
    ready = {"type": "Ready", "status": "False"}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "recommender"}]},
        "status": {"phase": "Running", "conditions": [ready], "containerStatuses": [told]},
    }


def event(name: str, reason: str, message: str) -> Any:
    return {
        "metadata": {"name": f"{name}.17"},
        "involvedObject": {"name": name},
        "reason": reason,
        "message": message,
        "type": "Warning",
        "lastTimestamp": "2026-03-01T02:31:00Z",
    }


def status(code: int, message: str, **more: Any) -> tuple[int, Any]:
    kind = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    return code, {**kind, "message": message, **more}


def missing(kind: str = "seldondeployments.machinelearning.seldon.io") -> tuple[int, Any]:
    said = f'{kind} "{NAME}" not found'
    return status(404, said, reason="NotFound", details={"name": NAME, "kind": kind})


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """A running double."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(
                self.command,
                url.path,
                query,
                self.headers.get("Content-Type"),
                json.loads(sent) if sent else None,
                self.headers.get("X-Recsys-Token"),
            )
            code, body = double.answer(request, self.headers.get("Authorization"))
            text = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(code)
            kind = "text/plain" if isinstance(body, str) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    double = ApiServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_kubeconfig(path: Path, address: str, token: str = TOKEN) -> Path:
    """A kubeconfig whose context ``shop`` leads to the double, and whose current one does not."""
    there = {"cluster": "double", "user": "night"}
    nowhere = {"cluster": "nowhere", "user": "night"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "elsewhere",
        "clusters": [
            {"name": "double", "cluster": {"server": address}},
            {"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}},
        ],
        "users": [{"name": "night", "user": {"token": token}}],
        "contexts": [
            {"name": "shop", "context": there},
            {"name": "elsewhere", "context": nowhere},
        ],
    }
    path.write_text(yaml.safe_dump(config))
    return path
