"""Remove a product's picture and vectors from what is live and from all history."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from recsys import deploy, names, release
from recsys.artifacts.change import Action, Change
from recsys.artifacts.live import read_live, write_live
from recsys.artifacts.products import ProductTable
from recsys.artifacts.purge import Purge
from recsys.changes import Spool
from recsys.errors import BadInput, ServiceUnavailable
from recsys.provenance import CommitInfo
from recsys.serving.sample import forget_purged
from recsys.stages.feature_store import shards_showing
from recsys.stages.model_pictures import NEIGHBOURS
from recsys.stages.night import Night
from recsys.stages.product_facts import products_showing
from recsys.stages.purges import commit_purges, current_purges
from recsys.stages.record import commit_record
from recsys.stages.redact_release import commit_redacted, redact

# Paths of what was computed from pictures, by repo; the pictures' own are found by digest.
_VECTORS_OF = {
    names.EMBEDDINGS: ("/vectors.npy",),  # before there were shards
    names.INDEXES: ("/index.faiss",),
    names.RELEASES: ("/vectors.npy", "/index.faiss"),
}
_PICTURES = {names.CATALOG: "/images/", names.VALIDATED: "/kept/", names.CHANGES: "/changes/"}
_NAMED = 6
_REMAINS = (
    "the delivery, wherever the shop keeps it: take the picture out there as well",
    "models that were trained with the picture, until the next night trains anew",
    "the product's id, name, labels and measures in old tables, and its id in the request log",
    "copies and back-ups that were made outside the platform",
)


def purge_product(
    night: Night,
    product: str,
    who: str,
    why: str,
    *,
    may_return: bool = False,
    with_others: bool = False,
) -> Purge:
    """Take a product out of the live release, then its pictures and vectors out of history.

    Products that show the very same picture lose it too, which ``with_others`` must allow.
    The pictures are barred from now on, and so is the product unless it ``may_return`` with
    another one. Cut short, it can be run again and goes on where it stopped.

    Raises
    ------
    BadInput
        No ``why``; no delivery held a picture of the product; or others show it.
    DeployFailed
        The service did not take up the release without the product.
    """
    if not why.strip():
        raise BadInput("a purge needs a reason that will stand in its place (--why)")
    with deploy.one_at_a_time(night.settings.releases_dir):
        purge = _begun(night, product, who, why, may_return)
        others = [item for item in purge.products if item != product]
        if others and not with_others:
            raise BadInput(
                f"{len(others)} other products show the same picture and would lose it too:"
                f" {', '.join(others[:_NAMED])}{' …' if len(others) > _NAMED else ''};"
                " allow it (--with-others), or have their picture replaced first"
            )
        intent = _intent(night, purge)
        _withdraw_changes(night, purge)
        purge = _replace_releases(night, purge, intent)
        forget_purged(night.settings.serving_dir, purge.products, purge.pictures)
        purged = night.store.purge(list(_files(night, purge)), f"purged: {purge.why}")
        _empty_caches(night)
        _take_down_sheets(night)
        for new in purge.releases.values():
            commit_redacted(night, new, intent)
        purge = replace(
            purge,
            files=purge.files + purged.files,
            commits=tuple(dict.fromkeys((*purge.commits, *purged.commits))),
            remains=(*_REMAINS, *purged.remains),
            finished=True,
        )
        _note(night, purge)
    return purge


def _begun(night: Night, product: str, who: str, why: str, may_return: bool) -> Purge:
    """What is to go, with what an earlier purge of the product knew or left undone."""
    earlier = current_purges(night).artifact.of(product)
    pictures = set(_pictures(night, product)) | set(earlier.pictures if earlier else ())
    if not pictures:
        raise BadInput(f"no delivery ever held a picture of product {product[:80]!r}")
    if earlier is not None and not earlier.finished:
        return earlier
    return Purge(
        product=product,
        why=why,
        who=who,
        when=datetime.now(UTC).isoformat(timespec="microseconds"),
        pictures=tuple(sorted(pictures)),
        products=tuple(sorted({product, *_showing(night, pictures)})),
        may_return=may_return,
        releases=earlier.releases if earlier else {},
        files=earlier.files if earlier else 0,
        commits=earlier.commits if earlier else (),
        remains=(),
        finished=False,
    )


def _intent(night: Night, purge: Purge) -> str:
    """The commit that began this purge; made now unless one was cut short."""
    for commit in reversed(night.commits(names.PURGES)):
        record = commit_record(commit.message)
        if (record["product"], record["when"]) == (purge.product, purge.when):
            return commit.ref
    return _note(night, purge)


def _note(night: Night, purge: Purge) -> str:
    return commit_purges(night, current_purges(night).artifact, purge).ref


def _pictures(night: Night, product: str) -> Iterator[str]:
    """SHA-256 of every picture that a delivery, a kept row or a change had for the product."""
    for repo, folder in _PICTURES.items():
        commits = night.commits(repo)
        with night.progress(f"looking through {repo}", len(commits)) as advance:
            for commit in commits:
                # Changes have a folder each; elsewhere all pictures lie in one.
                prefix = folder if repo == names.CHANGES else f"{folder}{product}."
                for file in night.store.files(commit.ref, prefix):
                    if PurePosixPath(file.path).stem == product:
                        yield file.sha256
                advance(1)
    yield from (change.sha256 for change in _upserts(night) if change.product == product)


def _upserts(night: Night) -> list[Change]:
    """Every upsert in the spool, in effect or folded in."""
    spool = Spool(night.settings.changes_dir)
    return [change for change in spool.after(0, spool.last()) if change.action is Action.UPSERT]


def _withdraw_changes(night: Night, purge: Purge) -> None:
    """Take the products out of the tail, at once."""
    spool = Spool(night.settings.changes_dir)
    number = spool.withdraw(purge.products, purge.pictures, purge.who)
    deploy.local_seldon(night.settings).take_up_changes(number)


def _showing(night: Night, pictures: Collection[str]) -> Iterator[str]:
    """The products of the releases here, and of changes, that show one of the pictures.

    A picture that stood under other ids in a delivery alone, a broken one say, is shown by
    nobody.
    """
    shelf = release.list_releases(night.settings.releases_dir)
    for validated in {item.inputs[names.VALIDATED] for item in shelf}:
        yield from products_showing(night, validated, pictures)
    yield from (change.product for change in _upserts(night) if change.sha256 in pictures)


def _replace_releases(night: Night, purge: Purge, intent: str) -> Purge:
    """Every release here that holds the products gives way to one without them.

    The live one first, and at once; the others wait for a rollback. Each replacement is
    noted before it counts, so that none is forgotten.
    """
    releases_dir = night.settings.releases_dir
    live = read_live(releases_dir)
    ids = [item.id for item in release.list_releases(releases_dir)]
    holders = [
        release_id
        for release_id in sorted(ids, key=lambda release_id: release_id != live)
        if _holds(night, release_id, purge.products)
    ]
    with night.progress("replacing releases", len(holders)) as advance:
        for old in holders:
            new = redact(night, old, purge.products, intent).id
            purge = replace(purge, releases={**purge.releases, old: new})
            _note(night, purge)
            release.carry_pin(releases_dir, old, new)
            if old == live:
                _make_live(night, new, old, purge)
            advance(1)
    for old in holders:
        release.remove_release(releases_dir / old)
    return purge


def _holds(night: Night, release_id: str, products: Collection[str]) -> bool:
    table = ProductTable.load(night.settings.releases_dir / release_id)
    return bool(set(table.ids.tolist()) & {product.encode() for product in products})


def _make_live(night: Night, release_id: str, previous: str, purge: Purge) -> None:
    try:
        deploy.open_target(night.settings).deploy(release_id)
    except ServiceUnavailable:  # nobody is answering now; whoever starts, answers with this
        write_live(night.settings.releases_dir, release_id)
    release.record_event(
        night.settings.releases_dir,
        event="purged",
        release=release_id,
        previous=previous,
        why=f"{purge.product}: {purge.why}",
        who=purge.who,
    )


def _files(night: Night, purge: Purge) -> Iterator[tuple[str, str]]:
    """(commit, path) of the pictures and of everything that holds their vectors."""
    below: dict[str, CommitInfo] = {}
    for picture in purge.pictures:
        for repo in _PICTURES:
            for commit, path in night.holding(repo, picture):
                yield commit.ref, path
                below |= {item.ref: item for item in night.store.downstream(commit.ref)}
    for ref in below:
        repo = names.parse_ref(ref)[0]
        if repo == names.EMBEDDINGS:
            yield from ((ref, path) for path in shards_showing(night, ref, purge.pictures))
        for path in _VECTORS_OF.get(repo, ()):
            yield ref, path


def _empty_caches(night: Night) -> None:
    """Decoded pictures, vectors and drawn sheets; all are made again when they are needed."""
    settings = night.settings
    for pattern in ("pixels-*.npy", "vectors-*.npy", "parts-*/*.npy"):
        for path in settings.scratch_dir.glob(pattern):
            path.unlink(missing_ok=True)
    shutil.rmtree(settings.sheets_dir, ignore_errors=True)


def _take_down_sheets(night: Night) -> None:
    """The contact sheets of neighbours that stand with models; plots and figures stay."""
    for run_id in {model.run_id for model in night.registry.versions()}:
        night.registry.detach(run_id, NEIGHBOURS)
