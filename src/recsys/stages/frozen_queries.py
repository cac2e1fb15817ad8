"""The frozen queries: what every model that is compared with another is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import evaluation
from recsys.artifacts.catalog import CatalogSplit, ValidatedCatalog
from recsys.artifacts.model import TrainedModel
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import products_of
from recsys.stages.split_catalog import groups_of
from recsys.stages.train_model import sides_of
from recsys.stages.vectors import vectors_of


@dataclass(frozen=True)
class FrozenQueries:
    """The products of a catalog that are on the test side.

    ``rows`` [q] are theirs among ``products``, ``groups`` [n] everyone's group of duplicates.
    """

    validated: Opened[ValidatedCatalog]
    products: pd.DataFrame
    rows: npt.NDArray[np.int64]
    groups: list[str]

    @classmethod
    def of(cls, night: Night, model: Opened[TrainedModel]) -> Self:
        """The queries of the catalog and the split that a model was trained on."""
        return cls.of_split(night, night.open(model.artifact.split, CatalogSplit))

    @classmethod
    def of_split(cls, night: Night, split: Opened[CatalogSplit]) -> Self:
        """The queries of a split and its catalog; no model of an earlier one saw them."""
        validated = night.open(split.artifact.validated, ValidatedCatalog)
        products = products_of(night, validated)
        sides = np.asarray(sides_of(night, split, products))
        return cls(validated, products, np.flatnonzero(sides == "test"), groups_of(night, split))

    @property
    def clusters(self) -> npt.NDArray[np.int64]:
        """[q] codes; queries that show one picture share theirs."""
        asked = np.asarray(self.groups, dtype=str)[self.rows]
        return np.unique(asked, return_inverse=True)[1].astype(np.int64)

    def put_to(self, night: Night, model: str, model_digest: str) -> evaluation.Retrieval:
        """Held-out products against the whole rest of the catalog, by one model."""
        return evaluation.evaluate_retrieval(
            vectors_of(night, self.validated, model, model_digest),
            evaluation.relevances(self.products),
            self.rows,
            groups=self.groups,
        )
