"""Probe tonight's model: altered pictures, an attack, the parity of its export, its cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import embedding, images, probes, training
from recsys.artifacts.catalog import LABEL_COLUMN
from recsys.artifacts.model import ProbeReport, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.stages import frames
from recsys.stages.frozen_queries import FrozenQueries
from recsys.stages.model_files import model_folder
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import picture_place, pixels_of_rows
from recsys.stages.task import Task
from recsys.stages.vectors import MODEL_PATH, vectors_of

# Held-out products that are altered, drawn with the night's seed.
_QUERIES: Final = 200
# Steps of 255 by which the attack moves each value.
_EPSILONS: Final = (2, 8)
# One picture more than are timed.
_TIMED: Final = 31

Pixels = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]


def run(night: Night) -> Receipt:
    """Commit the figures of the probes; the approval judges them."""
    model = night.result_of("train_model", TrainedModel)
    task = Task(
        night,
        "probe_model",
        [model.ref, model.artifact.validated, model.artifact.split],
        {"queries": _QUERIES, "seed": night.settings.seed},
        rooms=(
            "probes",
            "embedding",
            "images",
            "stages/frozen_queries.py",
            "training/attack.py",
            "training/trained_classifier.py",
        ),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    with model_folder(night, model.ref) as folder:
        probed = _Probed.of(night, model, folder)
        robustness, behaviour = probed.robustness(), probed.behaviour()
        figures = {
            **probes.probe_figures(robustness, behaviour),
            **probed.parity(),
            **probed.cost(folder),
        }
    report = ProbeReport(model.ref, len(probed.rows), figures)
    tables = {frames.PROBES: robustness, frames.BEHAVIOUR: behaviour}
    return task.publish(
        report, [(path, frames.to_parquet(table)) for path, table in tables.items()]
    )


@dataclass(frozen=True)
class _Probed:
    """A model, and the held-out pictures it is probed with.

    ``pictures`` [q, height, width, 3] are those of ``rows`` as the night decoded them for
    training and for the whole catalog; ``decoded`` the same, decoded again from their files.
    """

    trained: training.TrainedClassifier
    exported: embedding.Encoder
    gallery: probes.Gallery
    rows: npt.NDArray[np.int64]
    pictures: Pixels
    decoded: Pixels
    seed: int

    @classmethod
    def of(cls, night: Night, model: Opened[TrainedModel], folder: Path) -> Self:
        questions = FrozenQueries.of(night, model)
        seed = night.settings.seed
        drawn = np.random.default_rng(seed).permutation(questions.rows)[:_QUERIES]
        rows = np.sort(drawn).astype(np.int64)
        size = (model.artifact.image_width, model.artifact.image_height)
        vectors = vectors_of(night, questions.validated, model.ref, model.artifact.model_digest)
        labels = questions.products[LABEL_COLUMN].tolist()
        pixels = pixels_of_rows(night, questions.validated, questions.products, rows, size)
        return cls(
            trained=training.TrainedClassifier.load(folder),
            exported=embedding.Encoder(folder / MODEL_PATH[1:]),
            gallery=probes.Gallery(vectors, labels, questions.groups),
            rows=rows,
            pictures=np.array(pixels),
            decoded=_decoded(night, questions, rows, size),
            seed=seed,
        )

    def robustness(self) -> pd.DataFrame:
        """Altered and attacked pictures."""
        return probes.measure_robustness(
            self.pictures,
            self.rows,
            self.gallery,
            self.exported.embed,
            self.trained.name_labels,
            (*probes.ALTERATIONS, *(self._attack(epsilon) for epsilon in _EPSILONS)),
            seed=self.seed,
        )

    def behaviour(self) -> pd.DataFrame:
        """The same picture in another file, and another picture."""
        return probes.measure_behaviour(
            self.pictures, self.rows, self.gallery, self.exported.embed, seed=self.seed
        )

    def parity(self) -> dict[str, float]:
        """Keras against the exported file, in batches, one by one, and from the files' bytes."""
        keras = self.trained.embed(self.pictures)
        one_by_one = np.concatenate([self.exported.embed(one[None]) for one in self.pictures])
        from_bytes = self.trained.embed(self.decoded)
        indexed = np.asarray(self.gallery.vectors[self.rows])
        return {
            "parity_batch": probes.largest_difference(keras, self.exported.embed(self.pictures)),
            "parity_single": probes.largest_difference(keras, one_by_one),
            "parity_from_bytes": probes.largest_difference(from_bytes, indexed),
        }

    def cost(self, folder: Path) -> dict[str, float]:
        """Size, arithmetic and time of one embedding."""
        timed = np.resize(self.pictures, (_TIMED, *self.pictures.shape[1:]))
        return {
            "model_bytes": float((folder / MODEL_PATH[1:]).stat().st_size),
            "multiply_adds": float(self.trained.multiply_adds()),
            probes.ENCODE_MS: round(probes.median_milliseconds(self.exported.embed, timed), 3),
        }

    def _attack(self, epsilon: int) -> probes.Alteration:
        return probes.Alteration(
            probes.FGSM, epsilon, lambda shown, _: self.trained.attacked(shown, epsilon)
        )


def _decoded(
    night: Night, questions: FrozenQueries, rows: npt.NDArray[np.int64], size: tuple[int, int]
) -> Pixels:
    """[q, height, width, 3] of the rows' pictures, from their bytes, as serving does it."""
    asked = questions.products.iloc[rows]
    return np.stack(
        [
            images.load(
                night.read(*picture_place(questions.validated, image, kept)),
                *size,
                night.image_limits,
            )
            for image, kept in zip(asked["image"], asked["kept"], strict=True)
        ]
    )
