"""The default learned prior: the network's map where held-out maps say that it is right, the Gaussian one elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cryoinv.denoisers import Denoiser, NetworkDenoiser, solvent_mask
from cryoinv.errors import InputError
from cryoinv.specs import nearest

from .amplitude import Amplitude
from .calibrated import CalibratedAmplitude
from .red import RED, BoundRED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cryoinv.denoisers import PriorContext
    from cryoinv.likelihood import SufficientStatistics

__all__ = ["LearnedPrior"]

_ROLES = ("reference", "output")


class LearnedPrior(RED):
    r"""Learned prior of two roles: :math:`f/\max(W, 0.2)` is aligned to, :math:`a\,x_{MAP} + b\,f` is reported.

    With :math:`x_{MAP} = B/(K+\tau^{-2})`, f the network's map of B/K and W its filter, the half-map FSC inside the
    particle's sphere (`Denoiser.target_fsc`). The network was trained towards W times the truth; divided by W its map
    is the best guess at the truth itself, which is what E-steps want. Shells that W stops, and those that the network
    cannot know, are those of :math:`x_{MAP}`. What is reported is the mix that comes closest to the truth on held-out
    maps, by the W of the shell and the resolution of the map. The numbers a and b come with the weights; where few maps
    spoke they are near those of the Gaussian MAP estimate, 1 and 0.

    Both are multiplied by the solvent mask of `MaskedGaussianPrior`: what of :math:`x_{MAP}` is in them should not
    bring the solvent's noise along.

    The inflation guard may bring both back to :math:`x_{MAP}`, shell by shell: :math:`(1-\lambda)x_{MAP} + \lambda x`.

    Parameters
    ----------
    denoiser : Denoiser, optional
        Network with a calibration; by default the one that comes with the package.
    weight : float
        λ before the guard lowers it.
    floor : float
        Lowest W that the reference is divided by.
    tau2_fudge : float
        Factor on :math:`\tau^2`, as in `GaussianPrior`.
    guard : bool
        Whether the inflation guard may lower λ, see `trust_factor`.
    masked : bool
        Whether the solvent mask is applied.
    role : {"reference", "output"}
        Which of the two it is; a refinement takes the first and asks it for the second.

    Raises
    ------
    InputError
        If the denoiser has no calibration, or an option is out of range.

    References
    ----------
    D. Kimanius et al. (2020), sections 2.3, 4.3 and 5.

    Examples
    --------
    >>> prior = LearnedPrior()
    >>> prior.offers(), prior.for_output()
    (['gradient', 'correction'], LearnedPrior(role='output'))
    """

    name = "learned"

    def __init__(
        self,
        denoiser: Denoiser | None = None,
        weight: float = 1.0,
        floor: float = 0.2,
        tau2_fudge: float = 1.0,
        guard: bool = True,
        masked: bool = True,
        role: str = "reference",
    ):
        if role not in _ROLES:
            raise InputError(f"role is {role!r}, {nearest(str(role), _ROLES)}")
        super().__init__(denoiser, weight, tau2_fudge=tau2_fudge, guard=guard)
        calibrated, undamped = CalibratedAmplitude(_calibration_of(self.denoiser)), _Undamped("undamped", floor)
        self.role, self.masked = role, bool(masked)
        self.amplitude = calibrated if role == "output" else undamped

    def gains(self, context: PriorContext) -> tuple[torch.Tensor, torch.Tensor]:
        """Amplitudes of every shell; the Gaussian MAP estimate where the network changes nothing."""
        a, b = super().gains(context)
        known = self.denoiser.known(context).to(a)  # type: ignore[attr-defined]
        return torch.where(known > 0, a, 1.0), known * b

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> BoundRED:
        """Return the functional, whose `post_process` masks."""
        bound = super().bind(statistics, context)
        return _MaskedRED(bound, statistics, context) if self.masked else bound

    def for_output(self) -> LearnedPrior:
        """Return the same prior in the role of what is reported."""
        return type(self)(**{**self.made_with, "role": "output"})


class _MaskedRED(BoundRED):
    """RED whose last touch is the solvent mask."""

    def __init__(self, bound: BoundRED, statistics: SufficientStatistics, context: PriorContext):
        super().__init__(bound.denoiser, bound.damping, bound.on_denoised, bound.on_data, bound.starts_from)
        self.statistics, self.context = statistics, context

    def post_process(self, volume: torch.Tensor) -> torch.Tensor:
        """Multiply by the mask."""
        unregularised = self.statistics.to_volume(self.statistics.unregularised())
        return volume * solvent_mask(unregularised, self.context).to(volume)


class _Undamped(Amplitude):
    """The undamped map in place of the data, a = 0 and b = 1/max(FSC, floor), up to where its filter stops."""

    is_damped = False

    def gains(self, fsc: torch.Tensor, resolution: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Gains of every shell."""
        _, gain = super().gains(fsc)
        stopped = (fsc == 0).to(gain)
        return stopped, (1 - stopped) * gain


def _calibration_of(denoiser: Denoiser) -> Mapping[str, Any]:
    calibration = denoiser.calibration if isinstance(denoiser, NetworkDenoiser) else None
    if calibration is None:
        raise InputError(
            f"{denoiser!r} has no calibration for the learned prior to go by, expected a trained network"
        )
    return calibration
