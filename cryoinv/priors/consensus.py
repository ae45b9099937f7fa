"""RED with a consensus of denoisers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryoinv.denoisers import ResolutionBands, SolventFlattening, Wiener

from .amplitude import FSCTable
from .red import RED

if TYPE_CHECKING:
    from cryoinv.denoisers import Denoiser

__all__ = ["ConsensusOfDenoisers"]


class ConsensusOfDenoisers(RED):
    r"""RED with several denoisers, each trusted in its own resolution band, :math:`f = \sum_j P_j f_j`.

    The :math:`P_j` are radial, with soft edges, and sum to one (`ResolutionBands`): a denoiser that sees the whole map
    may say what is coarse, and another, which sees detail, what is fine.

    Parameters
    ----------
    denoisers : sequence of Denoiser, optional
        From the band of the lowest resolution to that of the highest. By default `SolventFlattening` and `Wiener`.
        In a specification, ``denoisers=(NAME,...;NAME,...)``.
    edges : float, sequence of float, or str
        Resolutions in Å at which one band gives way to the next, in descending order; in words ``"12;6"``.
    width : float
        Width of each edge, in shells.
    weight : float
        λ, as in `RED`, like all that follow.
    input : {"newest", "previous"}
        What f is first applied to.
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
        If an option does not suit.

    References
    ----------
    D. Kimanius et al. (2020), section 5, propose it.

    Examples
    --------
    >>> from cryoinv.priors import prior_from
    >>> prior_from("consensus,denoisers=(lowpass,resolution=20;wiener),edges=12")
    ConsensusOfDenoisers(denoisers=[LowPass(resolution=20), Wiener()])
    """

    name = "consensus"

    def __init__(
        self,
        denoisers: Sequence[Denoiser] | None = None,
        edges: float | str | Sequence[float] = 12.0,
        width: float = 3.0,
        weight: float = 1.0,
        input: str = "newest",
        amplitude: str = "plain",
        floor: float = 0.2,
        a: FSCTable | None = None,
        b: FSCTable | None = None,
        tau2_fudge: float = 1.0,
        guard: bool = False,
    ):
        chosen = (SolventFlattening(), Wiener()) if denoisers is None else denoisers
        bands = ResolutionBands(chosen, edges, width)
        super().__init__(bands, weight, input, amplitude, floor, a, b, tau2_fudge, guard)
