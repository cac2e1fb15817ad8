"""Commits, products and pictures as the nodes of a lineage graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from recsys import names
from recsys.artifacts.release import Release
from recsys.errors import ContentRemoved
from recsys.lineage import Graph, Node
from recsys.provenance import CommitInfo
from recsys.stages.night import Night
from recsys.stages.product_facts import ProductFacts, product_facts
from recsys.stages.record import commit_record

PRODUCT = "product:"

# What a node tells of its commit's record.
_TOLD = (
    "stage",
    "night",
    "run",
    "code",
    "code_digest",
    "parameters",
    "gates",
    "mlflow_run_id",
    "names",
    "wall_seconds",
    "cpu_seconds",
)


def graph_above(night: Night, ref: str) -> tuple[Graph, list[CommitInfo]]:
    """The graph of a commit and its origins, and those commits, the commit itself first."""
    graph = Graph()
    commits = [night.store.inspect(ref), *night.store.upstream(ref)]
    for commit in commits:
        add_commit(graph, commit)
    return graph, commits


def add_commit(graph: Graph, commit: CommitInfo, also: Iterable[str] = ()) -> None:
    """Add a commit, made of its inputs and of whatever ``also`` names, with its record's facts."""
    record = commit_record(commit.message)
    known_as = record.get("names") or {}
    repo, commit_id = names.parse_ref(commit.ref)
    own = {names.RELEASES: "release", names.INDEXES: "index"}.get(repo, "model")
    label = f"{known_as.get(own, '')} {commit_id[:12]}".strip()
    facts = {
        "commit": commit.ref,
        "branch": commit.branch,
        "finished": commit.finished.isoformat(timespec="seconds"),
        **{key: record[key] for key in _TOLD if record.get(key)},
    }
    graph.add(Node(commit.ref, repo, label, facts), [*commit.inputs, *also])


def add_products(
    night: Night,
    graph: Graph,
    release_ref: str,
    products: Collection[str],
    commits: Iterable[CommitInfo],
) -> list[str]:
    """Add a node for each product, made of the commit with its picture; returns their ids.

    None when the release's tables were collected: its commits still tell what it was made of.
    """
    refs = [commit.ref for commit in commits]
    try:
        found = product_facts(night, validated_of(night, release_ref), products, refs)
    except ContentRemoved:
        return []
    for item in found:
        graph.add(_product_node(item), [item.picture[0]])
    return [_product_node(item).id for item in found]


def _product_node(item: ProductFacts) -> Node:
    shown = ", ".join(
        value for field in ("articleType", "baseColour", "gender") if (value := item.labels[field])
    )
    doubt = f", label in doubt: {item.label_issue['suggested']}?" if item.label_issue else ""
    return Node(
        f"{PRODUCT}{item.product}",
        "product",
        f"{item.product} {item.name} ({shown}{doubt})",
        {
            "picture": f"{item.picture[0]}:{item.picture[1]}",
            "sha256": item.sha256,
            "labels": item.labels,
            "side": item.side,
            "label_issue": item.label_issue,
        },
    )


def validated_of(night: Night, release_ref: str) -> str:
    """The validated commit that a release was made of."""
    return night.open(release_ref, Release).artifact.inputs[names.VALIDATED]
