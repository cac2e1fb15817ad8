"""Put tonight's release into service, ask it the probe queries, and take it back if it fails."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys import deploy, names
from recsys.artifacts.live import read_live
from recsys.artifacts.products import ProductTable
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import Release
from recsys.errors import RecsysError
from recsys.release import record_event
from recsys.stages.assemble_release import restore
from recsys.stages.judge import judge
from recsys.stages.night import Night, Opened

_PROBES = 32


def run(night: Night) -> Receipt:
    """Make the release live; on a refusal the one before it is live again."""
    bundle = night.result_of("assemble_release", Release)
    restore(night, bundle.ref)
    target = deploy.LocalSeldon(
        releases_dir=night.settings.releases_dir,
        serving_dir=night.settings.serving_dir,
        predictions_url=night.settings.predictions_url,
        timeout_seconds=night.settings.deploy_timeout_seconds,
    )
    release_id = bundle.artifact.id
    previous = read_live(night.settings.releases_dir)
    receipt = Receipt(
        Release.kind, bundle.ref, bundle.artifact.digest, fresh=previous != release_id
    )
    if not receipt.fresh:
        target.deploy(release_id)
        return receipt
    try:
        target.deploy(release_id)
        _probe(night, target, bundle)
    except RecsysError as refusal:
        _take_back(night, target, release_id, previous, str(refusal))
        raise
    record_event(
        night.settings.releases_dir,
        event="deployed",
        release=release_id,
        previous=previous,
        why=f"night {night.date}",
    )
    return receipt


def _probe(night: Night, target: deploy.LocalSeldon, bundle: Opened[Release]) -> None:
    table = ProductTable.load(night.settings.releases_dir / bundle.artifact.id)
    rng = np.random.default_rng(night.settings.seed)
    rows = rng.choice(len(table), size=min(_PROBES, len(table)), replace=False)
    ids = [bytes(table.ids[row]).decode() for row in sorted(rows)]
    answers = pd.DataFrame(target.probe(ids, bundle.artifact.id))
    judge(night, names.SUITE_DEPLOYMENT, answers, subject=bundle.ref)


def _take_back(
    night: Night, target: deploy.LocalSeldon, refused: str, previous: str | None, why: str
) -> None:
    if previous is not None and read_live(night.settings.releases_dir) == refused:
        target.roll_back(previous)
    record_event(
        night.settings.releases_dir,
        event="refused",
        release=refused,
        previous=previous,
        why=why,
    )
