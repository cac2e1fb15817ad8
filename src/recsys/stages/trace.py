"""Follow a recommendation to its origins, or a picture to all that it touched."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys import monitoring, names, release
from recsys.artifacts.live import read_live
from recsys.artifacts.products import FILES as PRODUCT_FILES
from recsys.errors import BadInput, FileMissing, ReleaseUnknown
from recsys.lineage import Graph, Node
from recsys.provenance import CommitInfo
from recsys.stages.find_release import release_ref
from recsys.stages.lineage_nodes import PRODUCT, add_commit, add_products, graph_above, validated_of
from recsys.stages.night import Night
from recsys.stages.product_facts import product_facts
from recsys.stages.purges import Purge, current_purges
from recsys.stages.record import commit_record

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PUID = "puid:"
_IDS = f"/{PRODUCT_FILES[0]}"


@dataclass(frozen=True)
class Reached:
    """What came of something: dates of nights, model versions, release ids, deployments.

    ``live`` holds the history's events of these releases, ``predictions`` the requests they
    answered (of the product, when the trace is of one).
    """

    nights: tuple[str, ...]
    models: tuple[str, ...]
    releases: tuple[str, ...]
    live: tuple[release.Event, ...]
    predictions: monitoring.Reach


@dataclass(frozen=True)
class Trace:
    """A subject with the graph above and below it; ``purges`` concern it."""

    subject: Node
    graph: Graph
    reached: Reached
    purges: tuple[Purge, ...]


def trace(night: Night, subject: str, product: str = "") -> Trace:
    """Trace a prediction (its puid), a release, a model version, a commit, a product or the
    SHA-256 of a picture; with a release, ``product`` makes it the recommendation of one.

    Raises
    ------
    BadInput
        Nothing of this name was found; says what was looked for.
    """
    if product:
        if not names.is_release_id(subject):
            raise BadInput(f"--product goes with a release id, not with {subject[:80]!r}")
        return _of_release(night, subject, [product])
    if names.is_release_id(subject):
        return _of_release(night, subject, [])
    if names.is_model_version(subject):
        return _of_commit(night, model_commit(night, subject))
    if names.is_ref(subject):
        return _of_commit(night, subject)
    if _SHA256.fullmatch(subject):
        return _of_picture(night, subject, "")
    if not subject.startswith(_PUID):
        holder = _release_with(night, subject.removeprefix(PRODUCT))
        if holder is not None:
            return _of_product(night, holder, subject.removeprefix(PRODUCT))
    return _of_prediction(night, subject)


def _of_prediction(night: Night, subject: str) -> Trace:
    puid = subject.removeprefix(_PUID)
    requests = night.settings.serving_dir / "requests"
    found = monitoring.find_request(requests, puid)
    if found is None:
        raise BadInput(
            f"nothing to trace: {subject[:80]!r} is no release, model version, commit or picture,"
            " no product of any release, and no request in the log has it as its puid"
        )
    facts = {
        "time": found.time,
        "changes": found.changes,
        "asked": found.asked,
        "answers": found.answers,
    }
    node = Node(f"{_PUID}{puid}", "prediction", puid, facts)
    ref = release_ref(night, found.release)
    graph, commits = graph_above(night, ref)
    pictures = add_products(night, graph, ref, found.products, commits)
    graph.add(node, [ref, *pictures])
    reach = monitoring.Reach(1, found.time, found.time, (puid,))
    return Trace(node, graph, _reached(night, [], [found.release], reach), ())


def _of_release(night: Night, release_id: str, products: Collection[str]) -> Trace:
    ref = release_ref(night, release_id)
    graph, commits = graph_above(night, ref)
    subject = graph.node(ref)
    for below in night.store.downstream(ref):
        add_commit(graph, below)
    if products:
        pictures = add_products(night, graph, ref, products, commits)
        if not pictures:
            raise BadInput(f"release {release_id} holds no product {', '.join(products)}")
        (product,) = products
        subject = Node(f"{release_id}/{product}", "recommendation", f"{product} of {release_id}")
        graph.add(subject, [ref, *pictures])
    requests = night.settings.serving_dir / "requests"
    reach = monitoring.requests_with(requests, [release_id], next(iter(products), None))
    return Trace(subject, graph, _reached(night, commits, [release_id], reach), ())


def _of_commit(night: Night, ref: str) -> Trace:
    graph, above = graph_above(night, ref)
    below = list(night.store.downstream(ref))
    for commit in below:
        add_commit(graph, commit)
    releases = _releases(above[:1] + below)
    requests = night.settings.serving_dir / "requests"
    reach = monitoring.requests_with(requests, releases) if releases else _NOBODY
    return Trace(graph.node(ref), graph, _reached(night, [*above[:1], *below], releases, reach), ())


def _of_product(night: Night, release_ref: str, product: str) -> Trace:
    validated = validated_of(night, release_ref)
    facts = product_facts(night, validated, [product], [])
    return _of_picture(night, facts[0].sha256, product)


def _of_picture(night: Night, sha256: str, product: str) -> Trace:
    """Where a picture's bytes stand, and all that was made of those commits."""
    graph = Graph()
    picture = Node(sha256, "picture", f"sha256 {sha256[:12]}…", {"sha256": sha256})
    graph.add(picture)
    products = {product} - {""}
    commits: dict[str, CommitInfo] = {}
    for repo in (names.CATALOG, names.VALIDATED, names.CHANGES):
        for commit, path in night.holding(repo, sha256):
            products.add(path.rpartition("/")[2].rpartition(".")[0])
            for reached in (commit, *night.store.downstream(commit.ref)):
                commits[reached.ref] = reached
            add_commit(graph, commit, [sha256])
    if not commits:
        raise BadInput(f"no delivery and no kept picture has the SHA-256 {sha256}")
    for commit in commits.values():
        add_commit(graph, commit)
    releases = [
        release_id
        for ref, release_id in _release_ids(commits.values())
        if any(_holds(night, ref, item) for item in products)
    ]
    requests = night.settings.serving_dir / "requests"
    reaches = [monitoring.requests_with(requests, releases, item) for item in sorted(products)]
    concerned = tuple(
        purge
        for purge in current_purges(night).artifact.items
        if sha256 in purge.pictures or purge.product in products
    )
    facts = {"sha256": sha256, "products": sorted(products)}
    subject = Node(sha256, "picture", f"of {', '.join(sorted(products))}", facts)
    return Trace(
        subject, graph, _reached(night, commits.values(), releases, _together(reaches)), concerned
    )


_NOBODY = monitoring.Reach(0, "", "", ())


def model_commit(night: Night, version: str) -> str:
    """The newest commit with the model of this version."""
    for commit in night.commits(names.MODELS):
        if (commit_record(commit.message).get("names") or {}).get("model") == version:
            return commit.ref
    raise BadInput(f"no model {version}; `recsys releases` shows those that were released")


def _release_with(night: Night, product: str) -> str | None:
    """The releases commit that holds the product: the live one's, else the newest."""
    live = read_live(night.settings.releases_dir)
    try:
        first = [release_ref(night, live)] if live else []
    except ReleaseUnknown:
        first = []
    for ref in (*first, *(commit.ref for commit in night.commits(names.RELEASES))):
        if _holds(night, ref, product):
            return ref
    return None


def _holds(night: Night, release_ref: str, product: str) -> bool:
    try:
        ids = np.load(io.BytesIO(night.read(release_ref, _IDS)), allow_pickle=False)
    except FileMissing:  # collected long ago
        return False
    return bool((ids == product.encode()).any())


def _release_ids(commits: Iterable[CommitInfo]) -> list[tuple[str, str]]:
    """(commit, release id) of the releases among these commits."""
    return [
        (commit.ref, names.release_id(commit_record(commit.message)["artifact_digest"]))
        for commit in commits
        if names.parse_ref(commit.ref)[0] == names.RELEASES
    ]


def _releases(commits: Iterable[CommitInfo]) -> list[str]:
    return [release_id for _, release_id in _release_ids(commits)]


def _reached(
    night: Night,
    commits: Iterable[CommitInfo],
    releases: Collection[str],
    predictions: monitoring.Reach,
) -> Reached:
    records: list[dict[str, Any]] = [commit_record(commit.message) for commit in commits]
    models = {(record.get("names") or {}).get("model", "") for record in records}
    events = release.history(night.settings.releases_dir)
    return Reached(
        nights=tuple(sorted({record["night"] for record in records if record.get("night")})),
        models=tuple(sorted(models - {""})),
        releases=tuple(dict.fromkeys(releases)),
        live=tuple(event for event in events if event.release in releases),
        predictions=predictions,
    )


def _together(reaches: Iterable[monitoring.Reach]) -> monitoring.Reach:
    some = [reach for reach in reaches if reach.requests]
    if not some:
        return _NOBODY
    return monitoring.Reach(
        requests=sum(reach.requests for reach in some),
        first=min(reach.first for reach in some),
        last=max(reach.last for reach in some),
        samples=tuple(puid for reach in some for puid in reach.samples),
    )
