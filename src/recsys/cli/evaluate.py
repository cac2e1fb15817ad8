"""`recsys evaluate`: how good a model is, where it is weak, and what it keeps from sight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.table import Table

from recsys import drawing
from recsys.cli.console import Json, console, print_json, progress_bars
from recsys.errors import BadInput
from recsys.evaluation import RELEVANCES
from recsys.settings import load_settings
from recsys.stages import frames
from recsys.stages.find_evaluation import Evaluation, find_evaluation
from recsys.stages.night import Night

_MEASURES = ("precision_at_10", "recall_at_10", "hit_rate_at_10", "map_at_10")
_SEGMENTS = 3


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="champion, challenger, a model (m-…), a version of the registry (7), or a"
            " commit (models@…, evaluations@…). Without one: the model that was evaluated last."
        ),
    ] = "",
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Measure now, on the newest catalog, although a night's figures are stored.",
        ),
    ] = False,
    slices: Annotated[int, typer.Option(min=1, help="Weakest slices at the most.")] = 12,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the slices, with intervals, to this PNG.")
    ] = None,
    json: Json = False,
) -> None:
    """Tell how good a model's recommendations are, beside its champion's.

    Every held-out product is asked for its ten nearest among all others. A
    neighbour is right when it shares the query's article type; or type and
    gender, or type and colour, or all three. nDCG is 1 when all the right ones
    stand in front, and counts front places most. Both models are asked the same
    queries; the interval of a change holds the true one 95 times in 100, so all
    of it below 0 means a worse model, all above a better one.

    Slices are the queries with one value of an attribute, or a fifth of them by
    brightness, contrast, saturation, share of background or shape of the
    picture; the weakest come first. Exposure is what those top tens show of the
    catalog at all.

    Figures are those that a night stored. If there are none, or with --again,
    they are measured on the newest catalog; nothing is committed by that, and no
    gate is asked.

    Example: recsys evaluate champion --plot slices.png
    """
    night = Night(load_settings(), "0001-01-01", progress=progress_bars)
    found = find_evaluation(night, model, again=again)
    if plot is not None:
        if found.tables[frames.SLICES].empty:
            raise BadInput("nothing to draw: no slice has queries enough")
        drawing.draw_slices(found.tables[frames.SLICES], plot)
    if json:
        print_json(_document(found))
        return
    _print_head(found)
    _print_figures(found)
    _print_slices(found.tables[frames.SLICES], slices)
    _print_exposure(found)
    if plot is not None:
        console.print(f"plot: {plot}")


def _document(found: Evaluation) -> dict[str, Any]:
    report = found.report
    tables = {path.strip("/").removesuffix(".parquet"): path for path in found.tables}
    return {
        "model": found.model,
        "model_commit": report.model,
        "champion": found.champion or None,
        "champion_commit": report.champion or None,
        "evaluation": found.stored or None,
        "queries": report.queries,
        "figures": report.figures,
        "champion_figures": report.champion_figures,
        **{name: _records(found.tables[path]) for name, path in tables.items()},
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.to_dict("records")  # type: ignore[return-value]  # keys are column names


def _print_head(found: Evaluation) -> None:
    when = f"as stored in {found.stored}" if found.stored else "measured now, not committed"
    console.print(f"model {found.model} ({found.report.model}), {when}")
    rival = (
        f"beside champion {found.champion}" if found.champion else "without a champion beside it"
    )
    console.print(f"{found.report.queries} held-out queries, {rival}")


def _print_figures(found: Evaluation) -> None:
    figures, rival = found.report.figures, found.report.champion_figures
    table = Table("right when alike in", "nDCG@10", "champion", "change", "chance", "P@10")
    for heading in ("recall", "hit rate", "mAP", "queries"):
        table.add_column(heading)
    for suffix, columns in RELEVANCES.items():
        if f"ndcg_at_10{suffix}" not in figures:
            continue
        name = f"ndcg_at_10{suffix}"
        precision, recall, hit_rate, average = (
            f"{figures[f'{measure}{suffix}']:.3f}" for measure in _MEASURES
        )
        asked = found.report.queries - int(figures[f"queries_left_out{suffix}"])
        table.add_row(
            ", ".join(columns),
            f"{figures[name]:.3f}",
            f"{rival[name]:.3f}" if name in rival else "–",
            _change(figures, f"{name}_change"),
            f"{figures[f'chance_{name}']:.3f}",
            precision,
            recall,
            hit_rate,
            average,
            str(asked),
        )
    console.print(table)
    console.print(
        f"article type named rightly: {figures['accuracy']:.1%}"
        f" ({figures['accuracy_low']:.1%} to {figures['accuracy_high']:.1%})"
    )
    console.print(
        f"vectors: {figures['embedding_nan_share']:.1%} not finite, norms within"
        f" {figures['embedding_norm_error']:.1e} of 1, {figures['collapsed_dimension_share']:.1%}"
        f" of the dimensions dead, effective rank {figures['effective_rank']:.1f}, same pixels at"
        f" most {figures['duplicate_max_distance']:.1e} apart"
    )


def _change(figures: dict[str, float], name: str) -> str:
    if name not in figures:
        return "–"
    return _with_interval(figures[name], figures[f"{name}_low"], figures[f"{name}_high"], "+.3f")


def _with_interval(value: float, low: float, high: float, form: str) -> str:
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def _print_slices(slices: pd.DataFrame, most: int) -> None:
    if slices.empty:
        console.print("slices: none has queries enough to be told")
        return
    against = bool(slices["champion_ndcg_at_10"].notna().any())
    table = Table("weakest slices", "queries", "nDCG@10")
    if against:
        table.add_column("champion")
        table.add_column("change")
    for row in _records(slices.head(most)):
        reached = _with_interval(row["ndcg_at_10"], row["ndcg_low"], row["ndcg_high"], ".3f")
        cells = [row["slice"], str(row["queries"]), reached]
        if against:
            changed = (row["change"], row["change_low"], row["change_high"])
            cells += [f"{row['champion_ndcg_at_10']:.3f}", _with_interval(*changed, "+.3f")]
        table.add_row(*cells)
    console.print(table)
    if len(slices) > most:
        console.print(f"{len(slices)} slices in all; --slices {len(slices)} shows them")


def _print_exposure(found: Evaluation) -> None:
    figures, segments = found.report.figures, found.tables[frames.EXPOSURE]
    console.print(
        f"exposure: {figures['exposure_coverage_share']:.1%} of the catalog is in some top ten"
        f" ({figures['exposure_coverage_of_chance']:.2f} of what random ones would show), Gini"
        f" {figures['exposure_gini']:.2f} ({figures['chance_exposure_gini']:.2f}); the largest hub"
        f" is in {figures['largest_hub_share']:.1%} of them"
    )
    for said, some in (("least", segments.head(_SEGMENTS)), ("most", segments.tail(_SEGMENTS))):
        shown = [f"{row['segment']} {row['ratio']:.2f}" for row in _records(some)]
        console.print(
            f"{said} shown for its stock: {', '.join(shown) or 'no segment is large enough'}"
        )
