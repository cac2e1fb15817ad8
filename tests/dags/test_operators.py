"""How the operator hands stages their night and receipts, and what it makes of their errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

import recsys.stages
from recsys.artifacts.receipt import Receipt
from recsys.errors import (
    ArtifactInvalid,
    BadInput,
    DeliveryUnreadable,
    GateRefused,
    OutsideFailed,
    StoreUnavailable,
)
from recsys.settings import Settings, load_settings
from recsys_airflow.operators import StageOperator, events_of_stages, night_of

CHAMPION = Receipt("approved_model", f"champions@{'a' * 32}", "b" * 64, fresh=True)
EMBEDDED = Receipt("embedding_set", f"embeddings@{'c' * 32}", "d" * 64, fresh=False)
ASSET = Asset("product_index")


class Recorder:
    """Stands in for `recsys.stages.run_stage`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[str, str, dict[str, Receipt]]] = []
        self.run: dict[str, str] = {}
        self.settings: Settings | None = None

    def __call__(
        self,
        name: str,
        settings: Settings,
        *,
        night: str,
        receipts: Mapping[str, Receipt],
        run: Mapping[str, str],
    ) -> Receipt:
        self.calls.append((name, night, dict(receipts)))
        self.run, self.settings = dict(run), settings
        if self.error is not None:
            raise self.error
        return EMBEDDED


def context(
    *,
    events: list[Any] | None = None,
    logical_date: datetime | None = None,
    map_index: int | None = -1,
) -> dict[str, Any]:
    instant = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    return {
        "ti": SimpleNamespace(
            dag_id="rebuild_index",
            run_id="scheduled__2026-03-01",
            task_id="embed_catalog",
            try_number=2,
            map_index=map_index,
        ),
        "dag_run": SimpleNamespace(logical_date=logical_date, run_after=instant),
        "triggering_asset_events": {ASSET: events} if events else {},
        "outlet_events": {ASSET: SimpleNamespace(extra={})},
    }


def event(minute: int, stage: str = "approve_model", **other: Any) -> SimpleNamespace:
    extra = {"stage": stage, "night": f"2026-02-{minute:02d}", "receipt": CHAMPION.to_data()}
    return SimpleNamespace(
        timestamp=datetime(2026, 3, 1, 0, minute, tzinfo=UTC), extra={**extra, **other}
    )


def run(
    monkeypatch: pytest.MonkeyPatch,
    recorder: Recorder,
    in_context: dict[str, Any],
    **kwargs: Any,
) -> Any:
    monkeypatch.setattr(recsys.stages, "run_stage", recorder)
    task = StageOperator(task_id="embed_catalog", stage="embed_catalog", **kwargs)
    return StageOperator.execute.__wrapped__(task, in_context)  # type: ignore[attr-defined]


def test_the_receipt_comes_back_as_plain_data(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, Recorder(), context()) == EMBEDDED.to_data()


def test_receipts_of_upstream_tasks_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    run(monkeypatch, recorder, context(), receipts={"approve_model": CHAMPION.to_data()})
    assert recorder.calls == [("embed_catalog", "2026-03-01", {"approve_model": CHAMPION})]


def test_the_event_that_woke_the_run_brings_receipt_and_night(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder()
    run(monkeypatch, recorder, context(events=[event(7), event(3)]))
    assert recorder.calls == [("embed_catalog", "2026-02-07", {"approve_model": CHAMPION})]


@pytest.mark.parametrize(
    ("map_index", "more"), [(-1, {}), (None, {}), (0, {"map_index": "0"}), (3, {"map_index": "3"})]
)
def test_the_stage_is_told_who_runs_it(
    monkeypatch: pytest.MonkeyPatch, map_index: int | None, more: dict[str, str]
) -> None:
    recorder = Recorder()
    run(monkeypatch, recorder, context(map_index=map_index))
    assert recorder.run == {
        "orchestrator": "airflow",
        "dag_id": "rebuild_index",
        "run_id": "scheduled__2026-03-01",
        "task_id": "embed_catalog",
        "try_number": "2",
        **more,
    }


def test_an_asset_updated_by_hand_brings_nothing() -> None:
    by_hand = SimpleNamespace(timestamp=datetime.now(UTC), extra={"from_rest_api": True})
    assert list(events_of_stages({ASSET: [by_hand]})) == []


def test_the_outlets_event_carries_the_receipt_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given = context()
    run(monkeypatch, Recorder(), given, outlets=[ASSET])
    assert given["outlet_events"][ASSET].extra == {
        "stage": "embed_catalog",
        "night": "2026-03-01",
        "receipt": EMBEDDED.to_data(),
    }


@pytest.mark.parametrize(
    "error",
    [
        GateRefused("recall 0.91 is below 0.95", {}),
        BadInput("no such field"),
        DeliveryUnreadable("styles.csv is missing"),
        ArtifactInvalid("embedder.tflite differs"),
    ],
)
def test_what_a_retry_cannot_mend_fails_at_once_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with pytest.raises(AirflowFailException) as failed:
        run(monkeypatch, Recorder(error), context())
    assert str(failed.value) == str(error)
    assert failed.value.__cause__ is error


@pytest.mark.parametrize("error", [OutsideFailed("disk"), StoreUnavailable("busy")])
def test_what_failed_outside_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with pytest.raises(type(error)):
        run(monkeypatch, Recorder(error), context())


def test_a_receipt_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowFailException, match="expected receipt"):
        run(monkeypatch, Recorder(), context(), receipts={"approve_model": {"kind": "frame"}})


def test_a_night_is_named_in_the_schedules_time_zone() -> None:
    utc, tokyo = load_settings(timezone="UTC"), load_settings(timezone="Asia/Tokyo")
    assert night_of(context(), utc) == "2026-03-01"  # type: ignore[arg-type]
    assert night_of(context(), tokyo) == "2026-03-02"  # type: ignore[arg-type]
    planned = context(logical_date=datetime(2026, 2, 28, 2, 30, tzinfo=UTC))
    assert night_of(planned, utc) == "2026-02-28"  # type: ignore[arg-type]
