"""All that an iteration hands to the next, and its checkpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.files import atomic_path
from cryoinv.geometry import Poses
from cryoinv.likelihood import PoseMoments
from cryoinv.noise import RadialGaussianNoise

from .schedule import Schedule

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

    def save(self, path: Path, fingerprint: str) -> None:
        """Write a checkpoint, to a temporary name first; `fingerprint` tells data and settings apart."""
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
        with atomic_path(path) as temporary, Path(temporary).open("wb") as file:
            np.savez(
                file,
                text=np.frombuffer(text.encode(), np.uint8),
                sigma2=self.noise.sigma2.cpu().numpy(),
                rotations=self.moments.poses.rotations,
                shifts=self.moments.poses.shifts,
                rotation_covariance=self.moments.rotation_covariance,
                shift_covariance=self.moments.shift_covariance,
                first=self.references[0].cpu().numpy(),
                second=self.references[1].cpu().numpy(),
            )

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
            head = json.loads(arrays["text"].tobytes().decode())
        except Exception as error:
            raise InputError(
                f"{path} is not a readable checkpoint (damaged, or another file); start again with --overwrite"
            ) from error
        if head.get("version") != _VERSION or head.get("fingerprint") != fingerprint:
            raise InputError(
                f"{path} belongs to a run with other particles, reference or settings; resume with the same ones, "
                "or start again with --overwrite"
            )
        first, second = (torch.as_tensor(arrays[name], device=device) for name in ("first", "second"))
        return cls(
            (first, second),
            RadialGaussianNoise(torch.as_tensor(arrays["sigma2"])),
            PoseMoments(
                Poses(arrays["rotations"], arrays["shifts"]),
                arrays["rotation_covariance"],
                arrays["shift_covariance"],
            ),
            Schedule(**head["schedule"]),
            head["window"],
            head["iteration"],
            head["history"],
            head["diameter"],
            head["seconds"],
        )
