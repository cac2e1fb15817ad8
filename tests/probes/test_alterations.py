"""What the alterations do to pictures."""

import numpy as np
import pytest

from probes.pictures import drawn_pictures
from recsys.probes import ALTERATIONS, Alteration
from recsys.probes.alterations import blurred, cropped, encoded, lit, noisy, rotated, shifted

PICTURES = drawn_pictures(6)
NAMES = [alteration.name for alteration in ALTERATIONS]


def altered(alteration: Alteration, seed: int = 1) -> np.ndarray:
    return alteration.apply(PICTURES, np.random.default_rng(seed))


@pytest.mark.parametrize("alteration", ALTERATIONS, ids=NAMES)
def test_an_altered_picture_is_another_one_of_the_same_size(alteration: Alteration) -> None:
    before = PICTURES.copy()
    after = altered(alteration)
    assert (after.shape, after.dtype) == (PICTURES.shape, np.uint8)
    assert (after != PICTURES).any(axis=(1, 2, 3)).all()
    assert np.array_equal(PICTURES, before)


@pytest.mark.parametrize("alteration", ALTERATIONS, ids=NAMES)
def test_the_same_seed_alters_in_the_same_way(alteration: Alteration) -> None:
    assert np.array_equal(altered(alteration), altered(alteration))


@pytest.mark.parametrize("probe", ["crop", "jpeg", "blur", "rotation", "noise"])
def test_the_second_strength_alters_more_than_the_first(probe: str) -> None:
    weak, strong = (
        np.abs(altered(item).astype(int) - PICTURES).mean()
        for item in ALTERATIONS
        if item.probe == probe
    )
    assert strong > weak


def test_light_is_a_factor_that_is_clipped() -> None:
    grey = np.full((1, 4, 4, 3), 120, np.uint8)
    assert (lit(grey, 75) == 90).all()
    assert (lit(grey, 250) == 255).all()


def test_a_shift_moves_everything_by_one_pixel_and_repeats_the_edge() -> None:
    moved = shifted(PICTURES)
    assert np.array_equal(moved[:, 1:, 1:], PICTURES[:, :-1, :-1])
    assert np.array_equal(moved[:, 0, 1:], PICTURES[:, 0, :-1])


def test_white_stays_white_under_all_that_moves_or_smooths() -> None:
    white = np.full((2, 24, 18, 3), 255, np.uint8)
    random = np.random.default_rng(0)
    for after in (cropped(white, random, 80), rotated(white, 10), blurred(white, 2)):
        assert (after == 255).all()


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    grey = np.full((4, 40, 40, 3), 128, np.uint8)
    noise = noisy(grey, np.random.default_rng(0), 8).astype(int) - 128
    assert noise.std() == pytest.approx(8, rel=0.05)
    assert noise.mean() == pytest.approx(0, abs=0.2)


def test_files_without_loss_give_back_the_very_pixels() -> None:
    assert np.array_equal(encoded(PICTURES, "PNG"), PICTURES)
    assert np.array_equal(encoded(PICTURES, "WEBP", lossless=True), PICTURES)


def test_a_larger_file_comes_back_nearly_as_it_was() -> None:
    back = encoded(PICTURES, "PNG", times=2).astype(int)
    assert np.abs(back - PICTURES).mean() < 6
