from __future__ import annotations

import csv
import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catalog.deliveries import idx_files, opened
from recsys.artifacts.catalog import DELIVERY_COLUMNS
from recsys.errors import DeliveryUnreadable

BLACK, RAMP = bytes(6), bytes(range(0, 60, 10))


def test_idx_files_become_rows_and_greyscale_pictures(tmp_path: Path) -> None:
    idx_files(tmp_path, [BLACK, RAMP], bytes([9, 0]))
    idx_files(tmp_path, [RAMP], bytes([1]), part="t10k")
    delivery = opened(tmp_path)
    assert delivery.layout == "idx"
    rows = list(csv.DictReader(io.StringIO(delivery.styles_csv().decode())))
    assert tuple(rows[0]) == DELIVERY_COLUMNS
    assert [(row["id"], row["articleType"], row["gender"]) for row in rows] == [
        ("train-00000", "Ankle boot", "NA"),
        ("train-00001", "T-shirt/top", "NA"),
        ("t10k-00000", "Trouser", "NA"),
    ]
    pictures = dict(delivery.images())
    assert list(pictures) == ["train-00000.png", "train-00001.png", "t10k-00000.png"]
    with Image.open(io.BytesIO(pictures["train-00001.png"])) as picture:
        assert np.asarray(picture).tolist() == [[0, 10, 20], [30, 40, 50]]


def test_the_digest_follows_the_delivered_bytes(tmp_path: Path) -> None:
    first = opened(idx_files(tmp_path / "a", [BLACK], bytes([1]))).source_digest
    other = opened(idx_files(tmp_path / "b", [BLACK], bytes([2]))).source_digest
    assert first != other
    assert len(first) == 64


def read_all(source: Path) -> None:
    delivery = opened(source)
    delivery.styles_csv()
    list(delivery.images())


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param((2049, 1, 2, 3), "magic number 2049, expected 2051", id="labels' magic"),
        pytest.param((2051, 2, 2, 3), "1 labels for 2 images", id="other count"),
        pytest.param((2051, -1, 2, 3), "says it holds -1", id="negative count"),
        pytest.param((2051, 2**31 - 1, 2, 3), "at most 10,000,000", id="huge count"),
        pytest.param((2051, 1, 0, 3), "pictures of 3 x 0", id="no rows"),
        pytest.param((2051, 1, 9_999, 3), "1 to 4096", id="huge rows"),
        pytest.param((2051, 1, 60, 60), "3,600 bytes; at most 1,000", id="too many bytes"),
        pytest.param((2051, 1, 3, 3), "cut short", id="too few pixels"),
        pytest.param((2051, 1, 1, 3), "goes on after", id="too many pixels"),
    ],
)
def test_a_header_that_lies_is_refused(
    tmp_path: Path, header: tuple[int, ...], reason: str
) -> None:
    idx_files(tmp_path, [RAMP], bytes([1]), images_header=struct.pack(">4i", *header))
    with pytest.raises(DeliveryUnreadable, match=reason):
        read_all(tmp_path)


def test_a_gzip_that_is_damaged_or_cut_short_is_refused(tmp_path: Path) -> None:
    idx_files(tmp_path, [RAMP] * 50, bytes([1]) * 50)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for data in (b"no gzip at all", whole[:-12], whole[:-8] + b"\xff" * 8):
        path.write_bytes(data)
        with pytest.raises(DeliveryUnreadable, match=r"cannot be read|cut short"):
            read_all(tmp_path)


def test_of_a_gzip_bomb_no_more_is_read_than_its_header_promises(tmp_path: Path) -> None:
    idx_files(tmp_path, [RAMP], bytes([1]))
    bomb = gzip.compress(struct.pack(">4i", 2051, 1, 2, 3) + bytes(50_000_000))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    with pytest.raises(DeliveryUnreadable, match="goes on after"):
        read_all(tmp_path)


def test_a_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeliveryUnreadable, match="label 10; Fashion-MNIST has 0 to 9"):
        read_all(idx_files(tmp_path, [RAMP], bytes([10])))


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    idx_files(tmp_path, [RAMP], bytes([1]))
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DeliveryUnreadable, match="that belong to it are missing"):
        opened(tmp_path)
