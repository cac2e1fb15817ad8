"""Labels that are probably wrong, by confident learning, and how much of each class they are.

Confident learning: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty
in Dataset Labels", JAIR 70 (2021), as cleanlab implements it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.errors import BadInput

# Column → dtype of `find_label_issues`.
ISSUE_COLUMNS: dict[str, str] = {
    "row": "int64",
    "given": "str",
    "suggested": "str",
    "self_confidence": "float64",
    "rank": "int64",
}
_SUM_TOLERANCE = 1e-3


def find_label_issues(
    labels: Sequence[str],
    classes: Sequence[str],
    probabilities: npt.NDArray[np.float32],
    *,
    min_products: int = 5,
) -> pd.DataFrame:
    """The labels that are probably wrong, worst first.

    Labels that are no class of the model, or that fewer than ``min_products`` products
    have, cannot be judged and are never listed.

    Parameters
    ----------
    labels
        [n] labels as given.
    classes
        [c] what the columns of ``probabilities`` stand for; some may be nobody's label.
    probabilities
        float32 [n, c], rows sum to 1; from models that did not learn from the row itself.
    min_products
        Products that a label needs to be judged.

    Returns
    -------
    DataFrame
        ``row`` (position in ``labels``), ``given``, ``suggested`` (the likeliest class, never
        the given one), ``self_confidence`` (the probability of the given label, lower is
        worse) and ``rank`` (from 1).

    Raises
    ------
    BadInput
        Shapes do not fit, a class stands twice, or rows are no probabilities.
    """
    _check(labels, classes, probabilities)
    names = np.asarray(labels, dtype=str)
    rows = np.flatnonzero(np.isin(names, _judged(labels, classes, min_products)))
    position = {name: code for code, name in enumerate(classes)}
    given = np.array([position[name] for name in names[rows].tolist()], np.int64)
    chosen = probabilities[rows]
    wrong = np.flatnonzero(_flag(given, chosen))
    confidence = chosen[wrong, given[wrong]].astype(np.float64)
    suggested = np.asarray(classes, dtype=str)[chosen[wrong].argmax(axis=1)]
    issues = pd.DataFrame(
        {
            "row": rows[wrong],
            "given": names[rows[wrong]],
            "suggested": suggested,
            "self_confidence": confidence,
        }
    ).sort_values(["self_confidence", "row"], ignore_index=True)
    issues["rank"] = np.arange(1, len(issues) + 1)
    return issues.astype(ISSUE_COLUMNS)


def noise_share_per_class(
    labels: Sequence[str], issues: pd.DataFrame, *, min_products: int = 5
) -> dict[str, float]:
    """Label → the share of its products whose label is an issue, for labels that are judged.

    An estimate from above: a class that its pictures hardly tell from another has issues
    although all its labels are right. Compare a night with the night before.
    """
    given = Counter(issues["given"])
    return {
        name: given[name] / count
        for name, count in sorted(Counter(labels).items())
        if count >= min_products
    }


def label_table(
    labels: Sequence[str], issues: pd.DataFrame, *, min_products: int = 5
) -> pd.DataFrame:
    """One row a judged label, sorted: ``class``, ``products``, ``estimated_noise_share``."""
    shares = noise_share_per_class(labels, issues, min_products=min_products)
    products = Counter(labels)
    return pd.DataFrame(
        {
            "class": list(shares),
            "products": [products[name] for name in shares],
            "estimated_noise_share": list(shares.values()),
        }
    ).astype({"class": "str", "products": "int64", "estimated_noise_share": "float64"})


def label_figures(table: pd.DataFrame, *, min_products: int) -> pd.DataFrame:
    """One row for a gate, of a `label_table`.

    ``products`` and ``classes`` judged, ``overall_noise_share``, and of the classes with at
    least ``min_products`` products the worst: ``worst_class`` and
    ``worst_class_noise_share``, empty and 0 where there is none.
    """
    products = int(table["products"].sum())
    issues = float((table["products"] * table["estimated_noise_share"]).sum())
    large = table[table["products"] >= min_products]
    # Of equals the first by name.
    worst = large.sort_values(["estimated_noise_share", "class"], ascending=[False, True]).head(1)
    return pd.DataFrame(
        [
            {
                "products": products,
                "classes": len(table),
                "overall_noise_share": issues / products if products else 0.0,
                "worst_class": worst["class"].iloc[0] if len(worst) else "",
                "worst_class_noise_share": (
                    float(worst["estimated_noise_share"].iloc[0]) if len(worst) else 0.0
                ),
            }
        ]
    )


def _check(
    labels: Sequence[str], classes: Sequence[str], probabilities: npt.NDArray[np.float32]
) -> None:
    if probabilities.shape != (len(labels), len(classes)):
        raise BadInput(
            f"label check: probabilities {list(probabilities.shape)},"
            f" expected {[len(labels), len(classes)]} (products, classes)"
        )
    if len(set(classes)) != len(classes):
        raise BadInput("label check: a class stands twice; give each column its own")
    sums = probabilities.sum(axis=1, dtype=np.float64)
    # Written so that NaN is refused as well.
    sound = (np.abs(sums - 1) <= _SUM_TOLERANCE) & (probabilities.min(axis=1, initial=0) >= 0)
    if not sound.all():
        raise BadInput(
            f"label check: {int((~sound).sum())} rows are no probabilities;"
            " they must be at least 0 and sum to 1"
        )


def _judged(labels: Sequence[str], classes: Sequence[str], min_products: int) -> list[str]:
    products = Counter(labels)
    return [name for name in classes if products[name] >= min_products]


def _flag(
    given: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """[rows] whether the label is an issue, by cleanlab."""
    if len(np.unique(given)) < 2:
        return np.zeros(len(given), bool)  # nothing to take one label for another by
    from cleanlab.filter import find_label_issues as confident_learning

    with warnings.catch_warnings():
        # Classes that nobody's label is; they may be suggested all the same.
        warnings.filterwarnings("ignore", "May not flag all label issues", UserWarning)
        # "both": pruned by class and by noise rate; of its filters the fewest false alarms.
        # One job: its processes would fork this one, with all its threads.
        mask: npt.NDArray[np.bool_] = confident_learning(
            given, probabilities, filter_by="both", n_jobs=1
        )
    return mask
