"""The likelihood of volumes, marginalised over poses, and what an E-step leaves behind."""

from .images import FourierImages
from .initial_noise import initial_noise
from .known_poses import known_pose_statistics
from .marginal import MarginalLikelihood
from .moments import PoseMoments
from .processes import own_statistics, statistics_of_all
from .search import ExhaustiveSearch, LocalSearch, Oversampling
from .statistics import PosteriorSummary, SufficientStatistics

__all__ = [
    "ExhaustiveSearch",
    "FourierImages",
    "LocalSearch",
    "MarginalLikelihood",
    "Oversampling",
    "PoseMoments",
    "PosteriorSummary",
    "SufficientStatistics",
    "initial_noise",
    "known_pose_statistics",
    "own_statistics",
    "statistics_of_all",
]
