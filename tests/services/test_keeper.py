"""What dies or hangs is started again, later each time, and at last no more."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from recsys.artifacts.live import living_workers, write_live
from recsys.services import health
from recsys.services.control import restarts_file, service_status, start_services, stop_services
from recsys.services.definitions import Service
from recsys.services.health import SeldonHealth
from recsys.services.keeper import Keeping
from recsys.services.restarts import RestartPolicy, Restarts
from recsys.settings import Settings, load_settings
from services.stand_ins import await_end, child_pid, gone
from serving_release import make_release
from serving_release import service as microservice

EAGER = RestartPolicy(tries=3, within_seconds=600, first_delay_seconds=0.2)


def kept(settings: Settings, service: Service) -> Keeping:
    return Keeping(settings, service, EAGER, probe_every_seconds=0)


def look_until(watch: Keeping, done: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        watch.look()
        time.sleep(0.02)


def kill(settings: Settings, service: Service) -> int:
    """End the service's first process the hard way; its number."""
    pid = service_status(settings, service).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await_end(pid)
    return pid


def another_runs(settings: Settings, service: Service, before: int) -> bool:
    return service_status(settings, service).pid not in (None, before)


def come_back(settings: Settings, service: Service, watch: Keeping) -> None:
    before = kill(settings, service)
    look_until(watch, lambda: another_runs(settings, service, before))


def test_a_killed_service_answers_again_and_its_orphans_are_gone(
    settings: Settings, service: Service, tmp_path: Path
) -> None:
    start_services(settings, [service])
    orphan = child_pid(tmp_path)
    before = kill(settings, service)
    watch = kept(settings, service)
    look_until(watch, lambda: service_status(settings, service).healthy)
    state = service_status(settings, service)
    assert state.pid != before
    assert (state.restarts, state.trouble) == (1, "it ended")
    assert gone(orphan)


def test_what_nobody_wants_to_run_is_left_down(settings: Settings, service: Service) -> None:
    start_services(settings, [service])
    stop_services(settings, [service])
    kept(settings, service).look()
    assert not service_status(settings, service).running


def test_the_one_that_keeps_dying_is_given_up_and_told_until_somebody_starts_it(
    settings: Settings, service: Service
) -> None:
    start_services(settings, [service])
    watch = kept(settings, service)
    for _ in range(EAGER.tries):
        come_back(settings, service, watch)
    kill(settings, service)
    look_until(watch, lambda: service_status(settings, service).trouble.startswith("gave up"))
    first, second, third = Restarts.read(restarts_file(settings, service)).times
    assert second - first >= EAGER.first_delay_seconds
    assert third - second >= 2 * EAGER.first_delay_seconds
    watch.look()
    state = service_status(settings, service)
    assert not state.running
    assert state.restarts == EAGER.tries
    assert "it ended, after 3 restarts in 600 s" in state.trouble
    assert "`recsys up`" in state.trouble
    (again,) = start_services(settings, [service])
    assert (again.healthy, again.restarts, again.trouble) == (True, 0, "")


def test_a_stopped_process_is_ended_and_started_again(settings: Settings, service: Service) -> None:
    service = replace(service, patience_seconds=0.2)
    start_services(settings, [service])
    watch = kept(settings, service)
    watch.look()
    before = service_status(settings, service).pid
    assert before is not None
    os.kill(before, signal.SIGSTOP)
    look_until(watch, lambda: another_runs(settings, service, before))
    assert gone(before)
    assert service_status(settings, service).trouble.startswith("it hangs: no answer for")


def test_a_moment_without_an_answer_is_borne(settings: Settings, service: Service) -> None:
    answers = iter([True, False, True, False, True])
    service = replace(service, alive=lambda _: next(answers), patience_seconds=30)
    (state,) = start_services(settings, [service])
    watch = kept(settings, service)
    for _ in range(6):
        watch.look()
    assert service_status(settings, service).pid == state.pid
    assert next(answers, None) is None


def test_one_that_still_starts_is_waited_for(settings: Settings, service: Service) -> None:
    (state,) = start_services(settings, [service])
    slow = replace(service, started=lambda _: False, patience_seconds=0)
    watch = kept(settings, slow)
    for _ in range(3):
        watch.look()
    assert service_status(settings, service).pid == state.pid


def test_a_start_or_stop_at_work_is_not_disturbed(settings: Settings, service: Service) -> None:
    start_services(settings, [service])
    kill(settings, service)
    watch = kept(settings, service)
    lock = settings.run_dir / "lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        watch.look()
    assert not service_status(settings, service).running
    assert service_status(settings, service).restarts == 0


@pytest.mark.parametrize(("restarts", "seconds"), [(0, 0), (1, 1), (2, 2), (5, 16), (9, 60)])
def test_each_restart_waits_twice_as_long(restarts: int, seconds: float) -> None:
    assert RestartPolicy().delay_seconds(restarts) == seconds


def test_a_clock_that_was_set_back_holds_no_restart_up() -> None:
    restarts = Restarts().with_one(1_000_000.0, "it ended", RestartPolicy())
    assert not restarts.due(1_000_000.5, RestartPolicy())
    assert restarts.due(1_000_001.0, RestartPolicy())
    assert restarts.due(500_000.0, RestartPolicy())


def test_seldon_without_a_release_is_well_and_one_that_is_stuck_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with microservice(tmp_path, serving_workers=1) as seldon:
        state = load_settings(state_dir=tmp_path)
        asked = SeldonHealth(state, seldon.url)
        assert asked.ready(0)
        assert asked.alive(0)
        release = make_release(seldon.releases_dir)
        write_live(seldon.releases_dir, release.id)
        while living_workers(seldon.serving_dir)[0].release != release.id:
            assert seldon.process.poll() is None
        assert asked.ready(0)
        assert asked.alive(0)
        assert '"puid":"probe-' in probes_in(seldon.serving_dir)
        (worker,) = living_workers(seldon.serving_dir)
        monkeypatch.setattr(health, "PROBE_SECONDS", 0.3)
        psutil.Process(worker.pid).suspend()
        assert not asked.alive(0)
        assert not asked.ready(0)
        psutil.Process(worker.pid).resume()


def probes_in(serving_dir: Path) -> str:
    files = (serving_dir / "requests").rglob("*")
    return "".join(path.read_text() for path in files if path.is_file())


def test_a_release_that_cannot_be_opened_is_no_reason_for_a_restart(tmp_path: Path) -> None:
    with microservice(tmp_path, serving_workers=1) as seldon:
        seldon.releases_dir.mkdir()
        write_live(seldon.releases_dir, "r-" + "0" * 16)
        while not living_workers(seldon.serving_dir)[0].error:
            assert seldon.process.poll() is None
        asked = SeldonHealth(load_settings(state_dir=tmp_path), seldon.url)
        assert asked.alive(0)
        assert not asked.ready(0)
