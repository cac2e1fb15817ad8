"""A lineage graph as text: for Mermaid, for Graphviz, or as JSON-ready data."""

from __future__ import annotations

import json
from typing import Any

from recsys.lineage.graph import Graph, Node


def to_mermaid(graph: Graph) -> str:
    """A Mermaid flowchart; arrows run from the origin to what was made of it."""
    number = {node.id: f"n{position}" for position, node in enumerate(graph.nodes())}
    lines = ["flowchart LR"]
    lines += [f'    {number[node.id]}["{_mermaid_text(node)}"]' for node in graph.nodes()]
    lines += [f"    {number[origin]} --> {number[made]}" for made, origin in graph.arrows()]
    return "\n".join(lines) + "\n"


def to_dot(graph: Graph) -> str:
    """A Graphviz digraph, with the same arrows."""
    lines = ["digraph lineage {", "    rankdir=LR;", "    node [shape=box];"]
    lines += [
        f"    {_quoted(node.id)} [label={_quoted(f'{node.kind}: {node.label}')}];"
        for node in graph.nodes()
    ]
    lines += [f"    {_quoted(origin)} -> {_quoted(made)};" for made, origin in graph.arrows()]
    return "\n".join([*lines, "}"]) + "\n"


def to_data(graph: Graph) -> dict[str, Any]:
    """``nodes`` with their facts and ``arrows`` as [made, origin] pairs."""
    return {
        "nodes": [
            {"id": node.id, "kind": node.kind, "label": node.label, "facts": dict(node.facts)}
            for node in graph.nodes()
        ],
        "arrows": [list(arrow) for arrow in graph.arrows()],
    }


def _mermaid_text(node: Node) -> str:
    """Entities instead of what Mermaid would read as its own syntax."""
    text = f"{node.kind}: {node.label}"
    return "".join(
        char if char.isalnum() or char in " :.,-_@/" else f"#{ord(char)};" for char in text
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
