"""Methods in words and as objects: what is made, what is refused, and by which names they go."""

import pytest

from cryoinv.comparison import Method, MethodWords, default_methods, method_from
from cryoinv.comparison.methods import distinct, folder_names
from cryoinv.errors import InputError
from cryoinv.priors import PRIORS, GaussianPrior, Prior
from cryoinv.solvers import EM, ClosedForm

ValueOnly = type("ValueOnly", (Prior,), {"has_value": True})
CorrectionOnly = type("CorrectionOnly", (Prior,), {"has_correction": True})
WORDS = "tests.comparison.test_methods:ValueOnly"


def test_words_make_the_objects_they_name():
    found = method_from("gaussian,tau2_fudge=2 m-step=fixed-point,iterations=3 label='two words'")
    assert repr(found.prior) == "GaussianPrior(tau2_fudge=2)" and found.label == "two words"
    assert (found.arguments()["prior"], found.arguments()["m_step"]) == (found.prior, found.m_step)
    parts = {"prior": "GaussianPrior(tau2_fudge=2)", "m_step": "FixedPoint(iterations=3)", "solver": "EM()"}
    assert found.parts() == parts | {"output_prior": "", "output_m_step": ""}


def test_what_is_not_said_is_the_default():
    found = method_from("gaussian")
    assert (found.label, found.m_step, found.solver, found.output_prior) == ("gaussian", None, None, None)
    assert isinstance(found.arguments()["m_step"], ClosedForm)
    assert isinstance(method_from("gaussian").arguments()["solver"], EM)
    assert isinstance(method_from("gaussian output-prior=gaussian,tau2_fudge=3").output_prior, GaussianPrior)
    assert repr(method_from("gaussian output-prior=pnp").arguments()["output_m_step"]) == "ADMM()"
    assert Method(GaussianPrior()).label == "GaussianPrior()"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gausian", ["gausian", "did you mean 'gaussian'"]),
        ("gaussian,tau2_fuge=2", ["tau2_fuge", "did you mean 'tau2_fudge'"]),
        ("gaussian m-stp=closed-form", ["m-stp", "did you mean 'm-step'"]),
        ("gaussian m-step=closedform", ["closedform", "did you mean 'closed-form'"]),
        ("gaussian m-step=", ["m-step=", "expected m-step=..."]),
        ("gaussian label=a label=b", ["label stands twice"]),
        ("consensus denoiser=lowpass", ["ConsensusOfDenoisers", "takes no denoiser"]),
        ("red,denoiser=wiener denoiser=lowpass", ["or has its own", "'lowpass'"]),
        ("gaussian denoiser=lowpass", ["gaussian", "takes no denoiser"]),
        ("gaussian solver=no-such-solver", ["no-such-solver"]),
        ("gaussian output-prior=rde", ["rde"]),
        ("gaussian output-m-step=admm", ["ADMM", "goes with an output prior"]),
        ("gaussian output-prior=pnp output-m-step=closed-form", ["ClosedForm", "PlugAndPlay", "precision"]),
        ("gaussian label='open", ["No closing quotation"]),
        ("", ["NAME"]),
        (f"{WORDS} m-step=closed-form label=mine", ["'mine'", "ClosedForm", "ValueOnly", "precision", "lacking"]),
    ],
)
def test_wrong_words_are_refused_by_name(text, said):
    with pytest.raises(InputError) as refused:
        method_from(text)
    for word in said:
        assert word in str(refused.value)


def test_a_prior_without_an_m_step_is_refused_as_an_object_too():
    with pytest.raises(InputError, match="ValueOnly"):
        Method(ValueOnly()).arguments()
    with pytest.raises(InputError, match="expected a Prior"):
        Method("gaussian")


def test_what_all_share_goes_to_those_it_fits():
    plain = MethodWords.parsed("gaussian")
    assert plain.with_common(m_step="fixed-point").m_step == "fixed-point"
    own = MethodWords.parsed("gaussian m-step=closed-form")
    assert own.with_common(m_step="fixed-point").m_step == "closed-form"
    assert plain.with_common(denoiser="lowpass,resolution=20").denoiser == ""  # it takes none
    other = MethodWords.parsed(f"{__name__}:CorrectionOnly")
    assert other.with_common(m_step="closed-form").m_step == ""  # it needs more than the prior has
    assert other.with_common(m_step="fixed-point").m_step == "fixed-point"
    with pytest.raises(InputError, match="lowpss"):
        plain.with_common(denoiser="lowpss")
    with pytest.raises(InputError, match="gausian"):
        MethodWords.parsed("gausian").with_common(m_step="fixed-point")


def test_defaults_are_there():
    assert default_methods()[0] == "gaussian" and set(default_methods()) <= set(PRIORS)
    assert all(method_from(name).arguments() for name in default_methods())


def test_names_are_told_apart():
    assert distinct(["a", "A", "a"]) == ["a", "A (2)", "a (3)"]
    assert folder_names(["a b", "a_b", "a-b", "../x", "CON|:"], ["A-B"]) == ["a-b-2", "a_b", "a-b-3", "x", "CON"]
    assert len(folder_names(["x" * 300])[0]) == 60
