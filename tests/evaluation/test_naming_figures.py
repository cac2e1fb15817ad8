"""Accuracy, recall by class and confusion."""

import pytest

from recsys.evaluation import evaluate_naming


def test_shares_come_with_their_intervals() -> None:
    found = evaluate_naming(["hat"] * 10 + ["shoe"] * 10, ["hat"] * 20)
    assert found.figures["accuracy"] == 0.5
    assert found.figures["accuracy_low"] == pytest.approx(0.2993, abs=5e-5)
    assert found.figures["accuracy_high"] == pytest.approx(0.7007, abs=5e-5)
    hat, shoe = found.per_class.to_dict("records")
    assert (hat["label"], hat["recall"], hat["support"]) == ("hat", 1, 10)
    assert (shoe["label"], shoe["recall"], shoe["support"]) == ("shoe", 0, 10)
    assert hat["recall_low"] == pytest.approx(0.7225, abs=5e-5)
    assert shoe["recall_high"] == pytest.approx(0.2775, abs=5e-5)


def test_the_confusion_counts_every_query_once() -> None:
    found = evaluate_naming(["a", "a", "b", "c"], ["a", "b", "b", "b"])
    assert [tuple(row) for row in found.confusion.to_numpy().tolist()] == [
        ("a", "a", 1),
        ("a", "b", 1),
        ("b", "b", 1),
        ("c", "b", 1),
    ]


def test_a_label_that_was_never_learned_has_a_recall_of_zero() -> None:
    found = evaluate_naming(["new", "old"], ["old", "old"])
    assert found.per_class["recall"].tolist() == [0, 1]
