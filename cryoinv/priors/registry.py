"""Priors by name."""

from __future__ import annotations

import difflib

from cryoinv.errors import InputError

from .base import Prior
from .gaussian import GaussianPrior

__all__ = ["PRIORS", "prior_by_name"]

PRIORS: dict[str, type[Prior]] = {"gaussian": GaussianPrior}


def prior_by_name(name: str) -> Prior:
    """Make the prior that users call `name`.

    Parameters
    ----------
    name : str
        A key of `PRIORS`.

    Returns
    -------
    Prior

    Raises
    ------
    InputError
        If there is none; the message names the nearest.

    Examples
    --------
    >>> prior_by_name("gaussian")
    GaussianPrior()
    """
    if name not in PRIORS:
        nearest = difflib.get_close_matches(name, PRIORS, 1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise InputError(f"unknown prior {name!r}, expected one of: {', '.join(sorted(PRIORS))}{hint}")
    return PRIORS[name]()
