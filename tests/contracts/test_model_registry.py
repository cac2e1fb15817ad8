"""What every `ModelRegistry` must do; one parameter an adapter."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.artifacts.digests import sha256_file
from recsys.errors import BadInput, OutsideFailed
from recsys.registry import ModelRegistry, open_registry

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
    from recsys.training.network import build_network

    path = tmp_path_factory.mktemp("export") / "embedder.tflite"
    network = build_network(width=WIDTH, height=HEIGHT, dimension=DIMENSION, classes=2, seed=1)
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


def record(registry: ModelRegistry) -> str:
    return registry.record_run(
        run_name="night of 2026-01-01",
        parameters={"epochs": 2, "learning_rate": 2e-3},
        metrics_per_epoch=[{"loss": 2.0, "accuracy": 0.5}, {"loss": 1.0, "accuracy": 0.75}],
        tags={"validated": VALIDATED, "code": "1"},
        dataset=("validated_catalog", VALIDATED),
    )


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


def test_figures_and_files_join_a_run(registry: ModelRegistry, tmp_path: Path) -> None:
    run_id = record(registry)
    registry.log_figures(run_id, {"precision_at_10": 0.5})
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "page.html").write_text("<p>fine</p>")
    registry.attach(run_id, tmp_path / "report")
    registry.attach(run_id, tmp_path / "report" / "page.html")


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
        registry.log_figures("0" * 32, {"figure": 1.0})


def test_a_file_that_is_no_model_is_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    (tmp_path / "embedder.tflite").write_bytes(b"not a model")
    with pytest.raises(BadInput, match="not a LiteRT file"):
        registry.register(record(registry), tmp_path, {}, {})
    assert registry.challenger() is None
