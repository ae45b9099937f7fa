"""RED whose weight comes from the resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .amplitude import FSCTable
from .confidence import Confidence, Table, confidence_rule
from .red import RED

if TYPE_CHECKING:
    from cryoinv.denoisers import Denoiser, PriorContext

__all__ = ["ConfidenceWeightedRED"]


class ConfidenceWeightedRED(RED):
    r"""Confidence-weighted RED: eq. 17 with :math:`\lambda` from the resolution of the half-maps.

    Where denoisers are known to fail, at low resolution, it falls back onto the Gaussian prior.

    Parameters
    ----------
    denoiser : Denoiser, optional
        f; the network that comes with the package by default.
    rule : str, callable, tensor, mapping or sequence
        λ: "paper" is 0 at half-map resolutions worse than `coarse`, 1 at those better than `fine`, linear in Å in
        between. "script" is what the script that was released with the paper does in its stead, practically always 1:
        for comparison only. Or a table by shell or by resolution, or any function of the `PriorContext`, see
        `confidence_rule`.
    coarse, fine : float
        Of the paper's rule, in Å.
    input : {"newest", "previous"}
        As in `RED`, like all that follow.
    amplitude : {"plain", "undamped", "mix"}
        How strongly f enters.
    floor : float
        Lowest FSC that "undamped" divides by.
    a, b : float, sequence of (float, float) or str, optional
        Of "mix".
    tau2_fudge : float
        Factor on :math:`\tau^2`.
    guard : bool
        Whether the inflation guard may lower λ.

    Raises
    ------
    InputError
        If an option does not suit; at an iteration, if the rule's λ is not within [0, 1].

    References
    ----------
    D. Kimanius et al. (2020), section 4.3.

    Examples
    --------
    >>> from cryoinv.denoisers import PriorContext
    >>> round(ConfidenceWeightedRED().confidence(PriorContext.nominal(32, 1.5, resolution=9.8)), 3)
    0.036
    """

    name = "cw-red"

    def __init__(
        self,
        denoiser: Denoiser | None = None,
        rule: str | Confidence | Table = "paper",
        coarse: float = 10.0,
        fine: float = 4.5,
        input: str = "newest",
        amplitude: str = "plain",
        floor: float = 0.2,
        a: FSCTable | None = None,
        b: FSCTable | None = None,
        tau2_fudge: float = 1.0,
        guard: bool = False,
    ):
        super().__init__(denoiser, 1.0, input, amplitude, floor, a, b, tau2_fudge, guard)
        self.rule = confidence_rule(rule, coarse, fine)

    def confidence(self, context: PriorContext) -> float | torch.Tensor:
        """λ of an iteration by the rule."""
        return self.rule(context)
