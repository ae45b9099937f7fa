"""M-steps and outer solvers by name, and the M-step that suits a prior."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cryoinv.errors import InputError
from cryoinv.priors import Prior
from cryoinv.specs import made_from

from .admm import ADMM
from .fixed_point import FixedPoint, REDUpdate
from .gradient_descent import GradientDescent
from .l_bfgs import LBFGS
from .m_step import ClosedForm, MStep
from .outer import EM, OuterSolver
from .proximal_gradient import ProximalGradient
from .stochastic import SGD, Adam, KGradient

__all__ = ["M_STEPS", "SOLVERS", "m_step_for", "m_step_from", "solver_from"]

M_STEPS: dict[str, Callable[..., MStep]] = {
    "closed-form": ClosedForm,
    "red": REDUpdate,
    "fixed-point": FixedPoint,
    "admm": ADMM,
    "proximal-gradient": ProximalGradient,
    "ista": partial(ProximalGradient, accelerated=False),
    "fista": partial(ProximalGradient, accelerated=True),
    "gradient": GradientDescent,
    "l-bfgs": LBFGS,
}
SOLVERS: dict[str, type[OuterSolver]] = {each.name: each for each in (EM, SGD, Adam, KGradient)}
_PREFERRED: tuple[type[MStep], ...] = (ClosedForm, REDUpdate, ADMM, ProximalGradient)


def m_step_from(spec: str) -> MStep:
    """Make the M-step of a specification.

    Parameters
    ----------
    spec : str
        ``NAME[,key=value...]`` with a name of `M_STEPS`, or ``module:object[,key=value...]``.

    Returns
    -------
    MStep

    Raises
    ------
    InputError
        If there is none, a key is unknown or a value does not suit; the message names the nearest name.

    Examples
    --------
    >>> m_step_from("fixed-point,iterations=3")
    FixedPoint(iterations=3)
    """
    return made_from(spec, M_STEPS, "M-step", MStep)


def solver_from(spec: str) -> OuterSolver:
    """Make the outer solver of a specification.

    Parameters
    ----------
    spec : str
        ``NAME[,key=value...]`` with a name of `SOLVERS`, or ``module:object[,key=value...]``.

    Returns
    -------
    OuterSolver

    Raises
    ------
    InputError
        If there is none, a key is unknown or a value does not suit; the message names the nearest name.

    Examples
    --------
    >>> solver_from("adam,step=0.05,batches=20")
    Adam(step=0.05, batches=20)
    """
    return made_from(spec, SOLVERS, "solver", OuterSolver)


def m_step_for(prior: Prior) -> MStep:
    """First M-step, simplest first, whose needs the prior meets.

    Of a prior with a true proximal map, one of a value, accelerated proximal gradients make do with fewer of them than
    ADMM, which is for those that have nothing but the map, such as a denoiser in its place (plug and play).

    Parameters
    ----------
    prior : Prior
        Any.

    Returns
    -------
    MStep

    Raises
    ------
    InputError
        If none does.

    Examples
    --------
    >>> from cryoinv.priors import GaussianPrior
    >>> m_step_for(GaussianPrior())
    ClosedForm()
    """
    for kind in _PREFERRED:
        if not kind.lacking(prior) and not (kind is ADMM and prior.has_value):
            return kind()
    offered = ", ".join(prior.offers()) or "nothing"
    needs = "; ".join(f"{kind.__name__}: {kind.needed()}" for kind in _PREFERRED)
    raise InputError(f"no M-step takes {prior!r}, which offers {offered} (needed are {needs})")
