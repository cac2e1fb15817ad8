"""One file per verb of the night: open the adapters, call a room, commit, return a receipt.

This module is light, so that DAG files and the command line can name the stages without
loading what they use; `run_stage` loads a stage when it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from recsys.artifacts.receipt import Receipt
from recsys.errors import SettingsInvalid
from recsys.settings import Settings
from recsys.stages.night import Night, ProgressBars, no_progress_bars

# The night, in order; a receipt is filed under the name of the stage that gave it.
NIGHT_STAGES: Final = (
    "snapshot_catalog",
    "measure_catalog",
    "validate_catalog",
    "split_catalog",
    "plan_training",
    "train_model",
    "evaluate_model",
    "probe_model",
    "check_labels",
    "approve_model",
    "embed_catalog",
    "build_index",
    "assemble_release",
    "shadow_release",
    "deploy_release",
)
STAGES: Final = (*NIGHT_STAGES, "watch_release", "watch_service")

__all__ = ["NIGHT_STAGES", "STAGES", "run_stage"]


def run_stage(
    name: str,
    settings: Settings,
    *,
    night: str,
    receipts: Mapping[str, Receipt] | None = None,
    progress: ProgressBars = no_progress_bars,
    run: Mapping[str, str] | None = None,
) -> Receipt:
    """Run one stage and return the receipt of what it committed, or had committed before.

    Parameters
    ----------
    name
        One of `STAGES`.
    night
        The night's date, ``YYYY-MM-DD``; it names the Data Docs folder.
    receipts
        Receipts of earlier stages, by stage name; for one that is not here the newest
        commit of its repo is taken.
    run
        Who runs it, recorded with the commit: Airflow's DAG, run id, task and try.

    Raises
    ------
    GateRefused
        A gate said no; nothing was committed.
    RecsysError
        Any other of the tree in `recsys.errors`.
    """
    if name not in STAGES:
        raise SettingsInvalid(f"no stage {name!r}; the stages are {', '.join(STAGES)}")
    stage = import_module(f"recsys.stages.{name}")
    receipt: Receipt = stage.run(
        Night(settings, night, dict(receipts or {}), progress, dict(run or {}))
    )
    return receipt
