"""Outer solvers: how often the map changes while the particles are gone through once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from cryoinv.described import Described
from cryoinv.errors import InputError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.priors import BoundPrior, Prior

__all__ = ["EM", "OuterSolver", "batches_of"]

Expectation = Callable[[torch.Tensor, np.ndarray], SufficientStatistics]
Reference = Callable[[BoundPrior | None, torch.Tensor | None], torch.Tensor]
Bind = Callable[[SufficientStatistics], BoundPrior]


class OuterSolver(Described):
    r"""A way to maximise :math:`L(x) + \log P(x)` by epochs, in each of which every particle is looked at once.

    An epoch is given functions of what it works on; it keeps nothing for the next one but x, so that a run can be
    saved between epochs.

    Attributes
    ----------
    name : str
        What users call it.
    needs : tuple of str
        What the prior must offer: of "value", "gradient", "proximal", "precision", "correction".
    batches : int
        How many batches it wants an epoch's particles in.
    """

    name = "solver"
    needs: tuple[str, ...] = ()
    batches = 1

    def check(self, prior: Prior) -> None:
        """Refuse a prior that lacks what this solver needs.

        Raises
        ------
        InputError
            Naming both sides and what is lacking.
        """
        lacking = [need for need in self.needs if need not in prior.offers()]
        if lacking:
            raise InputError(
                f"the solver {type(self).__name__} needs a prior with {', '.join(self.needs)}; "
                f"{prior!r} offers {', '.join(prior.offers()) or 'nothing'}: {', '.join(lacking)} is lacking"
            )

    def epoch(
        self,
        expectation: Expectation,
        reference: Reference,
        x: torch.Tensor | None,
        batches: Sequence[np.ndarray],
        bind: Bind,
        tau2: torch.Tensor | None = None,
        total: int | None = None,
        iteration: int = 1,
        curvature: torch.Tensor | None = None,
        callback: Callable[[torch.Tensor], None] | None = None,
    ) -> tuple[SufficientStatistics, torch.Tensor | None]:
        """Go through all particles once.

        Parameters
        ----------
        expectation : callable
            ``expectation(volume, particles)`` is the E-step of those particles at a volume (n, n, n). In a run of
            several processes it sums over them, and `particles` is each one's own part.
        reference : callable
            ``reference(prior, x)`` is the volume (n, n, n) E-steps align to: of x under the prior bound to all batches
            so far, which is None before the first; without x it is where the run starts.
        x : torch.Tensor, shape (N, N, N//2+1), complex, or None
            Map, in the statistics' space; None at the very start.
        batches : sequence of numpy.ndarray of int
            Particles of every batch, shuffled. A process's part of a batch may be empty.
        bind : callable
            ``bind(statistics)`` is the prior bound to a batch's statistics, scaled to all particles, with the context
            known so far. It is not called while x is None.
        tau2 : torch.Tensor, shape (n//2+1,), optional
            Signal power of that context. Needed, once there is x, by gradient solvers with priors that are no
            Gaussian with a correction.
        total : int, optional
            Particles of all batches and processes; by default those of `batches`.
        iteration : int
            Number of the epoch, from 1; steps shrink with it.
        curvature : torch.Tensor, shape (N, N, N//2+1), optional
            K of all particles in the epoch before. What a step is divided by then does not depend on the batch, and
            the noise of batches averages out without bias.
        callback : callable, optional
            Called with x after every batch; it may end the epoch (`StopSolver`).

        Returns
        -------
        statistics : SufficientStatistics
            Sum over all batches, not scaled.
        x : torch.Tensor or None
            New map; None if an M-step is to find it from the statistics, as in EM, and as in the first epoch of any
            solver, before which no context is known.
        """
        raise NotImplementedError


class EM(OuterSolver):
    r"""Expectation-maximisation: one E-step of all particles, then an M-step.

    References
    ----------
    A. P. Dempster, N. M. Laird and D. B. Rubin (1977), J. R. Stat. Soc. B 39, 1-38. D. Kimanius et al. (2020),
    eqs. 7-11.

    Examples
    --------
    >>> EM().batches
    1
    """

    name = "em"

    def epoch(
        self,
        expectation: Expectation,
        reference: Reference,
        x: torch.Tensor | None,
        batches: Sequence[np.ndarray],
        bind: Bind,
        tau2: torch.Tensor | None = None,
        total: int | None = None,
        iteration: int = 1,
        curvature: torch.Tensor | None = None,
        callback: Callable[[torch.Tensor], None] | None = None,
    ) -> tuple[SufficientStatistics, torch.Tensor | None]:
        """Return the statistics of all particles at the reference, and None: the M-step is the caller's."""
        return expectation(reference(None, x), np.concatenate(batches)), None


def batches_of(particles: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Split particles at random in batches that differ by one particle at most.

    Parameters
    ----------
    particles : numpy.ndarray of int, shape (m,)
        Numbers of particles.
    count : int
        How many batches; if there are more batches than particles, some are empty.
    rng : numpy.random.Generator
        Of the shuffling.

    Returns
    -------
    list of numpy.ndarray of int, length `count`
        Sorted within each batch, so that files are read forwards.

    Raises
    ------
    InputError
        If `count` is not positive.

    Examples
    --------
    >>> [len(batch) for batch in batches_of(np.arange(8), 3, np.random.default_rng(0))]
    [3, 3, 2]
    """
    if count < 1:
        raise InputError(f"the number of batches is {count}, expected at least 1")
    if count == 1:
        return [np.sort(np.asarray(particles))]
    return [np.sort(part) for part in np.array_split(rng.permutation(particles), count)]
