"""What each service finds in its environment, and the secrets that Airflow needs.

Secrets are drawn once, into files that only their owner may read, under the state folder.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pydantic import SecretStr

from recsys.names import LINEAGE_NAMESPACE
from recsys.settings import LINEAGE_ENDPOINT, PROJECT_ROOT, Settings

AIRFLOW_USER = "admin"
# Every process of a service carries its name under this variable, whoever its parent is.
SERVICE_MARK = "RECSYS_LOCAL_SERVICE"

# Ours alone decide what a service does and where it listens; these from the caller's shell
# could send it elsewhere (AIRFLOW__API__HOST, MLFLOW_TRACKING_URI, GUNICORN_CMD_ARGS …).
_NOT_PASSED_ON = (
    *("AIRFLOW", "MLFLOW_", "OPENLINEAGE", "RECSYS_", "GUNICORN_"),
    *("PYTHONPATH", "PYTHONHOME"),
)


_SERVING = {
    f"RECSYS_{name}"
    for name in (
        "STATE_DIR",
        "SERVING_WORKERS",
        "SELDON_PORT",
        "MAX_IMAGE_BYTES",
        "MAX_IMAGE_PIXELS",
        "DEFAULT_K",
        "MAX_K",
        "MAX_QUERIES",
        "MAX_WAITING",
        "MAX_LISTED_PRODUCTS",
        "MAX_BOOST",
        "MAX_CHANGES",
        "CANDIDATES_PER_RESULT",
        "COLLAPSE",
        "MIN_SCORE",
        "DIVERSITY",
        "BOOST",
        "SERVING_TOKEN",
        "SERVING_TOKEN_FILE",
        "SAMPLE_EVERY",
        "SAMPLE_REQUESTS",
        "SAMPLE_BYTES",
    )
}


def inherited_environment() -> dict[str, str]:
    """The caller's environment without what would change a service's meaning."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)
    }


def settings_environment(settings: Settings) -> dict[str, str]:
    """Every setting as its ``RECSYS_…`` variable, so that services see what we see."""
    values = settings.model_dump(exclude_none=True)
    return {f"RECSYS_{name.upper()}": _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    """A setting's value as the environment has it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, dict) else str(value)


def serving_environment(settings: Settings) -> dict[str, str]:
    """Only what serving reads: another night's settings must not restart the live service."""
    return {
        name: value for name, value in settings_environment(settings).items() if name in _SERVING
    }


def airflow_environment(settings: Settings) -> dict[str, str]:
    """The variables that make Airflow ours; creates its secrets when they are missing."""
    home = settings.airflow_dir
    url = f"http://127.0.0.1:{settings.airflow_port}"
    airflow_login(settings)
    sections: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": PROJECT_ROOT / "dags",
            "plugins_folder": PROJECT_ROOT / "plugins",
            "load_examples": False,
            "executor": "LocalExecutor",
            "parallelism": settings.airflow_parallelism,
            "default_timezone": settings.timezone,
            "execution_api_server_url": f"{url}/execution/",
            "fernet_key": _secret(settings, "fernet_key", _fernet_key),
            "simple_auth_manager_users": f"{AIRFLOW_USER}:admin",
            "simple_auth_manager_passwords_file": _password_file(settings),
            # getfqdn asks the name server, which a laptop on a train has not.
            "hostname_callable": "socket.gethostname",
            "min_serialized_dag_update_interval": 5,
        },
        "database": {
            "sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}",
        },
        "logging": {"base_log_folder": home / "logs", "colored_console_log": False},
        "api": {
            "base_url": url,
            "host": "127.0.0.1",
            "port": settings.airflow_port,
            "workers": 1,
            "secret_key": _secret(settings, "api_secret_key", _random_text),
        },
        "api_auth": {"jwt_secret": _secret(settings, "jwt_secret", _random_text)},
        "scheduler": {
            "catchup_by_default": False,
            "enable_health_check": False,
            # After a crash the interrupted task is found and tried again within two minutes.
            "orphaned_tasks_check_interval": 60,
            "task_instance_heartbeat_timeout": 120,
        },
        "dag_processor": {
            "refresh_interval": 60,
            "min_file_process_interval": 60,
            "parsing_processes": 1,
            "disable_bundle_versioning": True,
        },
        "metrics": {"statsd_on": False, "otel_on": False},
        "traces": {"otel_on": False},
        "openlineage": _openlineage(settings.openlineage_url),
    }
    return {
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(PROJECT_ROOT / "plugins"),
        # setproctitle would write over the environment that tells whose process it is.
        "SPT_NOENV": "1",
        **{
            f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
            for section, values in sections.items()
            for name, value in values.items()
        },
        **settings_environment(settings),
    }


def _openlineage(url: str) -> dict[str, object]:
    """Airflow's section ``openlineage``: where task events go, or that they go nowhere."""
    if not url:
        return {"disabled": True}
    return {
        "disabled": False,
        "namespace": LINEAGE_NAMESPACE,
        "transport": json.dumps(_transport(url)),
        # The provider would fork the task's process, in which TensorFlow's or gRPC's threads
        # may hold locks: such a child hangs until it is killed.
        "execute_in_thread": True,
    }


def _transport(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return {"type": "file", "log_file_path": url2pathname(parts.path), "append": True}
    return {
        "type": "http",
        "url": f"{parts.scheme}://{parts.netloc}",
        "endpoint": f"{parts.path.strip('/')}/{LINEAGE_ENDPOINT}".lstrip("/"),
        # A server that is down must cost a task little; two tries, not six.
        "timeout": 3,
        "retry": {"total": 1, "connect": 1, "read": 1},
    }


def mlflow_environment(settings: Settings) -> dict[str, str]:
    """Two processes instead of ten, and nothing is reported to anybody.

    Of the settings only the place by which its processes are known: it needs no other, and
    least of all the token.
    """
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "SPT_NOENV": "1",
        "RECSYS_STATE_DIR": str(settings.state_dir),
    }


def airflow_login(settings: Settings) -> tuple[str, str]:
    """User name and password of Airflow's web UI; the password is drawn once."""
    path = _password_file(settings)
    if not path.is_file():
        # Airflow itself reads this form: one object, user name to password.
        _write_secret(path, json.dumps({AIRFLOW_USER: secrets.token_urlsafe(12)}))
    password: str = json.loads(path.read_text())[AIRFLOW_USER]
    return AIRFLOW_USER, password


def _password_file(settings: Settings) -> Path:
    return settings.airflow_dir / "secrets" / "passwords.json"


def _secret(settings: Settings, name: str, draw: Callable[[], str]) -> str:
    path = settings.airflow_dir / "secrets" / name
    if not path.is_file():
        _write_secret(path, draw())
    return path.read_text()


def _write_secret(path: Path, text: str) -> None:
    """Write a file that is private from its first byte; the first of two writers wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _random_text() -> str:
    return secrets.token_urlsafe(48)
