"""What services are told, and who may read their secrets."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from recsys.services.environment import (
    airflow_environment,
    airflow_login,
    inherited_environment,
    settings_environment,
)
from recsys.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state", airflow_port=18_081, timezone="Asia/Tokyo")


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
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_the_callers_own_airflow_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__HOST", "0.0.0.0")  # noqa: S104
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = inherited_environment()
    assert "LANG" in environment
    assert not [name for name in environment if name.startswith(("AIRFLOW", "MLFLOW"))]
