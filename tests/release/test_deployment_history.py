import pytest

from recsys.errors import BadInput
from recsys.release import history, record_event

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
