"""The Seldon microservice on this machine: move the pointer, wait until every worker agrees."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from recsys import names
from recsys.artifacts.live import WorkerStatus, clear_live, living_workers, read_live, write_live
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import verify_release
from recsys.deploy.port import Deployment, ProbeRow
from recsys.errors import ArtifactInvalid, DeployFailed, ReleaseUnknown, ServiceUnavailable
from recsys.settings import Settings

_LOG = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.1
_REQUEST_SECONDS: Final = 10.0


def local_seldon(settings: Settings) -> LocalSeldon:
    """The microservice that these settings describe."""
    return LocalSeldon(
        releases_dir=settings.releases_dir,
        serving_dir=settings.serving_dir,
        predictions_url=settings.predictions_url,
        timeout_seconds=settings.deploy_timeout_seconds,
    )


class LocalSeldon:
    """A `DeploymentTarget`: the workers of ``seldon/serve.py``, which follow the live pointer.

    Parameters
    ----------
    releases_dir
        Where releases and the pointer are.
    serving_dir
        Where the workers write their status.
    predictions_url
        Where the service answers.
    timeout_seconds
        How long every worker together may take to change over.
    """

    def __init__(
        self, releases_dir: Path, serving_dir: Path, predictions_url: str, timeout_seconds: float
    ) -> None:
        self._releases_dir = releases_dir
        self._serving_dir = serving_dir
        self._url = predictions_url
        self._timeout_seconds = timeout_seconds

    def deploy(self, release_id: str) -> Deployment:
        """See `DeploymentTarget`. The pointer moves only for a release that verifies."""
        started = time.monotonic()
        first_product = self._verified(release_id)
        if not self._someone_serves():
            raise ServiceUnavailable(
                f"no Seldon worker runs (none reports in {self._serving_dir});"
                " start the service with `make up`"
            )
        previous = read_live(self._releases_dir)
        changed = previous != release_id
        # Written anew even when it is the same, which makes a worker that failed try again.
        if changed or not self._agreed(release_id, self._workers()):
            write_live(self._releases_dir, release_id)
        reason = self._wait(lambda: self._obstacle(release_id, first_product))
        if reason is not None:
            self._put_back(previous)
            raise DeployFailed(
                f"release {release_id} did not go live: {reason};"
                f" {previous or 'no release'} is live, as before"
            )
        seconds = time.monotonic() - started
        return Deployment(release_id, previous, seconds, len(self._workers()), changed)

    def roll_back(self, to: str) -> Deployment:
        """See `DeploymentTarget`."""
        return self.deploy(to)

    def probe(self, product_ids: Sequence[str], release: str) -> list[ProbeRow]:
        """See `DeploymentTarget`.

        Raises
        ------
        ServiceUnavailable
            The service does not answer at all.
        """
        rows = []
        with self._client() as client:
            for product_id in product_ids:
                try:
                    response = self._ask(client, product_id)
                except httpx.HTTPError as error:
                    raise ServiceUnavailable(
                        f"the service at {self._url} does not answer ({error!r});"
                        " see its log, or start it with `make up`"
                    ) from error
                rows.append(_row(product_id, release, response))
        return rows

    def _verified(self, release_id: str) -> str:
        """Check the release's files; the id of its first product."""
        folder = self._releases_dir / release_id
        if not names.is_release_id(release_id) or not folder.is_dir():
            raise ReleaseUnknown(
                f"no release {release_id[:80]!r} in {self._releases_dir}; see `recsys releases`"
            )
        try:
            verify_release(folder)
        except ArtifactInvalid as error:
            raise DeployFailed(f"{error}; the live release was not touched") from error
        return bytes(ProductTable.load(folder).ids[0]).decode()

    def _someone_serves(self) -> bool:
        """Whether a worker runs, or is about to: the service listens before its workers do."""
        if not self._workers():
            try:
                with self._client() as client:
                    client.get(httpx.URL(self._url).join("/health/ping"))
            except httpx.HTTPError:
                return False
        return bool(self._workers())

    def _client(self) -> httpx.Client:
        # The service is on this machine: a proxy of the environment is not for it.
        return httpx.Client(timeout=_REQUEST_SECONDS, trust_env=False)

    def _workers(self) -> list[WorkerStatus]:
        return living_workers(self._serving_dir)

    def _agreed(self, release_id: str | None, workers: Sequence[WorkerStatus]) -> bool:
        return bool(workers) and all(
            worker.wanted == worker.release == release_id for worker in workers
        )

    def _wait(self, obstacle: Callable[[], _Obstacle | None]) -> str | None:
        """None once nothing stands in the way any more; else the reason why not."""
        until = time.monotonic() + self._timeout_seconds
        while (found := obstacle()) is not None:
            if found.final:
                return found.reason
            if time.monotonic() > until:
                return f"not within {self._timeout_seconds:g} seconds: {found.reason}"
            time.sleep(_POLL_SECONDS)
        return None

    def _obstacle(self, release_id: str, first_product: str) -> _Obstacle | None:
        workers = self._workers()
        if not workers:
            return _Obstacle("no worker runs any more; see the service's log")
        for worker in workers:
            if worker.wanted == release_id and worker.error:
                return _Obstacle(f"worker {worker.pid}: {worker.error}", final=True)
        if not self._agreed(release_id, workers):
            behind = [worker.pid for worker in workers if worker.release != release_id]
            return _Obstacle(f"workers {behind} have not taken it up")
        return self._answers_otherwise(release_id, first_product)

    def _answers_otherwise(self, release_id: str, first_product: str) -> _Obstacle | None:
        """The workers' word is good; an answer over HTTP is better."""
        try:
            with self._client() as client:
                row = _row(first_product, release_id, self._ask(client, first_product))
        except httpx.HTTPError as error:
            return _Obstacle(f"the service at {self._url} does not answer ({error!r})")
        if row["status_code"] != httpx.codes.OK:
            return _Obstacle(f"the service answered {row['status_code']}")
        if not row["release_matches"]:
            return _Obstacle("the service answered with another release")
        return None

    def _ask(self, client: httpx.Client, product_id: str) -> httpx.Response:
        puid = names.PROBE_PUID + secrets.token_hex(8)
        message = {"jsonData": {"product_id": product_id}, "meta": {"puid": puid}}
        return client.post(self._url, json=message)

    def _put_back(self, previous: str | None) -> None:
        if previous is None:
            clear_live(self._releases_dir)
        else:
            write_live(self._releases_dir, previous)
        reason = self._wait(
            lambda: (
                None
                if self._agreed(previous, self._workers())
                else _Obstacle(f"the workers do not agree on {previous} yet")
            )
        )
        if reason is not None:
            _LOG.error("after a failed deployment: %s", reason)


class _Obstacle:
    """Why a release is not live yet; ``final`` when waiting will not help."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        self.reason = reason
        self.final = final


def _row(product_id: str, release: str, response: httpx.Response) -> ProbeRow:
    body = _object(response)
    data = body.get("jsonData", {})
    results = data.get("results", [])
    tags = body.get("meta", {}).get("tags", {})
    return {
        "product_id": product_id,
        "status_code": response.status_code,
        "release_matches": data.get("release") == tags.get("release") == release,
        "results": len(results),
        "top_score": max((result["score"] for result in results), default=None),
        "self_returned": any(result["product_id"] == product_id for result in results),
    }


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
