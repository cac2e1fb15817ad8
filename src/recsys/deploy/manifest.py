"""What Kubernetes is told: the SeldonDeployment of a release, as plain data.

Pure functions of the settings and a release's id. The pods hold one release each, mounted
read-only from the claim that holds this platform's state, and follow a pointer of their own
to it. So a pod never changes what it answers with, and old and new pods stand side by side
while Kubernetes rolls from one to the other.

``seldon/SeldonDeployment.yaml`` shows the outcome, and docs/decisions/0021 why it is so.
"""

from __future__ import annotations

import math
import posixpath
from typing import Any, Final, Literal

import orjson

from recsys import names
from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.artifacts.live import POINTER
from recsys.errors import ReleaseUnknown, SettingsInvalid
from recsys.settings import Settings

Object = dict[str, Any]
Role = Literal["live", "canary", "shadow"]

API_VERSION: Final = "machinelearning.seldon.io/v1"
KIND: Final = "SeldonDeployment"
CONTAINER: Final = "recommender"
HTTP_PORT: Final = 9000
# Seldon puts a predictor's labels and annotations on its Deployment and its pods.
RELEASE_LABEL: Final = "recsys/release"
ROLE_LABEL: Final = "recsys/role"
PODS_ANNOTATION: Final = "recsys/pods"

_STATE: Final = "/state"
_USER: Final = 8888  # of seldon/Dockerfile
_BUSY_CPU_PERCENT: Final = 70
# What decides how a query is answered, and what is kept of it: a pod does as the microservice
# on a laptop does.
ANSWERING: Final = (
    "max_image_bytes",
    "max_image_pixels",
    "default_k",
    "max_k",
    "max_queries",
    "max_listed_products",
    "max_boost",
    "candidates_per_result",
    "collapse",
    "min_score",
    "diversity",
    "boost",
    "sample_every",
    "sample_requests",
    "sample_bytes",
)


def seldon_deployment(settings: Settings, live: Object, candidate: Object | None = None) -> Object:
    """The SeldonDeployment of a live predictor and, while one is tried, a candidate's.

    A canary's ``traffic`` is taken from the live one; a shadow gets a copy of all of it.
    """
    taken = candidate["traffic"] if candidate and not candidate.get("shadow") else 0
    predictors = [{**live, "traffic": 100 - taken}, *([candidate] if candidate else [])]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": settings.kubernetes_name,
            "namespace": settings.kubernetes_namespace,
            "labels": {"app.kubernetes.io/part-of": "recsys"},
        },
        "spec": {"protocol": "seldon", "transport": "rest", "predictors": predictors},
    }


def predictor(settings: Settings, release_id: str, role: Role, traffic: int = 100) -> Object:
    """One release's pods, and how many; ``traffic`` is a canary's share in percent.

    Raises
    ------
    ReleaseUnknown
        The text is no release id.
    SettingsInvalid
        The settings name no image or no claim.
    """
    if not names.is_release_id(release_id):
        raise ReleaseUnknown(f"{release_id[:80]!r} is not a release id, such as r-0123456789abcdef")
    if not (settings.kubernetes_image and settings.kubernetes_claim):
        raise SettingsInvalid(
            "a SeldonDeployment needs RECSYS_KUBERNETES_IMAGE (by digest) and"
            " RECSYS_KUBERNETES_CLAIM; see docs/cluster.md"
        )
    pod = _pod(settings, release_id)
    found: Object = {
        "name": role,
        "labels": {RELEASE_LABEL: release_id, ROLE_LABEL: role},
        "annotations": {
            # Ours is the only container: no hop between, and no image that we did not pin.
            "seldon.io/no-engine": "true",
            PODS_ANNOTATION: sha256_bytes(canonical_json(pod))[:16],
        },
        "graph": {"name": CONTAINER, "type": "MODEL"},
        "componentSpecs": [{"spec": pod, **_scale(settings, role)}],
        "progressDeadlineSeconds": math.ceil(settings.deploy_timeout_seconds),
        "traffic": traffic,
    }
    return {**found, "shadow": True} if role == "shadow" else found


def fewest_pods(predictor: Object) -> int:
    """How many pods a predictor of ours has at least."""
    component = predictor["componentSpecs"][0]
    return int(component.get("hpaSpec", {}).get("minReplicas") or component.get("replicas") or 1)


def _scale(settings: Settings, role: Role) -> Object:
    fewest, most = settings.kubernetes_replicas, settings.kubernetes_max_replicas
    scale: Object = {"replicas": fewest}
    if most > fewest:
        busy = {"type": "Utilization", "averageUtilization": _BUSY_CPU_PERCENT}
        metric = {"type": "Resource", "resource": {"name": "cpu", "target": busy}}
        scale = {"hpaSpec": {"minReplicas": fewest, "maxReplicas": most, "metricsv2": [metric]}}
    if role == "live":
        # Seldon's budget spans every pod of the SeldonDeployment. Of a second one, a
        # candidate's, Kubernetes would refuse every eviction: no node could be drained.
        scale["pdbSpec"] = {"maxUnavailable": 1}
    return scale


def _pod(settings: Settings, release_id: str) -> Object:
    claim = {"claimName": settings.kubernetes_claim}
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {RELEASE_LABEL: release_id}},
            }
        ],
        "terminationGracePeriodSeconds": 30,
        "initContainers": [_pointer(settings, release_id)],
        "containers": [_container(settings, release_id)],
        "volumes": [
            {"name": "own", "emptyDir": {"sizeLimit": "16Mi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            {"name": "shared", "persistentVolumeClaim": claim},
        ],
    }


def _hardened(settings: Settings) -> Object:
    """What the two containers of a pod share."""
    return {
        "image": settings.kubernetes_image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {
            "requests": {"cpu": settings.kubernetes_cpu, "memory": settings.kubernetes_memory},
            "limits": {"memory": settings.kubernetes_memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _pointer(settings: Settings, release_id: str) -> Object:
    """Point to the pod's release, and make the folders of the mounts, or root would own them."""
    releases = f"{_STATE}/releases"
    script = (
        f"mkdir -p {releases}/{release_id} {_STATE}/serving/requests"
        f" && ln -sfn {release_id} {releases}/{POINTER}"
    )
    return {
        "name": "pointer",
        **_hardened(settings),
        "command": ["sh", "-ec", script],
        "volumeMounts": [{"name": "own", "mountPath": _STATE}],
    }


def _container(settings: Settings, release_id: str) -> Object:
    told = {"state_dir": _STATE, **settings.model_dump(include=set(ANSWERING))}
    pod_name = {"fieldRef": {"fieldPath": "metadata.name"}}
    return {
        "name": CONTAINER,
        **_hardened(settings),
        "ports": [{"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"}],
        "env": [
            {"name": "GUNICORN_WORKERS", "value": str(settings.serving_workers)},
            *(
                {"name": f"RECSYS_{name.upper()}", "value": _text(told[name])}
                for name in sorted(told)
            ),
            {"name": "POD_NAME", "valueFrom": pod_name},
            *_token(settings),
        ],
        "volumeMounts": [
            {"name": "own", "mountPath": _STATE},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
            {
                "name": "shared",
                "mountPath": f"{_STATE}/releases/{release_id}",
                "subPath": _in_claim(settings, "releases", release_id),
                "readOnly": True,
            },
            {
                "name": "shared",
                "mountPath": f"{_STATE}/serving/requests",
                "subPathExpr": _in_claim(settings, "serving/requests", "$(POD_NAME)"),
            },
        ],
        "startupProbe": _probe("/health/ping", every=2, failures=60),
        # Ready once the release is verified and warm.
        "readinessProbe": _probe("/health/status", every=2, failures=3),
        "livenessProbe": _probe("/health/ping", every=10, failures=3),
        # Nobody is sent here any more before the workers are told to end.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "10"]}}},
    }


def _token(settings: Settings) -> list[Object]:
    """Where a pod finds the token that it asks for; the token itself is never rendered."""
    if not settings.kubernetes_token_secret:
        return []
    key = {"name": settings.kubernetes_token_secret, "key": "token"}
    return [{"name": "RECSYS_SERVING_TOKEN", "valueFrom": {"secretKeyRef": key}}]


def _probe(path: str, every: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": every,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _in_claim(settings: Settings, *parts: str) -> str:
    return posixpath.join(settings.kubernetes_claim_path, *parts)


def _text(value: object) -> str:
    """A setting's value as the environment has it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
