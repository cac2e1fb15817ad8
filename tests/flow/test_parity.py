"""The same files through training, the nightly batch and the Seldon process."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.nights import NIGHT, Platform
from recsys import embedding, images
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.artifacts.model import ProbeReport, TrainedModel
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import verify_release
from recsys.stages.night import Night
from recsys.stages.pixels import picture_place, products_of
from recsys.stages.vectors import vectors_of
from recsys.training import TrainedClassifier

TOLERANCE = 1e-5  # of unit vectors and of cosines
EVERY = 20
K = 100


def test_the_same_files_give_the_same_vectors_in_training_batch_and_seldon(
    platform: Platform, tmp_path: Path, record_property: Any
) -> None:
    night = Night(platform.settings, NIGHT)
    folder = platform.settings.releases_dir / str(platform.live)
    release = verify_release(folder)
    files = _files(night, release.inputs["validated"])
    rows = np.arange(0, len(files), EVERY)
    night.store.materialise(release.inputs["models"], tmp_path)
    size = (release.image_width, release.image_height)
    pixels = [images.load(files[row], *size, night.image_limits) for row in rows]

    trained = TrainedClassifier.load(tmp_path).embed(np.stack(pixels))
    batch = np.load(folder / "vectors.npy")
    of_batch = float(np.abs(trained - batch[rows]).max())
    of_seldon = max(
        _difference(platform, ProductTable.load(folder), files[row], batch @ vector)
        for row, vector in zip(rows, trained, strict=True)
    )
    record_property("training against batch", of_batch)
    record_property("training against Seldon", of_seldon)
    assert max(of_batch, of_seldon) <= TOLERANCE


def _files(night: Night, validated_ref: str) -> list[bytes]:
    """The catalog's pictures as they were delivered, in the order of its vectors."""
    validated = night.open(validated_ref, ValidatedCatalog)
    products = products_of(night, validated)
    return [
        night.read(*picture_place(validated, image, kept))
        for image, kept in zip(products["image"], products["kept"], strict=True)
    ]


def _difference(platform: Platform, table: ProductTable, file: bytes, cosines: np.ndarray) -> float:
    """Largest difference of the service's scores to these [n] cosines with the catalog."""
    query = {"image": base64.b64encode(file).decode(), "k": K}
    response = platform.post({"jsonData": query})
    assert response.is_success, response.text
    results = response.json()["jsonData"]["results"]
    assert len(results) == K
    row_of = {bytes(product).decode(): row for row, product in enumerate(table.ids)}
    exact = [cosines[row_of[result["product_id"]]] for result in results]
    return float(np.abs(np.array([result["score"] for result in results]) - exact).max())


def test_of_two_stages_that_ask_at_once_one_embeds_and_both_get_the_vectors(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(platform.settings, NIGHT)
    release = verify_release(platform.settings.releases_dir / str(platform.live))
    model = night.open(release.inputs["models"], TrainedModel)
    validated = night.open(release.inputs["validated"], ValidatedCatalog)
    for old in platform.settings.scratch_dir.glob("vectors-*.npy"):
        old.unlink()
    embedded: list[str] = []
    embed_new = embedding.embed_new

    def counted(path: Path, *arguments: Any, **options: Any) -> Any:
        embedded.append(path.name)
        return embed_new(path, *arguments, **options)

    monkeypatch.setattr(embedding, "embed_new", counted)
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(vectors_of, night, validated, model.ref, model.artifact.model_digest)
            for _ in range(2)
        ]
        one, other = (future.result() for future in asked)
    assert len(embedded) == 1
    assert np.array_equal(one, other)


@pytest.mark.parametrize("figure", ["parity_batch", "parity_single", "parity_from_bytes"])
def test_the_night_measured_the_parity_and_its_gate_let_it_pass(
    platform: Platform, figure: str
) -> None:
    night = Night(platform.settings, NIGHT)
    release = verify_release(platform.settings.releases_dir / str(platform.live))
    model = night.open(release.inputs["models"], TrainedModel)
    report = next(
        night.open(commit.ref, ProbeReport).artifact
        for commit in night.store.downstream(model.ref)
        if commit.ref.startswith("probe_reports@")
    )
    assert 0 <= report.figures[figure] <= TOLERANCE
    assert "model_probes" in {verdict.suite for verdict in release.verdicts if verdict.passed}
