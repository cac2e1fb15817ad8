import os
import subprocess
import sys
import threading

import psutil
import pytest

from recsys.artifacts.live import (
    WorkerStatus,
    clear_live,
    forget_dead_workers,
    living_workers,
    read_live,
    worker_file,
    write_live,
    write_worker,
)
from recsys.errors import ArtifactInvalid

ONE, TWO = "r-" + "1" * 16, "r-" + "2" * 16


def status(pid, create_time, release=ONE):
    return WorkerStatus(pid, create_time, release, release, 0, "")


def test_no_release_is_live_at_first(tmp_path):
    assert read_live(tmp_path) is None
    assert read_live(tmp_path / "nowhere") is None


def test_the_pointer_is_a_relative_link_that_is_replaced(tmp_path):
    write_live(tmp_path, ONE)
    write_live(tmp_path, TWO)
    assert read_live(tmp_path) == TWO
    assert str((tmp_path / "live").readlink()) == TWO
    assert [path.name for path in tmp_path.iterdir()] == ["live"]


def test_a_cleared_pointer_is_none_and_may_be_cleared_again(tmp_path):
    write_live(tmp_path, ONE)
    clear_live(tmp_path)
    clear_live(tmp_path)
    assert read_live(tmp_path) is None


@pytest.mark.parametrize("target", ["..", "/etc", "r-1", ONE + "/.."])
def test_only_a_release_can_be_pointed_to(tmp_path, target):
    with pytest.raises(ArtifactInvalid):
        write_live(tmp_path, target)
    (tmp_path / "live").symlink_to(target)
    with pytest.raises(ArtifactInvalid, match="release id"):
        read_live(tmp_path)


def test_a_folder_named_live_is_no_pointer(tmp_path):
    (tmp_path / "live").mkdir()
    with pytest.raises(ArtifactInvalid, match="not a symbolic link"):
        read_live(tmp_path)


def test_a_reader_never_sees_a_moment_without_a_pointer(tmp_path):
    write_live(tmp_path, ONE)
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            seen.add(read_live(tmp_path))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(100):
        write_live(tmp_path, (ONE, TWO)[turn % 2])
    done.set()
    reader.join()
    assert seen <= {ONE, TWO}


def test_only_workers_that_run_count(tmp_path):
    me = psutil.Process()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_worker(tmp_path, status(me.pid, me.create_time()))
    write_worker(tmp_path, status(ended.pid, me.create_time()))
    # The pid of this test's parent, but from another time: it was used again.
    write_worker(tmp_path, status(os.getppid(), 1.0))
    assert [worker.pid for worker in living_workers(tmp_path)] == [me.pid]
    forget_dead_workers(tmp_path)
    assert list((tmp_path / "workers").iterdir()) == [worker_file(tmp_path, me.pid)]


def test_without_a_folder_no_worker_lives(tmp_path):
    assert living_workers(tmp_path / "nowhere") == []


def test_what_another_versions_workers_left_is_no_trouble_unless_they_run(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        worker_file(tmp_path, pid).parent.mkdir(parents=True, exist_ok=True)
        worker_file(tmp_path, pid).write_text('{"kind": "worker_status", "pid": 1}')
    with pytest.raises(ArtifactInvalid):
        living_workers(tmp_path)
    worker_file(tmp_path, os.getpid()).unlink()
    assert living_workers(tmp_path) == []
    forget_dead_workers(tmp_path)
    assert not worker_file(tmp_path, gone.pid).exists()
