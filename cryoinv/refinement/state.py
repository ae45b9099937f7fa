"""All that an iteration hands to the next, and its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.files import atomic_path
from cryoinv.likelihood import PoseMoments
from cryoinv.noise import RadialGaussianNoise

from .schedule import Schedule
from .settings import RefinementSettings

__all__ = ["RefinementState"]

_VERSION = 3


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

    def done(self, settings: RefinementSettings) -> bool:
        """Whether only the final pass is left."""
        return self.schedule.converged or self.iteration >= settings.max_iterations

    def to_arrays(self, fingerprint: str = "") -> dict[str, np.ndarray]:
        """Arrays by name, for files and other processes; `fingerprint` tells data and settings apart."""
        text = json.dumps(
            {
                "version": _VERSION,
                "fingerprint": fingerprint,
                "schedule": self.schedule.to_dict(),
                "window": self.window,
                "iteration": self.iteration,
                "history": self.history,
                "diameter": self.diameter,
                "seconds": self.seconds,
            }
        )
        return {
            "text": np.frombuffer(text.encode(), np.uint8),
            "sigma2": self.noise.sigma2.cpu().numpy(),
            "first": self.references[0].cpu().numpy(),
            "second": self.references[1].cpu().numpy(),
            **self.moments.to_arrays(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> RefinementState:
        """State of what `to_arrays` gave."""
        head = _head(arrays)
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
        )

    def save(self, path: Path, fingerprint: str) -> None:
        """Write a checkpoint, to a temporary name first; the last one stays where that fails."""
        arrays = self.to_arrays(fingerprint)
        size = sum(array.nbytes for array in arrays.values())
        with atomic_path(path, size) as temporary, Path(temporary).open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, fingerprint: str, device: torch.device | str = "cpu") -> RefinementState:
        """Read a checkpoint back.

        Raises
        ------
        InputError
            If the file is damaged or belongs to other particles, reference or settings.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
            head = _head(arrays)
            mine = (head["version"], head["fingerprint"]) == (_VERSION, fingerprint)
            state = cls.from_arrays(arrays, device) if mine else None
        except Exception as error:
            raise InputError(
                f"{path} is not a readable checkpoint (damaged, or another file); start again with --overwrite"
            ) from error
        if state is None:
            raise InputError(
                f"{path} belongs to a run with other particles, reference or settings; resume with the same ones, "
                "or start again with --overwrite"
            )
        return state


def _head(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(arrays["text"].tobytes().decode())
    return found
