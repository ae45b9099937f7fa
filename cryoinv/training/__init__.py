"""From atomic structures to a trained denoiser: pairs of noisy and true maps, the training, what it is worth."""

from .calibration import Calibration, recalibrate
from .corpus import Corpus, Structure
from .gaussian import GaussianPairs
from .held_out import HeldOut, Measured
from .intermediates import IntermediateMaker, IntermediatePairs
from .losses import denoising_loss, relative_errors
from .pairs import CoarsePairs, PairMaker, Pairs
from .posed import PosedPairs
from .presets import PRESETS, Preset, preset_of
from .run import Training, TrainingObserver
from .stream import PairStream, held_out_pairs
from .trainer import Trainer, TrainingPlan
from .truth import TruthMaker

__all__ = [
    "PRESETS",
    "Calibration",
    "CoarsePairs",
    "Corpus",
    "GaussianPairs",
    "HeldOut",
    "IntermediateMaker",
    "IntermediatePairs",
    "Measured",
    "PairMaker",
    "PairStream",
    "Pairs",
    "PosedPairs",
    "Preset",
    "Structure",
    "Trainer",
    "Training",
    "TrainingObserver",
    "TrainingPlan",
    "TruthMaker",
    "denoising_loss",
    "held_out_pairs",
    "preset_of",
    "recalibrate",
    "relative_errors",
]
