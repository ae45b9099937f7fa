"""A whole training: corpus, pairs, network, log, checkpoints, held-out figures, and the file of weights at the end."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryoinv import __version__
from cryoinv.denoisers.filters import HEARD
from cryoinv.errors import InputError, InputWarning
from cryoinv.files import atomic_path
from cryoinv.io import read_weights
from cryoinv.networks import RECONSTRUCTOR, apply_denoising, write_network
from cryoinv.networks.apply import checked_precision
from cryoinv.spaces import resolve_device
from cryoinv.specs import nearest

from .calibration import Calibration
from .corpus import Corpus
from .gaussian import GaussianPairs
from .held_out import HeldOut
from .intermediates import IntermediateMaker, IntermediatePairs
from .log import TrainingLog
from .pairs import CoarsePairs, PairMaker
from .posed import PosedPairs
from .presets import Preset
from .start import earlier_network
from .stream import PairStream, held_out_pairs
from .trainer import Trainer, TrainingPlan
from .truth import TruthMaker

__all__ = ["PAIR_KINDS", "Training", "TrainingObserver"]

PAIR_KINDS = ("gaussian", "posed", "intermediate")
WEIGHTS, CHECKPOINT, SUMMARY = "weights.safetensors", "checkpoint.safetensors", "summary.json"
WRITTEN = (WEIGHTS, CHECKPOINT, SUMMARY, "log.csv")
_CALIBRATION_SEED = 4021
_TIMED_STEPS = 12  # the first of them are slow
_MIX = {"gaussian": ("gaussian",), "posed": ("posed",), "intermediate": ("intermediate", "posed")}


class TrainingObserver:
    """Is told how a training goes; does nothing. Subclass it to show progress."""

    def prepared(self, facts: dict[str, Any]) -> None:
        """Take what is known before the first step: structures, left-out files, steps, device."""

    def stage(self, name: str, total: int) -> None:
        """Begin something of so many parts."""

    def advance(self, count: int) -> None:
        """Count so many more parts as done."""

    def measured(self, row: dict[str, float]) -> None:
        """Take a row of the log: step, loss, rate, and held-out figures where they were measured."""


@dataclass
class Training:
    """How a denoiser is to be trained, and where to.

    Parameters
    ----------
    structures : Path
        Folder of structures, see `Corpus.read`.
    output : Path
        Folder for everything that is written.
    preset : Preset
        Network and grid.
    pairs : {"gaussian", "posed", "intermediate"}
        What it learns from; "intermediate" is half refinements' maps and half posed ones.
    device : str
        Where.
    steps : int, optional
        Batches; those of the preset by default.
    minutes : float, optional
        Time to fill in place of `steps`: the first batches are timed, and the number of steps that follows is kept.
    seed : int
        Of everything.
    finest : float, optional
        Å: the network knows no finer features, and is applied to none.
    start : Path, optional
        Weights of an earlier training to begin with, in place of random ones. Another seed gives other pairs than it
        had.
    precision : {"full", "bfloat16"}
        Of convolutions while it learns; on GPUs bfloat16 is faster.
    intermediates : int
        Refinements to learn from, of "intermediate".
    held_out, calibrated_on : int
        Held-out data sets, two maps each, for the figures and for the calibration.
    measure_every, save_every : int
        Steps between measurements, and between checkpoints.
    observer : TrainingObserver
        Told everything.
    """

    structures: Path
    output: Path
    preset: Preset
    pairs: str = "posed"
    device: str = "auto"
    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    finest: float | None = None
    start: Path | None = None
    precision: str = "full"
    intermediates: int = 100
    held_out: int = 24
    calibrated_on: int = 60
    measure_every: int = 400
    save_every: int = 100
    observer: TrainingObserver = field(default_factory=TrainingObserver)

    def __post_init__(self) -> None:
        if self.pairs not in PAIR_KINDS:
            raise InputError(f"unknown pairs {self.pairs!r}, {nearest(self.pairs, PAIR_KINDS)}")
        checked_precision(self.precision)
        if self.steps is not None and self.minutes is not None:
            raise InputError("steps and minutes are both given, expected one of them")
        if (self.steps is not None and self.steps < 1) or (self.minutes is not None and not 0 < self.minutes < 1e6):
            raise InputError(f"steps {self.steps}, minutes {self.minutes}: expected a positive number")
        nyquist = 2 * self.preset.pixel_size
        if self.finest is not None and not nyquist <= self.finest <= self.preset.box * self.preset.pixel_size / 4:
            raise InputError(
                f"the finest feature is {self.finest:g} Å, expected one from {nyquist:g} Å, the Nyquist frequency of "
                "the preset, to a quarter of its box"
            )
        self.place = torch.device(resolve_device(self.device))

    def run(self, resume: bool = False, overwrite: bool = False) -> dict[str, Any]:
        """Train, and write the folder.

        Parameters
        ----------
        resume : bool
            Go on from the folder's checkpoint, where there is one.
        overwrite : bool
            Unless it goes on, take away what an earlier training has left there, refinements excepted, once this one
            can begin.

        Returns
        -------
        dict
            Held-out figures and facts, as in ``summary.json``.
        """
        train, valid = (Corpus.read(self.structures, split) for split in ("train", "valid"))
        self._truth(valid, torch.device("cpu"))  # refused at once if none of them fits
        preset, checkpoint = self.preset, self.output / CHECKPOINT
        going_on = resume and checkpoint.is_file()
        planned, earlier = _told_by(checkpoint) if going_on else (None, {})
        network = preset.network(self.seed)
        if self.start is not None:  # refused, if it is, before refinements are run
            network, told = earlier_network(self.start, preset, self.finest, valid.names)
            earlier = {"started_from": told}
            if (told.get("seed"), told.get("pairs")) == (self.seed, self.pairs):
                message = f"the seed {self.seed} is that of {self.start}, which has seen the same pairs"
                warnings.warn(message, InputWarning, stacklevel=2)
        if overwrite and not resume:
            self._remove_earlier()
        makers = self._makers(train, "train")
        stream = PairStream(makers, [1] * len(makers), preset.batch, self.seed)
        steps = planned if planned and self.steps is None else self._steps(stream)
        plan = TrainingPlan(steps, preset.rate, seed=self.seed)
        trainer = Trainer(network, stream, plan, self.place, self.precision)
        facts = self._facts(train, valid, makers) | earlier
        if going_on:
            trainer.restore(checkpoint, facts)
        self.observer.prepared({**facts, "steps": steps, "step": trainer.step, "device": str(self.place)})
        held = self._held_out(valid)
        log = TrainingLog(self.output, trainer.step)
        self.observer.stage("training", steps - trainer.step)
        figures: dict[str, float] = {}
        trainer.run(callback=lambda told: figures.update(self._after_step(trainer, held, log, facts, told)))
        return self._finish(trainer, figures or self._measured(trainer, held), len(held.pairs), facts, train, valid)

    def _remove_earlier(self) -> None:
        """Take away what an earlier training has left, but for the refinements that it learned from."""
        files = (self.output / name for name in WRITTEN)
        for path in (*files, *(self.output / "tensorboard").glob("events.out.*")):
            path.unlink(missing_ok=True)

    # --- its parts -------------------------------------------------------------------------------------------------

    def _truth(self, corpus: Corpus, device: torch.device) -> TruthMaker:
        return TruthMaker(corpus, self.preset.box, self.preset.pixel_size, device)

    def _makers(self, corpus: Corpus, split: str) -> list[PairMaker]:
        """Who makes the pairs of a split; refinements that are not there yet are run first."""
        truth, found = self._truth(corpus, self.place), []
        for kind in _MIX[self.pairs]:
            if kind == "intermediate":
                found.append(self._intermediates(corpus, split))
            else:
                found.append({"gaussian": GaussianPairs, "posed": PosedPairs}[kind](truth))
        return [self._coarsened(each) for each in found]

    def _coarsened(self, maker: PairMaker) -> PairMaker:
        return maker if self.finest is None else CoarsePairs(maker, self.finest)

    def _intermediates(self, corpus: Corpus, split: str) -> IntermediatePairs:
        preset = self.preset
        # Maps of other structures, or of another seed, are another folder's: none may come into the wrong split.
        key = f"{split}-{corpus.fingerprint}-box{preset.box}-{preset.pixel_size:g}-seed{self.seed}"
        folder = self.output / "intermediates" / key
        count = self.intermediates if split == "train" else max(2, self.intermediates // 8)
        maker = IntermediateMaker(
            self._truth(corpus, torch.device("cpu")), folder, seed=self.seed, device=str(self.place)
        )
        self.observer.stage(f"refinements to learn from, {split}", count)
        for run in range(count):
            maker.make(run)
            self.observer.advance(1)
        return IntermediatePairs(folder, preset.box, preset.pixel_size, count)

    def _held_out(self, corpus: Corpus) -> HeldOut:
        """Held-out maps of the kind that refinements leave, whatever was learned from."""
        maker = self._held_out_maker(corpus)
        self.observer.stage("held-out maps", self.held_out)
        return HeldOut(held_out_pairs([maker], self.held_out, callback=self.observer.advance))

    def _held_out_maker(self, corpus: Corpus) -> PairMaker:
        if self.pairs == "intermediate":
            return self._coarsened(self._intermediates(corpus, "valid"))
        return self._coarsened(PosedPairs(self._truth(corpus, torch.device("cpu"))))

    def _steps(self, stream: PairStream) -> int:
        """Number of steps: as given, or what fills the minutes at the rate of a network that is thrown away."""
        if self.minutes is None:
            return self.preset.steps if self.steps is None else self.steps
        trial = Trainer(self.preset.network(self.seed), stream, TrainingPlan(_TIMED_STEPS), self.place, self.precision)
        times: list[float] = []
        self.observer.stage("timing", _TIMED_STEPS)

        def timed(told: dict[str, float]) -> None:
            times.append(told["seconds"])
            self.observer.advance(1)

        trial.run(callback=timed)
        typical = sorted(times[_TIMED_STEPS // 3 :])
        return max(_TIMED_STEPS, int(60 * self.minutes / typical[len(typical) // 2]))

    def _facts(self, corpus: Corpus, valid: Corpus, makers: Sequence[PairMaker]) -> dict[str, Any]:
        """What tells this training from another, and what the model card says of it."""
        fitting = self._truth(corpus, torch.device("cpu")).corpus
        facts = {
            **self.preset.described(),
            "pairs": self.pairs,
            "structures": len(fitting),
            "left_out": len(fitting.left_out),
            "corpus": fitting.fingerprint,
            "held_out_corpus": valid.fingerprint,
            "device": self.place.type,
            "seed": self.seed,
            "finest": self.finest,
            "precision": self.precision,
            "reconstructor": RECONSTRUCTOR,
            "target": f"W times the truth (eq. 19), W the half-map FSC in the particle's sphere, smoothed, to {HEARD}",
            "version": __version__,
        }
        for maker in makers:
            if isinstance(maker, IntermediatePairs):
                facts |= {"refinements": len(maker), "lost_refinements": maker.lost}
        return facts

    def _after_step(
        self, trainer: Trainer, held: HeldOut, log: TrainingLog, facts: dict[str, Any], told: dict[str, float]
    ) -> dict[str, float]:
        """Log a step and save; return held-out figures where they were measured."""
        is_last, figures = trainer.step == trainer.plan.steps, dict[str, float]()
        if trainer.step % self.measure_every == 0 or is_last:
            figures = self._measured(trainer, held)
        row = told | figures
        log.write(row)
        if trainer.step % self.save_every == 0 or is_last:
            log.flush()
            trainer.save(self.output / CHECKPOINT, facts)
        self.observer.measured(row)
        return figures

    def _measured(self, trainer: Trainer, held: HeldOut) -> dict[str, float]:
        network = trainer.averaged().to(self.place)
        return held.summary(held.measure(lambda x, w: apply_denoising(network, x, w), self.place))

    def _finish(
        self,
        trainer: Trainer,
        figures: dict[str, float],
        maps: int,
        facts: dict[str, Any],
        train: Corpus,
        valid: Corpus,
    ) -> dict[str, Any]:
        """Write the weights with their card, the figures on so many held-out maps on it, and the summary."""
        pixel_size = self.preset.pixel_size
        names = self._truth(train, torch.device("cpu")).corpus.names
        if "started_from" in facts:  # what was learned from once is in the weights
            began = dict(facts["started_from"])
            names, facts = sorted({*names, *began.pop("names", [])}), {**facts, "started_from": began}
        card = {
            **facts,
            "steps": trainer.step,
            "held_out": {**figures, "maps": maps},
            "calibration": self._calibration(trainer, valid),
            "licence": "BSD-3-Clause",
            "names": names,
        }
        write_network(self.output / WEIGHTS, trainer.averaged(), (pixel_size, pixel_size), card)
        with atomic_path(self.output / SUMMARY) as temporary:
            temporary.write_text(json.dumps(card, indent=1, allow_nan=False), encoding="utf-8")
        return card

    def _calibration(self, trainer: Trainer, valid: Corpus) -> dict[str, Any]:
        """How far the network is to be believed, on held-out maps other than those of the figures, but for stored ones.

        Stored refinements are few: figures and calibration draw from the same.
        """
        network = trainer.averaged().to(self.place)
        maker = self._held_out_maker(valid)
        self.observer.stage("calibration", self.calibrated_on)

        def denoise(maps: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return apply_denoising(network, maps.to(self.place), transfer.to(self.place)).cpu()

        calibration = Calibration(denoise)
        for i in range(self.calibrated_on):
            calibration.add(maker(np.random.default_rng((_CALIBRATION_SEED, i))))
            self.observer.advance(1)
        return calibration.solved()


def _told_by(checkpoint: Path) -> tuple[int, dict[str, Any]]:
    """Steps of the plan that a checkpoint belongs to, and what its facts say of the training that it began with."""
    _, metadata = read_weights(checkpoint)
    try:
        notes = metadata["notes"]
        return int(metadata["plan"]["steps"]), {key: notes[key] for key in ("started_from",) if key in notes}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{checkpoint}: is no checkpoint of a training") from None
