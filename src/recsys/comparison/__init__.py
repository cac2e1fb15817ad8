"""Two versions of a table, of vectors or of plain data: what differs, and by how much."""

from recsys.comparison.fields import FieldDifference, compare_fields
from recsys.comparison.tables import TableDifference, compare_tables
from recsys.comparison.vectors import VectorDifference, agreement, compare_vectors

__all__ = [
    "FieldDifference",
    "TableDifference",
    "VectorDifference",
    "agreement",
    "compare_fields",
    "compare_tables",
    "compare_vectors",
]
