from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from catalog.deliveries import CSV, kaggle_folder, kaggle_tars, member, opened
from recsys.errors import DeliveryUnreadable


def test_a_folder_gives_its_csv_and_pictures_in_order(tmp_path: Path) -> None:
    files = {"2.png": b"two", "1.jpg": b"one", "3.JPEG": b"3", "4.webp": b"4"}
    ignored = {"notes.txt": b"no", "._1.jpg": b"no", ".DS_Store": b"no"}
    delivery = opened(kaggle_folder(tmp_path / "d", files | ignored))
    assert delivery.layout == "kaggle"
    assert delivery.styles_csv() == CSV
    assert list(delivery.images()) == sorted(files.items())


def test_tars_give_the_pictures_of_flat_and_images_members(tmp_path: Path) -> None:
    source = kaggle_tars(
        tmp_path,
        [member("1.jpg", b"one"), member("README.md")],
        [
            member("images", kind=tarfile.DIRTYPE),
            member("images/2.jpg", b"2"),
            member("./3.png", b""),
        ],
    )
    delivery = opened(source)
    assert delivery.layout == "kaggle"
    assert delivery.styles_csv() == CSV
    assert list(delivery.images()) == [("1.jpg", b"one"), ("2.jpg", b"2"), ("3.png", b"")]


def test_the_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    def digest(name: str, files: dict[str, bytes]) -> str:
        return opened(kaggle_folder(tmp_path / name, files)).source_digest

    same = digest("a", {"1.jpg": b"one", "2.jpg": b"two"})
    assert digest("b", {"2.jpg": b"two", "1.jpg": b"one"}) == same
    assert digest("c", {"1.jpg": b"one", "2.jpg": b"twO"}) != same
    assert digest("d", {"1.jpg": b"one", "3.jpg": b"two"}) != same
    assert digest("e", {"1.jpg": b"onetwo", "2.jpg": b""}) != same


def test_a_changed_csv_or_tar_changes_the_digest(tmp_path: Path) -> None:
    kaggle_tars(tmp_path, [member("1.jpg", b"one")])
    first = opened(tmp_path).source_digest
    assert opened(tmp_path).source_digest == first
    kaggle_tars(tmp_path, [member("1.jpg", b"two")])
    second = opened(tmp_path).source_digest
    (tmp_path / "styles.csv").write_bytes(b"")
    assert len({first, second, opened(tmp_path).source_digest}) == 3


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(member("/1.jpg"), "leads outside", id="absolute"),
        pytest.param(member("../1.jpg"), "leads outside", id="parent"),
        pytest.param(member("..\\1.jpg"), "leads outside", id="backslash"),
        pytest.param(member("1.jpg", kind=tarfile.SYMTYPE), "link", id="symbolic link"),
        pytest.param(member("1.jpg", kind=tarfile.LNKTYPE), "link", id="hard link"),
        pytest.param(member("1.jpg", kind=tarfile.CHRTYPE), "device", id="device"),
        pytest.param(member("1.jpg", kind=tarfile.FIFOTYPE), "device", id="pipe"),
        pytest.param(member("shoes/1.jpg"), "lies in a folder", id="another folder"),
        pytest.param(member("1.jpg", b"x" * 1_001), "1,001 bytes; at most 1,000", id="too large"),
        pytest.param(member("0.jpg"), "0.jpg is delivered twice", id="twice"),
        pytest.param(member("images/0.jpg"), "0.jpg is delivered twice", id="twice over folders"),
        pytest.param(member("1*.jpg"), r"holds '\*'", id="special character"),
        pytest.param(member("é.jpg"), "holds 'é'", id="not ASCII"),
        pytest.param(member("1\n.jpg"), "not printable|holds", id="control character"),
        pytest.param(member("1" * 300 + ".jpg"), "304 characters", id="long name"),
        pytest.param(member("1" * 2_000_000 + ".jpg"), "tar header asks for", id="endless name"),
    ],
)
def test_an_unsafe_member_refuses_the_delivery(
    tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes], reason: str
) -> None:
    delivery = opened(kaggle_tars(tmp_path, [member("0.jpg")], [bad]))
    with pytest.raises(DeliveryUnreadable, match=reason):
        list(delivery.images())


def test_a_tar_cut_short_or_damaged_is_refused(tmp_path: Path) -> None:
    kaggle_tars(tmp_path, [member("1.jpg", b"1" * 600), member("2.jpg", b"2" * 600)])
    path = tmp_path / "images-0.tar"
    whole = path.read_bytes()
    second = 512 + 1024
    damaged = whole[: second + 10] + b"\xff" * 200 + whole[second + 210 :]
    for data in (b"", whole[:100], whole[:700], whole[:second], whole[: second + 600], damaged):
        path.write_bytes(data)
        with pytest.raises(DeliveryUnreadable, match=r"not a sound uncompressed tar"):
            list(opened(tmp_path).images())


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a{b}.jpg", "holds '{}'"), ("a@b.jpg", "holds '@'"), ("ü.png", "holds 'ü'")],
)
def test_an_odd_file_name_refuses_the_delivery(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(DeliveryUnreadable, match=reason):
        opened(kaggle_folder(tmp_path / "d", {name: b""}))


def test_a_link_may_lead_inside_the_delivery_but_not_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    source = kaggle_folder(tmp_path / "d", {"1.jpg": b"one"})
    (source / "images" / "2.jpg").symlink_to("1.jpg")
    assert dict(opened(source).images()) == {"1.jpg": b"one", "2.jpg": b"one"}
    (source / "images" / "3.jpg").symlink_to(tmp_path / "secret")
    with pytest.raises(DeliveryUnreadable, match=r"3\.jpg: a link that leads outside"):
        opened(source)


def test_a_csv_that_is_a_link_to_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    source = kaggle_folder(tmp_path / "d", {})
    (source / "styles.csv").unlink()
    (source / "styles.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(DeliveryUnreadable, match="leads outside"):
        opened(source).styles_csv()


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    source = kaggle_folder(tmp_path / "d", {})
    os.mkfifo(source / "images" / "1.jpg")
    with pytest.raises(DeliveryUnreadable, match="not a regular file"):
        opened(source)


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    source = kaggle_folder(tmp_path / "d", {"1.jpg": b"x" * 1_001})
    with pytest.raises(DeliveryUnreadable, match="1,001 bytes; at most 1,000"):
        opened(source)


def test_a_file_that_grew_since_is_refused(tmp_path: Path) -> None:
    source = kaggle_folder(tmp_path / "d", {"1.jpg": b""})
    delivery = opened(source)
    (source / "images" / "1.jpg").write_bytes(b"x" * 1_001)
    with pytest.raises(DeliveryUnreadable, match="larger than 1,000 bytes"):
        list(delivery.images())


def test_a_broken_csv_is_handed_on_for_a_gate_to_judge(tmp_path: Path) -> None:
    source = kaggle_folder(tmp_path / "d", {})
    (source / "styles.csv").write_bytes(b"\x00\xff,,,\n")
    assert opened(source).styles_csv() == b"\x00\xff,,,\n"


def test_what_is_no_delivery_is_told_the_known_layouts(tmp_path: Path) -> None:
    for source, reason in ((tmp_path / "none", "no such folder"), (tmp_path, "neither styles.csv")):
        with pytest.raises(DeliveryUnreadable, match=rf"(?s){reason}.*Kaggle layout.*IDX"):
            opened(source)


def test_a_csv_alone_or_with_two_sets_of_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "styles.csv").write_bytes(CSV)
    with pytest.raises(DeliveryUnreadable, match="without images/ and without a tar"):
        opened(tmp_path)
    kaggle_tars(tmp_path, [member("1.jpg")])
    (tmp_path / "images").mkdir()
    with pytest.raises(DeliveryUnreadable, match="keep one"):
        opened(tmp_path)
