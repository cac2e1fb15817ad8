"""What other systems move into the inbox is judged as by the night, and harms nobody."""

import os
import re

import numpy as np
import pytest

from changes.changed import moved_in, picture, row, upsert
from recsys.changes import Inbox, Spool
from recsys.images import ImageLimits
from serving_release import png

LIMITS = ImageLimits(max_bytes=20_000, max_pixels=10_000)
UPSERT = {"action": "upsert", "product": "a", "row": row("a")}


@pytest.fixture
def inbox(tmp_path):
    return Inbox(Spool(tmp_path / "changes"), LIMITS, most=3)


def taken(inbox):
    spool = inbox.spool
    return [(change.action, change.product) for change in spool.after(0, spool.last())]


def test_folders_are_taken_in_by_name_and_then_gone(inbox):
    folder = inbox.spool.folder
    assert inbox.take_in(0) == 0
    moved_in(folder, "2", {"action": "delist", "product": "b"}, {})
    moved_in(folder, "1", UPSERT, {"a.png": picture()})
    assert inbox.take_in(0) == 2
    assert taken(inbox) == [("upsert", "a"), ("delist", "b")]
    (change, _) = inbox.spool.after(0, 2)
    assert inbox.spool.picture(change) == picture()
    assert [path.name for path in (folder / "inbox").iterdir()] == [".lock"]
    assert inbox.take_in(0) == 0


def test_what_is_still_being_written_is_not_looked_at(inbox):
    moved_in(inbox.spool.folder, ".3", UPSERT, {})
    assert inbox.take_in(0) == 0
    assert inbox.spool.rejected() == []


BLANK = png(np.full((32, 24, 3), 200, np.uint8))
TINY = png(np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8))
LARGE = png(np.zeros((200, 100, 3), np.uint8))


@pytest.mark.parametrize(
    ("asked", "pictures", "why"),
    [
        (b"not JSON", {}, "not JSON"),
        (b"[" * 50_000, {}, "not JSON"),
        (b" " * 100_001, {}, "more than 100000 bytes"),
        ([], {}, "holds an object with action, product"),
        ({"action": "upsert"}, {}, "holds an object with action, product"),
        ({**UPSERT, "number": 7}, {}, "holds an object with action, product"),
        ({**UPSERT, "action": "withdraw"}, {}, "action is 'withdraw'; allowed: upsert, delist"),
        ({**UPSERT, "action": ["upsert"]}, {}, "allowed: upsert, delist"),
        ({**UPSERT, "product": "../a"}, {}, "is no product id"),
        ({**UPSERT, "row": {"id": 1}}, {}, "row must be an object of texts"),
        ({**UPSERT, "row": {**row("a"), "usage": "\ud800"}}, {"a.png": picture()}, "not UTF-8"),
        (UPSERT, {}, r"beside change.json is nothing; expected one of a\.jpg"),
        (UPSERT, {"b.png": picture()}, r"beside change.json is b\.png"),
        (UPSERT, {"a.png": picture(), "a.jpg": b""}, "expected one of"),
        ({**UPSERT, "row": row("b")}, {"a.png": picture()}, "row has the id 'b', not a"),
        ({**UPSERT, "row": {"id": "a"}}, {"a.png": picture()}, "lacks the columns gender, master"),
        ({**UPSERT, "row": row("a", articleType="NA")}, {"a.png": picture()}, "missing_field"),
        ({**UPSERT, "row": row("a", in_stock="maybe")}, {"a.png": picture()}, "bad_stock"),
        (UPSERT, {"a.png": b"GIF89a"}, "undecodable_image"),
        (UPSERT, {"a.png": LARGE}, "undecodable_image: .*pixels"),
        (UPSERT, {"a.png": b"\x89PNG" + bytes(20_000)}, "more than 20000 bytes"),
        (UPSERT, {"a.png": TINY}, "tiny_image"),
        (UPSERT, {"a.png": BLANK}, "blank_image"),
        ({"action": "delist", "product": "a"}, {"a.png": picture()}, "needs neither a row nor"),
    ],
)
def test_what_is_wrong_is_set_aside_with_the_reason_and_blocks_nobody(inbox, asked, pictures, why):
    folder = inbox.spool.folder
    moved_in(folder, "1-bad", asked, pictures)
    moved_in(folder, "2-good", {"action": "delist", "product": "z"}, {})
    assert inbox.take_in(0) == 1
    assert taken(inbox) == [("delist", "z")]
    ((name, said),) = inbox.spool.rejected()
    assert name.startswith("1-bad-")
    assert re.search(why, said), said


def test_no_link_is_followed_and_no_pipe_waited_for(inbox, tmp_path):
    folder = inbox.spool.folder
    (tmp_path / "secret.png").write_bytes(picture())
    moved_in(folder, "1", UPSERT, {})
    (folder / "inbox" / "1" / "a.png").symlink_to(tmp_path / "secret.png")
    moved_in(folder, "2", UPSERT, {})
    os.mkfifo(folder / "inbox" / "2" / "a.png")
    (folder / "inbox" / "3").symlink_to(tmp_path)
    (folder / "inbox" / "4").write_text("no folder")
    assert inbox.take_in(0) == 0
    assert [name[0] for name, _ in inbox.spool.rejected()] == ["1", "2", "3", "4"]
    assert (tmp_path / "secret.png").exists()


def test_what_was_purged_and_what_is_too_much_is_set_aside(inbox):
    spool = inbox.spool
    spool.bar(["a"], [])
    moved_in(spool.folder, "1", UPSERT, {"a.png": picture()})
    spool.add([upsert("x"), upsert("y"), upsert("z")], "me", folded=0, most=3)
    moved_in(spool.folder, "2", {"action": "delist", "product": "b"}, {})
    assert inbox.take_in(0) == 0
    (_, full), (_, too) = spool.rejected()
    assert "run the night" in full
    assert "run the night" in too
    assert inbox.take_in(3) == 0
    moved_in(spool.folder, "3", UPSERT, {"a.png": picture()})
    assert inbox.take_in(3) == 0
    assert "was purged and may not come back" in spool.rejected()[-1][1]


def test_only_one_process_at_a_time_takes_in(inbox):
    moved_in(inbox.spool.folder, "1", {"action": "delist", "product": "b"}, {})
    with inbox._alone() as alone:
        assert alone
        assert inbox.take_in(0) == 0
    assert inbox.take_in(0) == 1
