import json

import pytest
from typer.testing import CliRunner

from recsys.cli.main import command_line
from recsys.errors import BadInput, ReleaseUnknown
from recsys.release import carry_pin, history, pin, pins, record_event, standing_rollback, unpin
from serving_release import make_release

ONE, TWO = "r-" + "1" * 16, "r-" + "2" * 16


@pytest.fixture
def shelf(tmp_path):
    for release in (ONE, TWO):
        (tmp_path / release).mkdir()
    return tmp_path


def pinned(shelf):
    return {release: event.why for release, event in pins(history(shelf)).items()}


def test_a_pin_stands_until_it_is_lifted_and_both_are_in_the_history(shelf):
    pin(shelf, ONE, "ada", "before the move")
    pin(shelf, TWO, "ada", "a good one")
    assert pinned(shelf) == {ONE: "before the move", TWO: "a good one"}
    unpin(shelf, ONE, "bob", "")
    assert pinned(shelf) == {TWO: "a good one"}
    assert [(event.event, event.release, event.who) for event in history(shelf)] == [
        ("pinned", ONE, "ada"),
        ("pinned", TWO, "ada"),
        ("unpinned", ONE, "bob"),
    ]


def test_a_pin_says_why_and_of_what(shelf):
    with pytest.raises(BadInput, match="needs a reason"):
        pin(shelf, ONE, "ada", " ")
    with pytest.raises(ReleaseUnknown, match="recsys releases"):
        pin(shelf, "r-" + "3" * 16, "ada", "why not")
    with pytest.raises(ReleaseUnknown):
        pin(shelf, "..", "ada", "why not")
    with pytest.raises(BadInput, match="is not pinned"):
        unpin(shelf, ONE, "ada", "")
    assert history(shelf) == []


def test_what_a_purge_puts_in_its_place_is_pinned_instead(shelf):
    carry_pin(shelf, ONE, TWO)
    assert pinned(shelf) == {}
    pin(shelf, ONE, "ada", "before the move")
    carry_pin(shelf, ONE, TWO)
    carry_pin(shelf, ONE, TWO)
    assert pinned(shelf) == {TWO: "before the move"}


def test_a_pin_changes_nothing_about_what_is_live(shelf):
    record_event(shelf, event="rolled_back", release=ONE, previous=TWO, why="")
    pin(shelf, TWO, "ada", "to look at it")
    standing = standing_rollback(history(shelf))
    assert standing is not None
    assert standing.release == ONE


def test_the_command_pins_tells_and_lets_go(shelf, monkeypatch):
    state = shelf / "state"
    monkeypatch.setenv("RECSYS_STATE_DIR", str(state))
    kept = make_release(state / "releases").id

    def recsys(*arguments):
        return CliRunner().invoke(command_line(["releases"]), ["releases", *arguments])

    assert recsys("--pin", kept, "--why", "the first").exit_code == 0
    told = json.loads(recsys("--json").stdout)
    assert told["pinned"] == {kept: "the first"}
    assert told["history"][-1]["event"] == "pinned"
    assert "pinned" in recsys().stdout
    assert recsys("--unpin", kept).exit_code == 0
    assert json.loads(recsys("--json").stdout)["pinned"] == {}
    assert "not both" in str(recsys("--pin", kept, "--unpin", kept).exception)
    assert "belongs to --pin" in str(recsys("--why", "x").exception)
