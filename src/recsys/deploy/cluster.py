"""One namespace of a Kubernetes cluster, asked through the official client.

Every failure leaves here as an error of ours that says what to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import kubernetes
from kubernetes.client import ApiClient, ApiException, AppsV1Api, CoreV1Api, CustomObjectsApi
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from recsys.deploy.manifest import CONTAINER, PODS_ANNOTATION, RELEASE_LABEL, ROLE_LABEL, Object
from recsys.deploy.waiting import Obstacle
from recsys.errors import ClusterRefused, RecsysError, ServiceUnavailable, SettingsInvalid
from recsys.settings import Settings

MANAGER: Final = "recsys"
_CRD: Final = {
    "group": "machinelearning.seldon.io",
    "version": "v1",
    "plural": "seldondeployments",
}
_TIMEOUT: Final = (5, 30)  # seconds to connect and to read
_LOG_LINES: Final = 20
_SHOWN_PODS: Final = 2
_SHOWN_EVENTS: Final = 5
_LINE_CHARACTERS: Final = 300


def connect(settings: Settings) -> ApiClient:
    """The client of the cluster that the settings name.

    Raises
    ------
    SettingsInvalid
        There is no such kubeconfig or context, nor a service account.
    """
    path, context = settings.kubernetes_config, settings.kubernetes_context or None
    try:
        if path is None and context is None:
            configuration = kubernetes.client.Configuration()
            try:
                kubernetes.config.load_incluster_config(client_configuration=configuration)
                return ApiClient(configuration)
            except ConfigException:
                pass  # not in a pod
        file = None if path is None else str(path)
        return kubernetes.config.new_client_from_config(file, context, persist_config=False)
    except ConfigException as error:
        raise SettingsInvalid(
            f"no way to a Kubernetes cluster: {error}. Set RECSYS_KUBERNETES_CONFIG to a"
            " kubeconfig file and RECSYS_KUBERNETES_CONTEXT to a context in it"
        ) from error


@dataclass(frozen=True)
class Rollout:
    """How far Kubernetes is with one predictor's Deployment.

    ``pods`` is the digest of its pods' specification, ``wanted``, ``updated``, ``total`` and
    ``available`` are numbers of pods, ``stuck`` why Kubernetes gave up.
    """

    deployment: str
    pods: str
    seen: bool
    wanted: int
    updated: int
    total: int
    available: int
    stuck: str

    def obstacle(self) -> Obstacle | None:
        """What keeps it from being rolled out."""
        if not self.seen:
            return Obstacle(f"Kubernetes has not seen the change of {self.deployment} yet")
        if self.stuck:
            return Obstacle(f"{self.deployment} is stuck: {self.stuck}", final=True)
        if self.updated < self.wanted:
            return Obstacle(f"{self.updated} of {self.wanted} new pods of {self.deployment} exist")
        if self.total > self.updated:
            return Obstacle(f"{self.total - self.updated} old pods of {self.deployment} remain")
        if self.available < self.updated:
            return Obstacle(
                f"{self.available} of {self.updated} pods of {self.deployment} are available"
            )
        return None


class Cluster:
    """The SeldonDeployment of one name, and what Seldon made of it."""

    def __init__(self, api: ApiClient, namespace: str, name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._selector = f"seldon-deployment-id={name}"

    def found(self) -> Object | None:
        """The SeldonDeployment as it is, or None."""
        with self._asking("read the SeldonDeployment"):
            try:
                found: Object = CustomObjectsApi(self._api).get_namespaced_custom_object(
                    **_CRD, namespace=self._namespace, name=self._name, _request_timeout=_TIMEOUT
                )
            except ApiException as error:
                if error.status == HTTPStatus.NOT_FOUND and _status(error).get("details"):
                    return None
                raise
            return found

    def apply(self, manifest: Object, *, force: bool = False) -> None:
        """Server-side apply: fields that somebody else set are not taken, unless forced."""
        with self._asking("apply the SeldonDeployment"):
            CustomObjectsApi(self._api).patch_namespaced_custom_object(
                **_CRD,
                namespace=self._namespace,
                name=self._name,
                body=manifest,
                field_manager=MANAGER,
                force=force,
                field_validation="Strict",
                _content_type="application/apply-patch+yaml",
                _request_timeout=_TIMEOUT,
            )

    def delete(self) -> None:
        """Take the SeldonDeployment away, and with it its pods; gone already is as well."""
        with self._asking("delete the SeldonDeployment"):
            try:
                CustomObjectsApi(self._api).delete_namespaced_custom_object(
                    **_CRD, namespace=self._namespace, name=self._name, _request_timeout=_TIMEOUT
                )
            except ApiException as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise

    def rollouts(self) -> dict[str, Rollout]:
        """By predictor, how far its Deployment is."""
        with self._asking("list Deployments"):
            found = AppsV1Api(self._api).list_namespaced_deployment(
                self._namespace, label_selector=self._selector, _request_timeout=_TIMEOUT
            )
        return {
            (item.metadata.labels or {}).get(ROLE_LABEL, ""): _rollout(item) for item in found.items
        }

    def post(
        self, service: str, path: str, message: Object, headers: Mapping[str, str]
    ) -> tuple[int, object]:
        """Status code and parsed body of a request, through the API server's proxy."""
        with self._asking(f"ask service {service} through the API server"):
            try:
                response = self._api.call_api(
                    f"/api/v1/namespaces/{self._namespace}/services/{service}:http/proxy{path}",
                    "POST",
                    header_params={"Content-Type": "application/json", **headers},
                    body=message,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _request_timeout=_TIMEOUT,
                )
            except ApiException as error:
                if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                    raise
                return error.status, _parsed(error.body)
            return response.status, _parsed(response.data)

    def evidence(self, release_id: str) -> str:
        """What a person looks at first: the pods that are not ready, their logs, warnings."""
        lines = [*self._try("pods", lambda: self._pods(release_id))]
        return "\n".join([*lines, *self._try("events", self._warnings)])

    def _try(self, what: str, look: Callable[[], list[str]]) -> list[str]:
        try:
            with self._asking(f"look at {what}"):
                return look()
        except RecsysError as error:
            return [f"{what}: {_short(str(error))}"]

    def _pods(self, release_id: str) -> list[str]:
        found = CoreV1Api(self._api).list_namespaced_pod(
            self._namespace,
            label_selector=f"{self._selector},{RELEASE_LABEL}={release_id}",
            _request_timeout=_TIMEOUT,
        )
        waiting = [pod for pod in found.items if not _ready(pod)]
        lines = []
        for pod in waiting[:_SHOWN_PODS]:
            name = pod.metadata.name
            lines.append(f"pod {name}: {_condition(pod)}")
            lines += self._try(f"log of {name}", partial(self._log_tail, name))
        if len(waiting) > _SHOWN_PODS:
            lines.append(f"and {len(waiting) - _SHOWN_PODS} more pods that are not ready")
        return lines

    def _log_tail(self, pod: str) -> list[str]:
        response = CoreV1Api(self._api).read_namespaced_pod_log(
            pod,
            self._namespace,
            container=CONTAINER,
            tail_lines=_LOG_LINES,
            _preload_content=False,  # the client makes the repr of bytes of it otherwise
            _request_timeout=_TIMEOUT,
        )
        lines = response.data.decode(errors="replace").splitlines()
        return [f"    {_short(line)}" for line in lines]

    def _warnings(self) -> list[str]:
        found = CoreV1Api(self._api).list_namespaced_event(
            self._namespace, field_selector="type=Warning", _request_timeout=_TIMEOUT
        )
        ours = [event for event in found.items if self._concerns(event.involved_object.name)]
        ours.sort(key=lambda event: str(event.last_timestamp or event.event_time or ""))
        return [
            f"event {event.reason} of {event.involved_object.name}: {_short(event.message or '')}"
            for event in ours[-_SHOWN_EVENTS:]
        ]

    def _concerns(self, name: str | None) -> bool:
        return name == self._name or str(name).startswith(f"{self._name}-")

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            raise self._refusal(what, error) from error
        except HTTPError as error:
            raise ServiceUnavailable(
                f"the Kubernetes API server {self._api.configuration.host} does not answer"
                f" ({error}); is the cluster up, and the network to it?"
            ) from error

    def _refusal(self, what: str, error: ApiException) -> RecsysError:
        said = str(_status(error).get("message") or error.reason)
        where = f"namespace {self._namespace}"
        if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return ClusterRefused(
                f"the cluster does not let us {what} in {where}: {said}."
                " The role in docs/cluster.md is what this needs"
            )
        if error.status == HTTPStatus.NOT_FOUND and not _status(error).get("details"):
            return ClusterRefused(
                f"the cluster knows no {_CRD['plural']}.{_CRD['group']}: install Seldon Core"
                " 1.17.1 there, see docs/cluster.md"
            )
        if error.status == HTTPStatus.NOT_FOUND:
            return ClusterRefused(f"cannot {what} in {where}: {said}")
        if error.status == HTTPStatus.CONFLICT:
            return ClusterRefused(
                f"somebody else set what we would: {said}. Nothing was overwritten. To look:"
                f" `recsys manifest | kubectl diff --server-side --field-manager={MANAGER} -f -`;"
                " to take it over: `recsys manifest | kubectl apply --server-side"
                f" --force-conflicts --field-manager={MANAGER} -f -`"
            )
        if error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
            return ClusterRefused(f"the cluster did not take it, on trying to {what}: {said}")
        return ServiceUnavailable(
            f"the Kubernetes API server answered {error.status} on trying to {what}: {said}"
        )


def _rollout(deployment: Any) -> Rollout:
    status, spec = deployment.status, deployment.spec
    conditions = status.conditions or []
    gave_up = [item for item in conditions if item.type == "Progressing" and item.status == "False"]
    return Rollout(
        deployment=deployment.metadata.name,
        pods=(deployment.metadata.annotations or {}).get(PODS_ANNOTATION, ""),
        seen=(status.observed_generation or 0) >= (deployment.metadata.generation or 0),
        wanted=1 if spec.replicas is None else spec.replicas,
        updated=status.updated_replicas or 0,
        total=status.replicas or 0,
        available=status.available_replicas or 0,
        stuck=gave_up[0].message or gave_up[0].reason if gave_up else "",
    )


def _ready(pod: Any) -> bool:
    conditions = pod.status.conditions or []
    return any(item.type == "Ready" and item.status == "True" for item in conditions)


def _condition(pod: Any) -> str:
    """Why a pod is not ready, as far as its containers tell."""
    told = []
    status = pod.status
    for item in [*(status.init_container_statuses or []), *(status.container_statuses or [])]:
        state = item.state.waiting or item.state.terminated
        if state is not None and state.reason != "Completed":
            told.append(f"{item.name} {state.reason}: {_short(state.message or '')}".rstrip(": "))
        if item.restart_count:
            told.append(f"{item.name} was restarted {item.restart_count} times")
    return "; ".join(told) or f"{status.phase}, not ready"


def _status(error: ApiException) -> dict[str, Any]:
    """The API server's own words about an error; empty when they are somebody else's."""
    body = _parsed(error.body)
    return body if isinstance(body, dict) and body.get("kind") == "Status" else {}


def _parsed(body: bytes | str | None) -> object:
    try:
        return json.loads(body or "")
    except ValueError:
        return None


def _short(line: str) -> str:
    return line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}…"
