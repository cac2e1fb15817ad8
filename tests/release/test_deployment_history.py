import pytest

from recsys.errors import BadInput
from recsys.release import Event, history, record_event, standing_rollback

ONE, TWO = "r-" + "1" * 16, "r-" + "2" * 16


def test_events_are_kept_in_order_with_their_time_and_reason(tmp_path):
    record_event(tmp_path, event="deployed", release=ONE, previous=None, why="night 2024-05-01")
    record_event(tmp_path, event="refused", release=TWO, previous=ONE, why="recall")
    first, second = history(tmp_path)
    assert (first.event, first.release, first.previous) == ("deployed", ONE, None)
    assert (second.event, second.release, second.previous, second.why) == (
        "refused",
        TWO,
        ONE,
        "recall",
    )
    assert first.when.endswith("+00:00")
    assert first.when <= second.when


def test_there_is_no_history_at_first(tmp_path):
    assert history(tmp_path) == []


def test_a_torn_last_line_loses_neither_the_others_nor_the_next(tmp_path):
    record_event(tmp_path, event="deployed", release=ONE, previous=None, why="")
    path = tmp_path / "history.jsonl"
    path.write_bytes(path.read_bytes() + b'{"event":"depl')
    assert [event.release for event in history(tmp_path)] == [ONE]
    record_event(tmp_path, event="rolled_back", release=ONE, previous=TWO, why="")
    assert [event.event for event in history(tmp_path)] == ["deployed", "rolled_back"]


def test_only_known_events_are_kept(tmp_path):
    with pytest.raises(BadInput, match="deployed, refused, rolled_back"):
        record_event(tmp_path, event="guessed", release=ONE, previous=None, why="")


def events(*steps):
    return [Event(event, release, previous, "", "") for event, release, previous in steps]


def test_a_rollback_stands_until_a_deployment():
    rolled_back = ("rolled_back", ONE, TWO)
    (standing,) = events(rolled_back)
    assert standing_rollback(events(("deployed", TWO, ONE), rolled_back)) == standing
    assert standing_rollback(events(rolled_back, ("refused", TWO, ONE))) == standing
    assert standing_rollback(events(rolled_back, ("deployed", TWO, ONE))) is None
    assert standing_rollback([]) is None


def test_a_lifted_rollback_stands_no_more():
    lifted = events(("rolled_back", ONE, TWO), ("rollback_lifted", ONE, TWO))
    assert standing_rollback(lifted) is None


def test_a_rollback_stands_for_the_release_that_a_purge_put_in_its_place():
    three = "r-" + "3" * 16
    standing = standing_rollback(
        events(("rolled_back", ONE, TWO), ("purged", three, ONE), ("purged", TWO, "r-other"))
    )
    assert standing is not None
    assert (standing.release, standing.previous) == (three, TWO)


def test_a_line_from_before_events_had_a_person_is_read(tmp_path):
    record_event(tmp_path, event="rolled_back", release=ONE, previous=TWO, why="w", who="ada")
    path = tmp_path / "history.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes().replace(b',"who":"ada"', b""))
    assert [event.who for event in history(tmp_path)] == ["ada", ""]
