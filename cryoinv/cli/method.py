"""The method of a refinement as the command line names it: prior, M-step, solver, denoiser."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cryoinv.errors import InputError

__all__ = ["SPEC", "DenoiserSpec", "MStepSpec", "OutputPriorSpec", "PriorSpec", "SolverSpec", "method_from"]

SPEC = "NAME[,KEY=VALUE...] or MODULE:OBJECT[,KEY=VALUE...]"
PriorSpec = Annotated[str, typer.Option(help="Prior on the map.", metavar=SPEC)]
MStepSpec = Annotated[
    str | None,
    typer.Option(help="How the M-step is solved; the simplest way that suits the prior if not given.", metavar=SPEC),
]
SolverSpec = Annotated[str, typer.Option(help="em, or mini-batches: adam, sgd or kgrad.", metavar=SPEC)]
DenoiserSpec = Annotated[
    str | None, typer.Option(help="Denoiser of a prior that has one; FILE holds a network.", metavar=f"FILE, {SPEC}")
]
OutputPriorSpec = Annotated[
    str | None, typer.Option(help="Prior of the map that is written, if it is to be another.", metavar=SPEC)
]


def method_from(
    prior: str = "gaussian",
    m_step: str | None = None,
    solver: str = "em",
    denoiser: str | None = None,
    output_prior: str | None = None,
) -> dict[str, Any]:
    """Make the objects that `cryoinv.refinement.refine` takes under these names; errors name what does not fit."""
    from cryoinv.denoisers import denoiser_from
    from cryoinv.priors import prior_from
    from cryoinv.solvers import m_step_for, m_step_from, solver_from

    network = None if denoiser is None else denoiser_from(denoiser)
    method: dict[str, Any] = {
        "prior": prior_from(prior, network),
        "m_step": None if m_step is None else m_step_from(m_step),
        "solver": solver_from(solver),
        "output_prior": None if output_prior is None else prior_from(output_prior, network),
    }
    priors = [each for each in (method["prior"], method["output_prior"]) if each is not None]
    if network is not None and not any(hasattr(each, "denoiser") for each in priors):
        raise InputError(f"the prior {prior!r} has no denoiser, so --denoiser {denoiser} does not apply")
    (method["m_step"] or m_step_for(method["prior"])).check(method["prior"])
    method["solver"].check(method["prior"])
    if method["output_prior"] is not None:
        m_step_for(method["output_prior"])
    return method
