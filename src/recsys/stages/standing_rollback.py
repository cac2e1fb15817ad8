"""A rollback stands until tonight's release beats it, or a person lifts it."""

from __future__ import annotations

import pandas as pd

from recsys import names, release
from recsys.artifacts.model import TrainedModel
from recsys.artifacts.release import Release
from recsys.stages.find_release import find_release
from recsys.stages.frozen_queries import FrozenQueries
from recsys.stages.judge import judge
from recsys.stages.night import Night, Opened


def require_better_than_rolled_back(night: Night, bundle: Opened[Release]) -> None:
    """Let tonight's release pass if no rollback stands, or if its model is the better one.

    Both models are asked the same frozen queries over tonight's catalog.

    Raises
    ------
    GateRefused
        The suite ``rollback`` did not let it pass; the release rolled back to stays live.
    """
    standing = release.standing_rollback(release.history(night.settings.releases_dir))
    if standing is None or standing.release == bundle.artifact.id:
        return
    held = find_release(night, standing.release).artifact
    queries = FrozenQueries.of(
        night, night.open(bundle.artifact.inputs[names.MODELS], TrainedModel)
    )
    gain = _precision(night, queries, bundle.artifact) - _precision(night, queries, held)
    table = pd.DataFrame(
        [
            {
                "precision_at_10_gain": gain,
                "rolled_back_from": standing.previous == bundle.artifact.id,
            }
        ]
    )
    judge(night, names.SUITE_ROLLBACK, table, subject=bundle.ref)


def _precision(night: Night, queries: FrozenQueries, bundle: Release) -> float:
    asked = queries.put_to(night, bundle.inputs[names.MODELS], bundle.model_digest)
    return asked.figures["precision_at_10"]
