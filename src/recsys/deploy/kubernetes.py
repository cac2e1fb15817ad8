"""Seldon Core on Kubernetes: apply a release, wait until it answers, or put the former back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

from recsys.artifacts.live import clear_live, write_live
from recsys.deploy.cluster import Cluster, connect
from recsys.deploy.manifest import (
    PODS_ANNOTATION,
    RELEASE_LABEL,
    Object,
    Role,
    fewest_pods,
    predictor,
    seldon_deployment,
)
from recsys.deploy.port import Deployment, ProbeRow
from recsys.deploy.probing import probe_row, question, token_headers, verified
from recsys.deploy.waiting import Obstacle, wait
from recsys.errors import BadInput, DeployFailed, RecsysError, ServiceUnavailable
from recsys.settings import Settings

_LOG = logging.getLogger(__name__)
_POLL_SECONDS: Final = 2.0
_PREDICTIONS: Final = "/api/v1.0/predictions"
_OK: Final = 200


def seldon_on_kubernetes(settings: Settings) -> KubernetesSeldon:
    """The SeldonDeployment that these settings describe."""
    cluster = Cluster(connect(settings), settings.kubernetes_namespace, settings.kubernetes_name)
    return KubernetesSeldon(settings, cluster)


class KubernetesSeldon:
    """A `DeploymentTarget`: a SeldonDeployment, whose pods hold one release each.

    The live pointer among the releases says what is live here as it does for the local
    target; it moves once the cluster answers with the release.
    """

    def __init__(
        self, settings: Settings, cluster: Cluster, poll_seconds: float = _POLL_SECONDS
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._poll_seconds = poll_seconds

    def deploy(self, release_id: str) -> Deployment:
        """See `DeploymentTarget`. A candidate that is tried beside the live one ends with it."""
        wanted = seldon_deployment(self._settings, predictor(self._settings, release_id, "live"))
        done = self._change(release_id, "live", wanted, self._found())
        write_live(self._settings.releases_dir, release_id)
        return done

    def roll_back(self, to: str) -> Deployment:
        """See `DeploymentTarget`."""
        return self.deploy(to)

    def withdraw(self) -> None:
        """See `DeploymentTarget`."""
        self._cluster.delete()
        clear_live(self._settings.releases_dir)

    def try_beside(
        self, release_id: str, role: Literal["canary", "shadow"], traffic: int = 0
    ) -> Deployment:
        """Serve a candidate beside the live release, whose pods stay as they are.

        Parameters
        ----------
        role
            A canary answers ``traffic`` percent of the requests, a shadow gets a copy of all.
            Istio or Ambassador divides them; a Service alone does not.

        Raises
        ------
        BadInput
            There is no live release to try it beside, or the share is not between 1 and 99.
        DeployFailed, ReleaseUnknown, ClusterRefused
            As for `deploy`; what was there before is again.
        """
        if (role == "canary") != (1 <= traffic <= 99) or (role == "shadow" and traffic):
            raise BadInput(f"{traffic} percent for a {role}: a canary gets 1 to 99, a shadow none")
        former = self._found()
        live = _predictors(former).get("live")
        if live is None:
            raise BadInput("no release is live on the cluster; deploy one before you try another")
        candidate = predictor(self._settings, release_id, role, traffic)
        wanted = seldon_deployment(self._settings, live, candidate)
        return self._change(release_id, role, wanted, former)

    def end_trial(self) -> None:
        """Serve the live release alone again; without a candidate nothing happens."""
        live = _predictors(former := self._found()).get("live")
        if live is not None and len(_predictors(former)) > 1:
            self._cluster.apply(seldon_deployment(self._settings, live))

    def probe(
        self, product_ids: Sequence[str], release: str, role: Role = "live"
    ) -> list[ProbeRow]:
        """See `DeploymentTarget`; a candidate can be asked as well.

        Raises
        ------
        ServiceUnavailable
            The API server does not answer.
        ClusterRefused
            It does not let us ask.
        """
        return [self._ask(product_id, release, role) for product_id in product_ids]

    def _found(self) -> Object | None:
        try:
            return self._cluster.found()
        except ServiceUnavailable as error:
            raise DeployFailed(f"{error}; what serves was not touched") from error

    def _change(
        self, release_id: str, role: Role, wanted: Object, former: Object | None
    ) -> Deployment:
        """Apply, wait, and on any failure put back what was there."""
        started = time.monotonic()
        first_product = verified(self._settings.releases_dir, release_id)
        previous = _release(_predictors(former).get("live"))
        try:
            self._cluster.apply(wanted)
        except ServiceUnavailable as error:
            # It may have been taken before the connection broke.
            outcome = self._back_to(former, previous)
            raise DeployFailed(
                f"release {release_id} did not go live: {error}; {outcome}"
            ) from error
        stale = _state(former)
        try:
            reason = self._wait(
                lambda: (
                    self._unsettled(wanted, stale)
                    or self._answers_otherwise(release_id, role, first_product)
                )
            )
        except BaseException:
            # The task's time limit, Ctrl-C, or a permission that is missing half way.
            self._put_back(former)
            raise
        if reason is not None:
            evidence = self._cluster.evidence(release_id)
            outcome = self._back_to(former, previous)
            raise DeployFailed(
                f"release {release_id} did not go live: {reason}; {outcome}\n{evidence}".rstrip()
            )
        return Deployment(
            release_id,
            previous,
            time.monotonic() - started,
            fewest_pods(_predictors(wanted)[role]),
            changed=role != "live" or previous != release_id,
        )

    def _wait(self, obstacle: Callable[[], Obstacle | None]) -> str | None:
        told: Obstacle | None = None

        def bridged() -> Obstacle | None:
            nonlocal told
            try:
                found = obstacle()
            except ServiceUnavailable as error:  # an API server may restart meanwhile
                found = Obstacle(str(error))
            if found is not None and found != told:
                _LOG.info("waiting: %s", found.reason)
            told = found
            return found

        return wait(bridged, self._settings.deploy_timeout_seconds, self._poll_seconds)

    def _unsettled(self, wanted: Object, stale: tuple[str, str] | None) -> Obstacle | None:
        """The rollouts, then Seldon's word, then the number of pods.

        Seldon's ``status`` names no generation, so it may be of the object before; only
        after the rollout of these very pods is "Available" theirs, and "Failed" counts
        before it only when it was not there before.
        """
        found = self._cluster.found()
        if found is None:
            return Obstacle("somebody deleted the SeldonDeployment", final=True)
        state = _state(found) or ("", "")
        if state[0] == "Failed" and state != stale:
            return Obstacle(f"Seldon says Failed: {state[1]}", final=True)
        rollouts = self._cluster.rollouts()
        for name, item in _predictors(wanted).items():
            rollout = rollouts.get(name)
            pods = item.get("annotations", {}).get(PODS_ANNOTATION)
            if rollout is None or rollout.pods != pods:
                return Obstacle(f"Seldon has not taken up predictor {name} yet")
            if (obstacle := rollout.obstacle()) is not None:
                return obstacle
        if state[0] != "Available":
            return Obstacle(f"Seldon says {state[0] or 'nothing'}: {state[1]}".rstrip(": "))
        for name, item in _predictors(wanted).items():
            if (there := rollouts[name].available) < (least := fewest_pods(item)):
                return Obstacle(f"{there} of at least {least} pods of predictor {name} answer")
        return None

    def _answers_otherwise(self, release_id: str, role: Role, product_id: str) -> Obstacle | None:
        row = self._ask(product_id, release_id, role)
        if row["status_code"] != _OK:
            return Obstacle(f"the service answered {row['status_code']}")
        if not row["release_matches"]:
            return Obstacle("the service answered with another release")
        return None

    def _ask(self, product_id: str, release: str, role: Role) -> ProbeRow:
        service = f"{self._settings.kubernetes_name}-{role}"
        status_code, body = self._cluster.post(
            service, _PREDICTIONS, question(product_id), token_headers(self._settings)
        )
        return probe_row(product_id, release, status_code, body)

    def _back_to(self, former: Object | None, previous: str | None) -> str:
        """Put the former back and wait for it; what to say of that."""
        before = previous or "what was there"
        try:
            stale = _state(self._cluster.found())
        except RecsysError:
            stale = None
        if not self._put_back(former):
            return f"{before} could not be put back, see the log"
        if former is None:
            return "no release is live, as before"
        try:
            reason = self._wait(lambda: self._unsettled(_ours(former), stale))
        except RecsysError as error:
            reason = str(error)
        if reason is not None:
            return f"{before} was put back, but {reason}"
        return f"{before} is live, as before"

    def _put_back(self, former: Object | None) -> bool:
        try:
            if former is None:
                self._cluster.delete()
            else:
                self._cluster.apply(_ours(former), force=True)
        except RecsysError as error:
            _LOG.error("after a failed deployment: %s", error)
            return False
        return True


def _ours(found: Object) -> Object:
    """A SeldonDeployment as it was read, without what the server adds."""
    kept = ("name", "namespace", "labels", "annotations")
    metadata = {key: value for key, value in found["metadata"].items() if key in kept}
    return {**{key: found[key] for key in ("apiVersion", "kind", "spec")}, "metadata": metadata}


def _predictors(found: Object | None) -> dict[str, Object]:
    return {} if found is None else {item["name"]: item for item in found["spec"]["predictors"]}


def _release(live: Object | None) -> str | None:
    return None if live is None else live.get("labels", {}).get(RELEASE_LABEL)


def _state(found: Object | None) -> tuple[str, str] | None:
    """Seldon's state and its description."""
    if found is None:
        return None
    status = found.get("status", {})
    return status.get("state", ""), status.get("description", "")
