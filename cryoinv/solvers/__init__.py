"""Solvers: small loops over a likelihood and a prior."""

from .em import expectation_maximisation
from .m_step import ClosedForm, MStep

__all__ = ["ClosedForm", "MStep", "expectation_maximisation"]
