"""docker-compose.airflow.yml: pinned, on loopback, healthy, and without a secret in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys.settings import load_settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.airflow.yml"
SECRETS = (
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "AIRFLOW_ADMIN_PASSWORD",
    "AIRFLOW_SECRET_KEY",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_FERNET_KEY",
)


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
    return found


def test_every_part_of_the_platform_is_there(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {
        *("postgres", "redis", "mlflow", "seldon"),
        *("airflow-init", "airflow-api-server", "airflow-scheduler"),
        *("airflow-dag-processor", "airflow-worker"),
    }
    environment = services["airflow-worker"]["environment"]
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert environment["AIRFLOW__CELERY__BROKER_URL"].startswith("redis://")
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("postgresql+psycopg2://")


def test_every_image_is_pinned(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert re.search(r":\d+\.\d+(\.\d+)?(-[a-z]+)?$", service["image"]), name
    for dockerfile in ("docker/airflow.Dockerfile", "seldon/Dockerfile"):
        for base in re.findall(r"^FROM (\S+)", (ROOT / dockerfile).read_text(), re.MULTILINE):
            assert re.search(r":\d+\.\d+\.\d+", base), dockerfile


def test_ports_are_published_on_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert all(str(port).startswith("127.0.0.1:") for port in published)


def test_every_service_that_stays_has_a_health_check(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name != "airflow-init":
            assert service["healthcheck"]["test"], name


def test_secrets_are_required_and_none_is_written_down(
    services: dict[str, dict[str, Any]],
) -> None:
    text = FILE.read_text()
    example = dict(assignments(ROOT / ".env.example"))
    for secret in SECRETS:
        assert f"${{{secret}:?" in text
        assert example[secret] == ""
    for service in services.values():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD$|SECRET|_KEY$|_TOKEN$", variable):
                assert str(value).startswith("${"), variable


def test_what_is_not_set_is_as_without_containers(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = services["airflow-worker"]["environment"]
    for variable, value in environment.items():
        if variable.startswith("RECSYS_"):
            monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*)\}", r"\1", str(value)))
    found = load_settings().model_dump(exclude={"state_dir", "catalog"})
    for variable in list(environment):
        monkeypatch.delenv(variable, raising=False)
    assert found == load_settings().model_dump(exclude={"state_dir", "catalog"})
    assert environment["OPENLINEAGE_URL"] == environment["RECSYS_OPENLINEAGE_URL"]


def test_the_token_reaches_only_what_runs_stages(services: dict[str, dict[str, Any]]) -> None:
    holders = {
        name
        for name, service in services.items()
        if "RECSYS_PACHD_TOKEN" in service.get("environment", {})
    }
    assert holders == {name for name in services if name.startswith("airflow-")}


def test_every_setting_passed_on_stands_in_the_example(
    services: dict[str, dict[str, Any]],
) -> None:
    example = (ROOT / ".env.example").read_text()
    text = FILE.read_text()
    for variable in set(re.findall(r"\$\{(\w+):-", text)):
        assert re.search(rf"^#{variable}=", example, re.MULTILINE), variable


def test_images_copy_only_what_exists_and_is_in_the_context() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for dockerfile in ("docker/airflow.Dockerfile", "seldon/Dockerfile"):
        for line in re.findall(r"^COPY (.+)$", (ROOT / dockerfile).read_text(), re.MULTILINE):
            for source in line.split()[:-1]:
                assert (ROOT / source).exists(), f"{dockerfile}: {source}"
                assert source.split("/")[0] in allowed, f"{dockerfile}: {source}"


def test_docker_compose_accepts_it(tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        # .ci/run installs it; the other tests read the file itself.
        return
    done = compose(program, tmp_path, dict.fromkeys(SECRETS, "abc"))
    assert done.returncode == 0, done.stderr
    assert len(yaml.safe_load(done.stdout)["services"]) == 9


def test_docker_compose_refuses_a_missing_secret(tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        return
    done = compose(program, tmp_path, dict.fromkeys(SECRETS[1:], "abc"))
    assert done.returncode != 0
    assert "see .env.example" in done.stderr


def compose(
    program: str, folder: Path, secrets: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    (folder / "none.env").touch()
    path = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        # An empty file of variables, so that the .env of a developer does not answer.
        [program, "--env-file", str(folder / "none.env"), "-f", str(FILE), "config"],
        env={**path, **secrets},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assignments(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name, value
