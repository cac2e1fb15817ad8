from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from recsys.errors import BadInput
from recsys.labels import (
    cross_fitted_probabilities,
    find_label_issues,
    label_figures,
    label_table,
    noise_share_per_class,
)

CLASSES = ("Belts", "Shirts", "Watches")


def sure_of(*truth: str, classes: tuple[str, ...] = CLASSES) -> npt.NDArray[np.float32]:
    """0.9 for each row's true class, the rest shared by the others."""
    rows = np.full((len(truth), len(classes)), 0.1 / (len(classes) - 1), np.float32)
    for row, name in enumerate(truth):
        rows[row, classes.index(name)] = 0.9
    return rows


TRUTH = ["Belts"] * 20 + ["Shirts"] * 20 + ["Watches"] * 20


def shop(
    products: int, types: int, seed: int = 1, spread: float = 0.35
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.str_]]:
    """Unit vectors around a direction for each type, and the true labels."""
    random = np.random.default_rng(seed)
    directions = np.eye(types, 16)
    kinds = np.arange(products) % types
    vectors = directions[kinds] + random.normal(scale=spread / 4, size=(products, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.array([f"type{kind}" for kind in kinds])


def with_swaps(
    truth: npt.NDArray[np.str_], share: float, seed: int = 2
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    """The labels with so many moved to the next type, and the rows of those."""
    rows = np.random.default_rng(seed).choice(len(truth), round(share * len(truth)), replace=False)
    labels = truth.copy()
    names = sorted(set(truth))
    labels[rows] = [names[(names.index(name) + 1) % len(names)] for name in truth[rows]]
    return labels, rows


def test_a_label_that_the_model_contradicts_is_an_issue() -> None:
    labels = TRUTH.copy()
    labels[3] = "Watches"
    issues = find_label_issues(labels, CLASSES, sure_of(*TRUTH))
    assert issues.to_dict("records") == [
        {
            "row": 3,
            "given": "Watches",
            "suggested": "Belts",
            "self_confidence": pytest.approx(0.05),
            "rank": 1,
        }
    ]


def test_the_worst_label_comes_first() -> None:
    labels = TRUTH.copy()
    labels[3], labels[25] = "Watches", "Belts"
    probabilities = sure_of(*TRUTH)
    probabilities[25] = [0.01, 0.97, 0.02]
    issues = find_label_issues(labels, CLASSES, probabilities)
    assert issues["row"].to_list() == [25, 3]
    assert issues["rank"].to_list() == [1, 2]
    assert issues["self_confidence"].is_monotonic_increasing


def test_right_labels_are_no_issues() -> None:
    assert len(find_label_issues(TRUTH, CLASSES, sure_of(*TRUTH))) == 0


def test_rare_labels_and_labels_that_no_model_knows_are_not_judged() -> None:
    labels = [*TRUTH, *["Sunglasses"] * 10, *["Rare"] * 4]
    classes = (*CLASSES, "Rare")
    probabilities = sure_of(*TRUTH, *["Belts"] * 14, classes=classes)
    assert len(find_label_issues(labels, classes, probabilities)) == 0
    listed = find_label_issues(labels, classes, probabilities, min_products=4)
    assert set(listed["given"]) <= {"Rare"}


def test_a_class_without_products_may_be_suggested_to_none() -> None:
    classes = (*CLASSES, "Socks")
    labels = TRUTH.copy()
    labels[3] = "Watches"
    issues = find_label_issues(labels, classes, sure_of(*TRUTH, classes=classes))
    assert issues["row"].to_list() == [3]


def test_nothing_can_be_said_of_one_class_or_no_products() -> None:
    one = find_label_issues(["Belts"] * 9, CLASSES, sure_of(*["Shirts"] * 9))
    none = find_label_issues([], CLASSES, np.zeros((0, 3), np.float32))
    assert len(one) == len(none) == 0
    assert one.dtypes.equals(none.dtypes)


@pytest.mark.parametrize(
    ("classes", "probabilities", "message"),
    [
        (CLASSES, np.ones((2, 2), np.float32) / 2, r"\[2, 2\], expected \[2, 3\]"),
        (("A", "A"), np.ones((2, 2), np.float32) / 2, "a class stands twice"),
        (("A", "B"), np.ones((2, 2), np.float32), "2 rows are no probabilities"),
        (("A", "B"), np.full((2, 2), np.nan, np.float32), "2 rows are no probabilities"),
        (("A", "B"), np.array([[2, -1], [0, 1]], np.float32), "1 rows are no probabilities"),
    ],
)
def test_what_is_no_probability_is_refused(
    classes: tuple[str, ...], probabilities: npt.NDArray[np.float32], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        find_label_issues(["A", "B"], classes, probabilities)


def test_noise_shares_are_issues_by_products() -> None:
    labels = ["Belts"] * 10 + ["Shirts"] * 40 + ["Rare"] * 2
    issues = pd.DataFrame({"given": ["Belts", "Shirts", "Shirts"]})
    assert noise_share_per_class(labels, issues) == {"Belts": 0.1, "Shirts": 0.05}
    table = label_table(labels, issues)
    assert table.to_dict("list") == {
        "class": ["Belts", "Shirts"],
        "products": [10, 40],
        "estimated_noise_share": [0.1, 0.05],
    }


def test_the_figures_name_the_worst_of_the_large_classes() -> None:
    labels = ["Belts"] * 10 + ["Shirts"] * 40 + ["Ties"] * 50
    table = label_table(labels, pd.DataFrame({"given": ["Belts", "Shirts", "Shirts"]}))
    assert label_figures(table, min_products=20).iloc[0].to_dict() == {
        "products": 100,
        "classes": 3,
        "overall_noise_share": pytest.approx(0.03),
        "worst_class": "Shirts",
        "worst_class_noise_share": 0.05,
    }
    nothing = label_figures(table.head(0), min_products=20).iloc[0]
    assert nothing["worst_class"] == ""
    assert nothing["overall_noise_share"] == nothing["worst_class_noise_share"] == 0.0


def test_swapped_labels_are_found_by_models_that_did_not_see_them() -> None:
    vectors, truth = shop(600, types=6)
    labels, swapped = with_swaps(truth, 0.02)
    groups = [f"g{row}" for row in range(600)]
    classes, probabilities = cross_fitted_probabilities(vectors, labels.tolist(), groups)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    issues = find_label_issues(labels.tolist(), classes, probabilities)
    assert set(issues["row"]) <= set(swapped.tolist())
    assert len(issues) >= 0.8 * len(swapped)
    assert issues["suggested"].to_list() == truth[issues["row"]].tolist()


def test_titles_settle_what_pictures_leave_open() -> None:
    vectors, truth = shop(400, types=4, spread=3.0)  # types hardly differ
    labels, swapped = with_swaps(truth, 0.02)
    titles = [f"Brand {row % 7} nice {name}thing" for row, name in enumerate(truth)]
    titles = [
        title.replace("type", "kind").translate(str.maketrans("0123", "abcd")) for title in titles
    ]
    groups = [f"g{row}" for row in range(400)]
    alone = cross_fitted_probabilities(vectors, labels.tolist(), groups)
    both = cross_fitted_probabilities(vectors, labels.tolist(), groups, titles)
    found = find_label_issues(labels.tolist(), *both)
    assert set(swapped.tolist()) <= set(found["row"])
    assert len(found) < len(find_label_issues(labels.tolist(), *alone))


def test_a_picture_does_not_vouch_for_its_own_copies() -> None:
    vectors, truth = shop(300, types=3)
    # Eight copies of one picture of type0, all labelled type1.
    vectors[:8], truth[:8] = vectors[0], "type1"
    together = ["copies"] * 8 + [f"g{row}" for row in range(8, 300)]
    classes, grouped = cross_fitted_probabilities(vectors, truth.tolist(), together)
    _, apart = cross_fitted_probabilities(
        vectors, truth.tolist(), [f"g{row}" for row in range(300)]
    )
    column = classes.index("type1")
    assert grouped[:8, column].max() < apart[:8, column].min()


def test_labels_of_one_picture_are_judged_but_are_no_class() -> None:
    vectors, truth = shop(100, types=3)
    labels = [*truth[:98].tolist(), "lonely", "lonely"]
    groups = [*[f"g{row}" for row in range(98)], "pair", "pair"]
    classes, probabilities = cross_fitted_probabilities(vectors, labels, groups)
    assert classes == ("type0", "type1", "type2")
    assert probabilities.shape == (100, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_same_seed_gives_the_same_probabilities() -> None:
    vectors, truth = shop(90, types=3)
    groups = [str(row) for row in range(90)]
    first = cross_fitted_probabilities(vectors, truth.tolist(), groups, seed=3)[1]
    assert np.array_equal(
        first, cross_fitted_probabilities(vectors, truth.tolist(), groups, seed=3)[1]
    )


def test_the_probabilities_do_not_depend_on_the_machines_threads() -> None:
    random = np.random.default_rng(9)
    truth = random.integers(0, 12, 900)
    vectors = (np.eye(12)[truth] @ random.normal(size=(12, 96))).astype(np.float32)
    vectors += random.normal(size=vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels, groups = [f"type {one}" for one in truth], [str(row) for row in range(900)]

    def with_threads(count: int) -> npt.NDArray[np.float32]:
        with threadpool_limits(count, user_api="blas"):
            return cross_fitted_probabilities(vectors, labels, groups)[1]

    assert np.array_equal(with_threads(1), with_threads(2))


def test_two_pictures_of_a_label_are_enough_to_learn_it_in_every_fold() -> None:
    vectors, truth = shop(60, types=3)
    labels = [*truth[:58].tolist(), "pair", "pair"]
    for seed in range(5):
        classes, probabilities = cross_fitted_probabilities(
            vectors, labels, [str(row) for row in range(60)], seed=seed
        )
        assert probabilities[58:, classes.index("pair")].min() > 0


def test_what_cannot_be_cross_fitted_is_refused() -> None:
    vectors, truth = shop(30, types=3)
    rows = [str(row) for row in range(30)]
    with pytest.raises(BadInput, match="29 labels for 30 vectors"):
        cross_fitted_probabilities(vectors, truth.tolist()[:29], rows)
    with pytest.raises(BadInput, match="1 folds"):
        cross_fitted_probabilities(vectors, truth.tolist(), rows, folds=1)
    with pytest.raises(BadInput, match="1 labels have two pictures"):
        cross_fitted_probabilities(vectors, ["same"] * 30, rows)
