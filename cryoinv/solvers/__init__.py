"""Solvers: small loops over a likelihood and a prior."""

from .em import expectation_maximisation
from .fixed_point import FixedPoint, REDUpdate
from .m_step import ClosedForm, MStep
from .registry import M_STEPS, m_step_for, m_step_from

__all__ = [
    "M_STEPS",
    "ClosedForm",
    "FixedPoint",
    "MStep",
    "REDUpdate",
    "expectation_maximisation",
    "m_step_for",
    "m_step_from",
]
