"""An Airflow connection stands in for Pachyderm's address and token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import redact
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from pachd.double import Pachd
from recsys.errors import SettingsInvalid
from recsys.provenance import open_store
from recsys.settings import load_settings
from recsys.stages import run_stage
from recsys_airflow.hooks import PachydermHook
from recsys_airflow.operators import StageOperator, stage_settings

ROOT = Path(__file__).parents[2]
TOKEN = "hush-4711-bright-orange"
GOOD = {
    "conn_type": "pachyderm",
    "host": "pachd.example",
    "port": 443,
    "schema": "grpcs",
    "password": TOKEN,
}


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the connection ``shop``: a URI, or the good one with changes."""

    def set_to(uri: str = "", **changes: object) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", uri or json.dumps({**GOOD, **changes}))

    return set_to


def overrides() -> dict[str, Any]:
    return PachydermHook("shop").settings_overrides()


def test_a_connection_gives_address_and_token(connection: Any) -> None:
    connection()
    assert overrides() == {"pachd_address": "grpcs://pachd.example:443", "pachd_token": TOKEN}


def test_a_connection_may_be_a_uri_with_certificates_and_project(
    connection: Any, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").touch()
    connection(
        f"pachyderm://:{TOKEN}@10.0.0.7:30650/grpc?project=shop&root_certs={tmp_path}/ca.pem"
    )
    settings = load_settings(provenance="pachyderm", **overrides())
    assert settings.pachd_address == "grpc://10.0.0.7:30650"
    assert settings.pachd_token.get_secret_value() == TOKEN
    assert settings.pachd_project == "shop"
    assert settings.pachd_root_certs == tmp_path / "ca.pem"


def test_an_open_server_needs_no_token(connection: Any) -> None:
    connection(password=None)
    assert overrides()["pachd_token"] == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"conn_type": "http"}, "type: found 'http', allowed is 'pachyderm'"),
        ({"schema": None}, "schema: found None, allowed is 'grpc', or 'grpcs' with TLS"),
        ({"schema": "https"}, "schema: found 'https'"),
        ({"host": None}, "host: found None"),
        ({"host": "grpc://pachd.example"}, "host: found 'grpc://pachd.example'"),
        ({"port": None}, "port: found None, allowed is 1 to 65535"),
        ({"port": 70_000}, "port: found 70000"),
        ({"login": TOKEN}, "login: found 'one', allowed is none; the token is the password"),
        ({"extra": {"projet": "shop"}}, "extra: found 'projet', allowed is .* root_certs, project"),
        ({"extra": {"project": 7}}, "extra: found 'project'"),
        ({"extra": "[1]"}, "extra: found 'list'"),
        ({"extra": "{project"}, "extra: found 'text that is not JSON'"),
        ({"extra": {"root_certs": "/no/ca.pem"}}, "root_certs: found '/no/ca.pem'"),
    ],
)
def test_a_connection_that_cannot_be_used_says_what_was_found_and_allowed(
    connection: Any, changes: dict[str, object], said: str
) -> None:
    connection(**changes)
    with pytest.raises(SettingsInvalid, match=said) as refused:
        overrides()
    assert TOKEN not in str(refused.value)


def test_a_missing_connection_says_what_to_do() -> None:
    with pytest.raises(SettingsInvalid, match=r"RECSYS_PACHD_CONNECTION names it.*add one"):
        PachydermHook("nowhere").settings_overrides()


def test_a_stage_gets_the_connections_settings(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection()
    monkeypatch.setenv("RECSYS_PACHD_ADDRESS", "grpc://elsewhere:1")
    monkeypatch.setenv("RECSYS_PACHD_CONNECTION", "shop")
    assert stage_settings().pachd_address == "grpc://elsewhere:1"  # not asked for
    monkeypatch.setenv("RECSYS_PROVENANCE", "pachyderm")
    settings = stage_settings()
    assert settings.pachd_address == "grpcs://pachd.example:443"
    assert settings.pachd_token.get_secret_value() == TOKEN


def test_a_token_from_the_settings_is_masked_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_PROVENANCE", "pachyderm")
    monkeypatch.setenv("RECSYS_PACHD_ADDRESS", "grpc://pachd.example:30650")
    monkeypatch.setenv("RECSYS_PACHD_TOKEN", "quite-another-0815")
    stage_settings()
    assert redact("with quite-another-0815") == "with ***"


def test_a_bad_connection_fails_the_task_at_once_in_clear_words(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(port=None)
    monkeypatch.setenv("RECSYS_PROVENANCE", "pachyderm")
    monkeypatch.setenv("RECSYS_PACHD_CONNECTION", "shop")
    task = StageOperator(task_id="watch_service", stage="watch_service")
    with pytest.raises(AirflowFailException, match="port: found None, allowed is 1 to 65535"):
        StageOperator.execute.__wrapped__(task, {})  # type: ignore[attr-defined]


def test_airflow_knows_the_connection_type_and_its_form(connection: Any) -> None:
    connection()
    hook = ProvidersManagerTaskRuntime().hooks["pachyderm"]
    assert hook is not None
    assert hook.hook_name == "Pachyderm"
    assert hook.connection_testable
    providers = ProvidersManager()
    behaviour = providers.field_behaviours["pachyderm"]
    assert behaviour["hidden_fields"] == ["login"]
    assert behaviour["relabeling"]["password"] == "Token"
    widgets = providers.connection_form_widgets
    assert {"extra__pachyderm__root_certs", "extra__pachyderm__project"} <= widgets.keys()
    assert isinstance(BaseHook.get_hook("shop"), PachydermHook)


def test_the_button_test_says_why_a_connection_fails(connection: Any) -> None:
    connection(port=None)
    worked, said = BaseHook.get_connection("shop").test_connection()
    assert not worked
    assert "port: found None" in said
    # Nobody listens there.
    connection(host="127.0.0.1", port=1, schema="grpc")
    worked, said = Connection.get("shop").test_connection()
    assert not worked
    assert TOKEN not in said


def test_the_button_test_asks_the_server_with_the_connections_token(connection: Any) -> None:
    with Pachd(token=TOKEN) as pachd:
        port = int(pachd.address.rpartition(":")[2])
        connection(host="127.0.0.1", port=port, schema="grpc")
        assert BaseHook.get_connection("shop").test_connection() == (
            True,
            "the server answers; newest catalog: none yet",
        )
        connection(host="127.0.0.1", port=port, schema="grpc", password="another")
        worked, _ = BaseHook.get_connection("shop").test_connection()
        assert not worked


def test_a_stage_commits_to_the_server_that_the_connection_names(
    connection: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("RECSYS_DRAWN_PRODUCTS", "24")
    monkeypatch.setenv("RECSYS_PROVENANCE", "pachyderm")
    monkeypatch.setenv("RECSYS_PACHD_CONNECTION", "shop")
    with Pachd(token=TOKEN) as pachd:
        port = int(pachd.address.rpartition(":")[2])
        connection(host="127.0.0.1", port=port, schema="grpc")
        settings = stage_settings()
        receipt = run_stage("snapshot_catalog", settings, night="2026-01-01")
        assert open_store(settings).inspect(receipt.ref).ref == receipt.ref
    assert not settings.store_dir.exists()


def test_the_token_reaches_the_stage_but_no_log_no_xcom_and_no_file(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "PYTHONPATH": str(ROOT / "plugins"),
        "RECSYS_STATE_DIR": str(tmp_path / "state"),
        "RECSYS_PROVENANCE": "pachyderm",
        "RECSYS_PACHD_CONNECTION": "shop",
        "AIRFLOW_CONN_SHOP": json.dumps(GOOD),
    }
    airflow = Path(sys.executable).with_name("airflow")
    subprocess.run([airflow, "db", "migrate"], env=environment, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("run_told_stage.py"), tmp_path / "told.json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["state"] == "success"
    assert told["address"] == "grpcs://pachd.example:443"
    assert told["token_length"] == len(TOKEN)
    assert told["logged"] == "the token is ***"
    assert TOKEN not in said
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "airflow.db" in kept  # with the XCom
    assert [path for path in kept if TOKEN.encode() in path.read_bytes()] == []
