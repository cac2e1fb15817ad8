"""Register tonight's model in MLflow with all that explains it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from recsys.artifacts.catalog import LABEL_COLUMN, CatalogSplit, ValidatedCatalog
from recsys.artifacts.model import ModelReport, TrainedModel
from recsys.artifacts.verdict import Verdict
from recsys.stages.model_pictures import NEIGHBOURS, PLOTS, draw_model_pictures
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import products_of
from recsys.stages.record import commit_record, registry_tags
from recsys.stages.task import scratch_folder
from recsys.stages.vectors import model_bytes

# What a person compares models by, the most telling first.
KEY_FIGURES: Final = (
    "ndcg_at_10",
    "ndcg_at_10_type_gender_colour",
    "precision_at_10",
    "recall_at_10",
    "map_at_10",
    "hit_rate_at_10",
    "accuracy",
    "training_cpu_seconds",
)
_MAIN = ("ndcg_at_10", "precision_at_10")


def register_model(night: Night, model: Opened[TrainedModel], report: Opened[ModelReport]) -> str:
    """Register the exported file as challenger, with lineage, story and pictures.

    Returns the version; run again, it gives the version that the file has. The pictures
    stand with the run of the version.
    """
    record = commit_record(night.store.inspect(model.ref).message)
    with scratch_folder(night) as folder:
        content = model_bytes(night, model.ref, model.artifact.model_digest)
        (folder / "embedder.tflite").write_bytes(content)
        version = night.registry.register(
            model.artifact.run_id,
            folder,
            metrics=report.artifact.figures,
            tags=_lineage(night, model, report, record),
            description=_story(night, model, report, record),
        )
        if any(
            (item.version, item.run_id) == (version, model.artifact.run_id)
            for item in night.registry.versions()
        ):
            _attach_pictures(night, model, report, folder)
    return version


def _attach_pictures(
    night: Night, model: Opened[TrainedModel], report: Opened[ModelReport], folder: Path
) -> None:
    draw_model_pictures(night, model, report, folder)
    for name in (PLOTS, NEIGHBOURS):
        if (folder / name).is_dir():
            night.registry.attach(model.artifact.run_id, folder / name)


def reasons_to_promote(report: ModelReport, verdicts: Sequence[Verdict]) -> list[str]:
    """Why a model that passed its gates may be champion, for the registry."""
    said = list(_against_champion(report))
    for verdict in verdicts:
        said.append(f"passed the {verdict.evaluated} expectations of the suite {verdict.suite}")
        said += [
            f"warning of {verdict.suite}: {failure.column} {failure.observed} ({failure.reason})"
            for failure in verdict.failures
        ]
    return said


def _against_champion(report: ModelReport) -> Iterator[str]:
    if not report.champion_figures:
        yield "there was no champion to compare with"
    for name in _MAIN:
        if name in report.figures and name in report.champion_figures:
            new, old = report.figures[name], report.champion_figures[name]
            yield f"{name} {new:.4f}, the champion's {old:.4f} ({new - old:+.4f})"


def _lineage(
    night: Night,
    model: Opened[TrainedModel],
    report: Opened[ModelReport],
    record: Mapping[str, Any],
) -> dict[str, str]:
    """What the model came from: commits, night, code, locks and libraries of its training."""
    artifact = model.artifact
    validated = night.open(artifact.validated, ValidatedCatalog).artifact
    return {
        "model": artifact.version,
        "model_commit": model.ref,
        "catalog": validated.catalog,
        "validated": artifact.validated,
        "split": artifact.split,
        "evaluation": report.ref,
        "night": str(record["night"]),
        **registry_tags(record["code"], record["libraries"]),
    }


def _story(
    night: Night,
    model: Opened[TrainedModel],
    report: Opened[ModelReport],
    record: Mapping[str, Any],
) -> str:
    """The version's description, in Markdown for people."""
    artifact = model.artifact
    validated = night.open(artifact.validated, ValidatedCatalog)
    split = night.open(artifact.split, CatalogSplit).artifact
    types = products_of(night, validated)[LABEL_COLUMN].nunique()
    parameters = ", ".join(f"{name} {value}" for name, value in record["parameters"].items())
    return "\n\n".join(
        [
            f"Model {artifact.version} of the night {record['night']}: {artifact.dimension}"
            f" numbers for a picture of {artifact.image_width}×{artifact.image_height}.",
            f"Trained on {split.train:,} pictures of the catalog {validated.artifact.catalog}"
            f" ({validated.artifact.products:,} products of {types} types;"
            f" {split.validation:,} pictures to choose the epoch, {split.test:,} held out),"
            f" in {artifact.figures['training_cpu_seconds']:,.0f} CPU seconds.",
            f"Parameters: {parameters}.",
            f"Asked for {report.artifact.queries:,} held-out products:",
            _table(report.artifact),
        ]
    )


def _table(report: ModelReport) -> str:
    """The key figures beside the champion's, as a Markdown table."""
    lines = ["| figure | this model | the champion then |", "|---|---|---|"]
    for name in KEY_FIGURES:
        if name in report.figures:
            rival = report.champion_figures.get(name)
            shown = "–" if rival is None else f"{rival:.4f}"
            lines.append(f"| {name} | {report.figures[name]:.4f} | {shown} |")
    return "\n".join(lines)
