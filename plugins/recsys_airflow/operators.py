"""One operator: it runs a stage and passes receipts on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import mask_secret

from recsys.artifacts.receipt import Receipt
from recsys.errors import OutsideFailed, RecsysError
from recsys.settings import Settings, load_settings

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


class StageOperator(BaseOperator):
    """Run one of `recsys.stages.STAGES` and return its receipt as XCom.

    ``receipts`` maps earlier stages to their ``.output``, and so draws the arrows. A DAG
    that an asset woke also gets the night and the receipt that came with the asset's event.

    A refusal by a gate, bad input and a damaged artefact fail the task at once, with the
    message as it was; only a failure outside (`OutsideFailed`) is tried again.
    """

    template_fields: Sequence[str] = ("receipts",)
    ui_color = "#e8f0ee"

    def __init__(
        self, *, stage: str, receipts: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.receipts = receipts or {}
        self._lineage: OperatorLineage[Any, Any] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the stage; its receipt also goes with the event of every asset it updates."""
        try:
            woken_by = list(events_of_stages(context.get("triggering_asset_events") or {}))
            receipts = {event["stage"]: Receipt.from_data(event["receipt"]) for event in woken_by}
            receipts |= {name: Receipt.from_data(data) for name, data in self.receipts.items()}
            settings = stage_settings()
            night = woken_by[-1]["night"] if woken_by else night_of(context, settings)
            receipt = self._run_stage(settings, night, receipts, runner_of(context))
        except OutsideFailed:
            raise
        except RecsysError as error:
            raise AirflowFailException(str(error)) from error
        data = receipt.to_data()
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {
                "stage": self.stage,
                "night": night,
                "receipt": data,
            }
        return data

    def _run_stage(
        self,
        settings: Settings,
        night: str,
        receipts: Mapping[str, Receipt],
        run: Mapping[str, str],
    ) -> Receipt:
        # Here, not above: DAG files import this module again and again.
        from recsys.stages import run_stage

        receipt = run_stage(self.stage, settings, night=night, receipts=receipts, run=run)
        self.log.info(
            "%s of the night %s: %s (%s)",
            self.stage,
            night,
            receipt.ref,
            "new" if receipt.fresh else "as committed before",
        )
        if settings.openlineage_url:
            from recsys_airflow.lineage import commit_lineage

            self._lineage = commit_lineage(settings, receipt)
        return receipt

    def get_openlineage_facets_on_complete(
        self, task_instance: object
    ) -> OperatorLineage[Any, Any] | None:
        """What Airflow's OpenLineage listener asks for; None before a commit and when it is off."""
        return self._lineage


def stage_settings() -> Settings:
    """The settings; with Pachyderm, its address and token from an Airflow connection if named.

    The token is masked in the task's log, wherever it came from.

    Raises
    ------
    SettingsInvalid
        The settings or the connection cannot be used.
    """
    settings = load_settings()
    if settings.provenance == "pachyderm" and settings.pachd_connection:
        from recsys_airflow.hooks import PachydermHook

        settings = load_settings(**PachydermHook(settings.pachd_connection).settings_overrides())
    if token := settings.pachd_token.get_secret_value():
        mask_secret(token)
    return settings


def events_of_stages(triggering: Mapping[Any, Iterable[Any]]) -> Iterator[dict[str, Any]]:
    """What our stages wrote into the events that woke this run, oldest first.

    An asset that a person updated by hand carries nothing of ours and is passed over.
    """
    events = sorted(
        (event for of_asset in triggering.values() for event in of_asset),
        key=lambda event: event.timestamp,
    )
    for event in events:
        extra = event.extra or {}
        if {"stage", "night", "receipt"} <= extra.keys():
            yield extra


def runner_of(context: Context) -> dict[str, str]:
    """Who runs the stage, as every commit records it: DAG, run, task, try and map index."""
    ti = context["ti"]
    runner = {
        "orchestrator": "airflow",
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "try_number": str(ti.try_number),
    }
    if ti.map_index is not None and ti.map_index >= 0:
        runner["map_index"] = str(ti.map_index)
    return runner


def night_of(context: Context, settings: Settings) -> str:
    """``YYYY-MM-DD`` of the run in the schedule's time zone."""
    run = context["dag_run"]
    instant = run.logical_date or run.run_after
    return instant.astimezone(settings.zone).strftime("%Y-%m-%d")
