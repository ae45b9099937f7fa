"""M-steps by name, and the one that suits a prior."""

from __future__ import annotations

from cryoinv.errors import InputError
from cryoinv.priors import Prior
from cryoinv.specs import made_from

from .fixed_point import FixedPoint, REDUpdate
from .m_step import ClosedForm, MStep

__all__ = ["M_STEPS", "m_step_for", "m_step_from"]

M_STEPS: dict[str, type[MStep]] = {
    "closed-form": ClosedForm,
    "red": REDUpdate,
    "fixed-point": FixedPoint,
}
_PREFERRED: tuple[type[MStep], ...] = (ClosedForm, REDUpdate)


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


def m_step_for(prior: Prior) -> MStep:
    """First M-step, simplest first, whose needs the prior meets.

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
        if set(kind.needs) <= set(prior.offers()):
            return kind()
    offered = ", ".join(prior.offers()) or "nothing"
    needs = "; ".join(f"{kind.__name__}: {', '.join(kind.needs)}" for kind in _PREFERRED)
    raise InputError(f"no M-step takes {prior!r}, which offers {offered} (needed are {needs})")
