"""`recsys models`: every model that a night registered, and two of them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from recsys.cli.console import Json, console, print_json
from recsys.cli.differences import differences_document, print_differences, shortened
from recsys.comparison import FieldDifference
from recsys.errors import BadInput
from recsys.settings import load_settings
from recsys.stages.compare_models import (
    ModelDifference,
    ModelVersion,
    compare_models,
    find_model,
    list_models,
)
from recsys.stages.night import Night
from recsys.stages.register_model import KEY_FIGURES

_LISTED_FIGURES = KEY_FIGURES[:3]
_CATALOG_CHARACTERS = len("catalog@") + 12


def models(
    versions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VERSION",
            show_default=False,
            help="None: list all. One: all about it. Two: what differs. A version is a number,"
            " an alias (champion, challenger) or a model's short name (m-…).",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the registered models with what was decided and why, show one, or compare two.

    Every night that trains registers a version. The gates decide: promoted makes it the
    champion, which the next release is made with; refused keeps it as challenger, with the
    reasons. Plots, confusion matrix and contact sheets stand with its run in MLflow.

    Examples:

      recsys models                       what there is, newest first

      recsys models champion              all about the reigning one

      recsys models champion challenger   why one was refused: parameters, figures, data, code

      recsys models 3 7 --json            the same for a program
    """
    night = Night(load_settings(), "0001-01-01")
    match versions or []:
        case []:
            _list(list_models(night), json)
        case [one]:
            _show(find_model(night, one), json)
        case [old, new]:
            _compare(compare_models(night, old, new), json)
        case more:
            raise BadInput(f"{len(more)} versions given; list all (none), show one, or compare two")


def _list(found: Sequence[ModelVersion], json: bool) -> None:
    if json:
        print_json([_document(version) for version in found])
        return
    if not found:
        console.print("No model is registered yet: run a night first (`recsys nightly`).")
        return
    table = Table("version", "alias", "model", "registered (UTC)", "decision", *_LISTED_FIGURES)
    table.add_column("catalog")
    for version in found:
        table.add_row(
            version.model.version,
            ", ".join(version.model.aliases),
            version.name,
            version.created,
            version.model.decision or "–",
            *(_figure(version, name) for name in _LISTED_FIGURES),
            version.model.tags.get("catalog", "–")[:_CATALOG_CHARACTERS],
        )
    console.print(table)
    for version in found:
        if version.model.reasons:
            said = f"{version.model.version} {version.model.decision}: {version.model.reasons}"
            console.print(escape(shortened(said)))


def _figure(version: ModelVersion, name: str) -> str:
    value = version.run.figures.get(name)
    return "–" if value is None else f"{value:.4f}"


def _show(version: ModelVersion, json: bool) -> None:
    if json:
        print_json(_document(version))
        return
    aliases = f" ({', '.join(version.model.aliases)})" if version.model.aliases else ""
    console.print(f"version {version.model.version}{aliases}, registered {version.created} UTC")
    console.print(escape(version.model.description))
    table = Table("", "what", "value")
    for topic, fields in (
        ("parameters", version.run.parameters),
        ("figures", {name: f"{value:.6g}" for name, value in version.run.figures.items()}),
        ("tags", version.model.tags),
    ):
        shown = {name: text for name, text in sorted(fields.items()) if name != "reasons"}
        for position, (name, text) in enumerate(shown.items()):
            table.add_row("" if position else topic, name, escape(text))
    console.print(table)
    console.print(f"MLflow run {version.run.run_id} ({version.run.status}): plots and sheets")


def _compare(found: ModelDifference, json: bool) -> None:
    if json:
        sides = {"old": found.old.model.version, "new": found.new.model.version}
        print_json({**sides, **differences_document(found.fields)})
        return
    fields = {topic: _key_figures_first(named) for topic, named in found.fields.items()}
    print_differences(_title(found.old), _title(found.new), fields)


def _title(version: ModelVersion) -> str:
    return " ".join((f"version {version.model.version}", *version.model.aliases))


def _key_figures_first(fields: Sequence[FieldDifference]) -> list[FieldDifference]:
    return sorted(
        fields, key=lambda field: KEY_FIGURES.index(field.name) if field.name in KEY_FIGURES else 99
    )


def _document(version: ModelVersion) -> dict[str, Any]:
    return {
        "version": version.model.version,
        "aliases": list(version.model.aliases),
        "model": version.name,
        "registered": version.created,
        "decision": version.model.decision,
        "reasons": version.model.reasons,
        "description": version.model.description,
        "tags": dict(version.model.tags),
        "run_id": version.run.run_id,
        "status": version.run.status,
        "parameters": dict(version.run.parameters),
        "figures": dict(version.run.figures),
    }
