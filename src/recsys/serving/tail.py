"""The changes that a release has not folded in, ready to be scored: the tail.

The worker embeds the pictures itself, with the release's own encoder and one a run of the
model, so a vector here is of the same model as those of the index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from recsys.artifacts.base import require
from recsys.artifacts.catalog import NAME_COLUMN, STOCK_COLUMN
from recsys.artifacts.change import Action, Change, last_of_each
from recsys.artifacts.products import ProductTable
from recsys.artifacts.soundness import known_value, stock_flag
from recsys.changes import Spool
from recsys.errors import ArtifactInvalid, ImageRejected

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tail:
    """What is other than in the release.

    Attributes
    ----------
    through
        The number of the last change that was looked at.
    upserts
        The products that are new or other, by id.
    vectors
        [upserts, dimension] float32, unit norm.
    gone
        Ids of the release that are not shown from there: delisted, or in ``upserts``.
    """

    through: int
    upserts: tuple[Change, ...] = ()
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    gone: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        require(len(self.upserts) == len(self.vectors), "each product of a tail has a vector")

    @classmethod
    def of(
        cls, holding: Mapping[str, Change], vectors: Mapping[str, Vectors], through: int
    ) -> Self:
        """From the change that holds of each product, and the vectors of the upserts.

        An upsert without a vector is not in effect.
        """
        upserts = [product for product in sorted(holding) if product in vectors]
        delisted = {name for name, change in holding.items() if change.action is Action.DELIST}
        if not upserts:
            return cls(through, gone=frozenset(delisted))
        return cls(
            through,
            tuple(holding[product] for product in upserts),
            np.array([vectors[product] for product in upserts], np.float32),
            frozenset(delisted.union(upserts)),
        )

    @property
    def by_picture(self) -> dict[str, Vectors]:
        """SHA-256 of a picture → its vector, which a longer tail need not make again."""
        pictures = (change.sha256 for change in self.upserts)
        return dict(zip(pictures, self.vectors, strict=True))

    def table(self, fields: Sequence[str]) -> ProductTable:
        """The upserts as products with these attributes; what a row does not say is unknown."""
        stock = [change.row.get(STOCK_COLUMN) for change in self.upserts]
        said = any(text is not None for text in stock)
        return ProductTable.from_columns(
            [change.product for change in self.upserts],
            [change.row.get(NAME_COLUMN, "") for change in self.upserts],
            {
                name: [known_value(change.row.get(name, "")) for change in self.upserts]
                for name in fields
            },
            in_stock=[stock_flag(text or "") != "false" for text in stock] if said else None,
        )


def read_tail(
    spool: Spool,
    folded: int,
    embed: Callable[[bytes], Vectors],
    known: Mapping[str, Vectors],
) -> Tail:
    """The changes in effect on a release that has folded in those up to ``folded``.

    Parameters
    ----------
    embed
        Picture file → [dimension] vector; raises `ImageRejected`.
    known
        Vectors of pictures, by SHA-256, that this encoder made before.

    One that cannot be used is set aside and is not in effect.
    """
    last = spool.last()
    holding = last_of_each(spool.after(folded, last))
    vectors: dict[str, Vectors] = {}
    for product, change in holding.items():
        if change.action is Action.UPSERT:
            try:
                vector = known.get(change.sha256)
                vectors[product] = _sound(
                    embed(spool.picture(change)) if vector is None else vector
                )
            except (ArtifactInvalid, ImageRejected) as error:
                spool.set_aside(change.number, str(error))
            except FileNotFoundError:
                continue  # folded in or purged while we looked
    return Tail.of(holding, vectors, max(folded, last))


def _sound(vector: Vectors) -> Vectors:
    require(bool(np.isfinite(vector).all()), "the model makes no finite vector of this picture")
    return vector
