"""Releases put into service and taken back, on a real Seldon microservice under load."""

import os
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest

from recsys.artifacts.change import Action
from recsys.artifacts.live import (
    WorkerStatus,
    living_workers,
    read_live,
    write_live,
    write_worker,
)
from recsys.artifacts.products import FILES as PRODUCT_FILES
from recsys.artifacts.release import INDEX_FILE, VECTORS_FILE
from recsys.changes import Draft, Spool
from recsys.deploy import LocalSeldon
from recsys.errors import DeployFailed, ReleaseUnknown, ServiceUnavailable
from recsys.monitoring import service_figures
from serving_release import IDS, damage, free_port, make_release, picture_text, service


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with service(tmp_path_factory.mktemp("deploy")) as started:
        yield started


@pytest.fixture(scope="module")
def releases(running):
    return [make_release(running.releases_dir, seed).id for seed in range(3)]


@pytest.fixture(scope="module")
def target(running):
    spool = Spool(running.state_dir / "changes")
    return LocalSeldon(
        running.releases_dir, running.serving_dir, spool, running.predictions_url, 30
    )


def agreed(running):
    return {worker.release for worker in living_workers(running.serving_dir)}


class Load:
    """Clients that ask, each several queries at once, until the block ends and a while on."""

    def __init__(self, running, clients=4):
        self.running = running
        self.failed, self.mixed, self.seen = [], [], Counter()
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        enough = self._asked() + 20
        while self._asked() < enough:
            time.sleep(0.01)
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _asked(self):
        return self.seen.total() + len(self.failed)

    def _ask(self):
        queries = [{"product_id": IDS[0]}, {"image": picture_text(1)}, {"product_id": IDS[2]}]
        message = {"jsonData": {"queries": queries}}
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self._done.is_set():
                try:
                    response = client.post(self.running.predictions_url, json=message)
                    answers = response.json()["jsonData"]["answers"]
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    self.failed.append(repr(error))
                    time.sleep(0.01)
                    continue
                named = {answer["release"] for answer in answers}
                named.add(response.json()["meta"]["tags"]["release"])
                if len(named) != 1:
                    self.mixed.append(named)
                self.seen.update(named)


def test_the_first_release_goes_live_on_every_worker(running, releases, target):
    deployment = target.deploy(releases[0])
    assert (deployment.release, deployment.previous) == (releases[0], None)
    assert deployment.workers == 2
    assert deployment.changed
    assert agreed(running) == {releases[0]}
    assert running.ask(product_id=IDS[0]).json()["jsonData"]["release"] == releases[0]


def test_a_release_that_is_live_is_left_alone(releases, target):
    deployment = target.deploy(releases[0])
    assert not deployment.changed
    assert deployment.previous == releases[0]
    assert deployment.seconds < 2


def test_switching_under_load_fails_no_request_and_mixes_no_releases(running, releases, target):
    with Load(running) as load:
        for turn in range(6):
            target.deploy(releases[(turn + 1) % 3])
    assert load.failed == []
    assert load.mixed == []
    assert set(load.seen) == set(releases)
    assert load.seen.total() > 30


def test_a_damaged_release_is_refused_before_anything_moves(running, releases, target):
    target.deploy(releases[0])
    broken = make_release(running.releases_dir, seed=7).id
    damage(running.releases_dir / broken)
    refused = pytest.raises(DeployFailed, match=r"vectors\.npy.*not touched")
    with Load(running, clients=2) as load, refused:
        target.deploy(broken)
    assert read_live(running.releases_dir) == releases[0]
    assert load.failed == []
    assert set(load.seen) == {releases[0]}


def test_a_release_that_a_worker_cannot_open_is_taken_back(running, releases, target, monkeypatch):
    target.deploy(releases[0])
    broken = make_release(running.releases_dir, seed=8).id
    damage(running.releases_dir / broken)
    # As if it were damaged between the check here and the worker's.
    monkeypatch.setattr("recsys.deploy.probing.verify_release", lambda folder: None)
    says = rf"vectors\.npy.*{releases[0]} is live, as before"
    with Load(running, clients=2) as load, pytest.raises(DeployFailed, match=says):
        target.deploy(broken)
    assert read_live(running.releases_dir) == releases[0]
    assert agreed(running) == {releases[0]}
    assert all(worker.error == "" for worker in living_workers(running.serving_dir))
    assert load.failed == []
    assert set(load.seen) == {releases[0]}


def test_a_rollback_is_a_deployment_of_the_release_before(running, releases, target):
    target.deploy(releases[1])
    deployment = target.roll_back(releases[0])
    assert (deployment.release, deployment.previous) == (releases[0], releases[1])
    assert agreed(running) == {releases[0]}


def test_a_killed_worker_is_replaced_and_answers_with_the_live_release(running, releases, target):
    target.deploy(releases[2])
    before = living_workers(running.serving_dir)
    os.kill(before[0].pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while len(living_workers(running.serving_dir)) < 2 or agreed(running) != {releases[2]}:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not target.deploy(releases[2]).changed


def test_workers_share_the_pages_of_a_release(running, releases, target):
    target.deploy(releases[0])
    folder = str(running.releases_dir / releases[0])
    for worker in living_workers(running.serving_dir):
        maps = psutil.Process(worker.pid).memory_maps(grouped=False)
        mapped = {Path(item.path).name: item for item in maps if item.path.startswith(folder)}
        assert {VECTORS_FILE, INDEX_FILE, *PRODUCT_FILES[:3]} <= set(mapped)
        assert {item.private_dirty for item in mapped.values()} == {0}  # no copy of one's own


def test_a_probe_tells_how_each_product_is_answered(running, releases, target):
    target.deploy(releases[0])
    good, unknown = target.probe([IDS[0], "99"], releases[0])
    assert good["top_score"] <= 1
    assert good == {
        "product_id": IDS[0],
        "status_code": 200,
        "release_matches": True,
        "results": 10,
        "top_score": good["top_score"],
        "self_returned": False,
    }
    assert unknown == {
        "product_id": "99",
        "status_code": 404,
        "release_matches": False,
        "results": 0,
        "top_score": None,
        "self_returned": False,
    }
    assert not target.probe([IDS[0]], releases[1])[0]["release_matches"]


def test_the_service_figures_come_from_its_log(running, releases):
    now = datetime.now(UTC)
    figures = service_figures(running.serving_dir / "requests", now - timedelta(hours=1), now)
    assert figures["requests"] > 30
    assert figures["error_share"] == 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert figures["releases"] == len(releases)


def idle(tmp_path, timeout=0.5):
    url = f"http://127.0.0.1:{free_port()}/api/v1.0/predictions"
    spool = Spool(tmp_path / "changes")
    return LocalSeldon(tmp_path / "releases", tmp_path / "serving", spool, url, timeout)


def test_without_a_running_service_nothing_is_deployed(tmp_path):
    release = make_release(tmp_path / "releases")
    with pytest.raises(ServiceUnavailable, match="make up"):
        idle(tmp_path).deploy(release.id)
    assert read_live(tmp_path / "releases") is None
    with pytest.raises(ServiceUnavailable, match="make up"):
        idle(tmp_path).probe([IDS[0]], release.id)


@pytest.mark.parametrize("release_id", ["r-" + "0" * 16, "live", "..", ""])
def test_an_unknown_release_is_not_deployed(tmp_path, release_id):
    with pytest.raises(ReleaseUnknown, match="recsys releases"):
        idle(tmp_path).deploy(release_id)


def test_workers_that_do_not_follow_in_time_get_the_old_pointer_back(tmp_path):
    old, new = (make_release(tmp_path / "releases", seed).id for seed in (0, 1))
    write_live(tmp_path / "releases", old)
    me = psutil.Process()  # a worker that never looks up
    write_worker(tmp_path / "serving", WorkerStatus(me.pid, me.create_time(), old, old, 0, ""))
    with pytest.raises(DeployFailed, match=rf"not within 0.5 seconds: workers \[{me.pid}\]"):
        idle(tmp_path).deploy(new)
    assert read_live(tmp_path / "releases") == old


def test_a_worker_that_does_not_take_up_a_change_is_told(tmp_path):
    assert idle(tmp_path).take_up_changes(7) == 0
    release = "r-" + "0" * 16
    me = psutil.Process()
    status = WorkerStatus(me.pid, me.create_time(), release, release, 6, "no room")
    write_worker(tmp_path / "serving", status)
    with pytest.raises(
        DeployFailed, match=rf"change 7 is noted, .* worker {me.pid} is at 6 no room"
    ):
        idle(tmp_path).take_up_changes(7)
    assert idle(tmp_path).take_up_changes(6) == 1


def test_a_release_goes_live_though_its_first_product_was_delisted_since(target, running, releases):
    spool = Spool(running.state_dir / "changes")
    (change,) = spool.add([Draft(Action.DELIST, IDS[0])], "me", folded=0, most=10)
    target.deploy(releases[0])
    target.deploy(releases[1])
    assert target.take_up_changes(change.number) == 2
    assert running.ask(product_id=IDS[0]).status_code == 404
    spool.withdraw([IDS[0]], [], "me")
