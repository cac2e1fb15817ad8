"""The Seldon microservice on this machine: move the pointer, wait until every worker agrees."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from recsys.artifacts.live import WorkerStatus, clear_live, living_workers, read_live, write_live
from recsys.changes import Spool
from recsys.deploy.port import Deployment, ProbeRow
from recsys.deploy.probing import probe_row, question, token_headers, verified
from recsys.deploy.waiting import Obstacle, wait
from recsys.errors import DeployFailed, ServiceUnavailable
from recsys.settings import Settings

_LOG = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.1
_REQUEST_SECONDS: Final = 10.0


def local_seldon(settings: Settings) -> LocalSeldon:
    """The microservice that these settings describe."""
    return LocalSeldon(
        releases_dir=settings.releases_dir,
        serving_dir=settings.serving_dir,
        spool=Spool(settings.changes_dir),
        predictions_url=settings.predictions_url,
        timeout_seconds=settings.deploy_timeout_seconds,
        headers=token_headers(settings),
    )


class LocalSeldon:
    """A `DeploymentTarget`: the workers of ``seldon/serve.py``, which follow the live pointer.

    Parameters
    ----------
    releases_dir
        Where releases and the pointer are.
    serving_dir
        Where the workers write their status.
    spool
        The changes that the workers lay over a release.
    predictions_url
        Where the service answers.
    timeout_seconds
        How long every worker together may take to change over.
    headers
        Sent with every request.
    """

    def __init__(
        self,
        releases_dir: Path,
        serving_dir: Path,
        spool: Spool,
        predictions_url: str,
        timeout_seconds: float,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._releases_dir = releases_dir
        self._serving_dir = serving_dir
        self._spool = spool
        self._url = predictions_url
        self._timeout_seconds = timeout_seconds
        self._headers = dict(headers or {})

    def deploy(self, release_id: str) -> Deployment:
        """See `DeploymentTarget`. The pointer moves only for a release that verifies."""
        started = time.monotonic()
        first_product = verified(self._releases_dir, release_id, self._spool)
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

    def withdraw(self) -> None:
        """See `DeploymentTarget`."""
        clear_live(self._releases_dir)

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

    def take_up_changes(self, number: int) -> int:
        """Wait until every worker answers with the changes up to this number; how many do.

        0 when no worker has a release: whoever starts takes them up.

        Raises
        ------
        DeployFailed
            A worker did not take them up in time; the changes stay, and it goes on trying.
        """
        reason = self._wait(lambda: self._behind(number))
        if reason is not None:
            raise DeployFailed(
                f"change {number} is noted, but not in effect everywhere: {reason}; see the log"
                " of the service"
            )
        return sum(worker.release is not None for worker in self._workers())

    def _behind(self, number: int) -> Obstacle | None:
        """A worker that answers without these changes; one without a release answers nothing."""
        for worker in self._workers():
            if worker.release is not None and worker.changes < number:
                return Obstacle(f"worker {worker.pid} is at {worker.changes} {worker.error}")
        return None

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
        return httpx.Client(timeout=_REQUEST_SECONDS, trust_env=False, headers=self._headers)

    def _workers(self) -> list[WorkerStatus]:
        return living_workers(self._serving_dir)

    def _agreed(self, release_id: str | None, workers: Sequence[WorkerStatus]) -> bool:
        return bool(workers) and all(
            worker.wanted == worker.release == release_id for worker in workers
        )

    def _wait(self, obstacle: Callable[[], Obstacle | None]) -> str | None:
        return wait(obstacle, self._timeout_seconds, _POLL_SECONDS)

    def _obstacle(self, release_id: str, first_product: str) -> Obstacle | None:
        workers = self._workers()
        if not workers:
            return Obstacle("no worker runs any more; see the service's log")
        for worker in workers:
            if worker.wanted == release_id and worker.error:
                return Obstacle(f"worker {worker.pid}: {worker.error}", final=True)
        if not self._agreed(release_id, workers):
            behind = [worker.pid for worker in workers if worker.release != release_id]
            return Obstacle(f"workers {behind} have not taken it up")
        return self._answers_otherwise(release_id, first_product)

    def _answers_otherwise(self, release_id: str, first_product: str) -> Obstacle | None:
        """The workers' word is good; an answer over HTTP is better."""
        try:
            with self._client() as client:
                row = _row(first_product, release_id, self._ask(client, first_product))
        except httpx.HTTPError as error:
            return Obstacle(f"the service at {self._url} does not answer ({error!r})")
        if row["status_code"] != httpx.codes.OK:
            return Obstacle(f"the service answered {row['status_code']}")
        if not row["release_matches"]:
            return Obstacle("the service answered with another release")
        return None

    def _ask(self, client: httpx.Client, product_id: str) -> httpx.Response:
        return client.post(self._url, json=question(product_id))

    def _put_back(self, previous: str | None) -> None:
        if previous is None:
            clear_live(self._releases_dir)
        else:
            write_live(self._releases_dir, previous)
        reason = self._wait(
            lambda: (
                None
                if self._agreed(previous, self._workers())
                else Obstacle(f"the workers do not agree on {previous} yet")
            )
        )
        if reason is not None:
            _LOG.error("after a failed deployment: %s", reason)


def _row(product_id: str, release: str, response: httpx.Response) -> ProbeRow:
    return probe_row(product_id, release, response.status_code, _parsed(response))


def _parsed(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None
