"""What is wrong with vectors, whatever they are used for."""

import numpy as np
import pytest

from evaluation.catalogs import units
from recsys.evaluation import largest_duplicate_distance
from recsys.evaluation.health import embedding_health


def test_rows_that_are_not_finite_and_dimensions_that_collapsed_are_counted() -> None:
    vectors = units(10, 4)
    vectors[:, 3] = 0
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = np.nan
    health = embedding_health(vectors)
    assert health["embedding_nan_share"] == pytest.approx(0.1)
    assert health["embedding_norm_error"] < 1e-6
    assert health["collapsed_dimension_share"] == 0.25
    assert embedding_health(vectors * 2)["embedding_norm_error"] == pytest.approx(1, abs=1e-5)


def test_the_effective_rank_counts_the_directions_in_use() -> None:
    assert embedding_health(units(4_000, 8))["effective_rank"] == pytest.approx(8, abs=0.05)
    plane = np.zeros((4_000, 8), np.float32)
    plane[:, 2:4] = units(4_000, 2)
    assert embedding_health(plane)["effective_rank"] == pytest.approx(2, abs=0.01)
    assert embedding_health(np.repeat(units(1), 9, axis=0))["effective_rank"] == pytest.approx(1)


def test_vectors_of_which_none_is_sound_fail_everything() -> None:
    health = embedding_health(np.full((3, 4), np.nan, np.float32))
    assert health["embedding_nan_share"] == health["collapsed_dimension_share"] == 1
    assert health["effective_rank"] == 0


def test_products_with_the_same_pixels_should_have_the_same_vector() -> None:
    vectors = units(4)
    pictures = ["one", "two", "one", "one"]
    vectors[2] = vectors[3] = vectors[0]
    assert largest_duplicate_distance(vectors, pictures) == {"duplicate_max_distance": 0}
    vectors[3] = -vectors[0]
    assert largest_duplicate_distance(vectors, pictures)["duplicate_max_distance"] == pytest.approx(
        2
    )
    assert largest_duplicate_distance(vectors, list("abcd"))["duplicate_max_distance"] == 0
