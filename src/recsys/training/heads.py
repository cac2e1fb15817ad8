"""What the network learns to name: one head an attribute, the article type first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.artifacts.catalog import LABEL_COLUMN, UNKNOWN
from recsys.errors import BadInput

_NO_CLASS = -1


@dataclass(frozen=True)
class Head:
    """One attribute: its classes, each row's class, and its share of the likeness.

    ``codes`` is int64 [n], -1 where the value is unknown or no training image has it.
    ``share`` is in (0, 1]; those of all heads sum to 1.
    """

    name: str
    classes: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    share: float

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """[n] whether a row's class is one that is learned."""
        known: npt.NDArray[np.bool_] = self.codes != _NO_CLASS
        return known


def choose_heads(
    labels: Mapping[str, Sequence[str]],
    train_rows: npt.NDArray[np.int64],
    likeness: Mapping[str, float],
) -> tuple[Head, ...]:
    """The heads of ``labels`` ([n] values by attribute) that can be learned.

    Classes are the values of the train side. An attribute with fewer than two of them teaches
    nothing: it is left out, and the shares of the others grow. The article type must be there.

    Raises
    ------
    BadInput
        The article type is not among the labels or the likeness, or has fewer than two classes.
    """
    if not (LABEL_COLUMN in labels and likeness.get(LABEL_COLUMN, 0) > 0):
        raise BadInput(
            f"training: {LABEL_COLUMN} must be learned; labels are {sorted(labels)},"
            f" shares of the likeness {dict(likeness)}"
        )
    names = [LABEL_COLUMN, *sorted(name for name in likeness if name != LABEL_COLUMN)]
    learned = [
        (name, *_codes(np.asarray(labels[name], dtype=str), train_rows))
        for name in names
        if name in labels and likeness[name] > 0
    ]
    if len(learned[0][1]) < 2:
        raise BadInput(
            f"training: the train side has {len(learned[0][1])} labels; a classifier needs two or"
            " more"
        )
    able = [(name, classes, codes) for name, classes, codes in learned if len(classes) > 1]
    total = sum(likeness[name] for name, *_ in able)
    return tuple(
        Head(name, classes, codes, likeness[name] / total) for name, classes, codes in able
    )


def _codes(
    values: npt.NDArray[np.str_], train_rows: npt.NDArray[np.int64]
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The classes of the train side, and every row's class or `_NO_CLASS`."""
    classes = np.unique(values[train_rows])
    classes = classes[~np.isin(classes, ["", UNKNOWN])]
    if len(classes) == 0:
        return (), np.full(len(values), _NO_CLASS, np.int64)
    codes = np.searchsorted(classes, values).clip(max=len(classes) - 1).astype(np.int64)
    codes[classes[codes] != values] = _NO_CLASS
    return tuple(map(str, classes)), codes
