"""The frozen queries: what every model that is compared with another is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import evaluation
from recsys.artifacts.catalog import LABEL_COLUMN, CatalogSplit, ValidatedCatalog
from recsys.artifacts.model import TrainedModel
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import products_of
from recsys.stages.split_catalog import groups_of
from recsys.stages.train_model import sides_of
from recsys.stages.vectors import vectors_of


@dataclass(frozen=True)
class FrozenQueries:
    """The products of a model's catalog that are on the test side."""

    validated: Opened[ValidatedCatalog]
    products: pd.DataFrame
    rows: npt.NDArray[np.int64]
    groups: list[str]

    @classmethod
    def of(cls, night: Night, model: Opened[TrainedModel]) -> Self:
        """The queries of the catalog and the split that a model was trained on."""
        validated = night.open(model.artifact.validated, ValidatedCatalog)
        split = night.open(model.artifact.split, CatalogSplit)
        products = products_of(night, validated)
        sides = np.asarray(sides_of(night, split, products))
        return cls(validated, products, np.flatnonzero(sides == "test"), groups_of(night, split))

    def put_to(self, night: Night, model: str, model_digest: str) -> evaluation.RetrievalFigures:
        """Held-out products against the whole rest of the catalog, by one model."""
        vectors = vectors_of(night, self.validated, model, model_digest)
        return evaluation.evaluate_retrieval(
            vectors,
            self.products[LABEL_COLUMN].tolist(),
            self.rows,
            groups=self.groups,
        )
