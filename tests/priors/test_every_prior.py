"""What every prior has to keep: it offers what it declares and nothing else."""

import inspect

import numpy as np
import pytest
import torch

from cryoinv.errors import CryoinvError, InputError
from cryoinv.operators.interpolation import NufftInterpolation
from cryoinv.priors import PRIORS, prior_from
from cryoinv.testing import assert_gradient

from .prior_cases import CASES, SCHEME_NAMES, SCHEMES, name_of, prior_of, problem

every_prior = pytest.mark.parametrize("case", CASES, ids=str)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=SCHEME_NAMES)
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
REFUSED = (CryoinvError, NotImplementedError)


def bound_and_point(case, scheme, dtype=torch.float64):
    statistics, context = problem(scheme, dtype)
    bound = prior_of(case).bind(statistics, context)
    x = statistics.from_volume(statistics.to_volume(statistics.unregularised()))
    return bound, statistics.space.element(x), statistics


def test_every_registered_prior_has_a_case():
    assert {name_of(case) for case in CASES} == set(PRIORS)


@every_prior
@every_scheme
def test_it_offers_what_it_declares_and_nothing_else(case, scheme):
    prior = prior_of(case)
    bound, x, _ = bound_and_point(case, scheme)
    for name, use in {
        "value": lambda: bound(x),
        "gradient": lambda: bound.gradient(x),
        "proximal": lambda: bound.proximal(0.5)(x),
        "correction": lambda: bound.correction(x.data),
    }.items():
        if name in prior.offers():
            use()
        else:
            with pytest.raises(REFUSED):
                use()
    assert (bound.precision is not None) == prior.has_precision
    assert bound.damping is not None or not prior.has_correction
    assert bound.starts_from in ("newest", "previous")


@every_prior
@every_scheme
@both_types
def test_shapes_and_types_are_those_of_the_space(case, scheme, dtype):
    prior = prior_of(case)
    bound, x, _ = bound_and_point(case, scheme, dtype)
    found = []
    if prior.has_value:
        assert isinstance(bound(x), float) and np.isfinite(bound(x))
    if prior.has_gradient:
        found.append(bound.gradient(x).data)
    if prior.has_proximal:
        found.append(bound.proximal(0.5)(x).data)
    if prior.has_correction:
        found.append(bound.correction(x.data))
    for tensor in found:
        assert tensor.shape == x.data.shape and tensor.dtype == x.data.dtype and torch.isfinite(tensor).all()
    for diagonal in (bound.precision, bound.damping):
        if diagonal is not None:
            assert diagonal.shape == x.data.shape and diagonal.dtype == dtype and (diagonal >= 0).all()


@every_prior
@every_scheme
def test_gradient_is_that_of_the_value(case, scheme):
    prior = prior_of(case)
    if not (prior.has_value and prior.has_gradient):
        pytest.skip("no value with a gradient")
    bound, x, _ = bound_and_point(case, scheme)
    assert_gradient(bound, x)


@every_prior
@every_scheme
def test_correction_is_the_gaussian_part_less_the_gradient(case, scheme):
    prior = prior_of(case)
    if not (prior.has_correction and prior.has_gradient):
        pytest.skip("no correction with a gradient")
    bound, x, _ = bound_and_point(case, scheme)
    torch.testing.assert_close(bound.correction(x.data), bound.damping * x.data - bound.gradient(x).data)


@every_prior
@pytest.mark.parametrize("scheme", [NufftInterpolation(11), NufftInterpolation(12)], ids=["odd", "even"])
@pytest.mark.parametrize("step", [0.1, 3.0])
def test_proximal_minimises_its_objective(case, scheme, step):
    """Among points near and far; map and spectrum are isometric without a gridding correction."""
    prior = prior_of(case)
    if not (prior.has_value and prior.has_proximal):
        pytest.skip("no value with a proximal map")
    bound, z, statistics = bound_and_point(case, scheme)
    p = bound.proximal(step)(z)
    generator = torch.Generator().manual_seed(1)

    def objective(x):
        return step * bound(x) + 0.5 * (x - z).norm() ** 2

    least, slack = objective(p), 1e-8 * z.norm() ** 2
    assert least <= objective(z) + slack
    for size in (1e-3, 1e-2, 0.1, 1.0):
        direction = torch.randn((scheme.n,) * 3, generator=generator, dtype=torch.float64)
        other = statistics.space.element(statistics.from_volume(direction))
        for sign in (1, -1):
            assert objective(p + sign * size * z.norm() / other.norm() * other) >= least - slack
        assert objective(p + size * (z - p)) >= least - slack


@every_prior
@every_scheme
@both_types
def test_post_process_keeps_shape_and_type_and_its_argument(case, scheme, dtype):
    bound, _, statistics = bound_and_point(case, scheme, dtype)
    volume = statistics.to_volume(statistics.unregularised())
    before = volume.clone()
    found = bound.post_process(volume)
    assert found.shape == volume.shape and found.dtype == volume.dtype and torch.isfinite(found).all()
    assert torch.equal(volume, before)


@every_prior
def test_binding_leaves_the_statistics_alone(case):
    statistics, context = problem(SCHEMES[0])
    data, weight = statistics.data.clone(), statistics.weight.clone()
    bound = prior_of(case).bind(statistics, context)
    bound.post_process(statistics.to_volume(statistics.unregularised()))
    assert torch.equal(statistics.data, data) and torch.equal(statistics.weight, weight)
    assert bound.domain == statistics.space


@every_prior
def test_it_prints_how_it_was_made(case):
    prior = prior_of(case)
    assert repr(prior).startswith(f"{type(prior).__name__}(")
    if isinstance(case, str):
        assert repr(prior) == repr(prior_of(case))
        if "," in case:
            assert repr(prior) != repr(prior_from(name_of(case), **_denoiser_of(prior)))


def _denoiser_of(prior):
    return {"denoiser": prior.denoiser} if hasattr(prior, "denoiser") else {}


@pytest.mark.parametrize("name", sorted(PRIORS))
def test_an_unknown_key_is_refused_with_the_nearest_name(name):
    key = list(inspect.signature(PRIORS[name]).parameters)[-1]
    with pytest.raises(InputError, match=f"{name}.*no option.*did you mean '{key}'"):
        prior_from(f"{name},{key}x=1")


@pytest.mark.parametrize("name", sorted(PRIORS))
def test_a_name_nearly_right_is_refused_with_the_nearest_name(name):
    with pytest.raises(InputError, match="did you mean"):
        prior_from(name + "x")
