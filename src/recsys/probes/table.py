"""The probes' figures as one row, which the suite ``model_probes`` judges."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from recsys.probes.behaviour import KEEP
from recsys.probes.robustness import UNALTERED

FGSM = "fgsm"
ENCODE_MS = "encode_ms"


def probe_figures(robustness: pd.DataFrame, behaviour: pd.DataFrame) -> dict[str, float]:
    """The figures of both tables, by name.

    ``<probe>_<strength>_overlap_at_10`` for each alteration, ``least_precision_kept`` (the
    lowest precision_at_10 under any but the attack, as a share of that of the pictures as they
    are), ``probed_accuracy`` and ``fgsm_<strength>_accuracy``; ``kept_<case>`` and
    ``changed_<case>`` for behaviour.
    """
    unaltered = robustness[robustness["probe"] == UNALTERED].iloc[0]
    altered = robustness[robustness["probe"] != UNALTERED]
    attacked = altered["probe"] == FGSM
    names = altered["probe"] + "_" + altered["strength"].astype(str)
    harmless = altered.loc[~attacked, "precision_at_10"]
    figures = {
        **dict(zip(names + "_overlap_at_10", altered["overlap_at_10"], strict=True)),
        "least_precision_kept": harmless.min() / max(unaltered["precision_at_10"], 1e-9),
        "probed_accuracy": unaltered["accuracy"],
        **dict(zip(names[attacked] + "_accuracy", altered.loc[attacked, "accuracy"], strict=True)),
    }
    for case in behaviour.itertuples(index=False):
        prefix = "kept" if case.must == KEEP else "changed"
        figures[f"{prefix}_{case.case}"] = case.value
    return {name: float(value) for name, value in figures.items()}


def probes_table(figures: Mapping[str, float], *, encode_budget_ms: float) -> pd.DataFrame:
    """One row with a column a figure; one that was not measured is no column, and refuses.

    Of ``encode_ms`` only ``encode_within_budget`` is judged: a verdict is part of the release,
    which must come out the same when it is made again on another machine.
    """
    judged = {name: value for name, value in figures.items() if name != ENCODE_MS}
    return pd.DataFrame(
        [{**judged, "encode_within_budget": figures[ENCODE_MS] <= encode_budget_ms}]
    )
