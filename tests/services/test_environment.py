"""What services are told, and who may read their secrets."""

from __future__ import annotations

import base64
import json
import re
import stat
from pathlib import Path

import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import DatasetEvent, StaticDataset

from recsys.deploy.manifest import ANSWERING
from recsys.services.environment import (
    airflow_environment,
    airflow_login,
    inherited_environment,
    mlflow_environment,
    serving_environment,
    settings_environment,
)
from recsys.settings import PROJECT_ROOT, Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state", airflow_port=18_081, timezone="Asia/Tokyo")


def test_settings_are_read_back_from_the_environment_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(state_dir=tmp_path, boost={"season": {"Summer": 0.1}})
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_airflow_listens_on_loopback_only(settings: Settings) -> None:
    environment = airflow_environment(settings)
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:18081"
    assert (
        environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
        == "http://127.0.0.1:18081/execution/"
    )
    assert "0.0.0.0" not in str(environment)  # noqa: S104


def test_secrets_are_drawn_once_and_private(settings: Settings) -> None:
    first, second = airflow_environment(settings), airflow_environment(settings)
    assert first == second
    files = list((settings.airflow_dir / "secrets").iterdir())
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len(base64.urlsafe_b64decode(first["AIRFLOW__CORE__FERNET_KEY"])) == 32


def test_two_installations_share_no_secret(tmp_path: Path) -> None:
    one, other = (load_settings(state_dir=tmp_path / name) for name in ("one", "other"))
    for variable in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"):
        assert airflow_environment(one)[variable] != airflow_environment(other)[variable]
    assert airflow_login(one) != airflow_login(other)


def test_tasks_see_the_settings_of_the_command_that_started_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(state_dir=tmp_path, boost={"season": {"Summer": 0.1}})
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_the_service_is_told_every_setting_that_it_reads(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path, boost={"season": {"Summer": 0.1}})
    told = serving_environment(settings)
    texts = (path.read_text() for path in (PROJECT_ROOT / "seldon").glob("*.py"))
    read = {name for text in texts for name in re.findall(r"settings\.(\w+)", text)}
    derived = {"releases_dir", "serving_dir", "changes_dir", "read_serving_token"}
    wanted = {*(read - derived), "state_dir", "serving_token"}
    assert {f"RECSYS_{name.upper()}" for name in wanted} == set(told)
    assert json.loads(told["RECSYS_BOOST"]) == settings.boost


def test_only_airflow_is_told_the_token(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path, pachd_token="hush-4711")
    assert airflow_environment(settings)["RECSYS_PACHD_TOKEN"] == "hush-4711"
    others = {**mlflow_environment(settings), **serving_environment(settings)}
    assert "hush-4711" not in str(others)


def test_the_microservice_is_told_all_that_decides_how_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"boost": {"season": {"Summer": 0.1}}, "collapse": False, "min_score": 0.5}
    settings = load_settings(state_dir=tmp_path, serving_token="h" * 16, **asked)
    for name, value in serving_environment(settings).items():
        monkeypatch.setenv(name, value)
    there = load_settings()
    for name in (*ANSWERING, "serving_token", "max_changes"):
        assert getattr(there, name) == getattr(settings, name), name
    assert "h" * 16 not in str(mlflow_environment(settings))


def test_lineage_is_sent_to_nobody_unless_told(settings: Settings) -> None:
    environment = airflow_environment(settings)
    assert environment["AIRFLOW__OPENLINEAGE__DISABLED"] == "True"
    assert "AIRFLOW__OPENLINEAGE__TRANSPORT" not in environment


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        (
            "https://marquez:5000",
            {"type": "http", "url": "https://marquez:5000", "endpoint": "api/v1/lineage"},
        ),
        (
            "http://gate.example/marquez/",
            {"type": "http", "url": "http://gate.example", "endpoint": "marquez/api/v1/lineage"},
        ),
        (
            "file:///var/log/night%20one.jsonl",
            {"type": "file", "log_file_path": "/var/log/night one.jsonl", "append": True},
        ),
    ],
)
def test_lineage_goes_where_the_setting_says(
    tmp_path: Path, url: str, transport: dict[str, object]
) -> None:
    settings = load_settings(state_dir=tmp_path, openlineage_url=url)
    environment = airflow_environment(settings)
    assert environment["AIRFLOW__OPENLINEAGE__DISABLED"] == "False"
    assert environment["AIRFLOW__OPENLINEAGE__NAMESPACE"] == "recsys"
    sent = json.loads(environment["AIRFLOW__OPENLINEAGE__TRANSPORT"])
    assert {key: sent[key] for key in transport} == transport


def test_lineage_in_a_file_is_a_line_for_each_event(tmp_path: Path) -> None:
    file = tmp_path / "night events.jsonl"
    settings = load_settings(state_dir=tmp_path, openlineage_url=file.as_uri())
    transport = json.loads(airflow_environment(settings)["AIRFLOW__OPENLINEAGE__TRANSPORT"])
    client = OpenLineageClient(config={"transport": transport})
    event = DatasetEvent(
        eventTime="2026-01-01T02:30:00Z",
        dataset=StaticDataset("recsys", "catalog"),
        producer="https://shop.example",
    )
    client.emit(event)
    client.emit(event)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["dataset"]["name"] for line in lines] == ["catalog", "catalog"]


def test_the_callers_own_airflow_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__HOST", "0.0.0.0")  # noqa: S104
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    monkeypatch.setenv("OPENLINEAGE_URL", "http://elsewhere")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = inherited_environment()
    assert "LANG" in environment
    assert not [name for name in environment if name.startswith(("AIRFLOW", "MLFLOW", "OPEN"))]
