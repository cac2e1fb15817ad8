"""Changes between nights, laid over tonight's delivery and committed as one of its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from recsys import catalog, names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.change import Action, Change, FoldedChanges, picture_path
from recsys.artifacts.digests import canonical_json
from recsys.artifacts.live import read_live
from recsys.artifacts.release import read_manifest
from recsys.changes import Spool
from recsys.errors import ArtifactInvalid, ContentRemoved
from recsys.settings import Settings
from recsys.stages.night import Night, Opened
from recsys.stages.record import commit_record

STYLES = "/styles.csv"
# Catalogs that were made of changes have an input; those of a delivery alone have none.
BRANCH = "changed"


@dataclass(frozen=True)
class Pending:
    """What a night has to lay over its delivery.

    ``through`` is the number of the last change that its catalog then has folded in, now or
    on an earlier night. ``folded`` is the commit of those to lay over, None for none.
    """

    through: int
    folded: Opened[FoldedChanges] | None

    @property
    def parameters(self) -> dict[str, int]:
        """Of the catalog's task; none for a shop without changes."""
        return {"changes_through": self.through} if self.through else {}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Of the catalog's commit."""
        return () if self.folded is None else (self.folded.ref,)


def folded_by_live(settings: Settings) -> int:
    """The number of the last change that the live release has folded in."""
    live = read_live(settings.releases_dir)
    return 0 if live is None else read_manifest(settings.releases_dir / live).changes_through


def pending_changes(night: Night) -> Pending:
    """The changes that shoppers see now beside the live release, committed."""
    spool = Spool(night.settings.changes_dir)
    folded, last = folded_by_live(night.settings), spool.last()
    sound = tuple(change for change in spool.after(folded, last) if _is_sound(spool, change))
    if not sound:
        return Pending(folded, None)
    return Pending(max(folded, last), _committed(night, spool, FoldedChanges(sound)))


def laid_over(
    night: Night, files: Iterator[tuple[str, bytes]], folded: Opened[FoldedChanges]
) -> Iterator[tuple[str, bytes]]:
    """A catalog's files with the changes in them: rows as a delta's, each picture the last one.

    Raises
    ------
    DeliveryUnreadable
        The delivered table cannot be read, so nothing can be laid over it.
    """
    holding = folded.artifact.holding
    upserts = [change for change in holding.values() if change.action is Action.UPSERT]
    delisted = {change.product for change in holding.values() if change.action is Action.DELIST}
    settled = delisted.union(change.product for change in upserts)
    for path, content in files:
        if path == STYLES:
            yield path, catalog.with_rows(content, [change.row for change in upserts], delisted)
        elif PurePosixPath(path).stem not in settled:
            yield path, content
    for change in upserts:
        yield f"/images/{change.image}", night.read(folded.ref, picture_path(change))


def _is_sound(spool: Spool, change: Change) -> bool:
    """Whether its picture is there; one that is not what it was is set aside."""
    if change.action is not Action.UPSERT:
        return True
    try:
        spool.picture(change)
    except ArtifactInvalid as error:
        spool.set_aside(change.number, str(error))
        return False
    except FileNotFoundError:
        return False
    return True


def _committed(night: Night, spool: Spool, folded: FoldedChanges) -> Opened[FoldedChanges]:
    """The commit of these changes; a night that is run again finds the one it made."""
    for commit in night.commits(names.CHANGES):
        if commit_record(commit.message).get("artifact_digest") == folded.digest:
            try:
                return night.open(commit.ref, FoldedChanges)
            except ContentRemoved:
                continue
    night.store.ensure_repo(names.CHANGES)
    with night.store.commit(names.CHANGES, message=_record(night, folded), replace=True) as writer:
        writer.put(ARTIFACT_FILE, folded.to_json())
        for change in folded.changes:
            if change.action is Action.UPSERT:
                writer.put(picture_path(change), spool.picture(change))
    return Opened(folded, writer.ref)


def _record(night: Night, folded: FoldedChanges) -> str:
    numbers = [change.number for change in folded.changes]
    actions = [change.action for change in folded.changes]
    record = {
        "artifact": folded.kind,
        "artifact_digest": folded.digest,
        "parameters": {
            "numbers": [numbers[0], numbers[-1]],
            **{str(action): actions.count(action) for action in Action},
        },
        "night": night.date,
    }
    return canonical_json(record).decode()
