"""Which labels are probably wrong: out-of-sample probabilities, ranked issues, noise by class.

cleanlab and scikit-learn are loaded by the calls, never by importing this room.
"""

from recsys.labels.issues import (
    find_label_issues,
    label_figures,
    label_table,
    noise_share_per_class,
)
from recsys.labels.probabilities import cross_fitted_probabilities

__all__ = [
    "cross_fitted_probabilities",
    "find_label_issues",
    "label_figures",
    "label_table",
    "noise_share_per_class",
]
