"""Images to unit vectors by one exported model: the same code for catalog and queries.

`recsys.embedding.shards`, the feature store's files, is named apart: it needs pyarrow, which
serving does without.
"""

from recsys.embedding.batch import embed_all
from recsys.embedding.encoder import Encoder
from recsys.embedding.incremental import NOTHING_KNOWN, KnownVectors, embed_new

__all__ = ["NOTHING_KNOWN", "Encoder", "KnownVectors", "embed_all", "embed_new"]
