"""All that an iteration hands to the next, and its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryoinv.denoisers.context import CURVES
from cryoinv.errors import InputError
from cryoinv.files import atomic_path
from cryoinv.likelihood import PoseMoments
from cryoinv.noise import RadialGaussianNoise
from cryoinv.priors import PriorContext

from .fingerprint import Fingerprint, different_parts
from .schedule import Schedule
from .settings import RefinementSettings

__all__ = ["RefinementState"]

_VERSION = 6


@dataclass
class RefinementState:
    """Where a refinement stands.

    Parameters
    ----------
    references : tuple of torch.Tensor, shape (n, n, n)
        What each half's next E-step aligns to, masked.
    noise : RadialGaussianNoise
        Noise powers.
    moments : PoseMoments
        Mean pose of every particle and its covariance.
    schedule : Schedule
        Sampling.
    window : float
        Largest image frequency of the next E-step.
    iteration : int
        Iterations done.
    history : list of dict
        One record an iteration.
    diameter : float
        Å, of the particle's sphere.
    seconds : float
        Wall time spent.
    contexts : tuple of PriorContext, optional
        Radial quantities of each half in the last iteration; None before the first.
    """

    references: tuple[torch.Tensor, torch.Tensor]
    noise: RadialGaussianNoise
    moments: PoseMoments
    schedule: Schedule
    window: float
    iteration: int = 0
    history: list[dict] = field(default_factory=list)
    diameter: float = 0.0
    seconds: float = 0.0
    contexts: tuple[PriorContext, PriorContext] | None = None

    def done(self, settings: RefinementSettings) -> bool:
        """Whether only the final pass is left."""
        return self.schedule.converged or self.iteration >= settings.max_iterations

    def to(self, device: torch.device | str) -> RefinementState:
        """The same state with its maps and curves on a device."""
        first, second = (reference.to(device) for reference in self.references)
        contexts = self.contexts and (self.contexts[0].to(device), self.contexts[1].to(device))
        return replace(self, references=(first, second), contexts=contexts)

    def to_arrays(self, fingerprint: Fingerprint | None = None) -> dict[str, np.ndarray]:
        """Arrays by name, for files and other processes; `fingerprint` tells data and settings apart."""
        text = json.dumps(
            {
                "version": _VERSION,
                "fingerprint": dict(fingerprint or {}),
                "schedule": self.schedule.to_dict(),
                "window": self.window,
                "iteration": self.iteration,
                "history": self.history,
                "diameter": self.diameter,
                "seconds": self.seconds,
                "contexts": [_numbers(context) for context in self.contexts or ()],
            }
        )
        return {
            "text": np.frombuffer(text.encode(), np.uint8),
            "sigma2": self.noise.sigma2.cpu().numpy(),
            "first": self.references[0].cpu().numpy(),
            "second": self.references[1].cpu().numpy(),
            **self.moments.to_arrays(),
            **_curves(self.contexts or ()),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> RefinementState:
        """State of what `to_arrays` gave."""
        head = _head(arrays)
        contexts = tuple(_context(half, entries, arrays, device) for half, entries in enumerate(head["contexts"]))
        return cls(
            (torch.as_tensor(arrays["first"], device=device), torch.as_tensor(arrays["second"], device=device)),
            RadialGaussianNoise(torch.as_tensor(arrays["sigma2"])),
            PoseMoments.from_arrays(arrays),
            Schedule(**head["schedule"]),
            head["window"],
            head["iteration"],
            head["history"],
            head["diameter"],
            head["seconds"],
            contexts or None,  # type: ignore[arg-type]
        )

    def save(self, path: Path, fingerprint: Fingerprint) -> None:
        """Write a checkpoint, to a temporary name first; the last one stays where that fails."""
        arrays = self.to_arrays(fingerprint)
        size = sum(array.nbytes for array in arrays.values())
        with atomic_path(path, size) as temporary, Path(temporary).open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, fingerprint: Fingerprint) -> RefinementState:
        """Read a checkpoint back, onto the CPU.

        Raises
        ------
        InputError
            If the file cannot be read, is damaged, or belongs to another run (it names what differs) or version.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
            _check_origin(path, _head(arrays), fingerprint)
            return cls.from_arrays(arrays)
        except (InputError, MemoryError):  # which say nothing against the file
            raise
        except OSError as error:
            raise InputError(f"{path}: the checkpoint cannot be read ({error.strerror or error})") from error
        except Exception as error:
            raise InputError(
                f"{path} is not a readable checkpoint (damaged, or another file); start again with --overwrite"
            ) from error


def _numbers(context: PriorContext) -> dict[str, Any]:
    return {name: value for name, value in asdict(context).items() if name not in CURVES}


def _curves(contexts: Sequence[PriorContext]) -> dict[str, np.ndarray]:
    found = {f"{name} {half}": getattr(each, name) for half, each in enumerate(contexts) for name in CURVES}
    return {name: curve.cpu().numpy() for name, curve in found.items() if curve is not None}


def _context(
    half: int, numbers: Mapping[str, Any], arrays: Mapping[str, np.ndarray], device: torch.device | str
) -> PriorContext:
    names = [name for name in CURVES if f"{name} {half}" in arrays]
    curves: dict[str, Any] = {name: torch.as_tensor(arrays[f"{name} {half}"], device=device) for name in names}
    return PriorContext(**numbers, **curves)


def _check_origin(path: Path, head: Mapping[str, Any], fingerprint: Fingerprint) -> None:
    """Refuse a checkpoint of another version, whose fingerprint means something else, and of another run."""
    if head["version"] != _VERSION:
        raise InputError(
            f"{path} was written by another version of cryoinv (format {head['version']}, expected {_VERSION}); "
            "resume with that version, or start again with --overwrite"
        )
    other = different_parts(head["fingerprint"], fingerprint)
    if other:
        raise InputError(
            f"{path} belongs to a run that differs in {', '.join(other)}; resume with the same, or start again with "
            "--overwrite"
        )


def _head(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(arrays["text"].tobytes().decode())
    return found
