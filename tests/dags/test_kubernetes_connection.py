"""An Airflow connection of the type Kubernetes leads the deploying task to its cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException

import recsys.stages
from dags.test_house_rules import DAGS, load
from dags.test_operators import EMBEDDED, context
from deploy.api_server import NAMESPACE, TOKEN, api_server, write_kubeconfig
from recsys import names
from recsys.deploy.kubernetes import seldon_on_kubernetes
from recsys.errors import SettingsInvalid
from recsys.settings import Settings
from recsys_airflow.kubernetes import KubernetesDeployOperator, connection_settings
from recsys_airflow.operators import StageOperator


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the connection ``shop``'s extra, and more of it."""

    def set_to(extra: object, conn_type: str = "kubernetes") -> None:
        text = extra if isinstance(extra, str) else json.dumps(extra)
        found = {"conn_type": conn_type, "extra": text}
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(found))

    return set_to


@pytest.fixture
def on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_DEPLOY_TARGET", "kubernetes")
    monkeypatch.setenv("RECSYS_KUBERNETES_IMAGE", "recsys-seldon@sha256:" + "a" * 64)
    monkeypatch.setenv("RECSYS_KUBERNETES_CLAIM", "state")
    monkeypatch.setenv("RECSYS_KUBERNETES_CONNECTION", "shop")


def test_a_connection_may_name_a_file_a_context_and_a_namespace(
    connection: Any, tmp_path: Path
) -> None:
    (tmp_path / "config").touch()
    # As the form of Airflow's provider keeps it.
    connection(
        {
            "in_cluster": False,
            "kube_config": "",
            "kube_config_path": str(tmp_path / "config"),
            "cluster_context": "shop",
            "namespace": "nights",
            "disable_verify_ssl": False,
            "xcom_sidecar_container_image": "",
        }
    )
    assert connection_settings("shop", tmp_path) == {
        "kubernetes_config": tmp_path / "config",
        "kubernetes_context": "shop",
        "kubernetes_namespace": "nights",
    }


@pytest.mark.parametrize("extra", [{}, {"in_cluster": True}])
def test_a_connection_may_leave_it_to_the_pods_service_account(
    connection: Any, tmp_path: Path, extra: object
) -> None:
    connection(extra)
    assert connection_settings("shop", tmp_path) == {
        "kubernetes_config": None,
        "kubernetes_context": "",
    }


@pytest.mark.parametrize("as_text", [True, False])
def test_a_kubeconfig_in_the_connection_is_for_this_user_alone(
    connection: Any, tmp_path: Path, as_text: bool
) -> None:
    config = {"users": [{"name": "night", "user": {"token": TOKEN}}]}
    connection({"kube_config": json.dumps(config) if as_text else config})
    path = connection_settings("shop", tmp_path)["kubernetes_config"]
    assert json.loads(path.read_text()) == config
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("extra", "conn_type", "said"),
    [
        ({}, "http", "type: found 'http', allowed is 'kubernetes'"),
        ("{kube", "kubernetes", "text that is not JSON"),
        ("[1]", "kubernetes", "extra: found 'list'"),
        ({"kube_config_path": "/no/config"}, "kubernetes", "found '/no/config', allowed is a file"),
        ({"in_cluster": True, "kube_config": "x"}, "kubernetes", "in_cluster and kube_config"),
        ({"disable_verify_ssl": True}, "kubernetes", "a kubeconfig with the cluster's CA"),
    ],
)
def test_a_connection_that_cannot_be_used_says_what_was_found_and_allowed(
    connection: Any, tmp_path: Path, extra: object, conn_type: str, said: str
) -> None:
    connection(extra, conn_type)
    with pytest.raises(SettingsInvalid, match=said):
        connection_settings("shop", tmp_path)


def test_a_missing_connection_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"RECSYS_KUBERNETES_CONNECTION names it.*add one"):
        connection_settings("nowhere", tmp_path)


def test_the_deploy_dag_uses_the_connection_when_the_settings_say_so(on_a_cluster: None) -> None:
    deploy = load(DAGS / f"{names.DAG_REDEPLOY}.py").get_task("deploy_release")
    assert isinstance(deploy, KubernetesDeployOperator)
    assert deploy.kubernetes_conn_id == "shop"
    assert deploy.stage == "deploy_release"


def test_the_deploy_dag_knows_of_no_cluster_otherwise(
    on_a_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = DAGS / f"{names.DAG_REDEPLOY}.py"
    monkeypatch.delenv("RECSYS_KUBERNETES_CONNECTION")
    assert type(load(path).get_task("deploy_release")) is StageOperator
    monkeypatch.delenv("RECSYS_DEPLOY_TARGET")
    monkeypatch.setenv("RECSYS_KUBERNETES_CONNECTION", "shop")
    assert type(load(path).get_task("deploy_release")) is StageOperator


def run(monkeypatch: pytest.MonkeyPatch, stage: Any) -> Any:
    monkeypatch.setattr(recsys.stages, "run_stage", stage)
    task = KubernetesDeployOperator(
        task_id="deploy_release", stage="deploy_release", kubernetes_conn_id="shop"
    )
    return StageOperator.execute.__wrapped__(task, context())  # type: ignore[attr-defined]


def test_the_stage_reaches_the_connections_cluster_and_leaves_no_credentials(
    connection: Any, on_a_cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("RECSYS_SEED", "4")
    seen: list[Settings] = []

    def stage(name: str, settings: Settings, **_: Mapping[str, Any]) -> Any:
        seen.append(settings)
        seldon_on_kubernetes(settings).end_trial()  # asks for the SeldonDeployment
        return EMBEDDED

    with api_server() as cluster:
        config = yaml.safe_load(write_kubeconfig(tmp_path / "k", cluster.address).read_text())
        connection({"kube_config": config, "cluster_context": "shop", "namespace": NAMESPACE})
        assert run(monkeypatch, stage) == EMBEDDED.to_data()
        assert len(cluster.sent("GET")) == 1
    (settings,) = seen
    assert settings.seed == 4
    assert settings.kubernetes_config is not None
    assert not settings.kubernetes_config.parent.exists()


def test_a_bad_connection_fails_the_task_at_once(
    connection: Any, on_a_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection({"namespace": "Not A Namespace"})
    with pytest.raises(AirflowFailException, match="RECSYS_KUBERNETES_NAMESPACE"):
        run(monkeypatch, None)
