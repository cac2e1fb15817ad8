"""What every `ModelRegistry` must do; one parameter an adapter."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from recsys.artifacts.digests import sha256_file
from recsys.errors import BadInput, OutsideFailed
from recsys.registry import ModelRegistry, OpenRun, open_registry

VALIDATED = "validated@" + "ab" * 16
WIDTH, HEIGHT, DIMENSION = 18, 20, 8


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making its tables takes seconds, copying it none."""
    folder = tmp_path_factory.mktemp("mlflow")
    open_registry(f"sqlite:///{folder / 'mlflow.db'}", folder / "unused")
    return folder / "mlflow.db"


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small exported embedder, untrained."""
    from recsys.training.export import export_embedder
    from training.untrained import untrained_network

    path = tmp_path_factory.mktemp("export") / "embedder.tflite"
    network = untrained_network(WIDTH, HEIGHT, DIMENSION, 2)
    export_embedder(network.embedder, path)
    return path.read_bytes()


@pytest.fixture(params=["mlflow"])
def registry(request: pytest.FixtureRequest, migrated: Path, tmp_path: Path) -> ModelRegistry:
    assert request.param == "mlflow"
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return open_registry(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts")


@pytest.fixture
def model(tmp_path: Path, tflite: bytes) -> Callable[[int], Path]:
    def build(number: int) -> Path:
        """A folder with a model of its own digest: bytes after a flatbuffer are not read."""
        folder = tmp_path / f"model{number}"
        folder.mkdir(exist_ok=True)
        (folder / "embedder.tflite").write_bytes(tflite + bytes([number]) * 16)
        return folder

    return build


def open_run(registry: ModelRegistry, **more: Any) -> AbstractContextManager[OpenRun]:
    return registry.run(
        name="night of 2026-01-01",
        parameters={"epochs": 2, "learning_rate": 2e-3},
        tags={"validated": VALIDATED, "code": "1"},
        dataset=("validated_catalog", VALIDATED),
        **more,
    )


def record(registry: ModelRegistry) -> str:
    with open_run(registry) as run:
        run.log_epoch(1, {"loss": 2.0, "accuracy": 0.5})
        run.log_epoch(2, {"loss": 1.0, "accuracy": 0.75})
    return run.id


def test_a_run_holds_parameters_figures_and_tags_from_its_beginning(
    registry: ModelRegistry,
) -> None:
    with open_run(registry) as run:
        assert registry.read_run(run.id).status == "RUNNING"
        run.log_epoch(1, {"loss": 2.0, "accuracy": 0.5})
        under_way = registry.read_run(run.id)
        assert under_way.parameters == {"epochs": "2", "learning_rate": "0.002"}
        assert under_way.figures == {"loss": 2.0, "accuracy": 0.5}
        run.log_epoch(2, {"loss": 1.0, "accuracy": 0.75})
    ended = registry.read_run(run.id)
    assert (ended.name, ended.status) == ("night of 2026-01-01", "FINISHED")
    assert ended.figures == {"loss": 1.0, "accuracy": 0.75}
    assert ended.tags["validated"] == ended.tags["dataset"] == VALIDATED


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no labels"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_training_that_breaks_off_is_there_and_says_why(
    registry: ModelRegistry, error: BaseException, status: str
) -> None:
    seen = []

    def train() -> None:
        with open_run(registry) as run:
            seen.append(run.id)
            run.log_epoch(1, {"loss": 2.0})
            raise error

    with pytest.raises(type(error)):
        train()
    ended = registry.read_run(seen[0])
    assert ended.status == status
    assert ended.tags["failure"] == f"{type(error).__name__}: {error}"
    assert ended.figures == {"loss": 2.0}


def test_a_run_names_the_run_that_it_is_a_part_of(registry: ModelRegistry) -> None:
    with open_run(registry) as parent, open_run(registry, parent=parent.id) as part:
        pass
    assert registry.read_run(part.id).parent == parent.id
    assert registry.read_run(parent.id).parent == ""


def test_a_run_can_go_on_another_day_and_be_tagged(registry: ModelRegistry) -> None:
    with open_run(registry, sample_seconds=0) as first:
        first.log_epoch(1, {"loss": 2.0})
    with open_run(registry, again=first.id, sample_seconds=0) as second:
        assert registry.read_run(first.id).status == "RUNNING"
        second.log_epoch(2, {"loss": 1.0})
        second.tag({"outcome": "better"})
    assert second.id == first.id
    ended = registry.read_run(first.id)
    assert ended.status == "FINISHED"
    assert ended.figures == {"loss": 1.0}
    assert ended.tags["outcome"] == "better"


def test_a_new_registry_has_no_champion(registry: ModelRegistry) -> None:
    assert registry.champion() is None
    assert registry.challenger() is None


def test_a_registered_model_is_the_challenger_until_it_is_promoted(
    registry: ModelRegistry, model: Callable[[int], Path]
) -> None:
    run_id = record(registry)
    version = registry.register(run_id, model(1), {"precision_at_10": 0.5}, {"models": "m@1"})
    challenger = registry.challenger()
    assert challenger is not None
    assert (challenger.version, challenger.run_id) == (version, run_id)
    assert challenger.model_digest == sha256_file(model(1) / "embedder.tflite")
    assert challenger.tags["models"] == "m@1"
    assert registry.champion() is None

    registry.promote(version)
    champion = registry.champion()
    assert champion is not None
    assert champion.version == version
    assert champion.tags["decision"] == "promoted"
    assert registry.challenger() is None


def test_a_new_champion_replaces_the_old_one_and_can_be_replaced_by_it(
    registry: ModelRegistry, model: Callable[[int], Path]
) -> None:
    run_id = record(registry)
    first = registry.register(run_id, model(1), {}, {})
    registry.promote(first)
    second = registry.register(run_id, model(2), {}, {})
    assert second != first
    registry.promote(second)
    champion = registry.champion()
    assert champion is not None
    assert champion.version == second

    registry.promote(first)
    champion = registry.champion()
    assert champion is not None
    assert champion.version == first
    assert "replaced_by" not in champion.tags


def test_registering_the_same_file_again_gives_the_version_that_it_has(
    registry: ModelRegistry, model: Callable[[int], Path]
) -> None:
    run_id = record(registry)
    version = registry.register(run_id, model(1), {}, {})
    assert registry.register(record(registry), model(1), {}, {}) == version
    registry.promote(version)
    assert registry.register(run_id, model(1), {}, {}) == version
    assert registry.challenger() is None


def test_a_refused_model_says_why_and_the_champion_stays(
    registry: ModelRegistry, model: Callable[[int], Path]
) -> None:
    run_id = record(registry)
    reigning = registry.register(run_id, model(1), {}, {})
    registry.promote(reigning)
    refused = registry.register(run_id, model(2), {}, {})
    registry.refuse(refused, ["precision is 0.1, at least 0.6 is wanted", "too slow"])
    challenger, champion = registry.challenger(), registry.champion()
    assert challenger is not None
    assert champion is not None
    assert champion.version == reigning
    assert challenger.version == refused
    assert challenger.tags["decision"] == "refused"
    assert challenger.tags["reasons"] == "precision is 0.1, at least 0.6 is wanted; too slow"

    registry.promote(refused)  # a person decided otherwise
    champion = registry.champion()
    assert champion is not None
    assert "reasons" not in champion.tags


def test_promoting_twice_is_promoting_once(
    registry: ModelRegistry, model: Callable[[int], Path]
) -> None:
    version = registry.register(record(registry), model(1), {}, {})
    registry.promote(version)
    registry.promote(version)
    champion = registry.champion()
    assert champion is not None
    assert champion.version == version
    assert "replaced_by" not in champion.tags


def test_versions_are_listed_newest_first_with_their_aliases(
    registry: ModelRegistry, model: Callable[[int], Path]
) -> None:
    assert registry.versions() == []
    run_id = record(registry)
    for number in (1, 2, 3):
        version = registry.register(run_id, model(number), {}, {"night": f"2026-01-0{number}"})
        if number == 1:
            registry.promote(version)
    listed = registry.versions()
    assert [item.tags["night"][-1] for item in listed] == ["3", "2", "1"]
    assert [item.aliases for item in listed] == [("challenger",), (), ("champion",)]
    assert registry.champion() == listed[2]
    assert listed[0].created_seconds >= listed[2].created_seconds > 1.7e9


def test_the_description_of_a_version_ends_with_what_was_decided_and_why(
    registry: ModelRegistry, model: Callable[[int], Path]
) -> None:
    run_id = record(registry)
    first = registry.register(run_id, model(1), {}, {}, description="Trained on 240 products.")
    champion_before = registry.challenger()
    assert champion_before is not None
    assert champion_before.description == "Trained on 240 products."

    registry.promote(first, ["the first model", "it passed 12 checks"])
    second = registry.register(run_id, model(2), {}, {}, description="Trained on 241 products.")
    registry.promote(second)
    newer, older = registry.versions()
    assert older.description.startswith("Trained on 240 products.\n\n## Decision\n\nPromoted at 20")
    assert "the first model; it passed 12 checks" in older.description
    assert older.description.endswith(f"Version {second} replaced it.")
    assert newer.description.endswith(f"It replaced version {first}.")

    registry.promote(first, ["rolled back"])
    newer, older = registry.versions()
    assert older.description.count("## Decision") == 1
    assert older.description.endswith(f"rolled back\n\nIt replaced version {second}.")
    assert newer.description.endswith(f"Version {first} replaced it.")


def test_a_refusal_stands_in_the_description_too(
    registry: ModelRegistry, model: Callable[[int], Path]
) -> None:
    version = registry.register(record(registry), model(1), {}, {}, description="One epoch.")
    registry.refuse(version, ["precision is 0.1"])
    challenger = registry.challenger()
    assert challenger is not None
    assert (challenger.decision, challenger.reasons) == ("refused", "precision is 0.1")
    assert "Refused at 20" in challenger.description
    assert challenger.description.endswith("precision is 0.1")


def test_figures_and_files_join_a_run(registry: ModelRegistry, tmp_path: Path) -> None:
    run_id = record(registry)
    registry.log_figures(run_id, {"precision_at_10": 0.5})
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "page.html").write_text("<p>fine</p>")
    registry.attach(run_id, tmp_path / "report")
    registry.attach(run_id, tmp_path / "report" / "page.html")


def test_a_folder_can_be_taken_from_a_run(registry: ModelRegistry, tmp_path: Path) -> None:
    run_id = record(registry)
    for name in ("plots", "sheets"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "page.html").write_text("<p>fine</p>")
        registry.attach(run_id, tmp_path / name)
    assert registry.detach(run_id, "sheets") is True
    assert registry.detach(run_id, "sheets") is False
    assert registry.detach(run_id, "plots") is True


def test_what_is_not_there_is_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no embedder\.tflite"):
        registry.register(record(registry), tmp_path, {}, {})
    with pytest.raises(BadInput, match="does not exist"):
        registry.attach("0" * 32, tmp_path / "nothing")
    with pytest.raises(OutsideFailed):
        registry.promote("77")
    with pytest.raises(OutsideFailed):
        registry.refuse("77", ["no"])
    with pytest.raises(OutsideFailed):
        registry.read_run("0" * 32)
    with pytest.raises(OutsideFailed):
        registry.log_figures("0" * 32, {"figure": 1.0})


def test_a_file_that_is_no_model_is_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    (tmp_path / "embedder.tflite").write_bytes(b"not a model")
    with pytest.raises(BadInput, match="not a LiteRT file"):
        registry.register(record(registry), tmp_path, {}, {})
    assert registry.challenger() is None
