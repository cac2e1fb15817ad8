"""What must not change the neighbours, and what must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.errors import BadInput
from recsys.probes.alterations import encoded, shifted
from recsys.probes.gallery import Gallery, Rows, Vectors, overlap

Pixels = npt.NDArray[np.uint8]
Embed = Callable[[Pixels], Vectors]

KEEP: Final = "keep"
CHANGE: Final = "change"
_GREYS: Final = (0, 128, 255)

# To a shopper these are the same picture.
_SAME: Final[dict[str, Callable[[Pixels], Pixels]]] = {
    "shift": shifted,
    "jpeg_95": lambda shown: encoded(shown, "JPEG", quality=95),
    "png": lambda shown: encoded(shown, "PNG"),
    "webp": lambda shown: encoded(shown, "WEBP", lossless=True),
    "larger": lambda shown: encoded(shown, "PNG", times=2),
}


def measure_behaviour(
    pictures: Pixels, rows: Rows, gallery: Gallery, embed: Embed, *, seed: int
) -> pd.DataFrame:
    """One row a case: what was done, what the neighbours must do, and what they did.

    Arguments as of `measure_robustness`.

    Returns
    -------
        case, must (``keep`` or ``change``), queries, figure and value. Where neighbours must
        be kept: ``overlap_at_10``, 1 is right. Of ``another_product``, the neighbours that a
        picture of another label shares with this one's: ``overlap_at_10``, 0 is right. Of
        ``blank``, the share of queries to which an empty picture (black, grey or white) is
        nearer than their tenth neighbour: ``near_share``, 0 is right.

    Raises
    ------
    BadInput
        Every picture has the same label: there is no other product to show.
    """
    vectors = embed(pictures)
    before, cosines = gallery.nearest(vectors, rows)

    def kept(shown: Vectors) -> float:
        return overlap(before, gallery.nearest(shown, rows)[0])

    others = _others(gallery.label_codes(rows), np.random.default_rng(seed))
    blanks = np.stack([np.full(pictures.shape[1:], grey, np.uint8) for grey in _GREYS])
    near = (vectors @ embed(blanks).T).max(axis=1) > cosines[:, -1]
    cases = [
        (case, KEEP, "overlap_at_10", kept(embed(change(pictures))))
        for case, change in _SAME.items()
    ]
    cases.append(("another_product", CHANGE, "overlap_at_10", kept(vectors[others])))
    cases.append(("blank", CHANGE, "near_share", float(near.mean())))
    table = pd.DataFrame(cases, columns=["case", "must", "figure", "value"])
    table.insert(2, "queries", len(rows))
    return table


def _others(labels: Rows, generator: np.random.Generator) -> Rows:
    """[q] for each query the place of another one with another label."""
    different = labels[:, None] != labels[None, :]
    if not different.any(axis=1).all():
        raise BadInput("probes: all pictures asked for show one label; there is no other product")
    drawn = np.where(different, generator.random(different.shape), -1.0)
    others: Rows = drawn.argmax(axis=1)
    return others
