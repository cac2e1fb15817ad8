"""What a training step is given."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.training.heads import Head

COUNT, HEIGHT, WIDTH = 90, 6, 5
# The red channel tells the product, the green one the line, the blue one the column.
PIXELS = np.zeros((COUNT, HEIGHT, WIDTH, 3), np.uint8)
PIXELS[..., 0] = np.arange(COUNT)[:, None, None]
PIXELS[..., 1] = np.arange(HEIGHT)[None, :, None]
PIXELS[..., 2] = np.arange(WIDTH)[None, None, :]
ROWS = np.arange(10, COUNT)
RARE = np.where(np.arange(COUNT) < 18, 0, 1)
HEADS = (
    Head("articleType", ("rare", "common"), RARE, 0.5),
    Head("gender", ("odd", "even"), np.where(np.arange(COUNT) % 3 == 0, -1, 1), 0.5),
)


def batches_of(**augmentation: float) -> list[tuple[np.ndarray, ...]]:
    from recsys.training.batches import Augmentation, batches

    augmented = Augmentation(seed=4, **augmentation) if augmentation else None  # type: ignore[arg-type]
    return list(batches(PIXELS, HEADS, ROWS, 32, augmented=augmented).as_numpy_iterator())


def products_of(taken: list[tuple[np.ndarray, ...]]) -> np.ndarray:
    return np.concatenate([pixels[:, 0, 0, 0] for pixels, _, _ in taken])


def test_without_an_augmentation_the_rows_come_as_they_are() -> None:
    taken = batches_of()
    assert [len(pixels) for pixels, _, _ in taken] == [32, 32, 16]
    assert np.array_equal(np.concatenate([pixels for pixels, _, _ in taken]), PIXELS[ROWS])


def test_a_value_that_is_not_known_weighs_nothing() -> None:
    for pixels, codes, weights in batches_of(shift=1):
        known = pixels[:, 0, 0, 0] % 3 != 0
        assert np.array_equal(weights[1], known.astype(np.float32))
        assert codes[1].min() >= 0
        assert weights[0].all()


def test_every_picture_comes_once_a_pass_in_an_order_that_the_seed_tells() -> None:
    first, again = (products_of(batches_of(shift=0, balance=0.0)) for _ in range(2))
    assert np.array_equal(first, again)
    assert sorted(first) == ROWS.tolist()
    assert not np.array_equal(first, ROWS)


def test_pictures_are_mirrored_by_chance_and_moved_no_further_than_said() -> None:
    mirrored = 0
    for pixels, _, _ in batches_of(shift=2):
        for picture in pixels.astype(int):
            mirrored += picture[0, 0, 2] > picture[0, -1, 2]
            upright = picture[:, ::-1] if picture[0, 0, 2] > picture[0, -1, 2] else picture
            down = upright[3, 0, 1] - 3
            assert abs(down) <= 2
            assert upright[:, 0, 1].tolist() == np.clip(np.arange(HEIGHT) + down, 0, 5).tolist()
            assert np.all(np.diff(upright[0, :, 2]) >= 0)
    assert 20 < mirrored < 60


def test_balanced_classes_are_drawn_about_equally_often() -> None:
    drawn = products_of(batches_of(balance=1.0))
    assert 25 <= (drawn < 18).sum() <= 55  # 8 of 80 rows are of the rare class


@pytest.mark.parametrize("shift", [0, 3])
def test_one_pass_never_leaves_the_rows_asked_for(shift: int) -> None:
    assert set(products_of(batches_of(shift=shift))) <= set(ROWS.tolist())
