"""Solvers: small loops over a likelihood and a prior."""

from .admm import ADMM
from .callbacks import Callback, Plot, PrintProgress, StopOnPlateau, StopSolver, Store, asked_to_stop
from .em import expectation_maximisation
from .fixed_point import FixedPoint, REDUpdate
from .gradient_descent import GradientDescent
from .l_bfgs import LBFGS
from .m_step import ClosedForm, MStep
from .marginal_posterior import stochastic_gradient
from .outer import EM, OuterSolver, batches_of
from .proximal_gradient import ProximalGradient
from .registry import M_STEPS, SOLVERS, m_step_for, m_step_from, solver_from
from .stochastic import SGD, Adam, KGradient, StochasticSolver

__all__ = [
    "ADMM",
    "EM",
    "LBFGS",
    "M_STEPS",
    "SGD",
    "SOLVERS",
    "Adam",
    "Callback",
    "ClosedForm",
    "FixedPoint",
    "GradientDescent",
    "KGradient",
    "MStep",
    "OuterSolver",
    "Plot",
    "PrintProgress",
    "ProximalGradient",
    "REDUpdate",
    "StochasticSolver",
    "StopOnPlateau",
    "StopSolver",
    "Store",
    "asked_to_stop",
    "batches_of",
    "expectation_maximisation",
    "m_step_for",
    "m_step_from",
    "solver_from",
    "stochastic_gradient",
]
