"""Images to unit vectors by one exported model: the same code for catalog and queries."""

from recsys.embedding.batch import embed_all
from recsys.embedding.encoder import Encoder

__all__ = ["Encoder", "embed_all"]
