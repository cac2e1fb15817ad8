"""Changes get their numbers together or not at all, and what is broken stands in nobody's way."""

import json
import multiprocessing

import pytest

from changes.changed import delist, picture, upsert
from recsys.artifacts.change import Action
from recsys.artifacts.digests import sha256_bytes
from recsys.changes import Spool
from recsys.errors import ArtifactInvalid, BadInput
from serving_release import IDS, make_release


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "changes")


def add(spool, *drafts, folded=0, most=100):
    return spool.add(drafts, "me", folded=folded, most=most)


def numbers(spool, folded=0):
    return [change.number for change in spool.after(folded, spool.last())]


def test_changes_are_numbered_and_come_back_as_they_were_given(spool):
    assert (spool.last(), spool.after(0, 9)) == (0, [])
    add(spool, upsert("a", 1), delist("b"))
    add(spool, delist("c"))
    first, second, third = spool.after(0, spool.last())
    assert [item.number for item in (first, second, third)] == [1, 2, 3]
    assert (first.action, first.product, first.row["gender"]) == (Action.UPSERT, "a", "Men")
    assert spool.picture(first) == picture(1)
    assert (second.action, second.product, third.who) == (Action.DELIST, "b", "me")
    assert [item.number for item in spool.after(1, 2)] == [2]
    assert spool.delisted(0) == {"b", "c"}
    add(spool, upsert("b"))
    assert spool.delisted(0) == {"c"}


def test_what_a_killed_writer_left_is_not_there_and_its_number_is_used_again(spool):
    add(spool, delist("a"))
    (spool.folder / "0000000002").mkdir()
    (spool.folder / ".writing-3").mkdir()
    assert numbers(spool) == [1]
    (made,) = add(spool, delist("b"))
    assert made.number == 2
    assert numbers(spool) == [1, 2]
    assert not list(spool.folder.glob(".writing-*"))


def write_many(folder, product):
    for seed in range(5):
        add(Spool(folder), upsert(product, seed), delist(product))


def test_writers_at_once_get_numbers_of_their_own(spool):
    writers = [
        multiprocessing.get_context("spawn").Process(target=write_many, args=(spool.folder, name))
        for name in "ab"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    made = spool.after(0, spool.last())
    assert [change.number for change in made] == list(range(1, 21))
    pairs = [(made[place].product, made[place + 1].product) for place in range(0, 20, 2)]
    assert all(one == other for one, other in pairs)


def test_no_more_than_allowed_are_in_effect_and_those_folded_in_do_not_count(spool):
    add(spool, *[delist(f"p{row}") for row in range(3)], most=3)
    with pytest.raises(BadInput, match=r"3 changes are in effect .*run the night"):
        add(spool, delist("x"), most=3)
    add(spool, delist("x"), folded=2, most=3)
    assert numbers(spool) == [1, 2, 3, 4]


def test_numbers_go_on_after_those_that_a_release_knows(spool):
    (made,) = add(spool, delist("a"), folded=40)
    assert made.number == 41


def damaged(spool, number, name, content):
    (spool.folder / f"{number:010d}" / name).write_bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"kind": "change", "schema_version": 1}',
        b"\xff\xfe",
    ],
)
def test_a_change_that_cannot_be_read_is_set_aside_with_the_reason(spool, content):
    add(spool, delist("a"), delist("b"), delist("c"))
    damaged(spool, 2, "change.json", content)
    assert numbers(spool) == [1, 3]
    ((name, why),) = spool.rejected()
    assert name.startswith("0000000002-")
    assert why
    assert numbers(spool) == [1, 3]


def test_a_change_of_another_number_or_without_its_file_is_set_aside(spool):
    add(spool, delist("a"), delist("b"))
    said = json.loads((spool.folder / "0000000001" / "change.json").read_bytes())
    damaged(spool, 1, "change.json", json.dumps({**said, "number": 7}).encode())
    (spool.folder / "0000000002" / "change.json").unlink()
    assert numbers(spool) == []
    assert [why for _, why in spool.rejected()] == [
        "change 1 says that it is 7",
        "change 2 has no change.json",
    ]


def test_a_picture_that_is_not_the_one_that_was_put_there_is_told(spool):
    (made,) = add(spool, upsert("a", 1))
    damaged(spool, 1, "a.png", picture(2))
    with pytest.raises(ArtifactInvalid, match=r"change 1: a\.png is not the picture"):
        spool.picture(made)
    (spool.folder / "0000000001" / "a.png").unlink()
    with pytest.raises(ArtifactInvalid, match=r"change 1: a\.png is missing"):
        spool.picture(made)


def test_what_was_purged_is_not_taken_by_id_or_by_picture(spool):
    spool.bar(["gone"], [sha256_bytes(picture(1))])
    for draft in (upsert("gone", 2), upsert("other", 1)):
        with pytest.raises(BadInput, match=f"product {draft.product} or its picture was purged"):
            add(spool, draft)
    add(spool, upsert("other", 2), delist("gone"))


def test_to_withdraw_removes_the_bytes_and_says_so_with_a_number(spool):
    add(spool, upsert("a", 1), upsert("b", 2), upsert("a", 3), delist("c"))
    assert spool.withdraw(["a"], [sha256_bytes(picture(2))], "me") == 6
    left = spool.after(0, 6)
    assert [(item.number, item.action, item.product) for item in left] == [
        (4, "delist", "c"),
        (5, "withdraw", "a"),
        (6, "withdraw", "b"),
    ]
    assert not list(spool.folder.rglob("*.png"))
    assert spool.withdraw(["nobody"], [], "me") == 6


def test_changes_that_all_releases_have_are_dropped_and_their_numbers_not_given_again(spool):
    add(spool, delist("a"), delist("b"), delist("c"))
    assert spool.prune(2) == 2
    assert numbers(spool) == [3]
    assert spool.prune(99) == 1
    (made,) = add(spool, delist("d"))
    assert made.number == 4


def test_a_last_number_that_is_none_is_told(spool):
    add(spool, delist("a"))
    (spool.folder / "last").write_text("many")
    with pytest.raises(ArtifactInvalid, match=r"last holds 'many', not a number"):
        spool.last()


def test_a_release_shows_its_products_less_those_delisted_since_it_was_made(spool, tmp_path):
    add(spool, delist(IDS[1]))
    folded = tmp_path / make_release(tmp_path, changes_through=1).id
    add(spool, delist(IDS[0]), delist(IDS[2]), upsert(IDS[2]))
    assert spool.products_shown(folded) == [item for item in sorted(IDS) if item != IDS[0]]
