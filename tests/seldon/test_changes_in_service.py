"""Products that change between nights, on a real Seldon microservice with two workers."""

import json
import time
from dataclasses import replace

import pytest

from changes.changed import delist, moved_in, picture, row, upsert
from recsys.artifacts.live import living_workers, write_live
from recsys.changes import Spool
from recsys.deploy import LocalSeldon
from serving_release import IDS, make_release, service, traceback_in


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    state = tmp_path_factory.mktemp("changes")
    write_live(state / "releases", make_release(state / "releases").id)
    with service(state, max_image_bytes=20_000, max_changes=20) as started:
        yield started


@pytest.fixture(scope="module")
def spool(running):
    return Spool(running.state_dir / "changes")


@pytest.fixture(scope="module")
def in_effect(running, spool):
    target = LocalSeldon(
        running.releases_dir, running.serving_dir, spool, running.predictions_url, 60
    )

    def changed(*drafts):
        made = spool.add(drafts, "me", folded=0, most=20)
        assert target.take_up_changes(made[-1].number) == 2
        return made[-1].number

    return changed


@pytest.fixture(autouse=True)
def _workers_survive(running):
    before = {worker.pid for worker in living_workers(running.serving_dir)}
    yield
    assert {worker.pid for worker in living_workers(running.serving_dir)} == before
    assert not traceback_in(running.log)


def everything(running, product=IDS[0], **options):
    body = running.ask(product_id=product, k=100, **options).json()
    return body["jsonData"] | {"puid": body["meta"]["puid"]}


def shown(answer):
    return {result["product_id"]: result["part"] for result in answer["results"]}


def eventually(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def test_a_new_product_is_shown_asked_for_and_filtered_on_at_once(running, in_effect):
    number = in_effect(upsert("new", 1, gender="Unisex"))
    answer = everything(running)
    assert shown(answer) == dict.fromkeys(IDS[1:], "release") | {"new": "tail"}
    assert answer["changes"] == number
    only = everything(running, where={"gender": "Unisex"})
    assert [result["name"] for result in only["results"]] == ["Shirt new"]
    assert set(shown(everything(running, product="new"))) == set(IDS)
    lines = [
        json.loads(line)
        for path in (running.serving_dir / "requests").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert [line["changes"] for line in lines if line["puid"] == answer["puid"]] == [number]


def test_a_delisted_product_is_neither_shown_nor_known(running, in_effect):
    in_effect(delist(IDS[5]), delist("new"))
    assert set(shown(everything(running))) == set(IDS) - {IDS[0], IDS[5]}
    assert running.ask(product_id=IDS[5]).status_code == 404
    assert running.ask(product_id="new").status_code == 404
    in_effect(upsert(IDS[5], 2))
    assert shown(everything(running))[IDS[5]] == "tail"


def test_what_another_system_moves_in_is_in_effect_within_a_minute(running, spool):
    started = time.monotonic()
    asked = {"action": "upsert", "product": "theirs", "row": row("theirs")}
    moved_in(spool.folder, "1-bad", asked, {"theirs.png": b"no picture"})
    moved_in(spool.folder, "2-good", asked, {"theirs.png": picture(3)})
    eventually(lambda: shown(everything(running)).get("theirs") == "tail")
    assert time.monotonic() - started < 60
    ((name, why),) = spool.rejected()
    assert name.startswith("1-bad")
    assert "undecodable_image" in why


def test_a_damaged_change_is_set_aside_and_later_ones_are_in_effect(running, spool, in_effect):
    before = len(spool.rejected())
    # Sound as a file, and no picture: nothing but the decoder finds that.
    in_effect(replace(upsert("bad"), picture=b"no picture"), upsert("good", 5))
    answer = shown(everything(running))
    assert "good" in answer
    assert "bad" not in answer
    assert len(spool.rejected()) == before + 1


def test_a_new_release_is_given_the_changes_that_it_has_not_folded_in(running, spool, in_effect):
    in_effect(upsert("later", 6))
    second = make_release(running.releases_dir, seed=1)
    write_live(running.releases_dir, second.id)
    workers = lambda: living_workers(running.serving_dir)  # noqa: E731
    eventually(lambda: {worker.release for worker in workers()} == {second.id})
    assert {worker.changes for worker in workers()} == {spool.last()}
    assert shown(everything(running))["later"] == "tail"
