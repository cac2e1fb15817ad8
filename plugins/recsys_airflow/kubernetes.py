"""The deploying task on a cluster that an Airflow connection leads to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from recsys.artifacts.receipt import Receipt
from recsys.errors import SettingsInvalid
from recsys.settings import Settings, load_settings
from recsys_airflow.operators import StageOperator

_TYPE = "kubernetes"
# Of the connection's extra, as Airflow's own Kubernetes provider names them.
_WAYS = ("in_cluster", "kube_config_path", "kube_config")


class KubernetesDeployOperator(StageOperator):
    """A `StageOperator` whose stage reaches Kubernetes as a connection of that type says.

    Its kubeconfig, if it is kept in the connection, is on disk while the stage runs, for
    this user alone.
    """

    template_fields = (*StageOperator.template_fields, "kubernetes_conn_id")

    def __init__(self, *, kubernetes_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kubernetes_conn_id = kubernetes_conn_id

    def _run_stage(
        self,
        settings: Settings,
        night: str,
        receipts: Mapping[str, Receipt],
        run: Mapping[str, str],
    ) -> Receipt:
        with TemporaryDirectory(prefix="kubeconfig-") as private:
            reached = connection_settings(self.kubernetes_conn_id, Path(private))
            there = load_settings(**{**dict(settings), **reached})
            return super()._run_stage(there, night, receipts, run)


def deploy_operator(settings: Settings) -> Callable[..., StageOperator]:
    """What makes the deploying task: on a cluster with a connection, the one that uses it."""
    if settings.deploy_target == "kubernetes" and settings.kubernetes_connection:
        return partial(KubernetesDeployOperator, kubernetes_conn_id=settings.kubernetes_connection)
    return StageOperator


def connection_settings(conn_id: str, private: Path) -> dict[str, Any]:
    """The settings that a connection stands for; ``private`` takes the kubeconfig it holds.

    Raises
    ------
    SettingsInvalid
        There is no such connection, or it is not one that we can use.
    """
    extra = _extra(conn_id)
    ways = [name for name in _WAYS if extra.get(name)]
    if len(ways) > 1:
        raise _wrong(conn_id, "extra", " and ".join(ways), "one of them")
    if extra.get("disable_verify_ssl"):
        raise _wrong(conn_id, "disable_verify_ssl", True, "a kubeconfig with the cluster's CA")
    found: dict[str, Any] = {"kubernetes_config": None, "kubernetes_context": ""}
    if "kube_config_path" in ways:
        path = Path(str(extra["kube_config_path"]))
        if not path.is_file():
            raise _wrong(conn_id, "kube_config_path", str(path), "a file on every worker")
        found["kubernetes_config"] = path
    if "kube_config" in ways:
        found["kubernetes_config"] = private / "config"
        found["kubernetes_config"].touch(mode=0o600)
        found["kubernetes_config"].write_text(_text(extra["kube_config"]))
    if extra.get("cluster_context"):
        found["kubernetes_context"] = str(extra["cluster_context"])
    if extra.get("namespace"):
        found["kubernetes_namespace"] = str(extra["namespace"])
    return found


def _extra(conn_id: str) -> dict[str, Any]:
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise SettingsInvalid(
            f"there is no Airflow connection {conn_id!r} (RECSYS_KUBERNETES_CONNECTION names it):"
            " add one of the type Kubernetes, or unset it and set RECSYS_KUBERNETES_CONFIG"
        ) from error
    if connection.conn_type != _TYPE:
        raise _wrong(conn_id, "type", connection.conn_type, repr(_TYPE))
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError as error:
        raise _wrong(conn_id, "extra", "text that is not JSON", "a JSON object") from error
    if not isinstance(extra, dict):
        raise _wrong(conn_id, "extra", type(extra).__name__, "a JSON object")
    return extra


def _text(kubeconfig: object) -> str:
    return kubeconfig if isinstance(kubeconfig, str) else json.dumps(kubeconfig)


def _wrong(conn_id: str, what: str, found: object, allowed: str) -> SettingsInvalid:
    return SettingsInvalid(
        f"Airflow connection {conn_id!r}, {what}: found {found!r}, allowed is {allowed}."
        " Change it where it is kept (in the web UI: Admin, Connections)"
    )
