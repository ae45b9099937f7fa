"""Ways to solve the M-step: maximise the expected log-posterior for given statistics."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cryoinv.described import Described
from cryoinv.errors import InputError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.priors import BoundPrior, Prior

from .callbacks import asked_to_stop

__all__ = ["ClosedForm", "MStep"]


class MStep(Described):
    r"""A way to minimise :math:`\tfrac12\langle x, Kx\rangle_w - \langle B, x\rangle_w - \log P(x)`.

    Attributes
    ----------
    needs : tuple of str
        What the prior must offer: of "value", "gradient", "proximal", "precision", "correction".
    needs_one_of : tuple of str
        Of these, at least one as well.
    """

    needs: tuple[str, ...] = ()
    needs_one_of: tuple[str, ...] = ()

    @classmethod
    def needed(cls) -> str:
        """What the prior must offer, in words."""
        return ", ".join([*cls.needs, *([" or ".join(cls.needs_one_of)] if cls.needs_one_of else [])])

    @classmethod
    def lacking(cls, prior: Prior) -> list[str]:
        """What of it a prior does not offer, alternatives in one entry."""
        offered = prior.offers()
        lacking = [need for need in cls.needs if need not in offered]
        if cls.needs_one_of and not set(cls.needs_one_of) & set(offered):
            lacking.append(" or ".join(cls.needs_one_of))
        return lacking

    def check(self, prior: Prior) -> None:
        """Refuse a prior that lacks what this M-step needs.

        Raises
        ------
        InputError
            Naming both sides and what is lacking.
        """
        lacking = self.lacking(prior)
        if lacking:
            raise InputError(
                f"the M-step {type(self).__name__} needs a prior with {self.needed()}; "
                f"{prior!r} offers {', '.join(prior.offers()) or 'nothing'}: {', '.join(lacking)} is lacking"
            )

    def __call__(
        self,
        statistics: SufficientStatistics,
        prior: BoundPrior,
        callback: Callable[[torch.Tensor], None] | None = None,
        previous: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Solve for one set of statistics.

        Parameters
        ----------
        statistics : SufficientStatistics
            B and K.
        prior : BoundPrior
            Bound to them.
        callback : callable, optional
            Called with every iterate, the solution last (ODL's rule); it may stop the loop (`StopSolver`).
        previous : torch.Tensor, shape (N, N, N//2+1), complex, optional
            Map of the iteration before, for priors that start from it.

        Returns
        -------
        torch.Tensor, shape (N, N, N//2+1), complex
            In ``statistics.space``.
        """
        raise NotImplementedError

    @staticmethod
    def start(
        statistics: SufficientStatistics, prior: BoundPrior, previous: torch.Tensor | None
    ) -> torch.Tensor:
        """Where to begin: the newest B/K, or the previous map where the prior asks for it and there is one."""
        if prior.starts_from == "previous" and previous is not None:
            return previous
        return statistics.unregularised()


class ClosedForm(MStep):
    r"""The exact solution for a diagonal quadratic prior, :math:`x = B / (K + \tau^{-2})` (eq. 11).

    References
    ----------
    D. Kimanius et al. (2020), eq. 11.

    Examples
    --------
    >>> ClosedForm().needs
    ('precision',)
    """

    needs = ("precision",)

    def __call__(
        self,
        statistics: SufficientStatistics,
        prior: BoundPrior,
        callback: Callable[[torch.Tensor], None] | None = None,
        previous: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return B / (K + precision), and zero where nothing was measured and nothing is known."""
        assert prior.precision is not None
        total = statistics.curvature() + prior.precision
        solution = statistics.data / total.clamp(min=torch.finfo(total.dtype).tiny)
        asked_to_stop(callback, solution)
        return solution
