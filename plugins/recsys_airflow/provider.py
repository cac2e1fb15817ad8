"""The connection type Pachyderm, for Airflow's connection form and its look-ups.

Airflow finds it by the entry point in the folder ``….dist-info`` beside this package, so
exactly where the package can be imported: a provider whose entry point cannot be loaded
stops every Airflow command.
"""

from __future__ import annotations

from typing import Any


def provider_info() -> dict[str, Any]:
    """What Airflow calls a provider's information; loads no hook."""
    return {
        "package-name": "recsys-airflow",
        "name": "recsys",
        "description": "Data provenance of the recommendation platform.",
        "connection-types": [
            {
                "connection-type": "pachyderm",
                "hook-class-name": "recsys_airflow.hooks.PachydermHook",
                "hook-name": "Pachyderm",
                "ui-field-behaviour": {
                    "hidden-fields": ["login"],
                    "relabeling": {"schema": "grpc, or grpcs with TLS", "password": "Token"},
                    "placeholders": {"host": "pachd.example", "port": "443", "schema": "grpcs"},
                },
                "conn-fields": {
                    "root_certs": {
                        "label": "Certificates to trust",
                        "description": "A PEM file on every worker. Empty: the setting's.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "project": {
                        "label": "Project",
                        "description": "Where our repos are. Empty: the setting's.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
