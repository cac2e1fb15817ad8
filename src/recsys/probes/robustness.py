"""How far neighbours and labels stay when held-out pictures are altered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.errors import BadInput
from recsys.probes.alterations import Alteration
from recsys.probes.gallery import Gallery, Rows, Vectors, overlap

Pixels = npt.NDArray[np.uint8]
Embed = Callable[[Pixels], Vectors]
NameLabels = Callable[[Pixels], Sequence[str]]

UNALTERED = "none"


def measure_robustness(
    pictures: Pixels,
    rows: Rows,
    gallery: Gallery,
    embed: Embed,
    name_labels: NameLabels,
    alterations: Iterable[Alteration],
    *,
    seed: int,
) -> pd.DataFrame:
    """One row an alteration, the first of the pictures as they are (probe ``none``).

    Parameters
    ----------
    pictures
        [q, height, width, 3] uint8, at least one.
    rows
        [q] the gallery's rows that they show.
    embed, name_labels
        The model: pictures to [q, dimension] unit vectors, and to [q] labels.

    Returns
    -------
        probe, strength, queries; and in [0, 1], higher is better: overlap_at_10 (share of the
        unaltered picture's ten neighbours that stay), same_top_1 (share of queries whose
        nearest stays), cosine (mean, to the unaltered vector; in [-1, 1]), precision_at_10
        and accuracy under the alteration.

    Raises
    ------
    BadInput
        No picture.
    """
    if len(pictures) == 0:
        raise BadInput("probes: there is no held-out picture to alter")
    labels = np.asarray(gallery.labels, dtype=str)[rows]
    vectors = embed(pictures)
    before, _ = gallery.nearest(vectors, rows)

    def measured(probe: str, strength: int, shown: Pixels) -> dict[str, object]:
        altered = vectors if shown is pictures else embed(shown)
        after, _ = gallery.nearest(altered, rows)
        return {
            "probe": probe,
            "strength": strength,
            "queries": len(rows),
            "overlap_at_10": overlap(before, after),
            "same_top_1": float((before[:, 0] == after[:, 0]).mean()),
            "cosine": float((vectors * altered).sum(axis=1).mean()),
            "precision_at_10": gallery.precision(after, rows),
            "accuracy": float((np.asarray(name_labels(shown), dtype=str) == labels).mean()),
        }

    measurements = [measured(UNALTERED, 0, pictures)]
    for number, alteration in enumerate(alterations):
        shown = alteration.apply(pictures, np.random.default_rng([seed, number]))
        measurements.append(measured(alteration.probe, alteration.strength, shown))
    return pd.DataFrame(measurements)
