"""`recsys tune`: search for better training parameters within a time budget."""

from __future__ import annotations

from typing import Annotated

import typer

from recsys.cli.console import Json, console, print_json, progress_bars
from recsys.settings import load_settings
from recsys.stages.night import Night
from recsys.stages.tune_training import OBJECTIVE, Found, tune_training
from recsys.tuning import Tried


def tune(
    minutes: Annotated[
        float, typer.Option(min=0.01, help="Stop when so much time is over (after an epoch).")
    ] = 30,
    trials: Annotated[
        int | None, typer.Option(min=1, help="At the most so many trials this time.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=500, help="Epochs of a trial; by default the setting's."),
    ] = None,
    json: Json = False,
) -> None:
    """Search for better training parameters on the newest catalog, for so many minutes.

    The settings in force are tried first; then learning rate, embedding length and batch
    size are proposed by what did well so far, and a trial that does worse than the median
    of the others is stopped early. Trials are judged on the validation side; the test side,
    which the nightly gate asks, is never used.

    Run it again and the same search goes on; Ctrl-C keeps what was tried. Another catalog,
    other code or other settings are another search. MLflow shows the study as one run with
    its trials below it. Nothing is changed: the best values are printed as lines for
    recsys.toml.

    Examples:

      recsys tune --minutes 60

      recsys tune --minutes 10 --epochs 3     short trials, for a first look
    """
    night = Night(load_settings(), "0001-01-01", progress=progress_bars)
    found = tune_training(
        night,
        seconds=minutes * 60,
        most=trials,
        epochs=epochs,
        on_trial=lambda tried: None if json else console.print(_line(tried)),
    )
    if json:
        print_json(_document(found))
    else:
        _print(found)
    if found.interrupted:
        raise typer.Exit(130)  # as a shell says of Ctrl-C


def _line(tried: Tried) -> str:
    values = ", ".join(f"{name} {_shown(value)}" for name, value in tried.values.items())
    return (
        f"trial {tried.number:3}  {tried.value:.4f}{'' if tried.finished else ' stopped'}  {values}"
    )


def _shown(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print(found: Found) -> None:
    finished = sum(tried.finished for tried in found.trials)
    stopped = len(found.trials) - finished
    console.print(f"{found.study}: {finished} trials finished, {stopped} stopped early, so far")
    if found.best is None:
        console.print("No trial has finished yet: give it more --minutes, or fewer --epochs.")
        return
    against = (
        "" if found.in_force is None else f" (the settings in force: {found.in_force.value:.4f})"
    )
    console.print(f"best {OBJECTIVE}: {found.best.value:.4f} in trial {found.best.number}{against}")
    if found.in_force == found.best:
        console.print("The settings in force are the best so far.")
    else:
        console.print("for recsys.toml:\n")
        for name, value in found.best.values.items():
            console.print(f"{name} = {_shown(value)}")
    console.print(f"\nplot: {found.plot}\nMLflow run {found.run_id}")


def _document(found: Found) -> dict[str, object]:
    return {
        "study": found.study,
        "objective": OBJECTIVE,
        "trials": [vars(tried) for tried in found.trials],
        "best": None if found.best is None else vars(found.best),
        "in_force": None if found.in_force is None else vars(found.in_force),
        "plot": None if found.plot is None else str(found.plot),
        "run_id": found.run_id,
        "interrupted": found.interrupted,
    }
