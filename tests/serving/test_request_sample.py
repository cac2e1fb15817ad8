import base64
import hashlib
import json
import os
import random
from contextlib import closing
from pathlib import Path

import pytest

from recsys.artifacts.live import write_live
from recsys.changes import Inbox, Spool
from recsys.errors import QueryRejected
from recsys.images import ImageLimits
from recsys.names import PROBE_PUID
from recsys.serving.engine import ServingRelease
from recsys.serving.live import LiveRelease
from recsys.serving.request_log import RequestLog
from recsys.serving.requests import RequestLimits
from recsys.serving.sample import RequestSample, forget_old, forget_purged, recent_requests
from recsys.serving.service import PredictionService
from serving_release import IDS, make_release, picture_text

ABOUT = {"jsonData": {"product_id": "7", "k": 3}, "meta": {"puid": "shopper"}}
DAY = 86_400


def asks(product: str) -> dict[str, object]:
    return {"jsonData": {"product_id": product}}


def files(folder: Path) -> list[Path]:
    return sorted((folder / "requests" / "sample").iterdir())


@pytest.fixture
def sample(tmp_path: Path) -> RequestSample:
    return RequestSample(tmp_path, every=1, requests=8, total_bytes=8_000, pause_seconds=0)


def test_a_request_is_kept_without_its_puid(tmp_path, sample):
    sample.offer("shopper", ABOUT)
    assert recent_requests(tmp_path) == [{"jsonData": {"product_id": "7", "k": 3}}]
    (kept,) = files(tmp_path)
    assert kept.stat().st_mode & 0o077 == 0


def test_one_in_so_many_is_kept(tmp_path, monkeypatch):
    random.seed(1)
    sample = RequestSample(
        tmp_path, every=20, requests=5_000, total_bytes=5_000_000, pause_seconds=0
    )
    kept: list[object] = []
    monkeypatch.setattr(sample, "_keep", kept.append)
    for _ in range(4_000):
        sample.offer("p", ABOUT)
    assert 140 < len(kept) < 260  # 200 of a binomial whose deviation is 14


def test_a_worker_writes_at_most_once_in_its_pause(tmp_path):
    sample = RequestSample(tmp_path, every=1, requests=99, total_bytes=99_000, pause_seconds=60)
    for _ in range(10):
        sample.offer("p", ABOUT)
    assert len(files(tmp_path)) == 1


def test_the_sample_is_bounded_in_number_and_bytes_whoever_writes(tmp_path):
    for _ in range(3):
        worker = RequestSample(tmp_path, every=1, requests=8, total_bytes=800, pause_seconds=0)
        for number in range(40):
            worker.offer("p", asks(str(number)))
        worker.offer("p", asks("x" * 200))
    assert len(files(tmp_path)) == 8
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 800
    assert not any("xx" in path.read_text() for path in files(tmp_path))


def test_the_newest_come_first_and_what_cannot_be_read_is_passed_over(tmp_path, sample):
    for number in range(200):
        sample.offer("p", asks(str(number)))
    for age, path in enumerate(files(tmp_path)):
        path.write_text(json.dumps(asks(str(age))))
        os.utime(path, (DAY - age, DAY - age))
    files(tmp_path)[3].write_text('{"jsonData": {"prod')
    files(tmp_path)[4].write_text("[1]")
    found = [body["jsonData"]["product_id"] for body in recent_requests(tmp_path)]
    assert found == ["0", "1", "2", "5", "6", "7"]


def test_probes_are_left_out_and_size_0_keeps_nothing(tmp_path, sample):
    sample.offer(f"{PROBE_PUID}1", ABOUT)
    RequestSample(tmp_path, every=1, requests=0, total_bytes=1).offer("p", ABOUT)
    assert recent_requests(tmp_path) == []


@pytest.mark.parametrize("message", [{"jsonData": {1, 2}}, {"jsonData": b"\xff"}])
def test_what_is_not_json_is_counted_and_nothing_else(sample, message):
    sample.offer("p", message)
    assert sample.lost == 1


def test_a_folder_that_cannot_be_written_is_no_trouble_of_the_request(tmp_path):
    (tmp_path / "requests").touch()
    sample = RequestSample(tmp_path, every=1, requests=8, total_bytes=8_000, pause_seconds=0)
    sample.offer("p", ABOUT)
    assert sample.lost == 1


def test_bytes_that_seldon_made_of_a_form_are_kept_as_text(tmp_path, sample):
    sample.offer("p", {"binData": b"aGF0"})
    assert recent_requests(tmp_path) == [{"binData": "aGF0"}]


def test_old_requests_go(tmp_path, sample):
    sample.offer("p", ABOUT)
    (kept,) = files(tmp_path)
    half = kept.with_name(".4711")
    half.touch()
    assert forget_old(tmp_path, days=2) == 0
    for path in (kept, half):
        os.utime(path, (DAY, DAY))
    assert forget_old(tmp_path, days=2) == 2
    assert forget_old(tmp_path / "nothing", days=2) == 0


def test_what_names_a_purged_product_or_shows_its_picture_goes(tmp_path):
    sample = RequestSample(
        tmp_path, every=1, requests=9_999, total_bytes=9_999_000, pause_seconds=0
    )
    picture = base64.b64encode(b"a hat").decode()
    stays = asks("8")
    for message in (
        asks("7"),
        {"jsonData": {"product_id": "8", "only": ["1", "7"]}},
        {"jsonData": {"queries": [{"product_id": "8", "exclude": ["7"]}]}},
        {"jsonData": {"image": picture}},
        {"binData": picture},
        stays,
    ):
        sample.offer("p", message)
    pod = tmp_path / "requests" / "pod-1" / "sample"
    pod.mkdir(parents=True)
    (pod / "0001.json").write_text('{"jsonData": {"product_id": "7')
    assert forget_purged(tmp_path, ["7"], [hashlib.sha256(b"a hat").hexdigest()]) == 6
    assert recent_requests(tmp_path) == [stays]


def test_only_accepted_requests_are_kept(tmp_path):
    live = make_release(tmp_path / "releases").id
    write_live(tmp_path / "releases", live)
    limits = ImageLimits(1_000, 1_000)
    following = LiveRelease(
        tmp_path / "releases",
        tmp_path,
        Inbox(Spool(tmp_path / "changes"), limits, 1),
        lambda folder: ServingRelease.open(folder, limits),
    )
    sample = RequestSample(tmp_path, every=1, requests=64, total_bytes=64_000, pause_seconds=0)
    asked = RequestLimits(10, 100, 3, 1_000)
    with closing(following):
        following.look()
        service = PredictionService(following, RequestLog(tmp_path), sample, asked)
        assert service.predict(asks(IDS[0]))["jsonData"]["release"] == live
        service.predict(json.dumps({"binData": picture_text(1)}))
        for wrong in (asks("no such product"), {"jsonData": {}}, {"binData": "aGF0"}):
            with pytest.raises(QueryRejected):
                service.predict(wrong)
    kept = recent_requests(tmp_path)
    assert len(kept) == 2
    assert asks(IDS[0]) in kept
    (log,) = (tmp_path / "requests").glob("*.jsonl")
    assert [json.loads(line)["underfilled"] for line in log.read_text().splitlines()] == [0] * 5
