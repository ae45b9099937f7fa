"""What is compared: a method is a prior, and the ways to solve with it."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from cryoinv.denoisers import Denoiser, denoiser_from
from cryoinv.errors import InputError
from cryoinv.priors import PRIORS, Prior, prior_from
from cryoinv.solvers import EM, MStep, OuterSolver, m_step_for, m_step_from, solver_from
from cryoinv.specs import nearest

__all__ = ["BASELINE", "Method", "MethodWords", "default_methods", "method_from"]

BASELINE = "masked-gaussian"  # what every learned prior has to beat
_DEFAULTS = ("gaussian", BASELINE, "red", "cw-red")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """A prior, and how the map is found under it.

    Parameters
    ----------
    prior : Prior
        The prior.
    m_step : MStep, optional
        By default the first, simplest first, that takes the prior.
    solver : OuterSolver, optional
        `EM` by default.
    output_prior : Prior, optional
        Prior of the map that is reported, where that is not the one the particles are aligned to.
    output_m_step : MStep, optional
        Of `output_prior`; by default the first, simplest first, that takes it.
    label : str, optional
        What tables and figures call it; what the prior prints by default.

    Examples
    --------
    >>> from cryoinv.priors import GaussianPrior
    >>> Method(GaussianPrior(tau2_fudge=2)).label
    'GaussianPrior(tau2_fudge=2)'
    """

    prior: Prior
    m_step: MStep | None = None
    solver: OuterSolver | None = None
    output_prior: Prior | None = None
    label: str = ""
    output_m_step: MStep | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.prior, Prior):
            raise InputError(f"the prior of a method is a {type(self.prior).__name__}, expected a Prior")
        if not self.label:
            object.__setattr__(self, "label", repr(self.prior))

    def arguments(self) -> dict[str, Any]:
        """Keywords for `Refinement`, with defaults filled in; all parts are checked against the prior.

        Raises
        ------
        InputError
            If M-step or solver needs what the prior does not offer, or no M-step takes a prior.
        """
        m_step = m_step_for(self.prior) if self.m_step is None else self.m_step
        solver = EM() if self.solver is None else self.solver
        m_step.check(self.prior)
        solver.check(self.prior)
        chosen = {"prior": self.prior, "m_step": m_step, "solver": solver, "output_prior": self.output_prior}
        return chosen | {"output_m_step": self._checked_output()}

    def _checked_output(self) -> MStep | None:
        if self.output_prior is None:
            if self.output_m_step is not None:
                raise InputError(f"an output M-step, {self.output_m_step!r}, goes with an output prior, found none")
            return None
        m_step = m_step_for(self.output_prior) if self.output_m_step is None else self.output_m_step
        m_step.check(self.output_prior)
        return m_step

    def parts(self) -> dict[str, str]:
        """What prior, M-step, solver and those of the output print, by these names."""
        return {name: "" if part is None else repr(part) for name, part in self.arguments().items()}


@dataclass(frozen=True)
class MethodWords:
    """A method in words, each the specification of a part; empty for the default.

    Parameters
    ----------
    prior, m_step, solver, denoiser, output_prior, output_m_step : str
        Specifications, ``NAME[,key=value...]`` or ``module:object[,key=value...]``.
    label : str
        Its name.
    """

    prior: str
    m_step: str = ""
    solver: str = ""
    denoiser: str = ""
    output_prior: str = ""
    output_m_step: str = ""
    label: str = ""

    @classmethod
    def parsed(cls, text: str) -> MethodWords:
        """Words of ``SPEC [PART=SPEC...] [label=TEXT]``.

        A PART is m-step, solver, denoiser, output-prior or output-m-step.

        Parameters
        ----------
        text : str
            The prior's specification first; parts with blanks in quotes.

        Returns
        -------
        MethodWords

        Raises
        ------
        InputError
            If a part is unknown, empty or stands twice; the message names the nearest.

        Examples
        --------
        >>> MethodWords.parsed("pnp,denoiser=wiener m-step=admm,iterations=5 label='Plug and play'")
        MethodWords(prior='pnp,denoiser=wiener', m_step='admm,iterations=5', solver='', denoiser='', output_prior='',
            output_m_step='', label='Plug and play')
        """
        try:
            prior, *rest = shlex.split(text)
        except ValueError as error:
            expected = "expected a prior's NAME[,key=value...]"
            raise InputError(f"method {text!r}: cannot be read ({error}), {expected}") from None
        keys = {name.replace("_", "-"): name for name in cls.__dataclass_fields__ if name != "prior"}
        said: dict[str, str] = {}
        for part in rest:
            key, equals, value = part.partition("=")
            if key not in keys:
                raise InputError(f"method {text!r} has no part {key!r}, {nearest(key, keys)}")
            if not (equals and value.strip()):
                raise InputError(f"method {text!r}: found {part!r}, expected {key}=...")
            if keys[key] in said:
                raise InputError(f"method {text!r}: {key} stands twice")
            said[keys[key]] = value.strip()
        own_label = [part for part in (prior, *rest) if not part.startswith("label=")]
        return cls(prior, **{"label": " ".join(own_label)} | said)

    def with_common(self, m_step: str = "", solver: str = "", denoiser: str = "") -> MethodWords:
        """Give it what all methods share, where it has no such part of its own and the prior takes it.

        Parameters
        ----------
        m_step, solver, denoiser : str
            Specifications; none if empty.

        Returns
        -------
        MethodWords

        Raises
        ------
        InputError
            If one of the specifications is wrong in itself.
        """
        # What is wrong with them is not a prior's refusal.
        for spec, make in ((denoiser, denoiser_from), (m_step, m_step_from), (solver, solver_from)):
            if spec:
                make(spec)
        return self._taking("denoiser", denoiser)._taking("m_step", m_step)._taking("solver", solver)

    def _taking(self, part: str, spec: str) -> MethodWords:
        """The method with a part that all share; without it, said aloud, where it can be made but for that part."""
        if not spec or getattr(self, part):
            return self
        more = replace(self, **{part: spec})
        try:
            more.made()
        except InputError as refusal:
            self.made()
            log.info("the common %s is left out: %s", part.replace("_", "-"), refusal)
            return self
        return more

    def made(self) -> Method:
        """The method, its parts checked against each other.

        Returns
        -------
        Method

        Raises
        ------
        InputError
            If a part cannot be made, or M-step and prior do not fit; the message names the method.
        """
        try:
            prior, output_prior = self._priors()
            method = Method(
                prior,
                m_step_from(self.m_step) if self.m_step else None,
                solver_from(self.solver) if self.solver else None,
                output_prior,
                self.label or self.prior,
                m_step_from(self.output_m_step) if self.output_m_step else None,
            )
            method.arguments()
        except InputError as error:
            raise InputError(f"method {self.label or self.prior!r}: {error}") from None
        return method

    def _priors(self) -> tuple[Prior, Prior | None]:
        """Both priors, with the denoiser where they take one."""
        denoiser = denoiser_from(self.denoiser) if self.denoiser else None
        prior = prior_from(self.prior, denoiser)
        output_prior = prior_from(self.output_prior, denoiser) if self.output_prior else None
        if denoiser is not None and not any(_was_given(each, denoiser) for each in (prior, output_prior)):
            raise InputError(f"{prior!r} takes no denoiser, or has its own; found {self.denoiser!r}")
        return prior, output_prior

    def parts(self) -> dict[str, str]:
        """All but the label, by name: what makes two methods the same."""
        return {name: text for name, text in asdict(self).items() if name != "label"}


def _was_given(prior: Prior | None, denoiser: Denoiser) -> bool:
    return prior is not None and prior.made_with.get("denoiser") is denoiser


def method_from(text: str) -> Method:
    """Make the method of a specification.

    Parameters
    ----------
    text : str
        ``SPEC [m-step=SPEC] [solver=SPEC] [denoiser=SPEC] [output-prior=SPEC] [output-m-step=SPEC] [label=TEXT]``,
        separated by blanks; the first is the prior's. Parts with blanks stand in quotes.

    Returns
    -------
    Method

    Raises
    ------
    InputError
        If there is no such part, it cannot be made, or M-step and prior do not fit; the message names the nearest name.

    Examples
    --------
    >>> method_from("gaussian,tau2_fudge=2 m-step=closed-form label=smooth")
    Method(prior=GaussianPrior(tau2_fudge=2), m_step=ClosedForm(), solver=None, output_prior=None,
        label='smooth', output_m_step=None)
    """
    return MethodWords.parsed(text).made()


def default_methods() -> list[str]:
    """Priors that are compared where none is named: those of the paper, and the baseline every learned one must beat.

    Returns
    -------
    list of str

    Examples
    --------
    >>> default_methods()[0]
    'gaussian'
    """
    return [name for name in _DEFAULTS if name in PRIORS]


def distinct(names: Sequence[str], taken: Sequence[str] = (), pattern: str = "{} ({})") -> list[str]:
    """Names told apart, in whatever case, by numbers where they are the same as an earlier one.

    Parameters
    ----------
    names : sequence of str
        Wanted.
    taken : sequence of str
        In use already.
    pattern : str
        How name and number are joined.

    Returns
    -------
    list of str

    Examples
    --------
    >>> distinct(["red", "RED", "tv", "red (2)"], taken=["tv"])
    ['red', 'RED (2)', 'tv (2)', 'red (2) (2)']
    """
    used = {name.lower() for name in taken}
    found = []
    for name in names:
        number, chosen = 1, name
        while chosen.lower() in used:
            number += 1
            chosen = pattern.format(name, number)
        used.add(chosen.lower())
        found.append(chosen)
    return found


def folder_names(labels: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Names of folders for methods, of letters, digits, dots and hyphens alone, told apart.

    Parameters
    ----------
    labels : sequence of str
        What the methods are called.
    taken : sequence of str
        Folders that are in use.

    Returns
    -------
    list of str

    Examples
    --------
    >>> folder_names(["gaussian,tau2_fudge=2", "../../etc", "β"])
    ['gaussian-tau2_fudge-2', 'etc', 'method']
    """
    bare = [re.sub(r"[^A-Za-z0-9_.]+", "-", label)[:60].strip("-.") or "method" for label in labels]
    return distinct(bare, taken, "{}-{}")
