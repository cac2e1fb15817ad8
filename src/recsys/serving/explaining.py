"""Why each product of an answer is in it: what its score is made of, and what it shares.

``cosine + boost + diversity`` is what a result was ranked by, as `recsys.serving.ranking`
defines it: ``diversity`` is what its likeness to the results before it took away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recsys.artifacts.products import ProductTable
from recsys.serving.ranking import SCORE_DIGITS, Ranked, Scores, told


def explanations(
    products: ProductTable, ranked: Ranked, boosts: Scores, asked: int | None
) -> Iterator[dict[str, Any]]:
    """One explanation for each product of an answer, in its order.

    Parameters
    ----------
    boosts
        [m] what was added to each cosine.
    asked
        The row of the product asked about; None when a picture was.
    """
    diversity = ranked.rank_scores - (ranked.scores + boosts)
    parts = zip(
        ranked.rows.tolist(),
        told(ranked.scores).tolist(),
        boosts.round(SCORE_DIGITS).tolist(),
        (diversity.round(SCORE_DIGITS) + 0.0).tolist(),  # no -0.0
        strict=True,
    )
    for place, (row, cosine, boost, lost) in enumerate(parts):
        found: dict[str, Any] = {"cosine": cosine, "boost": boost, "diversity": lost}
        if ranked.likeness is not None:
            found["likeness"] = round(float(ranked.likeness[place]), SCORE_DIGITS)
        found["picture_products"] = products.showing_the_picture_of(row)
        if asked is not None:
            found["same_picture"] = products.show_one_picture(row, asked)
            found["shared_attributes"] = products.shared_attributes(row, asked)
        yield found
