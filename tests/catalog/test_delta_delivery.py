from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalog.deliveries import CSV, idx_files, kaggle_folder, kaggle_tars, member, opened
from recsys.errors import DeliveryUnreadable


def delta(root: Path, removed: bytes, images: dict[str, bytes] | None = None) -> Path:
    kaggle_folder(root, images or {})
    (root / "removed.csv").write_bytes(removed)
    return root


def test_a_delivery_is_the_whole_catalog_unless_it_says_what_to_remove(tmp_path: Path) -> None:
    full = opened(kaggle_folder(tmp_path / "full", {"1.jpg": b"one"}))
    assert (full.is_delta, full.removed()) == (False, ())
    idx = opened(idx_files(tmp_path / "idx", [bytes(6)], bytes([1])))
    assert (idx.is_delta, idx.removed()) == (False, ())
    part = opened(delta(tmp_path / "part", b"id\n7\n", {"1.jpg": b"one"}))
    assert (part.is_delta, part.removed(), part.layout) == (True, ("7",), "kaggle")
    assert (part.styles_csv(), dict(part.images())) == (CSV, {"1.jpg": b"one"})


def test_a_delta_may_come_in_tars_or_without_any_picture(tmp_path: Path) -> None:
    packed = kaggle_tars(tmp_path / "tars", [member("1.jpg", b"one")])
    (packed / "removed.csv").write_bytes(b"id\n")
    assert opened(packed).is_delta
    assert dict(opened(packed).images()) == {"1.jpg": b"one"}
    bare = delta(tmp_path / "bare", b"id\n")
    (bare / "images").rmdir()
    assert (opened(bare).removed(), list(opened(bare).images())) == ((), [])


@pytest.mark.parametrize(
    "content",
    [
        b"id\n3\n1\n3\n",
        b"\xef\xbb\xbfid\r\n3\r\n1\r\n",
        b' id \n"3"\n\n1',
        b"id\r3\r1\r",
    ],
)
def test_ids_are_listed_once_whatever_the_line_ends(tmp_path: Path, content: bytes) -> None:
    assert opened(delta(tmp_path / "d", content)).removed() == ("3", "1")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "the header is ''; expected 'id' alone", id="empty"),
        pytest.param(b"1\n2\n", "the header is '1'", id="no header"),
        pytest.param(b"id,why\n1,old\n", "the header is 'id,why'", id="two columns"),
        pytest.param(b"id\n1,old\n", "line 2 holds '1,old'", id="two fields"),
        pytest.param(b"id\n 1\n", "without blanks around it", id="blanks"),
        pytest.param(b'id\n""\n', "line 2 holds ''", id="empty id"),
        pytest.param(b"id\n../1\n", r"the id '\.\./1' holds '/'", id="path"),
        pytest.param(b"id\n\xc3\xa9\n", "holds 'é'", id="not ASCII"),
        pytest.param(b"id\n\xff\n", "not UTF-8 at byte 3", id="not UTF-8"),
        pytest.param(b'id\n"1\n', "not CSV", id="stray quote"),
        pytest.param(b"id\n" + b"1" * 201, "201 characters; at most 200", id="long id"),
        pytest.param(b"id\n" + b"1" * 200_000, "not CSV", id="huge field"),
        pytest.param(b"id\n\x00\n", "holds", id="NUL"),
    ],
)
def test_a_broken_list_of_removals_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    delivery = opened(delta(tmp_path / "d", content))
    with pytest.raises(DeliveryUnreadable, match=reason):
        delivery.removed()


def test_a_list_of_removals_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.catalog.removed.MAX_REMOVED_BYTES", 10)
    assert opened(delta(tmp_path / "a", b"id\n12345\n")).removed() == ("12345",)
    with pytest.raises(DeliveryUnreadable, match="larger than 10 bytes"):
        opened(delta(tmp_path / "b", b"id\n123456789\n")).removed()


def test_the_digest_follows_the_removals_and_that_there_are_any(tmp_path: Path) -> None:
    full = opened(kaggle_folder(tmp_path / "a", {})).source_digest
    none = opened(delta(tmp_path / "b", b"id\n")).source_digest
    some = opened(delta(tmp_path / "c", b"id\n1\n")).source_digest
    assert len({full, none, some}) == 3
    packed = kaggle_tars(tmp_path / "t", [member("1.jpg")])
    before = opened(packed).source_digest
    (packed / "removed.csv").write_bytes(b"id\n")
    assert opened(packed).source_digest != before


def test_a_removal_list_that_is_no_plain_file_never_makes_a_full_delivery(tmp_path: Path) -> None:
    # Taken for a full delivery, a delta would remove every product that it does not mention.
    for number, target in enumerate(("nowhere", str(tmp_path / "outside"))):
        (tmp_path / "outside").write_bytes(b"id\n")
        source = kaggle_folder(tmp_path / f"d{number}", {})
        (source / "removed.csv").symlink_to(target)
        with pytest.raises(DeliveryUnreadable, match=r"leads outside|not a regular file"):
            opened(source)
    source = kaggle_folder(tmp_path / "pipe", {})
    os.mkfifo(source / "removed.csv")
    with pytest.raises(DeliveryUnreadable, match="not a regular file"):
        opened(source)


def test_removals_alone_or_pictures_behind_a_dead_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "removed.csv").write_bytes(b"id\n1\n")
    with pytest.raises(DeliveryUnreadable, match=r"removed\.csv without styles\.csv"):
        opened(tmp_path)
    (tmp_path / "styles.csv").write_bytes(CSV)
    (tmp_path / "images").symlink_to("nowhere")
    with pytest.raises(DeliveryUnreadable, match="without images/"):
        opened(tmp_path)
