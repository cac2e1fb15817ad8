"""Pachyderm's address and token from an Airflow connection, as settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from recsys import names
from recsys.errors import RecsysError, RepoNotFound, SettingsInvalid
from recsys.settings import load_settings

_SCHEMES = ("grpc", "grpcs")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
# What may stand in the connection's extra, and the setting that it sets.
_EXTRA = {"root_certs": "pachd_root_certs", "project": "pachd_project"}


class PachydermHook(BaseHook):
    """Read a connection of the type ``pachyderm``.

    Host, port and schema (``grpc``, or ``grpcs`` with TLS) make the address, the password is
    the token; extra may hold ``root_certs``, a PEM file's path, and ``project``. As a URI:
    ``pachyderm://:TOKEN@pachd.example:443/grpcs?project=shop``.
    """

    conn_name_attr: ClassVar[str] = "pachyderm_conn_id"
    default_conn_name: ClassVar[str] = "pachyderm_default"
    conn_type: ClassVar[str] = "pachyderm"
    hook_name: ClassVar[str] = "Pachyderm"

    def __init__(self, pachyderm_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.pachyderm_conn_id = pachyderm_conn_id

    def settings_overrides(self) -> dict[str, Any]:
        """The settings that the connection stands for.

        Raises
        ------
        SettingsInvalid
            There is no such connection, or it is not one to Pachyderm.
        """
        connection = self._connection()
        return {
            "pachd_address": self._address(connection),
            "pachd_token": connection.password or "",
            **self._extra(connection),
        }

    def test_connection(self) -> tuple[bool, str]:
        """Ask the server for the catalog's newest commit; whether it answered, and what."""
        from recsys.provenance import open_store

        try:
            settings = load_settings(provenance="pachyderm", **self.settings_overrides())
            head = open_store(settings).head(names.CATALOG)
        except RepoNotFound:
            head = None
        except RecsysError as error:
            return False, str(error)
        return True, f"the server answers; newest catalog: {head.ref if head else 'none yet'}"

    def _connection(self) -> Connection:
        try:
            connection = self.get_connection(self.pachyderm_conn_id)
        except AirflowNotFoundException as error:
            raise SettingsInvalid(
                f"there is no Airflow connection {self.pachyderm_conn_id!r}"
                " (RECSYS_PACHD_CONNECTION names it): add one of the type Pachyderm under"
                " Admin, Connections, or unset RECSYS_PACHD_CONNECTION and set"
                " RECSYS_PACHD_ADDRESS"
            ) from error
        if connection.conn_type != self.conn_type:
            raise self._wrong("type", connection.conn_type, "'pachyderm'")
        if connection.login:
            # Not shown: it may well be the token.
            raise self._wrong("login", "one", "none; the token is the password")
        return connection

    def _address(self, connection: Connection) -> str:
        if connection.schema not in _SCHEMES:
            raise self._wrong("schema", connection.schema, "'grpc', or 'grpcs' with TLS")
        if not _HOST.fullmatch(connection.host or ""):
            raise self._wrong("host", connection.host, "a host's name or address alone")
        if not 1 <= (connection.port or 0) <= 65_535:
            raise self._wrong("port", connection.port, "1 to 65535")
        return f"{connection.schema}://{connection.host}:{connection.port}"

    def _extra(self, connection: Connection) -> dict[str, str]:
        allowed = f"a JSON object of texts with any of {', '.join(_EXTRA)}"
        try:
            extra = json.loads(connection.extra or "{}")
        except ValueError as error:
            raise self._wrong("extra", "text that is not JSON", allowed) from error
        if not isinstance(extra, dict):
            raise self._wrong("extra", type(extra).__name__, allowed)
        given = {name: value for name, value in extra.items() if value not in (None, "")}
        for name, value in given.items():
            if name not in _EXTRA or not isinstance(value, str):
                raise self._wrong("extra", name, allowed)
        if "root_certs" in given and not Path(given["root_certs"]).is_file():
            raise self._wrong("root_certs", given["root_certs"], "a file on every worker")
        return {_EXTRA[name]: value for name, value in given.items()}

    def _wrong(self, what: str, found: object, allowed: str) -> SettingsInvalid:
        return SettingsInvalid(
            f"Airflow connection {self.pachyderm_conn_id!r}, {what}: found {found!r}, allowed is"
            f" {allowed}. Change it where it is kept (in the web UI: Admin, Connections)"
        )
