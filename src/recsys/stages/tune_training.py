"""Search for better training parameters on the newest catalog; nothing is committed.

The search judges by the validation side. What a night's gate will ask, the test side, it
never sees: its labels are blanked before training gets them.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from recsys import drawing, training, tuning
from recsys.artifacts.catalog import CatalogSplit, ValidatedCatalog
from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.errors import BadInput
from recsys.registry import SAMPLE_SECONDS, OpenRun
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import pixels_of, products_of
from recsys.stages.record import made_with
from recsys.stages.task import code_digest, scratch_folder
from recsys.stages.train_model import parameters_of, sides_of

# What is searched, by the name of the setting: each is worth an hour of a machine.
SPACE: Final[Mapping[str, tuning.Real | tuning.Whole]] = {
    "learning_rate": tuning.Real(2e-4, 2e-2),
    "embedding_dim": tuning.Whole(32, 256, 32),
    "batch_size": tuning.Whole(32, 256, 32),
    "shift": tuning.Whole(0, 4, 1),
}
# What is maximised: higher is better, told after every epoch.
OBJECTIVE: Final = "validation_accuracy"
_STUDIES_FILE = "studies.db"
_RUN = "mlflow_run"


@dataclass(frozen=True)
class Found:
    """What a search has found so far, over all the times it ran.

    ``in_force`` is the trial with the settings as they are, if it finished; ``best`` the
    best one; ``plot`` a PNG, or None while there is nothing to draw. ``interrupted``: by a
    person.
    """

    study: str
    trials: tuple[tuning.Tried, ...]
    best: tuning.Tried | None
    in_force: tuning.Tried | None
    plot: Path | None
    run_id: str
    interrupted: bool


@dataclass(frozen=True)
class _Ground:
    """What every trial is trained on."""

    split: Opened[CatalogSplit]
    validated: Opened[ValidatedCatalog]
    parameters: training.TrainingParameters

    @property
    def fixed(self) -> dict[str, Any]:
        """The parameters that no trial changes."""
        return {name: value for name, value in vars(self.parameters).items() if name not in SPACE}

    @property
    def study(self) -> str:
        """One study for all that can be compared: data, code, fixed parameters, space."""
        known_by = {
            "split": self.split.ref,
            "fixed": self.fixed,
            "space": {name: str(range_) for name, range_ in SPACE.items()},
            "objective": OBJECTIVE,
            "code": code_digest(("training", "images")),
        }
        return f"search-{sha256_bytes(canonical_json(known_by))[:12]}"


def tune_training(
    night: Night,
    *,
    seconds: float,
    most: int | None = None,
    epochs: int | None = None,
    on_trial: tuning.OnTrial = lambda tried: None,
) -> Found:
    """Try parameters until the time is over; goes on where the same search stopped.

    Parameters
    ----------
    most
        At the most so many trials.
    epochs
        Of a trial, by default those of the settings.
    on_trial
        Called with each trial that ended.

    Raises
    ------
    BadInput
        No catalog was split yet, or another search is running.
    """
    ground = _ground(night, epochs)
    search = tuning.Search(
        night.settings.tuning_dir / _STUDIES_FILE,
        ground.study,
        SPACE,
        seed=night.settings.seed,
        first=vars(ground.parameters),
    )
    space = {f"space.{name}": range_ for name, range_ in SPACE.items()}
    with _run(
        night, ground, "", {**ground.fixed, **space}, again=search.notes.get(_RUN, "")
    ) as run:
        search.note(_RUN, run.id)
        attempt = _attempts(night, ground, run)
        ended = search.run(attempt, seconds=seconds, most=most, on_trial=on_trial)
        return _found(night, ground, search, run, interrupted=not ended)


def _ground(night: Night, epochs: int | None) -> _Ground:
    split = night.newest("split_catalog", CatalogSplit)
    if split is None:
        raise BadInput("no catalog was split yet: run a night first (`recsys nightly`)")
    validated = night.open(split.artifact.validated, ValidatedCatalog)
    parameters = parameters_of(night.settings)
    if epochs is not None:
        parameters = replace(parameters, epochs=epochs)
    return _Ground(split, validated, parameters)


def _run(
    night: Night, ground: _Ground, name: str, parameters: Mapping[str, object], **more: str
) -> AbstractContextManager[OpenRun]:
    """An MLflow run of the study, or of one of its trials; trials measure the machine."""
    return night.registry.run(
        name=f"{ground.study} {name}".strip(),
        parameters=parameters,
        tags={
            "purpose": "search",
            "study": ground.study,
            "validated": ground.validated.ref,
            "split": ground.split.ref,
            **made_with(),
        },
        dataset=("validated_catalog", ground.validated.ref),
        sample_seconds=SAMPLE_SECONDS if name else 0,
        **more,
    )


def _attempts(night: Night, ground: _Ground, study: OpenRun) -> tuning.Attempt:
    """The function that trains with proposed values; its value is that of the best epoch."""
    products = products_of(night, ground.validated)
    sides = sides_of(night, ground.split, products)
    shown = pd.Series(sides) != "test"
    labels = {name: products[name].where(shown, "").tolist() for name in ground.parameters.likeness}
    pixels = pixels_of(night, ground.validated, products)

    def attempt(number: int, values: tuning.Values, report: tuning.Report) -> float:
        parameters = replace(ground.parameters, **values)
        with (
            _run(night, ground, f"trial {number}", vars(parameters), parent=study.id) as run,
            night.progress(f"trial {number}", parameters.epochs) as advance,
            scratch_folder(night) as out,
        ):

            def on_epoch(epoch: int, figures: Mapping[str, float]) -> None:
                advance(1)
                run.log_epoch(epoch, figures)
                report(epoch, figures[OBJECTIVE])

            try:
                trained = training.train(pixels, labels, sides, parameters, out, on_epoch)
            except tuning.TrialStopped as stopped:
                run.tag({"outcome": f"stopped: {stopped}"})
                raise
            finally:
                gc.collect()  # a network holds itself in cycles
            run.tag({"outcome": "finished"})
            return max(epoch[OBJECTIVE] for epoch in trained.history)

    return attempt


def _found(
    night: Night, ground: _Ground, search: tuning.Search, run: OpenRun, *, interrupted: bool
) -> Found:
    """The account of a search, with its plot; both go to the study's run."""
    trials, best = search.trials, search.best
    plot = night.settings.tuning_dir / f"{ground.study}.png"
    if trials:
        table = [
            {"number": item.number, "value": item.value, "finished": item.finished, **item.values}
            for item in trials
        ]
        drawing.draw_search(pd.DataFrame(table), plot, value=OBJECTIVE)
        night.registry.attach(run.id, plot)
    if best is not None:
        night.registry.log_figures(run.id, {f"best_{OBJECTIVE}": best.value})
        run.tag({f"best.{name}": str(value) for name, value in best.values.items()})
    in_force = {name: vars(ground.parameters)[name] for name in SPACE}
    return Found(
        study=ground.study,
        trials=tuple(trials),
        best=best,
        in_force=next((item for item in trials if item.finished and item.values == in_force), None),
        plot=plot if trials else None,
        run_id=run.id,
        interrupted=interrupted,
    )
