"""How a model bears what it will meet: altered pictures, other files, its own export.

Pure functions: pixels, a gallery of vectors and the model as callables in, figures out.
"""

from recsys.probes.alterations import ALTERATIONS, Alteration
from recsys.probes.behaviour import measure_behaviour
from recsys.probes.budget import median_milliseconds
from recsys.probes.gallery import Gallery
from recsys.probes.parity import largest_difference
from recsys.probes.robustness import measure_robustness
from recsys.probes.table import ENCODE_MS, FGSM, probe_figures, probes_table

__all__ = [
    "ALTERATIONS",
    "ENCODE_MS",
    "FGSM",
    "Alteration",
    "Gallery",
    "largest_difference",
    "measure_behaviour",
    "measure_robustness",
    "median_milliseconds",
    "probe_figures",
    "probes_table",
]
