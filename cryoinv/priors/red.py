"""Regularisation by denoising."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cryoinv.denoisers import load_denoiser
from cryoinv.errors import InputError
from cryoinv.operators import TorchOperator
from cryoinv.spaces.backend import odl
from cryoinv.specs import nearest

from .amplitude import Amplitude, FSCTable
from .base import BoundPrior, Prior
from .confidence import checked_confidence
from .gaussian import GaussianPrior
from .spectral_denoiser import SpectralDenoiser, chosen_denoiser

if TYPE_CHECKING:
    from cryoinv.denoisers import Denoiser, PriorContext
    from cryoinv.likelihood import SufficientStatistics

__all__ = ["RED", "BoundRED"]


class RED(Prior):
    r"""Regularisation by denoising, :math:`\nabla\log P(x) = \tau^{-2}(\lambda f(x) - x)` (eqs. 13-17).

    Its M-step is :math:`x = (B + \lambda\,\tau^{-2} f) / (K + \tau^{-2})`: one step of it, with f of the newest B/K,
    is eq. 17; with f of the map of the iteration before it is eq. 16. With λ = 0 it is the Gaussian prior, bit for bit.
    There is no value: a denoiser's :math:`f(x) - x` is in general no gradient of one.

    Parameters
    ----------
    denoiser : Denoiser, optional
        f; the network that comes with the package by default.
    weight : float
        λ, from 0 to 1.
    input : {"newest", "previous"}
        What the M-step starts from and f is first applied to: B/K of the newest statistics (eq. 17), or the map of
        the iteration before (eq. 16).
    amplitude : {"plain", "undamped", "mix"}
        "plain" is eq. 17 as it is. A denoiser whose target is FSC times the truth is damped twice by it; "undamped"
        puts f / max(FSC, `floor`) for f, with the FSC that `Denoiser.target_fsc` tells. "mix" is
        :math:`a\,x_{MAP} + b\,f`, with the Gaussian MAP estimate :math:`x_{MAP} = B/(K+\tau^{-2})`; with λ it is
        :math:`(1-\lambda)\,x_{MAP} + \lambda(a\,x_{MAP} + b\,f)`.
    floor : float
        Lowest FSC that "undamped" divides by.
    a, b : float, sequence of (float, float) or str, optional
        Of "mix": numbers, or pairs of the end of a bin of FSC and the value there, in words ``"0.2:1;1:0"``. By
        default a = 0 and b = 4.0, 2.6, 1.85, 1.4, 1.14 and 1 in bins of FSC that end at 0.35, 0.5, 0.7, 0.85, 0.95 and
        1, and a = 1, b = 0 where the FSC is below 0.2. These numbers are a fit to one small network, trained on
        simulated half-maps of box 48 at 3 Å towards FSC times the truth; another denoiser wants its own.
    tau2_fudge : float
        Factor on :math:`\tau^2`, as in `GaussianPrior`.
    guard : bool
        Whether the inflation guard may lower λ, see `trust_factor`. It calls the denoiser once more an iteration.

    Raises
    ------
    InputError
        If λ is not within [0, 1], or another option does not suit.

    References
    ----------
    D. Kimanius et al. (2020), eqs. 13-17. Y. Romano, M. Elad, P. Milanfar, SIAM J. Imaging Sci. 10 (2017) 1804-1844.

    Examples
    --------
    >>> from cryoinv.denoisers import LowPass
    >>> RED(LowPass(12.0), weight=0.5).offers()
    ['gradient', 'correction']
    """

    name = "red"
    has_gradient = has_correction = True

    def __init__(
        self,
        denoiser: Denoiser | None = None,
        weight: float = 1.0,
        input: str = "newest",
        amplitude: str = "plain",
        floor: float = 0.2,
        a: FSCTable | None = None,
        b: FSCTable | None = None,
        tau2_fudge: float = 1.0,
        guard: bool = False,
    ):
        if not (isinstance(weight, (int, float)) and 0 <= weight <= 1):
            raise InputError(f"weight (λ) is {weight}, expected a number within [0, 1]")
        if input not in ("newest", "previous"):
            raise InputError(f"input is {input!r}, {nearest(str(input), ('newest', 'previous'))}")
        self.denoiser, self.weight, self.input = chosen_denoiser(denoiser, load_denoiser), float(weight), input
        self.amplitude = Amplitude(amplitude, floor, a, b)
        self.gaussian, self.guarded = GaussianPrior(tau2_fudge), bool(guard)

    def identity(self) -> str:
        """What tells runs apart: the denoiser, too, where it is that of the package, whose weights may change."""
        return f"{super().identity()} {self.denoiser.identity()}"

    def confidence(self, context: PriorContext) -> float | torch.Tensor:
        """λ of an iteration: a number, or one a shell."""
        return self.weight

    def gains(self, context: PriorContext) -> tuple[torch.Tensor, torch.Tensor]:
        """Amplitudes a and b of every shell."""
        return self.amplitude.gains(self.denoiser.target_fsc(context), context.resolution)

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> BoundRED:
        """Return the functional with the iteration's power, confidence and amplitudes."""
        weight = checked_confidence(self.confidence(context), context, repr(self))
        if context.trust is not None:
            weight = weight * checked_confidence(context.trust, context, "the inflation guard")
        damping = self.gaussian.bind(statistics, context).precision
        assert damping is not None
        on_map, on_denoised = self.gains(context)
        scale = damping if self.amplitude.is_damped else statistics.curvature() + damping
        denoiser = SpectralDenoiser(self.denoiser, statistics, context)
        on_data = _expanded(weight * (on_map - 1), None, statistics)
        return BoundRED(
            denoiser, damping, _expanded(weight * on_denoised, scale, statistics), on_data, self.input
        )


class BoundRED(BoundPrior):
    r"""RED on one half's statistics: :math:`c(x) = q\,\hat f(x) + p\,B`, gradient :math:`D x - c(x)`.

    With p = 0 and q = λ D it is RED's; with p = λ (a - 1) and q = λ b (K + D) a step :math:`(B + c)/(K + D)` is the mix
    of the Gaussian MAP estimate and the denoised map.

    Parameters
    ----------
    denoiser : SpectralDenoiser
        :math:`\hat f`, on the statistics' space.
    damping : torch.Tensor, shape of the space, real
        D.
    on_denoised, on_data : torch.Tensor, shape of the space, real, or None
        q and p, None where they are zero: then f is not called.
    starts_from : {"newest", "previous"}
        Where an M-step begins.
    """

    def __init__(
        self,
        denoiser: SpectralDenoiser,
        damping: torch.Tensor,
        on_denoised: torch.Tensor | None,
        on_data: torch.Tensor | None = None,
        starts_from: str = "newest",
    ):
        super().__init__(denoiser.statistics.space)
        self.denoiser, self.starts_from = denoiser, starts_from
        self.damping: torch.Tensor = damping
        self.on_denoised, self.on_data = on_denoised, on_data

    def correction(self, x: torch.Tensor) -> torch.Tensor:
        """Return q f(x) + p B."""
        found = torch.zeros_like(x) if self.on_denoised is None else self.on_denoised * self.denoiser.apply(x)
        return found if self.on_data is None else found + self.on_data * self.denoiser.statistics.data

    @property
    def gradient(self) -> odl.Operator:
        """Operator x -> D x - c(x)."""
        return _Gradient(self)

    def denoised(self) -> torch.Tensor:
        """Denoised map f(B/K), shape (n, n, n)."""
        statistics = self.denoiser.statistics
        return self.denoiser.denoise(statistics.to_volume(statistics.unregularised()))


class _Gradient(TorchOperator):
    def __init__(self, functional: BoundRED):
        super().__init__(functional.domain, functional.domain, linear=False)
        self.functional = functional

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        return self.functional.damping * x - self.functional.correction(x)


def _expanded(
    profile: torch.Tensor, scale: torch.Tensor | None, statistics: SufficientStatistics
) -> torch.Tensor | None:
    """Profile by shell, on every coefficient, times `scale`; None if it is zero everywhere."""
    if not bool(profile.any()):
        return None
    if scale is not None and bool((profile == 1).all()):
        return scale
    expanded = statistics.expand(profile.to(statistics.weight.dtype))
    return expanded if scale is None else expanded * scale
