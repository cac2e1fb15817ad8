"""A night that changes something puts a new release into service under load."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flow.nights import Platform, run_night
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.artifacts.model import ApprovedModel, TrainedModel
from recsys.artifacts.products import ProductTable
from recsys.embedding import NOTHING_KNOWN
from recsys.release import history
from recsys.stages.night import Night
from recsys.stages.vectors import vectors_of


@contextmanager
def asking(platform: Platform, products: list[str]) -> Iterator[list[tuple[int, set[str]]]]:
    """Two queries a request, without a pause; collects status and releases of each answer."""
    seen: list[tuple[int, set[str]]] = []
    stop = threading.Event()

    def ask() -> None:
        message = {"jsonData": {"queries": [{"product_id": item} for item in products]}}
        while not stop.is_set():
            response = platform.post(message)
            answers = response.json()["jsonData"]["answers"] if response.is_success else []
            seen.append((response.status_code, {answer["release"] for answer in answers}))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def test_a_new_index_goes_live_without_a_failed_or_mixed_answer(platform: Platform) -> None:
    before = str(platform.live)
    table = ProductTable.load(platform.settings.releases_dir / before)
    products = [bytes(item).decode() for item in table.ids[:2]]
    with asking(platform, products) as seen:
        receipts = run_night(platform.with_settings(index_factory="HNSW16"))
        after = str(platform.live)
        while {after} not in [releases for _, releases in seen]:
            pass
    assert after != before
    assert not receipts["approve_model"].fresh
    assert receipts["build_index"].fresh
    assert {status for status, _ in seen} == {200}
    assert all(len(releases) == 1 for _, releases in seen)
    assert {before} in [releases for _, releases in seen]
    event = history(platform.settings.releases_dir)[-1]
    assert (event.event, event.release, event.previous) == ("deployed", after, before)

    run_night(platform.settings)
    assert platform.live == before  # the same inputs make the same release again


def test_vectors_of_a_model_trained_on_another_size_can_still_be_made(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The champion must be measurable after the settings ask for larger pictures.
    monkeypatch.setattr("recsys.stages.vectors.known_vectors", lambda night, digest: NOTHING_KNOWN)
    settings = platform.with_settings(image_width=72, image_height=96)
    night = Night(settings, "2026-01-02")
    champion = night.newest("approve_model", ApprovedModel)
    assert champion is not None
    model = night.open(champion.artifact.model, TrainedModel)
    validated = night.open(model.artifact.validated, ValidatedCatalog)
    for old in settings.scratch_dir.glob("vectors-*.npy"):
        old.unlink()
    vectors = vectors_of(night, validated, model.ref, model.artifact.model_digest)
    assert vectors.shape == (validated.artifact.products, model.artifact.dimension)
