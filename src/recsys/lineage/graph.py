"""What came from what, as a graph: nodes with facts, and arrows from a thing to its origins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Node:
    """One thing: a commit, a product's picture, a prediction.

    ``kind`` is a commit's repo or what else it is; ``facts`` are JSON-ready.
    """

    id: str
    kind: str
    label: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Graph:
    """Nodes in the order they were added, and arrows "was made of" between them."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._origins: dict[str, list[str]] = {}
        self._results: dict[str, list[str]] = {}

    def add(self, node: Node, made_of: Iterable[str] = ()) -> None:
        """Add a node and its arrows; a node that is there already keeps its place."""
        self._nodes.setdefault(node.id, node)
        for origin in made_of:
            if origin not in self._origins.setdefault(node.id, []):
                self._origins[node.id].append(origin)
                self._results.setdefault(origin, []).append(node.id)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def node(self, node_id: str) -> Node:
        """The node with this id."""
        return self._nodes[node_id]

    def nodes(self, kind: str | None = None) -> Iterator[Node]:
        """All nodes, or those of one kind, in the order they were added."""
        return (node for node in self._nodes.values() if kind in (None, node.kind))

    def origins(self, node_id: str) -> list[Node]:
        """What a node was made of, as far as the graph holds it."""
        return self._known(self._origins, node_id)

    def results(self, node_id: str) -> list[Node]:
        """What was made of a node."""
        return self._known(self._results, node_id)

    def arrows(self) -> Iterator[tuple[str, str]]:
        """(thing, what it was made of), both in the graph."""
        for made in self._nodes:
            for origin in self.origins(made):
                yield made, origin.id

    def _known(self, arrows: Mapping[str, list[str]], node_id: str) -> list[Node]:
        return [self._nodes[other] for other in arrows.get(node_id, ()) if other in self._nodes]
