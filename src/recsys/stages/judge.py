"""Put a table before a gate, with this night's folders."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from recsys import gates
from recsys.artifacts.verdict import Verdict
from recsys.stages.night import Night


def judge(
    night: Night,
    suite: str,
    table: pd.DataFrame,
    *,
    subject: str,
    replacements: Mapping[str, float] | None = None,
) -> Verdict:
    """The suite's verdict on the table, kept with its Data Docs.

    Raises
    ------
    GateRefused
        Something critical did not hold.
    """
    return gates.check(
        suite,
        table,
        subject=subject,
        expectations_dir=night.settings.expectations_dir,
        docs_dir=night.settings.data_docs_dir,
        night=night.date,
        replacements=replacements,
    )
