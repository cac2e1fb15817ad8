"""Challengers that are worse in ways of their own: each is refused by name, the champion stays.

A shop of its own, with enough held-out products for slices, and its live service.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from flow.nights import NIGHT, Platform, free_ports, run_night, served
from recsys import embedding, training
from recsys.artifacts.catalog import LABEL_COLUMN
from recsys.errors import GateRefused
from recsys.registry import ModelRegistry
from recsys.registry.port import DECISION_REFUSED
from recsys.settings import Settings, load_settings
from recsys.stages.night import Night
from recsys.training import export

EPOCHS = 10


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """960 products, four in ten of them held out: some thirty queries an article type."""
    settings = load_settings(
        state_dir=tmp_path_factory.mktemp("challenged"),
        drawn_products=960,
        test_share=0.4,
        image_width=30,
        image_height=40,
        embedding_dim=32,
        epochs=EPOCHS,
        batch_size=16,
        recall_queries=100,
        shadow=False,  # the model gate is what this is about
        seldon_port=free_ports(1)[0],
    )
    with served(settings):
        run_night(settings)
        yield Platform(settings, {})


@pytest.fixture
def reigning(undisturbed: Platform) -> Iterator[Platform]:
    """The champion is the same afterwards, and serves; vectors made meanwhile are dropped."""
    before = registry(undisturbed).champion()
    assert before is not None
    yield undisturbed
    for left in undisturbed.settings.scratch_dir.glob("vectors-*.npy"):
        left.unlink()
    assert registry(undisturbed).champion() == before


def registry(platform: Platform) -> ModelRegistry:
    return Night(platform.settings, NIGHT).registry


def reasons_against(platform: Platform, settings: Settings) -> str:
    """Why MLflow says that the night's challenger was refused."""
    with pytest.raises(GateRefused) as refusal:
        run_night(settings)
    challenger = registry(platform).challenger()
    assert challenger is not None
    assert challenger.decision == DECISION_REFUSED
    assert str(refusal.value)[:200] in challenger.reasons
    return challenger.reasons


def test_an_export_that_scales_pixels_otherwise_than_training_is_refused_by_its_parity(
    reigning: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = export.export_embedder

    def to_unit_range(embedder: Any, path: Any) -> None:
        """Pixels / 255 in the file, where training saw pixels / 127.5 - 1."""
        config = embedder.get_config()
        (scale,) = [layer for layer in config["layers"] if layer["config"]["name"] == "scale"]
        scale["config"] |= {"scale": 1 / 255, "offset": 0.0}
        other = type(embedder).from_config(config)
        other.set_weights(embedder.get_weights())
        exported(other, path)

    monkeypatch.setattr(export, "export_embedder", to_unit_range)
    reasons = reasons_against(reigning, reigning.with_settings(epochs=1, learning_rate=1e-3))
    for figure in ("parity_batch", "parity_single", "parity_from_bytes"):
        assert f"expect_column_values_to_be_between on {figure}" in reasons


@pytest.mark.parametrize(
    ("otherwise", "learning_rate"),
    [(lambda pixels: pixels[..., ::-1], 1.1e-3), (lambda pixels: 255 - pixels, 1.2e-3)],
    ids=["blue for red", "inverted"],
)
def test_a_batch_that_sees_other_pixels_than_the_files_hold_is_refused_by_its_parity(
    reigning: Platform,
    monkeypatch: pytest.MonkeyPatch,
    otherwise: Callable[[np.ndarray], np.ndarray],
    learning_rate: float,
) -> None:
    embed_all = embedding.incremental.embed_all
    monkeypatch.setattr(
        embedding.incremental,
        "embed_all",
        lambda model, pixels, **options: embed_all(model, otherwise(pixels), **options),
    )
    settings = reigning.with_settings(epochs=1, learning_rate=learning_rate)
    reasons = reasons_against(reigning, settings)
    assert "expect_column_values_to_be_between on parity_from_bytes" in reasons
    # File and network agree: only the pictures' own bytes tell.
    assert "parity_batch" not in reasons
    assert "parity_single" not in reasons


def test_a_model_trained_a_tenth_as_long_is_refused_as_worse_than_the_champion(
    reigning: Platform,
) -> None:
    reasons = reasons_against(reigning, reigning.with_settings(epochs=EPOCHS // 10))
    assert "expect_column_values_to_be_between on ndcg_at_10_change_high" in reasons


def test_a_model_that_learned_one_type_from_shuffled_labels_is_refused_by_that_type_s_recall(
    reigning: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = training.train

    def from_shuffled(pixels: Any, labels: Any, *rest: Any, **options: Any) -> Any:
        return train(
            pixels,
            {**labels, LABEL_COLUMN: with_shuffled(labels[LABEL_COLUMN], "Watches")},
            *rest,
            **options,
        )

    monkeypatch.setattr(training, "train", from_shuffled)
    reasons = reasons_against(reigning, reigning.with_settings(learning_rate=2.1e-3))
    assert "expect_column_values_to_be_between on least_label_recall_high" in reasons


def with_shuffled(labels: Sequence[str], of: str) -> list[str]:
    """The labels, but those of one type drawn from the others."""
    shuffled = np.array(labels)
    spoilt = np.flatnonzero(shuffled == of)
    others = np.unique(shuffled[shuffled != of])
    shuffled[spoilt] = np.random.default_rng(1).choice(others, len(spoilt))
    found: list[str] = shuffled.tolist()
    return found
