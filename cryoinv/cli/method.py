"""The method of a refinement as the command line names it: prior, M-step, solver, denoiser."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = [
    "SPEC",
    "DenoiserSpec",
    "MStepSpec",
    "OutputMStepSpec",
    "OutputPriorSpec",
    "PriorSpec",
    "SolverSpec",
    "method_from",
]

SPEC = "SPEC"
# Copies of the registries' names: to ask those for them would import torch before any help is shown.
PRIOR_NAMES = (
    "gaussian, masked-gaussian, wilson, tv, red, cw-red, score-matching, consensus, pnp, blush, adversarial, learned"
)
M_STEP_NAMES = "closed-form, red, fixed-point, admm, proximal-gradient, ista, fista, gradient, l-bfgs"
SOLVER_NAMES = "em, sgd, adam, kgrad"
DEFAULT_METHODS = "gaussian, masked-gaussian, red, cw-red"  # of `compare`
DENOISER_NAMES = "lowpass, wiener, tv, wavelet, nlm, solvent, compose, rotations, bands, patches, network"
NETWORK_NAMES = "cryoinv-small, cryoinv-coarse"
PriorSpec = Annotated[
    str,
    typer.Option(
        help="Prior on the map; a SPEC is NAME[,key=value...] or, of one's own, module:object[,key=value...]. "
        f"Names: {PRIOR_NAMES}.",
        metavar=SPEC,
    ),
]
MStepSpec = Annotated[
    str | None,
    typer.Option(
        help=f"How the M-step is solved; the simplest way that suits the prior if not given. Names: {M_STEP_NAMES}.",
        metavar=SPEC,
    ),
]
SolverSpec = Annotated[
    str, typer.Option(help=f"All particles at once (em), or mini-batches. Names: {SOLVER_NAMES}.", metavar=SPEC)
]
DenoiserSpec = Annotated[
    str | None,
    typer.Option(
        help="Denoiser of a prior that takes one, or a .safetensors file of a network. "
        f"Names: {DENOISER_NAMES}, {NETWORK_NAMES}.",
        metavar=f"{SPEC}|FILE",
    ),
]
OutputPriorSpec = Annotated[
    str | None, typer.Option(help="Prior of the map that is written, if it is to be another.", metavar=SPEC)
]
OutputMStepSpec = Annotated[
    str | None, typer.Option(help="How the M-step of the output's prior is solved.", metavar=SPEC)
]


def method_from(
    prior: str = "gaussian",
    m_step: str | None = None,
    solver: str = "em",
    denoiser: str | None = None,
    output_prior: str | None = None,
    output_m_step: str | None = None,
) -> dict[str, Any]:
    """Make the objects that `cryoinv.refinement.refine` takes under these names; errors name what does not fit."""
    from cryoinv.comparison import MethodWords

    words = MethodWords(prior, m_step or "", solver, denoiser or "", output_prior or "", output_m_step or "")
    return words.made().arguments()
