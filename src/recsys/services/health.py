"""Whether a service does its work, asked over HTTP as a user of it would ask."""

from __future__ import annotations

import secrets
import time

import httpx

from recsys import names
from recsys.artifacts.live import read_live
from recsys.changes import Spool
from recsys.errors import ArtifactInvalid, SettingsInvalid
from recsys.settings import Settings

HOST = "127.0.0.1"
PROBE_SECONDS = 5.0
# Each query is a line in the request log, so the keeper asks more rarely than it looks.
_QUERY_EVERY_SECONDS = 30.0


def answers(url: str) -> bool:
    """Whether a GET of this address gives 200 in time."""
    try:
        return _client_get(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


class SeldonHealth:
    """The microservice at ``url``: that it answers, that it is ready, that it is not stuck."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._settings = settings
        self._releases_dir = settings.releases_dir
        self._spool = Spool(settings.changes_dir)
        self._url = url
        self._product: tuple[str, str] = ("", "")
        self._asked = 0.0

    def answers(self, _started: float) -> bool:
        """Whether a worker answers at all; before the first night that is all there is."""
        return answers(f"{self._url}/health/ping")

    def ready(self, _started: float) -> bool:
        """Whether it answers and, once a release is live, says so and answers a query."""
        try:
            live = read_live(self._releases_dir)
            if live is None:
                return self.answers(_started)
            return self._status() == httpx.codes.OK and self._answers_query(live)
        except (httpx.HTTPError, ArtifactInvalid):
            return False

    def alive(self, _started: float) -> bool:
        """Whether it answers, be it 503, and a query now and then where it says it is ready.

        A release that cannot be opened and a crowd of shoppers give a 503, and a restart
        would mend neither.
        """
        try:
            ready = self._status() == httpx.codes.OK
            if not ready or time.monotonic() - self._asked < _QUERY_EVERY_SECONDS:
                return True
            live = read_live(self._releases_dir)
            if live is not None and not self._answers_query(live):
                return False
        except httpx.HTTPError:
            return False
        except ArtifactInvalid:
            return True  # a damaged pointer: nothing that the process could help
        self._asked = time.monotonic()
        return True

    def _status(self) -> int:
        return _client_get(f"{self._url}/health/status").status_code

    def _answers_query(self, live: str) -> bool:
        """Whether a query gets an answer; a product that went meanwhile is one too, and 503."""
        product_id = self._some_product(live)
        if not product_id:
            return True
        body = {
            "jsonData": {"product_id": product_id, "k": 1},
            "meta": {"puid": names.PROBE_PUID + secrets.token_hex(8)},
        }
        response = httpx.post(
            f"{self._url}/api/v1.0/predictions",
            json=body,
            headers=self._token(),
            timeout=PROBE_SECONDS,
            trust_env=False,
        )
        return response.status_code < httpx.codes.INTERNAL_SERVER_ERROR or (
            response.status_code == httpx.codes.SERVICE_UNAVAILABLE
        )

    def _token(self) -> dict[str, str]:
        """What the query says where the service asks for a token; being refused is an answer."""
        try:
            token = self._settings.read_serving_token()
        except SettingsInvalid:
            token = ""
        return {names.TOKEN_HEADER: token} if token else {}

    def _some_product(self, live: str) -> str:
        """A product of the live release; empty when its folder cannot be read."""
        if self._product[0] != live:
            try:
                shown = self._spool.products_shown(self._releases_dir / live)
                self._product = live, shown[0] if shown else ""
            except (OSError, ArtifactInvalid):
                return ""
        return self._product[1]


def _client_get(url: str) -> httpx.Response:
    # The services are on this machine: a proxy of the environment is not for them.
    return httpx.get(url, timeout=PROBE_SECONDS, trust_env=False)
