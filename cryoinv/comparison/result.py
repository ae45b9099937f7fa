"""What one method of a comparison came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoinv.errors import InputError
from cryoinv.refinement import RefinementResult
from cryoinv.refinement.evaluation import Evaluation, read_summary

from .methods import Method

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MethodResult"]


@dataclass(eq=False)
class MethodResult:
    """Numbers, curves and maps of one method; of one that failed, the error alone.

    Parameters
    ----------
    method : Method
        Prior, M-step and solver.
    summary : dict, optional
        Numbers of the refinement, as in its ``summary.json``, units in their names.
    fsc, fsc_masked : numpy.ndarray, shape (n//2+1,), optional
        FSC of the half-maps, whole and inside the particle's sphere.
    map : numpy.ndarray, shape (n, n, n), optional
        The map of all particles.
    evaluation : Evaluation, optional
        Distance from the truth, if that is known.
    error : str
        Why the method failed.
    folder : str
        Where its files are, relative to the comparison's.
    result : RefinementResult, optional
        All of the refinement, of a comparison in memory.
    """

    method: Method
    summary: dict[str, Any] = field(default_factory=dict)
    fsc: NDArray[np.floating] | None = None
    fsc_masked: NDArray[np.floating] | None = None
    map: NDArray[np.floating] | None = None
    evaluation: Evaluation | None = None
    error: str = ""
    folder: str = ""
    result: RefinementResult | None = None

    @classmethod
    def from_folder(cls, method: Method, folder: Path, evaluation: Evaluation | None, name: str = "") -> MethodResult:
        """What a finished refinement has left in its folder.

        Parameters
        ----------
        method : Method
            That was refined.
        folder : Path
            With all files of the refinement.
        evaluation : Evaluation, optional
            Of the same folder.
        name : str
            Of the folder, relative to the comparison's.

        Returns
        -------
        MethodResult

        Raises
        ------
        InputError
            If a file is missing or cannot be read.
        """
        from cryoinv.io import read_volume

        summary = read_summary(folder)
        curves = _read_curves(folder / "fsc.csv")
        return cls(method, summary, *curves, read_volume(folder / "map.mrc")[0], evaluation, folder=name)

    @classmethod
    def from_result(
        cls,
        method: Method,
        result: RefinementResult,
        summary: dict[str, Any],
        evaluation: Evaluation | None,
        name: str = "",
    ) -> MethodResult:
        """What a refinement in memory returned.

        Parameters
        ----------
        method : Method
            That was refined.
        result : RefinementResult
            Of the refinement.
        summary : dict
            Its numbers.
        evaluation : Evaluation, optional
            Of its map and poses.
        name : str
            Of its folder, relative to the comparison's, if it has one.

        Returns
        -------
        MethodResult
        """
        fsc, fsc_masked, volume = (x.cpu().numpy() for x in (result.fsc, result.fsc_masked, result.map))
        return cls(method, summary, fsc, fsc_masked, volume, evaluation, folder=name, result=result)

    @property
    def label(self) -> str:
        """What tables and figures call the method."""
        return self.method.label

    @property
    def finished(self) -> bool:
        """Whether there is a map."""
        return not self.error

    @property
    def shown_map(self) -> NDArray[np.floating] | None:
        """The map, in the truth's frame if that is known."""
        return self.map if self.evaluation is None else self.evaluation.map

    def mean_truth_fsc(self, pixel_size: float, finest: float) -> float | None:
        """Mean over shells, from the first to the one at `finest` Å, of the masked FSC against the truth.

        Parameters
        ----------
        pixel_size : float
            Å per pixel.
        finest : float
            Resolution in Å.

        Returns
        -------
        float or None
            None where the truth is not known.
        """
        if self.evaluation is None:
            return None
        curve = self.evaluation.fsc_masked
        last = shells_to(len(self.evaluation.truth), pixel_size, finest)
        return float(np.mean(curve[1 : last + 1]))


def shells_to(n: int, pixel_size: float, finest: float) -> int:
    """Last shell that is no finer than a resolution, at least 1, at most the Nyquist's.

    Examples
    --------
    >>> shells_to(64, 3.0, 6.0), shells_to(64, 3.0, 12.0), shells_to(64, 3.0, 1000.0)
    (32, 16, 1)
    """
    return max(1, min(n // 2, int(n * pixel_size / finest * (1 + 1e-6))))


def _read_curves(path: Path) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    try:
        table = np.genfromtxt(path, delimiter=",", names=True, encoding="utf-8")
        return np.atleast_1d(table["fsc"]), np.atleast_1d(table["fsc_masked"])
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not the FSC curves of a refinement ({error})") from None
