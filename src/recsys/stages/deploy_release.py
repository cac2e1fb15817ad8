"""Put tonight's release into service, ask it the probe queries, and take it back if it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recsys import deploy, names
from recsys.artifacts.deployment import DeployedRelease
from recsys.artifacts.live import read_live
from recsys.artifacts.products import ProductTable
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import Release
from recsys.artifacts.trial import ShadowedRelease
from recsys.artifacts.verdict import Verdict
from recsys.changes import Spool
from recsys.errors import RecsysError
from recsys.release import WENT_LIVE, history, record_event
from recsys.stages.assemble_release import restore
from recsys.stages.judge import judge
from recsys.stages.night import Night, Opened
from recsys.stages.purges import require_nothing_purged
from recsys.stages.retire_releases import retire_releases
from recsys.stages.standing_rollback import require_better_than_rolled_back
from recsys.stages.task import Task, suite_digest

# On ``master`` are those of the time before releases were tried in a shadow.
BRANCH = "shadowed"
_PROBES = 32


def run(night: Night) -> Receipt:
    """Make the release live and commit that it is; on a refusal the one before is live again."""
    shadowed = night.result_of("shadow_release", ShadowedRelease)
    bundle = night.open(shadowed.artifact.release, Release)
    restore(night, bundle.ref)
    with deploy.one_at_a_time(night.settings.releases_dir):
        require_nothing_purged(night, bundle.artifact)
        receipt = _run(night, bundle, shadowed.ref)
        retire_releases(night)
    return receipt


def _run(night: Night, bundle: Opened[Release], shadow: str) -> Receipt:
    settings = night.settings
    target = deploy.open_target(settings)
    task = Task(
        night,
        "deploy_release",
        [bundle.ref, shadow],
        {"seed": settings.seed, **suite_digest(night, names.SUITE_DEPLOYMENT)},
        rooms=("deploy", "gates"),
    )
    release_id = bundle.artifact.id
    remembered = task.remembered()
    if read_live(settings.releases_dir) == release_id and remembered is not None:
        target.deploy(release_id)  # a worker may have been started since
        return remembered
    previous = _in_service(settings.releases_dir, release_id)
    try:
        require_better_than_rolled_back(night, bundle)
        target.deploy(release_id)
        verdict = _probe(night, target, bundle)
    except RecsysError as refusal:
        _take_back(night, target, release_id, previous, str(refusal))
        raise
    if previous != release_id:
        record_event(
            settings.releases_dir,
            event="deployed",
            release=release_id,
            previous=previous,
            why=f"night {night.date}",
        )
    deployed = DeployedRelease(bundle.ref, release_id, verdict)
    return task.publish(deployed, branch=BRANCH)


def _probe(night: Night, target: deploy.DeploymentTarget, bundle: Opened[Release]) -> Verdict:
    table = ProductTable.load(night.settings.releases_dir / bundle.artifact.id)
    rng = np.random.default_rng(night.settings.seed)
    rows = rng.choice(len(table), size=min(_PROBES, len(table)), replace=False)
    ids = [bytes(table.ids[row]).decode() for row in sorted(rows)]
    answers = pd.DataFrame(target.probe(ids, bundle.artifact.id))
    # A product that was delisted since the night began is rightly unknown.
    delisted = Spool(night.settings.changes_dir).delisted(bundle.artifact.changes_through)
    answers = answers[~answers["product_id"].isin(delisted)]
    return judge(night, names.SUITE_DEPLOYMENT, answers, subject=bundle.ref)


def _in_service(releases_dir: Path, release_id: str) -> str | None:
    """The release that was in service before this deployment touched the pointer.

    A pointer that names this release already may be what a killed deployment left; then
    the history knows what was good before.
    """
    live = read_live(releases_dir)
    if live != release_id:
        return live
    good = [event.release for event in history(releases_dir) if event.event in WENT_LIVE]
    return good[-1] if good else None


def _take_back(
    night: Night, target: deploy.DeploymentTarget, refused: str, previous: str | None, why: str
) -> None:
    releases_dir = night.settings.releases_dir
    # First, so that it is known even when the service cannot follow back.
    record_event(releases_dir, event="refused", release=refused, previous=previous, why=why)
    if read_live(releases_dir) == refused:
        if previous is None:
            target.withdraw()
        else:
            target.roll_back(previous)
