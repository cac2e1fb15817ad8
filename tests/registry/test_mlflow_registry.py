from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from recsys import names
from recsys.embedding import Encoder
from recsys.errors import ServiceUnavailable
from recsys.registry import ModelRegistry, open_registry

VALIDATED = "validated@" + "cd" * 16


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def uri(home: Path) -> str:
    return f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"


@pytest.fixture(scope="module")
def registry(home: Path, uri: str) -> ModelRegistry:
    return open_registry(uri, home / "artifacts")


@pytest.fixture(scope="module")
def run_id(registry: ModelRegistry) -> str:
    with registry.run(
        name="night",
        parameters={f"p{number:03}": number for number in range(120)},  # more than one call takes
        tags={"validated": VALIDATED},
        dataset=("validated_catalog", VALIDATED),
        sample_seconds=0.1,
    ) as run:
        for epoch in (1, 2, 3):
            run.log_epoch(epoch, {"loss": 1 / epoch})
        time.sleep(0.5)  # several samples of the machine
    return run.id


@pytest.fixture(scope="module")
def files(home: Path) -> Path:
    """An exported embedder of 18×20 images and 8 dimensions, untrained."""
    from recsys.training.export import export_embedder
    from training.untrained import untrained_network

    (home / "model").mkdir()
    network = untrained_network(18, 20, 8, 2)
    export_embedder(network.embedder, home / "model" / "embedder.tflite")
    return home / "model"


@pytest.fixture
def global_uri(uri: str) -> Iterator[None]:
    """MLflow's own API looks here, as a person's notebook would."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    yield
    mlflow.set_tracking_uri(before)


def test_the_run_holds_parameters_metrics_by_epoch_and_the_dataset(
    registry: ModelRegistry, uri: str, run_id: str
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {f"p{number:03}": str(number) for number in range(120)}
    history = client.get_metric_history(run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 1 / 2), (3, 1 / 3)]
    assert run.inputs is not None
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("validated_catalog", "cd" * 16)
    assert json.loads(dataset.dataset.source) == {"commit": "cd" * 16, "repo": "validated"}
    assert run.data.tags["dataset"] == VALIDATED


def test_processor_and_memory_are_sampled_while_the_run_is_open(uri: str, run_id: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    for name in (
        "system/cpu_utilization_percentage",
        "system/system_memory_usage_megabytes",
        "system/process_cpu_percentage",
        "system/process_memory_megabytes",
    ):
        points = client.get_metric_history(run_id, name)
        assert [point.step for point in points] == list(range(len(points))), name
        assert len(points) >= 2, name
    assert client.get_metric_history(run_id, "system/process_memory_megabytes")[0].value > 50


def test_a_run_whose_process_was_killed_is_failed_when_the_registry_is_next_opened(
    registry: ModelRegistry, uri: str, home: Path
) -> None:
    program = f"""
import time
from pathlib import Path
from recsys.registry import open_registry
registry = open_registry({uri!r}, Path({str(home / "artifacts")!r}))
with registry.run(name="night", parameters={{}}, tags={{}}, dataset=("c", {VALIDATED!r})) as run:
    print(run.id, flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    killed = process.stdout.readline().strip()
    with registry.run(name="other", parameters={}, tags={}, dataset=("c", VALIDATED)) as alive:
        open_registry(uri, home / "artifacts")
        assert registry.read_run(killed).status == "RUNNING"
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        open_registry(uri, home / "artifacts")
        assert registry.read_run(alive.id).status == "RUNNING"
    ended = registry.read_run(killed)
    assert ended.status == "FAILED"
    assert f"process {process.pid} was killed" in ended.tags["failure"]


def test_figures_of_an_epoch_that_could_not_be_sent_are_sent_with_the_next(
    registry: ModelRegistry, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with registry.run(name="night", parameters={}, tags={}, dataset=("c", VALIDATED)) as run:
        with monkeypatch.context() as locked:

            def refuse(*_: object, **__: object) -> None:
                raise MlflowException("database is locked")

            locked.setattr(MlflowClient, "log_batch", refuse)
            run.log_epoch(1, {"loss": 2.0})
        run.log_epoch(2, {"loss": 1.0})
    points = MlflowClient(uri).get_metric_history(run.id, "loss")
    assert [(point.step, point.value) for point in points] == [(1, 2.0), (2, 1.0)]


@pytest.mark.usefixtures("global_uri")
def test_the_registered_model_loads_by_its_alias_and_embeds(
    registry: ModelRegistry, run_id: str, files: Path
) -> None:
    import mlflow

    version = registry.register(run_id, files, {"precision_at_10": 0.5}, {})
    registry.promote(version)
    model = mlflow.pyfunc.load_model(f"models:/{names.REGISTERED_MODEL}@{names.ALIAS_CHAMPION}")
    pixels = np.random.default_rng(1).integers(0, 256, (70, 20, 18, 3), dtype=np.uint8)
    vectors = model.predict(pixels)  # 70: more than one batch
    assert vectors.shape == (70, 8)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(model.predict(pixels[69:]), vectors[69:], atol=1e-5)

    assert model.metadata.run_id == run_id
    assert model.metadata.load_input_example(
        mlflow.artifacts.download_artifacts(f"models:/{names.REGISTERED_MODEL}@champion")
    ).shape == (1, 20, 18, 3)
    with pytest.raises(mlflow.exceptions.MlflowException):
        model.predict(pixels[:, :10])


def test_mlflows_own_command_predicts_what_our_encoder_does(
    registry: ModelRegistry, uri: str, files: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (3, 20, 18, 3), dtype=np.uint8)
    (tmp_path / "pictures.json").write_text(json.dumps({"inputs": pixels.tolist()}))
    command = [
        *(sys.executable, "-m", "mlflow", "models", "predict", "--env-manager", "local"),
        *("--model-uri", f"models:/{names.REGISTERED_MODEL}@{names.ALIAS_CHAMPION}"),
        *("--content-type", "json", "--input-path", "pictures.json"),
        *("--output-path", "vectors.json"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads((tmp_path / "vectors.json").read_text())["predictions"]
    ours = Encoder(files / "embedder.tflite").embed(pixels)
    np.testing.assert_allclose(np.asarray(said, np.float32), ours, atol=1e-5)


def test_the_logged_model_holds_no_pickle(registry: ModelRegistry, files: Path, home: Path) -> None:
    logged = {path.name for path in (home / "artifacts").rglob("*") if path.is_file()}
    assert {"MLmodel", "embedder.tflite", "pyfunc_embedder.py", "requirements.txt"} <= logged
    assert not [name for name in logged if name.endswith((".pkl", ".pickle", ".cloudpickle"))]


def test_opening_again_finds_what_is_there(registry: ModelRegistry, uri: str, home: Path) -> None:
    again = open_registry(uri, home / "elsewhere")
    assert again.champion() == registry.champion()


def test_figures_and_files_are_stored_with_the_run(
    registry: ModelRegistry, uri: str, run_id: str, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "page.html").write_text("<p>fine</p>")
    registry.attach(run_id, tmp_path / "report")
    registry.log_figures(run_id, {"test_accuracy": 0.75})
    client = MlflowClient(uri)
    assert [item.path for item in client.list_artifacts(run_id, "report")] == ["report/page.html"]
    assert client.get_run(run_id).data.metrics["test_accuracy"] == 0.75


def test_no_global_state_is_left_behind(registry: ModelRegistry, uri: str) -> None:
    import mlflow

    assert mlflow.get_tracking_uri() != uri
    assert mlflow.active_run() is None
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    shutil.copy(__file__, tmp_path / "mlflow.db")  # not a database
    with pytest.raises(ServiceUnavailable, match=r"mlflow\.db"):
        open_registry(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
