"""Put an earlier release back into service, or let the nights go on from there."""

from __future__ import annotations

from recsys import deploy, names, release
from recsys.artifacts.digests import canonical_json
from recsys.artifacts.live import read_live
from recsys.artifacts.model import ApprovedModel
from recsys.artifacts.release import Release
from recsys.errors import BadInput, ReleaseUnknown
from recsys.stages.assemble_release import restore
from recsys.stages.find_release import find_release
from recsys.stages.night import Night, Opened
from recsys.stages.purges import current_purges

ROLLBACKS_BRANCH = "rollbacks"


def roll_back(
    night: Night, release_id: str, who: str, why: str, *, instead_of: str = ""
) -> tuple[release.Event, float]:
    """Make an earlier release live again: no training, no building; returns event and seconds.

    Without a ``release_id`` it is the one that was live before the present one; with
    ``instead_of``, the present one must be that, or nothing is done. A release
    that a purge replaced is taken in its purged form. Until it is lifted or beaten, the
    rollback keeps the nights from redeploying (`recsys.stages.standing_rollback`).

    Raises
    ------
    BadInput
        No ``why``; the release is live already; or another is than ``instead_of``.
    ReleaseUnknown
        No such release, or none was live before.
    DeployFailed, ServiceUnavailable
        The service did not take it up; what was live still is.
    """
    if not why.strip():
        raise BadInput("a rollback needs a reason that the next person can read (--why)")
    releases_dir = night.settings.releases_dir
    with deploy.one_at_a_time(releases_dir):
        live = read_live(releases_dir)
        if instead_of not in ("", live):
            raise BadInput(f"release {live} is live now, not {instead_of}: nothing was changed")
        wanted = current_purges(night).artifact.successor(release_id or _before(night, live))
        if wanted == live:
            raise BadInput(f"release {wanted} is live already")
        bundle = find_release(night, wanted)
        restore(night, bundle.ref)
        done = deploy.open_target(night.settings).roll_back(wanted)
        event = release.record_event(
            releases_dir, event="rolled_back", release=wanted, previous=live, why=why, who=who
        )
    _commit(night, bundle, event)
    _crown(night, bundle.artifact, event)
    return event, done.seconds


def lift_rollback(night: Night, who: str, why: str) -> release.Event:
    """Let the nights redeploy again.

    Raises
    ------
    BadInput
        No ``why``, or no rollback stands.
    """
    if not why.strip():
        raise BadInput("lifting a rollback needs a reason (--why)")
    releases_dir = night.settings.releases_dir
    standing = release.standing_rollback(release.history(releases_dir))
    if standing is None:
        raise BadInput("no rollback stands: the next night may deploy as it is")
    return release.record_event(
        releases_dir,
        event="rollback_lifted",
        release=standing.release,
        previous=standing.previous,
        why=why,
        who=who,
    )


def _before(night: Night, live: str | None) -> str:
    """The release that was live before the present one."""
    replaced = current_purges(night).artifact
    was_live = [
        replaced.successor(event.release)
        for event in release.history(night.settings.releases_dir)
        if event.event in release.WENT_LIVE
    ]
    for release_id in reversed(was_live):
        if release_id != live:
            return release_id
    raise ReleaseUnknown(
        "no other release was ever live; name one of those that `recsys releases` lists"
    )


def _commit(night: Night, bundle: Opened[Release], event: release.Event) -> None:
    """The event as a commit made of its release, so that lineage shows it."""
    record = {"stage": "roll_back", "event": vars(event)}
    night.store.ensure_repo(names.DEPLOYMENTS)
    with night.store.commit(
        names.DEPLOYMENTS,
        inputs=[bundle.ref],
        message=canonical_json(record).decode(),
        branch=ROLLBACKS_BRANCH,
        replace=True,
    ):
        pass


def _crown(night: Night, bundle: Release, event: release.Event) -> None:
    """The registry's champion is what serves; one that reigns already keeps its reasons."""
    version = night.open(bundle.inputs[names.CHAMPIONS], ApprovedModel).artifact.registry_version
    champion = night.registry.champion()
    if champion is None or champion.version != version:
        said = f"{event.who} rolled back to release {event.release}: {event.why}"
        night.registry.promote(version, [said])
