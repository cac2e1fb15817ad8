"""Work is remembered by what it depends on."""

from pathlib import Path

import pytest

from recsys.artifacts.catalog import CatalogSnapshot
from recsys.artifacts.model import ApprovedModel
from recsys.artifacts.receipt import Receipt
from recsys.errors import ArtifactInvalid, FileMissing, SettingsInvalid
from recsys.provenance.embedded import EmbeddedStore
from recsys.settings import load_settings
from recsys.stages import run_stage
from recsys.stages.night import Night
from recsys.stages.record import commit_record, outcome_of, recorded_settings
from recsys.stages.task import Task, code_digest
from serving_release import ref, verdict

SNAPSHOT = CatalogSnapshot("drawn", "b" * 64)


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(load_settings(state_dir=tmp_path), "2026-01-01")


def snapshot_task(night: Night, **parameters: object) -> Task:
    return Task(night, "snapshot_catalog", (), parameters, rooms=("catalog",))


def test_the_same_inputs_and_parameters_give_the_commit_that_was_made_before(night: Night) -> None:
    task = snapshot_task(night, seed=1)
    assert task.remembered() is None
    receipt = task.publish(SNAPSHOT, [("/styles.csv", b"id\n")])
    again = snapshot_task(night, seed=1).remembered()
    assert again is not None
    assert (again.ref, again.fresh) == (receipt.ref, False)


def test_work_whose_content_was_collected_is_done_again(night: Night) -> None:
    old = snapshot_task(night, seed=1).publish(SNAPSHOT)
    new = snapshot_task(night, seed=2).publish(CatalogSnapshot("drawn", "d" * 64))
    store = night.store
    assert isinstance(store, EmbeddedStore)
    store.gc(lambda: [new.ref])
    assert snapshot_task(night, seed=2).remembered() is not None
    assert snapshot_task(night, seed=1).remembered() is None
    assert snapshot_task(night, seed=1).publish(SNAPSHOT).ref != old.ref


def test_another_parameter_is_another_piece_of_work(night: Night) -> None:
    snapshot_task(night, seed=1).publish(SNAPSHOT)
    assert snapshot_task(night, seed=2).remembered() is None


def test_changed_code_is_another_piece_of_work(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_task(night, seed=1).publish(SNAPSHOT)
    monkeypatch.setattr("recsys.stages.task.code_digest", lambda places: "other code")
    assert snapshot_task(night, seed=1).remembered() is None


def test_the_code_digest_covers_every_source_of_the_rooms_named() -> None:
    assert code_digest(("images",)) != code_digest(("images", "catalog"))
    assert code_digest(("stages/task.py",)) != code_digest(("stages/night.py",))


def test_a_room_that_is_not_there_is_no_part_of_a_digest() -> None:
    with pytest.raises(FileNotFoundError, match="catalog/gone"):
        code_digest(("catalog/gone.py",))


def test_a_commit_records_how_it_was_made(night: Night) -> None:
    receipt = snapshot_task(night, seed=1).publish(SNAPSHOT)
    record = commit_record(night.store.inspect(receipt.ref).message)
    assert record["stage"] == "snapshot_catalog"
    assert record["parameters"] == {"seed": 1}
    assert record["night"] == "2026-01-01"
    assert set(record["code"]) >= {"git_commit", "git_dirty", "lock_digest"}
    assert record["settings"]["seed"] == night.settings.seed
    assert set(record["libraries"]) >= {"tensorflow", "faiss-cpu", "great-expectations"}
    assert set(record["host"]) == {"host", "system", "cpu", "cores", "memory_bytes"}
    places = ("stages/snapshot_catalog.py", *record["rooms"])
    assert record["code_digest"] == code_digest(places)  # so that today's code can be compared
    assert min(record["wall_seconds"], record["cpu_seconds"]) >= 0


def test_a_commit_records_who_ran_it(night: Night) -> None:
    run = {"orchestrator": "airflow", "run_id": "scheduled", "try_number": "2"}
    receipt = snapshot_task(Night(night.settings, night.date, run=run)).publish(SNAPSHOT)
    assert commit_record(night.store.inspect(receipt.ref).message)["run"] == run


def test_no_place_port_or_secret_is_recorded(tmp_path: Path) -> None:
    settings = load_settings(
        state_dir=tmp_path, pachd_token="hush", pachd_address="grpc://h:1", serving_token="h" * 16
    )
    recorded = recorded_settings(settings)
    assert not {"state_dir", "seldon_port", "pachd_token", "pachd_address", "serving_token"} & set(
        recorded
    )
    assert recorded["epochs"] == settings.epochs


def test_gates_and_names_of_an_artefact_are_recorded() -> None:
    passed = verdict()
    model = ApprovedModel(ref("models"), "e" * 64, 8, 6, 8, "1", (passed, passed))
    outcome = outcome_of(model)
    assert outcome["names"] == {"model": f"m-{'e' * 12}"}
    assert [(gate["suite"], gate["passed"]) for gate in outcome["gates"]] == [("model", True)] * 2
    assert outcome["gates"][0]["docs"] == passed.docs


def test_nothing_is_committed_when_the_work_fails(night: Night) -> None:
    def files() -> object:
        yield "/styles.csv", b"id\n"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        snapshot_task(night).publish(SNAPSHOT, files())  # type: ignore[arg-type]
    assert night.newest("snapshot_catalog", CatalogSnapshot) is None


def test_a_receipt_that_does_not_match_its_commit_is_refused(night: Night) -> None:
    receipt = snapshot_task(night).publish(SNAPSHOT)
    forged = Receipt(receipt.artifact, receipt.ref, "c" * 64, fresh=True)
    other = Night(night.settings, night.date, {"snapshot_catalog": forged})
    with pytest.raises(ArtifactInvalid, match="does not hold what the receipt"):
        other.result_of("snapshot_catalog", CatalogSnapshot)


def test_a_stage_whose_input_was_never_made_says_which_stage_to_run(night: Night) -> None:
    with pytest.raises(FileMissing, match="run the stage snapshot_catalog first"):
        run_stage("measure_catalog", night.settings, night=night.date)


@pytest.mark.parametrize("date", ["tonight", "2026-1-1", "../2026-01-01"])
def test_a_night_is_named_by_its_date(night: Night, date: str) -> None:
    with pytest.raises(SettingsInvalid, match="YYYY-MM-DD"):
        run_stage("snapshot_catalog", night.settings, night=date)


def test_an_unknown_stage_is_refused_with_the_list_of_stages(night: Night) -> None:
    with pytest.raises(SettingsInvalid, match="the stages are snapshot_catalog"):
        run_stage("guess", night.settings, night=night.date)
