"""Small catalogs and vectors for tests of the figures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys.artifacts.catalog import ATTRIBUTES


def units(rows: int, dimension: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clusters(labels: list[str]) -> np.ndarray:
    """One axis a label, so that equal labels are nearest."""
    names = sorted(set(labels))
    vectors = np.zeros((len(labels), len(names)), np.float32)
    for row, label in enumerate(labels):
        vectors[row, names.index(label)] = 1
    return vectors


def each_alone(count: int) -> list[str]:
    return [str(row) for row in range(count)]


def catalog(types: list[str], **columns: list[str]) -> pd.DataFrame:
    """Products with these article types; attributes that are not given are unknown."""
    unknown = dict.fromkeys(ATTRIBUTES, ["NA"] * len(types))
    table = {"id": each_alone(len(types)), **unknown, "articleType": types, **columns}
    return pd.DataFrame(table, dtype="str")
