"""Start again what died or hangs: ``python -m recsys.services.keeper``, run by `recsys up`.

It is nobody's parent: services are known by their process files, before and after it. So it
may be killed at any moment, and `recsys status`, `down` and the next `up` know all that runs.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from threading import Thread

import psutil

from recsys.errors import RecsysError
from recsys.services.control import process_file, restarts_file, start_again
from recsys.services.definitions import KEEPER, Service, keeper_beat, known_services
from recsys.services.processes import ProcessFile
from recsys.services.restarts import RestartPolicy, Restarts
from recsys.settings import Settings, load_settings

_LOG = logging.getLogger("keeper")
_BEAT_SECONDS = 1.0


class Keeping:
    """Watches one service: looks, and starts it again when it must, but not for ever.

    Parameters
    ----------
    probe_every_seconds
        How often it is asked whether it is alive; that its process runs is seen at every look.
    """

    def __init__(
        self,
        settings: Settings,
        service: Service,
        policy: RestartPolicy = RestartPolicy(),  # noqa: B008 - frozen
        probe_every_seconds: float = 5.0,
    ) -> None:
        self._settings = settings
        self._service = service
        self._policy = policy
        self._probe_every_seconds = probe_every_seconds
        self._pid = 0
        self._started = False
        self._well = 0.0
        self._probed = 0.0

    def look(self) -> None:
        """See how it is, and act on it."""
        record = ProcessFile.read(process_file(self._settings, self._service))
        if record is None:
            return  # nobody wants it to run
        history = Restarts.read(restarts_file(self._settings, self._service))
        if history.gave_up:
            return
        ailment = self._ailment(record)
        if ailment and history.due(time.time(), self._policy):
            self._treat(record, history, ailment)

    def _ailment(self, record: ProcessFile) -> str:
        """What is wrong with it; empty when nothing is, or nothing is known yet."""
        process = record.process()
        if process is None:
            return "it ended"
        if process.pid != self._pid:
            self._pid, self._started, self._well = process.pid, False, time.monotonic()
            self._probed = 0.0
        if time.monotonic() - self._probed < self._probe_every_seconds:
            return ""
        self._probed = time.monotonic()
        if self._is_well(process, record.created):
            self._well = time.monotonic()
            return ""
        unwell = time.monotonic() - self._well
        if unwell <= self._service.patience_seconds:
            return ""
        age = time.time() - record.created
        if not self._started and age <= self._settings.start_timeout_seconds:
            return ""
        return f"it hangs: no answer for {unwell:.0f} s"

    def _is_well(self, process: psutil.Process, created: float) -> bool:
        if not self._started:
            self._started = self._service.is_started(created)
            return self._started
        try:
            stopped = process.status() == psutil.STATUS_STOPPED
        except psutil.Error:
            return True  # it just ended, which the next look sees
        return not stopped and self._service.is_alive(created)

    def _treat(self, record: ProcessFile, history: Restarts, ailment: str) -> None:
        """Start it again, or give up and say so."""
        policy, name = self._policy, self._service.name
        if history.lately(time.time(), policy) >= policy.tries:
            reason = (
                f"{ailment}, after {policy.tries} restarts in {policy.within_seconds:g} s;"
                f" see {self._service.log}, then `recsys up`"
            )
            _LOG.error("%s: gave up: %s", name, reason)
            history.given_up(reason).write(restarts_file(self._settings, self._service))
            return
        try:
            if not start_again(self._settings, self._service, record):
                return  # `recsys up` or `down` is at it
        except (RecsysError, OSError) as error:
            ailment = f"{ailment}; it could not be started again: {error}"
        _LOG.warning("%s: started again: %s", name, ailment)
        history = history.with_one(time.time(), ailment, policy)
        history.write(restarts_file(self._settings, self._service))


def keep(settings: Settings, services: Sequence[Service]) -> None:
    """Watch these services, each in a thread of its own, until the process is ended."""
    for service in services:
        watch = Keeping(settings, service)
        Thread(target=_watch, args=(watch,), name=service.name, daemon=True).start()
    beat = keeper_beat(settings)
    beat.parent.mkdir(parents=True, exist_ok=True)
    while True:
        beat.touch()
        time.sleep(_BEAT_SECONDS)


def _watch(watch: Keeping) -> None:
    while True:
        time.sleep(_BEAT_SECONDS)
        try:
            watch.look()
        except Exception:  # noqa: BLE001 - a full disk, say, must not end the keeping
            _LOG.exception("while looking")


def main() -> None:
    """Keep the local services until SIGTERM."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(name)s %(levelname)s: %(message)s",
    )
    # httpx tells of every probe.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = load_settings()
    keep(settings, [item for item in known_services(settings) if item.name != KEEPER])


if __name__ == "__main__":
    main()
