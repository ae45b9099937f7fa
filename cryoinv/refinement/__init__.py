"""Gold-standard refinement of a map and its particles' poses."""

from .auto_refine import Refinement, refine
from .reconstruction import Reconstruction, reconstruct
from .result import RefinementObserver, RefinementResult
from .retention import measured_retention, probe_noise
from .settings import RefinementSettings

__all__ = [
    "Reconstruction",
    "Refinement",
    "RefinementObserver",
    "RefinementResult",
    "RefinementSettings",
    "measured_retention",
    "probe_noise",
    "reconstruct",
    "refine",
]
