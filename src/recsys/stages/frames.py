"""Tables in commits: pandas frames as Parquet bytes, and back."""

from __future__ import annotations

import io

import pandas as pd

from recsys.stages.night import Night

PRODUCTS = "/products.parquet"
DELIVERY = "/delivery.parquet"
CHANGES = "/changes.parquet"
MEASURES = "/measures.parquet"
QUARANTINE = "/quarantine.parquet"
SPLIT = "/split.parquet"
GROUPS = "/groups.parquet"
DUPLICATES = "/duplicates.parquet"
LABEL_ISSUES = "/label_issues.parquet"
PROBES = "/probes.parquet"
BEHAVIOUR = "/behaviour.parquet"
PER_CLASS = "/per_class.parquet"
CONFUSION = "/confusion.parquet"
SLICES = "/slices.parquet"
EXPOSURE = "/exposure.parquet"
NEIGHBOURS = "/neighbours.parquet"
CANDIDATES = "/candidates.parquet"


def to_parquet(frame: pd.DataFrame) -> bytes:
    """A frame as Parquet bytes; the same frame gives the same bytes."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def read_frame(night: Night, ref: str, path: str) -> pd.DataFrame:
    """A Parquet file of a commit."""
    return pd.read_parquet(io.BytesIO(night.read(ref, path)))
