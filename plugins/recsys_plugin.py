"""What the platform adds to Airflow's web UI."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from recsys import names
from recsys.settings import load_settings


class RecsysPlugin(AirflowPlugin):
    """A link to MLflow in the navigation.

    Data Docs are not served here: their pages show delivered text, which must not run in
    the origin that holds Airflow's log-in.
    """

    name = "recsys"

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Read where MLflow listens when Airflow loads the plugin, not at import."""
        cls.external_views = [
            {
                "name": "MLflow",
                "href": f"http://127.0.0.1:{load_settings().mlflow_port}/#/models/{names.REGISTERED_MODEL}",
                "destination": "nav",
                "category": "browse",
            }
        ]
