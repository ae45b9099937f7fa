"""Gold-standard refinement of a map and its particles' poses."""

from .auto_refine import Refinement, refine
from .result import RefinementObserver, RefinementResult
from .settings import RefinementSettings

__all__ = ["Refinement", "RefinementObserver", "RefinementResult", "RefinementSettings", "refine"]
