import time
from functools import partial

import pytest

from recsys.artifacts.live import clear_live, living_workers, write_live
from recsys.changes import Inbox, Spool
from recsys.images import ImageLimits
from recsys.serving.engine import ServingRelease
from recsys.serving.live import LiveRelease
from serving_release import damage, make_release

LIMITS = ImageLimits(100_000, 10_000)
OPEN = partial(ServingRelease.open, image_limits=LIMITS)


@pytest.fixture
def releases(tmp_path):
    return tmp_path / "releases"


@pytest.fixture
def live(tmp_path, releases):
    releases.mkdir()
    follower = LiveRelease(releases, tmp_path / "serving", inbox(tmp_path), OPEN, poll_seconds=0.01)
    yield follower
    follower.close()


def inbox(tmp_path):
    return Inbox(Spool(tmp_path / "changes"), LIMITS, most=100)


def told(tmp_path):
    (status,) = living_workers(tmp_path / "serving")
    return status.release, status.wanted, status.error


def eventually(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def test_without_a_release_the_worker_waits_and_then_takes_the_first(live, tmp_path, releases):
    live.start()
    assert live.current is None
    assert told(tmp_path) == (None, None, "")
    first = make_release(releases)
    write_live(releases, first.id)
    eventually(lambda: live.current is not None)
    eventually(lambda: told(tmp_path) == (first.id, first.id, ""))


def test_a_new_release_takes_the_place_of_the_old_one(live, tmp_path, releases):
    first, second = make_release(releases, 0), make_release(releases, 1)
    write_live(releases, first.id)
    live.start()
    assert live.current.release == first
    write_live(releases, second.id)
    eventually(lambda: live.current.release == second)
    eventually(lambda: told(tmp_path) == (second.id, second.id, ""))


def test_a_broken_release_leaves_the_old_one_and_is_told(live, tmp_path, releases):
    first, second = make_release(releases, 0), make_release(releases, 1)
    damage(releases / second.id)
    write_live(releases, first.id)
    live.start()
    write_live(releases, second.id)
    eventually(lambda: told(tmp_path)[2])
    release, wanted, error = told(tmp_path)
    assert (release, wanted) == (first.id, second.id)
    assert "vectors.npy" in error
    assert live.current.release == first
    write_live(releases, first.id)
    eventually(lambda: told(tmp_path) == (first.id, first.id, ""))


def test_a_repaired_release_is_taken_up_when_the_pointer_is_written_again(live, tmp_path, releases):
    first = make_release(releases)
    damage(releases / first.id)
    write_live(releases, first.id)
    live.start()
    assert live.current is None
    make_release(releases)
    write_live(releases, first.id)
    eventually(lambda: told(tmp_path) == (first.id, first.id, ""))


def test_a_broken_release_is_not_opened_at_every_look(tmp_path, releases):
    releases.mkdir()
    tries = []

    def refuse(folder):
        tries.append(folder)
        raise MemoryError("no room")

    write_live(releases, "r-" + "0" * 16)
    live = LiveRelease(releases, tmp_path / "serving", inbox(tmp_path), refuse)
    for _ in range(5):
        live.look()
    assert len(tries) == 1
    assert told(tmp_path)[2] == "MemoryError: no room"


def test_when_the_pointer_goes_so_does_the_release(live, tmp_path, releases):
    write_live(releases, make_release(releases).id)
    live.start()
    clear_live(releases)
    eventually(lambda: live.current is None)
    eventually(lambda: told(tmp_path) == (None, None, ""))


def test_a_nonsense_pointer_leaves_the_old_release(live, releases, tmp_path):
    first = make_release(releases)
    write_live(releases, first.id)
    live.start()
    (releases / "live").unlink()
    (releases / "live").symlink_to("/etc")
    eventually(lambda: "release id" in told(tmp_path)[2])
    assert live.current.release == first


def test_a_worker_that_ends_takes_its_status_along(live, tmp_path):
    live.start()
    live.close()
    assert living_workers(tmp_path / "serving") == []


def test_a_status_that_cannot_be_written_does_not_end_the_service(tmp_path, releases, caplog):
    releases.mkdir()
    (tmp_path / "serving").write_text("in the way")
    live = LiveRelease(releases, tmp_path / "serving", inbox(tmp_path), OPEN)
    write_live(releases, make_release(releases).id)
    live.look()
    assert live.current is not None
    assert "status" in caplog.text
    (tmp_path / "serving").unlink()
    live.look()
    assert told(tmp_path)[0] == live.current.release.id
