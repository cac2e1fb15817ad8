"""`recsys trace`: from a recommendation to its origins, from a picture to all it touched."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.tree import Tree

from recsys import lineage
from recsys.artifacts.files import write_atomically
from recsys.cli.console import Json, console, print_json
from recsys.lineage import Graph, Node
from recsys.settings import load_settings
from recsys.stages.night import Night
from recsys.stages.trace import Trace
from recsys.stages.trace import trace as trace_subject

_SHOWN = 6


def trace(
    subject: Annotated[
        str,
        typer.Argument(
            help="A prediction's puid, a release (r-…), a model (m-…), a commit (repo@…), a"
            " product id, or the SHA-256 of a picture. puid:… and product:… say which it is."
        ),
    ],
    product: Annotated[
        str, typer.Option(help="With a release: only the recommendation of this product.")
    ] = "",
    drawing: Annotated[
        Path | None, typer.Option(help="Also write the graph to this .mmd (Mermaid) or .dot file.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what a thing was made of, down to pictures, labels, checks and code, and all that it
    reached: nights, models, releases, deployments, recommendations.

    Example: recsys trace 15970 --drawing lineage.mmd
    """
    found = trace_subject(Night(load_settings(), "0001-01-01"), subject, product)
    if drawing is not None:
        write_atomically(drawing, _drawn(found.graph, drawing).encode())
    if json:
        print_json(
            {
                "subject": asdict(found.subject),
                "graph": lineage.to_data(found.graph),
                "reached": asdict(found.reached),
                "purges": [asdict(item) for item in found.purges],
            }
        )
        return
    _print(found)
    if drawing is not None:
        console.print(f"drawing: {drawing}")


def _drawn(graph: Graph, path: Path) -> str:
    if path.suffix == ".mmd":
        return lineage.to_mermaid(graph)
    if path.suffix == ".dot":
        return lineage.to_dot(graph)
    raise typer.BadParameter(f"{path}: the drawing is a .mmd (Mermaid) or a .dot (Graphviz) file")


def _print(found: Trace) -> None:
    if found.subject.id in found.graph and found.graph.origins(found.subject.id):
        tree = Tree(_text(found.subject))
        _grow(tree, found.graph, found.subject, "origins", set())
        console.print("made of:")
        console.print(tree)
    _print_reached(found)
    for item in found.purges:
        console.print(f"purged {item.when} by {item.who}: {escape(item.why)}")


def _grow(
    tree: Tree, graph: Graph, node: Node, way: Literal["origins", "results"], seen: set[str]
) -> None:
    """Branches below a node; what stands in the tree already is named, not unfolded again."""
    seen.add(node.id)
    for other in getattr(graph, way)(node.id):
        if other.id in seen:
            tree.add(f"{_text(other)}  [dim](see above)[/dim]")
        else:
            _grow(tree.add(_text(other)), graph, other, way, seen)


def _text(node: Node) -> str:
    facts = node.facts
    told = [f"[bold]{node.kind}[/bold] {escape(node.label)}"]
    if night := facts.get("night"):
        told.append(f"night {night}")
    if run_id := facts.get("run", {}).get("run_id"):
        told.append(f"run {escape(run_id)}")
    if code := facts.get("code"):
        told.append(f"code {str(code['git_commit'])[:8]}{'+' if code['git_dirty'] else ''}")
    if gates := facts.get("gates"):
        told.append("gates " + ", ".join(dict.fromkeys(gate["suite"] for gate in gates)))
    if sha256 := facts.get("sha256"):
        told.append(f"picture {sha256[:12]}…")
    if side := facts.get("side"):
        told.append(f"{side} side")
    return "  ".join(told)


def _print_reached(found: Trace) -> None:
    reached = found.reached
    console.print("reached:")
    for what, items in (
        ("nights", reached.nights),
        ("models", reached.models),
        ("releases", reached.releases),
    ):
        if items:
            console.print(f"  {what:<16} {len(items):6}  {_some(items)}")
    for event in reached.live[-_SHOWN:]:
        console.print(f"  {event.event:<16} {event.when}  {event.release}  {escape(event.why)}")
    told = reached.predictions
    if told.requests:
        console.print(
            f"  {'predictions':<16} {told.requests:6}  {told.first} … {told.last},"
            f" such as {', '.join(told.samples[:_SHOWN])}"
        )
    else:
        console.print(f"  {'predictions':<16}      0")


def _some(items: tuple[str, ...]) -> str:
    if len(items) <= _SHOWN:
        return ", ".join(items)
    return f"{items[0]} … {items[-1]}"
