"""Decode pictures once, one way, for validation, training, embedding and serving.

Only simplejpeg, Pillow and numpy are needed, so the serving environment runs the very
code that the model was trained with.
"""

from recsys.images.decoding import ImageLimits, decode
from recsys.images.loading import fit, load, load_all
from recsys.images.sheet import contact_sheet

__all__ = ["ImageLimits", "contact_sheet", "decode", "fit", "load", "load_all"]
