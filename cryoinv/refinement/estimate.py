"""From one half's statistics to its map: a prior, the M-step that solves for it, and a check of what they return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch

from cryoinv.denoisers.base import checked_volume
from cryoinv.described import Described
from cryoinv.errors import CryoinvError, LostProcessError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.parallel import Processes
from cryoinv.priors import BoundPrior, Prior, PriorContext, trust_factor
from cryoinv.solvers import MStep, m_step_for
from cryoinv.spaces import centred_rfft, hermitian_weights, radial_expand, radial_mean

__all__ = ["MapEstimator", "check_grey_scale", "told_where", "trust_of"]

_GREY_SCALE = 10.0  # so many times brighter or fainter than the data is a mistake, not a prior
_RELIABLE = 0.143


class MapEstimator:
    """A prior and its M-step, as one function of the statistics.

    Parameters
    ----------
    prior : Prior
        Any.
    m_step : MStep, optional
        By default the simplest one the prior suits.

    Raises
    ------
    InputError
        If the M-step needs what the prior does not offer.
    """

    def __init__(self, prior: Prior, m_step: MStep | None = None):
        self.prior = prior
        self.m_step = m_step_for(prior) if m_step is None else m_step
        self.m_step.check(prior)

    def __call__(
        self, statistics: SufficientStatistics, context: PriorContext, previous: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map (n, n, n) of statistics; `previous` is the map of the iteration before.

        Raises
        ------
        CryoinvError
            Naming the prior, if it or the M-step fails, or returns another shape or what is not finite.
        """
        with self.named(self.m_step):
            bound = self.prior.bind(statistics, context)
            wanted = previous is not None and bound.starts_from == "previous"
            start = statistics.from_volume(previous) if wanted else None  # type: ignore[arg-type]
            x = self.m_step(statistics, bound, previous=start)
            return self._volume(statistics, bound, checked_volume(x, statistics.data, self.m_step))

    def for_output(self) -> MapEstimator:
        """Return the estimator of the map that is reported: this one, unless the prior has another for that."""
        prior = self.prior.for_output()
        return self if prior is self.prior else MapEstimator(prior, self.m_step)

    def finished(
        self, statistics: SufficientStatistics, context: PriorContext, x: torch.Tensor
    ) -> torch.Tensor:
        """Map (n, n, n) of a solution x found by other means, with the prior's last touch."""
        with self.named(self.m_step):
            x = checked_volume(x, statistics.data, None, "the solver")
            return self._volume(statistics, self.prior.bind(statistics, context), x)

    @staticmethod
    def _volume(statistics: SufficientStatistics, bound: BoundPrior, x: torch.Tensor) -> torch.Tensor:
        volume = statistics.to_volume(x)
        return checked_volume(bound.post_process(volume), volume, None, "post_process")

    @contextmanager
    def named(self, solver: Described) -> Iterator[None]:
        """Errors in the name of the prior, which may be anyone's code, and of what solves with it."""
        try:
            with torch.no_grad():  # a denoiser may have weights of its own that ask for gradients
                yield
        except LostProcessError:
            raise
        except CryoinvError as error:
            raise type(error)(f"prior {self.prior!r}: {error}") from error
        except Exception as error:
            raise CryoinvError(
                f"prior {self.prior!r} with {solver!r} failed ({type(error).__name__}: {error})"
            ) from error


@contextmanager
def told_where(place: str) -> Iterator[None]:
    """Errors that say in which iteration and half they came up."""
    try:
        yield
    except LostProcessError:
        raise
    except CryoinvError as error:
        raise type(error)(f"{place}: {error}") from error


def check_grey_scale(volume: torch.Tensor, unregularised: torch.Tensor, fsc: torch.Tensor, prior: Prior) -> None:
    r"""Refuse a map ten times too bright or too faint, :math:`g = \langle x, \tilde x\rangle / \|\tilde x\|^2`.

    Products are taken over the shells whose half-map FSC is above 0.143; without any there is nothing to hold it to.

    Parameters
    ----------
    volume, unregularised : torch.Tensor, shape (n, n, n)
        Map of a prior, and of B/K.
    fsc : torch.Tensor, shape (n//2+1,)
        Half-map FSC.
    prior : Prior
        For the message.

    Raises
    ------
    CryoinvError
        If g is not within 0.1 to 10.
    """
    n = len(volume)
    reliable = fsc >= _RELIABLE
    reliable[0] = False
    if not bool(reliable.any()):
        return
    taken = radial_expand(reliable.double(), n, outside=0.0) * hermitian_weights(n, device=fsc.device)
    x, data = centred_rfft(volume), centred_rfft(unregularised)
    scale = float((taken * (x * data.conj()).real).sum() / (taken * data.abs() ** 2).sum())
    if not 1 / _GREY_SCALE <= scale <= _GREY_SCALE:
        raise CryoinvError(
            f"prior {prior!r}: the map has {scale:.3g} times the grey scale of the data, expected 0.1 to 10"
        )


def trust_of(
    prior: Prior,
    halves: Sequence[SufficientStatistics],
    contexts: Sequence[PriorContext],
    mask: torch.Tensor | None = None,
    processes: Processes | None = None,
) -> torch.Tensor | None:
    """What the inflation guard leaves of the confidence in a denoiser, shape (n//2+1,); None if the prior has no guard.

    What crosses the halves is one curve, the FSC of the two denoised maps inside `mask`, which is held against that of
    the unregularised ones inside it and what the denoiser is known to add to it (`Prior.expected_excess`). Shells to
    which the denoiser gives less than a thousandth of the power tell nothing.

    Parameters
    ----------
    prior : Prior
        Of both halves.
    halves : sequence of SufficientStatistics
        Of the two halves, not joined in any shell: that would be agreement the guard is to look for.
    contexts : sequence of PriorContext
        Of the two halves.
    mask : torch.Tensor, shape (n, n, n), optional
        Multiplies all maps before they are compared.
    processes : Processes, optional
        Those that share the work.
    """
    if not prior.guarded:
        return None

    def task(half: SufficientStatistics, context: PriorContext) -> torch.Tensor:
        with torch.no_grad():
            found = prior.bind(half, context).denoised(), half.to_volume(half.unregularised())
            return torch.stack(found) * (1.0 if mask is None else mask)

    tasks = [partial(task, half, context) for half, context in zip(halves, contexts, strict=True)]
    (first, before_first), (second, before_second) = (processes or Processes()).share(tasks, contexts[0].fsc.device)
    plain, denoised = (
        fourier_shell_correlation(*pair) for pair in ((before_first, before_second), (first, second))
    )
    n = len(first)
    power, before = (radial_mean(centred_rfft(each).abs() ** 2, n) for each in (first, before_first))
    expected = prior.expected_excess(contexts[0])
    predicted = plain if expected is None else plain + expected.to(plain)
    return trust_factor(torch.where(power > 1e-3 * before, denoised, predicted), predicted)
