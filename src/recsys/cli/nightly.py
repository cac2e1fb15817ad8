"""`recsys nightly`: the whole night in this process, without Airflow."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer

from recsys import services
from recsys.artifacts.deployment import DeployedRelease
from recsys.artifacts.live import read_live
from recsys.artifacts.model import TrainingPlan
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import Release, read_manifest
from recsys.artifacts.trial import ShadowedRelease
from recsys.artifacts.verdict import Verdict
from recsys.cli.console import Json, console, print_json, progress_bars
from recsys.errors import RecsysError, ReleaseUnknown
from recsys.settings import Settings, load_settings
from recsys.stages import NIGHT_STAGES, run_stage
from recsys.stages.night import REPO_OF_STAGE, Night
from recsys.stages.record import commit_record

# Reading a commit is no work of a night.
_ANY_NIGHT = "0001-01-01"
P = TypeVar("P", ShadowedRelease, DeployedRelease)


@dataclass(frozen=True)
class StageRun:
    """One stage of a night: its receipt and how long it took."""

    stage: str
    receipt: Receipt
    seconds: float


def nightly(
    catalog: Annotated[
        str, typer.Option(help="The delivery: a folder, or 'drawn'. Default: the setting.")
    ] = "",
    date: Annotated[str, typer.Option(help="The night's name, YYYY-MM-DD. Default: today.")] = "",
    json: Json = False,
) -> None:
    """Run tonight's stages, from the delivery to the answer.

    Stages whose inputs did not change are not run again. A gate that refuses ends the
    night with exit code 1, and the release that was live stays live.

    Example: recsys nightly --catalog ~/fashion-product-images
    """
    settings = load_settings(**({"catalog": catalog} if catalog else {}))
    night = date or datetime.now(settings.zone).date().isoformat()
    services.start_serving(settings)
    runs = []
    for run in _stages(settings, night, quiet=json):
        runs.append(run)
        if not json:
            console.print(_line(run))
            if run.stage == "plan_training":
                console.print(f"  {_plan(settings, run.receipt).said}")
    release = live_release(settings)
    if json:
        print_json(_report(settings, night, runs, release))
        return
    for verdict in verdicts_of(settings, release):
        console.print(verdict_line(verdict))
    console.print(
        f"release {release.id} is live: {release.products} products,"
        f" model {release.model_version}, index {release.index_version}"
        f"  (peak memory {_peak_mib()} MiB)"
    )


def _stages(settings: Settings, night: str, *, quiet: bool) -> Iterator[StageRun]:
    receipts: dict[str, Receipt] = {}
    for stage in NIGHT_STAGES:
        started = time.monotonic()
        try:
            receipts[stage] = run_stage(
                stage,
                settings,
                night=night,
                receipts=receipts,
                progress=progress_bars,
                run={"orchestrator": "command line"},
            )
        except RecsysError:
            if not quiet:
                console.print(
                    f"✗ {stage:<18} {time.monotonic() - started:8.1f} s  refused or failed"
                )
            raise
        yield StageRun(stage, receipts[stage], time.monotonic() - started)


def _line(run: StageRun) -> str:
    done = run.receipt.ref if run.receipt.fresh else f"{run.receipt.ref}  (unchanged)"
    return f"✓ {run.stage:<18} {run.seconds:8.1f} s  {done}"


def _plan(settings: Settings, receipt: Receipt) -> TrainingPlan:
    return Night(settings, _ANY_NIGHT).open(receipt.ref, TrainingPlan).artifact


def verdict_line(verdict: Verdict) -> str:
    """One gate in one line, with what it let pass as a warning."""
    warnings = [f"{failure.expectation} on {failure.column}" for failure in verdict.failures]
    told = f", told: {'; '.join(warnings)}" if warnings else ""
    return f"  gate {verdict.suite:<12} passed, {verdict.evaluated} expectations{told}"


def live_release(settings: Settings) -> Release:
    """The manifest of the release that is live.

    Raises
    ------
    ReleaseUnknown
        None is.
    """
    live = read_live(settings.releases_dir)
    if live is None:
        raise ReleaseUnknown("no release is live yet; `recsys nightly` makes one")
    return read_manifest(settings.releases_dir / live)


def verdicts_of(settings: Settings, release: Release) -> Iterator[Verdict]:
    """Every gate that a live release passed, the deployment's last."""
    yield from release.verdicts
    night = Night(settings, _ANY_NIGHT)
    for found in (
        _passed(night, "shadow_release", ShadowedRelease, release.id),
        _passed(night, "deploy_release", DeployedRelease, release.id),
    ):
        if found is not None and found.verdict is not None:
            yield found.verdict


def _passed(night: Night, stage: str, artifact: type[P], release_id: str) -> P | None:
    """The newest of what a stage committed of a release; rollbacks are no stage's."""
    for commit in night.commits(REPO_OF_STAGE[stage]):
        if commit_record(commit.message).get("stage") == stage:
            passed = night.open(commit.ref, artifact).artifact
            if passed.release_id == release_id:
                return passed
    return None


def _report(
    settings: Settings, night: str, runs: list[StageRun], release: Release
) -> dict[str, Any]:
    return {
        "night": night,
        "stages": [
            {
                "stage": run.stage,
                "seconds": round(run.seconds, 3),
                "commit": run.receipt.ref,
                "fresh": run.receipt.fresh,
            }
            for run in runs
        ],
        "gates": [
            {
                "suite": verdict.suite,
                "passed": verdict.passed,
                "expectations": verdict.evaluated,
                "failures": [vars(failure) for failure in verdict.failures],
            }
            for verdict in verdicts_of(settings, release)
        ],
        "release": release.id,
        "products": release.products,
        "peak_memory_mib": _peak_mib(),
    }


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
