"""Which attributes are learned, and on which rows."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.errors import BadInput
from recsys.training.heads import choose_heads

TRAIN = np.arange(4)
LABELS = {
    "articleType": ["Shirts", "Belts", "Shirts", "Belts", "Shirts", "Hats"],
    "gender": ["Men", "Men", "Women", "NA", "Women", "NA"],
    "season": ["Fall", "Fall", "Fall", "Fall", "Summer", "Fall"],
}
LIKENESS = {"gender": 0.3, "articleType": 0.5, "season": 0.2}


def test_the_article_type_comes_first_and_classes_are_those_of_the_train_side() -> None:
    heads = choose_heads(LABELS, TRAIN, LIKENESS)
    assert [(head.name, head.classes) for head in heads] == [
        ("articleType", ("Belts", "Shirts")),
        ("gender", ("Men", "Women")),
    ]
    assert heads[0].codes.tolist() == [1, 0, 1, 0, 1, -1]


def test_an_unknown_value_is_no_class() -> None:
    gender = choose_heads(LABELS, TRAIN, LIKENESS)[1]
    assert gender.known.tolist() == [True, True, True, False, True, False]


def test_an_attribute_that_is_constant_is_left_out_and_the_others_shares_grow() -> None:
    heads = choose_heads(LABELS, TRAIN, LIKENESS)
    assert [head.share for head in heads] == pytest.approx([0.625, 0.375])  # 0.5 and 0.3 of 0.8


def test_an_attribute_that_the_catalog_lacks_or_that_has_no_share_is_not_learned() -> None:
    heads = choose_heads(LABELS, TRAIN, {"articleType": 1.0, "gender": 0.0, "baseColour": 0.5})
    assert [(head.name, head.share) for head in heads] == [("articleType", 1.0)]


@pytest.mark.parametrize(
    ("likeness", "message"),
    [
        ({"gender": 1.0}, "articleType must be learned"),
        ({"articleType": 0.0, "gender": 1.0}, "articleType must be learned"),
    ],
)
def test_a_likeness_without_the_article_type_is_refused(
    likeness: dict[str, float], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        choose_heads(LABELS, TRAIN, likeness)
